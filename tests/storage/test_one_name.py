"""A ledger is one file with one name, in one place: second names are refused, and what moves under a run is noticed."""

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from batcher.cli.main import main
from batcher.errors import ConfigError, LedgerLostError
from batcher.ledger.open import open_ledger
from batcher.model import RunId
from tests.e2e.clouds import Cloud
from tests.e2e.commands import batcher
from tests.e2e.inventories import some_rows, write_rows
from tests.storage.begun import LEDGER, Begun, beside, contents, intents

pytestmark = pytest.mark.timeout(60)  # several whole commands a test

ROWS = 400


def twin(path: Path, place: Path) -> None:
    """A second name for a file."""
    place.parent.mkdir(exist_ok=True)
    os.link(path, place)


def is_whole(ledger: Path) -> bool:
    with closing(sqlite3.connect(ledger)) as connection:
        return bool(connection.execute("PRAGMA integrity_check").fetchone() == ("ok",))


@pytest.mark.parametrize("command", ["run", "resume", "plan", "status", "report"])
async def test_a_ledger_with_two_names_is_refused_by_each_of_them(
    begun: Begun, sky: Cloud, tmp_path: Path, command: str
) -> None:
    ledger = begun.copy(tmp_path)
    twin(ledger, tmp_path / "two" / LEDGER)
    before = contents(ledger)
    inventory = [str(tmp_path / "routers.csv")] if command in ("run", "plan") else []
    for name in (ledger, tmp_path / "two" / LEDGER):
        words = [command, *inventory, "--ledger", str(name), "--reports", str(tmp_path / "reports")]
        if command in ("status", "report"):
            ended = await batcher(tmp_path, *words)
        else:
            ended = await sky.run(tmp_path, *words)
        assert ended.code == 2, ended.err
        assert f"the ledger `{name}` has 2 names" in ended.err
        assert f"hint: `find / -xdev -samefile {name}` shows them" in ended.err
    assert (await sky.statistics())["calls"] == {}
    assert contents(ledger) == before


@pytest.mark.parametrize("read_only", [True, False])
@pytest.mark.parametrize("suffix", ["-wal", "-shm", ".lock"])
async def test_so_is_one_whose_log_or_lock_has_two(begun: Begun, tmp_path: Path, suffix: str, read_only: bool) -> None:
    ledger = begun.copy(tmp_path)
    twin(beside(ledger, suffix), tmp_path / "two" / "precious")
    before = (tmp_path / "two" / "precious").read_bytes()
    with pytest.raises(ConfigError, match="has 2 names"):
        async with open_ledger(str(ledger), read_only=read_only):
            pass
    assert (tmp_path / "two" / "precious").read_bytes() == before


async def test_two_runs_by_two_names_send_nothing_and_damage_nothing(sky: Cloud, tmp_path: Path) -> None:
    inventory = str(write_rows(tmp_path / "routers.csv", some_rows(3)))
    assert (await sky.run(tmp_path, "run", inventory)).code == 0
    ledger = tmp_path / "reports" / LEDGER
    twin(ledger, tmp_path / "two" / LEDGER)
    more = str(write_rows(tmp_path / "more.csv", some_rows(50)))
    async with sky.slowly(tmp_path, "run", more) as one, sky.slowly(tmp_path, "run", more, "--reports", "two") as two:
        assert [(await each.end()).code for each in (one, two)] == [2, 2]
    assert await sky.creates() == 3
    (tmp_path / "two" / LEDGER).unlink()
    assert is_whole(ledger)
    ended = await sky.run(tmp_path, "run", more)
    assert ended.code == 0, ended.err


async def test_a_folder_copied_by_links_cannot_be_worked_beside_the_first(sky: Cloud, tmp_path: Path) -> None:
    """`cp -al`: the copy has the same ledger, log and lock by other names."""
    inventory = str(write_rows(tmp_path / "routers.csv", some_rows(ROWS)))
    async with sky.slowly(tmp_path, "run", inventory, rate="50/s") as work:
        await sky.until_creates(5)
        shutil.copytree(tmp_path / "reports", tmp_path / "two", copy_function=os.link, ignore=_sockets)
        ended = await sky.run(tmp_path, "resume", "--reports", "two")
        assert ended.code == 2, ended.err
        assert (await work.end()).code == 1
    shutil.rmtree(tmp_path / "two")
    assert is_whole(tmp_path / "reports" / LEDGER)
    assert (await sky.run(tmp_path, "resume")).code == 0
    assert (await sky.statistics())["keys_created_twice"] == []


def _sockets(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if name.endswith(".sock")]


def move_ledger(reports: Path) -> None:
    (reports / LEDGER).rename(reports / "moved.db")


def move_folder(reports: Path) -> None:
    reports.rename(reports.with_name("moved"))


def replace_folder(reports: Path) -> None:
    move_folder(reports)
    reports.mkdir()
    shutil.copy(reports.with_name("moved") / LEDGER, reports / LEDGER)


def replace_ledger(reports: Path) -> None:
    shutil.copy(reports / LEDGER, reports / "new.db")
    (reports / "new.db").replace(reports / LEDGER)


def link_ledger(reports: Path) -> None:
    os.link(reports / LEDGER, reports / "two.db")


def replace_lock(reports: Path) -> None:
    lock = beside(reports / LEDGER, ".lock")
    lock.unlink()
    lock.touch()


def remove(name: str) -> Callable[[Path], None]:
    return lambda reports: (reports / name).unlink()


LOSSES: dict[str, tuple[Callable[[Path], None], str]] = {
    "ledger moved": (move_ledger, "moved or removed"),
    "ledger removed": (remove(LEDGER), "moved or removed"),
    "ledger replaced": (replace_ledger, "another file has come into the place"),
    "ledger linked": (link_ledger, "second name"),
    "folder moved": (move_folder, "moved or removed"),
    "folder replaced": (replace_folder, "another file has come into the place"),
    "lock removed": (remove(f"{LEDGER}.lock"), "moved or removed"),
    "lock replaced": (replace_lock, "another file has come into the place"),
    "log removed": (remove(f"{LEDGER}-wal"), "moved or removed"),
    "log's index removed": (remove(f"{LEDGER}-shm"), "moved or removed"),
}
"""What happens to a ledger while a run works it, and what is said of it."""


@pytest.mark.parametrize("name", LOSSES)
async def test_a_run_whose_ledger_is_lost_settles_what_is_in_flight_and_ends_with_1(
    sky: Cloud, tmp_path: Path, name: str
) -> None:
    lose, says = LOSSES[name]
    inventory = str(write_rows(tmp_path / "routers.csv", some_rows(ROWS)))
    async with sky.slowly(tmp_path, "run", inventory, rate="50/s") as work:
        await sky.until_creates(5)
        lose(tmp_path / "reports")
        seen = await sky.creates()
        ended = await work.end()
    assert ended.code == 1, ended.err
    assert "Traceback" not in ended.err
    message = next(line for line in ended.err.splitlines() if line.startswith("batcher: "))
    assert says in message
    assert "batcher resume" in ended.err
    assert await sky.creates() <= seen + 130, "it went on after the claim of its next page, of 100 rows"
    moved = tmp_path / "moved" / LEDGER
    if moved.exists():
        with closing(sqlite3.connect(moved)) as connection:
            (claimed,) = connection.execute("SELECT count(*) FROM row WHERE state = 'claimed'").fetchone()
        assert claimed == 0, "what was in flight is not settled"
        assert intents(moved) == await sky.creates()


@pytest.mark.parametrize("name", LOSSES)
async def test_each_step_of_the_work_notices_and_is_done_all_the_same(begun: Begun, tmp_path: Path, name: str) -> None:
    """For who works a lane: the lease is held on in what is open, so that what is in flight can be settled."""
    ledger = begun.copy(tmp_path)
    said: list[str] = []
    run = RunId(begun.run_id)
    async with open_ledger(str(ledger), when_lost=lambda: said.append(name)) as book:
        (lane_no, _, _), *_ = await book.lanes(run)
        lease = await book.acquire_lane(run, lane_no, "me", 0.0, 60.0)
        assert said == []
        LOSSES[name][0](ledger.parent)
        assert (await book.renew_lane(lease, 20.0, 60.0)).until == 80.0
        assert said == [name]
        await book.claim(lease, after=0, limit=5, now=21.0)
        assert said == [name], "it is told once"
        with pytest.raises(LedgerLostError):
            await book.end_sitting(run, ended_at=1.0, stop_code="", stop_message="", exit_code=0, rates={})


async def test_who_does_not_listen_for_the_loss_is_stopped_by_it(begun: Begun, tmp_path: Path) -> None:
    ledger = begun.copy(tmp_path)
    async with open_ledger(str(ledger)) as book:
        (lane_no, _, _), *_ = await book.lanes(RunId(begun.run_id))
        lease = await book.acquire_lane(RunId(begun.run_id), lane_no, "me", 0.0, 60.0)
        beside(ledger, ".lock").unlink()
        with pytest.raises(LedgerLostError, match="lock"):
            await book.renew_lane(lease, 20.0, 60.0)


async def test_a_link_that_is_led_elsewhere_under_a_run_is_a_loss(begun: Begun, tmp_path: Path) -> None:
    one, two = begun.copy(tmp_path / "one"), begun.copy(tmp_path / "two")
    name = tmp_path / "ledger.db"
    name.symlink_to(one)
    async with open_ledger(str(name)) as book:
        (lane_no, _, _), *_ = await book.lanes(RunId(begun.run_id))
        name.unlink()
        name.symlink_to(two)
        with pytest.raises(LedgerLostError, match="another file"):
            await book.acquire_lane(RunId(begun.run_id), lane_no, "me", 0.0, 60.0)


LINKS = ("-wal", "-shm", "-journal", ".lock")


@pytest.mark.parametrize("suffix", LINKS)
async def test_a_link_beside_a_ledger_is_refused_and_what_it_leads_to_is_left_as_it_is(
    sky: Cloud, tmp_path: Path, suffix: str
) -> None:
    inventory = str(write_rows(tmp_path / "routers.csv", some_rows(3)))
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "reports").mkdir()
    link = tmp_path / "reports" / f"{LEDGER}{suffix}"
    for target in ("../precious", "../not-there"):
        link.symlink_to(target)
        ended = await sky.run(tmp_path, "run", inventory)
        assert ended.code == 2, ended.err
        assert f"{LEDGER}{suffix}`, which goes with the ledger, is a link" in ended.err
        link.unlink()
    assert (tmp_path / "precious").read_text() == "precious"
    assert not (tmp_path / "not-there").exists()
    assert (await sky.statistics())["calls"] == {}


@pytest.mark.parametrize("suffix", LINKS)
async def test_who_reads_follows_no_link_beside_a_ledger_either(begun: Begun, tmp_path: Path, suffix: str) -> None:
    ledger = begun.copy(tmp_path, closed=True)
    place = beside(ledger, suffix)
    place.unlink(missing_ok=True)
    place.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="is a link"):
        async with open_ledger(str(ledger), read_only=True):
            pass
    assert not (tmp_path / "elsewhere").exists()


def test_a_pipe_in_the_place_of_the_lock_is_refused_and_not_waited_on(
    begun: Begun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = begun.copy(tmp_path)
    beside(ledger, ".lock").unlink()
    os.mkfifo(beside(ledger, ".lock"))
    for words in (["status"], ["resume"], ["ctl", "status"]):
        assert main([*words, "--ledger", str(ledger)]) == 2
        assert "is no file" in capsys.readouterr().err
