"""Finds damage of a ledger that SQLite passes over in silence, or meets only after rows were sent.

- What is no file, a link that leads nowhere, and a file that has lost its contents are refused: SQLite waits for ever
  on a pipe, and makes a new database, and removes the log, where it finds nothing.
- A write-ahead log is read to its first frame whose checksum is wrong, and what stands behind is thrown away. That is
  right for the last transaction, which a power cut has torn. It is wrong where two transactions or more stand behind:
  each commit is on the disk before the next one begins (`synchronous=FULL`), so a power cut cannot have torn the first.
- A page is looked at when it is needed. `PRAGMA quick_check` looks at all of them: measured, 3 to 8 ms a megabyte, so
  half a second at most for `CHECKED_BYTES_MAX`, some 100,000 rows. A million rows, 500 MB, would pay up to 4 s at every
  start, and the ledger of many nights minutes. Beyond the bound, damage is found when its page is met: what was sent
  until then was claimed. The bound is `AFTER_CRASH_BYTES_MAX` where the last sitting did not close: a machine that died
  is the likeliest cause of damage, and some seconds are little beside what was begun.

The format of the log: https://www.sqlite.org/fileformat2.html#walformat (2024-11-25). The check of the log takes 20 ms
a megabyte, and SQLite folds it in at 4 MB.
"""

import stat
import struct
from contextlib import suppress
from pathlib import Path
from typing import Final

from batcher.errors import LedgerError
from batcher.ledger.lock import beside
from batcher.ledger.store import DAMAGED, Store

CHECKED_BYTES_MAX: Final = 64 << 20
AFTER_CRASH_BYTES_MAX: Final = 1 << 30
LOG_BYTES_MAX: Final = 64 << 20
"""A log grows beyond only while another program reads for long; that of a longer one is taken as SQLite takes it."""
LOG: Final = "-wal"
_HEADER = struct.Struct(">IIIIIIII")
_FRAME = struct.Struct(">IIIIII")
_MAGIC: Final = (0x377F0682, 0x377F0683)
_VERSION: Final = 3_007_000
_MASK: Final = 0xFFFFFFFF


def check_place(ledger: Path, *, was_made: bool = False) -> bool:
    """Whether there is a file at a ledger's place. Raises `LedgerError` for what cannot be one, `OSError`.

    `was_made`: a ledger is known to have been there, so that an empty file is what was left of it.
    """
    try:
        found = ledger.stat()
    except FileNotFoundError:
        if ledger.is_symlink():
            raise LedgerError(
                f"the ledger `{ledger}` is a link to `{ledger.readlink()}`, where there is nothing",
                hint="bring back what it leads to (is its disk mounted?); an empty file there becomes a new ledger",
            ) from None
        _check_left(ledger, "is gone")
        return False
    if not stat.S_ISREG(found.st_mode):
        raise LedgerError(f"the ledger `{ledger}` is no file", hint="name another place with `--ledger`")
    if found.st_size == 0:
        _check_left(ledger, "is empty")
        if was_made:
            raise LedgerError(f"the ledger `{ledger}` is empty, and was not", hint=f"{DAMAGED}; {_ANEW}")
    return True


def _check_left(ledger: Path, what: str) -> None:
    """Raise for a log whose ledger has lost its contents: SQLite would remove it and begin a new one."""
    log = beside(ledger, LOG)
    if log.exists() and log.stat().st_size:
        raise LedgerError(f"the ledger `{ledger}` {what}, and its log `{log}` is not", hint=f"{DAMAGED}; {_ANEW}")


_ANEW: Final = "to begin a new one here, move away all files whose names begin like the ledger's"


def check_log(ledger: Path) -> bool:
    """Whether a log is there with anything in it, so that the last sitting did not close. Raises `LedgerError` for one
    that SQLite would throw away in part though it was on the disk, and `OSError`. Nobody may write at the time.
    """
    log = beside(ledger, LOG)
    if not log.exists() or not log.stat().st_size:
        return False
    if log.stat().st_size <= LOG_BYTES_MAX:
        lost = lost_commits(log.read_bytes())
        if lost:
            raise LedgerError(
                f"the log `{log}` of the ledger `{ledger}` is damaged: {lost:,} or more of what was recorded last in"
                " it cannot be read",
                hint=DAMAGED,
            )
    return True


def lost_commits(log: bytes) -> int:
    """How many transactions of a write-ahead log were on the disk and cannot be read, as far as can be told."""
    if len(log) < _HEADER.size:
        return 0
    magic, version, page_bytes, _, salt1, salt2, *checksum = _HEADER.unpack_from(log)
    order = ">" if magic & 1 else "<"
    frame_bytes = _FRAME.size + page_bytes
    if magic not in _MAGIC or version != _VERSION or _sum(log[:24], (0, 0), order) != tuple(checksum):
        return 1 if any(log) else 0  # it is on the disk before any frame; zeros are a file that only grew
    sums = checksum[0], checksum[1]
    valid, commits = True, 0
    for start in range(_HEADER.size, len(log) - frame_bytes + 1, frame_bytes):
        _, size_after, *rest = _FRAME.unpack_from(log, start)
        is_of_log = rest[:2] == [salt1, salt2]
        if valid:
            frame = log[start : start + 8] + log[start + _FRAME.size : start + frame_bytes]
            sums = _sum(frame, sums, order)
            valid = is_of_log and list(sums) == rest[2:]
        if not valid and is_of_log and size_after:
            commits += 1
    return max(commits - 1, 0)  # the first may be the one that a power cut tore


def _sum(data: bytes, sums: tuple[int, int], order: str) -> tuple[int, int]:
    """SQLite's checksum of a log, gone on with."""
    first, second = sums
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for one, two in zip(words[::2], words[1::2], strict=True):
        first = (first + one + second) & _MASK
        second = (second + two + first) & _MASK
    return first, second


def check_pages(store: Store, *, closed: bool) -> None:
    """Raise `LedgerError` if a page of a ledger that is not too large is damaged. `closed`: the last sitting closed."""
    size = store.path.stat().st_size
    if size > (CHECKED_BYTES_MAX if closed else AFTER_CRASH_BYTES_MAX):
        return
    found = store.connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        said = " ".join(str(found).split())
        raise LedgerError(f"the ledger `{store.path}` is damaged: {said}", hint=DAMAGED)


def keep_private(ledger: Path) -> None:
    """Take a ledger and its companions away from everybody but their owner, also where they were made wider.

    What belongs to another user is left to him.
    """
    for path in (ledger, *(beside(ledger, suffix) for suffix in (LOG, "-shm", ".lock"))):
        with suppress(FileNotFoundError, PermissionError):
            if stat.S_IMODE(path.stat().st_mode) & 0o077:
                path.chmod(0o600)
