"""A disk that reports faults: under SQLite's own reads, writes and syncs, and under the reports'."""

from pathlib import Path

import pytest

from tests.e2e.clouds import Cloud, assert_created_once
from tests.e2e.commands import EMULATOR_KEYS, batcher, working
from tests.e2e.inventories import some_rows, write_rows
from tests.storage.begun import LEDGER, Begun, intents, leftovers, refused
from tests.storage.disks import broken_disk

pytestmark = pytest.mark.timeout(60)  # several whole commands a test


CHECK = "the disk reported a fault; check it, then run the same command again"


@pytest.mark.parametrize(
    ("call", "once"), [("sync", True), ("sync", False), ("write", True)], ids=["one sync", "every sync", "one write"]
)
async def test_a_fault_under_the_log_ends_the_sends_and_what_was_lost_with_it_is_not_believed(
    tmp_path: Path, sky: Cloud, call: str, once: bool
) -> None:
    """A sync that fails once takes what it should have kept, and the next one works: the claim does not count."""
    inventory = write_rows(tmp_path / "routers.csv", some_rows(150))
    disk = broken_disk(tmp_path, call, f"{LEDGER}-wal", once=once)
    words = sky.words("run", str(inventory), rate="100/s")
    async with working(tmp_path, *words, extra={**EMULATOR_KEYS, **disk.environment}) as work:
        await sky.until_creates(20)
        disk.begin()
        ended = await work.end()
    refused(ended.code, ended.err, Path("reports") / LEDGER, CHECK)
    assert disk.is_over == once
    assert 20 <= await sky.creates() <= intents(tmp_path / "reports" / LEDGER)
    again = await sky.run(tmp_path, "run", str(inventory))
    assert (again.code, again.err) == (0, "")
    assert "(continued): 150 created" in again.out
    assert_created_once(await sky.statistics(), 150)


@pytest.mark.parametrize("call", ["read", "write", "sync"])
async def test_a_fault_under_the_ledger_from_the_start_lets_nothing_out(
    begun: Begun, tmp_path: Path, sky: Cloud, call: str
) -> None:
    ledger = begun.copy(tmp_path)
    disk = broken_disk(tmp_path, call, LEDGER if call == "read" else f"{LEDGER}-wal")
    disk.begin()
    words = sky.words("resume", "--reports", str(ledger.parent))
    ended = await batcher(tmp_path, *words, extra={**EMULATOR_KEYS, **disk.environment})
    refused(ended.code, ended.err, ledger, CHECK)
    assert (await sky.statistics())["calls"] == {}
    again = await sky.run(tmp_path, "resume", "--reports", str(ledger.parent))
    assert (again.code, again.err) == (0, "")
    assert "200 created" in again.out


async def test_a_report_that_cannot_be_synced_is_not_put_in_place(tmp_path: Path, sky: Cloud) -> None:
    inventory = write_rows(tmp_path / "routers.csv", some_rows(3))
    disk = broken_disk(tmp_path, "sync", ".tmp")
    disk.begin()
    words = sky.words("run", str(inventory))
    ended = await batcher(tmp_path, *words, extra={**EMULATOR_KEYS, **disk.environment})
    refused(ended.code, ended.err, Path("reports"), "Input/output error", "`batcher report ")
    assert (list(tmp_path.rglob("report.csv")), leftovers(tmp_path)) == ([], [])
    again = await batcher(tmp_path, "report")
    assert (again.code, again.err) == (0, "")
    assert (tmp_path / "reports" / "latest" / "report.csv").read_text().count(",created,") == 3
