"""Where a ledger is opened: by path today; a server's URL would be told apart here."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio

from batcher.ledger.hold import check_found
from batcher.ledger.lock import was_made
from batcher.ledger.sqlite import SqliteLedger
from batcher.ledger.store import no_ledger, translated
from batcher.ledger_port import Ledger


@asynccontextmanager
async def open_ledger(
    path: str,
    *,
    read_only: bool = False,
    found: bool = False,
    birth: str = "",
    when_lost: Callable[[], None] | None = None,
) -> AsyncIterator[Ledger]:
    """A ledger, closed at the end. `read_only` takes no lock, so it works beside a run.

    `birth` is what a new ledger's id is made of; if absent of time and place (`identity.birth_of`).
    `found`: nobody has named it, so it must be ours. `when_lost` is called once it is not in its place any more, and
    nothing may be sent from then on.

    Raises `LedgerHeldError` when another process works it, `ConfigError` when it is not ours or has two names, and
    `LedgerError` when it cannot be opened.
    """
    if found:
        check_found(Path(path))
    ledger = SqliteLedger(Path(path), read_only=read_only, birth=birth, when_lost=when_lost)
    try:
        await ledger.open()
        yield ledger
    finally:
        with anyio.CancelScope(shield=True):
            await ledger.close()


def check_there(path: Path) -> None:
    """Raise `RunNotFoundError` where no ledger was ever made: who looks for a run must not make an empty one.

    One that was there and is gone is for `open_ledger` to tell. Raises `LedgerError` where nobody may look.
    """
    with translated(path, "open"):
        if not path.exists() and not was_made(path):
            raise no_ledger(path)


@asynccontextmanager
async def temporary_ledger() -> AsyncIterator[Ledger]:
    """A ledger that is gone with the block, and with the process however that ends. Raises `LedgerError`."""
    ledger = SqliteLedger(None, read_only=False)
    try:
        await ledger.open()
        yield ledger
    finally:
        with anyio.CancelScope(shield=True):
            await ledger.close()
