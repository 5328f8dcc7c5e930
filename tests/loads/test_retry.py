"""Many rows that were refused for good, and go under the next token: what each costs the ledger."""

import json
from pathlib import Path

from batcher.clock import SystemClock
from batcher.model import Outcome
from tests.ledger.book import claimed, everything, lease_of, open_run, row, run_record, settled, write
from tests.loads.working import Provider, engine_of, ledger_at, statements_of

ROWS = 300


def spec(number: int) -> str:
    place = ["default", "cn-north-4", "0" * 32, "er-1", f"attachment {number}", "group", "stream"]
    return json.dumps([*place, "name", None, True])


async def test_the_next_tokens_of_a_retry_are_recorded_by_the_page(tmp_path: Path) -> None:
    """A write for each of a hundred thousand rows doubled the cost of a retry, and costs minutes on a slow disk."""
    async with ledger_at(tmp_path / "ledger.db") as ledger:
        now = SystemClock.now()
        rows = [row(number, spec=spec(number)) for number in range(1, ROWS + 1)]
        parent = await open_run(ledger, "evening", rows, started_at=now)
        lease = await lease_of(ledger, parent, now=now)
        works = await claimed(ledger, lease, limit=ROWS, now=now)
        await write(ledger, lease, *(settled(work.row_no, Outcome.FAILED, spent=True) for work in works))
        retry = run_record("night", started_at=now, parent=parent)
        await ledger.create_run(retry)
        await ledger.copy_rows(retry.run_id, parent)
        await ledger.index_keys(retry.run_id)
        await ledger.open_run(retry.run_id, (), {})
        async with statements_of(ledger) as statements:
            await engine_of(ledger, retry.run_id, Provider()).work()
        done = await everything(ledger, retry.run_id)
        assert {(record.outcome, record.generation) for record in done} == {(Outcome.CREATED, 1)}
        assert len({record.token for record in done}) == ROWS
        assert statements.count("COMMIT") < ROWS / 2
