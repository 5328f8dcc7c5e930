"""`batcher`, killed at a named point: `python -m tests.crash.dying POINT:N -- run inventory.csv ...`.

The N-th time that it comes to the point (`points.POINTS`) it kills itself with SIGKILL: nothing is flushed, closed or
taken back. A process that never comes there ends by itself, with the exit code of the command.
"""

import os
import signal
import sys

from batcher.cli.main import main
from tests.crash.points import POINTS, install


def kill_at(text: str) -> None:
    """Have this process killed at `POINT:N`. Raises `ValueError` for a point that is none."""
    point, _, count = text.partition(":")
    if point not in POINTS:
        raise ValueError(f"there is no point `{point}`")
    left = int(count or "1")

    def reach(name: str) -> None:
        nonlocal left
        if name == point:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    install(reach)


if __name__ == "__main__":
    kill_at(sys.argv[1])
    sys.exit(main(sys.argv[sys.argv.index("--") + 1 :]))
