"""Names that would lead out of the folder of reports, and links that others have put into it."""

import contextlib
import os
import shutil
import sqlite3
from pathlib import Path

import pytest

from batcher.cli.main import main
from batcher.planning.plan_file import write_plan
from tests.e2e.clouds import Cloud
from tests.e2e.commands import all_files
from tests.storage.begun import Begun, beside, refused

OUTSIDE = ("../x", "../../x", "/tmp/x", "..", ".", "a/b", "x\n", "\x1b[31mred", "")


@pytest.mark.parametrize("run_id", OUTSIDE)
def test_a_run_that_is_named_like_a_path_is_not_found_and_nothing_is_made(
    begun: Begun, tmp_path: Path, capsys: pytest.CaptureFixture[str], run_id: str
) -> None:
    ledger = begun.copy(tmp_path / "folder", closed=True)
    before = all_files(tmp_path)
    for command in ("report", "status"):
        assert main([command, run_id, "--reports", str(ledger.parent)]) == 2
        assert "hint: `batcher status` lists the runs" in capsys.readouterr().err
    assert all_files(tmp_path) == before


async def test_no_command_that_sends_takes_a_path_for_a_run(begun: Begun, tmp_path: Path, sky: Cloud) -> None:
    ledger = begun.copy(tmp_path / "folder")
    for words in (["resume", "../../etc"], ["retry", "../x"], ["undo", "../x", "--yes"]):
        ended = await sky.run(tmp_path, *words, "--reports", str(ledger.parent))
        assert ended.code == 2, ended.err
        assert "holds no run `../" in ended.err
    assert (await sky.statistics())["calls"] == {}
    assert {path.name for path in tmp_path.iterdir()} == {"folder"}


@pytest.mark.parametrize("run_id", ["../../x", "\x1b[31mred"])
async def test_a_ledger_whose_run_was_renamed_to_a_path_is_refused_before_anything_is_sent(
    begun: Begun, tmp_path: Path, sky: Cloud, run_id: str
) -> None:
    ledger = begun.copy(tmp_path / "folder", closed=True)
    with contextlib.closing(sqlite3.connect(ledger)) as connection:
        connection.execute("UPDATE run SET run_id = ?", (run_id,))
        connection.commit()
    before = all_files(tmp_path)
    ended = await sky.run(tmp_path, "resume", "--reports", str(ledger.parent))
    refused(ended.code, ended.err, ledger, "is no run's id", "restore a copy")
    assert "\x1b" not in ended.err
    assert (await sky.statistics())["calls"] == {}
    assert all_files(tmp_path) - before <= {str(beside(ledger, ".lock").relative_to(tmp_path))}


def test_a_ledger_whose_run_was_renamed_to_a_path_is_not_reported(
    begun: Begun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = begun.copy(tmp_path / "folder", closed=True)
    with contextlib.closing(sqlite3.connect(ledger)) as connection:
        connection.execute("UPDATE run SET run_id = '../../x', settings = 'no JSON'")
        connection.commit()
    before = all_files(tmp_path)
    for words in (["report"], ["report", "../../x"], ["status"]):
        refused(main([*words, "--reports", str(ledger.parent)]), capsys.readouterr().err, ledger, "restore a copy")
    assert all_files(tmp_path) == before


def test_values_that_batcher_never_wrote_are_told_as_damage(
    begun: Begun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, (table, change) in enumerate(
        (
            ("run", "settings = 'no JSON'"),
            ("run", "inventory_name = CAST(x'ff' AS TEXT)"),
            ("row", "state = 'unheard-of' WHERE row_no = 9"),
            ("plan", "spec = 'no JSON' WHERE line = 9"),
        )
    ):
        ledger = begun.copy(tmp_path / str(number), closed=True)
        with contextlib.closing(sqlite3.connect(ledger)) as connection:
            connection.execute("PRAGMA ignore_check_constraints = ON")
            connection.execute(f"UPDATE {table} SET {change}")
            connection.commit()
        code = main(["report", "--reports", str(ledger.parent)])
        err = capsys.readouterr().err
        assert code == 1, err
        assert "Traceback" not in err
        assert "damaged" in err
        assert list(ledger.parent.glob("*/report.csv")) == []


def test_a_runs_folder_that_somebody_made_a_link_is_not_written_through(
    begun: Begun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = begun.copy(tmp_path / "folder", closed=True)
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "report.csv").write_text("mine")
    shutil.rmtree(ledger.parent / begun.run_id)
    (ledger.parent / begun.run_id).symlink_to(theirs)
    refused(main(["report", "--reports", str(ledger.parent)]), capsys.readouterr().err, ledger.parent, "it is a link")
    assert {path.name: path.read_text() for path in theirs.iterdir()} == {"report.csv": "mine"}
    (ledger.parent / begun.run_id).unlink()
    assert main(["report", "--reports", str(ledger.parent)]) == 0


def test_a_link_called_latest_is_replaced_and_not_followed(begun: Begun, tmp_path: Path) -> None:
    ledger = begun.copy(tmp_path / "folder", closed=True)
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (ledger.parent / "latest").symlink_to(theirs)
    assert main(["report", "--reports", str(ledger.parent)]) == 0
    assert (ledger.parent / "latest").readlink() == Path(begun.run_id)
    assert list(theirs.iterdir()) == []


def test_a_plan_is_not_written_through_a_link_that_waits_for_it(tmp_path: Path) -> None:
    """A plan may be written to a folder that is everybody's, and its temporary name can be guessed."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / f".plan.json.{os.getpid()}.tmp").symlink_to(victim)
    with write_plan(tmp_path / "plan.json", {"rows": {}}):
        pass
    assert victim.read_text() == "precious"
    assert (tmp_path / "plan.json").is_file()
    assert not (tmp_path / "plan.json").is_symlink()
    shutil.rmtree(tmp_path)
