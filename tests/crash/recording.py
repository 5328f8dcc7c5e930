"""`batcher`, with the points that it comes to written down: `python -m tests.crash.recording FILE -- run ...`.

Beside each commit of the ledger stands how its connection syncs: `commit JOURNAL_MODE SYNCHRONOUS`, as SQLite says.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from batcher.cli.main import main
from batcher.ledger.store import Store
from tests.crash.points import install


def record(path: str) -> None:
    """Append to a file from now on."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(line: str) -> None:
        os.write(file, f"{line}\n".encode())

    plain = Store.transaction

    @contextmanager
    def transaction(self: Store) -> Iterator[None]:
        with plain(self):
            yield
            (mode,) = self.connection.execute("PRAGMA journal_mode").fetchone()
            (level,) = self.connection.execute("PRAGMA synchronous").fetchone()
            write(f"commit {mode} {level}")

    patched: Any = Store
    patched.transaction = transaction
    install(write)


if __name__ == "__main__":
    record(sys.argv[1])
    sys.exit(main(sys.argv[sys.argv.index("--") + 1 :]))
