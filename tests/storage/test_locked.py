"""A ledger that other programs use: one that writes, one that reads for long, one that holds the lock."""

import asyncio
import fcntl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.e2e.clouds import Cloud, assert_created_once
from tests.e2e.commands import batcher
from tests.e2e.inventories import some_rows, write_rows
from tests.storage.begun import LEDGER, Begun, beside, contents, refused

pytestmark = pytest.mark.timeout(60)  # several whole commands a test

OTHER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=10)
connection.execute(sys.argv[2])
connection.execute("SELECT * FROM run").fetchall()
print("there", flush=True)
sys.stdin.read()
"""


@asynccontextmanager
async def another_program(ledger: Path, begin: str) -> AsyncIterator[None]:
    """A program that has a transaction open on a ledger, until the end of the block."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", OTHER, str(ledger), begin),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"there\n"
        yield
    finally:
        await process.communicate(b"")


async def test_a_ledger_that_another_program_writes_for_long_is_left_with_a_word(
    begun: Begun, tmp_path: Path, sky: Cloud
) -> None:
    ledger = begun.copy(tmp_path)
    places = ["--reports", str(ledger.parent)]
    before = contents(ledger)
    async with another_program(ledger, "BEGIN EXCLUSIVE"):
        ended = await sky.run(tmp_path, "resume", *places)
        refused(ended.code, ended.err, ledger, "another program has the ledger open for writing; close it")
        assert (await sky.statistics())["calls"] == {}
        assert contents(ledger) == before
        told = await batcher(tmp_path, "status", *places)
        assert (told.code, told.err) == (0, "")
    ended = await sky.run(tmp_path, "resume", *places)
    assert (ended.code, ended.err) == (0, "")
    assert "200 created" in ended.out


async def test_a_program_that_writes_for_a_moment_and_a_backup_that_reads_for_long_are_waited_for_or_borne(
    tmp_path: Path, sky: Cloud
) -> None:
    inventory = write_rows(tmp_path / "routers.csv", some_rows(100))
    ledger = tmp_path / "reports" / LEDGER
    async with sky.slowly(tmp_path, "run", str(inventory), rate="50/s") as work:
        await sky.until_creates(10)
        async with another_program(ledger, "BEGIN"):  # a reader
            async with another_program(ledger, "BEGIN EXCLUSIVE"):
                await batcher(tmp_path, "status")
            ended = await work.end()
    assert ended.code == 0, ended.err
    assert "100 created" in ended.out
    assert_created_once(await sky.statistics(), 100)


async def test_a_lock_that_another_program_holds_is_respected(begun: Begun, tmp_path: Path, sky: Cloud) -> None:
    ledger = begun.copy(tmp_path)
    before = contents(ledger)
    with beside(ledger, ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        ended = await sky.run(tmp_path, "resume", "--reports", str(ledger.parent))
    assert ended.code == 6
    assert f"batcher: the ledger `{ledger}` is worked by another process\nhint: " in ended.err
    assert contents(ledger) == before
