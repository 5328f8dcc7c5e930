"""A command with its peak memory, fed by a pipe as long as it reads."""

import subprocess
import sys
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.commands import environment

KIB_OF_UNIT = 1 if sys.platform == "linux" else 1024
"""`ru_maxrss` is in kibibytes on Linux, in bytes on macOS."""


LAUNCHER = """
import os, sys
child = os.posix_spawn(sys.executable, [sys.executable, "-m", "batcher", *sys.argv[1:]], os.environ)
_, status, usage = os.wait4(child, 0)
with open("peak", "w") as file:
    file.write(str(usage.ru_maxrss))
sys.exit(os.waitstatus_to_exitcode(status))
"""
"""The peak of a process counts that of the one it was split from, so a small one stands between."""


@dataclass(frozen=True)
class Measured:
    """A command that has ended; `taken` is how many bytes went into its standard input."""

    code: int
    out: str
    err: str
    peak_mib: float
    taken: int


def measured(folder: Path, *words: str, fed: Iterable[bytes] = (), extra: dict[str, str] | None = None) -> Measured:
    """Run a command to its end, as a process of its own."""
    with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
        process = subprocess.Popen(
            [sys.executable, "-c", LAUNCHER, *words],
            cwd=folder,
            env=environment(folder, extra),
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=err,
            bufsize=0,
        )
    taken = 0

    def feed() -> None:
        nonlocal taken
        assert process.stdin is not None
        try:
            with process.stdin as pipe:
                for block in fed:
                    taken += pipe.write(block)
        except BrokenPipeError:
            pass  # it has read enough

    feeder = threading.Thread(target=feed)
    feeder.start()
    process.wait()
    feeder.join()
    out_text, err_text = ((folder / name).read_text(encoding="utf-8") for name in ("out", "err"))
    return Measured(
        process.returncode, out_text, err_text, int((folder / "peak").read_text()) / KIB_OF_UNIT / 1024, taken
    )
