"""Who may read and write what batcher makes, whatever the umask and whatever was there before."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.clouds import Cloud
from tests.e2e.commands import EMULATOR_KEYS, batcher, start
from tests.e2e.inventories import some_rows, write_rows
from tests.storage.begun import LEDGER, Begun, beside

pytestmark = pytest.mark.timeout(60)  # several whole commands a test


OWN = (LEDGER, f"{LEDGER}-wal", f"{LEDGER}-shm", f"{LEDGER}.lock", f"{LEDGER}.sock")
"""What a run at work has in the folder of reports, and nobody else may even read."""


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@contextmanager
def umask(value: int) -> Iterator[None]:
    """What is started meanwhile has this umask."""
    before = os.umask(value)
    try:
        yield
    finally:
        os.umask(before)


@pytest.mark.parametrize(("mask", "shown"), [(0o000, 0o644), (0o077, 0o600)])
async def test_what_a_run_makes_is_its_owners_and_its_reports_are_shown_as_far_as_he_lets_them(
    tmp_path: Path, sky: Cloud, mask: int, shown: int
) -> None:
    inventory = write_rows(tmp_path / "routers.csv", some_rows(40))
    reports = tmp_path / "reports"
    with umask(mask):
        process = await start(tmp_path, *sky.words("run", str(inventory), rate="20/s"), extra=EMULATOR_KEYS)
    await sky.until_creates(5)
    assert {name: mode(reports / name) for name in OWN} == dict.fromkeys(OWN, 0o600)
    assert mode(reports) == 0o700
    assert await process.communicate() != (b"", b"")
    assert process.returncode == 0
    made = [path for path in reports.iterdir() if path.is_dir() and not path.is_symlink()]
    assert [mode(path) for path in made] == [0o755 & ~mask]
    assert {mode(path) for path in made[0].iterdir()} == {shown}
    with umask(mask):
        process = await start(tmp_path, *sky.words("plan", str(inventory), "--out", "plan.json"), extra=EMULATOR_KEYS)
    await process.communicate()
    assert mode(tmp_path / "plan.json") == shown


async def test_what_a_rehearsal_keeps_is_its_owners_alone(tmp_path: Path) -> None:
    inventory = write_rows(tmp_path / "routers.csv", some_rows(3))
    with umask(0):
        process = await start(tmp_path, "run", str(inventory), "--emulator", "--rate", "100/s", "--no-progress")
    await process.communicate()
    assert process.returncode == 0
    kept = [path for path in (tmp_path / "reports").iterdir() if path.is_file()]
    assert {path.name for path in kept} >= {"rehearsal.db", "rehearsal.db.emulator", "rehearsal.db.lock"}
    assert {mode(path) for path in kept} == {0o600}


async def test_files_that_were_open_to_others_are_closed_and_an_opened_folder_stays_open(
    begun: Begun, tmp_path: Path, sky: Cloud
) -> None:
    ledger = begun.copy(tmp_path)
    for name in ("", "-wal", "-shm", ".lock"):
        beside(ledger, name).chmod(0o666)
    ledger.parent.chmod(0o755)
    words = sky.words("resume", "--reports", str(ledger.parent), rate="100/s")
    process = await start(tmp_path, *words, extra=EMULATOR_KEYS)
    await sky.until_creates(5)
    assert {name: mode(ledger.parent / name) for name in OWN} == dict.fromkeys(OWN, 0o600)
    await process.communicate()
    assert mode(ledger.parent) == 0o755


async def test_the_state_of_an_emulator_is_its_owners_alone(tmp_path: Path) -> None:
    with umask(0):
        process = await start(tmp_path, "emulator", "--port", "0", "--state", "state.db")
    assert process.stdout is not None
    assert (await process.stdout.readline()).startswith(b"endpoint: ")
    kept = {path.name: mode(path) for path in tmp_path.glob("state.db*")}
    process.terminate()
    await process.communicate()
    assert "state.db" in kept
    assert set(kept.values()) == {0o600}


async def test_a_folder_that_the_operator_opens_shows_the_reports_of_every_night(tmp_path: Path, sky: Cloud) -> None:
    (tmp_path / "reports").mkdir(mode=0o750)
    with umask(0o027):
        process = await start(
            tmp_path, *sky.words("run", str(write_rows(tmp_path / "r.csv", some_rows(3)))), extra=EMULATOR_KEYS
        )
    await process.communicate()
    latest = (tmp_path / "reports" / "latest").resolve()
    assert (mode(tmp_path / "reports"), mode(latest), mode(latest / "report.csv")) == (0o750, 0o750, 0o640)
    assert mode(tmp_path / "reports" / LEDGER) == 0o600
    assert (await batcher(tmp_path, "status")).code == 0
