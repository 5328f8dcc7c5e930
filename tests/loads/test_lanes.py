"""Many lanes of one row: what each costs the ledger and the memory, and how many are worked side by side."""

import gc
import tracemalloc
from dataclasses import replace
from pathlib import Path

from batcher.clock import SystemClock
from batcher.engine.survey import Survey
from batcher.events import CallMade
from batcher.forecast import CHECKS, _Notes
from batcher.model import Outcome
from tests.ledger.book import everything, open_run, row
from tests.loads.working import POLICY, Provider, engine_of, lane, ledger_at, statements_of


async def test_a_lane_of_one_row_costs_the_ledger_three_writes_of_its_own(tmp_path: Path) -> None:
    """Lease, claim and release; settlements of many lanes are written together, which is the half one beside them."""
    lanes = 300
    async with ledger_at(tmp_path / "ledger.db") as ledger:
        rows = [row(n, lane=lane(n), scope=f"er-{n}") for n in range(1, lanes + 1)]
        run_id = await open_run(ledger, "tonight", rows, started_at=SystemClock.now())
        async with statements_of(ledger) as statements:
            await engine_of(ledger, run_id, Provider()).work()
        assert {record.outcome for record in await everything(ledger, run_id)} == {Outcome.CREATED}
    assert statements.count("COMMIT") <= 3.5 * lanes
    assert len(statements) <= 24 * lanes
    assert statements.count("SELECT EXISTS (SELECT 1 FROM known)") == 1


async def test_two_hundred_small_lanes_wait_for_their_answers_at_once(tmp_path: Path) -> None:
    """With 64 lanes at a time, and answers that come once 200 creates were sent, this would wait for ever."""
    async with ledger_at(tmp_path / "ledger.db") as ledger:
        rows = [row(n, lane=lane(n)) for n in range(1, 201)]
        run_id = await open_run(ledger, "tonight", rows, started_at=SystemClock.now())
        provider = Provider(opens_after=200)
        await engine_of(ledger, run_id, provider).work()
        assert sorted(provider.sent) == [lane(n) for n in range(1, 201)]


async def held_by_a_survey(folder: Path, lanes: int) -> int:
    """The bytes that the survey of so many lanes keeps."""
    async with ledger_at(folder / f"{lanes}.db") as ledger:
        rows = [row(n, lane=lane(n)) for n in range(1, lanes + 1)]
        run_id = await open_run(ledger, "tonight", rows, started_at=SystemClock.now())
        survey = Survey()
        tracemalloc.start()
        try:
            await engine_of(ledger, run_id, Provider(), policy=POLICY, work_lane=survey.look).work()
            gc.collect()
            held = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
        assert len(survey.lanes) == lanes
        return held


async def test_a_survey_keeps_a_kilobyte_of_a_lane_at_most(tmp_path: Path) -> None:
    """A limiter alone takes six, and a hundred thousand projects are planned in one process."""
    few, many = await held_by_a_survey(tmp_path, 50), await held_by_a_survey(tmp_path, 250)
    assert (many - few) / 200 < 1_000


async def left_by_a_run(folder: Path, lanes: int) -> int:
    """The bytes that so many lanes leave behind until the collector of cycles comes."""
    async with ledger_at(folder / f"{lanes}.db") as ledger:
        rows = [row(n, lane=lane(n)) for n in range(1, lanes + 1)]
        run_id = await open_run(ledger, "tonight", rows, started_at=SystemClock.now())
        gc.collect()
        gc.disable()
        tracemalloc.start()
        try:
            await engine_of(ledger, run_id, Provider(), policy=replace(POLICY, lanes_max=8)).work()
            return tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
            gc.enable()


async def test_the_memory_of_a_lane_is_free_when_the_lane_is_left(tmp_path: Path) -> None:
    """In a cycle it would be 23 kB, for as long as the collector leaves it, which the command lets look seldom."""
    few, many = await left_by_a_run(tmp_path, 50), await left_by_a_run(tmp_path, 250)
    assert (many - few) / 200 < 1_500


def test_a_forecast_keeps_no_calls_of_single_lanes_where_nobody_asks_for_them() -> None:
    notes = _Notes(preflight=False)
    tracemalloc.start()
    try:
        for number in range(1, 1_001):
            for kind in ("list", "quotas", *CHECKS):
                notes.emit(CallMade(lane(number), kind, "200"))
        assert tracemalloc.get_traced_memory()[0] < 20_000
    finally:
        tracemalloc.stop()
    assert notes.calls == dict.fromkeys(("list", "quotas", *CHECKS), 1_000)
