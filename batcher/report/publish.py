"""Writes the reports of a run: one pass over the ledger, all files at once, put in place together."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from batcher.errors import ReportError
from batcher.model import RunId
from batcher.policy.defusing import printable_json
from batcher.policy.verdict import PENDING
from batcher.records import RowRecord, RunRecord
from batcher.report.causes import Cause, RunReader, causes_of, described_cause
from batcher.report.csv_report import CsvLayout, csv_line
from batcher.report.folder import ReportFolder
from batcher.report.jsonl_report import JsonlLayout
from batcher.report.rows import ReportRow, RowProjection, SpecReader
from batcher.report.summary import NO_ORIGIN, Advise, Origin, Tally, command_for, no_advice, summarize

FILES_OF_FORMAT: Final[Mapping[str, tuple[str, ...]]] = {
    "csv": ("report.csv", "failed.csv", "pending.csv"),
    "jsonl": ("report.jsonl",),
}
SUMMARY_FILE: Final = "summary.json"
SCOPE_POSITION: Final = 3
"""Where an operation's identity columns name the scope: after account, region and project."""
PAGE_ROWS: Final = 2_000
"""Rows read and written at a time: 2 MB of memory, and a hundredth of a second between looks at the loop."""
LOCK_WAIT_S_MAX: Final = 60.0
"""How long to wait for another process that writes the same report; a million rows take it less."""
LOCK_POLL_S: Final = 0.1

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Publication:
    """A report that is in place: its folder, its files in the order of their renaming, and what they say.

    `lacks`: what the file system lacks for more, and what follows of that.
    """

    directory: Path
    files: tuple[Path, ...]
    counts: Mapping[str, int]
    summary: Mapping[str, object]
    lacks: Mapping[str, str]
    causes: Sequence[Cause] = ()


class _Draft:
    """The files of one report as they grow; its methods block."""

    def __init__(
        self,
        operation: SpecReader,
        run: RunRecord,
        folder: ReportFolder,
        advise: Advise,
        origin: Origin,
        *,
        works: bool,
        leads: bool,
    ) -> None:
        self._run = run
        self._works, self._leads = works, leads
        self._origin = origin
        self._folder = folder
        self._projection = RowProjection(operation, run)
        self._csv = CsvLayout(self._projection)
        self._jsonl = JsonlLayout(self._projection)
        self._tally = Tally(self._projection.columns, operation.identity_columns[SCOPE_POSITION], advise)
        self._names: list[str] = []
        self.causes: Sequence[Cause] = ()

    def begin(self, formats: Sequence[str]) -> None:
        """Open the files of `formats`, and of each format that the folder holds already.

        A format left out would stay behind and contradict the new files.
        """
        for form, names in FILES_OF_FORMAT.items():
            if form in formats or any(self._folder.holds(name) for name in names):
                self._names += names
        for name in self._names:
            self._folder.begin(name)
        if "report.csv" in self._names:
            self._folder.write("report.csv", self._csv.header)
            for name in ("failed.csv", "pending.csv"):
                self._folder.write(name, csv_line(self._projection.again_header))

    def add(self, page: Sequence[RowRecord]) -> None:
        """Append a page of rows to every file."""
        lines: dict[str, list[str]] = {name: [] for name in self._names}
        report, jsonl = lines.get("report.csv"), lines.get("report.jsonl")
        for record in page:
            row = self._project(record)
            self._tally.add(row)
            if report is not None:
                report.append(self._csv.line(row))
            if report is not None and row.again is not None:
                lines["pending.csv" if row.outcome in PENDING else "failed.csv"].append(csv_line(row.again))
            if jsonl is not None:
                jsonl.append(self._jsonl.line(row))
        for name, texts in lines.items():
            self._folder.write(name, "".join(texts))

    def _project(self, record: RowRecord) -> ReportRow:
        try:
            return self._projection.project(record)
        except ValueError as error:
            raise ReportError(
                f"row {record.row_no} of run `{self._run.run_id}` cannot be read from the ledger: {error}",
                hint="the ledger may be damaged; running the inventory with a new one is safe",
            ) from error

    def finish(self) -> Publication:
        """Write the summary, which is renamed last, and put everything in place."""
        self._names.append(SUMMARY_FILE)
        digests = self._folder.digests()
        causes = [described_cause(cause) for cause in self.causes]
        summary = summarize(
            self._run, self._tally, self._names, self._origin, causes=causes, digests=digests, works=self._works
        )
        _write_summary(self._folder, summary)
        self._folder.commit(leads=self._leads)
        files = tuple(self._folder.path / name for name in self._names)
        return Publication(self._folder.path, files, self._tally.by_outcome(), summary, self._folder.lacks, self.causes)


def _write_summary(folder: ReportFolder, summary: Mapping[str, object]) -> None:
    folder.begin(SUMMARY_FILE)
    text = json.dumps(summary, ensure_ascii=False, indent=2, default=str)
    folder.write(SUMMARY_FILE, printable_json(text) + "\n")


async def announce(run: RunRecord, directory: Path, origin: Origin) -> Mapping[str, str]:
    """Write `summary.json` of a run that begins to work now, and let `<directory>/latest` lead there.

    What the file system lacks for that, and what follows of it. What else an earlier sitting has put there stays until
    the run ends. Raises `ReportError`.
    """
    again = command_for(run, f"report {run.run_id}", calls=False)
    folder = ReportFolder(directory, run.run_id, again, ledger_id=origin.ledger_id)
    tally = Tally(("row", "line", "scope", "error_code", "error_message", "http_status"), "scope")
    tally.take(run, works=True)
    summary = summarize(run, tally, [SUMMARY_FILE], origin, works=True)

    def write() -> None:
        _write_summary(folder, summary)
        folder.commit()

    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="report") as thread:
        try:
            await _hold(thread, folder)
            await _run_in(thread, write)
        finally:
            thread.submit(folder.close)
    return folder.lacks


async def publish(
    ledger: RunReader,
    operation: SpecReader,
    run: RunRecord,
    directory: Path,
    formats: Sequence[str],
    *,
    advise: Advise = no_advice,
    origin: Origin = NO_ORIGIN,
    works: bool = False,
    leads: bool = True,
) -> Publication:
    """Write the reports of `run` to `<directory>/<run_id>/`, and if it `leads` let `<directory>/latest` lead there.

    `works`: a process is at the run now. `formats` are any of `FILES_OF_FORMAT`; `summary.json` is written always;
    `advise` tells what to do about an error, `origin` what the ledger knows besides. Memory is that of a page of rows.
    May be repeated at any time. Raises `ReportError` where a file cannot be written or the folder is another ledger's,
    and `LedgerError` where a row cannot be read; the old report stays then. Cancelled, it
    leaves the old report or the new one, whole.
    """
    unknown = [name for name in formats if name not in FILES_OF_FORMAT]
    if unknown:
        raise ReportError(f"unknown report format `{unknown[0]}`", hint=f"known formats: {', '.join(FILES_OF_FORMAT)}")
    folder = ReportFolder(
        directory, run.run_id, command_for(run, f"report {run.run_id}", calls=False), ledger_id=origin.ledger_id
    )
    draft = _Draft(operation, run, folder, advise, origin, works=works, leads=leads)
    # One thread: jobs run in order, so that `close` comes after a page that a cancelled wait left running.
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="report") as thread:
        try:
            await _hold(thread, folder)
            await _run_in(thread, partial(draft.begin, formats))
            await _draw(thread, ledger, run.run_id, draft)
            draft.causes = await causes_of(ledger, operation, run, advise, works=works)
            return await _run_in(thread, draft.finish)
        finally:
            thread.submit(folder.close)


async def _draw(thread: ThreadPoolExecutor, ledger: RunReader, run_id: RunId, draft: _Draft) -> None:
    """Take every row from the ledger to the draft, page by page."""
    after = -1
    while page := await ledger.records(run_id, after, PAGE_ROWS):
        if page[0].row_no <= after:
            raise ReportError(f"the ledger gave row {page[0].row_no} of run `{run_id}` twice")
        after = page[-1].row_no
        await _run_in(thread, partial(draft.add, page))


async def _hold(thread: ThreadPoolExecutor, folder: ReportFolder) -> None:
    """Lock the folder, waiting a while for another process that writes the same report."""
    loop = asyncio.get_running_loop()
    give_up_at = loop.time() + LOCK_WAIT_S_MAX
    while not await _run_in(thread, folder.open):
        if loop.time() >= give_up_at:
            raise ReportError(
                f"another process has been writing report `{folder.path}` for {LOCK_WAIT_S_MAX:.0f} s",
                hint="wait for it to end; the ledger is unharmed",
            )
        await asyncio.sleep(LOCK_POLL_S)


async def _run_in(thread: ThreadPoolExecutor, job: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(thread, job)
