"""How many calls a project may make: a sliding log of arrivals, as the gateway counts them.

An arrival is admitted when fewer than `calls` arrivals happened in the `period_s` before it. Refused arrivals
count too (observed on a Huawei gateway: the window stays full for as long as a client keeps hammering it), so
only the last `calls` arrivals of a project matter and memory is bounded by that.
"""

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

PROVIDER_CALLS = 200
"""The gateway's ceiling per API and second (Huawei "API signing, error codes", 2025-10-20)."""


@dataclass(frozen=True, slots=True)
class Throttle:
    """At most `calls` (>= 1) arrivals of a project in any `period_s` (> 0) seconds; ValueError otherwise."""

    calls: int
    period_s: float

    def __post_init__(self) -> None:
        if self.calls < 1:
            raise ValueError(f"throttle: `calls` must be a whole number from 1, not `{self.calls}`")
        if not (math.isfinite(self.period_s) and self.period_s > 0):
            raise ValueError(f"throttle: `period_s` must be above 0, not `{self.period_s}`")


def threshold_message(throttle: Throttle | None) -> str:
    """The gateway's text for a throttled call; without a throttle it names the provider's default ceiling."""
    throttle = throttle or Throttle(PROVIDER_CALLS, 1)
    windows = {1: "1 second", 60: "1 minute"}
    window = windows.get(int(throttle.period_s)) if throttle.period_s == int(throttle.period_s) else None
    return (
        "The throttling threshold has been reached: policy user over ratelimit,"
        f"limit:{throttle.calls},time:{window or f'{throttle.period_s:g} second'}"
    )


class Windows:
    """The sliding logs of all projects; times are seconds and must not run backwards."""

    def __init__(self, throttle: Throttle | None, arrivals: Iterable[tuple[str, float]] = ()) -> None:
        self._throttle = throttle
        self._arrivals: dict[str, deque[float]] = {}
        for project_id, at in arrivals:
            self.admit(project_id, at)

    def admit(self, project_id: str, at: float) -> bool:
        """Count an arrival and tell whether it is within the limit."""
        throttle = self._throttle
        if throttle is None:
            return True
        arrivals = self._arrivals.get(project_id)
        if arrivals is None:
            arrivals = self._arrivals[project_id] = deque(maxlen=throttle.calls)
        admitted = len(arrivals) < throttle.calls or arrivals[0] <= at - throttle.period_s
        arrivals.append(at)
        return admitted


def worst_window(times: Iterable[float], period_s: float) -> int:
    """The most arrivals in any `period_s` seconds, open at the start and closed at the end, of ordered times."""
    window: deque[float] = deque()
    worst = 0
    for at in times:
        window.append(at)
        while window[0] <= at - period_s:
            window.popleft()
        worst = max(worst, len(window))
    return worst
