"""The ledger as a file: made, opened again, refused untouched, and held by one process at a time."""

import asyncio
import contextlib
import os
import shutil
import signal
import sqlite3
import stat
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from batcher.errors import LedgerError, LedgerHeldError, RunNotFoundError
from batcher.ledger.migrate import APPLICATION_ID, migrations
from batcher.ledger.open import open_ledger
from batcher.model import NaturalKey, RunId
from tests.ledger.book import (
    THERE,
    assert_counters_hold,
    end,
    everything,
    lease_of,
    open_run,
    row,
    send,
    settled,
    states,
    taken_back,
    write,
)

NEWEST = migrations()[-1][0]

HOLDER = """
import asyncio, sys
from batcher.ledger.open import open_ledger
async def main():
    async with open_ledger(sys.argv[1]):
        print("held", flush=True)
        await asyncio.to_thread(sys.stdin.read)
asyncio.run(main())
"""


@contextlib.asynccontextmanager
async def holder(place: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """Another process that has the ledger open until its standard input ends."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLDER, str(place), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"held\n"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def make_ledger(place: Path, rows: int = 0) -> None:
    async with open_ledger(str(place)) as ledger:
        if rows:
            run_id = await open_run(ledger, "r1", [row(n) for n in range(1, rows + 1)])
            await end(ledger, run_id)


def shape(path: Path) -> tuple[object, ...]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return (
            sorted(connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master")),
            connection.execute("PRAGMA user_version").fetchone(),
            connection.execute("PRAGMA application_id").fetchone(),
        )


# --- the schema -----------------------------------------------------------------------------------------


async def test_a_new_ledger_has_the_newest_schema_and_says_whose_it_is(place: Path) -> None:
    await make_ledger(place)
    _, version, application = shape(place)
    assert (version, application) == ((NEWEST,), (APPLICATION_ID,))


def make_older(path: Path, number: int, *rows: str) -> None:
    """A ledger of an older schema, as a batcher of that time has left it, with what these statements put in."""
    path.parent.mkdir(exist_ok=True)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        for done, script in migrations():
            if done <= number:
                connection.executescript(script)
        for statement in rows:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {number}")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.commit()


def tables_of(path: Path) -> dict[str, object]:
    """Every table and index with its columns: name, type, whether it may be NULL, default, place in the key."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        names = connection.execute("SELECT name FROM sqlite_master").fetchall()
        return {name: connection.execute(f"PRAGMA table_xinfo('{name}')").fetchall() for (name,) in names}


async def test_a_migrated_ledger_equals_a_fresh_one(place: Path, tmp_path: Path) -> None:
    """Schema by schema: a ledger of each older number, opened, ends up as one that was made today."""
    await make_ledger(place)
    for number, _ in migrations():
        older = tmp_path / f"older-{number}.db"
        make_older(older, number)
        await make_ledger(older)
        assert shape(older)[1:] == shape(place)[1:]
        assert tables_of(older) == tables_of(place)


OF_VERSION_2 = (
    """INSERT INTO run (run_no, run_id, state, operation, inventory_name, inventory_sha256, fingerprint, columns,
                        settings, started_at, folded)
       VALUES (1, 'r1', 'open', 'flow_log', 'i.csv', '5e', 'f1', '[]', '{}', 5.0, 0)""",
    """INSERT INTO lane (run_no, lane_no, account, region, project_id, owner, epoch, leased_until)
       VALUES (1, 1, 'default', 'cn-north-4', 'p1', 'dead', 4, 99.0)""",
    *(
        f"INSERT INTO plan VALUES ({(1 << 32) + n}, {n + 1}, 1, 'er-1', X'{n:032x}', '[\"row-{n}\"]', '{{}}')"
        for n in (1, 2, 3)
    ),
    *(f"INSERT INTO row_key VALUES (1, X'{n:032x}', 1, {n})" for n in (1, 2, 3)),
    """INSERT INTO row (run_no, lane_no, row_no, state, outcome, token, intent_at, attempts, remote_id, http_status,
                        first_sent_at, settled_at)
       VALUES (1, 1, 1, 'settled', 'created', 't1', 7.0, 1, 'fl-1', 202, 7.5, 8.0),
              (1, 1, 2, 'accepted', NULL, 't2', 7.0, 1, 'fl-2', 202, 7.5, NULL),
              (1, 1, 3, 'claimed', NULL, 't3', 7.0, 0, NULL, NULL, NULL, NULL)""",
    "INSERT INTO row_count VALUES (1, 'settled', 'created', 1), (1, 'accepted', '', 1), (1, 'claimed', '', 1)",
    """INSERT INTO known (key, generation, spent, used_at, remote_id, remote_state, seen_at)
       VALUES (X'00000000000000000000000000000001', 0, 0, 3.0, 'fl-1', 'available', 4.0)""",
    "INSERT INTO lane_call VALUES ('default', 'cn-north-4', 'p1', 6.0, 1)",
)
OF_VERSION_3 = (
    *OF_VERSION_2,
    """INSERT INTO lane (run_no, lane_no, account, region, project_id, er_endpoint, tenant)
       VALUES (1, 2, 'default', 'cn-north-4', 'p2', 'https://er.test', 'ak'),
              (1, 3, 'default', 'cn-north-4', 'p3', 'https://er.test', 'ak')""",
    "INSERT INTO lane_call VALUES ('default', 'cn-north-4', 'p2', 6.0, 0)",
    "UPDATE row SET made = 1, sent_there = 7207.0, told_there = 7208.0 WHERE row_no < 3",
    "UPDATE row SET sent_there = 7209.0, told_there = 7209.5 WHERE row_no = 3",
    "UPDATE known SET deleted_id = 'fl-0'",
    "INSERT INTO identity VALUES ('0123456789abcdef')",
)
"""The last lane is of a place that was never called."""
UNDO_OF_VERSION_3 = (
    """INSERT INTO run (run_no, run_id, parent, state, operation, inventory_name, inventory_sha256, fingerprint,
                        columns, settings, started_at, folded)
       VALUES (2, 'undo', 'r1', 'open', 'undo', 'i.csv', '5e', 'f2', '[]', '{}', 20.0, 0)""",
    """INSERT INTO lane (run_no, lane_no, account, region, project_id, owner, epoch, leased_until)
       VALUES (2, 1, 'default', 'cn-north-4', 'p1', 'dead', 1, 99.0)""",
    *(
        statement
        for n, state in ((1, "claimed"), (2, "planned"))
        for statement in (
            f"INSERT INTO plan VALUES ({(2 << 32) + n}, {n + 1}, 1, 'er-1', X'{n:032x}', '[\"row-{n}\"]', '{{}}')",
            f"INSERT INTO row_key VALUES (2, X'{n:032x}', 1, {n})",
            f"""INSERT INTO row (run_no, lane_no, row_no, state, token, intent_at, remote_id, made, sent_there,
                                 told_there)
                VALUES (2, 1, {n}, '{state}', 't{n}', 7.0, 'fl-{n}', 1, 7207.0, 7208.0)""",
            f"INSERT INTO row_count VALUES (2, '{state}', '', 1)",
        )
    ),
)
"""An undo that was killed: the delete of the first row may have been sent."""


async def test_what_a_ledger_of_version_2_knew_it_knows_still_and_of_the_rest_it_says_so(
    place: Path, tmp_path: Path
) -> None:
    make_older(place, 2, *OF_VERSION_2)
    run_id = RunId("r1")
    async with open_ledger(str(place)) as ledger:
        assert await states(ledger, run_id) == "1 settled/created, 2 accepted, 3 claimed"
        await assert_counters_hold(ledger, run_id)
        lease = await lease_of(ledger, run_id)
        assert (lease.epoch, lease.was_called) == (5, True)
        found = await ledger.match(lease, [NaturalKey(bytes(15) + bytes([n])) for n in (1, 2, 3)])
        assert [(r.remote_id, r.intent_at) for r in found] == [("fl-1", 7.0), ("fl-2", 7.0), (None, 7.0)]
        assert {(r.made, r.sent_there, r.told_there, r.deleted_id) for r in found} == {(None, None, None, None)}
        (work,) = await ledger.recover(lease, after=0, limit=9)
        assert (work.row_no, work.used_at, work.sent_there, work.deleted_id) == (3, 7.0, None, None)
    await make_ledger(tmp_path / "fresh.db")
    assert tables_of(place) == tables_of(tmp_path / "fresh.db")
    assert shape(place)[1:] == shape(tmp_path / "fresh.db")[1:]


async def test_a_ledger_of_version_2_goes_on_as_a_new_one(place: Path) -> None:
    """Its rows can be sent, settled and taken back; what was sent before can be dated by nobody."""
    make_older(place, 2, *OF_VERSION_2)
    run_id, undo = RunId("r1"), RunId("undo")
    async with open_ledger(str(place)) as ledger:
        lease = await lease_of(ledger, run_id)
        await write(ledger, lease, settled(3, remote_id="fl-3", made=True), sends=[send(lease, 3)])
        assert await taken_back(ledger, run_id) == 3
        rows = await ledger.rows(await lease_of(ledger, undo), [1, 2, 3])
        assert [(r.remote_id, r.made, r.sent_there, r.told_there) for r in rows] == [
            ("fl-1", None, None, None),
            ("fl-2", None, None, None),
            ("fl-3", True, THERE, THERE + 1),
        ]


async def test_what_a_ledger_of_version_3_knew_of_sends_and_calls_it_knows_still(place: Path, tmp_path: Path) -> None:
    make_older(place, 3, *OF_VERSION_3)
    run_id = RunId("r1")
    async with open_ledger(str(place)) as ledger:
        assert await ledger.identity() == "0123456789abcdef"
        assert await states(ledger, run_id) == "1 settled/created, 2 accepted, 3 claimed"
        await assert_counters_hold(ledger, run_id)
        leases = [await lease_of(ledger, run_id, lane_no) for lane_no in (1, 2, 3)]
        assert [lease.was_called for lease in leases] == [True, True, False]
        again = [await lease_of(ledger, run_id, lane_no, owner="heir") for lane_no in (1, 2, 3)]
        assert [lease.was_called for lease in again] == [True, True, True]
        found = await ledger.match(again[0], [NaturalKey(bytes(15) + bytes([n])) for n in (1, 2, 3)])
        assert [(r.made, r.sent_there, r.told_there) for r in found] == [
            (True, 7207.0, 7208.0),
            (True, 7207.0, 7208.0),
            (None, 7209.0, 7209.5),
        ]
        assert [r.deleted_id for r in found] == ["fl-0", None, None]
        assert {(r.sent_before, r.leaving_id) for r in found} == {((), None)}
        (work,) = await ledger.recover(again[0], after=0, limit=9)
        assert (work.row_no, work.sent_there, work.told_there, work.sent_before) == (3, 7209.0, 7209.5, ())
    await make_ledger(tmp_path / "fresh.db")
    assert tables_of(place) == tables_of(tmp_path / "fresh.db")
    assert shape(place)[1:] == shape(tmp_path / "fresh.db")[1:]


async def test_a_ledger_of_version_3_goes_on_as_a_new_one(place: Path) -> None:
    """What its last process has sent stays on record beside what the next one sends, and reaches an undo."""
    make_older(place, 3, *OF_VERSION_3)
    run_id, undo = RunId("r1"), RunId("undo")
    async with open_ledger(str(place)) as ledger:
        lease = await lease_of(ledger, run_id)
        await write(ledger, lease, sends=[send(lease, 3, before=((7209.0, 7209.5),))])
        assert await taken_back(ledger, run_id) == 3
        rows = await ledger.rows(await lease_of(ledger, undo), [1, 2, 3])
        assert [(r.remote_id, r.sent_there, r.told_there, r.sent_before) for r in rows] == [
            ("fl-1", 7207.0, 7208.0, ()),
            ("fl-2", 7207.0, 7208.0, ()),
            (None, THERE, THERE + 1, ((7209.0, 7209.5),)),
        ]


async def test_what_an_undo_of_version_3_may_have_deleted_is_in_doubt(place: Path) -> None:
    make_older(place, 3, *OF_VERSION_3, *UNDO_OF_VERSION_3)
    keys = [NaturalKey(bytes(15) + bytes([n])) for n in (1, 2)]
    async with open_ledger(str(place)) as ledger:
        await end(ledger, RunId("undo"))
        found = await ledger.match(await lease_of(ledger, RunId("undo")), keys)
        assert [r.leaving_id for r in found] == ["fl-1", None]


def test_migrations_are_numbered_without_gaps() -> None:
    assert [number for number, _ in migrations()] == list(range(1, NEWEST + 1))


async def test_an_empty_file_becomes_a_ledger(place: Path) -> None:
    place.parent.mkdir()
    place.touch()
    await make_ledger(place, rows=1)
    assert shape(place)[1] == (NEWEST,)


async def test_what_was_written_is_there_when_it_is_opened_again(place: Path) -> None:
    await make_ledger(place, rows=3)
    async with open_ledger(str(place)) as ledger:
        (run,) = await ledger.runs()
        assert [record.row_no for record in await everything(ledger, run.run_id)] == [1, 2, 3]


# --- files that are no ledger of ours -------------------------------------------------------------------


async def newer(path: Path) -> None:
    await make_ledger(path, rows=1)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {NEWEST + 1}")


async def foreign(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE recipe (name TEXT)")
        connection.execute("INSERT INTO recipe VALUES ('soup')")
        connection.commit()


async def foreign_with_a_version(path: Path) -> None:
    await foreign(path)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {NEWEST}")


async def text(path: Path) -> None:
    path.write_text("er_id,resource_id\n" * 500, encoding="utf-8")


async def a_little_text(path: Path) -> None:
    path.write_text("hello", encoding="utf-8")


async def cut_in_the_header(path: Path) -> None:
    await make_ledger(path, rows=1)
    os.truncate(path, 60)


async def cut_in_the_first_page(path: Path) -> None:
    await make_ledger(path, rows=1)
    os.truncate(path, 1000)


async def cut_in_half(path: Path) -> None:
    await make_ledger(path, rows=1000)
    os.truncate(path, path.stat().st_size // 2)


REFUSED: list[tuple[Callable[[Path], object], str, str]] = [
    (newer, f"has schema {NEWEST + 1}", "a newer batcher"),
    (foreign, "no ledger of batcher", "`--ledger`"),
    (foreign_with_a_version, "no ledger of batcher", "`--ledger`"),
    (text, "NOTADB", "`--ledger`"),
    (a_little_text, "", "`--ledger`"),
    (cut_in_the_header, "", "`--ledger`"),
    (cut_in_the_first_page, "", "`--ledger`"),
    (cut_in_half, "", "`--ledger`"),
]


@pytest.mark.parametrize("read_only", [False, True], ids=["writing", "reading"])
@pytest.mark.parametrize(("make", "says", "hint"), REFUSED, ids=[make.__name__ for make, _, _ in REFUSED])
async def test_a_file_that_is_no_ledger_is_refused_and_left_as_it_is(
    tmp_path: Path, make: Callable[[Path], object], says: str, hint: str, read_only: bool
) -> None:
    path = tmp_path / "file.db"
    await make(path)  # type: ignore[misc]
    before, beside = path.read_bytes(), {entry.name for entry in tmp_path.iterdir()}
    with pytest.raises(LedgerError) as refusal:
        async with open_ledger(str(path), read_only=read_only) as ledger:
            await ledger.runs()
    assert f"`{path}`" in str(refusal.value)
    assert says in str(refusal.value)
    assert hint in refusal.value.hint
    assert path.read_bytes() == before
    # A reader of a file with a write-ahead log may leave SQLite's own two files beside it, both empty of rows.
    may_be = {"file.db-wal", "file.db-shm"} if read_only else {"file.db.lock"}
    assert {entry.name for entry in tmp_path.iterdir()} <= beside | may_be


async def test_a_folder_is_no_ledger(tmp_path: Path) -> None:
    with pytest.raises(LedgerError) as refusal:
        async with open_ledger(str(tmp_path)):
            pass
    assert refusal.value.hint


async def test_a_place_that_cannot_be_made_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LedgerError) as refusal:
        async with open_ledger(str(tmp_path / "file" / "ledger.db")):
            pass
    assert refusal.value.hint


async def test_reading_where_there_is_no_ledger_makes_none(place: Path) -> None:
    with pytest.raises(RunNotFoundError, match="there is no ledger") as refusal:
        async with open_ledger(str(place), read_only=True):
            pass
    assert "`batcher run`" in refusal.value.hint
    assert not place.parent.exists()


async def test_a_run_that_is_not_there_is_named(place: Path) -> None:
    await make_ledger(place)
    async with open_ledger(str(place)) as ledger:
        with pytest.raises(RunNotFoundError, match="`r9`") as refusal:
            await ledger.run(RunId("r9"))
    assert "`batcher status`" in refusal.value.hint


# --- one process at a time ------------------------------------------------------------------------------


async def test_a_second_process_is_told_who_holds_the_ledger(place: Path) -> None:
    async with holder(place) as process:
        with pytest.raises(LedgerHeldError) as refusal:
            async with open_ledger(str(place)):
                pass
        assert f"process {process.pid} on" in str(refusal.value)
        assert "`batcher status`" in refusal.value.hint


async def test_a_holder_that_ended_left_the_ledger_free(place: Path) -> None:
    async with holder(place) as process:
        assert process.stdin is not None
        process.stdin.close()
        assert await process.wait() == 0
        await make_ledger(place, rows=1)


async def test_the_hold_of_a_killed_process_is_taken_over_at_once(place: Path) -> None:
    async with holder(place) as process:
        process.send_signal(signal.SIGKILL)
        await process.wait()
        await make_ledger(place, rows=1)
        async with open_ledger(str(place)) as ledger:
            assert len(await ledger.runs()) == 1


async def test_a_ledger_that_cannot_be_opened_holds_no_lock(tmp_path: Path) -> None:
    path = tmp_path / "file.db"
    await text(path)
    with pytest.raises(LedgerError):
        await make_ledger(path)
    path.unlink()
    await make_ledger(path)


async def test_a_lock_file_with_rubbish_in_it_is_no_hindrance(place: Path) -> None:
    place.parent.mkdir()
    place.with_name("ledger.db.lock").write_bytes(b'\xff\x00{"pid": "x"' * 1000)
    await make_ledger(place)


async def test_reading_beside_a_writer_takes_no_lock_and_sees_what_is_committed(place: Path) -> None:
    async with open_ledger(str(place)) as writer:
        run_id = await open_run(writer, "r1", [row(1)])
        async with open_ledger(str(place), read_only=True) as reader:
            assert [record.state for record in await everything(reader, run_id)] == ["planned"]
            lease = await lease_of(writer, run_id)
            await writer.claim(lease, after=0, limit=9, now=2.0)
            await write(writer, lease, settled(1))
            assert [record.state for record in await everything(reader, run_id)] == ["settled"]


async def test_a_reader_cannot_write(place: Path) -> None:
    await make_ledger(place, rows=1)
    async with open_ledger(str(place), read_only=True) as reader:
        (run,) = await reader.runs()
        with pytest.raises(LedgerError, match="READONLY"):
            await reader.reopen(run.run_id)


async def test_the_ledger_and_its_lock_are_for_their_owner_alone(place: Path) -> None:
    old = os.umask(0)
    try:
        async with open_ledger(str(place)) as ledger:
            await open_run(ledger, "r1", [row(1)])
            rights = {path.name: stat.S_IMODE(path.stat().st_mode) for path in place.parent.iterdir()}
    finally:
        os.umask(old)
    assert rights.keys() >= {"ledger.db", "ledger.db.lock", "ledger.db-wal"}
    assert set(rights.values()) == {0o600}


async def test_a_copy_of_a_ledger_at_work_is_a_ledger(place: Path, tmp_path: Path) -> None:
    """What a crash leaves on the disk, the log not yet folded into the file."""
    async with open_ledger(str(place)) as ledger:
        run_id = await open_run(ledger, "r1", [row(1), row(2)])
        lease = await lease_of(ledger, run_id)
        await ledger.claim(lease, after=0, limit=1, now=2.0)
        for path in place.parent.glob("ledger.db*"):
            shutil.copy(path, tmp_path)
    async with open_ledger(str(tmp_path / "ledger.db")) as image:
        assert [record.state for record in await everything(image, run_id)] == ["claimed", "planned"]


async def test_a_ledger_may_be_closed_twice(place: Path) -> None:
    async with open_ledger(str(place)) as ledger:
        await ledger.close()
        await ledger.close()
