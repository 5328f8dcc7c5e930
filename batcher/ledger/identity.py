"""What tells a ledger from any other: its id, made once, when it is first opened to write.

It stands in the ids of its runs and in their report folders, so that two ledgers never share a report. A copy of a
ledger has the same id: it holds the same runs, and their reports are the same.
"""

import hashlib
import os
import re
import socket
import time
from pathlib import Path

from batcher.ledger.store import Store

_ID = re.compile(r"[0-9a-f]{16}")


def birth_of(ledger: Path) -> str:
    """What no two ledgers have in common: machine, process, place, file, and moment. The file must be there.

    The moment counts nanoseconds, also those since boot: a ledger that follows another at one place within a second,
    or after the clock was set back, has its own. The file tells apart what two containers with one name call alike.
    """
    found = ledger.stat()
    place = os.path.realpath(ledger)
    facts = (socket.gethostname(), os.getpid(), place, found.st_dev, found.st_ino, time.time_ns(), time.monotonic_ns())
    return repr(facts)


def identify(store: Store, birth: str) -> None:
    """Give a ledger its id if it has none; `birth` is what no other ledger has. In a transaction of its own."""
    if not identity_of(store):
        ledger_id = hashlib.blake2b(birth.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()
        with store.transaction():
            store.run("insert_identity", (ledger_id,))


def identity_of(store: Store) -> str:
    """The ledger's id; empty if nobody has opened it to write since ledgers have ids. Raises `ValueError`."""
    found = store.one("select_identity")
    if not found:
        return ""
    if not _ID.fullmatch(found[0]):
        raise ValueError(f"{found[0][:80]!r} is no ledger's id")
    return str(found[0])
