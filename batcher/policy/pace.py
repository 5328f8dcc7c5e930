"""The rate law: from a limit of the provider's to the pace of a lane that never exceeds it.

The provider allows N calls in any window of T seconds. A leaky bucket of size b that drains at r a second
releases at most b + r * L calls in any L seconds. Calls reach the provider up to J seconds late, so those
that arrive within T were released within T + J: at most b + r * (T + J). Setting that to N gives

    r = (N - b) / (T + J)

b is the smallest that the event loop's timer grain needs: with a bucket of one, every call waits for a timer
that fires up to GRAIN_S late, and the rate is lost (measured: 11 % at 200 a second). Where N is too small for
the bucket, b is one and the bound still holds.
"""

import math
import re
from dataclasses import dataclass

from batcher.model import Window

GRAIN_S = 0.01
"""Twice the lateness of an asyncio timer at p99, measured."""
JITTER_S = 0.05
"""J: how much the time from release to arrival varies."""
PAUSE_S_UNKNOWN = 60.0
"""A bare refusal names no window: the longest one seen in this cloud is a minute."""
PAUSE_MARGIN = 0.1
"""A lane stays paused up to this share longer, at random, so that lanes do not come back together."""

_UNITS = {
    "ms": 0.001,
    "s": 1.0,
    "sec": 1.0,
    "second": 1.0,
    "min": 60.0,
    "m": 60.0,
    "minute": 60.0,
    "h": 3600.0,
    "hour": 3600.0,
}


@dataclass(frozen=True, slots=True)
class Pace:
    """A leaky bucket: `bucket` calls at once, `rate_per_s` in the long run."""

    bucket: float
    rate_per_s: float


def parse_rate(text: str) -> Window:
    """`100/min`, `10/s`, `600/10min`, `3600/h` as a window. Raises `ValueError` that says what is expected."""
    match = re.fullmatch(r"\s*(\d{1,7})\s*/\s*(\d{1,5})?\s*([a-z]+)\s*", text.lower())
    if match is None or match[3] not in _UNITS or int(match[1]) == 0 or match[2] == "0":
        raise ValueError(f"`{text}` is no rate: write calls per time, such as `10/s` or `100/min`")
    return Window(calls=int(match[1]), period_s=float(match[2] or 1) * _UNITS[match[3]])


def parse_duration(text: str) -> float:
    """`6h`, `90min`, `45s` in seconds. Raises `ValueError` that says what is expected."""
    match = re.fullmatch(r"\s*(\d{1,5})\s*([a-z]+)\s*", text.lower())
    if match is None or match[2] not in _UNITS or match[2] == "ms" or int(match[1]) == 0:
        raise ValueError(f"`{text}` is no time: write a number and a unit, such as `6h` or `90min`")
    return int(match[1]) * _UNITS[match[2]]


def pace_of(window: Window) -> Pace:
    """The pace that keeps a window by the law above."""
    if window.calls < 2:
        return Pace(bucket=1.0, rate_per_s=window.calls / (window.period_s + JITTER_S))
    bucket = max(1, math.ceil(window.calls / window.period_s * GRAIN_S))
    bucket = min(bucket, max(1, window.calls // 2))
    return Pace(bucket=float(bucket), rate_per_s=(window.calls - bucket) / (window.period_s + JITTER_S))


def stricter(one: Window, other: Window) -> Window:
    """The window that allows fewer calls in the long run."""
    return min(one, other, key=lambda window: pace_of(window).rate_per_s)


def pause_s(asked_s: float | None, window: Window | None, chance: float) -> float:
    """How long a throttled lane is silent: what was asked, else one window, else a minute; `chance` in [0, 1)."""
    if asked_s is not None:
        base = asked_s
    elif window is not None:
        base = window.period_s
    else:
        base = PAUSE_S_UNKNOWN
    return base * (1.0 + PAUSE_MARGIN * chance)


def rate_text(window: Window) -> str:
    """A window as `parse_rate` reads it."""
    for unit in ("h", "min", "s"):
        count = window.period_s / _UNITS[unit]
        if count >= 1 and count == round(count):
            return f"{window.calls}/{'' if count == 1 else round(count)}{unit}"
    return f"{window.calls}/{max(1, round(window.period_s * 1000))}ms"
