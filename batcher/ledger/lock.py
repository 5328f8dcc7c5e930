"""The lock that lets one process at a time work a ledger file.

It is an advisory lock of the system on a file beside the ledger: the system lets go of it when its holder
dies, however it dies, so a dead run's hold is taken over at once and a live one's never. The file's text
names the holder to whoever meets the lock; it proves nothing.
"""

import fcntl
import json
import os
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from batcher.errors import LedgerHeldError

TEXT_BYTES_MAX = 4096


class LedgerLock:
    """Held from construction to `release`. Raises `LedgerHeldError` if another process has it, `OSError`."""

    def __init__(self, ledger: Path) -> None:
        self.path = lock_path(ledger)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._file: TextIO | None = os.fdopen(descriptor, "r+", encoding="utf-8", errors="replace")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if not isinstance(error, BlockingIOError):
                self._file.close()
                raise
            holder = _describe(self._file.read(TEXT_BYTES_MAX))
            self._file.close()
            raise LedgerHeldError(
                f"the ledger `{ledger}` is worked by {holder}",
                hint="wait until it has ended; `batcher status` shows how far it is",
            ) from None
        self._file.truncate(0)
        json.dump(
            {
                "pid": os.getpid(),
                "host": socket.gethostname(),
                "since": datetime.now(UTC).isoformat(timespec="seconds"),
            },
            self._file,
        )
        self._file.flush()

    def release(self) -> None:
        """Let go. Repeatable."""
        if self._file is not None:
            self._file.close()
            self._file = None


def holder_of(ledger: Path) -> str | None:
    """Who works a ledger, as people say it; None: nobody does. Raises `OSError`.

    The lock is tried only where its text names a process that lives: for that moment nobody else could take it.
    """
    try:
        file = lock_path(ledger).open(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None
    with file:
        text = file.read(TEXT_BYTES_MAX)
        if not _may_live(text):
            return None
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _describe(text)
        return None


def lock_path(ledger: Path) -> Path:
    """Where the lock of a ledger is."""
    return ledger.with_name(f"{ledger.name}.lock")


def _may_live(text: str) -> bool:
    """Whether the process that a lock names may be at work; False only where that is sure."""
    try:
        holder = json.loads(text)
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
        holder = json.loads(text)
        return f"process {int(holder['pid'])} on `{holder['host']}` since {holder['since']}"
    except (ValueError, KeyError, TypeError):
        return "another process"
