"""What a person sees while a run works: a live display on a terminal, a line now and then elsewhere, log lines."""

import argparse
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from batcher.errors import ConfigError
from batcher.telemetry.log import LogLines
from batcher.telemetry.progress import LineProgress
from batcher.telemetry.sinks import Tee
from batcher.telemetry.warnings import WarningLines

if TYPE_CHECKING:
    from batcher.ports import EventSink


@contextmanager
def open_console(arguments: argparse.Namespace) -> "Iterator[EventSink]":
    """The sinks that the options ask for; all of them write to stderr, the log also to a file. Raises `ConfigError`."""
    sinks: list[EventSink] = []
    as_json, calls = arguments.log_format == "json", arguments.verbose > 1
    if arguments.verbose:
        sinks.append(LogLines(sys.stderr, calls=calls, as_json=as_json))
    with ExitStack() as open_files:
        if arguments.log_file is not None:
            log = open_files.enter_context(_appended(arguments.log_file))
            sinks.append(LogLines(log, calls=calls, as_json=as_json))
        yield from _shown(arguments, sinks)


def _appended(path: str) -> TextIO:
    """A log that is written on. Raises `ConfigError`."""
    try:
        return Path(path).open("a", encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise ConfigError(f"the log `{path}` cannot be written: {error.strerror}", hint="name another file") from None


def _shown(arguments: argparse.Namespace, sinks: "list[EventSink]") -> "Iterator[EventSink]":
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
