"""Lives through a world: it is planned, then run, twice, in virtual time and without a socket; the judge compares."""

import asyncio
import csv
import random
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from batcher.app import run_inventory
from batcher.emulator.routes import Api
from batcher.emulator.settings import EmulatorSettings
from batcher.emulator.state import State
from batcher.events import CallMade, Event
from batcher.forecast import Forecast, records
from batcher.ledger.open import open_ledger
from batcher.model import RunState
from batcher.policy.prospect import Prospect
from batcher.preview import plan_inventory
from batcher.records import RowRecord, RunRecord
from batcher.settings import Settings
from batcher.wiring import Session
from tests.agreement.judge import disagreements
from tests.agreement.world import PASSING_S, PENDING_S, World, draw, furnish
from tests.simulation.machine import MachineLoop, Process, ProcessClock, live
from tests.simulation.provider import HOSTS, Connect, Network, Provider
from tests.virtual_time import EPOCH

KEYS = {"AK": "SK"}


class Told:
    """The calls that a command makes, by kind."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()

    def emit(self, event: Event) -> None:
        """Take an event."""
        if isinstance(event, CallMade):
            self.calls[event.kind] += 1


@dataclass
class Lived:
    """What came of a world: what plan and run say otherwise, the last line replays it; and what plans have said."""

    wrong: list[str] = field(default_factory=list)
    said: Counter[Prospect] = field(default_factory=Counter)


def lived(seed: int) -> Lived:
    """Live through the world of a seed; the same at every call."""
    shared = Path("/dev/shm")  # in memory where there is such a place
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as folder:
        chance = random.Random(f"life/{seed}")
        with asyncio.Runner(loop_factory=lambda: MachineLoop(chance)) as runner:
            life = _Life(draw(seed), Path(folder), chance)
            wrong = runner.run(life.lived())
    replay = [f"python -m tests.agreement --seed {seed}"] * bool(wrong)
    return Lived([f"seed {seed}: {each}" for each in wrong] + replay, life.said)


class _Life:
    def __init__(self, world: World, folder: Path, chance: random.Random) -> None:
        self._world = world
        self._folder = folder
        self._chance = chance
        self._clock = ProcessClock(())
        self._starts = 0
        self.said: Counter[Prospect] = Counter()

    async def lived(self) -> list[str]:
        """What was wrong, over both runs."""
        loop, state = asyncio.get_running_loop(), State(None, self._world.seed)
        try:
            settings = EmulatorSettings(
                keys=KEYS,
                pending_s=PENDING_S,
                quota=self._world.quota,
                open_world=self._world.open_world,
                seed=self._world.seed,
                now=lambda: EPOCH + loop.time(),
            )
            self._provider = Provider(Api(settings, state), Network(0.01, 0.0), (), self._chance)
            with state.transaction():
                furnish(state, self._world)
            self._provider.passed_over()
            self._write_files()
            wrong = await self._compared()
            await asyncio.sleep(PASSING_S)
            run, _ = await self._newest()
            if not wrong and run.state is RunState.FINISHED:  # else the next run goes on with this one
                wrong = [f"with history: {each}" for each in await self._compared()]
            return wrong
        finally:
            state.close()

    def _write_files(self) -> None:
        with (self._folder / "inventory.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(self._world.rows[0]))
            writer.writeheader()
            writer.writerows(self._world.rows)
        profile = self._folder / ".huaweicloud" / "credentials"
        profile.parent.mkdir()
        profile.write_text("".join(f"[basic]\nak = {ak}\nsk = {sk}\n" for ak, sk in KEYS.items()))
        profile.chmod(0o600)

    async def _compared(self) -> list[str]:
        """One plan and one run, compared."""
        path, changes = str(self._folder / "inventory.csv"), list[Mapping[str, Any]]()
        was_pending = self._pending_lines() if self._world.run["verify"] else frozenset[int]()  # else nobody waits
        session, _ = self._session()
        forecast = await live(Process(), plan_inventory(path, session, tell=changes.append))
        self.said.update(forecast.rows)
        session, told = self._session()
        await live(Process(), run_inventory(path, session))
        _, rows = await self._newest()
        is_checked = bool(self._world.run["preflight"])
        wrong = disagreements(forecast, changes, rows, is_checked=is_checked, was_pending=was_pending)
        return wrong + self._calls_wrong(forecast, told)

    def _calls_wrong(self, forecast: Forecast, told: Told) -> list[str]:
        """Whether fewer calls were made than the plan said at least.

        A quota that ends makes a run end early; what is created and fails, or stays `pending`, is not switched off.
        """
        if self._world.is_quota_short or self._world.fates:
            return []
        return [
            f"the plan says at least {count} `{kind}`, the run made {told.calls[kind]}"
            for kind, count in forecast.calls.items()
            if told.calls[kind] < count
        ]

    def _pending_lines(self) -> frozenset[int]:
        """The lines of rows at whose place something is `pending` now."""
        found = self._provider.api.state.db.execute(
            "SELECT er_id, resource_id, log_group_id, log_stream_id FROM flow_logs WHERE deleted_at IS NULL"
            " AND ready_at > ?",
            (self._provider.api.now(),),
        ).fetchall()
        names = ("er_id", "resource_id", "log_group_id", "log_stream_id")
        return frozenset(
            line for line, row in enumerate(self._world.rows, 2) if tuple(row[name] for name in names) in set(found)
        )

    def _session(self) -> tuple[Session, Told]:
        self._starts += 1
        told = Told()
        settings = Settings.model_validate(
            {
                "cloud": {"endpoint": HOSTS[0], "lts_endpoint": HOSTS[0]},
                "credentials": {"metadata": False},
                "run": self._world.run,
                "report": {"directory": str(self._folder / "reports")},
            }
        )
        return Session(
            settings=settings,
            sink=told,
            environment={},
            home=self._folder,
            began_at=self._clock.now(),
            clock=self._clock,
            seed=self._world.seed * 1000 + self._starts,
            connect=Connect([self._provider], 1, self._clock, lambda _: True),
        ), told

    async def _newest(self) -> tuple[RunRecord, list[RowRecord]]:
        async with open_ledger(str(self._folder / "reports" / "ledger.db"), read_only=True) as ledger:
            run = (await ledger.runs())[0]
            return run, [record async for record in records(ledger, run.run_id)]
