"""Finding a rate that nobody has told (`--rate auto`): start low, grow while answers are clean, fall on a refusal.

1. It starts at START_PER_S and doubles every DOUBLING_S of use until the first refusal.
2. At a refusal it falls to FALL of the rate R that was refused.
3. From there it follows a cubic, R (1 - (1 - FALL) (1 - t / K)^3): it nears R fast, lingers about it, and only K
   seconds later tries for more. Each refusal counts against the window and costs a pause, so K is long.

Only time in which the rate was used counts: a lane that waits for answers learns nothing of the limit. A refusal that
names its window ends the search: then the limit is known (`engine.limiter`).

(The cubic is that of RFC 9438, "CUBIC for Fast and Long-Distance Networks", 2023, as AWS's SDKs use it against
throttling: botocore `retries/throttling.py`, beta 0.7. The time scale is ours: windows here last up to a minute.)
"""

import math

from batcher.model import Window

START_PER_S = 1.0
"""The strictest limit seen for writes in this cloud is 10 a minute; most allow more than one a second."""
DOUBLING_S = 10.0
FALL = 0.7
RETURN_S = 300.0
"""K: so long after a refusal the refused rate is tried again."""
MAX_PER_S = 100.0
"""Half of what the gateway allows by default (api-sign-errorcode, 2025-10-20)."""
MIN_PER_S = 0.1
STEP = 1.05
"""A change below this is not worth a new bucket."""
PERIOD_S = 10.0
"""A rate that is searched for is kept in windows of this size."""


class RateSearch:
    """The rate at a moment; times are seconds on a steady clock and do not run backwards."""

    def __init__(self) -> None:
        self._refused_per_s: float | None = None
        self._used_s = 0.0
        self._last: float | None = None
        self.per_s = START_PER_S

    def answered(self, now: float) -> bool:
        """Note a clean answer; whether the rate has grown by a step."""
        if self._last is not None:
            self._used_s += min(now - self._last, 2.0 / self.per_s)
        self._last = now
        rate = self._law()
        if rate < self.per_s * STEP:
            return False
        self.per_s = rate
        return True

    def refused(self, now: float) -> bool:
        """Note a refusal; whether the rate has fallen. Refusals of calls that were in flight together count once."""
        if self._refused_per_s is not None and self._used_s == 0.0:
            return False
        self._refused_per_s, self._used_s, self._last = self.per_s, 0.0, now
        self.per_s = self._law()
        return True

    @property
    def window(self) -> Window:
        """The rate as a window."""
        return Window(max(1, round(self.per_s * PERIOD_S)), PERIOD_S)

    def _law(self) -> float:
        if self._refused_per_s is None:
            rate = START_PER_S * math.pow(2.0, self._used_s / DOUBLING_S)
        else:
            rate = self._refused_per_s * (1.0 - (1.0 - FALL) * (1.0 - self._used_s / RETURN_S) ** 3)
        return min(MAX_PER_S, max(MIN_PER_S, rate))
