"""Event sinks that show nothing themselves."""

from collections.abc import Sequence

from batcher.events import Event
from batcher.ports import EventSink


class Silent:
    """Takes every event and tells nobody."""

    def emit(self, event: Event) -> None:
        """Take one event."""


class Tee:
    """Tells several sinks, in order."""

    def __init__(self, sinks: Sequence[EventSink]) -> None:
        self._sinks = tuple(sinks)

    def emit(self, event: Event) -> None:
        """Pass one event on."""
        for sink in self._sinks:
            sink.emit(event)
