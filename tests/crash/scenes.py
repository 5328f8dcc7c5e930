"""A scene: an inventory of many kinds of rows, the cloud that it is for in a process of its own, and `batcher` killed.

What was there before is two hours old. The cloud keeps its state in a file, which tells afterwards what it has seen.
"""

import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from tests.e2e.clouds import Cloud, cloud
from tests.e2e.commands import EMULATOR_KEYS, emulator, environment, write_settings
from tests.e2e.inventories import row, write_rows

ROOT = Path(__file__).parents[2]
SETTINGS = (
    "[cloud]\nconnect_timeout_s = 5\nanswer_timeout_s = 5\n"
    "[run]\nbackoff_base_s = 0.02\nbackoff_cap_s = 0.2\nverify_time_s = 1.2\nlisting_lag_s = 0.2\n"
)
"""Quick with its repetitions, and soon done with waiting for what stays pending."""
BEFORE_S = 7200.0
KEY_COLUMNS = ("project_id", "er_id", "resource_id", "log_group_id", "log_stream_id")


class Sort(StrEnum):
    """What an inventory's row will meet."""

    PLAIN = "plain"
    SWITCHED_OFF = "switched off"
    THERE = "there"
    DRIFTED = "drifted"
    REFUSED = "refused"
    DOOMED = "doomed"
    INVALID = "invalid"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"


OUTCOMES: Mapping[Sort, str] = {
    Sort.PLAIN: "created",
    Sort.SWITCHED_OFF: "created",
    Sort.THERE: "exists",
    Sort.DRIFTED: "drifted",
    Sort.REFUSED: "failed",
    Sort.DOOMED: "failed",
    Sort.INVALID: "invalid",
    Sort.DUPLICATE: "duplicate",
    Sort.CONFLICT: "invalid",
}
"""What becomes of it, whatever happens on the way."""
NEVER_SENT = frozenset({Sort.INVALID, Sort.DUPLICATE, Sort.CONFLICT})


@dataclass(frozen=True)
class Line:
    """A row of an inventory."""

    sort: Sort
    cells: Mapping[str, str]

    @property
    def key(self) -> str:
        """Its natural key in the cloud's words."""
        return "/".join(self.cells[name] for name in KEY_COLUMNS)


def lines_of(sorts: Iterable[Sort], *, routers: int = 4, projects: int = 2) -> list[Line]:
    """An inventory; each row has an owner of its own, and a twin is that of the row before it."""
    lines: list[Line] = []
    for number, sort in enumerate(sorts):
        cells = row(number, routers=routers, projects=projects) | {"enabled": "true"}
        if sort in (Sort.DUPLICATE, Sort.CONFLICT):
            cells = dict(next(line.cells for line in reversed(lines) if line.sort not in NEVER_SENT))
            cells["name"] += " otherwise" if sort is Sort.CONFLICT else ""
        elif sort is Sort.INVALID:
            cells["resource_id"] = f"vpc-{number}"
        elif sort is Sort.SWITCHED_OFF:
            cells["enabled"] = "false"
        lines.append(Line(sort, cells | {"owner": f"line {number}"}))
    return lines


@dataclass(frozen=True)
class Scene:
    """An inventory, its cloud, and the folder in which the commands work."""

    folder: Path
    lines: Sequence[Line]
    sky: Cloud
    state: Path

    @property
    def inventory(self) -> str:
        """Its file."""
        return str(self.folder / "routers.csv")

    @property
    def ledger(self) -> Path:
        """The file of its ledger."""
        return self.folder / "reports" / "ledger.db"

    async def start(self, *words: str, point: str = "") -> asyncio.subprocess.Process:
        """Start a command, which ends at a point if one is given (`dying`)."""
        program = ("tests.crash.dying", point, "--") if point else ("batcher",)
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", *program, *words),
            cwd=self.folder,
            env=environment(self.folder, {**EMULATOR_KEYS, "PYTHONPATH": str(ROOT)}),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def ends(self, *words: str, point: str = "", within_s: float | None = None) -> tuple[int, str]:
        """Run a command to its end, or kill it when its time is over: its exit code, and what it said on stderr."""
        process = await self.start(*words, point=point)
        try:
            _, err = await asyncio.wait_for(process.communicate(), within_s)
        except TimeoutError:
            process.kill()
            _, err = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert process.returncode is not None
        return process.returncode, err.decode()

    async def dies(self, point: str, *words: str) -> None:
        """Run a command that has to die at a point; one that never comes there is a failure."""
        code, err = await self.ends(*words, point=point)
        assert code == -signal.SIGKILL, f"{point} was not reached by {words[0]}, which ended with {code}: {err}"

    def words(self, *words: str) -> tuple[str, ...]:
        """A command line against its cloud."""
        return self.sky.words(*words)

    def run(self, *words: str) -> tuple[str, ...]:
        """The command that cron would give."""
        return self.words("run", self.inventory, *words)

    async def refuse(self, *more: Mapping[str, object]) -> None:
        """Have the cloud refuse for good what is to be refused; `more` are rules that come before."""
        no = {"operation": "create", "fault": "status", "status": 400, "code": "ER.04009005", "times": None}
        refused = [
            {**no, "match": {"resource_id": line.cells["resource_id"]}}
            for line in self.lines
            if line.sort is Sort.REFUSED
        ]
        await self.sky.script(*more, *refused)

    async def decide(self, line: Line, state: str) -> None:
        """Decide what becomes of a row's flow log (`failed`, `pending`, `available`)."""
        place = {name: line.cells[name] for name in ("project_id", "er_id", "resource_id")}
        await self.sky.control("POST", "fates", [{**place, "state": state}])


@asynccontextmanager
async def scene(folder: Path, lines: Sequence[Line], *words: str) -> AsyncIterator[Scene]:
    """A scene with a running cloud; `words` are for `batcher emulator`."""
    state = folder / "cloud.db"
    write_settings(folder, SETTINGS)
    write_rows(folder / "routers.csv", [line.cells for line in lines])
    async with cloud(state_path=state, now=lambda: time.time() - BEFORE_S) as sky:
        await sky.seed(*(line.cells for line in lines if line.sort is Sort.THERE))
        await sky.seed(*(line.cells for line in lines if line.sort is Sort.DRIFTED), name="theirs")
    async with emulator(folder, "--state", str(state), *words) as running:
        made = Scene(folder, lines, Cloud(running.url), state)
        for line in lines:
            if line.sort is Sort.DOOMED:
                await made.decide(line, "failed")
        await made.refuse()
        yield made
