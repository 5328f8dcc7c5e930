"""The two ways in which a run is stopped from outside: softly (`request`) and at once (cancel its task group)."""

from collections.abc import Callable

import anyio

from batcher.model import Outcome
from batcher.policy.following import STOP_LOOK_S
from batcher.policy.threshold import FailureCount, Tolerance

LOOK_S = 10.0
"""How often the clock is looked at on the way to a deadline."""


class Stop:
    """A soft stop: take no more rows, let what is in flight settle, and end. The first cause is kept."""

    def __init__(self) -> None:
        self.code = ""
        self.look_s = STOP_LOOK_S
        """How long last looks may take once what was in flight is settled."""
        self.is_over = False
        """Whether its time is over too: what is in flight is given up."""
        self._requested = anyio.Event()

    @property
    def is_requested(self) -> bool:
        """Whether somebody has asked to stop."""
        return self._requested.is_set()

    def request(self, code: str, look_s: float = STOP_LOOK_S) -> None:
        """Ask to stop because of `code` (`BATCHER.<Name>`). Repeatable; what the first asks for stays."""
        if not self._requested.is_set():
            self.code, self.look_s = code, look_s
            self._requested.set()

    def time_s(self, stop_s_max: float) -> float:
        """How long it may take as a whole: before a deadline there may be more, which was kept for last looks."""
        return max(stop_s_max, self.look_s) if self.look_s > STOP_LOOK_S else stop_s_max

    async def wait(self) -> None:
        """Return once a stop is requested."""
        await self._requested.wait()

    async def sleep(self, duration_s: float) -> bool:
        """Sleep, but no longer than until a stop is requested; whether the whole time has passed."""
        with anyio.move_on_after(duration_s):
            await self._requested.wait()
            return False
        return True


class FailureGuard:
    """Counts the failures of a run and asks to stop when there are more than is tolerated."""

    def __init__(self, tolerance: Tolerance, stop: Stop, count: FailureCount | None = None) -> None:
        """`count` has what was decided in earlier sittings."""
        self.count = count or FailureCount()
        self._tolerance = tolerance
        self._stop = stop

    def note(self, outcome: Outcome, code: str) -> None:
        """Count a row."""
        self.count.note(outcome, code)
        self.check()

    def check(self) -> None:
        """Ask to stop if there are too many already."""
        if self.count.exceeds(self._tolerance):
            self._stop.request("BATCHER.TooManyFailures")


async def stop_at(stop: Stop, deadline: float, now: Callable[[], float], kept_s: Callable[[], float] = float) -> None:
    """Ask to stop once the wall clock shows `deadline`; it is looked at often, for it may be set meanwhile.

    `kept_s` says how long before it, as things stand, sending has to end so that last looks are over by then.
    """
    while (left_s := deadline - kept_s() - now()) > 0:
        if not await stop.sleep(min(left_s, LOOK_S)):
            return
    stop.request("BATCHER.Deadline", max(STOP_LOOK_S, kept_s()))
