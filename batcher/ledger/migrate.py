"""Bring a ledger file to this batcher's schema: numbered SQL files, each applied once, in one transaction."""

import re
from functools import cache
from importlib.resources import files

from batcher.errors import LedgerError
from batcher.ledger.store import Store

APPLICATION_ID = 0x42544348
"""`BTCH`: marks the file as a ledger of batcher's (`PRAGMA application_id`)."""


@cache
def migrations() -> tuple[tuple[int, str], ...]:
    """(number, SQL) of every migration, ascending without gaps."""
    found = []
    for entry in files("batcher.ledger").joinpath("sql").iterdir():
        match = re.fullmatch(r"(\d{3})_\w+\.sql", entry.name)
        if match:
            found.append((int(match[1]), entry.read_text(encoding="utf-8")))
    return tuple(sorted(found))


def schema_version(store: Store) -> int:
    """The number of the last migration applied; 0 for an empty file. Raises `LedgerError` for a foreign one."""
    (version,) = store.connection.execute("PRAGMA user_version").fetchone()
    (application,) = store.connection.execute("PRAGMA application_id").fetchone()
    (objects,) = store.connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application != APPLICATION_ID and objects:
        raise LedgerError(
            f"`{store.path}` is an SQLite file, but no ledger of batcher", hint="name another file with `--ledger`"
        )
    newest = migrations()[-1][0]
    if version > newest:
        raise LedgerError(
            f"the ledger `{store.path}` has schema {version}, and this batcher knows schemas up to {newest}",
            hint="a newer batcher has worked on it; use that one or a later one",
        )
    return int(version)


def migrate(store: Store) -> None:
    """Apply what is missing. Killed in between, the next start applies the rest. Raises `LedgerError`."""
    version = schema_version(store)
    for number, script in migrations():
        if number <= version:
            continue
        with store.transaction():
            for statement in _split(script):
                store.connection.execute(statement)
            store.connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            store.connection.execute(f"PRAGMA user_version = {number}")


def _split(script: str) -> list[str]:
    """The statements of a migration file; `executescript` would commit between them."""
    bare = re.sub(r"--[^\n]*", "", script)
    return [statement.strip() for statement in bare.split(";") if statement.strip()]
