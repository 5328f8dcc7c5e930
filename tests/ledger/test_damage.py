"""What is told apart in a write-ahead log: the end that a power cut tears, and damage."""

import contextlib
import random
import sqlite3
from pathlib import Path

import pytest

from batcher.ledger.damage import lost_commits

FRAME = 24 + 4096


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A log of a table and twenty transactions, the last of which has three frames or more."""
    path = tmp_path_factory.mktemp("log") / "some.db"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE page (text TEXT)")
        for number in range(19):
            connection.execute("INSERT INTO page VALUES (?)", (str(number) * 3000,))
        connection.execute("INSERT INTO page VALUES (?)", ("long" * 3000,))
        return path.with_name("some.db-wal").read_bytes()


def frames(log: bytes) -> int:
    return (len(log) - 32) // FRAME


def test_a_whole_log_has_lost_nothing(log: bytes) -> None:
    assert frames(log) > 40
    assert lost_commits(log) == 0
    assert lost_commits(b"") == 0


def test_a_log_that_was_cut_anywhere_is_what_a_power_cut_leaves(log: bytes) -> None:
    chance = random.Random(7)
    for end in [1, 31, 32, 33, 32 + 24, 32 + FRAME - 1, *(chance.randrange(len(log)) for _ in range(10))]:
        assert lost_commits(log[:end]) == 0, end


def test_frames_of_the_last_transaction_may_reach_the_disk_in_any_order(log: bytes) -> None:
    last = len(log) - 3 * FRAME
    for lost in range(3):
        start = last + lost * FRAME
        assert lost_commits(log[:start] + bytes(FRAME) + log[start + FRAME :]) == 0, lost


def test_zeros_behind_the_end_are_room_that_was_never_filled(log: bytes) -> None:
    assert lost_commits(log + bytes(10 * FRAME)) == 0
    assert lost_commits(bytes(10 * FRAME)) == 0


def test_what_an_older_log_left_behind_the_end_is_not_missed(log: bytes, tmp_path: Path) -> None:
    """SQLite begins its log anew at the front of the file."""
    path = tmp_path / "again.db"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE page (text TEXT)")
        for number in range(20):
            connection.execute("INSERT INTO page VALUES (?)", (str(number) * 3000,))
        connection.execute("PRAGMA wal_checkpoint(RESTART)")
        connection.execute("INSERT INTO page VALUES ('new')")
        found = path.with_name("again.db-wal").read_bytes()
    assert frames(found) > 40
    assert lost_commits(found) == 0


@pytest.mark.parametrize("at", [0, 8, 16, 24], ids=["magic", "page size", "salt", "checksum"])
def test_a_header_that_is_none_is_damage(log: bytes, at: int) -> None:
    assert lost_commits(log[:at] + b"what" + log[at + 4 :]) > 0


@pytest.mark.parametrize("at", [0, 4, 8, 16, 24, 2000], ids=["page", "commit", "salt", "checksum", "first", "middle"])
def test_a_frame_that_was_overwritten_before_others_is_damage(log: bytes, at: int) -> None:
    for frame in (0, frames(log) // 2):
        start = 32 + frame * FRAME + at
        assert lost_commits(log[:start] + b"what" + log[start + 4 :]) > 0, frame
