"""What is on the disk before something is sent or shown: judged by the system calls, where they can be traced.

Where `strace` is missing or not allowed, the order of commits, sends and renames is still held, and how the ledger's
own connection syncs.
"""

import asyncio
import re
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from batcher.report.folder import OWNER_FILE
from tests.crash.disk import Disk, calls, traced, tracer
from tests.crash.scenes import ROOT, Scene, Sort, lines_of, scene
from tests.crash.traces import runs_of
from tests.e2e.commands import EMULATOR_KEYS, environment

pytestmark = pytest.mark.timeout(180)
needs_strace = pytest.mark.skipif(tracer() is None, reason="`strace` is not there, or may not trace here")

SORTS = (Sort.THERE, Sort.DRIFTED, Sort.INVALID, Sort.DOOMED, Sort.SWITCHED_OFF, *[Sort.PLAIN] * 40)
BUSY = {"operation": "create", "fault": "status", "status": 400, "code": "ER.04008502", "times": 3}
TOKEN = re.compile(rb"X-Client-Token: ([0-9a-f-]{36})", re.IGNORECASE)
FILES = ("report.csv", "failed.csv", "pending.csv", "report.jsonl", "summary.json")


@asynccontextmanager
async def watched(folder: Path, words: tuple[str, ...]) -> AsyncIterator[Scene]:
    """A whole run, with refusals that need other tokens, by a program before which these words stand."""
    async with scene(folder, lines_of(SORTS)) as stage:
        await stage.refuse(BUSY)
        quiet = {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
        process = await asyncio.create_subprocess_exec(
            *(*words, *stage.run("--concurrency", "4")),
            cwd=folder,
            env=environment(folder, {**EMULATOR_KEYS, **quiet}),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        _, err = await process.communicate()
        assert process.returncode == 3, err.decode()
        yield stage


@needs_strace
async def test_a_power_cut_leaves_every_intent_whose_send_has_begun(tmp_path: Path) -> None:
    """At the first byte of each create its row is claimed, under that very token, in what was synced by then."""
    words = (*traced(tmp_path / "calls"), sys.executable, "-m", "batcher")
    async with watched(tmp_path, words) as stage:
        disk, sent = Disk(tmp_path), 0
        for call in calls(tmp_path / "calls"):
            if call.name == "sendto" and (token := TOKEN.search(call.texts[0])):
                sent += 1
                assert disk.is_found(stage.ledger), "the ledger, or a folder above it, may be gone"
                image = disk.after_a_power_cut(stage.ledger, tmp_path / "image")
                assert states_of(image, token[1].decode()) == ["claimed"]
            disk.apply(call)
        assert sent == 44 + 3 == await stage.sky.creates()
        image = disk.after_a_power_cut(stage.ledger, tmp_path / "image")
        assert [run.state for run in runs_of(image)] == ["finished"]


@needs_strace
async def test_a_power_cut_leaves_whole_reports_that_say_what_the_ledger_says(tmp_path: Path) -> None:
    """Before the first file gets its name all are synced, and so is what they tell; after the last their names are."""
    words = (*traced(tmp_path / "calls"), sys.executable, "-m", "batcher")
    async with watched(tmp_path, words) as stage:
        disk, renamed = Disk(tmp_path), list[str]()
        run = runs_of(stage.ledger)[0].id
        report = tmp_path / "reports" / run
        for call in calls(tmp_path / "calls"):
            if call.name == "rename" and call.texts[1].startswith(b"reports/"):
                old = tmp_path / call.texts[0].decode()
                renamed.append(Path(call.texts[1].decode()).name)
                assert disk.is_whole(old)
                if renamed[-1] == "report.csv":
                    image = disk.after_a_power_cut(stage.ledger, tmp_path / "image")
                    assert [found.state for found in runs_of(image)] == ["finished"]
                if renamed.count("latest") == 2:
                    assert all(disk.is_found(report / name) for name in FILES)
            disk.apply(call)
        assert renamed == [OWNER_FILE, "summary.json", "latest", *FILES, "latest"]
        assert disk.is_found(tmp_path / "reports" / "latest")
        assert {name: bytes(disk.safe[str(report / name)]) for name in FILES} == {
            name: (report / name).read_bytes() for name in FILES
        }


def states_of(ledger: Path, token: str) -> list[str]:
    """The states of the rows that have a token."""
    with closing(sqlite3.connect(ledger)) as database:
        return [state for (state,) in database.execute("SELECT state FROM row WHERE token = ?", (token,))]


async def test_intents_are_committed_with_a_sync_before_they_are_sent(tmp_path: Path) -> None:
    words = (sys.executable, "-m", "tests.crash.recording", str(tmp_path / "points"), "--")
    async with watched(tmp_path, words):
        lines = (tmp_path / "points").read_text(encoding="utf-8").splitlines()
    commits = [line for line in lines if line.startswith("commit")]
    assert set(commits[: commits.index("commit wal 2")]) <= {"commit delete 2"}  # the schema; 2: FULL
    assert set(commits[commits.index("commit wal 2") :]) == {"commit wal 2"}
    assert lines.count("send.before") == 44 + 3
    assert lines.index("claim.after") < lines.index("send.before")
    assert lines.count("regenerate_rows.after") == 3
    last_draft = len(lines) - 1 - lines[::-1].index("draft.before")  # the first says that the run works
    assert lines.index("end_sitting.after") < last_draft
    published = [line for line in lines[last_draft:] if line.endswith(".after")]
    assert [line for line in published if not line.startswith("draft")] == [
        *["sync.after"] * 5,
        *["rename.after"] * 5,
        *("sync.after", "sync.after"),
        *("rename.after", "sync.after"),
    ]
