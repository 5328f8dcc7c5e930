"""An asyncio event loop on which time is free: nobody sleeps, and the clock says that everybody did.

The selector, asked to wait, moves the clock to the next timer instead: 400 s of a paced run take a second. Every
turn of the loop costs a microsecond at least, so a task that turns without end still sees time pass. There are no
threads and no sockets; a loop that would wait for ever is a fault of the test and raises.

`late_s` makes timers fire late, as a real loop's do: it is asked at every wait, and added to it.
"""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

TURN_S = 1e-6
EPOCH = 1_800_000_000.0
"""The wall clock at the start of virtual time."""


class VirtualClock:
    """The `Clock` of a virtual loop; its steady clock is the loop's own."""

    def now(self) -> float:
        return EPOCH + self.steady()

    def steady(self) -> float:
        return asyncio.get_running_loop().time()


class _Selector(selectors.SelectSelector):
    def __init__(self, late_s: Callable[[], float]) -> None:
        super().__init__()
        self.now = 0.0
        self._late_s = late_s

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(0)
        if not events and timeout is None:
            raise RuntimeError("in virtual time nothing will ever happen again: every task waits for another")
        late_s = self._late_s() if timeout else 0.0
        self.now += max(TURN_S, 0.0 if events else (timeout or 0.0) + late_s)
        return events


class VirtualLoop(asyncio.SelectorEventLoop):
    """Runs in virtual time from 0."""

    def __init__(self, late_s: Callable[[], float] = float) -> None:
        self._virtual = _Selector(late_s)
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now


def run_virtual(main: Coroutine[Any, Any, T], *, late_s: Callable[[], float] = float) -> T:
    """Run a coroutine to its end in virtual time."""
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(late_s)) as runner:
        return runner.run(main)
