"""Disks that are small, full, read-only or broken, each where this machine allows it."""

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

BLOCK = b"x" * 4096
SHIM = Path(__file__).with_name("faults.c")


@dataclass(frozen=True)
class SmallDisk:
    """A mounted file system of a few megabytes."""

    path: Path

    @property
    def _ballast(self) -> Path:
        return self.path / "ballast"

    def fill(self, *, free_bytes: int = 0) -> None:
        """Leave so much room, to a page."""
        with self._ballast.open("ab", buffering=0) as file:
            try:
                while file.write(BLOCK):
                    pass
            except OSError:
                pass
        os.truncate(self._ballast, self._ballast.stat().st_size - free_bytes)

    def free(self) -> None:
        """Take the ballast away."""
        self._ballast.unlink()

    def set_read_only(self, *, on: bool = True) -> None:
        """Mount it anew, to be read only or to be written too."""
        subprocess.run(["mount", "-o", f"remount,{'ro' if on else 'rw'}", self.path], check=True)


@contextmanager
def small_disk(path: Path, size: str = "8m") -> Iterator[SmallDisk]:
    """A file system of that size at `path`; the test is skipped where nobody lets us mount one."""
    path.mkdir()
    try:
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0755", "tmpfs", path], check=True, capture_output=True
        )
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no file system can be mounted here: {error}")
    try:
        yield SmallDisk(path)
    finally:
        subprocess.run(["umount", "-l", path], check=True)


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """No file of what is started meanwhile grows beyond `size` bytes: a full disk, near enough, for everybody."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@dataclass(frozen=True)
class BrokenDisk:
    """A fault of the disk that begins when it is told to."""

    environment: dict[str, str]
    trigger: Path

    def begin(self) -> None:
        """From now on, or once, the call fails."""
        self.trigger.touch()

    @property
    def is_over(self) -> bool:
        """Whether a fault that comes once has come."""
        return not self.trigger.exists()


def broken_disk(folder: Path, call: str, file: str, *, once: bool = False) -> BrokenDisk:
    """What makes `call` (`sync`, `write`, `read`) fail on files whose path ends with `file`, in what is started so."""
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("faults of a disk need Linux and a C compiler")
    shim, trigger = folder / "faults.so", folder / "trigger"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", shim, SHIM, "-ldl"], check=True, capture_output=True)
    fault = {"FAULT_TRIGGER": str(trigger), "FAULT_CALL": call, "FAULT_FILE": file}
    return BrokenDisk({"LD_PRELOAD": str(shim), **fault, **({"FAULT_ONCE": "1"} if once else {})}, trigger)
