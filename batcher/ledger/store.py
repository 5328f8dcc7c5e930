"""One SQLite connection, its statements by name, and the translation of its errors.

Everything here runs in the ledger's single writer thread (or, read only, in any one thread). A transaction is
`BEGIN IMMEDIATE` to `COMMIT`; with WAL and `synchronous=FULL` it is on the disk when `COMMIT` returns.
"""

import errno
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from batcher.errors import LedgerError, RunNotFoundError
from batcher.model import RunId

CACHE_KIB = 4 * 1024
"""Page cache, and what an index is sorted in: a bound on memory. Measured: planning and working 300,000 rows take the
same CPU at 2 MiB and at 32, for rows lie in the order in which they are worked."""
BUSY_MS = 10_000
"""How long to wait for another program's lock on the file before giving up."""


@cache
def statements() -> dict[str, str]:
    """The named statements of `sql/queries.sql`."""
    text = files("batcher.ledger").joinpath("sql", "queries.sql").read_text(encoding="utf-8")
    parts = re.split(r"^-- name: (\w+)$", text, flags=re.MULTILINE)[1:]
    return {name: body.strip() for name, body in zip(parts[::2], parts[1::2], strict=True)}


Parameters = tuple[Any, ...] | dict[str, Any]


class Store:
    """A connection to a ledger file."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self.connection = connection
        self._run_numbers: dict[RunId, int] = {}

    def all(self, name: str, parameters: Parameters = ()) -> list[tuple[Any, ...]]:
        """Every row that a named query gives."""
        cursor = self.connection.execute(statements()[name], parameters)
        return cursor.fetchall()

    def one(self, name: str, parameters: Parameters = ()) -> tuple[Any, ...]:
        """The first row that a named query gives, or an empty tuple."""
        found = self.all(name, parameters)
        return found[0] if found else ()

    def run(self, name: str, parameters: Parameters = ()) -> int:
        """Run a named statement; how many rows it changed."""
        cursor = self.connection.execute(statements()[name], parameters)
        return cursor.rowcount

    def many(self, name: str, parameters: list[tuple[object, ...]]) -> int:
        """Run a named statement once for each of the tuples; how many rows they changed in all."""
        if not parameters:
            return 0
        return self.connection.executemany(statements()[name], parameters).rowcount

    def run_no(self, run_id: RunId) -> int:
        """The number behind a run's id. Raises `RunNotFoundError`."""
        known = self._run_numbers.get(run_id)
        if known is None:
            found = self.one("run_no", (run_id,))
            if not found:
                raise RunNotFoundError(
                    f"the ledger `{self.path}` holds no run `{run_id}`", hint="`batcher status` lists the runs"
                )
            known = self._run_numbers[run_id] = found[0]
        return known

    def forget(self, run_id: RunId) -> None:
        """A run was dropped: its number may be given to another."""
        self._run_numbers.pop(run_id, None)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing, durable at the end."""
        with translated(self.path, "write"):
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self.connection.execute("COMMIT")
            except BaseException:  # whatever it was, it is raised again, and nothing of it stays
                if self.connection.in_transaction:
                    with suppress(sqlite3.Error):  # what went wrong first is the cause
                        self.connection.execute("ROLLBACK")
                raise


def no_ledger(path: Path) -> RunNotFoundError:
    """What is raised where a run is looked for and no ledger is."""
    return RunNotFoundError(
        f"there is no ledger at `{path}`", hint="`batcher run` makes one; `--ledger` names another place"
    )


@contextmanager
def translated(path: Path, act: str) -> Iterator[None]:
    """Turn what SQLite and the system raise into `LedgerError`, with what to do about it."""
    try:
        yield
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", None) or type(error).__name__
        if "Could not decode" in str(error):  # Python's own error, where text is no UTF-8
            name = "SQLITE_CORRUPT"
        raise LedgerError(f"cannot {act} the ledger `{path}`: {error} ({name})", hint=_remedy(name)) from error
    except OSError as error:
        code = errno.errorcode.get(error.errno or 0, "")
        raise LedgerError(f"cannot {act} the ledger `{path}`: {error.strerror} ({code})", hint=_remedy(code)) from error


@contextmanager
def legible(path: Path) -> Iterator[None]:
    """Turn what is raised for values that batcher never wrote into `LedgerError`."""
    try:
        yield
    except (ValueError, KeyError, TypeError) as error:
        raise LedgerError(f"the ledger `{path}` holds what batcher never wrote: {error}", hint=DAMAGED) from error


def _remedy(name: str) -> str:
    for marks, remedy in _REMEDIES:
        if any(mark in name for mark in marks):
            return remedy
    return "nothing of this step was recorded; mend the cause and run the same command again"


DAMAGED = (
    "the file is damaged or is no ledger; keep it aside for inquiry and restore a copy, or name another with `--ledger`"
    " (tokens and the provider's listing keep a new one from creating anything twice)"
)
"""What to do about a ledger that cannot be believed."""
_REMEDIES = (
    (("FULL", "ENOSPC", "EDQUOT", "SHMSIZE"), "free space on the ledger's disk, then run the same command again"),
    (("BUSY", "LOCKED"), "another program has the ledger open for writing; close it, then run the same command again"),
    (
        ("READONLY", "EACCES", "EROFS", "CANTOPEN", "EPERM"),
        "the ledger's folder must exist and be writable by this user, and so must the ledger",
    ),
    (("IOERR", "EIO"), "the disk reported a fault; check it, then run the same command again"),
    (("NOTADB", "CORRUPT"), DAMAGED),
)
