"""A disk or a folder that cannot be written: what reads works, what works is refused with a word."""

import contextlib
import os
import sys
from pathlib import Path

import anyio
import pytest

from tests.e2e.clouds import Cloud
from tests.e2e.commands import EMULATOR_KEYS, Ended, batcher, environment
from tests.storage.begun import LEDGER, Begun, contents, refused
from tests.storage.disks import small_disk

pytestmark = pytest.mark.timeout(60)  # several whole commands a test

SOMEBODY_ELSE = 65534
BOUND_BY_MODES = """
import ctypes, os, sys
DROP, OVERRIDE, READ_SEARCH = 24, 1, 2  # prctl(2), capabilities(7)
for power in (OVERRIDE, READ_SEARCH):
    if ctypes.CDLL(None).prctl(DROP, power, 0, 0, 0):
        sys.exit(99)
os.execv(sys.executable, [sys.executable, "-m", "batcher", *sys.argv[1:]])
"""
WRITABLE = "must exist and be writable by this user"


async def as_user(folder: Path, *words: str) -> Ended:
    """A command by somebody for whom modes hold, as they do not for root."""
    if os.geteuid():
        return await batcher(folder, *words, extra=EMULATOR_KEYS)
    if sys.platform != "linux":
        pytest.skip("modes hold for nobody here")
    done = await anyio.run_process(
        [sys.executable, "-c", BOUND_BY_MODES, *words], check=False, env=environment(folder, EMULATOR_KEYS)
    )
    if done.returncode == 99:
        pytest.skip("root keeps its powers here, and no mode holds for it")
    return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())


async def test_a_folder_that_cannot_be_written_can_be_read_and_is_refused_for_work(
    begun: Begun, tmp_path: Path, sky: Cloud
) -> None:
    ledger = begun.copy(tmp_path, closed=True)
    ledger.parent.chmod(0o555)
    before = contents(ledger)
    told = await as_user(tmp_path, "status", "--reports", str(ledger.parent))
    assert told.code == 0, told.err
    assert begun.run_id[:15] in told.out
    ended = await as_user(tmp_path, "report", "--reports", str(ledger.parent))
    refused(ended.code, ended.err, ledger.parent, "Permission denied", "the ledger is unharmed")
    ended = await as_user(tmp_path, *sky.words("resume", "--reports", str(ledger.parent)))
    refused(ended.code, ended.err, ledger, WRITABLE)
    assert (await sky.statistics())["calls"] == {}
    assert contents(ledger) == before
    ledger.parent.chmod(0o755)
    ended = await as_user(tmp_path, *sky.words("resume", "--reports", str(ledger.parent)))
    assert (ended.code, ended.err) == (0, "")
    assert "200 created" in ended.out


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
async def test_the_ledger_of_another_user_is_refused_and_not_changed(begun: Begun, tmp_path: Path) -> None:
    ledger = begun.copy(tmp_path, closed=True)
    os.chown(ledger, SOMEBODY_ELSE, SOMEBODY_ELSE)
    before = contents(ledger)
    for words in (["status"], ["report"]):
        ended = await as_user(tmp_path, *words, "--reports", str(ledger.parent))
        refused(ended.code, ended.err, ledger)
    assert contents(ledger) == before


async def test_a_disk_that_is_mounted_read_only_can_be_read_and_once_it_is_not_the_work_goes_on(
    begun: Begun, tmp_path: Path, sky: Cloud
) -> None:
    with small_disk(tmp_path / "disk") as disk:
        ledger = begun.copy(disk.path, closed=True)
        places = ["--reports", str(ledger.parent)]
        disk.set_read_only()
        told = await batcher(tmp_path, "status", *places)
        assert (told.code, told.err) == (0, "")
        assert begun.run_id[:15] in told.out
        ended = await sky.run(tmp_path, "resume", *places)
        refused(ended.code, ended.err, disk.path / "reports" / LEDGER, "Read-only file system", WRITABLE)
        disk.set_read_only(on=False)
        ended = await sky.run(tmp_path, "resume", *places)
        assert (ended.code, ended.err) == (0, "")
    assert (await sky.statistics())["keys_with_two_tokens"] == []


async def test_a_log_that_was_left_on_a_read_only_disk_is_not_passed_over(begun: Begun, tmp_path: Path) -> None:
    """Without it the ledger would tell less than is known."""
    with small_disk(tmp_path / "disk") as disk:
        ledger = begun.copy(disk.path)
        with contextlib.suppress(FileNotFoundError):
            ledger.with_name(f"{LEDGER}-shm").unlink()
        disk.set_read_only()
        told = await batcher(tmp_path, "status", "--reports", str(ledger.parent))
        refused(told.code, told.err, ledger, WRITABLE)
