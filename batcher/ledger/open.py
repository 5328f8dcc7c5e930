"""Where a ledger is opened: by path today; a server's URL would be told apart here."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio

from batcher.ledger.sqlite import SqliteLedger
from batcher.ledger_port import Ledger


@asynccontextmanager
async def open_ledger(path: str, *, read_only: bool = False, birth: str = "") -> AsyncIterator[Ledger]:
    """A ledger, closed at the end. `read_only` takes no lock, so it works beside a run.

    `birth` is what a new ledger's id is made of; if absent of time and place (`identity.birth_of`).

    Raises `LedgerHeldError` when another process works it and `LedgerError` when it cannot be opened.
    """
    ledger = SqliteLedger(Path(path), read_only=read_only, birth=birth)
    try:
        await ledger.open()
        yield ledger
    finally:
        with anyio.CancelScope(shield=True):
            await ledger.close()
