"""Until when a sitting works, and how many more it takes at its pace."""

import math
import re
from datetime import datetime, time, timedelta, tzinfo
from typing import NamedTuple
from zoneinfo import ZoneInfo


def parse_clock(text: str) -> tuple[int, int]:
    """`06:00` as hour and minute. Raises `ValueError` that says what is expected."""
    match = re.fullmatch(r"\s*(\d{1,2}):(\d{2})\s*", text, re.ASCII)
    if match is None or int(match[1]) > 23 or int(match[2]) > 59:
        raise ValueError(f"`{text}` is no time of day: write hours and minutes, such as `06:00`")
    return int(match[1]), int(match[2])


def parse_zone(name: str) -> ZoneInfo:
    """`Europe/Berlin` as a time zone. Raises `ValueError` that says what is expected."""
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, LookupError):
        raise ValueError(f"`{name}` is no time zone: write one such as `Asia/Shanghai` or `Europe/Berlin`") from None


class ClockTime(NamedTuple):
    """When the clock shows a time, in seconds since the epoch; `note`: what is strange about that day, or empty."""

    at: float
    note: str


def next_clock(now: float, hour: int, minute: int, zone: tzinfo | None = None) -> ClockTime:
    """The next moment at which the clock on the wall shows this time, in a zone or, without one, on this machine.

    On the day on which the clock is set back it may show it twice: the next of both. On the day on which it is set
    forward it may not show it at all: then so long after the change as it would have been after it.
    """
    text = f"{hour:02}:{minute:02}"
    for days in range(3):
        day = datetime.fromtimestamp(now, zone).date() + timedelta(days=days)
        wall = datetime.combine(day, time(hour, minute), zone)
        first, second = (wall.replace(fold=fold).timestamp() for fold in (0, 1))
        is_shown = datetime.fromtimestamp(first, zone).replace(tzinfo=None) == wall.replace(tzinfo=None)
        if is_shown and second > first:  # twice
            if first > now:
                return ClockTime(first, f"the clock shows {text} twice on {day}: the first time counts")
            if second > now:
                return ClockTime(second, f"the clock shows {text} twice on {day}: the second time counts")
        elif first > now:
            shown = datetime.fromtimestamp(first, zone)
            note = "" if is_shown else f"the clock does not show {text} on {day}: {shown:%H:%M} counts"
            return ClockTime(first, note)
    raise ValueError(f"no clock shows {text}")


def nights_left(rows_left: int, rows_done: int, worked_s: float, night_s: float) -> int | None:
    """How many more sittings of `night_s` it takes at the pace of this one; None if nothing was done."""
    if rows_done <= 0 or night_s <= 0:
        return None
    return max(1, math.ceil(rows_left * worked_s / rows_done / night_s)) if rows_left else 0
