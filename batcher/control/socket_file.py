"""The socket file beside a ledger: how it comes to be there for its owner alone, and how its path can be of any length.

A path in a socket's address has about a hundred bytes at most, a path of files some thousands. On Linux a file that is
open has a short name, `/proc/self/fd/N`; elsewhere a socket in a deep folder cannot be opened.

The socket is made in a folder of its own that nobody else can enter, gets its mode, and is then renamed. So there is no
moment in which it is open to others, whatever the umask, which belongs to the whole process and is left alone. The
renaming also puts it in the place of one that a dead process has left. Links are not followed: batcher makes none.
"""

import errno
import os
import socket
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

ADDRESS_BYTES_MAX = 107 if sys.platform == "linux" else 103
"""Of a path in an address (`sun_path`), its end left out: unix(7), and 104 bytes with it on BSD and macOS."""
BACKLOG = 16
"""Clients that the system lets wait for their turn."""
OPEN_FILES = "/proc/self/fd"
_MADE = "s"


def socket_path(ledger: Path) -> Path:
    """Where the socket of a run that works this ledger is: beside the file that a link leads to."""
    return Path(f"{os.path.realpath(ledger)}.sock")


@contextmanager
def listening(path: Path) -> Iterator[socket.socket]:
    """A socket that listens at `path`, for this user alone; gone at the end.

    Only who holds the lock of the ledger may open it: what lies there already is taken for a dead process's. Raises
    `OSError` where it cannot be opened or something else than a socket is there.
    """
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            listener.setblocking(False)
            identity = _put_there(listener, path, folder)
            try:
                listener.listen(BACKLOG)
                yield listener
            finally:
                with suppress(OSError):
                    if _identity(path.name, folder) == identity:
                        os.unlink(path.name, dir_fd=folder)
    finally:
        os.close(folder)


def connect(connection: socket.socket, path: Path) -> None:
    """Connect to the socket at `path`; as soon as the system says so for a socket that does not block.

    Raises `OSError`: what nobody listens at is `ConnectionRefusedError`, `FileNotFoundError` or `NotADirectoryError`.
    """
    if stat.S_ISLNK(os.lstat(path).st_mode):
        raise OSError(errno.ELOOP, "the socket is a link, and batcher makes none", str(path))
    with _short(path) as address:
        connection.connect(address)


def _put_there(listener: socket.socket, path: Path, folder: int) -> tuple[int, int]:
    """Bind a socket and bring it to its place; its identity there."""
    if (found := _mode(path.name, folder)) is not None and not stat.S_ISSOCK(found):
        raise FileExistsError(errno.EEXIST, "something else than a socket is there")
    workshop = f".{path.name}"
    _remove(workshop, folder)
    os.mkdir(workshop, 0o700, dir_fd=folder)
    try:
        inside = os.open(workshop, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
        try:
            listener.bind(_name_in(inside, path.parent / workshop, _MADE))
            os.chmod(_MADE, 0o600, dir_fd=inside)
            os.rename(_MADE, path.name, src_dir_fd=inside, dst_dir_fd=folder)
        finally:
            os.close(inside)
    finally:
        _remove(workshop, folder)
    return _identity(path.name, folder)


def _remove(workshop: str, folder: int) -> None:
    """Remove what a process that died while it opened its socket has left; nothing is no fault."""
    with suppress(FileNotFoundError):
        if stat.S_ISLNK(os.stat(workshop, dir_fd=folder, follow_symlinks=False).st_mode):
            raise FileExistsError(errno.EEXIST, f"`{workshop}` beside it is a link, and batcher makes none")
        os.unlink(f"{workshop}/{_MADE}", dir_fd=folder)
    with suppress(FileNotFoundError):
        os.rmdir(workshop, dir_fd=folder)


def _mode(name: str, folder: int) -> int | None:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return None


def _identity(name: str, folder: int) -> tuple[int, int]:
    found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    return found.st_dev, found.st_ino


def _name_in(folder: int, path: Path, name: str) -> str:
    """A name short enough for an address of what will be in an open folder."""
    plain = str(path / name)
    return plain if _fits(plain) else _open_name(folder, plain) + f"/{name}"


@contextmanager
def _short(path: Path) -> Iterator[str]:
    """A name short enough for an address of a socket that is there."""
    if _fits(str(path)):
        yield str(path)
        return
    file = os.open(path, getattr(os, "O_PATH", os.O_RDONLY) | os.O_CLOEXEC)
    try:
        yield _open_name(file, str(path))
    finally:
        os.close(file)


def _open_name(file: int, path: str) -> str:
    name = f"{OPEN_FILES}/{file}"
    if not os.path.lexists(name):
        raise OSError(errno.ENAMETOOLONG, "the path is too long for a socket", path)
    return name


def _fits(path: str) -> bool:
    return len(os.fsencode(path)) <= ADDRESS_BYTES_MAX
