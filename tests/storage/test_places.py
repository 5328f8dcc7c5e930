"""What stands at a ledger's place: things that are no file, links, and ledgers of others."""

import os
import signal
import socket
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from batcher.cli.main import main
from tests.e2e.clouds import Cloud
from tests.e2e.commands import EMULATOR_KEYS, batcher, start
from tests.e2e.inventories import some_rows, write_rows
from tests.storage.begun import LEDGER, Begun, beside, refused

pytestmark = pytest.mark.timeout(60)  # several whole commands a test


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as there:
        there.bind(str(path))


PLACES: dict[str, tuple[Callable[[Path], object], str]] = {
    "pipe": (os.mkfifo, "is no file"),
    "folder": (os.mkdir, "is no file"),
    "device": (lambda path: path.symlink_to("/dev/null"), "is no file"),
    "socket": (a_socket, "is no file"),
    "link to nothing": (lambda path: path.symlink_to("unmounted.db"), "where there is nothing"),
    "link to no folder": (lambda path: path.symlink_to("unmounted/ledger.db"), "where there is nothing"),
    "link to itself": (lambda path: path.symlink_to(path.name), "ELOOP"),
}
"""What may be there, and what is said of it."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A short way to the ledger: a socket's path may not be long."""
    (tmp_path / "reports").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", PLACES)
def test_who_reads_is_told_what_is_there_instead_of_a_ledger(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    make, says = PLACES[name]
    make(Path("reports") / LEDGER)
    for command in ("status", "report"):
        code = main([command])
        refused(code, capsys.readouterr().err, Path("reports") / LEDGER, says)
    assert not (folder / "reports" / "unmounted.db").exists()


@pytest.mark.parametrize("name", ["pipe", "link to nothing"])
async def test_nothing_is_sent_or_planned_where_no_ledger_can_be(folder: Path, sky: Cloud, name: str) -> None:
    make, says = PLACES[name]
    make(Path("reports") / LEDGER)
    inventory = write_rows(folder / "routers.csv", some_rows(3))
    for command in ("run", "plan"):
        ended = await sky.run(folder, command, str(inventory))
        refused(ended.code, ended.err, Path("reports") / LEDGER, says)
    assert (await sky.statistics())["calls"].get("create", 0) == 0
    assert not (folder / "reports" / "unmounted.db").exists()


async def test_an_empty_file_where_a_link_leads_becomes_a_ledger(folder: Path, sky: Cloud) -> None:
    """What the refusal of a link to nothing advises."""
    (folder / "elsewhere").mkdir()
    (folder / "elsewhere" / "kept.db").touch()
    Path("reports", LEDGER).symlink_to(Path("..", "elsewhere", "kept.db"))
    ended = await sky.run(folder, "run", str(write_rows(folder / "routers.csv", some_rows(3))))
    assert (ended.code, ended.err) == (0, "")
    assert Path("reports", LEDGER).is_symlink()
    assert (folder / "elsewhere" / "kept.db").stat().st_size > 0


async def test_a_ledger_has_one_lock_and_one_socket_by_whatever_name_it_is_called(folder: Path, sky: Cloud) -> None:
    (folder / "link.db").symlink_to(Path("reports", LEDGER))
    inventory = write_rows(folder / "routers.csv", some_rows(50))
    async with sky.slowly(folder, "run", str(inventory)) as work:
        await sky.until_creates(3)
        ended = await sky.run(folder, "resume", "--ledger", "link.db")
        assert ended.code == 6, ended.err
        assert f"process {work.process.pid} on" in ended.err
        asked = await batcher(folder, "ctl", "drain", "--ledger", "link.db")
        assert asked.code == 0, asked.err
        assert (await work.end()).code == 5


async def test_a_ledger_of_a_newer_batcher_and_of_another_program_is_left_alone(
    begun: Begun, folder: Path, sky: Cloud
) -> None:
    for sql, says in (("PRAGMA user_version = 999", "a newer batcher"), ("PRAGMA application_id = 7", "no ledger of")):
        ledger = begun.copy(folder, closed=True)
        connection = sqlite3.connect(ledger)
        connection.execute(sql)
        connection.close()
        before = ledger.read_bytes()
        ended = await sky.run(folder, "resume")
        refused(ended.code, ended.err, Path("reports") / LEDGER, says)
        assert ledger.read_bytes() == before
    assert (await sky.statistics())["calls"] == {}


async def test_a_run_that_is_killed_as_soon_as_its_lock_is_there_leaves_no_trap(folder: Path, sky: Cloud) -> None:
    """Killed as early as its lock is there: whatever there is of a ledger, the next start goes on."""
    inventory = write_rows(folder / "routers.csv", some_rows(3))
    process = await start(folder, *sky.words("run", str(inventory)), extra=EMULATOR_KEYS)
    lock = beside(folder / "reports" / LEDGER, ".lock")
    while not lock.exists():
        assert process.returncode is None
        await sky.statistics()
    process.send_signal(signal.SIGKILL)
    await process.communicate()
    ended = await sky.run(folder, "run", str(inventory))
    assert (ended.code, ended.err) == (0, "")
