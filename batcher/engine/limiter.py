"""The pace of one lane: every call of the lane passes here, and waits here while the lane is paused.

aiolimiter keeps the ceiling; `policy.pace` says how large its bucket is, how fast it drains and at which level it
starts. Assigning a new rate to a living limiter has no true effect (measured), so a change makes a new one.

There is one ceiling for all calls. A limit that the provider names for one class of calls alone (reads, or writes)
gets a bucket of its own before the ceiling. Calls of a class come to the ceiling in turn and one by one, so who has
passed the bucket of its class waits there for one call of each class at most: that wait is part of the class's jitter.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Mapping

import anyio
from aiolimiter import AsyncLimiter

from batcher.engine.halt import Halt
from batcher.model import CallClass, Window
from batcher.policy.pace import JITTER_S, Pace, Source, counted_together, pace_of, stricter
from batcher.policy.rate_search import RateSearch
from batcher.ports import Clock

CALLS_KEPT_MAX = 4096
"""Calls whose time is kept, to tell whether reads and writes are counted together."""


class LaneLimiter:
    """Leave to call, one at a time, at the pace of a window; tightened by what the provider tells.

    `window` None: the rate is searched for. `reserve` of each window is left to others; `was_called` says that an
    earlier process, or another run, has called in this lane's place.
    """

    def __init__(
        self,
        window: Window | None,
        clock: Clock,
        *,
        reserve: int = 0,
        jitter_s: float = JITTER_S,
        was_called: bool = False,
    ) -> None:
        self.search = RateSearch() if window is None else None
        self.window: Window = window if window is not None else RateSearch().window
        self.learnt: dict[CallClass, Window] = {}
        """The limits that the provider has named, by what they are for."""
        self._clock = clock
        self._halt = Halt(clock)
        self._tell: Callable[[Window, Source], None] | None = None
        self._reserve = reserve
        self._jitter_s = jitter_s
        self._paused_until = 0.0
        self._waiting: set[anyio.CancelScope] = set()
        self._closed = False
        self._turns = {each: anyio.Lock() for each in (CallClass.READ, CallClass.WRITE)}
        self._own: dict[CallClass, _Bucket] = {}
        self._admitted: deque[tuple[float, CallClass]] = deque(maxlen=CALLS_KEPT_MAX)
        pace = self.pace
        self._bucket = _Bucket(pace, pace.bucket if was_called else 0.0)

    def obey(self, halt: Halt, tell: Callable[[Window, Source], None]) -> None:
        """While `halt` is on nobody gets leave; `tell` hears of the pace, now and whenever it changes.

        `tell` must know nothing of who has this limiter: in a cycle their memory would not be free at once.
        """
        self._halt, self._tell = halt, tell
        tell(self.window, self.source)

    @property
    def source(self) -> Source:
        """Where the window comes from."""
        if self.search is not None:
            return Source.FOUND
        return Source.NAMED if self.window == self.learnt.get(CallClass.ALL) else Source.GIVEN

    @property
    def pace(self) -> Pace:
        """The pace of all calls together."""
        return pace_of(self.window, reserve=self._reserve, jitter_s=self._jitter_s)

    def rate_per_s(self, call_class: CallClass) -> float:
        """How many calls of a class a second there can be in the long run."""
        own = self._own.get(call_class)
        return min(self._bucket.pace.rate_per_s, own.pace.rate_per_s) if own else self._bucket.pace.rate_per_s

    async def acquire(self, call_class: CallClass = CallClass.WRITE) -> bool:
        """Wait for leave to make one call; False when the lane closes instead. Cancelling costs no leave."""
        is_free = not (self._closed or self._waiting or call_class in self._own or self.is_paused)
        if is_free and self._bucket.has_room():
            await self._bucket.take()
            return True
        # A change of the rate makes who waits begin anew, and may give the class a bucket of its own.
        return await self._unless_closed(lambda: self._leave(call_class))

    @property
    def is_paused(self) -> bool:
        """Whether no call may be made for now."""
        return self._halt.is_on or self._paused_until > self._clock.steady()

    @property
    def is_halted(self) -> bool:
        """Whether an operator's pause is on."""
        return self._halt.is_on

    @property
    def is_as_new(self) -> bool:
        """Whether one that the ledger's knowledge makes would keep the same pace: no pause is on, no rate was found."""
        is_searched = self.search is not None and self.search.window != RateSearch().window
        return not self.silent_s and not is_searched

    @property
    def silent_s(self) -> float:
        """How long a pause of this lane still lasts."""
        return max(0.0, self._paused_until - self._clock.steady())

    async def unpaused(self) -> bool:
        """Wait out a pause; False when the lane closes instead."""
        return await self._unless_closed(self._pass_pause)

    async def _unless_closed(self, wait: Callable[[], Awaitable[None]]) -> bool:
        while not self._closed:
            with anyio.CancelScope() as scope:
                self._waiting.add(scope)
                try:
                    await wait()
                    return True
                finally:
                    self._waiting.discard(scope)
        return False

    async def _leave(self, call_class: CallClass) -> None:
        """The bucket of the class, if it has one, then the ceiling; calls of a class in turn, one at a time."""
        async with self._turns[call_class]:
            own: _Bucket | None = None
            while True:
                await self._pass_pause()
                if own is not self._own.get(call_class):
                    own = self._own[call_class]
                    await own.take()
                bucket = self._bucket
                await bucket.take()
                if bucket is self._bucket and own is self._own.get(call_class) and not self.is_paused:
                    return

    async def _pass_pause(self) -> None:
        while self.is_paused:  # a pause may become longer
            await self._halt.wait()
            await anyio.sleep(self.silent_s)

    def pause(self, duration_s: float) -> None:
        """No call of the lane for so long; the longer of two pauses holds."""
        self._paused_until = max(self._paused_until, self._clock.steady() + duration_s)

    def note_answer(self, call_class: CallClass) -> None:
        """A call was admitted, whatever came of it."""
        now = self._clock.steady()
        self._admitted.append((now, call_class))
        if self.search is not None and self.search.answered(now):
            self._change(self.search.window)

    def note_refusal(self, call_class: CallClass, window: Window | None) -> CallClass | None:
        """A call was throttled, by `window` if the provider named it; what the limit is for, if one was learnt."""
        if window is None:
            if self.search is not None and self.search.refused(self._clock.steady()):
                self._change(self.search.window)
            return None
        since = self._clock.steady() - window.period_s
        recent = [each for at, each in self._admitted if at > since]
        own = recent.count(call_class)
        together = counted_together(window, own=own, other=len(recent) - own)
        return self.learn(window, CallClass.ALL if together else call_class)

    def learn(self, window: Window, call_class: CallClass = CallClass.ALL) -> CallClass:
        """The provider's limit is known: keep the stricter of it and what held before; what it is for."""
        self.learnt[call_class] = window
        if call_class is CallClass.ALL:
            if self.search is not None:
                self.search = None
                self._change(window)
            elif stricter(self.window, window) != self.window:
                self._change(window)
        else:
            self._keep_apart(call_class, window)
        return call_class

    def _keep_apart(self, call_class: CallClass, limit: Window) -> None:
        """Give the calls of a class a bucket of their own where the ceiling alone does not keep their limit."""
        if stricter(self.window, limit) != self.window:
            jitter_s = self._jitter_s + len(self._turns) / self._bucket.pace.rate_per_s
            pace = pace_of(limit, reserve=self._reserve, jitter_s=jitter_s)
            self._own[call_class] = _Bucket(pace, pace.bucket)

    def _change(self, window: Window) -> None:
        """From now on this is the ceiling. The new bucket starts full.

        Under a higher ceiling a class may need a bucket of its own; under a lower one it waits there for longer.
        """
        before = self._bucket.pace.rate_per_s
        self.window = window
        self._bucket = _Bucket(self.pace, self.pace.bucket)
        is_lower = self._bucket.pace.rate_per_s < before
        for call_class, limit in self.learnt.items():
            if call_class is not CallClass.ALL and (is_lower or call_class not in self._own):
                self._keep_apart(call_class, limit)
        if self._tell is not None:
            self._tell(self.window, self.source)

    def set_window(self, window: Window | None) -> None:
        """Somebody has given another rate, None: it is to be found; what the provider has named still holds.

        Who waits for leave under the old rate waits under the new one from now on.
        """
        known, search = self.learnt.get(CallClass.ALL), RateSearch()
        self.search = search if window is None and known is None else None
        window = window or known or search.window
        self._change(window if known is None else stricter(window, known))
        for scope in self._waiting:
            scope.cancel()

    def known(self, limits: Mapping[CallClass, Window]) -> None:
        """Take over what was learnt in an earlier sitting."""
        for call_class, window in limits.items():
            self.learn(window, call_class)

    def open(self) -> None:
        """Let calls through again after `close`, at the same pace."""
        self._closed = False

    def close(self) -> None:
        """Let nobody through any more, nor anyone who waits."""
        self._closed = True
        for scope in self._waiting:
            scope.cancel()


class _Bucket:
    """aiolimiter at a pace, its level at the start raised by `debt`."""

    def __init__(self, pace: Pace, debt: float) -> None:
        self.pace = pace
        self._debt = debt
        self._limiter = AsyncLimiter(pace.bucket, pace.bucket / pace.rate_per_s)

    def has_room(self) -> bool:
        """Whether `take` would not wait."""
        return not self._debt and self._limiter.has_capacity()

    async def take(self) -> None:
        """Wait for room for one call, and take it."""
        if self._debt:
            debt, self._debt = self._debt, 0.0
            await self._limiter.acquire(debt)  # it is empty: this does not wait
        await self._limiter.acquire()
