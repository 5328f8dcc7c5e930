"""A ledger that was cut, overwritten or lost in part: found before anything is sent, told, and left as it is."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from batcher.cli.main import main
from batcher.errors import LedgerError
from batcher.ledger.open import open_ledger
from tests.e2e.clouds import Cloud
from tests.storage.begun import LEDGER, PAGE, Begun, beside, contents, noise, refused

Harm = Callable[[Path, Begun], None]


def size(ledger: Path) -> int:
    return ledger.stat().st_size


def at(name: str) -> Harm:
    """Noise over the page at which a table or an index begins."""
    return lambda ledger, begun: noise(ledger, (begun.roots[name] - 1) * PAGE, PAGE)


def another_log(ledger: Path, _: Begun) -> None:
    beside(ledger, "-wal").write_bytes(b"hello, world" * 1000)


CLOSED: dict[str, Harm] = {
    "emptied": lambda ledger, _: os.truncate(ledger, 0),
    "cut in half": lambda ledger, _: os.truncate(ledger, size(ledger) // 2),
    "cut by a page": lambda ledger, _: os.truncate(ledger, size(ledger) - PAGE),
    "cut in a page": lambda ledger, _: os.truncate(ledger, size(ledger) - 1000),
    "noise in the header": lambda ledger, _: noise(ledger, 0, 100),
    "noise in rows": lambda ledger, _: noise(ledger, size(ledger) // 2 // PAGE * PAGE, PAGE),
    "noise in the plan": at("plan"),
    "noise in an index": at("sqlite_autoindex_run_1"),
    "noise in the keys": at("row_key"),
}
KILLED: dict[str, Harm] = {
    "emptied beside its log": lambda ledger, _: os.truncate(ledger, 0),
    "gone, but for its log": lambda ledger, _: ledger.unlink(),
    "noise in the log's header": lambda ledger, _: noise(beside(ledger, "-wal"), 0, 32),
    "noise in the log": lambda ledger, _: noise(beside(ledger, "-wal"), size(beside(ledger, "-wal")) // 2, PAGE),
    "another's log": another_log,
}
HARMS = {**CLOSED, **KILLED}
MENDED: dict[str, Harm] = {
    "noise in the shared index": lambda ledger, _: noise(beside(ledger, "-shm"), 0, size(beside(ledger, "-shm"))),
    "the shared index is gone": lambda ledger, _: beside(ledger, "-shm").unlink(),
    "the log's end is torn": lambda ledger, _: os.truncate(beside(ledger, "-wal"), size(beside(ledger, "-wal")) - 2000),
    "the log has grown by zeros": lambda ledger, _: os.truncate(
        beside(ledger, "-wal"), 2 * size(beside(ledger, "-wal"))
    ),
}
"""What SQLite puts right by itself, as after a power cut."""


def harmed(begun: Begun, folder: Path, name: str) -> Path:
    ledger = begun.copy(folder, closed=name in CLOSED)
    HARMS[name](ledger, begun)
    return ledger


SAMPLES = ("emptied", "noise in rows", "noise in an index", "emptied beside its log", "noise in the log")
"""Those for which a whole command is tried here; `python -m tests.storage.every_command` tries them all."""


@pytest.mark.parametrize("name", HARMS)
async def test_a_damaged_ledger_is_not_opened_for_work_and_left_as_it_is(
    begun: Begun, tmp_path: Path, name: str
) -> None:
    ledger = harmed(begun, tmp_path, name)
    before = contents(ledger)
    with pytest.raises(LedgerError) as refusal:
        async with open_ledger(str(ledger)):
            pass
    refused(1, f"batcher: {refusal.value}\nhint: {refusal.value.hint}", ledger, "restore a copy", "`--ledger`")
    assert contents(ledger) == before


@pytest.mark.parametrize("name", SAMPLES)
async def test_a_damaged_ledger_is_refused_before_anything_is_sent_and_left_as_it_is(
    begun: Begun, sky: Cloud, tmp_path: Path, name: str
) -> None:
    ledger = harmed(begun, tmp_path, name)
    before = contents(ledger)
    ended = await sky.run(tmp_path, "run", str(tmp_path / "routers.csv"), "--reports", str(ledger.parent))
    refused(ended.code, ended.err, ledger, "restore a copy", "`--ledger`")
    assert (await sky.statistics())["calls"] == {}
    assert contents(ledger) == before


TOLD = {
    "cut in a page": {"status"},
    "noise in rows": {"status"},
    "noise in the plan": {"status"},
    "noise in an index": {"status"},
    "noise in the keys": {"status", "report"},
}
"""What can still be read, and is: a reader does not look at every page."""


@pytest.mark.parametrize("name", HARMS)
def test_a_reader_of_a_damaged_ledger_tells_what_is_there_or_what_is_wrong(
    begun: Begun, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    for command in ("status", "report"):
        ledger = harmed(begun, tmp_path / command, name)
        before = contents(ledger)
        code = main([command, "--reports", str(ledger.parent)])
        out, err = capsys.readouterr()
        if command in TOLD.get(name, ()):
            assert (code, err) == (0, "")
            assert begun.run_id[:15] in out
        else:
            refused(code, err, ledger, "restore a copy")
        assert contents(ledger) == before


@pytest.mark.parametrize("name", MENDED)
async def test_what_a_power_cut_tears_is_gone_on_with(begun: Begun, sky: Cloud, tmp_path: Path, name: str) -> None:
    ledger = begun.copy(tmp_path)
    MENDED[name](ledger, begun)
    ended = await sky.run(tmp_path, "resume", "--reports", str(ledger.parent))
    assert ended.code == 0, ended.err
    assert "200 created" in ended.out
    statistics = await sky.statistics()
    assert 0 < statistics["created_total"] <= 200
    assert statistics["keys_with_two_tokens"] == []


async def test_a_ledger_that_was_taken_away_is_begun_anew(begun: Begun, sky: Cloud, tmp_path: Path) -> None:
    """The remedy that a refusal names: all of its files are moved, and the same command works."""
    ledger = begun.copy(tmp_path)
    for path in ledger.parent.glob(f"{LEDGER}*"):
        path.unlink()
    ended = await sky.run(tmp_path, "run", str(tmp_path / "routers.csv"), "--reports", str(ledger.parent))
    assert (ended.code, ended.err) == (0, "")
    assert "200 created" in ended.out
