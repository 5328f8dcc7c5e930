"""What a crash has left on the disk: the ledger, the reports, and what the cloud remembers.

Databases are looked at in copies, so that looking changes nothing of what the next process finds.
"""

import csv
import json
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batcher.errors import RunNotFoundError
from batcher.ledger.migrate import migrations
from batcher.reading import write_report
from batcher.settings import Settings
from batcher.wiring import Session

_ROWS = """
SELECT p.plan_id & 4294967295, p.line, r.state, r.outcome, r.remote_id, r.http_status, r.error_code, r.request_id,
       r.attempts, r.generation, r.token
FROM plan AS p
JOIN row AS r ON r.run_no = p.plan_id >> 32 AND r.lane_no = p.lane_no AND r.row_no = p.plan_id & 4294967295
WHERE p.plan_id >> 32 = ? ORDER BY p.plan_id
"""
_THINGS = """
SELECT id, project_id || '/' || er_id || '/' || resource_id || '/' || log_group_id || '/' || log_stream_id,
       name, enabled, final_state, ready_at, created_at, coalesce(gone_at, deleted_at) IS NOT NULL
FROM flow_logs ORDER BY n
"""


@dataclass(frozen=True)
class Thing:
    """A flow log that the cloud has or had; `is_gone`: it was deleted, or is being."""

    id: str
    key: str
    name: str
    enabled: bool
    final_state: str
    ready_at: float
    created_at: float
    is_gone: bool

    @property
    def state(self) -> str:
        """What it is now."""
        return self.final_state if self.ready_at <= time.time() else "pending"


@dataclass(frozen=True)
class Memory:
    """What a cloud remembers: every flow log, and every create as (key, token, status; 0: no whole answer)."""

    things: list[Thing]
    creates: list[tuple[str, str, int]]

    def live(self) -> dict[str, Thing]:
        """What is there, by natural key."""
        return {thing.key: thing for thing in self.things if not thing.is_gone}


@contextmanager
def copied(path: Path) -> Iterator[Path]:
    """A copy of a database as it is on the disk now, in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        for file in path.parent.glob(f"{path.name}*"):
            if not file.name.endswith(("-shm", ".lock", ".sock")):
                shutil.copy(file, folder)
        yield Path(folder, path.name)


def memory_of(state: Path) -> Memory:
    """What the cloud with this state file remembers; it may be at work, but not in the middle of a call."""
    with copied(state) as copy, closing(sqlite3.connect(copy)) as database:
        things = [Thing(*found) for found in database.execute(_THINGS)]
        creates = database.execute("SELECT key, token, status FROM calls WHERE operation = 'create' ORDER BY n")
        return Memory(things, creates.fetchall())


def ledger_faults(ledger: Path) -> list[str]:
    """What is wrong with a ledger as a file: its pages, its counters."""
    if not ledger.exists():
        return []
    with copied(ledger) as copy, closing(sqlite3.connect(copy)) as database:
        faults = [text for (text,) in database.execute("PRAGMA integrity_check") if text != "ok"]
        if database.execute("SELECT 1 FROM sqlite_master WHERE name = 'row_count'").fetchone() is None:
            return faults
        counted = "SELECT run_no, state, outcome, rows FROM row_count WHERE rows <> 0 ORDER BY 1, 2, 3"
        there = "SELECT run_no, state, coalesce(outcome, ''), count(*) FROM row GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
        told, found = database.execute(counted).fetchall(), database.execute(there).fetchall()
        return faults + ([] if told == found else [f"counters {told} and rows {found}"])


def ledger_rows(ledger: Path, run_id: str) -> tuple[str, list[tuple[Any, ...]]]:
    """The state of a run, and its rows as the ledger has them."""
    with copied(ledger) as copy, closing(sqlite3.connect(copy)) as database:
        run_no, state = database.execute("SELECT run_no, state FROM run WHERE run_id = ?", (run_id,)).fetchone()
        return str(state), database.execute(_ROWS, (run_no,)).fetchall()


@dataclass(frozen=True)
class Run:
    """A run as the ledger has it."""

    id: str
    state: str
    operation: str
    began: float
    parent: str | None


def runs_of(ledger: Path) -> list[Run]:
    """The runs, newest first; none where nothing can be read yet."""
    if not ledger.exists():
        return []
    with copied(ledger) as copy, closing(sqlite3.connect(copy)) as database:
        if database.execute("PRAGMA user_version").fetchone() != (migrations()[-1][0],):
            return []
        found = database.execute("SELECT run_id, state, operation, started_at, parent FROM run ORDER BY run_no DESC")
        return [Run(*values) for values in found]


async def drawn(ledger: Path, run_id: str) -> list[dict[str, str]]:
    """The rows of a run's report, if it were written now; none where the run has no whole plan."""
    with copied(ledger) as copy:
        reports = copy.parent / "reports"
        settings = Settings.model_validate({"ledger": {"path": str(copy)}, "report": {"directory": str(reports)}})
        try:
            await write_report(run_id, Session(settings=settings, environment={}))
        except RunNotFoundError:
            return []
        return rows_of(reports / run_id / "report.csv")


def rows_of(path: Path) -> list[dict[str, str]]:
    """The lines of a CSV."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def half_files(reports: Path, rows: Mapping[str, int] | None = None) -> list[str]:
    """Report files that stand half under their final names; `rows` are those of each run, where they are known."""
    faults = []
    for folder in reports.iterdir() if reports.exists() else ():
        if folder.is_symlink():
            target = folder.readlink()
            if not (reports / target / "summary.json").is_file():
                faults.append(f"`{folder.name}` leads to `{target}`, where no whole report is")
        elif folder.is_dir():
            expected = (rows or {}).get(folder.name)
            faults += [fault for path in sorted(folder.iterdir()) if (fault := _half(path, expected))]
    return faults


def _half(path: Path, expected: int | None) -> str:
    """What is missing of a file, or empty."""
    if path.name.startswith("."):
        return ""  # in the making
    text = path.read_text(encoding="utf-8")
    try:
        if not text.endswith("\n"):
            return f"{path.name} ends in the middle of a line"
        if path.suffix == ".json":
            json.loads(text)
            return ""
        found = [json.loads(line) for line in text.splitlines()] if path.suffix == ".jsonl" else rows_of(path)
    except ValueError as error:
        return f"{path.name}: {error}"
    is_whole = path.name in ("failed.csv", "pending.csv") or expected is None or len(found) == expected
    return "" if is_whole else f"{path.name} has {len(found)} of {expected} rows"
