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
        self.path = ledger.with_name(ledger.name + ".lock")
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


def _describe(text: str) -> str:
    try:
        holder = json.loads(text)
        return f"process {int(holder['pid'])} on `{holder['host']}` since {holder['since']}"
    except (ValueError, KeyError, TypeError):
        return "another process"
