"""What a sitting asks of the ledger before its first send, and for each row, however many rows are settled already."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from batcher.clock import SystemClock
from batcher.ledger.sqlite import SqliteLedger
from batcher.model import RowState
from tests.ledger.book import claimed, lease_of, open_run, row, settled, write
from tests.loads.working import Provider, engine_of, ledger_at, statements_of

OPEN = 40


@asynccontextmanager
async def half_done(folder: Path, done: int) -> AsyncIterator[SqliteLedger]:
    """A run `tonight`, of which so many rows are settled, 20 were claimed by a worker that died, and 20 are planned."""
    async with ledger_at(folder / f"{done}.db") as ledger:
        rows = [row(n, scope=f"er-{n % 3}") for n in range(1, done + OPEN + 1)]
        now = SystemClock.now()
        lease = await lease_of(ledger, await open_run(ledger, "tonight", rows, started_at=now), now=now)
        works = await claimed(ledger, lease, limit=done + OPEN // 2, now=now)
        await write(ledger, lease, *(settled(work.row_no) for work in works[:done]))
        yield ledger


async def asked(folder: Path, done: int) -> int:
    """How many statements it takes to go on with it."""
    async with half_done(folder, done) as ledger, statements_of(ledger) as statements:
        (run,) = await ledger.runs()
        await ledger.reopen(run.run_id)
        provider = Provider()
        await engine_of(ledger, run.run_id, provider).work()
        assert len(provider.sent) == OPEN
        assert not any(state is not RowState.SETTLED for state, _ in (await ledger.run(run.run_id)).counts)
        return len(statements)


async def test_a_resume_asks_no_more_of_the_ledger_the_more_is_done(tmp_path: Path) -> None:
    few, many = await asked(tmp_path, 60), await asked(tmp_path, 1_500)
    assert many == pytest.approx(few, abs=20)  # groups of settlements are cut by time
    assert max(few, many) < 4 * OPEN  # pages are small: no more than a second of work is claimed ahead
