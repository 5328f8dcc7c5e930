"""What is said to people and programs, so that no text of somebody else's does anything but being read.

Names of files, cells of an inventory and messages of the provider may hold what a terminal obeys. A line for people has
none of it, JSON has it escaped; and a stream that cannot write a character gets its number instead.
"""

import json
import sys
from collections.abc import Iterable
from typing import TextIO

from batcher.policy.defusing import printable, printable_json


def say(*lines: str, out: TextIO | None = None, flush: bool = False) -> None:
    """Write lines to `out`, or to stdout."""
    _write(map(printable, lines), sys.stdout if out is None else out, flush=flush)


def complain(*lines: str) -> None:
    """Write lines to stderr."""
    say(*lines, out=sys.stderr)


def say_json(value: object, *, indent: int | None = None, flush: bool = False) -> None:
    """Write a value to stdout as JSON; what JSON does not know as its text."""
    text = json.dumps(value, ensure_ascii=False, indent=indent, default=str)
    if not _takes(sys.stdout, text):
        text = json.dumps(value, indent=indent, default=str)
    _write([printable_json(text)], sys.stdout, flush=flush)


def _write(lines: Iterable[str], out: TextIO, *, flush: bool) -> None:
    text = "\n".join(lines)
    if not _takes(out, text):
        encoding = out.encoding or "ascii"
        text = text.encode(encoding, "backslashreplace").decode(encoding)
    print(text, file=out, flush=flush)


def _takes(out: TextIO, text: str) -> bool:
    """Whether a stream can write all of a text."""
    try:
        text.encode(out.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


def span_text(seconds: float) -> str:
    """A time as people say it: `7s`, `4m10s`, `2h05m`, `3d04h`."""
    whole = round(seconds)
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if days:
        return f"{days}d{hour:02}h"
    if hours:
        return f"{hours}h{minute:02}m"
    return f"{minutes}m{second:02}s" if minutes else f"{second}s"
