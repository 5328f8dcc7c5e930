"""Runs the night of a seed: the whole of batcher, on machines that die, against a provider that fails."""

import asyncio
import csv
import random
import tempfile
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from batcher.app import resume_run, retry_run, run_inventory, undo_run
from batcher.config import Settings
from batcher.emulator import fates, flow_logs, inventory
from batcher.emulator.bodies import NewFlowLog
from batcher.emulator.faults import FaultShares, Kind, Rule, Script
from batcher.emulator.routes import Api
from batcher.emulator.settings import EmulatorSettings
from batcher.emulator.state import State
from batcher.engine.stop import Stop
from batcher.errors import BatcherError
from batcher.events import Event, RunStarted
from batcher.intake import InterruptedPlanError
from batcher.ledger.lock import lock_path
from batcher.ledger.open import open_ledger
from batcher.model import UNDO, RunState
from batcher.records import RowRecord, RunRecord
from batcher.sitting import RunResult
from batcher.wiring import Session
from tests.simulation import judge
from tests.simulation.machine import KilledError, MachineLoop, Process, ProcessClock, live
from tests.simulation.night import KEYS, Night, Row, Sitting, draw
from tests.simulation.provider import HOST, Provider
from tests.virtual_time import EPOCH

HEALED_S = 3600.0
"""How long after the last fault the last runs begin."""
LAST_RUNS_MAX = 3
DAY_S = 86_400.0
EXPECTED = ("RunNotFoundError", "InterruptedPlanError")
"""Errors that may end a command of any night."""
ROBBED = ("LedgerError", "LedgerHeldError", "StaleLeaseError", "RunNotFoundError", "ReportError")
"""Errors that may end a command whose ledger another one took."""


@dataclass(slots=True)
class Heard:
    """What a process told before it died."""

    process: Process
    told: list[tuple[float, Event]] = field(default_factory=list)

    def emit(self, event: Event) -> None:
        """Keep an event, with the time."""
        if not self.process.dead:
            self.told.append((asyncio.get_running_loop().time(), event))


@dataclass(slots=True)
class Told:
    """What came of a night: what was wrong, and the story in lines."""

    wrong: list[str] = field(default_factory=list)
    story: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Machine:
    """A machine with its own ledger, clock and reports."""

    number: int
    folder: Path
    clock: ProcessClock
    memory: judge.Memory = field(default_factory=judge.Memory)

    @property
    def reports(self) -> Path:
        """Where its runs write."""
        return self.folder / f"reports-{self.number}"

    @property
    def ledger(self) -> Path:
        """Its ledger."""
        return self.reports / "ledger.db"


def simulate(seed: int) -> Told:
    """Run the night of a seed to its end; the same at every call."""
    night = draw(seed)
    shared = Path("/dev/shm")  # in memory where there is such a place: a simulated disk cannot lose what was synced
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as folder:
        chance = random.Random(f"world/{seed}")
        with asyncio.Runner(loop_factory=lambda: MachineLoop(chance)) as runner:
            return runner.run(_Simulation(night, Path(folder), chance).run())


def failures(seed: int) -> list[str]:
    """What was wrong in the night of a seed; if anything was, its last line is the command that replays it."""
    try:
        wrong = simulate(seed).wrong
    except Exception as error:  # noqa: BLE001  # the simulation itself came to an end: also a finding
        wrong = [f"{type(error).__name__}: {error}"]
    return [f"seed {seed}: {line}" for line in wrong] + [f"replay: python -m tests.simulation {seed}"] * bool(wrong)


class _Simulation:
    def __init__(self, night: Night, folder: Path, chance: random.Random) -> None:
        self.night = night
        self.folder = folder
        self.told = Told()
        self.first = Machine(1, folder, ProcessClock(night.clock_steps))
        self._chance = chance
        self._starts = 0

    async def run(self) -> Told:
        """The night, and the morning after."""
        self._furnish()
        state = State(None, self.night.seed)
        try:
            self.provider = self._provider(state)
            if self.night.second_operator:
                async with asyncio.TaskGroup() as both:
                    both.create_task(self._night())
                    both.create_task(self._other())
            else:
                await self._night()
            await self._morning()
            self.told.wrong += self.provider.seen.again
            self.told.wrong += judge.overrun(self.night, self.provider)
            self.told.wrong += judge.unlearnt(self.night, self.provider)
            self.told.wrong += judge.undeserved(self.night, self.provider)
        finally:
            state.close()
        return self.told

    # --- the world -----------------------------------------------------------------------------------

    def _furnish(self) -> None:
        with (self.folder / "inventory.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(self.night.rows[0]))
            writer.writeheader()
            writer.writerows(self.night.rows)
        profile = self.folder / ".huaweicloud" / "credentials"
        profile.parent.mkdir()
        sections = zip(("basic", "other"), KEYS.items(), strict=True)
        profile.write_text("".join(f"[{name}]\nak = {ak}\nsk = {sk}\n" for name, (ak, sk) in sections))
        profile.chmod(0o600)

    def _provider(self, state: State) -> Provider:
        night, loop = self.night, asyncio.get_running_loop()
        settings = EmulatorSettings(
            keys=KEYS,
            pending_s=night.pending_s,
            page_max=night.page_max,
            throttle=night.throttle,
            quota=night.quota,
            faults=night.faults,
            seed=night.seed,
            now=lambda: EPOCH + loop.time(),
        )
        api = Api(settings, state)
        api.script = Script([_lie(kind, skip) for kind, skip in night.lies])
        with state.transaction():
            for row in night.there:
                _put(state, row)
            for row in night.frozen:
                place = {"project_id": row["project_id"], "er_id": row["er_id"], "id": row["resource_id"]}
                inventory.put_attachment(state, {**place, "state": "freezed"}, EPOCH - 1e6)
            for row, fate in night.fates:
                fates.put_fate(state, (row["project_id"], row["er_id"], row["resource_id"]), fate, EPOCH)
        return Provider(api, night.network, night.outages, self._chance)

    def _heal(self) -> None:
        """Nothing goes wrong any more, and what waited is decided."""
        api = self.provider.api
        self.provider.heal()
        api.script = Script()
        api.change_settings(
            EmulatorSettings(keys=KEYS, seed=self.night.seed, now=api.settings.now, faults=FaultShares())
        )
        with api.state.transaction():
            for row, _ in self.night.fates:
                place = (row["project_id"], row["er_id"], row["resource_id"])
                if fates.fate_of(api.state, place) == "pending":
                    fates.put_fate(api.state, place, "available", api.now())

    # --- what is run ---------------------------------------------------------------------------------

    async def _night(self) -> None:
        for sitting in self.night.sittings:
            await asyncio.sleep(sitting.pause_s)
            if sitting.robbed:
                await self._robbery(sitting)
            else:
                await self._sit(self.first, sitting, EXPECTED)

    async def _robbery(self, sitting: Sitting) -> None:
        """Two at one ledger: the second found no lock, for somebody had deleted it."""
        start, end = sitting.stalls[0]
        began = asyncio.get_running_loop().time()

        async def thief() -> Heard:
            await asyncio.sleep(start + 0.9 * (end - start))
            lock_path(self.first.ledger).unlink(missing_ok=True)
            return (await self._sit(self.first, Sitting("run", robbed=True), ROBBED + EXPECTED))[1]

        async with asyncio.TaskGroup() as both:
            robbed = both.create_task(self._sit(self.first, sitting, ROBBED + EXPECTED))
            robber = both.create_task(thief())
        await self._judge(self.first, [], began)
        self.told.wrong += judge.unfenced(robbed.result()[1].told, robber.result().told)

    async def _other(self) -> None:
        """Another operator, with a machine and a ledger of their own and the same inventory."""
        await asyncio.sleep(3.0)
        await self._sit(Machine(2, self.folder, ProcessClock(())), Sitting("run"), EXPECTED)

    async def _morning(self) -> None:
        """The same commands again, now that nothing goes wrong, and a day later: then all is done that can be."""
        self._heal()
        await asyncio.sleep(HEALED_S)
        for _ in range(LAST_RUNS_MAX):
            result, _ = await self._sit(self.first, Sitting("run"), EXPECTED, healed=True)
            if result is not None and result.exit_code in (0, 3):
                break
            await asyncio.sleep(60.0)
        else:
            self.told.wrong.append("the runs of the morning do not come to an end")
        for pause_s, command in [(0.0, "retry"), (DAY_S, "run"), (0.0, "retry")]:
            await asyncio.sleep(pause_s)
            await self._sit(self.first, Sitting(command), EXPECTED, healed=True)
        self.told.wrong += judge.lost(self.night, self.provider)

    async def _sit(
        self, machine: Machine, sitting: Sitting, expected: Iterable[str], *, healed: bool = False
    ) -> tuple[RunResult | None, Heard]:
        process = Process(sitting.kill, sitting.stalls)
        session, heard = self._session(machine, process, healed=healed)
        if sitting.stop_s is not None:
            asyncio.get_running_loop().call_later(sitting.stop_s, session.stop.request, "BATCHER.Interrupted")
        result, said = None, ""
        try:
            result = await live(process, self._command(sitting.command, session, await self._newest(machine)))
            said = f"exit {result.exit_code}: {judge.names({k: v for k, v in result.publication.counts.items() if v})}"
        except KilledError:
            said = f"killed {sitting.kill}"
        except (BatcherError, InterruptedPlanError) as error:
            said = f"{type(error).__name__}: {error}"
            if type(error).__name__ not in expected:
                self.told.wrong.append(f"`{sitting.command}` ended with {said}")
        except Exception as error:  # noqa: BLE001  # whatever it was, it is a finding
            said = f"{type(error).__name__}: {error!r}"
            self.told.wrong.append(f"`{sitting.command}` ended with {said}")
        for _, event in heard.told:
            if isinstance(event, RunStarted):
                machine.memory.workers.setdefault(event.run_id, set()).add(process)
        now = asyncio.get_running_loop().time()
        self.told.story.append(f"{now:10.3f}  machine {machine.number}  {sitting.command}: {said}")
        if not sitting.robbed:
            await self._judge(machine, [event for _, event in heard.told], process.began, result)
        return result, heard

    def _command(self, command: str, session: Session, newest: RunRecord | None) -> Coroutine[Any, Any, RunResult]:
        if command == "undo" and newest is not None:
            return undo_run(newest.run_id, session)
        if command == "resume":
            return resume_run(None, session)
        if command == "retry":
            return retry_run(None, session)
        return run_inventory(str(self.folder / "inventory.csv"), session)

    async def _newest(self, machine: Machine) -> RunRecord | None:
        runs = [run for run, _ in await _read(machine) if run.operation != UNDO and run.state is not RunState.PLANNING]
        return runs[0] if runs else None

    def _session(self, machine: Machine, process: Process, *, healed: bool) -> tuple[Session, Heard]:
        self._starts += 1
        run = dict(self.night.run)
        if healed:
            run.update(max_failures=None, attempts_max=8, retry_time_s=900.0, verify=True, verify_time_s=300.0)
        settings = Settings.model_validate(
            {
                "cloud": {"endpoint": HOST, "answer_timeout_s": self.night.answer_timeout_s},
                "credentials": {"metadata": False},
                "run": run,
                "report": {"directory": str(machine.reports)},
            }
        )
        heard = Heard(process)
        session = Session(
            settings=settings,
            sink=heard,
            stop=Stop(),
            environment={},
            home=self.folder,
            began_at=machine.clock.now(),
            clock=machine.clock,
            seed=self.night.seed * 1000 + self._starts,
            connect=self.provider.connect(machine.number),
        )
        return session, heard

    # --- what must be true ---------------------------------------------------------------------------

    async def _judge(self, machine: Machine, heard: list[Event], began: float, result: RunResult | None = None) -> None:
        """Hold what there is now against the provider; runs not seen before began with the process, at `began`."""
        now, verifies = asyncio.get_running_loop().time(), bool(self.night.run["verify"])
        stand = await _read(machine)
        wrong = self.told.wrong
        undone = {run.parent for run, _ in stand if run.operation == UNDO}
        worked = {event.run_id for event in heard if isinstance(event, RunStarted)}
        for run, rows in stand:
            since = machine.memory.began.setdefault(run.run_id, began)
            workers = machine.memory.workers.get(run.run_id, set())
            fresh, other = judge.changed(machine.memory, run, rows)
            wrong += other
            if run.state is RunState.PLANNING or run.run_id in undone:
                continue
            if run.run_id in worked:
                due = rows if run is stand[0][0] else fresh
            else:  # what another run has changed since is no untruth of this one
                due = rows if run is stand[0][0] and not worked else []
            case = judge.Case(self.night, self.provider, run, due, since, workers, verifies, now)
            wrong += case.faults()
            if run.run_id in worked:
                wrong += judge.unheard(heard, rows, run)
            if run.parent is None and len(rows) != len(self.night.rows):
                wrong.append(f"run {run.run_id}: {len(rows)} rows of {len(self.night.rows)}")
        if result is not None:
            run, rows = next((run, rows) for run, rows in stand if run.run_id == result.run.run_id)
            wrong += judge.misreported(machine.reports, run, rows, result.exit_code)


def _lie(kind: str, skip: int) -> Rule:
    return Rule(operation="list", fault=Kind(kind), skip=skip)


def _put(state: State, row: Row) -> None:
    new = NewFlowLog(
        name=row["name"],
        description=row["description"],
        resource_id=row["resource_id"],
        log_group_id=row["log_group_id"],
        log_stream_id=row["log_stream_id"],
    )
    made = flow_logs.insert(
        state,
        new,
        project_id=row["project_id"],
        er_id=row["er_id"],
        at=EPOCH - 1e6,
        ready_at=EPOCH - 1e6,
        final_state="available",
        seeded=True,
    )
    state.db.execute("UPDATE flow_logs SET enabled = ? WHERE n = ?", (row["enabled"] == "true", made))


async def _read(machine: Machine) -> list[tuple[RunRecord, list[RowRecord]]]:
    """Every run with its rows, the newest first."""
    if not machine.ledger.exists():
        return []
    try:
        async with open_ledger(str(machine.ledger), read_only=True) as ledger:
            return [(run, await ledger.records(run.run_id, -1, 10_000)) for run in await ledger.runs()]
    except BatcherError:
        return []  # it died before the ledger had a schema
