"""The lock that lets one process at a time work a ledger file.

It is an advisory lock of the system on a file beside the ledger: the system lets go of it when its holder
dies, however it dies, so a dead run's hold is taken over at once and a live one's never. The file's text
names the holder to whoever meets the lock; it proves nothing.

A lock is a file of its own with one name. A link is not followed, for what it leads to would be emptied; and of a
file with two names nobody could say which ledger it locks.
"""

import errno
import fcntl
import json
import os
import shlex
import socket
import stat
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

from batcher.errors import ConfigError, LedgerHeldError
from batcher.file_system import NO_LOCKS

TEXT_BYTES_MAX = 4096
_MADE = "made"
"""Of a lock's text: whether its ledger has a schema. It outlives the holder."""


LOCAL_DISK = (
    "a ledger belongs on a local disk: name one there with `--ledger`; the reports may stay where they are"
    " (shares over NFS or SMB often lack locks, or have them on one machine only)"
)
"""What to do about a file system that cannot hold a ledger."""


class LedgerLock:
    """Held from construction to `release`. Raises `LedgerHeldError` if another process has it, `ConfigError` for what
    is no lock, and `OSError`.
    """

    def __init__(self, ledger: Path) -> None:
        self.path = lock_path(ledger)
        self._file: BinaryIO | None = _opened(self.path, os.O_RDWR | os.O_CREAT)
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
        except OSError as error:
            raise no_locks(ledger, error) from None
        _check_byte_locks(ledger, file)
        self.ledger_was_made = ledger.exists() and _is_made(_read(file))
        """Whether a ledger with a schema has been there, which nobody has taken away since."""
        self.identity = identity(os.fstat(file.fileno()))
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


def _check_byte_locks(ledger: Path, file: BinaryIO) -> None:
    """Raise `ConfigError` where the file system has no locks of the sort that SQLite takes, which would wait for them
    as if somebody else had them.
    """
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, TEXT_BYTES_MAX)
        fcntl.lockf(file, fcntl.LOCK_UN, 1, TEXT_BYTES_MAX)
    except (BlockingIOError, PermissionError):  # a share on which both sorts are one: then it has them
        return
    except OSError as error:
        raise no_locks(ledger, error) from None


def no_locks(ledger: Path, error: OSError) -> BaseException:
    """What to raise for a lock that cannot be had, though nobody else has it."""
    if error.errno not in NO_LOCKS:
        return error
    return ConfigError(f"the file system of the ledger `{ledger}` has no locks ({error.strerror})", hint=LOCAL_DISK)


def was_made(ledger: Path) -> bool:
    """Whether a ledger with a schema has been worked at this place. Raises `ConfigError`, `OSError`."""
    try:
        with _opened(lock_path(ledger), os.O_RDONLY) as file:
            return _is_made(_read(file))
    except FileNotFoundError:
        return False


class Holder(NamedTuple):
    """Who works a ledger: `owner` is how its leases name the process (empty: not known), `text` is for people."""

    owner: str
    text: str


def holder_of(ledger: Path) -> Holder | None:
    """Who works a ledger; None: nobody does. Raises `ConfigError`, `OSError`.

    The lock is tried only where its text names a process that lives: for that moment nobody else could take it.
    """
    try:
        file = _opened(lock_path(ledger), os.O_RDONLY)
    except FileNotFoundError:
        return None
    with file:
        text = _read(file)
        if not _may_live(text):
            return None
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return Holder(_owner(text), _describe(text))
        except OSError as error:
            raise no_locks(ledger, error) from None
        return None


def lock_path(ledger: Path) -> Path:
    """Where the lock of a ledger is: beside the file that a link leads to, so that one file has one lock."""
    return beside(ledger, ".lock")


def beside(ledger: Path, suffix: str) -> Path:
    """A file that goes with a ledger, beside what a link leads to, as SQLite has its own."""
    return Path(f"{os.path.realpath(ledger)}{suffix}")


def _opened(path: Path, flags: int) -> BinaryIO:
    """A lock's file, open. Raises `ConfigError` for what is no file of its own, `OSError`."""
    try:
        # Not to block: a pipe would wait for its other end.
        descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EMLINK):  # the second is FreeBSD's
            check_alone(path, path.lstat())
        raise
    file = cast("BinaryIO", os.fdopen(descriptor, "rb" if flags == os.O_RDONLY else "r+b", buffering=0))
    try:
        check_alone(path, os.fstat(descriptor))
    except BaseException:  # whatever it was: what is not used is not kept open
        file.close()
        raise
    return file


def check_alone(path: Path, found: os.stat_result) -> None:
    """Raise `ConfigError` for a companion of a ledger that is a link, no file, or a file with a second name."""
    if stat.S_ISLNK(found.st_mode):
        what, remedy = "is a link, and batcher makes none", "look who made it and where it leads, and remove it"
    elif not stat.S_ISREG(found.st_mode):
        what, remedy = "is no file", "look who made it, and remove it"
    elif found.st_nlink > 1:
        what, remedy = f"has {found.st_nlink} names", f"{show_names(path)}; {ONE_NAME}"
    else:
        return
    raise ConfigError(f"`{path}`, which goes with the ledger, {what}", hint=remedy)


ONE_NAME = "while nobody works it, make it a file of its own again (`cp -p A B && mv B A`)"
"""What to do about a file with two names."""


def identity(found: os.stat_result) -> tuple[int, int]:
    """What tells a file from all others of this machine, as long as somebody has it open."""
    return found.st_dev, found.st_ino


def show_names(path: Path) -> str:
    """How to find the other names of a file, for people."""
    return f"`find / -xdev -samefile {shlex.quote(str(path))}` shows them"


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


def owner_name() -> str:
    """How this process is named in leases."""
    return f"{socket.gethostname()}/{os.getpid()}"


def _owner(text: str) -> str:
    try:
        holder = _facts(text)
        return f"{holder['host']}/{int(holder['pid'])}"
    except (ValueError, KeyError, TypeError):
        return ""


def _describe(text: str) -> str:
    try:
        holder = _facts(text)
        return f"process {int(holder['pid'])} on `{holder['host']}` since {holder['since']}"
    except (ValueError, KeyError, TypeError):
        return "another process"
