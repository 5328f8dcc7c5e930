"""Which token a later run sends a row with, when the provider no longer shows what an earlier run made."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from batcher.engine.context import EnginePolicy
from batcher.engine.run import RunEngine
from batcher.engine.stop import Stop
from batcher.events import Event
from batcher.ledger.group_commit import GroupCommit
from batcher.ledger.open import open_ledger
from batcher.ledger_port import Ledger
from batcher.model import Applied, ClaimedRow, LaneKey, Outcome, Page, Remote, RunId, Token, Window
from batcher.operations.flow_log import FlowLogs
from batcher.operations.flow_log_row import RowDefaults
from tests.ledger.book import T0, claimed, end, lease_of, open_run, row, settled, token_of, write

DAY_S = 86_400.0


@dataclass
class EmptyCloud(FlowLogs):
    """A provider that shows nothing and takes everything; `sent` has the tokens that came."""

    sent: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(None, RowDefaults())

    def token(self, spec: str, generation: int) -> Token:
        return token_of(spec.strip('[]"'), generation)

    async def page(self, lane: LaneKey, scope: str, marker: str | None, only: Sequence[str] = ()) -> Page[Remote]:
        return Page((), None, 0, 2000)

    async def apply(self, lane: LaneKey, row: ClaimedRow) -> Applied:
        self.sent.append(row.token)
        return Applied("fl-new", "available", enabled=True, as_wished=True, http_status=202, request_id="")


@dataclass
class At:
    """A clock that stands at one moment."""

    wall: float

    def now(self) -> float:
        return self.wall

    def steady(self) -> float:
        return asyncio.get_running_loop().time()


class Deaf:
    def emit(self, event: Event) -> None: ...


async def work(ledger: Ledger, run_id: RunId, now: float) -> list[str]:
    """Work the run's one lane; the tokens that were sent."""
    cloud, sink = EmptyCloud(), Deaf()
    engine = RunEngine(
        ledger=ledger,
        operation=cloud,
        run_id=run_id,
        policy=EnginePolicy(window=Window(1000, 1.0)),
        commit=GroupCommit(ledger, run_id, sink),
        sink=sink,
        clock=At(now),
        stop=Stop(),
        owner="me",
        seed=0,
    )
    await engine.work()
    return cloud.sent


async def nights(place: Path, generations: Sequence[tuple[int, Outcome, bool]], *, last_after_s: float) -> list[str]:
    """Earlier runs that ended so: (generation, outcome, spent); then one that works against an empty cloud."""
    async with open_ledger(str(place / "ledger.db")) as ledger:
        now = T0
        for night, (generation, outcome, spent) in enumerate(generations):
            run_id = await open_run(ledger, f"night-{night}", [row(1)], started_at=now)
            lease = await lease_of(ledger, run_id, now=now)
            await claimed(ledger, lease, now=now)
            if generation:
                token = token_of("row-1", generation)
                await ledger.regenerate(lease, 1, generation=generation, token=token, now=now + 1)
            remote_id = "fl-old" if outcome is Outcome.CREATED else None
            await write(ledger, lease, settled(1, outcome, spent=spent, remote_id=remote_id, settled_at=now + 2))
            await end(ledger, run_id)
            now += DAY_S
        now += last_after_s - DAY_S
        run_id = await open_run(ledger, "tonight", [row(1)], started_at=now)
        return await work(ledger, run_id, now)


CREATED, REFUSED = (Outcome.CREATED, False), (Outcome.FAILED, True)


async def test_a_row_that_was_never_sent_goes_under_its_first_token(tmp_path: Path) -> None:
    assert await nights(tmp_path, [], last_after_s=DAY_S) == [token_of("row-1", 0)]


@pytest.mark.parametrize("last_after_s", [60.0, DAY_S])
async def test_what_an_earlier_run_made_and_is_gone_is_made_under_the_next_token(
    tmp_path: Path, last_after_s: float
) -> None:
    assert await nights(tmp_path, [(0, *CREATED)], last_after_s=last_after_s) == [token_of("row-1", 1)]


async def test_a_row_that_was_refused_for_good_goes_under_the_next_token(tmp_path: Path) -> None:
    assert await nights(tmp_path, [(0, *REFUSED)], last_after_s=DAY_S) == [token_of("row-1", 1)]


@pytest.mark.parametrize("last_after_s", [60.0, DAY_S])
async def test_what_was_made_under_a_later_token_and_is_gone_is_made_under_the_next_one(
    tmp_path: Path, last_after_s: float
) -> None:
    """Night 1 is refused, night 2 creates under token 1, somebody deletes it: token 1 must not be sent again."""
    sent = await nights(tmp_path, [(0, *REFUSED), (1, *CREATED)], last_after_s=last_after_s)
    assert sent == [token_of("row-1", 2)]
