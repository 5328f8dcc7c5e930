"""Publishing: whole files or none, in order, with flat memory, whatever fails on the way."""

import asyncio
import csv
import gc
import json
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from batcher.errors import LedgerError, ReportError
from batcher.model import Outcome, RowState, RunId
from batcher.policy.defusing import undefuse
from batcher.records import RowRecord, RunRecord
from batcher.report import publish as publish_module
from batcher.report import summary as summary_module
from batcher.report.folder import ReportFolder
from batcher.report.publish import PAGE_ROWS, Publication, publish
from tests.report.world import (
    OPERATION,
    ROUTER,
    RUN_ID,
    FakeLedger,
    attachment,
    record,
    run_record,
    sample_run,
    spec,
    unsent,
)
from tests.storage.disks import file_size_limit

ALL = ("csv", "jsonl")
REMARKS = ["batcher.outcome", "batcher.error_code", "batcher.error_message"]
NAMES = {"report.csv", "failed.csv", "pending.csv", "report.jsonl", "summary.json"}


def read_csv(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


async def publish_rows(
    root: Path, rows: Sequence[RowRecord], run: RunRecord | None = None, formats: Sequence[str] = ALL
) -> Publication:
    return await publish(FakeLedger(rows), OPERATION, run or run_record(), root, formats)


class HookedLedger(FakeLedger):
    """Calls `hook` with the number of the page before it gives it."""

    hook: Callable[[int], None]

    async def records(self, run_id: RunId, after: int, limit: int) -> list[RowRecord]:
        self.hook(len(self.pages))
        return await super().records(run_id, after, limit)


def hooked(rows: Sequence[RowRecord], hook: Callable[[int], None]) -> HookedLedger:
    ledger = HookedLedger(rows)
    ledger.hook = hook
    return ledger


# --- what is written ----------------------------------------------------------------------------------


async def test_every_row_is_in_every_report_in_inventory_order(tmp_path: Path) -> None:
    rows = [record(at, Outcome.FAILED if at % 3 else Outcome.EXISTS) for at in range(1, PAGE_ROWS * 2 + 6)]
    done = await publish_rows(tmp_path, rows)
    numbers = [str(row.row_no) for row in rows]
    assert [cells[0] for cells in read_csv(done.directory / "report.csv")[1:]] == numbers
    lines = (done.directory / "report.jsonl").read_text("utf-8").splitlines()
    assert [str(json.loads(line)["row"]) for line in lines] == numbers
    failed = [attachment(row.row_no) for row in rows if row.outcome is Outcome.FAILED]
    assert [cells[1] for cells in read_csv(done.directory / "failed.csv")[1:]] == failed


async def test_the_publication_tells_what_was_written(tmp_path: Path) -> None:
    run, rows = sample_run()
    done = await publish_rows(tmp_path, rows, run)
    assert done.directory == tmp_path / RUN_ID
    assert {path.name for path in done.files} == NAMES == set(contents(done.directory))
    assert done.files[-1].name == "summary.json"
    assert done.counts["skipped"] == 3
    written = json.loads((done.directory / "summary.json").read_text("utf-8"))
    assert written == done.summary
    assert set(written["files"]) == NAMES


async def test_open_rows_are_reported_as_what_is_known(tmp_path: Path) -> None:
    run, rows = sample_run()
    done = await publish_rows(tmp_path, rows, run)
    header, *cells = read_csv(done.directory / "report.csv")
    shown = [dict(zip(header, row, strict=True)) for row in cells]
    assert [(row["outcome"], row["error_code"]) for row in shown[8:]] == [
        ("unverified", "BATCHER.Unverified"),
        ("skipped", "BATCHER.RouterStopped"),
        ("skipped", "BATCHER.Interrupted"),
        ("skipped", "BATCHER.Interrupted"),
    ]


@pytest.mark.parametrize(
    ("formats", "names"),
    [
        (("csv",), NAMES - {"report.jsonl"}),
        (("jsonl",), {"report.jsonl", "summary.json"}),
        ((), {"summary.json"}),
        (("jsonl", "csv", "csv"), NAMES),
    ],
)
async def test_formats_choose_the_files(tmp_path: Path, formats: tuple[str, ...], names: set[str]) -> None:
    done = await publish_rows(tmp_path, [record(1)], formats=formats)
    assert set(contents(done.directory)) == names


async def test_a_format_that_is_there_is_written_again(tmp_path: Path) -> None:
    """Else the old file would contradict the new ones."""
    await publish_rows(tmp_path, [unsent(1, Outcome.SKIPPED)], formats=("jsonl",))
    done = await publish_rows(tmp_path, [record(1)], formats=("csv",))
    assert json.loads((done.directory / "report.jsonl").read_text("utf-8"))["outcome"] == "created"


async def test_a_run_without_rows_has_headers_and_a_summary(tmp_path: Path) -> None:
    done = await publish_rows(tmp_path, [])
    assert read_csv(done.directory / "failed.csv") == [["er_id", "resource_id", "Name", *REMARKS]]
    assert len(read_csv(done.directory / "report.csv")) == 1
    assert (done.directory / "report.jsonl").read_bytes() == b""
    assert done.summary["exit_code"] == 0


async def test_failed_csv_has_only_its_header_when_all_went_well(tmp_path: Path) -> None:
    done = await publish_rows(tmp_path, [record(1), record(2, Outcome.EXISTS)])
    assert (done.directory / "failed.csv").read_text("utf-8") == f"er_id,resource_id,Name,{','.join(REMARKS)}\n"


async def test_rows_to_act_on_and_rows_that_only_wait_are_apart_with_their_causes(tmp_path: Path) -> None:
    rows = [
        record(1, Outcome.FAILED, error_code="ER.1", error_message="no, never"),
        record(2, None, state=RowState.ACCEPTED),
        unsent(3, Outcome.SKIPPED, error_code="BATCHER.Deadline", error_message="time was over"),
        record(4, Outcome.IN_DOUBT),
        unsent(5, Outcome.INVALID),
        record(6, Outcome.DRIFTED),
        record(7),
    ]
    done = await publish_rows(tmp_path, rows)
    failed, pending = (read_csv(done.directory / name)[1:] for name in ("failed.csv", "pending.csv"))
    assert [cells[-3] for cells in failed] == ["failed", "in_doubt", "invalid", "drifted"]
    assert failed[0][-3:] == ["failed", "ER.1", "no, never"]
    assert [cells[-3] for cells in pending] == ["unverified", "skipped"]
    assert pending[1][-3:] == ["skipped", "BATCHER.Deadline", "time was over"]


async def test_failed_csv_reads_back_as_the_inventory_was(tmp_path: Path) -> None:
    columns = (("Router", "er_id"), ("=Owner", "=Owner"), ("NAME", "name"), ("row", "row"))
    owners = ['=1+1"x"', "'quoted", "'=x", "multi\r\nline", "a,b", "\t", "", "Größe\u2028\U0001f600", "-5"]
    rows = [
        record(
            at,
            Outcome.FAILED,
            spec=spec(at, name=f"@{owner}"),
            carried=json.dumps({"=Owner": owner, "row": "x"} if owner else {}),
        )
        for at, owner in enumerate(owners, 1)
    ]
    done = await publish_rows(tmp_path, rows, run_record(columns=columns))
    header, *cells = [[undefuse(cell) for cell in row] for row in read_csv(done.directory / "failed.csv")]
    assert header == ["Router", "=Owner", "NAME", "row", *REMARKS]
    remarks = ["failed", "", ""]
    assert cells == [[ROUTER, owner, f"@{owner}", "x" if owner else "", *remarks] for owner in owners]


async def test_half_a_surrogate_pair_does_not_lose_the_report(tmp_path: Path) -> None:
    rows = [record(1, carried=r'{"Owner": "a\ud83d"}')]
    done = await publish_rows(tmp_path, rows, run_record(columns=(("Owner", "Owner"),)))
    assert json.loads((done.directory / "report.jsonl").read_text("utf-8"))["user"] == {"Owner": "a\ud83d"}
    assert read_csv(done.directory / "report.csv")[1][-1] == r"a\ud83d"


# --- latest -------------------------------------------------------------------------------------------


async def test_latest_leads_to_the_last_published_run(tmp_path: Path) -> None:
    await publish_rows(tmp_path, [record(1)], run_record(run_id=RunId("run-1")))
    await publish_rows(tmp_path, [record(1)], run_record(run_id=RunId("run-2")))
    assert (tmp_path / "latest").readlink() == Path("run-2")
    assert json.loads((tmp_path / "latest" / "summary.json").read_text("utf-8"))["run_id"] == "run-2"
    assert {path.name for path in tmp_path.iterdir()} == {"run-1", "run-2", "latest"}


async def test_a_folder_named_latest_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "latest").mkdir()
    with pytest.raises(ReportError, match="latest") as caught:
        await publish_rows(tmp_path, [record(1)])
    assert f"batcher report {RUN_ID}" in caught.value.hint
    assert set(contents(tmp_path / RUN_ID)) == NAMES


# --- whole files or none ------------------------------------------------------------------------------


async def test_a_reader_sees_the_old_report_until_the_new_one_is_whole(tmp_path: Path) -> None:
    await publish_rows(tmp_path, [record(1, Outcome.FAILED)])
    old = contents(tmp_path / RUN_ID)
    seen = []

    def look(_: int) -> None:
        seen.append({name: data for name, data in contents(tmp_path / RUN_ID).items() if not name.startswith(".")})

    await publish(hooked([record(at) for at in range(1, PAGE_ROWS + 2)], look), OPERATION, run_record(), tmp_path, ALL)
    assert seen == [old] * 3
    assert contents(tmp_path / RUN_ID).keys() == NAMES
    assert contents(tmp_path / RUN_ID)["report.csv"].count(b"\n") == PAGE_ROWS + 2


async def test_a_ledger_that_fails_half_way_leaves_the_old_report(tmp_path: Path) -> None:
    await publish_rows(tmp_path, [record(1)])
    old = contents(tmp_path / RUN_ID)

    def fail(page: int) -> None:
        if page == 1:
            raise LedgerError("disk I/O error")

    ledger = hooked([record(at) for at in range(1, PAGE_ROWS + 2)], fail)
    with pytest.raises(LedgerError, match="disk I/O error"):
        await publish(ledger, OPERATION, run_record(), tmp_path, ALL)
    assert contents(tmp_path / RUN_ID) == old


async def test_a_full_disk_leaves_the_old_report_and_says_what_to_do(tmp_path: Path) -> None:
    await publish_rows(tmp_path, [record(1)])
    old = contents(tmp_path / RUN_ID)
    with file_size_limit(100_000), pytest.raises(ReportError, match=r"cannot write report `.*report\.") as caught:
        await publish_rows(tmp_path, [record(at) for at in range(1, PAGE_ROWS)])
    assert caught.value.hint == (f"the ledger is unharmed; `batcher report {RUN_ID}` writes the report again")
    assert contents(tmp_path / RUN_ID) == old


async def test_cancelling_leaves_the_old_report(tmp_path: Path) -> None:
    await publish_rows(tmp_path, [record(1)])
    old = contents(tmp_path / RUN_ID)

    def cancel(page: int) -> None:
        task = asyncio.current_task()
        if page == 1 and task is not None:
            task.cancel()

    ledger = hooked([record(at) for at in range(1, PAGE_ROWS * 2)], cancel)
    with pytest.raises(asyncio.CancelledError):
        await publish(ledger, OPERATION, run_record(), tmp_path, ALL)
    assert contents(tmp_path / RUN_ID) == old
    await publish_rows(tmp_path, [record(1)])


async def test_a_rename_that_fails_leaves_whole_files_only(tmp_path: Path) -> None:
    await publish_rows(tmp_path, [record(1)], formats=("csv",))
    old = contents(tmp_path / RUN_ID)
    (tmp_path / RUN_ID / "summary.json").unlink()
    (tmp_path / RUN_ID / "summary.json").mkdir()
    with pytest.raises(ReportError, match=r"summary\.json"):
        await publish_rows(tmp_path, [record(1)], formats=("csv",))
    assert {path.name for path in (tmp_path / RUN_ID).iterdir()} == NAMES - {"report.jsonl"}
    assert (tmp_path / RUN_ID / "report.csv").read_bytes() == old["report.csv"]


KILLED = """
import os, signal, sys
from pathlib import Path
from batcher.report.folder import ReportFolder
folder = ReportFolder(Path(sys.argv[1]), sys.argv[2])
assert folder.open()
folder.begin("report.csv")
folder.write("report.csv", "half a li")
os.symlink("nowhere", folder.path / f".latest.{os.getpid()}.tmp")
os.kill(os.getpid(), signal.SIGKILL)
"""


async def test_what_a_killed_publisher_left_is_removed_by_the_next(tmp_path: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), RUN_ID], check=False, timeout=15)
    assert killed.returncode == -9
    assert len(list((tmp_path / RUN_ID).iterdir())) == 2
    done = await publish_rows(tmp_path, [record(1)])
    assert set(contents(done.directory)) == NAMES


async def test_two_publishers_of_one_run_take_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish_module, "LOCK_POLL_S", 0)
    await asyncio.gather(*(publish_rows(tmp_path, [record(1)]) for _ in range(3)))
    assert contents(tmp_path / RUN_ID).keys() == NAMES


async def test_a_publisher_does_not_wait_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish_module, "LOCK_WAIT_S_MAX", 0.0)
    other = ReportFolder(tmp_path, RUN_ID)
    assert other.open()
    other.begin("report.csv")
    with pytest.raises(ReportError, match="another process"):
        await publish_rows(tmp_path, [record(1)])
    other.write("report.csv", "row\n")
    other.commit()
    other.close()
    assert contents(tmp_path / RUN_ID) == {"report.csv": b"row\n"}


# --- what is refused ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "run_id", ["", "..", ".hidden", "a/b", "a\\b", "a b", "a\n", "latest", "LATEST", "x" * 65, "ü", "-rf", "a\0"]
)
async def test_a_run_id_that_is_no_folder_name_is_refused(tmp_path: Path, run_id: str) -> None:
    with pytest.raises(ReportError, match="run id"):
        await publish_rows(tmp_path / "reports", [record(1)], run_record(run_id=RunId(run_id)))
    assert list(tmp_path.iterdir()) == []


async def test_an_unknown_format_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="`pdf`") as caught:
        await publish_rows(tmp_path, [record(1)], formats=("csv", "pdf"))
    assert caught.value.hint == "known formats: csv, jsonl"
    assert list(tmp_path.iterdir()) == []


async def test_a_file_where_the_folder_should_be_is_reported(tmp_path: Path) -> None:
    (tmp_path / "reports").write_text("")
    with pytest.raises(ReportError, match="cannot write report"):
        await publish_rows(tmp_path / "reports", [record(1)])


async def test_a_row_that_the_ledger_has_spoilt_is_named(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match=f"row 2 of run `{RUN_ID}`"):
        await publish_rows(tmp_path, [record(1), record(2, None)])
    assert contents(tmp_path / RUN_ID) == {}


async def test_a_ledger_that_repeats_a_page_does_not_fill_the_disk(tmp_path: Path) -> None:
    class Stuck(FakeLedger):
        async def records(self, run_id: RunId, after: int, limit: int) -> list[RowRecord]:
            return [record(1)]

    with pytest.raises(ReportError, match="twice"):
        await publish(Stuck(), OPERATION, run_record(), tmp_path, ALL)


# --- bounds -------------------------------------------------------------------------------------------


class EndlessScopes(FakeLedger):
    """Rows made on demand, every one failed in a scope of its own."""

    size = 0

    async def records(self, run_id: RunId, after: int, limit: int) -> list[RowRecord]:
        self.pages.append((after, limit))
        rows = range(max(after, 0) + 1, min(max(after, 0) + limit, self.size) + 1)
        return [record(at, Outcome.FAILED, spec=spec(at, er_id=f"router-{at}")) for at in rows]


async def test_memory_does_not_grow_with_the_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish_module, "PAGE_ROWS", 100)
    monkeypatch.setattr(summary_module, "GROUPS_TALLIED_MAX", 50)
    gc.collect()
    gc.freeze()  # what other tests have left would put off the collector's rounds, and be counted here
    peaks = []
    for size in (500, 500, 5_000):
        ledger = EndlessScopes()
        ledger.size = size
        tracemalloc.start()
        await publish(ledger, OPERATION, run_record(), tmp_path, ALL)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert {limit for _, limit in ledger.pages} == {100}
    gc.unfreeze()
    assert peaks[2] - peaks[1] < 150_000  # of 4,500 rows more, which are 4 MB of text


def test_process_ids_keep_the_temporary_names_of_writers_apart(tmp_path: Path) -> None:
    folder = ReportFolder(tmp_path, RUN_ID)
    assert folder.open()
    folder.begin("report.csv")
    assert [path.name for path in folder.path.iterdir()] == [f".report.csv.{os.getpid()}.tmp"]
    folder.close()
    assert list(folder.path.iterdir()) == []
