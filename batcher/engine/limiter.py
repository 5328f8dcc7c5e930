"""The pace of one lane: every call of the lane passes here, and waits here while the lane is paused.

aiolimiter keeps the ceiling; `policy.pace` says how large its bucket is and how fast it drains. Assigning a
new rate to a living limiter has no true effect (measured), so a change makes a new one.
"""

from collections.abc import Awaitable, Callable

import anyio
from aiolimiter import AsyncLimiter

from batcher.model import Window
from batcher.policy.pace import pace_of, stricter
from batcher.ports import Clock


class LaneLimiter:
    """Leave to call, one at a time, at the pace of a window; tightened by what the provider tells."""

    def __init__(self, window: Window, clock: Clock) -> None:
        self.window = window
        self.learnt: Window | None = None
        self._clock = clock
        self._paused_until = 0.0
        self._waiting: set[anyio.CancelScope] = set()
        self._closed = False
        self._bucket = _bucket(window)

    async def acquire(self) -> bool:
        """Wait for leave to make one call; False when the lane closes instead. Cancelling costs no leave."""
        if not self._closed and not self.is_paused and self._bucket.has_capacity():
            await self._bucket.acquire()
            return True
        return await self._unless_closed(self._leave)

    @property
    def is_paused(self) -> bool:
        """Whether no call may be made for now."""
        return self._paused_until > self._clock.steady()

    async def unpaused(self) -> bool:
        """Wait out a pause; False when the lane closes instead."""
        return await self._unless_closed(self._pass_pause)

    async def _unless_closed(self, wait: Callable[[], Awaitable[None]]) -> bool:
        if self._closed:
            return False
        with anyio.CancelScope() as scope:
            self._waiting.add(scope)
            try:
                await wait()
                return True
            finally:
                self._waiting.discard(scope)
        return False

    async def _leave(self) -> None:
        while True:
            await self._pass_pause()
            bucket = self._bucket
            await bucket.acquire()
            if bucket is self._bucket and not self.is_paused:
                return

    async def _pass_pause(self) -> None:
        while True:  # a pause may become longer
            pause = self._paused_until - self._clock.steady()
            if pause <= 0:
                return
            await anyio.sleep(pause)

    def pause(self, duration_s: float) -> None:
        """No call of the lane for so long; the longer of two pauses holds."""
        self._paused_until = max(self._paused_until, self._clock.steady() + duration_s)

    def learn(self, window: Window) -> None:
        """The provider named its limit: keep the stricter of it and what was asked for."""
        self.learnt = window
        narrower = stricter(self.window, window)
        if narrower != self.window:
            self.window = narrower
            self._bucket = _bucket(narrower)

    def close(self) -> None:
        """Let nobody through any more, nor anyone who waits."""
        self._closed = True
        for scope in self._waiting:
            scope.cancel()


def _bucket(window: Window) -> AsyncLimiter:
    pace = pace_of(window)
    return AsyncLimiter(pace.bucket, pace.bucket / pace.rate_per_s)
