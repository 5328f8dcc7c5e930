"""Progress where there is no terminal: one line now and then, so that a log shows that the run lives."""

import time
from contextlib import suppress
from typing import TextIO

from batcher.events import Event, RunEnded, RunStarted, RunSteered, ScopeStopped
from batcher.policy.defusing import printable
from batcher.telemetry.tally import ProgressTally

LINE_EVERY_S = 10.0


class LineProgress:
    """Writes a line at the start, every ten seconds in which something happened, and at the end."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._tally = ProgressTally()
        self._next = time.monotonic() + LINE_EVERY_S

    def emit(self, event: Event) -> None:
        """Count an event, and write a line if it is time."""
        now = time.monotonic()
        self._tally.take(event, now)
        if isinstance(event, RunStarted):
            how = "continues" if event.continued else "starts"
            self._write(f"run {event.run_id} {how}: {event.open_rows:,} of {event.total:,} rows to do")
        elif isinstance(event, RunEnded | RunSteered | ScopeStopped) or now >= self._next:
            self._write(self._tally.line(now))
            self._next = now + LINE_EVERY_S

    def _write(self, line: str) -> None:
        with suppress(OSError, ValueError):  # nobody reads it any more: that does not stop a run
            print(f"batcher: {printable(line)}", file=self._out, flush=True)
