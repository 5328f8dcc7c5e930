"""Progress where there is no terminal: one line now and then, so that a log shows that the run lives."""

import time
from contextlib import suppress
from datetime import datetime
from typing import TextIO

from batcher.events import Event, RunEnded, RunStarted, RunSteered, ScopeStopped
from batcher.policy.defusing import printable
from batcher.telemetry.tally import ProgressTally

OFTEN_S, RARELY_S = 10.0, 60.0
"""From one line to the next, at first and later on."""
OFTEN_FOR_S = 300.0


class LineProgress:
    """Writes a line at the start, every ten seconds and later every minute in which something happened, and at the end.

    Each begins with the time on this machine's wall.
    """

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._tally = ProgressTally()
        self._began = time.monotonic()
        self._next = self._began + OFTEN_S

    def emit(self, event: Event) -> None:
        """Count an event, and write a line if it is time."""
        now = time.monotonic()
        self._tally.take(event, now)
        if isinstance(event, RunStarted):
            how = "continues" if event.continued else "starts"
            self._write(f"run {event.run_id} {how}: {event.open_rows:,} of {event.total:,} rows to do")
        elif isinstance(event, RunEnded | RunSteered | ScopeStopped) or now >= self._next:
            self._write(self._tally.line(now))
            self._next = now + (OFTEN_S if now - self._began < OFTEN_FOR_S else RARELY_S)

    def _write(self, line: str) -> None:
        at = datetime.now().astimezone().strftime("%H:%M:%S")
        with suppress(OSError, ValueError):  # nobody reads it any more: that does not stop a run
            print(f"batcher: {at} {printable(line)}", file=self._out, flush=True)
