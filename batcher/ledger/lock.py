"""The lock that lets one process at a time work a ledger file.

It is an advisory lock of the system on a file beside the ledger: the system lets go of it when its holder
dies, however it dies, so a dead run's hold is taken over at once and a live one's never. The file's text
names the holder to whoever meets the lock; it proves nothing.
"""

import fcntl
import json
import os
import socket
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from batcher.errors import LedgerHeldError

TEXT_BYTES_MAX = 4096
_MADE = "made"
"""Of a lock's text: whether its ledger has a schema. It outlives the holder."""


class LedgerLock:
    """Held from construction to `release`. Raises `LedgerHeldError` if another process has it, `OSError`."""

    def __init__(self, ledger: Path) -> None:
        self.path = lock_path(ledger)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._file: BinaryIO | None = os.fdopen(descriptor, "r+b", buffering=0)
        try:
            self._take(ledger, self._file)
        except BaseException:  # whatever it was: a lock that was not got is not kept open
            self.release()
            raise

    def _take(self, ledger: Path, file: BinaryIO) -> None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LedgerHeldError(
                f"the ledger `{ledger}` is worked by {_describe(_read(file))}",
                hint="wait until it has ended; `batcher status` shows how far it is",
            ) from None
        self.ledger_was_made = ledger.exists() and _is_made(_read(file))
        """Whether a ledger with a schema has been there, which nobody has taken away since."""
        self._write(file, made=self.ledger_was_made)

    def note_made(self) -> None:
        """Keep that the ledger has its schema: from now on an empty file is damage. Raises `OSError`."""
        if self._file is not None and not self.ledger_was_made:
            self._write(self._file, made=True)

    def _write(self, file: BinaryIO, *, made: bool) -> None:
        facts = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
            _MADE: made,
        }
        file.truncate(0)
        file.seek(0)
        file.write(json.dumps(facts).encode())

    def release(self) -> None:
        """Let go. Repeatable."""
        if self._file is not None:
            self._file.close()
            self._file = None


def was_made(ledger: Path) -> bool:
    """Whether a ledger with a schema has been worked at this place. Raises `OSError`."""
    try:
        with lock_path(ledger).open("rb", buffering=0) as file:
            return _is_made(_read(file))
    except FileNotFoundError:
        return False


def holder_of(ledger: Path) -> str | None:
    """Who works a ledger, as people say it; None: nobody does. Raises `OSError`.

    The lock is tried only where its text names a process that lives: for that moment nobody else could take it.
    """
    try:
        file = lock_path(ledger).open("rb", buffering=0)
    except FileNotFoundError:
        return None
    with file:
        text = _read(file)
        if not _may_live(text):
            return None
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _describe(text)
        return None


def lock_path(ledger: Path) -> Path:
    """Where the lock of a ledger is: beside the file that a link leads to, so that one file has one lock."""
    return beside(ledger, ".lock")


def beside(ledger: Path, suffix: str) -> Path:
    """A file that goes with a ledger, beside what a link leads to, as SQLite has its own."""
    return Path(f"{os.path.realpath(ledger)}{suffix}")


def _read(file: BinaryIO) -> str:
    return file.read(TEXT_BYTES_MAX).decode(errors="replace")


def _facts(text: str) -> Mapping[str, Any]:
    """What a lock says; nothing where it holds rubbish."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _is_made(text: str) -> bool:
    return _facts(text).get(_MADE) is True


def _may_live(text: str) -> bool:
    """Whether the process that a lock names may be at work; False only where that is sure."""
    try:
        holder = _facts(text)
        if holder["host"] != socket.gethostname():
            return True
        os.kill(int(holder["pid"]), 0)
    except ProcessLookupError:
        return False
    except (ValueError, KeyError, TypeError, OverflowError, PermissionError):
        return True
    return True


def _describe(text: str) -> str:
    try:
        holder = _facts(text)
        return f"process {int(holder['pid'])} on `{holder['host']}` since {holder['since']}"
    except (ValueError, KeyError, TypeError):
        return "another process"
