"""A disk that is full before, during and after the work: nothing goes out unrecorded, and nothing is lost."""

import json
import shlex
from pathlib import Path

import pytest

from tests.e2e.clouds import Cloud, assert_created_once
from tests.e2e.commands import EMULATOR_KEYS, batcher, but_unchecked, start
from tests.e2e.inventories import some_rows, write_rows
from tests.storage.begun import LEDGER, Begun, beside, intents, leftovers, refused
from tests.storage.disks import SmallDisk, file_size_limit, small_disk

pytestmark = pytest.mark.timeout(60)  # several whole commands a test


FREE_SPACE = "free space on the ledger's disk, then run the same command again"


async def run(sky: Cloud, folder: Path, disk: SmallDisk) -> tuple[int, str, str]:
    ended = await sky.run(folder, "run", str(folder / "routers.csv"), "--reports", str(disk.path / "reports"))
    return ended.code, ended.out, ended.err


@pytest.mark.parametrize("free_bytes", [0, 96 << 10], ids=["none", "96K"])
async def test_a_disk_that_is_full_before_the_plan_is_whole_lets_nothing_out(
    tmp_path: Path, sky: Cloud, free_bytes: int
) -> None:
    """Without room for as much as the text of the lock, and with room for a part of the rows."""
    write_rows(tmp_path / "routers.csv", some_rows(150))
    with small_disk(tmp_path / "disk") as disk:
        disk.fill(free_bytes=free_bytes)
        code, out, err = await run(sky, tmp_path, disk)
        refused(code, err, disk.path / "reports" / LEDGER, FREE_SPACE)
        assert (out, len(err.splitlines())) == ("", 2)
        assert (await sky.statistics())["calls"] == {}
        disk.free()
        code, out, err = await run(sky, tmp_path, disk)
        assert (code, err) == (0, "")
        assert "150 created" in out
    assert_created_once(await sky.statistics(), 150)


async def test_a_disk_that_fills_up_during_the_sends_ends_them_and_once_it_is_free_the_same_command_goes_on(
    tmp_path: Path, sky: Cloud
) -> None:
    inventory = write_rows(tmp_path / "routers.csv", some_rows(150))
    with small_disk(tmp_path / "disk") as disk:
        reports = disk.path / "reports"
        async with sky.slowly(tmp_path, "run", str(inventory), "--reports", str(reports), rate="100/s") as work:
            await sky.until_creates(30)
            disk.fill()
            ended = await work.end()
        refused(ended.code, ended.err, reports / LEDGER, FREE_SPACE)
        assert 30 <= await sky.creates() <= intents(reports / LEDGER)
        disk.free()
        code, out, err = await run(sky, tmp_path, disk)
        assert (code, err) == (0, "")
        assert "(continued): 150 created" in out
    assert_created_once(await sky.statistics(), 150)


async def test_without_room_for_more_of_the_log_nothing_is_sent_that_is_not_claimed(
    begun: Begun, tmp_path: Path, sky: Cloud
) -> None:
    """The same where nobody lets us mount a disk: the log may not grow beyond a few more transactions."""
    ledger = begun.copy(tmp_path)
    words = sky.words("resume", "--reports", str(ledger.parent))
    with file_size_limit(beside(ledger, "-wal").stat().st_size + (64 << 10)):
        process = await start(tmp_path, *words, extra=EMULATOR_KEYS)
    err = (await process.communicate())[1].decode()
    refused(process.returncode or 0, err, ledger, "run the same command again")
    sent = await sky.creates()
    assert 0 < sent <= intents(ledger)
    ended = await sky.run(tmp_path, "resume", "--reports", str(ledger.parent))
    assert (ended.code, ended.err) == (0, "")
    assert "200 created" in ended.out
    assert (await sky.statistics())["keys_with_two_tokens"] == []


async def test_a_report_without_room_is_told_and_written_later(tmp_path: Path, sky: Cloud) -> None:
    inventory = write_rows(tmp_path / "routers.csv", some_rows(30))
    places = ["--ledger", str(tmp_path / "elsewhere.db")]
    with small_disk(tmp_path / "disk") as disk:
        places += ["--reports", str(disk.path / "reports")]
        disk.fill(free_bytes=8 << 10)
        ended = await sky.run(tmp_path, "run", str(inventory), *places)
        assert ended.code == 1
        refused(ended.code, ended.err, disk.path / "reports", "No space left", "the ledger is unharmed")
        assert leftovers(tmp_path) == []
        told = json.loads((await batcher(tmp_path, "status", *places, "--output", "json")).out)
        assert [(each["rows"], each["exit_code"]) for each in told] == [({"created": 30}, 0)]
        disk.free()
        advised = ended.err.partition("`batcher report ")[2].partition("`")[0]
        again = await batcher(tmp_path, "report", *shlex.split(advised))
        assert (again.code, again.err) == (0, "")
        summary = json.loads((disk.path / "reports" / "latest" / "summary.json").read_text())
        assert (summary["rows"]["by_outcome"]["created"], summary["exit_code"]) == (30, 0)


async def test_what_reads_works_beside_a_full_disk(begun: Begun, tmp_path: Path, sky: Cloud) -> None:
    inventory = begun.copy(tmp_path / "other").parent.parent / "routers.csv"
    with small_disk(tmp_path / "disk") as disk:
        ledger = begun.copy(disk.path, closed=True)
        disk.fill()
        places = ["--reports", str(ledger.parent)]
        ended = await batcher(tmp_path, "status", *places)
        assert (ended.code, ended.err) == (0, "")
        assert begun.run_id[:15] in ended.out
        ended = await batcher(tmp_path, "report", *places)
        refused(ended.code, ended.err, ledger.parent, "the ledger is unharmed")
        assert leftovers(disk.path) == []
        out = disk.path / "plan.json"
        ended = await sky.run(tmp_path, "plan", str(inventory), *places, "--out", str(out))
        refused(ended.code, but_unchecked(ended.err), out, "free space there or name another file")
        assert (out.exists(), leftovers(disk.path)) == (False, [])


async def test_a_rehearsal_without_room_is_told_in_two_lines(tmp_path: Path) -> None:
    inventory = write_rows(tmp_path / "routers.csv", some_rows(400))
    with small_disk(tmp_path / "disk", "1m") as disk:
        words = ["--emulator", "--rate", "500/s", "--no-progress", "--reports", str(disk.path / "reports")]
        ended = await batcher(tmp_path, "run", str(inventory), *words)
        refused(ended.code, ended.err, disk.path / "reports" / "rehearsal.db", FREE_SPACE)
        assert len(ended.err.splitlines()) == 2
