"""What survives: a restart, a kill at any moment; and who may own a state file."""

import asyncio
import contextlib
import os
import signal
import sqlite3
import sys
from pathlib import Path

import aiohttp
import pytest

from batcher.emulator.server import Emulator, EmulatorSettings, StateError, Throttle, running
from batcher.emulator.state import VERSIONS, State
from batcher.emulator.statistics import statistics
from tests.emulator.client import GROUP, PROJECT, ROUTER, STREAM, Client, Clock, body, key, some_id, talking


async def test_a_restart_keeps_everything(tmp_path: Path) -> None:
    path, clock = tmp_path / "state.db", Clock()
    async with talking(state_path=path, now=clock) as client:
        await client.create(body(1), token="t")
        await client.create(body(1), token="u")
        await client.control("POST", "/clock", {"advance_s": 30})
        first = await client.create(body(1), token="t")
        before = await client.statistics()
    async with talking(state_path=path, now=clock) as client:
        assert await client.statistics() == before
        assert before["keys_with_two_tokens"] == [key(1)]
        assert (await client.show(first.flow_log["id"])).flow_log == first.flow_log
        assert (await client.create(body(1), token="t")).flow_log == first.flow_log
        assert (await client.create(body(1), token="u")).refused == (400, "ER.04008503")
        assert await client.created(2) != first.flow_log["id"]
        assert (await client.control("POST", "/clock", {"advance_s": 0})).json == {"offset_s": 30}


async def test_a_restart_keeps_the_throttles_window(tmp_path: Path) -> None:
    settings = {"state_path": tmp_path / "state.db", "throttle": Throttle(2, 3600)}
    async with talking(**settings) as client:
        await client.created(1)
        await client.created(2)
    async with talking(**settings) as client:
        assert (await client.create(body(3))).status == 429


async def test_a_state_file_has_one_owner(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    async with talking(state_path=path) as client:
        with pytest.raises(StateError, match="another emulator"):
            async with talking(state_path=path):
                pass
        await client.created(1)
    async with talking(state_path=path) as client:
        assert (await client.statistics())["flow_logs"] == 1


async def test_a_file_that_no_emulator_made_is_left_alone(tmp_path: Path) -> None:
    foreign = tmp_path / "ledger.db"
    with contextlib.closing(sqlite3.connect(foreign)) as db:
        db.execute("CREATE TABLE rows (id)")
    text = tmp_path / "notes.txt"
    text.write_text("these are my notes, and they are no database" * 50)
    for path in (foreign, text, tmp_path / "missing" / "state.db"):
        with pytest.raises(StateError):
            State(path, 0)
    with contextlib.closing(sqlite3.connect(foreign)) as db:
        assert [name for (name,) in db.execute("SELECT name FROM sqlite_master")] == ["rows"]


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    State(tmp_path / "state.db", 0).close()
    with contextlib.closing(sqlite3.connect(tmp_path / "state.db")) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(StateError, match="version 99"):
        State(tmp_path / "state.db", 0)


@pytest.mark.parametrize("version", [1, 2, 3])
def test_a_file_of_an_old_version_goes_on_and_gets_the_schema_of_a_new_one(tmp_path: Path, version: int) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "old.db")) as db:
        db.executescript(f"{''.join(VERSIONS[:version])} PRAGMA user_version = {version};")
        db.execute("INSERT INTO routers VALUES ('p', 'r', 'old', 'available', 0)")
        db.commit()
    schemas = []
    for name in ("old.db", "new.db"):
        for _ in range(2):
            State(tmp_path / name, 0).close()
        with contextlib.closing(sqlite3.connect(tmp_path / name)) as db:
            schemas.append(db.execute("SELECT type, name, sql FROM sqlite_master ORDER BY 1, 2").fetchall())
            assert db.execute("PRAGMA user_version").fetchone() == (4,)
            assert db.execute("SELECT count(*) FROM routers").fetchone() == (int(name == "old.db"),)
    assert schemas[0] == schemas[1]


async def test_what_an_old_file_holds_can_be_deleted_and_gets_no_fate(tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "old.db")) as db:
        db.executescript(f"{''.join(VERSIONS[:2])} PRAGMA user_version = 2;")
        ids = f"'{some_id(9)}', '{PROJECT}', '{ROUTER}', 'old', '', '{some_id(1)}', '{GROUP}', '{STREAM}'"
        db.execute(f"INSERT INTO flow_logs VALUES (1, {ids}, 0, 0, 0, 'available', 1, NULL)")
        db.execute(f"INSERT INTO projects VALUES ('{PROJECT}', 1, 1)")
        db.commit()
    async with talking(state_path=tmp_path / "old.db", deleting_s=10) as client:
        assert (await client.show(some_id(9))).flow_log["state"] == "available"
        assert (await client.call("DELETE", f"{ROUTER}/flow-logs/{some_id(9)}")).status == 202
        assert (await client.show(some_id(9))).flow_log["state"] == "deleting"
        await client.control("POST", "/clock", {"advance_s": 10})
        found = await client.statistics()
        assert (found["flow_logs"], found["created_total"]) == (0, 1)


EMBEDDED = """
import asyncio, sys
from pathlib import Path
import aiohttp
from batcher.emulator.server import EmulatorSettings, running
from tests.emulator.client import Client, body

async def main():
    async with running(EmulatorSettings(state_path=Path(sys.argv[1]))) as emulator:
        async with aiohttp.ClientSession() as session:
            client = Client(emulator, session)
            async def worker(first):
                for number in range(first, 1_000_000, 8):
                    reply = await client.create(body(number), token=str(number))
                    print(number, reply.flow_log["id"], flush=True)
            await asyncio.gather(*(worker(first) for first in range(8)))

asyncio.run(main())
"""


async def test_a_kill_loses_nothing_that_was_answered(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    answered: dict[str, str] = {}
    for lines in (40, 150):
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            EMBEDDED,
            str(path),
            stdout=asyncio.subprocess.PIPE,
            cwd=Path(__file__).parents[2],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )
        assert process.stdout is not None
        for _ in range(lines):
            number, flow_log_id = (await process.stdout.readline()).decode().split()
            answered[number] = flow_log_id
        process.send_signal(signal.SIGKILL)
        async for line in process.stdout:
            number, _, flow_log_id = line.decode().rstrip("\n").partition(" ")
            if len(flow_log_id) == 36:  # the kill may cut the last line
                answered[number] = flow_log_id
        assert await process.wait() == -signal.SIGKILL
    async with talking(state_path=path) as client:
        for number, flow_log_id in answered.items():
            again = await client.create(body(int(number)), token=number)
            assert (again.status, again.flow_log["id"]) == (202, flow_log_id)
        found = await client.statistics()
    assert len(answered) >= 150
    assert found["created_total"] == found["flow_logs"] >= len(answered)
    assert found["keys_created_twice"] == found["keys_with_two_tokens"] == []
    with contextlib.closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_statistics_would_show_a_key_that_was_created_twice() -> None:
    state = State(None, 0)
    insert = (
        "INSERT INTO flow_logs VALUES (?, ?, 'p', 'r', '', '', ?, 'g', 's', ?, 0, 0, 'available', 1, ?, NULL, NULL)"
    )
    rows = [
        (1, "a", "twice", 10.0, None),
        (2, "b", "twice", 20.0, None),
        (3, "c", "apart", 10.0, 15.0),
        (4, "d", "apart", 20.0, None),
        (5, "e", "overlap", 10.0, 25.0),
        (6, "f", "overlap", 20.0, None),
        (7, "g", "once", 10.0, None),
    ]
    state.db.executemany(insert, rows)
    assert statistics(state, None)["keys_created_twice"] == ["p/r/overlap/g/s", "p/r/twice/g/s"]
    state.close()


async def test_two_emulators_live_side_by_side() -> None:
    settings = EmulatorSettings()
    async with (
        running(settings) as one,
        running(settings) as two,
        aiohttp.ClientSession() as session,
    ):
        assert one.url != two.url
        await Client(one, session).created(1)
        assert (await Client(two, session).create()).status == 202
        assert isinstance(one, Emulator)
