"""Runs the night of a seed: the whole of batcher, on machines that die, against a provider that fails."""

import asyncio
import random
import tempfile
from collections.abc import Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from batcher.app import resume_run, retry_run, run_inventory, undo_run
from batcher.engine.stop import Stop
from batcher.errors import BatcherError
from batcher.events import Event, RunStarted
from batcher.intake import InterruptedPlanError
from batcher.ledger.lock import lock_path
from batcher.ledger.open import open_ledger
from batcher.model import UNDO, RunState
from batcher.records import RowRecord, RunRecord
from batcher.settings import Settings
from batcher.sitting import RunResult
from batcher.wiring import Session
from tests.simulation import judge, owners, stops
from tests.simulation.machine import KilledError, MachineLoop, Process, ProcessClock, live
from tests.simulation.night import Night, Sitting
from tests.simulation.operator import Operator
from tests.simulation.provider import HOSTS, Connect
from tests.simulation.twists import draw
from tests.simulation.world import World

HEALED_S = 3600.0
"""How long after the last fault the last runs begin."""
LAST_RUNS_MAX = 10
"""So often the last run is tried: where the provider repeats refusals for a quota that was raised since, each sitting
comes some rows on, and stops its lane again."""
DAY_S = 86_400.0
EXPECTED = ("RunNotFoundError", "InterruptedPlanError")
"""Errors that may end a command of any night."""
MISPLACED = ("ConfigError",)
"""Errors that may end a command whose settings lead elsewhere than where its run was begun."""
ROBBED = ("LedgerError", "LedgerLostError", "LedgerHeldError", "StaleLeaseError", "RunNotFoundError", "ReportError")
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


def simulate(seed: int) -> Told:
    """Run the night of a seed to its end; the same at every call."""
    night = draw(seed)
    shared = Path("/dev/shm")  # in memory where there is such a place: a simulated disk cannot lose what was synced
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as folder:
        chance = random.Random(f"world/{seed}")
        with asyncio.Runner(loop_factory=lambda: MachineLoop(chance)) as runner:
            return runner.run(Simulation(night, Path(folder), chance).run())


def failures(seed: int) -> list[str]:
    """What was wrong in the night of a seed; if anything was, its last line is the command that replays it."""
    try:
        wrong = simulate(seed).wrong
    except Exception as error:  # noqa: BLE001  # the simulation itself came to an end: also a finding
        wrong = [f"{type(error).__name__}: {error}"]
    return [f"seed {seed}: {line}" for line in wrong] + [f"replay: python -m tests.simulation {seed}"] * bool(wrong)


class Simulation:
    """A night as it goes: its operators, its world, and what is told of it."""

    def __init__(self, night: Night, folder: Path, chance: random.Random) -> None:
        self.night = night
        self.folder = folder
        self.told = Told()
        self.first = Operator(1, folder, ProcessClock(night.clock_steps))
        self.others: list[Operator] = []
        self._chance = chance
        self._starts = 0

    async def run(self) -> Told:
        """The night, and the morning after."""
        self.world = World(self.night, self.folder, self._chance)
        try:
            if self.night.second_operator:
                async with asyncio.TaskGroup() as both:
                    both.create_task(self._night())
                    both.create_task(self._other())
            else:
                await self._night()
            await self._morning()
            self._judge_all()
        finally:
            self.world.close()
        return self.told

    # --- what is run ---------------------------------------------------------------------------------

    async def _night(self) -> None:
        for sitting in self.night.sittings:
            await asyncio.sleep(sitting.pause_s)
            self._change_the_world(sitting)
            if sitting.robbed:
                await self._robbery(sitting)
            else:
                await self.sit(self.first, sitting, EXPECTED)

    def _change_the_world(self, sitting: Sitting) -> None:
        """What happens before a sitting, and what others do meanwhile."""
        loop, first = asyncio.get_running_loop(), self.first
        if sitting.clock_s is not None:
            first.clock.set(sitting.clock_s)
        if sitting.ledger == "lost":
            first.lose_ledger(loop.time())
        elif sitting.ledger == "restored":
            first.bring_back(loop.time())
        if sitting.copied_s is not None:
            loop.call_later(sitting.copied_s, lambda: first.keep_copy(loop.time()))
        if sitting.forgets_s is not None:
            loop.call_later(sitting.forgets_s, self.world.forget_tokens)
        for stranger in sitting.strangers:
            loop.call_later(stranger.delay_s, self.world.make_by_hand, stranger)

    async def _robbery(self, sitting: Sitting) -> None:
        """Two at one ledger: the second found no lock, for somebody had deleted it."""
        start, end = sitting.stalls[0]
        began = asyncio.get_running_loop().time()

        async def thief() -> Heard:
            await asyncio.sleep(start + 0.9 * (end - start))
            lock_path(self.first.ledger).unlink(missing_ok=True)
            return (await self.sit(self.first, Sitting("run", robbed=True, moved=sitting.moved), ROBBED + EXPECTED))[1]

        async with asyncio.TaskGroup() as both:
            robbed = both.create_task(self.sit(self.first, sitting, ROBBED + EXPECTED))
            robber = both.create_task(thief())
        await self._judge(self.first, None, began, self.world.site(moved=sitting.moved))
        self.told.wrong += judge.unfenced(robbed.result()[1].told, robber.result().told)

    async def _other(self) -> None:
        """Another operator, with a machine and a ledger of their own and the same inventory."""
        other = Operator(2, self.folder, ProcessClock(()))
        self.others.append(other)
        for sitting in self.night.other_sittings:
            await asyncio.sleep(sitting.pause_s)
            await self.sit(other, sitting, EXPECTED)

    async def _morning(self) -> None:
        """The same commands again, now that nothing goes wrong, and a day later: then all is done that can be."""
        self.world.heal()
        await asyncio.sleep(HEALED_S)
        moved = self.night.sittings[-1].moved and not self.night.is_moved_back
        for _ in range(LAST_RUNS_MAX):
            result, _ = await self.sit(self.first, Sitting("run", moved=moved), EXPECTED, healed=True)
            if result is not None and result.exit_code in (0, 3):
                break
            await asyncio.sleep(60.0)
        else:
            self.told.wrong.append("the runs of the morning do not come to an end")
        # A ledger that was lost cannot tell which tokens are spent: each `retry` comes on by one.
        again = [(0.0, "retry")] * (1 + bool(self.first.forgotten_at))
        for pause_s, command in [(0.0, "retry"), (DAY_S, "run"), *again]:
            await asyncio.sleep(pause_s)
            await self.sit(self.first, Sitting(command, moved=moved), EXPECTED, healed=True)
        self.told.wrong += judge.lost(self.night, self.world.providers, self.world.site(moved=moved))

    async def sit(
        self, machine: Operator, sitting: Sitting, expected: Iterable[str], *, healed: bool = False
    ) -> tuple[RunResult | None, Heard]:
        """One start of a command, and what the judge says of it."""
        process = Process(sitting.kill, sitting.stalls)
        session, heard = self._session(machine, process, sitting, healed=healed)
        asked_at = asyncio.get_running_loop().time()
        if sitting.stop_s is not None:
            asyncio.get_running_loop().call_later(sitting.stop_s, session.stop.request, "BATCHER.Interrupted")
        result, said = None, ""
        try:
            result = await live(process, self._command(sitting, session, await self._runs(machine)))
            said = f"exit {result.exit_code}: {judge.names({k: v for k, v in result.publication.counts.items() if v})}"
        except KilledError:
            said = f"killed {sitting.kill}"
        except (BatcherError, InterruptedPlanError) as error:
            said = f"{type(error).__name__}: {error}"
            if type(error).__name__ not in [*expected, *(MISPLACED if self.night.is_moved else ())]:
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
            await self._judge(machine, heard, process.began, self.world.site(moved=sitting.moved), result)
            if result is not None and sitting.stop_s is not None:
                await self._judge_stop(machine, process, result, asked_at + sitting.stop_s)
        return result, heard

    def _command(self, sitting: Sitting, session: Session, runs: list[RunRecord]) -> Coroutine[Any, Any, RunResult]:
        if sitting.command == "undo" and runs:
            return undo_run(runs[int(sitting.which * len(runs))].run_id, session)
        if sitting.command == "resume":
            return resume_run(None, session)
        if sitting.command == "retry":
            return retry_run(None, session)
        return run_inventory(str(self.world.inventory), session)

    async def _runs(self, machine: Operator) -> list[RunRecord]:
        """The runs that could be taken back, the newest first."""
        return [run for run, _ in await read(machine) if run.operation != UNDO and run.state is not RunState.PLANNING]

    def _session(self, machine: Operator, process: Process, sitting: Sitting, *, healed: bool) -> tuple[Session, Heard]:
        self._starts += 1
        run = {**self.night.run, "rate": self.night.rate_of(machine.number)}
        if healed:
            run.update(max_failures=None, attempts_max=8, retry_time_s=900.0, verify=True, verify_time_s=300.0)
        cloud: dict[str, Any] = {"endpoint": HOSTS[0], "answer_timeout_s": self.night.answer_timeout_s}
        if len(self.world.providers) > 1:
            site = self.world.site(moved=sitting.moved)
            cloud["regions"] = {region: {"er": HOSTS[number]} for region, number in site.items()}
        settings = Settings.model_validate(
            {
                "cloud": cloud,
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
            connect=Connect(self.world.providers, machine.number, machine.clock, machine.covers),
        )
        return session, heard

    # --- what must be true ---------------------------------------------------------------------------

    async def _judge(
        self,
        machine: Operator,
        heard: Heard | None,
        began: float,
        site: Mapping[str, int],
        result: RunResult | None = None,
    ) -> None:
        """Hold what there is now against the providers; runs not seen before began with the process, at `began`.

        `site` is what its settings said of where each region is.
        """
        now, memory = asyncio.get_running_loop().time(), machine.memory
        stand = await read(machine)
        wrong = self.told.wrong
        undone = {run.parent for run, _ in stand if run.operation == UNDO}
        told = [] if heard is None else [event for _, event in heard.told]
        worked = {event.run_id for event in told if isinstance(event, RunStarted)}
        for run, rows in reversed(stand):  # parents first
            memory.began.setdefault(run.run_id, began)
            memory.parents[run.run_id] = run.parent
            memory.sites.setdefault(run.run_id, memory.sites.get(run.parent or "", site))
            is_newest = run is stand[0][0]
            fresh, other = judge.changed(memory, run, rows)
            wrong += other
            if run.state is RunState.PLANNING or run.run_id in undone:
                continue
            if run.run_id in worked:
                due = rows if is_newest and machine.is_whole else fresh
            else:  # what another run has changed since is no untruth of this one
                due = rows if is_newest and machine.is_whole and not worked else []
            case = judge.Case(
                night=self.night,
                providers=self.world.providers,
                run=run,
                rows=due,
                memory=memory,
                machine=machine.number,
                covers=machine.covers,
                now=now,
            )
            wrong += case.faults()
            if run.run_id in worked:
                wrong += judge.unheard(told, rows, run)
            if run.parent is None and len(rows) != len(self.night.rows):
                wrong.append(f"run {run.run_id}: {len(rows)} rows of {len(self.night.rows)}")
        if result is not None:
            run, rows = next((run, rows) for run, rows in stand if run.run_id == result.run.run_id)
            wrong += judge.misreported(machine.reports, run, rows, result.exit_code)

    async def _judge_stop(self, machine: Operator, process: Process, result: RunResult, stopped_at: float) -> None:
        """Hold what a soft stop left against what the providers showed by then."""
        rows = next((rows for run, rows in await read(machine) if run.run_id == result.run.run_id), [])
        for provider in self.world.providers:
            self.told.wrong += stops.unseen(self.night, provider, process, result.run, rows, stopped_at)

    def _judge_all(self) -> None:
        """What is asked once, of the whole night."""
        operators = (self.first, *self.others)
        undone_by: dict[Process, owners.Claimant] = {}
        forgotten_at = {operator.number: operator.forgotten_at for operator in operators}
        wrong = self.told.wrong
        for provider in self.world.providers:
            wrong += provider.seen.again
            wrong += [] if any(sitting.robbed for sitting in self.night.sittings) else provider.seen.too_soon
            wrong += provider.seen.strange
            wrong += provider.seen.misdated
            wrong += judge.overrun(self.night, provider, forgotten_at)
            wrong += judge.unlearnt(self.night, provider)
        for operator in operators:
            wrong += judge.astray(self.world.providers, operator.memory)
            undone_by.update(judge.undone_by(operator.memory, operator.covers))
        things = [judge.things_of(provider) for provider in self.world.providers]
        wrong += owners.stolen(self.world.providers, things, undone_by, self.night)


async def read(machine: Operator) -> list[tuple[RunRecord, list[RowRecord]]]:
    """Every run with its rows, the newest first."""
    if not machine.ledger.exists():
        return []
    try:
        async with open_ledger(str(machine.ledger), read_only=True) as ledger:
            return [(run, await ledger.records(run.run_id, -1, 10_000)) for run in await ledger.runs()]
    except BatcherError:
        return []  # it died before the ledger had a schema
