"""The folder of one run's report while it is written: a reader sees old files or new ones, never half a one.

1. The folder is locked, so that two processes do not write one report at a time; the lock goes with the
   process that holds it.
2. What a killed process left is removed: with the lock held, a temporary file belongs to nobody.
3. The file `.ledger` names the ledger whose run it is. It is put there before anything else, and a folder that names
   another ledger is refused: a report is never replaced by that of another run, even if both are called alike.
4. Every file is written whole to a temporary name in the same folder and synced to the disk.
5. Only then each is renamed, in the order in which it was begun, and the folder and the one above it are synced;
   then `latest`, a relative symbolic link, is replaced in one step and its folder synced.

A failure before step 5 leaves the old report as it was. Everything here blocks; `publish` runs it in a
thread of its own.

A report is for others too, so who may read it is for the operator to say. The folder of all reports is made for its
owner alone; one `chmod` opens it, for the runs to come as well. What is inside obeys the umask, and nobody but the
owner may ever write it: a report that somebody else could change would prove nothing. For the same reason a run's
folder that is a link is refused: batcher makes none, and what is written there would go wherever somebody wished.
"""

import fcntl
import hashlib
import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

from batcher.errors import ReportError
from batcher.file_system import NO_LINKS, sync_folder
from batcher.model import RUN_ID_PATTERN
from batcher.ownership import is_open_to_all
from batcher.policy.defusing import printable

LATEST: Final = "latest"
OWNER_FILE: Final = ".ledger"
_OWNER_BYTES_MAX: Final = 256
"""Of that file: an id and a line end; what is longer is no ledger's."""
_TEMPORARY_SUFFIX: Final = ".tmp"
_NEW_FILE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
"""Never somebody else's file or link."""


class ReportFolder:
    """`<root>/<run_id>/`, made where it is missing; `open` first, then files, then `commit`, at last `close`.

    `again` is the command that writes the report again. `ledger_id` is that of the ledger that holds the run; empty,
    for a ledger that has none yet, nothing is held against the folder.

    Every method raises `ReportError` where the file system refuses; the ledger is unharmed then.
    """

    def __init__(self, root: Path, run_id: str, again: str = "", *, ledger_id: str = "") -> None:
        if not RUN_ID_PATTERN.fullmatch(run_id) or run_id.lower() == LATEST:
            raise ReportError(
                f"run id `{run_id[:80]!r}` cannot name a report folder",
                hint="a run id has 1-64 letters, digits, `.` or `-` and is not `latest`",
            )
        self.path = root / run_id
        self._root = root
        self._run_id = run_id
        self._ledger_id = ledger_id
        self._again = again or f"batcher report {run_id}"
        self._lock: int | None = None
        self.lacks: dict[str, str] = {}
        """What the file system lacks that a report can do without, and what of that follows."""
        self._files: dict[str, BinaryIO] = {}
        self._digests: dict[str, hashlib._Hash] = {}

    def open(self) -> bool:
        """Lock the folder and sweep it; False while another process writes there. Repeatable."""
        with self._translated(self.path):
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
            if is_open_to_all(self._root.stat()):
                raise ReportError(
                    f"cannot write report `{self.path}`: `{self._root}` can be written by everybody",
                    hint=f"`chmod o-w {shlex.quote(str(self._root))}`; then `{self._again}` writes the report",
                )
            self.path.mkdir(mode=0o755, exist_ok=True)
            if self.path.is_symlink():
                raise ReportError(
                    f"cannot write report `{self.path}`: it is a link, and batcher makes none",
                    hint=f"look who made it, and remove it; then `{self._again}` writes the report",
                )
            lock = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(lock)
                return False
            except OSError:
                pass  # a file system without locks: process ids in the temporary names keep writers apart
            self._lock = lock
            for leftover in self.path.glob(f".*{_TEMPORARY_SUFFIX}"):
                leftover.unlink(missing_ok=True)
            check_run_folder(self._root, self._run_id, self._ledger_id)
            self._mark()
        return True

    def _mark(self) -> None:
        """Name the folder's ledger in it, unless that is done or there is nothing to name."""
        if not self._ledger_id or _owner_of(self.path):
            return
        name = self._temporary(OWNER_FILE)
        try:
            with os.fdopen(os.open(name, _NEW_FILE, 0o644), "wb") as file:
                file.write(f"{self._ledger_id}\n".encode())
                file.flush()
                os.fsync(file.fileno())
            name.replace(self.path / OWNER_FILE)
        except OSError:
            with suppress(OSError):
                name.unlink(missing_ok=True)
            raise
        self._sync(self.path)

    def holds(self, name: str) -> bool:
        """Whether an earlier report left a file of this name."""
        return (self.path / name).exists()

    def begin(self, name: str) -> None:
        """Open a file that will be `name` after `commit`."""
        with self._translated(self.path / name):
            self._files[name] = os.fdopen(os.open(self._temporary(name), _NEW_FILE, 0o644), "wb")
            self._digests[name] = hashlib.sha256()

    def write(self, name: str, text: str) -> None:
        """Append text as UTF-8 to a begun file; half of a surrogate pair is written as its escape."""
        content = text.encode("utf-8", "backslashreplace")
        with self._translated(self.path / name):
            self._files[name].write(content)
        self._digests[name].update(content)

    def digests(self) -> dict[str, str]:
        """The SHA-256 of what was written to each begun file, in hex."""
        return {name: digest.hexdigest() for name, digest in self._digests.items()}

    def commit(self, *, leads: bool = True) -> None:
        """Put all begun files in place; `leads`: and let `latest` lead to them."""
        for name, file in self._files.items():
            with self._translated(self.path / name):
                file.flush()
                os.fsync(file.fileno())
                file.close()
        for name in self._files:
            with self._translated(self.path / name):
                self._temporary(name).replace(self.path / name)
        self._files.clear()
        with self._translated(self.path):
            self._sync(self.path)
            self._sync(self._root)  # its own name is safe before `latest` leads to it
        if leads or not (self._root / LATEST).exists():
            with self._translated(self._root / LATEST):
                self._point_latest()

    def close(self) -> None:
        """Remove what was begun and not committed, and unlock. Raises nothing; repeatable."""
        for name, file in self._files.items():
            with suppress(OSError):
                file.close()
            with suppress(OSError):
                self._temporary(name).unlink(missing_ok=True)
        self._files.clear()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _temporary(self, name: str) -> Path:
        return self.path / f".{name}.{os.getpid()}{_TEMPORARY_SUFFIX}"

    def _sync(self, folder: Path) -> None:
        if not sync_folder(folder):
            said = f"the file system of `{folder}` cannot make names durable"
            self.lacks[said] = f"after a power cut the newest reports may be missing; `{self._again}` writes them again"

    def _point_latest(self) -> None:
        """Make the link inside the locked folder, where a leftover would be swept, and move it out."""
        link = self._temporary(LATEST)
        link.unlink(missing_ok=True)
        try:
            link.symlink_to(self._run_id, target_is_directory=True)
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            said = f"`{self._root / LATEST}` cannot lead to the newest report: this file system has no links"
            self.lacks[said] = f"the report of this run is in `{self.path}`"
            return
        try:
            link.replace(self._root / LATEST)
        except OSError:
            link.unlink(missing_ok=True)
            raise
        self._sync(self._root)

    @contextmanager
    def _translated(self, path: Path) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ReportError(
                f"cannot write report `{path}`: {error.strerror or error}",
                hint=f"the ledger is unharmed; `{self._again}` writes the report again",
            ) from error


def check_run_folder(root: Path, run_id: str, ledger_id: str) -> None:
    """Raise `ReportError` where a run's folder is that of another ledger's run. One without a name is nobody's."""
    path = root / run_id
    owner = _owner_of(path) if ledger_id else ""
    if owner not in ("", ledger_id):
        raise ReportError(
            f"the folder `{path}` holds the report of another ledger's run (ledger `{owner}`; this one is"
            f" `{ledger_id}`), and stays as it is",
            hint="name another folder for the reports with `--reports`, and this ledger with `--ledger`",
        )


def _owner_of(path: Path) -> str:
    """The id of the ledger that a run's folder names; empty where it names none. Raises `ReportError`."""
    try:
        # Not waiting: somebody may have put a pipe there.
        file = os.open(path / OWNER_FILE, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            return printable(os.read(file, _OWNER_BYTES_MAX).decode("ascii", "replace").strip())
        finally:
            os.close(file)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as error:
        raise ReportError(
            f"cannot read whose the report folder `{path}` is: {error.strerror or error}",
            hint=f"look who made `{path / OWNER_FILE}`; the ledger is unharmed",
        ) from error
