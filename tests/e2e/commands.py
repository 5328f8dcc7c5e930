"""batcher as its users have it: a process with files, an exit code and two streams."""

import asyncio
import csv
import json
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import aiohttp

T = TypeVar("T")

EMULATOR_KEYS = {"HUAWEICLOUD_SDK_AK": "EMULATORAK", "HUAWEICLOUD_SDK_SK": "EMULATORSK"}


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    code: int
    out: str
    err: str


def environment(home: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """A clean environment: no settings or keys of whoever runs the tests."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "LC_ALL", "TMPDIR")}
    nowhere = {"BATCHER_CREDENTIALS_METADATA": "false"}  # tests stay on loopback
    return {**kept, "HOME": str(home), "PYTHONWARNINGS": "error", **nowhere, **(extra or {})}


async def start(
    folder: Path, *words: str, extra: Mapping[str, str] | None = None, stdin: bool = False
) -> asyncio.subprocess.Process:
    """Start `batcher` with these words in a folder that is also its home; `stdin` leaves that open to the caller."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "batcher",
        *words,
        cwd=folder,
        env=environment(folder, extra),
        stdin=asyncio.subprocess.PIPE if stdin else asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def batcher(
    folder: Path, *words: str, extra: Mapping[str, str] | None = None, stdin: bytes | None = None
) -> Ended:
    """Run a command to its end; `stdin` is what it can read there."""
    process = await start(folder, *words, extra=extra, stdin=stdin is not None)
    out, err = await process.communicate(stdin)
    return Ended(process.returncode or 0, out.decode(), err.decode())


def but_unchecked(err: str) -> str:
    """What was said, but that an emulator whose world is open cannot tell what is missing there."""
    return re.sub(r"batcher: warning: the emulator takes any .*\nhint: start it with .*\n", "", err)


async def shell(folder: Path, line: str) -> asyncio.subprocess.Process:
    """Start a line of bash, with the emulator's keys, in a folder that is also its home."""
    return await asyncio.create_subprocess_exec(
        *("bash", "-c", line),
        cwd=folder,
        env=environment(folder, EMULATOR_KEYS),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def ended_by(process: asyncio.subprocess.Process) -> Ended:
    """Wait for the end of what was started."""
    out, err = await process.communicate()
    return Ended(process.returncode or 0, out.decode(), err.decode())


async def side_by_side(commands: Iterable[Awaitable[T]]) -> list[T]:
    """The results of commands, two of them at work at any time."""
    limit = asyncio.Semaphore(2)

    async def one(command: Awaitable[T]) -> T:
        async with limit:
            return await command

    return await asyncio.gather(*(one(command) for command in commands))


class Working:
    """A command at work; made by `working`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self._said: list[str] = []

    async def until(self, text: str, times: int = 1) -> str:
        """Wait until `times` lines with this text have stood on stderr since the last wait; the last of them."""
        assert self.process.stderr is not None
        while times:
            line = (await self.process.stderr.readline()).decode()
            if not line:
                raise AssertionError(f"it ended before it said {text!r}: {''.join(self._said)}")
            self._said.append(line)
            times -= text in line
        return self._said[-1]

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    async def end(self) -> Ended:
        """Wait for its end; all that it said."""
        out, err = await self.process.communicate()
        return Ended(self.process.returncode or 0, out.decode(), "".join(self._said) + err.decode())


@asynccontextmanager
async def working(folder: Path, *words: str, extra: Mapping[str, str] | None = None) -> AsyncIterator[Working]:
    """Start a command; killed with the block if it has not ended by then."""
    process = await start(folder, *words, extra=extra)
    try:
        yield Working(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


@dataclass(frozen=True)
class RunningEmulator:
    """`batcher emulator` in a process of its own."""

    url: str

    async def statistics(self) -> dict[str, Any]:
        """What it has seen."""
        return dict(await self.control("GET", "statistics"))

    async def control(self, method: str, path: str, body: object = None) -> Any:
        """A call of its control path."""
        url = f"{self.url}/_emulator/{path}"
        async with aiohttp.ClientSession() as session, session.request(method, url, json=body) as response:
            assert response.status < 300, await response.text()
            return await response.json(content_type=None) if response.content_length != 0 else None


@asynccontextmanager
async def emulator(folder: Path, *words: str) -> AsyncIterator[RunningEmulator]:
    """A running emulator; ended with the block."""
    process = await start(folder, "emulator", "--port", "0", *words)
    assert process.stdout is not None
    try:
        line = (await process.stdout.readline()).decode()
        if not line.startswith("endpoint: "):
            raise AssertionError((await process.communicate())[1].decode())
        yield RunningEmulator(line.removeprefix("endpoint: ").strip())
    finally:
        process.terminate()
        await process.communicate()


def report_rows(folder: Path, name: str = "report.csv") -> list[dict[str, str]]:
    """The newest report's rows, as text."""
    with (folder / "reports" / "latest" / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def summary(folder: Path) -> dict[str, Any]:
    """The newest report's summary."""
    return dict(json.loads((folder / "reports" / "latest" / "summary.json").read_text(encoding="utf-8")))


def column(folder: Path, name: str) -> list[str]:
    """One column of the newest report, in order."""
    return [line[name] for line in report_rows(folder)]


def calls_made(folder: Path) -> dict[str, int]:
    """The calls of the newest run by kind."""
    return {kind: sum(results.values()) for kind, results in summary(folder)["calls"]["by_kind"].items()}


def all_files(folder: Path) -> set[str]:
    """Every file in a folder, at any depth, but those that SQLite leaves beside a ledger that was read."""
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    return {name for name in found if not name.endswith(("-wal", "-shm"))}


def says(text: str, *lines: str) -> None:
    """Each of these stands in a line of its own."""
    for line in lines:
        assert any(line in shown for shown in text.splitlines()), f"{line!r} is not in\n{text}"


@contextmanager
def dead_address() -> Iterator[str]:
    """An address at which nobody listens, for as long as the block lasts."""
    with closing(socket.socket()) as held:
        held.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{held.getsockname()[1]}"


def write_settings(folder: Path, text: str) -> Path:
    """A `batcher.toml` there."""
    path = folder / "batcher.toml"
    path.write_text(text, encoding="utf-8")
    return path
