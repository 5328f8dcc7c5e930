"""Whose a report folder is: two ledgers that share a folder never write over each other's reports."""

import contextlib
import json
import os
import shutil
import sqlite3
from pathlib import Path

import pytest

from batcher.app import run_inventory
from batcher.clock import SystemClock
from batcher.errors import ReportError
from batcher.model import RunId
from batcher.records import RowRecord
from batcher.report.folder import OWNER_FILE
from batcher.report.publish import publish
from batcher.report.summary import Origin
from batcher.settings import Settings
from batcher.sitting import RunResult
from batcher.wiring import Session
from tests.e2e.clouds import Cloud, cloud
from tests.e2e.commands import EMULATOR_KEYS, batcher, working
from tests.e2e.inventories import some_rows, write_rows
from tests.report.world import LEDGER_ID, OPERATION, ORIGIN, FakeLedger, example_run

OTHER_ID = "0123456789abcdef"


class StoppedClock(SystemClock):
    """A wall clock that stands still, so that two runs begin in one second."""

    def __init__(self, at: float) -> None:
        self._at = at

    def now(self) -> float:
        return self._at


async def run_of(folder: Path, ledger: str, sky: Cloud, at: float) -> RunResult:
    """A run of the one inventory, for the ledger of this name, that began at this moment."""
    settings = Settings.model_validate(
        {
            "cloud": {"endpoint": sky.url},
            "credentials": {"metadata": False},
            "run": {"rate": "200/s"},
            "ledger": {"path": str(folder / ledger)},
            "report": {"directory": str(folder / "reports")},
        }
    )
    session = Session(settings=settings, environment=EMULATOR_KEYS, home=folder, clock=StoppedClock(at))
    return await run_inventory(str(folder / "routers.csv"), session)


def texts(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


async def test_ledgers_that_begin_in_one_second_have_a_report_each(tmp_path: Path) -> None:
    """Of two places, in one folder, and at one place after the other."""
    write_rows(tmp_path / "routers.csv", some_rows(3))
    async with cloud() as sky:
        at = SystemClock.now()
        ledgers = ("one/ledger.db", "two/ledger.db", "three.db", "four.db", "four.db")
        runs = [await run_of(tmp_path, ledger, sky, at) for ledger in ledgers]
        for path in tmp_path.glob("four.db*"):
            path.unlink()
        runs.append(await run_of(tmp_path, "four.db", sky, at))
    ids = [result.run.run_id for result in runs]
    assert len(set(ids)) == 6
    assert len({run_id[:15] for run_id in ids}) == 1
    assert ids[4] == f"{ids[3]}-2"
    for result in runs:
        assert result.publication.summary["run_id"] == result.run.run_id
    owners = [(result.publication.directory / OWNER_FILE).read_text() for result in runs]
    assert len(set(owners)) == 5
    assert owners[3] == owners[4]


async def test_a_new_run_takes_no_name_of_which_there_is_a_folder(tmp_path: Path) -> None:
    write_rows(tmp_path / "routers.csv", some_rows(3))
    async with cloud() as sky:
        at = SystemClock.now()
        first = (await run_of(tmp_path, "one.db", sky, at)).run.run_id
        (tmp_path / "reports" / f"{first}-2").mkdir()
        (tmp_path / "reports" / f"{first}-3").symlink_to("nowhere")
        assert (await run_of(tmp_path, "one.db", sky, at)).run.run_id == f"{first}-4"


async def test_a_folder_of_another_ledger_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    run, rows = example_run()
    done = await publish(FakeLedger(rows), OPERATION, run, tmp_path, ("csv", "jsonl"), origin=ORIGIN)
    before, latest = texts(done.directory), (tmp_path / "latest").readlink()
    with pytest.raises(ReportError, match=f"another ledger's run.*`{LEDGER_ID}`.*`{OTHER_ID}`") as refused:
        await publish(FakeLedger(rows[:1]), OPERATION, run, tmp_path, ("csv",), origin=Origin(OTHER_ID))
    assert "--reports" in refused.value.hint
    assert (texts(done.directory), (tmp_path / "latest").readlink()) == (before, latest)
    again = await publish(FakeLedger(rows), OPERATION, run, tmp_path, ("csv", "jsonl"), origin=ORIGIN)
    assert texts(again.directory) == before


async def test_the_folder_names_its_ledger_before_there_is_a_report_in_it(tmp_path: Path) -> None:
    class Failing(FakeLedger):
        async def records(self, run_id: RunId, after: int, limit: int) -> list[RowRecord]:
            raise ReportError("in the middle")

    run, rows = example_run()
    with pytest.raises(ReportError, match="in the middle"):
        await publish(Failing(rows), OPERATION, run, tmp_path, ("csv",), origin=ORIGIN)
    assert texts(tmp_path / run.run_id) == {OWNER_FILE: f"{LEDGER_ID}\n".encode()}
    with pytest.raises(ReportError, match="another ledger's run"):
        await publish(FakeLedger(rows), OPERATION, run, tmp_path, ("csv",), origin=Origin(OTHER_ID))


@pytest.mark.parametrize("kind", ["none", "empty", "pipe"])
async def test_a_folder_that_names_nobody_becomes_the_ledgers(tmp_path: Path, kind: str) -> None:
    """Older versions have named none, and a killed one may have left the name empty."""
    run, rows = example_run()
    mark = tmp_path / run.run_id / OWNER_FILE
    mark.parent.mkdir()
    if kind == "empty":
        mark.touch()
    elif kind == "pipe":
        os.mkfifo(mark)
    await publish(FakeLedger(rows), OPERATION, run, tmp_path, ("csv",), origin=ORIGIN)
    assert mark.read_text() == f"{LEDGER_ID}\n"


@pytest.mark.parametrize("kind", ["link", "folder", "noise"])
async def test_a_name_that_is_none_is_not_overwritten(tmp_path: Path, kind: str) -> None:
    run, rows = example_run()
    mark = tmp_path / run.run_id / OWNER_FILE
    mark.parent.mkdir()
    if kind == "link":
        mark.symlink_to(tmp_path / "victim")
    elif kind == "folder":
        mark.mkdir()
    else:
        mark.write_bytes(b"\x1b[31m\xff" * 1000)
    with pytest.raises(ReportError, match="report") as refused:
        await publish(FakeLedger(rows), OPERATION, run, tmp_path, ("csv",), origin=ORIGIN)
    assert "\x1b" not in str(refused.value)
    assert not (tmp_path / "victim").exists()
    assert list(tmp_path.rglob("*.csv")) == []


async def test_a_run_whose_folder_is_another_ledgers_is_not_gone_on_with_there(tmp_path: Path) -> None:
    """Said before anything is sent; elsewhere it goes on, and so does a copy of its ledger."""
    inventory = write_rows(tmp_path / "routers.csv", some_rows(5))
    async with cloud() as sky:
        words = sky.words("run", str(inventory), rate="5/s")
        async with working(tmp_path, *words, "-vv", extra=EMULATOR_KEYS) as work:
            await sky.until_creates(2)
            work.process.kill()
            await work.process.wait()
        with contextlib.closing(sqlite3.connect(tmp_path / "reports" / "ledger.db")) as ledger:
            ((run,),) = ledger.execute("SELECT run_id FROM run").fetchall()
        folder = tmp_path / "reports" / run
        (folder / OWNER_FILE).write_text(f"{OTHER_ID}\n")
        (folder / "summary.json").write_text("theirs")
        seen = (await sky.statistics())["calls"]
        for command in ("resume", f"run {inventory}", f"report {run}"):
            words = tuple(command.split()) if command.startswith("report") else sky.words(*command.split())
            ended = await batcher(tmp_path, *words, extra=EMULATOR_KEYS)
            assert ended.code == 1, ended.err
            assert f"holds the report of another ledger's run (ledger `{OTHER_ID}`" in ended.err
            assert "hint: name another folder for the reports with `--reports`" in ended.err
        assert (await sky.statistics())["calls"] == seen
        assert texts(folder) == {OWNER_FILE: f"{OTHER_ID}\n".encode(), "summary.json": b"theirs"}

        (tmp_path / "backup").mkdir()
        for path in (tmp_path / "reports").glob("ledger.db*"):
            if not path.name.endswith((".sock", ".lock")):
                shutil.copy(path, tmp_path / "backup")
        elsewhere = ("--reports", "elsewhere", "--ledger", "backup/ledger.db")
        ended = await sky.run(tmp_path, "resume", *elsewhere)
        assert (ended.code, ended.err) == (0, "")
        shutil.move(tmp_path / "elsewhere", tmp_path / "reports2")
        ended = await batcher(tmp_path, "report", run, "--reports", "reports2", "--ledger", "backup/ledger.db")
        assert (ended.code, ended.err) == (0, "")
        found = json.loads((tmp_path / "reports2" / run / "summary.json").read_text())
        assert found["endpoints"] == [{"region": "cn-north-4", **dict.fromkeys(("er", "iam", "lts"), sky.url)}]
        assert found["ledger_id"] == (tmp_path / "reports2" / run / OWNER_FILE).read_text().strip()
