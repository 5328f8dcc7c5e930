"""Log lines: a static event name and facts, as pairs or as JSON, one line an event. Ids always, secrets never.

Events hold no secrets; messages of the provider were redacted where they came in (`cloud.wire`).
"""

import dataclasses
import json
import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import TextIO

from batcher.events import CallMade, Event, PlanProgress
from batcher.model import LaneKey, Window
from batcher.policy.pace import rate_text

_PLAIN = re.compile(r"[^\s\"=]+")


class LogLines:
    """Writes every event but the calls, and those too if `calls` is set."""

    def __init__(self, out: TextIO, *, calls: bool, as_json: bool = False) -> None:
        self._out = out
        self._calls = calls
        self._as_json = as_json

    def emit(self, event: Event) -> None:
        """Write one event."""
        if isinstance(event, PlanProgress) or (isinstance(event, CallMade) and not self._calls):
            return
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        with suppress(OSError, ValueError):  # a log that nobody can read any more does not stop a run
            if self._as_json:
                line = json.dumps({"time": now, "event": event_name(event), **dict(_values(event))}, default=str)
            else:
                line = f"{now} {event_name(event)} {facts(event)}"
            print(line, file=self._out, flush=True)


def event_name(event: Event) -> str:
    """`RowSettled` is `row.settled`."""
    return re.sub(r"(?<!^)(?=[A-Z])", ".", type(event).__name__).lower()


def facts(event: Event) -> str:
    """The event's fields as `name=value`, values quoted as JSON where they hold blanks."""
    pairs = []
    for name, value in _values(event):
        text = str(value)
        pairs.append(f"{name}={text if _PLAIN.fullmatch(text) and text.isprintable() else json.dumps(text)}")
    return " ".join(pairs)


def _values(event: Event) -> Iterator[tuple[str, object]]:
    """The event's fields, in the words of a log."""
    for item in dataclasses.fields(event):
        value = getattr(event, item.name)
        if isinstance(value, LaneKey):
            value = f"{value.account}/{value.region}/{value.project_id}"
        elif isinstance(value, Window):
            value = rate_text(value)
        elif isinstance(value, float):
            value = round(value, 3)
        elif isinstance(value, tuple):
            value = len(value)
        yield item.name, value
