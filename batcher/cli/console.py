"""What a person sees while a run works: a live display on a terminal, a line now and then elsewhere, log lines."""

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from batcher.telemetry.log import LogLines
from batcher.telemetry.progress import LineProgress
from batcher.telemetry.sinks import Tee
from batcher.telemetry.warnings import WarningLines

if TYPE_CHECKING:
    from batcher.ports import EventSink


@contextmanager
def open_console(arguments: argparse.Namespace) -> "Iterator[EventSink]":
    """The sinks that the options ask for; all of them write to stderr."""
    sinks: list[EventSink] = []
    if arguments.verbose:
        sinks.append(LogLines(sys.stderr, calls=arguments.verbose > 1))
    if not arguments.quiet:
        sinks.append(WarningLines(sys.stderr))
    if arguments.quiet or arguments.no_progress:
        yield Tee(sinks)
    elif sys.stderr.isatty():
        from batcher.telemetry.display import LiveProgress  # late: rich

        with LiveProgress() as display:
            yield Tee([*sinks, display])
    else:
        yield Tee([*sinks, LineProgress(sys.stderr)])
