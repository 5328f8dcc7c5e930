"""The standard streams of this process, each of them there and safe to write, whatever the parent has left of them.

A stream that the parent has closed is opened to nothing: else the ledger would get its number, and be written to by
whoever complains. Talk that cannot be written (its reader is gone, its disk is full) is dropped, and the work goes on.
A result that cannot be written is an error.
"""

import io
import os
import sys
from typing import Any, TextIO

from batcher.errors import OutputError

STDIN, STDOUT, STDERR = 0, 1, 2


def mend_streams() -> None:
    """Put the three streams in place, before any other file is opened."""
    for number in (STDIN, STDOUT, STDERR):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # it gets the lowest number that is free, and those below are taken
    if sys.stdin is None:
        sys.stdin = os.fdopen(STDIN, closefd=False)
    sys.stdout = _Result(io.BufferedWriter(io.FileIO(STDOUT, "w", closefd=False)), **_as(sys.stdout))
    sys.stderr = _Talk(io.BufferedWriter(io.FileIO(STDERR, "w", closefd=False)), **_as(sys.stderr))


def silence(number: int) -> None:
    """Let whatever is written to a stream from now on, or is in its buffer, go nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, number)
    os.close(nowhere)


class _Talk(io.TextIOWrapper):
    """A stream that is silent from the first text on that it could not write."""

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except OSError:
            silence(STDERR)
            return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError:
            silence(STDERR)


class _Result(io.TextIOWrapper):
    """A stream that raises `OutputError` for what it cannot write, `BrokenPipeError` where nobody reads any more."""

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise _not_written(error) from None

    def flush(self) -> None:
        try:
            super().flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise _not_written(error) from None


def _not_written(error: OSError) -> OutputError:
    silence(STDOUT)  # what is in the buffer would else be tried again when the process ends
    return OutputError(
        f"cannot write to standard output: {error.strerror}", hint="make room where it leads, or read it"
    )


def _as(stream: TextIO | None) -> dict[str, Any]:
    """How a stream is written that takes the place of this one, which may be closed."""
    if stream is None:
        return {"encoding": "utf-8", "errors": "backslashreplace"}
    names = ("encoding", "errors", "line_buffering", "write_through")
    return {name: getattr(stream, name) for name in names}
