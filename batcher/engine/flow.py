"""How many rows of a lane are worked side by side: as many as its rate and the time of an answer ask for.

By Little's law a rate of r calls a second that take L seconds each needs r L calls in flight. Fewer starve a slow
service's lane; many more only wait, and flood a service that comes back. So the number follows r and L, with room for
answers that take twice as long, between ROWS_MIN and what the settings allow. L counts up to ANSWER_S_MAX: a service
that hangs is not asked by ever more.
"""

import math
from collections import deque
from types import TracebackType

import anyio

ROWS_MIN = 4
HEADROOM = 2.0
ANSWER_S_MAX = 5.0
WEIGHT = 0.1
"""Of the newest answer in the mean."""


def rows_side_by_side(rate_per_s: float, answer_s: float, rows_max: int) -> int:
    """How many rows to work at once. Pure."""
    needed = math.ceil(HEADROOM * rate_per_s * min(answer_s, ANSWER_S_MAX)) + 1
    return min(rows_max, max(ROWS_MIN, needed))


class Flow:
    """A context for the work on one row; who finds no room waits for it, in turn."""

    def __init__(self, rows_max: int) -> None:
        self.rows = min(ROWS_MIN, rows_max)
        """How many are let in now."""
        self.answer_s = 0.0
        """The mean time of an answer, the newest counting most."""
        self._rows_max = rows_max
        self._inside = 0
        self._waiting: deque[anyio.Event] = deque()

    def answered(self, answer_s: float, rate_per_s: float) -> None:
        """A call took so long; so many are allowed a second."""
        self.answer_s += (answer_s - self.answer_s) * (WEIGHT if self.answer_s else 1.0)
        self.rows = rows_side_by_side(rate_per_s, self.answer_s, self._rows_max)
        self._admit()

    def _admit(self) -> None:
        for _ in range(min(len(self._waiting), self.rows - self._inside)):
            self._waiting.popleft().set()
            self._inside += 1

    async def __aenter__(self) -> None:
        if self._inside < self.rows and not self._waiting:
            self._inside += 1
            return
        admitted = anyio.Event()
        self._waiting.append(admitted)
        try:
            await admitted.wait()
        except BaseException:  # cancelled while it waited: its room goes to the next
            if admitted.is_set():
                self._leave()
            else:
                self._waiting.remove(admitted)
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave()

    def _leave(self) -> None:
        self._inside -= 1
        self._admit()
