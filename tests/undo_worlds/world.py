"""One undo world, drawn from its seed: a cloud that lags and forgets, one or two ledgers, strangers, kills, undos."""

import asyncio
import csv
import random
import shutil
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from batcher import app
from batcher.emulator.settings import EmulatorSettings
from batcher.engine.stop import Stop
from batcher.errors import RunNotFoundError
from batcher.model import UNDO, RunState
from batcher.reading import list_runs
from batcher.records import RunRecord
from batcher.settings import Settings
from batcher.sitting import RunResult
from batcher.wiring import Session
from tests.e2e.clouds import TICKET
from tests.e2e.commands import start, write_settings
from tests.e2e.inventories import row, write_rows
from tests.undo_worlds.judge import ANSWER_S, Verdict, judge_deletes, judge_run, judge_undo
from tests.undo_worlds.witness import Witness, watched

LEDGERS = ("A", "B")
COMMANDS_MAX = 12
"""Keys of each ledger: each command has its own, so that the cloud knows for which run it asks."""
PARTS = ("name", "resource_id", "log_group_id", "log_stream_id")
COMMAND_S_MAX = 90.0
"""A command that is not over by then hangs."""


@dataclass
class Ledger:
    """A folder of reports, and the commands that work on it."""

    name: str
    folder: Path
    values: dict[str, dict[str, Any]]
    keys: int = 0

    def next_key(self) -> str:
        """The access key of the next command."""
        self.keys += 1
        return f"{self.name}{self.keys}"

    def session(self, key: str, stop: Stop | None = None, **run: object) -> Session:
        """A session with this key, and these settings of the section `run`."""
        values = {**self.values, "report": {"directory": str(self.folder / "reports")}}
        settings = Settings.model_validate({**values, "run": {**values["run"], **run}})
        return Session(settings=settings, environment=_environment(key), home=self.folder, stop=stop or Stop())

    async def runs(self) -> list[RunRecord]:
        """Its runs, newest first, but those that were never planned to their end."""
        if not (self.folder / "reports" / "ledger.db").exists():
            return []
        return [run for run in await list_runs(self.session("")) if run.state is not RunState.PLANNING]


@dataclass
class World:
    """A world; `verdict` and `told` fill while it lives."""

    seed: int
    folder: Path
    scale: float = 1.0
    """How long what lasts lasts: below 1 for a world that is over soon."""
    chance: random.Random = field(init=False)
    verdict: Verdict = field(default_factory=Verdict)
    told: list[str] = field(default_factory=list)
    rows: int = 0
    sittings: int = 0
    kills: int = 0

    def __post_init__(self) -> None:
        chance = self.chance = random.Random(self.seed)
        self.rows = chance.randint(4, 12)
        routers = chance.randint(1, 2)
        projects = chance.randint(1, routers)
        self._wishes = [row(n, routers=routers, projects=projects, salt=f"{self.seed}/") for n in range(self.rows)]
        self._runs: dict[str, str] = {}
        self._undone: dict[str, str] = {}

    def _some(self, most_s: float) -> float:
        """A time up to `most_s`, at the world's scale."""
        return self.chance.uniform(0, most_s) * self.scale

    async def live(self) -> None:
        """From its beginning to its end."""
        chance = self.chance
        lag_s, delete_lag_s = chance.choice((0.0, self._some(6))), chance.choice((0.0, self._some(4)))
        keys = {f"{name}{n}": "secret" for name in LEDGERS for n in range(1, COMMANDS_MAX + 1)}
        skew_s = chance.choice((0.0, chance.uniform(-840, 840), chance.uniform(-3600, 3600)))
        settings = EmulatorSettings(
            keys=keys,
            auth_tokens=frozenset({TICKET}),
            listing_lag_s=lag_s,
            delete_lag_s=delete_lag_s,
            tombstones=chance.random() < 0.3,
            pending_s=chance.choice((0.0, self._some(2))),
            deleting_s=chance.choice((0.0, self._some(2))),
            unique=chance.random() < 0.6,
            remember_tokens=chance.random() < 0.8,
            latency_s=chance.choice((0.0, 0.02, 0.1)),
            clock_skew_s=skew_s,
            seed=self.seed,
        )
        self.told.append(
            f"lag {lag_s:.1f}/{delete_lag_s:.1f} s, tombstones {settings.tombstones}, unique {settings.unique},"
            f" tokens {settings.remember_tokens}, pending {settings.pending_s:.1f}, deleting {settings.deleting_s:.1f},"
            f" clock {skew_s:+.0f} s"
        )
        async with watched(settings) as witness:
            await self._before(witness)
            ledgers = self._ledgers(witness, max(lag_s, delete_lag_s) + chance.uniform(0.3, 1.5))
            async with asyncio.TaskGroup() as tasks:
                others = [tasks.create_task(each) for each in self._others(witness)]
                await self._stories(witness, ledgers)
                for other in others:
                    other.cancel()
            self.verdict += judge_deletes(witness, self._runs, self._undone)

    def _ledgers(self, witness: Witness, trusted_lag_s: float) -> list[Ledger]:
        """One or two ledgers with one inventory, at rates of their own."""
        chance, ledgers = self.chance, []
        for name in LEDGERS[: 1 + (chance.random() < 0.65)]:
            values: dict[str, dict[str, Any]] = {
                "cloud": {"endpoint": witness.url, "connect_timeout_s": 2.0, "answer_timeout_s": ANSWER_S},
                "run": {
                    "rate": chance.choice(("90/min", "2/s", "4/s", "100/s")[2 * (self.scale < 1) :]),
                    "listing_lag_s": round(trusted_lag_s, 2),
                    "verify_time_s": 15.0,
                    "retry_time_s": 6.0,
                    "attempts_max": 3,
                    "backoff_base_s": 0.05,
                    "backoff_cap_s": 0.2,
                    "reconcile": chance.choice(("auto", "always", "never")),
                },
            }
            folder = self.folder / name
            folder.mkdir()
            write_rows(folder / "routers.csv", self._wishes)
            write_settings(folder, _toml(values))
            ledgers.append(Ledger(name, folder, values))
        return ledgers

    async def _before(self, witness: Witness) -> None:
        """What stood there before, and calls that will go wrong."""
        chance = self.chance
        for wish in self._wishes:
            if chance.random() < 0.12:
                await self._make(witness, wish)
        await witness.control("POST", "clock", {"advance_s": chance.choice((3, 20, 4000))})
        kinds = chance.choices(("lost_after", "lost_after", "error_after", "truncated_after", "lost_before"), k=3)
        await witness.control(
            "PUT",
            "faults/script",
            [
                {"operation": chance.choice(("create", "create", "delete")), "fault": kind}
                | {"skip": chance.randint(0, 2 * self.rows), "times": chance.randint(1, 2)}
                for kind in kinds[: chance.randint(0, 3)]
            ],
        )

    def _others(self, witness: Witness) -> list[Coroutine[Any, Any, None]]:
        """What happens meanwhile: strangers make and delete flow logs, and the service forgets its tokens."""
        chance = self.chance
        acts = [
            self._later(self._some(20), lambda wish=wish: self._make(witness, wish))  # type: ignore[misc]
            for wish in self._wishes
            if chance.random() < 0.2
        ]
        if chance.random() < 0.4:
            acts += [self._later(self._some(15), lambda: self._delete(witness)) for _ in range(2)]
        if chance.random() < 0.5:
            acts.append(self._later(self._some(12), lambda: witness.control("DELETE", "tokens")))
        return acts

    async def _later(self, after_s: float, act: Callable[[], Awaitable[object]]) -> None:
        await asyncio.sleep(after_s)
        await act()

    async def _make(self, witness: Witness, wish: dict[str, str]) -> None:
        """Somebody else makes what a row wishes, perhaps under another name."""
        flow_log = {name: wish[name] for name in PARTS}
        if self.chance.random() < 0.3:
            flow_log["name"] = "theirs"
        if self.chance.random() < 0.5:
            await witness.create((wish["project_id"], wish["er_id"]), flow_log)
        else:
            place = {"project_id": wish["project_id"], "er_id": wish["er_id"]}
            await witness.control("POST", "flow-logs", [place | flow_log])

    async def _delete(self, witness: Witness) -> None:
        """Somebody else deletes something."""
        if standing := sorted(witness.standing()):
            await witness.control("DELETE", f"flow-logs/{self.chance.choice(standing)}")

    async def _stories(self, witness: Witness, ledgers: list[Ledger]) -> None:
        """What each ledger does: one after the other, or side by side; undone at once, or when all have run."""
        chance = self.chance
        chances = {ledger.name: random.Random(f"{self.seed}/{ledger.name}") for ledger in ledgers}
        undone = [ledger for ledger in ledgers if len(ledgers) == 1 or chance.random() < 0.8]
        if chance.random() < 0.6:
            async with asyncio.TaskGroup() as tasks:
                for ledger in ledgers:
                    tasks.create_task(self._story(witness, ledger, chances[ledger.name], undo=ledger in undone))
        elif chance.random() < 0.5:
            for ledger in ledgers:
                await self._story(witness, ledger, chances[ledger.name], undo=ledger in undone)
        else:
            for ledger in ledgers:
                await self._run(witness, ledger, chances[ledger.name])
            for ledger in undone:
                await self._undo(witness, ledger, chances[ledger.name])

    async def _story(self, witness: Witness, ledger: Ledger, chance: random.Random, *, undo: bool) -> None:
        await asyncio.sleep(
            self.scale * (chance.choice((0.0, chance.uniform(0, 4))) if ledger.name == "A" else chance.uniform(0, 6))
        )
        await self._run(witness, ledger, chance)
        await asyncio.sleep(self.scale * chance.choice((0.0, 0.0, chance.uniform(0, 3))))
        if undo:
            await self._undo(witness, ledger, chance)

    async def _run(self, witness: Witness, ledger: Ledger, chance: random.Random) -> None:
        """Run the inventory: to its end, until SIGTERM, or until it is killed; perhaps gone on with."""
        key, after = ledger.next_key(), chance.randint(1, self.rows)
        path, way = str(ledger.folder / "routers.csv"), chance.choice(("end", "stop", "kill"))
        if way == "kill":
            await self._killed(witness, ledger, key, chance, "run", "routers.csv", after=after)
        else:
            stop = Stop()
            stopper = asyncio.create_task(self._stopped(witness, key, stop, after if way == "stop" else 10**9))
            result = await self._command(ledger, key, way, app.run_inventory(path, ledger.session(key, stop)))
            stopper.cancel()
            await self._noted(ledger, key)
            self._judged(witness, ledger, result)
        await self._noted(ledger, key)
        while way != "end" and chance.random() < 0.6 and ledger.keys < COMMANDS_MAX // 2:
            key = ledger.next_key()
            if await ledger.runs():
                self._runs[key] = (await ledger.runs())[0].run_id
            again = app.run_inventory(path, ledger.session(key))
            resumed = again if chance.random() < 0.4 else app.resume_run(None, ledger.session(key))
            if resumed is not again:
                again.close()
            try:
                result = await self._command(ledger, key, "resume", resumed)
            except RunNotFoundError:
                return
            await self._noted(ledger, key)
            self._judged(witness, ledger, result)

    async def _undo(self, witness: Witness, ledger: Ledger, chance: random.Random) -> None:
        """Take the newest run back: perhaps killed over it, and repeated."""
        runs = [run for run in await ledger.runs() if run.operation != UNDO]
        if not runs:
            return
        run, rate = chance.choice(runs).run_id, chance.choice(("4/s", "10/s", "100/s"))
        if chance.random() < 0.3:
            key = ledger.next_key()
            self._undone[key] = run
            after = chance.randint(1, self.rows)
            await self._killed(witness, ledger, key, chance, "undo", run, "--yes", "--rate", rate, after=after)
        for _ in range(chance.choice((1, 1, 1, 2))):
            key = ledger.next_key()
            self._undone[key] = run
            try:
                result = await self._command(ledger, key, "undo", app.undo_run(run, ledger.session(key, rate=rate)))
            except RunNotFoundError:  # it has made nothing, as far as it knows: there is nothing to take back
                return
            rows = _report(result)
            self.verdict += judge_undo(witness, run, rows, self._runs)

    async def _command(self, ledger: Ledger, key: str, what: str, command: Awaitable[RunResult]) -> RunResult:
        """A command in this process."""
        self.sittings += 1
        async with asyncio.timeout(COMMAND_S_MAX):
            result = await command
        rows = _report(result)
        outcomes = {each["outcome"]: 0 for each in rows}
        for each in rows:
            outcomes[each["outcome"]] += 1
        self.told.append(f"{key} {what}: {result.exit_code} {outcomes}")
        if result.exit_code == 1:
            self.verdict.broken.append(f"{key} {what} ended with 1")
        return result

    async def _killed(
        self, witness: Witness, ledger: Ledger, key: str, chance: random.Random, *words: str, after: int
    ) -> None:
        """A command in a process of its own, killed once it has asked for so much, unless it is over before."""
        self.sittings += 1
        process = await start(ledger.folder, *words, "--no-progress", extra=_environment(key))
        killer = asyncio.create_task(witness.until(lambda: witness.asks(key) >= after))
        ended = asyncio.create_task(process.communicate())
        try:
            async with asyncio.timeout(COMMAND_S_MAX):
                await asyncio.wait((killer, ended), return_when=asyncio.FIRST_COMPLETED)
            if not ended.done():
                await asyncio.wait((ended,), timeout=chance.choice((0.0, chance.uniform(0, 1))))
        finally:
            killer.cancel()
            was_over = process.returncode is not None
            if not was_over:
                process.kill()
                witness.killed.append((key, witness.api.now()))
            _, err = await ended
        self.kills += not was_over
        self.told.append(f"{key} {words[0]}: {'over' if was_over else 'killed'} after {witness.asks(key)}")
        if "Traceback" in err.decode() or (was_over and process.returncode == 1):
            self.verdict.broken.append(f"{key} {words[0]}: {err.decode()}")

    async def _stopped(self, witness: Witness, key: str, stop: Stop, after: int) -> None:
        await witness.until(lambda: witness.asks(key) >= after)
        stop.request("BATCHER.Terminated")

    async def _noted(self, ledger: Ledger, key: str) -> None:
        """Note for which run a key has asked: the newest of its ledger."""
        runs = [run for run in await ledger.runs() if run.operation != UNDO]
        if runs:
            self._runs[key] = runs[0].run_id

    def _judged(self, witness: Witness, ledger: Ledger, result: RunResult) -> None:
        self.verdict += judge_run(witness, result.run.run_id, _report(result), self._runs)


def _report(result: RunResult) -> list[dict[str, str]]:
    with (result.publication.directory / "report.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _environment(key: str) -> dict[str, str]:
    return {
        "HUAWEICLOUD_SDK_AK": key,
        "HUAWEICLOUD_SDK_SK": "secret",
        "BATCHER_CREDENTIALS_METADATA": "false",
    }


def _toml(values: dict[str, dict[str, Any]]) -> str:
    lines: list[str] = []
    for section, pairs in values.items():
        lines += [f"[{section}]", *(f"{name} = {value!r}" for name, value in pairs.items())]
    return "\n".join(lines) + "\n"


async def lived(seed: int, folder: Path, scale: float = 1.0) -> World:
    """A world from its beginning to its end; whatever it breaks with is told with its seed."""
    home = folder / f"world-{seed}"
    home.mkdir()
    world = World(seed, home, scale)
    try:
        await world.live()
    except Exception as error:  # noqa: BLE001  # the other worlds go on
        world.verdict.broken.append(_cause(error))
    shutil.rmtree(home, ignore_errors=True)
    return world


def _cause(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"
