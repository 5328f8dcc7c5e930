"""Until when a sitting works, and how many more it takes at its pace."""

import math
import re
from datetime import datetime, timedelta


def parse_clock(text: str) -> tuple[int, int]:
    """`06:00` as hour and minute. Raises `ValueError` that says what is expected."""
    match = re.fullmatch(r"\s*(\d{1,2}):(\d{2})\s*", text, re.ASCII)
    if match is None or int(match[1]) > 23 or int(match[2]) > 59:
        raise ValueError(f"`{text}` is no time of day: write hours and minutes, such as `06:00`")
    return int(match[1]), int(match[2])


def next_clock(now: datetime, hour: int, minute: int) -> datetime:
    """The next moment at which the clock on the wall shows this time; `now` knows its time zone."""
    today = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
    return today if today > now else today + timedelta(days=1)


def nights_left(rows_left: int, rows_done: int, worked_s: float, night_s: float) -> int | None:
    """How many more sittings of `night_s` it takes at the pace of this one; None if nothing was done."""
    if rows_done <= 0 or night_s <= 0:
        return None
    return max(1, math.ceil(rows_left * worked_s / rows_done / night_s)) if rows_left else 0
