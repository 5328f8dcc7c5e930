"""What an operator should hear of even where no progress is shown."""

from contextlib import suppress
from typing import TextIO

from batcher.events import ClockSkewed, Event, Warned
from batcher.policy.defusing import printable


class WarningLines:
    """Writes a line for each event that is a warning."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def emit(self, event: Event) -> None:
        """Write one event, if it is a warning."""
        if isinstance(event, ClockSkewed):
            skew, way = abs(round(event.skew_s)), "ahead of" if event.skew_s > 0 else "behind"
            self._write(
                f"warning: the clock of this machine is {skew:,} s {way} that of {event.host};"
                " from 900 s on calls are refused",
                "set the clock, by NTP for instance",
            )

        elif isinstance(event, Warned):
            self._write(f"warning: {event.message}", event.hint)

    def _write(self, line: str, hint: str) -> None:
        with suppress(OSError, ValueError):  # nobody reads it any more: that does not stop a run
            said = [f"batcher: {line}", *([f"hint: {hint}"] if hint else [])]
            print("\n".join(map(printable, said)), file=self._out, flush=True)
