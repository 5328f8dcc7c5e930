"""A ledger has an id that no other has, for as long as it lives, and so do the places of its lanes."""

import contextlib
import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from batcher.errors import LedgerError
from batcher.ledger.identity import birth_of
from batcher.ledger.lock import beside
from batcher.ledger.open import open_ledger
from batcher.model import RunId
from batcher.records import Site
from tests.ledger.book import (
    NORTH,
    SOUTH,
    open_run,
    opened,
    row,
    run_record,
)

FIRST = Site("https://er.first.example", "https://iam.first.example", "", "0" * 32)
SECOND = Site("https://er.second.example")
R1 = RunId("r1")


async def identity(path: Path, *, read_only: bool = False) -> str:
    async with open_ledger(str(path), read_only=read_only) as ledger:
        return await ledger.identity()


async def test_a_ledger_keeps_its_id_and_a_copy_has_the_same(tmp_path: Path) -> None:
    first = await identity(tmp_path / "ledger.db")
    assert len(first) == 16
    assert await identity(tmp_path / "ledger.db") == first
    assert await identity(tmp_path / "ledger.db", read_only=True) == first
    shutil.copy(tmp_path / "ledger.db", tmp_path / "copy.db")
    assert await identity(tmp_path / "copy.db") == first


async def test_a_ledger_that_is_begun_anew_at_the_same_place_in_the_same_moment_is_another_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One process, one path, most likely one inode, and a wall clock that stands still."""
    monkeypatch.setattr(time, "time_ns", lambda: 1_713_513_600_000_000_000)
    found = set()
    for _ in range(20):
        found.add(await identity(tmp_path / "ledger.db"))
        for path in tmp_path.iterdir():
            path.unlink()
    assert len(found) == 20


def test_two_processes_make_two_ids(tmp_path: Path) -> None:
    """The same moment, and files that look alike: the process tells them apart."""
    (tmp_path / "ledger.db").touch()
    code = (
        "import sys, time; from pathlib import Path; time.time_ns = time.monotonic_ns = lambda: 1;"
        "from batcher.ledger.identity import birth_of; print(birth_of(Path(sys.argv[1])))"
    )
    births = {
        subprocess.run([sys.executable, "-c", code, tmp_path / "ledger.db"], capture_output=True, check=True).stdout
        for _ in range(2)
    }
    assert len(births) == 2
    assert str(tmp_path) in birth_of(tmp_path / "ledger.db")


async def test_the_id_outlives_a_lost_log(tmp_path: Path) -> None:
    """It is in the file before there is a log: a ledger that lost what it held has not become another one."""
    ledger = await opened(tmp_path / "ledger.db")
    first = await ledger.identity()
    shutil.copy(tmp_path / "ledger.db", tmp_path / "lost.db")
    await ledger.close()
    assert await identity(tmp_path / "lost.db") == first


async def test_a_ledger_of_the_schema_before_gets_an_id_once_it_is_worked(tmp_path: Path) -> None:
    ledger = await opened(tmp_path / "ledger.db")
    await open_run(ledger, "r1", [row(1)])
    await ledger.close()
    with contextlib.closing(sqlite3.connect(tmp_path / "ledger.db")) as connection:
        connection.execute("DELETE FROM identity")
        connection.commit()
    assert await identity(tmp_path / "ledger.db", read_only=True) == ""
    first = await identity(tmp_path / "ledger.db")
    assert len(first) == 16
    assert await identity(tmp_path / "ledger.db", read_only=True) == first


async def test_an_id_that_batcher_never_made_is_damage(tmp_path: Path) -> None:
    await identity(tmp_path / "ledger.db")
    with contextlib.closing(sqlite3.connect(tmp_path / "ledger.db")) as connection:
        connection.execute("UPDATE identity SET ledger_id = '../x'")
        connection.commit()
    beside(tmp_path / "ledger.db", ".lock").unlink()
    for read_only in (True, False):
        with pytest.raises(LedgerError, match="holds what batcher never wrote"):
            await identity(tmp_path / "ledger.db", read_only=read_only)


async def test_lanes_keep_where_they_were_planned_and_copies_of_them_too(tmp_path: Path) -> None:
    ledger = await opened(tmp_path / "ledger.db")
    try:
        await ledger.create_run(run_record("r1"))
        await ledger.add_rows(R1, [row(1), row(2, lane=SOUTH)], {NORTH: FIRST})
        await ledger.add_rows(R1, [row(3)], {NORTH: SECOND})
        await ledger.index_keys(R1)
        await ledger.open_run(R1, (), {})
        expected = [(NORTH.account, NORTH.region, FIRST), (SOUTH.account, SOUTH.region, Site())]
        assert await ledger.sites(R1) == expected, "a lane is planned once"
        for copy, number in (("copy_rows", "r2"), ("copy_made", "r3")):
            await ledger.create_run(run_record(number, parent="r1"))
            await getattr(ledger, copy)(RunId(number), R1)
            assert await ledger.sites(RunId(number)) == expected
    finally:
        await ledger.close()
