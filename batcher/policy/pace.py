"""The rate law: from a limit of the provider's to the pace of a lane that never exceeds it.

The limit: in no window of T seconds does the provider see more than N calls; s of them are left to other clients.
The pace: a leaky bucket of size b that drains at r a second; a call is released when the level is at most b - 1, and
raises it by 1. Calls arrive between d and d + J seconds after their release, whatever d is.

**Theorem.** With r = (N - b - s) / (T + J) no half-open window of T seconds sees more than N - s calls.

Proof. Let n calls arrive within less than T, the first of them released at t1 and the last at tn. Then tn - t1 <
T + J. Right after tn the level is at least n - r (tn - t1), for each of the n raised it by 1 and it drains at r at
most, and it is at most b. So n <= b + r (tn - t1) < b + r (T + J) = N - s.

Where N - s is 1, r would be 0; since n < b + r (T + J) is strict, r = (N + 1 - b - s) / (T + J) still gives n <=
N - s, and is taken there.

**Across a restart** the bound holds if the new bucket starts no lower than the old one was. How long ago the last call
was only a wall clock could tell, which may have been set forward since; so a bucket that takes the place of another,
in this process or of one before, starts full. That costs one interval between calls.

b is the smallest that the event loop's timer grain needs: with a bucket of one, every call waits for a timer that
fires late, and that time is lost (measured: 1 % at 10 a second, 4 % at 50, 11 % at 200). So it is one up to
SINGLE_PER_S_MAX, then two, and as many as come in GRAIN_S where these are more. Where N is too small for the bucket, b
is half of it and the bound still holds.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from batcher.model import CallClass, Window
from batcher.policy.values import SECONDS_OF

GRAIN_S = 0.01
"""Twice the lateness of an asyncio timer at p99, measured."""
SINGLE_PER_S_MAX = 10.0
"""Up to this rate a bucket of one loses no more than a hundredth."""
JITTER_S = 0.05
"""J, unless the settings say otherwise: how much the time from release to arrival varies."""
PAUSE_S_UNKNOWN = 60.0
"""A bare refusal names no window: the longest one seen in this cloud is a minute."""
PAUSE_MARGIN = 0.1
"""A lane stays paused up to this share longer, at random, so that lanes do not come back together."""
RATE_UNIT_S_MAX = 3600.0
"""The longest unit of a rate: who may make so many calls a day spreads them by hand."""
AUTO = "auto"
"""The rate that is not given but found (`policy.rate_search`)."""


class Source(StrEnum):
    """Where the pace of a lane comes from."""

    GIVEN = "given"
    FOUND = "found"
    NAMED = "named by the provider"


WRITES = frozenset({"create", "amend", "update", "delete"})
"""The kinds of call that write; all others read."""


def class_of(kind: str) -> CallClass:
    """The class of a kind of call."""
    return CallClass.WRITE if kind in WRITES else CallClass.READ


@dataclass(frozen=True, slots=True)
class Pace:
    """A leaky bucket: `bucket` calls at once, `rate_per_s` in the long run."""

    bucket: float
    rate_per_s: float


def parse_rate(text: str) -> Window:
    """`100/min`, `10/s`, `600/10min`, `3600/h` as a window. Raises `ValueError` that says what is expected."""
    match = re.fullmatch(r"\s*(\d{1,7})\s*/\s*(\d{1,5})?\s*([a-z]+)\s*", text.lower(), re.ASCII)
    is_unit = match is not None and match[3] in SECONDS_OF and SECONDS_OF[match[3]] <= RATE_UNIT_S_MAX
    if match is None or not is_unit or int(match[1]) == 0 or match[2] == "0":
        raise ValueError(f"`{text}` is no rate: write calls per time, such as `10/s` or `100/min`")
    return Window(calls=int(match[1]), period_s=float(match[2] or 1) * SECONDS_OF[match[3]])


def parse_duration(text: str) -> float:
    """`6h`, `90min`, `45s` in seconds. Raises `ValueError` that says what is expected."""
    match = re.fullmatch(r"\s*(\d{1,5})\s*([a-z]+)\s*", text.lower(), re.ASCII)
    if match is None or match[2] not in SECONDS_OF or match[2] == "ms" or int(match[1]) == 0:
        raise ValueError(f"`{text}` is no time: write a number and a unit, such as `6h` or `90min`")
    return int(match[1]) * SECONDS_OF[match[2]]


def pace_of(window: Window, *, reserve: int = 0, jitter_s: float = JITTER_S) -> Pace:
    """The pace that keeps a window by the theorem above, `reserve` of its calls left to others.

    A reserve that would leave nothing leaves one call.
    """
    calls = max(1, window.calls - reserve)
    if calls < 2:
        return Pace(bucket=1.0, rate_per_s=1.0 / (window.period_s + jitter_s))
    rate_per_s = calls / window.period_s
    bucket = 1 if rate_per_s <= SINGLE_PER_S_MAX else max(2, math.ceil(rate_per_s * GRAIN_S))
    bucket = min(bucket, max(1, calls // 2))
    return Pace(bucket=float(bucket), rate_per_s=(calls - bucket) / (window.period_s + jitter_s))


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


def counted_together(window: Window, *, own: int, other: int) -> bool:
    """Whether a named limit has to be taken for that of reads and writes together.

    `own` and `other` are the calls of the refused class and of the other one that were admitted in the last
    `period_s`. A limit for both cannot have let through more than twice its calls in that time (a counter that starts
    anew at fixed moments can let through twice), so more than that, with some of the other, is proof that they are
    counted apart.
    """
    return other == 0 or own + other <= 2 * window.calls


def rate_text(window: Window) -> str:
    """A window as `parse_rate` reads it."""
    for unit in ("h", "min", "s"):
        count = window.period_s / SECONDS_OF[unit]
        if count >= 1 and count == round(count):
            return f"{window.calls}/{'' if count == 1 else round(count)}{unit}"
    return f"{window.calls}/{max(1, round(window.period_s * 1000))}ms"


def limits_text(limits: Mapping[CallClass, Window]) -> str:
    """Limits by what they are for, as people read them: `10/s`, or `write 10/min, read 200/s`."""
    return ", ".join(
        rate_text(window) if call_class is CallClass.ALL else f"{call_class} {rate_text(window)}"
        for call_class, window in limits.items()
    )
