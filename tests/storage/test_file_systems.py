"""File systems that lack something: what a report can do without is said once, what a ledger needs is refused."""

import errno
import fcntl
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from batcher.cli.main import main
from tests.e2e.commands import column
from tests.e2e.inventories import some_rows, write_rows


@pytest.fixture
def inventory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    return str(write_rows(tmp_path / "routers.csv", some_rows(3)))


def refusing(number: int, when: Callable[..., bool] = lambda *_: True, plain: Any = None) -> Callable[..., Any]:
    """A call of the system that a file system refuses."""

    def call(*words: Any, **options: Any) -> Any:
        if when(*words):
            raise OSError(number, os.strerror(number))
        return plain(*words, **options)

    return call


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS])
def test_without_links_reports_are_whole_and_latest_is_said_to_be_missing(
    tmp_path: Path, inventory: str, number: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "symlink", refusing(number))
    for outcome in ("created", "exists"):
        assert main(("run", inventory, "--emulator", "--rate", "200/s")) == 0
        said = capsys.readouterr()
        assert said.err.count("`reports/latest` cannot lead to the newest report") == 1
        report = tmp_path / "reports" / said.out.split()[1].rstrip(":") / "report.csv"
        assert report.read_text(encoding="utf-8").count(f",{outcome},") == 3
    assert not os.path.lexists(tmp_path / "reports" / "latest")
    assert main(("report", "latest", "--emulator")) == 0
    assert "cannot lead to the newest report" in capsys.readouterr().err


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EOPNOTSUPP])
def test_a_folder_that_cannot_be_synced_is_said_and_no_more(
    tmp_path: Path, inventory: str, number: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "fsync", refusing(number, is_folder, os.fsync))
    assert main(("run", inventory, "--emulator", "--rate", "200/s")) == 0
    assert capsys.readouterr().err.count("cannot make names durable") == 2  # two folders
    assert column(tmp_path, "outcome") == ["created"] * 3


@pytest.mark.parametrize("call", ["symlink", "fsync"])
def test_a_fault_of_the_disk_is_an_error(
    inventory: str, call: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    when = is_folder if call == "fsync" else (lambda *_: True)
    monkeypatch.setattr(os, call, refusing(errno.EIO, when, getattr(os, call)))
    assert main(("run", inventory, "--emulator", "--rate", "200/s")) == 1
    assert "Input/output error" in capsys.readouterr().err


@pytest.mark.parametrize("call", ["flock", "lockf"])
@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_ledger_without_locks_is_refused_before_anything_is_sent(
    tmp_path: Path,
    inventory: str,
    call: str,
    number: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(fcntl, call, refusing(number))
    assert main(("run", inventory, "--emulator", "--rate", "200/s")) == 2
    said = capsys.readouterr().err
    assert "the file system of the ledger `reports/rehearsal.db` has no locks" in said
    assert "a ledger belongs on a local disk" in said
    assert not (tmp_path / "reports" / "latest").exists()


def is_folder(number: int) -> bool:
    return stat.S_ISDIR(os.fstat(number).st_mode)
