"""What the tests of `undo` share: a run to take back, who else is at the cloud, and a command on a terminal."""

import asyncio
import os
import pty
import sqlite3
import sys
import termios
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

import aiohttp

from tests.e2e.clouds import TICKET, Cloud
from tests.e2e.commands import EMULATOR_KEYS, Ended, environment, summary, write_settings
from tests.e2e.inventories import write_rows

Row = Mapping[str, str]

QUICK = (
    "[cloud]\nconnect_timeout_s = 1\nanswer_timeout_s = 1\n"
    "[run]\nattempts_max = 2\nbackoff_base_s = 0.01\nbackoff_cap_s = 0.02\n"
)
"""Doubt does not last long: a sitting waits a second or two for an answer, and tries everything twice."""

TERMINAL = (40, 140)
"""Lines and columns."""


async def made(sky: Cloud, folder: Path, wishes: Sequence[Row], *words: str, settings: str = QUICK) -> str:
    """The id of a run of these wishes, which is over."""
    write_settings(folder, settings)
    ended = await sky.run(folder, "run", str(write_rows(folder / "routers.csv", wishes)), *words)
    assert ended.code in (0, 3, 5), ended.err
    return run_id(folder)


def run_id(folder: Path) -> str:
    """The newest run that has a report."""
    return str(summary(folder)["run_id"])


async def undo(sky: Cloud, folder: Path, run: str, *words: str) -> Ended:
    """Take a run back; whatever comes of it is no fault of batcher's own."""
    ended = await sky.run(folder, "undo", run, "--yes", *words)
    assert "Traceback" not in ended.err, ended.err
    assert ended.code != 1, ended.err
    return ended


async def ids(sky: Cloud, wishes: Sequence[Row]) -> list[str]:
    """What is there now on the routers of these wishes, in the order of the wishes; empty for what is not."""
    found: dict[str, str] = {}
    for wish in {wish["er_id"]: wish for wish in wishes}.values():
        found.update((log["resource_id"], log["id"]) for log in await sky.flow_logs(wish))
    return [found.get(wish["resource_id"], "") for wish in wishes]


async def deletes(sky: Cloud) -> int:
    """How many deletes it has seen."""
    return int((await sky.statistics())["calls"].get("delete", 0))


async def rename(sky: Cloud, wish: Row, flow_log_id: str, name: str) -> None:
    """Somebody gives it another name."""
    url = f"{sky.url}/v3/{wish['project_id']}/enterprise-router/{wish['er_id']}/flow-logs/{flow_log_id}"
    own = {"X-Auth-Token": TICKET}
    async with aiohttp.ClientSession() as session, session.put(url, json={"name": name}, headers=own) as response:
        assert response.status == 200, await response.text()


async def remake(sky: Cloud, wish: Row, flow_log_id: str) -> str:
    """Somebody deletes it and makes it again; its new id."""
    await sky.control("DELETE", f"flow-logs/{flow_log_id}")
    (new,) = await sky.seed(wish)
    return new


def rewrite(folder: Path, sql: str) -> None:
    """Change the ledger behind its back."""
    with closing(sqlite3.connect(folder / "reports" / "ledger.db")) as ledger, ledger:
        ledger.execute(sql)


async def on_terminal(folder: Path, *words: str, keys: bytes = b"") -> tuple[int, str]:
    """Run a command on a terminal and press these keys when it asks; its exit code, and all that it showed."""
    ours, its = pty.openpty()
    termios.tcsetwinsize(ours, TERMINAL)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "batcher", *words),
        cwd=folder,
        env=environment(folder, EMULATOR_KEYS),
        stdin=its,
        stdout=its,
        stderr=its,
    )
    os.close(its)
    shown = b""
    try:
        while piece := await asyncio.to_thread(_read, ours):
            shown += piece
            if b"[y/N]" in shown and keys:
                os.write(ours, keys)
                keys = b""
        return await process.wait(), shown.decode()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        os.close(ours)


def _read(terminal: int) -> bytes:
    """What comes next, or nothing once nobody is at the other end: Linux then refuses to read."""
    try:
        return os.read(terminal, 4096)
    except OSError:
        return b""
