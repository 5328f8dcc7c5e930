"""A ledger's place: that it is one file with one name, that what lies beside it is its own, and that all of that stays.

SQLite finds the log by the ledger's name, and the lock stands beside the name. So a file with two names has two logs
and two locks, two processes work it at a time, and each damages what the other has written. And a process whose ledger
or lock is moved, replaced or removed works on in what it has open, while the next one finds the place free. The first
is refused when a ledger is opened, also to be read: what the log beside the other name holds would be missing. The
second cannot be prevented; it is looked for before rows are claimed and at each renewal of a lease (`Hold.check`: five
looks at the file system, some ten microseconds), so that the window is a page of claims or a third of a lease.
"""

import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from batcher.errors import ConfigError, LedgerLostError
from batcher.ledger.damage import LOG
from batcher.ledger.lock import ONE_NAME, LedgerLock, beside, check_alone, identity, show_names
from batcher.ownership import is_ours, user_name, why_not_ours

COMPANIONS: Final = (LOG, "-shm", "-journal", ".lock")
"""What SQLite and the lock have beside a ledger."""
KEPT_OPEN: Final = (LOG, "-shm")
"""Those that SQLite has open for as long as the ledger is."""


def check_names(ledger: Path) -> None:
    """Raise `ConfigError` for a ledger with two names, and for companions that are not its own; `OSError`.

    A companion belongs to us, to root or to the ledger's owner: what somebody else has put there is not read.
    """
    owner = None
    if ledger.exists():
        found = ledger.stat()
        owner = found.st_uid
        if stat.S_ISREG(found.st_mode) and found.st_nlink > 1:
            raise ConfigError(
                f"the ledger `{ledger}` has {found.st_nlink} names, and with each of them a log and a lock of its own",
                hint=f"{show_names(ledger)}; {ONE_NAME}; go on with the one that has a `{LOG}` beside it, if any",
            )
    for path in (beside(ledger, suffix) for suffix in COMPANIONS):
        if not os.path.lexists(path):
            continue
        found = path.lstat()
        check_alone(path, found)
        if not is_ours(found.st_uid) and found.st_uid != owner:
            raise ConfigError(
                f"`{path}`, which goes with the ledger, belongs to `{user_name(found.st_uid)}`",
                hint="look how it came there, and remove it, or name another ledger with `--ledger`",
            )


def check_found(ledger: Path) -> None:
    """Raise `ConfigError` for a ledger that lies where ledgers do, and that somebody else may have written.

    It says where calls and keys go when a run is gone on with, so it must be ours, as a settings file must.
    """
    for path in (ledger, *(beside(ledger, suffix) for suffix in COMPANIONS)):
        # What is no file, or a link to nothing, is refused for that when it is opened.
        if path.is_file() and (reason := why_not_ours(path, folder=False)):
            raise ConfigError(
                f"the ledger `{ledger}` was found, and is not used: {reason}",
                hint=f"`--ledger {ledger}` uses it all the same: its runs say where calls and keys go; or make it yours"
                " alone (`chown`, `chmod go-w`)",
            )


class Hold:
    """The files of a ledger as this process has them open; `opened` tells the ledger's own from others.

    To be made once SQLite has its log: one that it does not have is not looked for.
    """

    def __init__(self, ledger: Path, opened: tuple[int, int], lock: LedgerLock) -> None:
        files = {ledger: ("the ledger", opened), lock.path: ("the lock of the ledger", lock.identity)}
        for path in (beside(ledger, suffix) for suffix in KEPT_OPEN):
            with suppress(FileNotFoundError):
                files[path] = ("the log of the ledger", identity(path.lstat()))
        self._ledger = ledger
        self._files: Mapping[Path, tuple[str, tuple[int, int]]] = files

    def check(self) -> None:
        """Raise `LedgerLostError` if one of the files is not in its place any more, or has got a second name."""
        for path, (what, opened) in self._files.items():
            try:
                found = path.stat() if path == self._ledger else path.lstat()  # the ledger may be a link
            except OSError:
                raise self._lost(f"{what}, `{path}`, was moved or removed") from None
            if identity(found) != opened:
                raise self._lost(f"another file has come into the place of {what}, `{path}`")
            if found.st_nlink > 1:
                raise self._lost(f"{what}, `{path}`, has got a second name")

    @staticmethod
    def _lost(what: str) -> LedgerLostError:
        return LedgerLostError(
            f"{what} while this process worked it; it has stopped, for another may begin",
            hint="what was in flight is settled in the file that it had open: see that all files of the ledger are in"
            " their place, each with one name, and nobody else works it; then `batcher resume`",
        )
