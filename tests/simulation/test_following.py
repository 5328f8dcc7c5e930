"""What is accepted is followed while a run sends, and settled before a stop ends it: whole commands in virtual time."""

import asyncio
import json
import random
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from batcher.emulator.faults import FaultShares
from batcher.model import Outcome, RowState
from batcher.records import RowRecord, RunRecord
from tests.e2e.inventories import some_project, some_uuid
from tests.simulation.machine import MachineLoop
from tests.simulation.night import REGION, Nature, Night, Row, Sitting, draw_plain
from tests.simulation.provider import Network
from tests.simulation.simulate import EXPECTED, Simulation, read
from tests.simulation.world import World


@dataclass(frozen=True, slots=True)
class Ended:
    """A sitting that is over, what it counted and left."""

    run: RunRecord
    rows: list[RowRecord]
    wrong: list[str]
    took_s: float

    @property
    def accepted(self) -> int:
        """Rows that the provider took."""
        return sum(row.http_status == 202 for row in self.rows)

    def count(self, outcome: Outcome) -> int:
        return sum(row.outcome is outcome for row in self.rows)

    @property
    def looks(self) -> int:
        """Listings after each router was listed once, before the first create."""
        return self.calls("list") - len({json.loads(row.spec or "")[3] for row in self.rows})

    def calls(self, kind: str) -> int:
        return sum(calls for (each, _), calls in self.run.calls.items() if each == kind)


def inventory(rows: int, routers: int, *, projects: int = 1, **known: str) -> tuple[Row, ...]:
    """Rows whose routers take turns."""
    return tuple(
        {
            "er_id": some_uuid(f"router {number % routers}"),
            "resource_id": some_uuid(f"attachment {number}"),
            "log_group_id": some_uuid("group"),
            "log_stream_id": some_uuid("stream"),
            "name": f"fl-{number}",
            "description": "",
            "enabled": "true",
            "project_id": some_project(number % routers % projects),
            "region": REGION,
            "account": "default",
            **known,
        }
        for number in range(rows)
    )


def night(rows: tuple[Row, ...], *, pending_s: float, fates: tuple[tuple[Row, str], ...] = (), **run: Any) -> Night:
    """A night in which nothing goes wrong but what the `fates` say."""
    plain = draw_plain(0)
    settings = {"rate": "20/s", "concurrency": 64, "max_failures": None, "reconcile": "auto", "fix_drift": False}
    return replace(
        plain,
        rows=rows,
        run={**settings, "reserve": 0, "verify": True, "verify_time_s": 300.0, "attempts_max": 8, **run},
        answer_timeout_s=30.0,
        there=(),
        frozen=(),
        fates=fates,
        faults=FaultShares(),
        throttle=None,
        quota=-1,
        pending_s=pending_s,
        page_max=2000,
        lies=(),
        network=Network(0.005, 0.005),
        outages=(),
        clock_steps=(),
        second_operator=False,
        nature=Nature(),
    )


def sat(place: Path, one: Night, *, stop_s: float | None = None) -> Ended:
    """The first sitting of a night."""
    sitting = Sitting("run", stop_s=stop_s)

    async def sit() -> Ended:
        simulation = Simulation(one, place, chance)
        simulation.world = World(one, place, chance)
        try:
            began = asyncio.get_running_loop().time()
            result, _ = await simulation.sit(simulation.first, sitting, EXPECTED)
            took_s = asyncio.get_running_loop().time() - began
            assert result is not None
            ((run, rows),) = await read(simulation.first)
            return Ended(run, rows, simulation.told.wrong, took_s)
        finally:
            simulation.world.close()

    chance = random.Random(1)
    with asyncio.Runner(loop_factory=lambda: MachineLoop(chance)) as runner:
        return runner.run(sit())


def test_a_run_that_fails_late_trips_its_threshold_early(tmp_path: Path) -> None:
    rows = inventory(3000, 6)
    fated = tuple((row, "failed") for row in rows[::3])
    ended = sat(tmp_path, night(rows, pending_s=3.0, fates=fated, max_failures="20%"))
    assert ended.run.stop_code == "BATCHER.TooManyFailures"
    assert ended.calls("create") < 900
    assert ended.looks <= 0.01 * ended.calls("create") + 6


def test_a_run_whose_routers_come_one_after_the_other_trips_as_early(tmp_path: Path) -> None:
    rows = tuple(sorted(inventory(3000, 6), key=lambda row: row["er_id"]))
    fated = tuple((row, "failed") for row in rows[::3])
    ended = sat(tmp_path, night(rows, pending_s=3.0, fates=fated, max_failures="20%"))
    assert ended.run.stop_code == "BATCHER.TooManyFailures"
    assert ended.calls("create") < 900
    assert ended.looks <= 0.01 * ended.calls("create") + 6


def test_a_deadline_settles_what_was_sent_before_it(tmp_path: Path) -> None:
    ended = sat(tmp_path, night(inventory(3000, 6), pending_s=1.0, rate="75/s", time="12s"))
    assert ended.run.stop_code == "BATCHER.Deadline"
    assert ended.accepted > 700
    assert ended.count(Outcome.CREATED) >= 0.95 * ended.accepted
    assert ended.took_s < 13


def test_a_signal_settles_what_was_sent_before_it(tmp_path: Path) -> None:
    ended = sat(tmp_path, night(inventory(3000, 6), pending_s=1.0, rate="75/s"), stop_s=10.0)
    assert ended.run.stop_code == "BATCHER.Interrupted"
    assert ended.count(Outcome.CREATED) >= 0.95 * ended.accepted > 600
    assert ended.took_s < 18
    assert ended.wrong == []


def test_an_undo_that_is_stopped_settles_what_it_has_deleted(tmp_path: Path) -> None:
    one = night(inventory(600, 3), pending_s=0.0, rate="20/s")
    one = replace(one, nature=Nature(deleting_s=0.5))

    async def sit() -> tuple[list[RowRecord], int]:
        simulation = Simulation(one, tmp_path, chance)
        simulation.world = World(one, tmp_path, chance)
        try:
            await simulation.sit(simulation.first, Sitting("run"), EXPECTED)
            await simulation.sit(simulation.first, Sitting("undo", stop_s=4.0), EXPECTED)
            (_, rows), _ = await read(simulation.first)
            return rows, sum(row.state is RowState.ACCEPTED for row in rows)
        finally:
            simulation.world.close()

    chance = random.Random(1)
    with asyncio.Runner(loop_factory=lambda: MachineLoop(chance)) as runner:
        rows, left = runner.run(sit())
    deleted = sum(row.outcome is Outcome.DELETED for row in rows)
    assert deleted >= 0.95 * (deleted + left) > 50
