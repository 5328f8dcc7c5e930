"""The rows of one lane on their way to its workers: claimed ahead a page at a time, waiting for their due time
without holding a worker, and handed out one by one.
"""

import heapq
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

import anyio

from batcher.model import ClaimedRow, Refused
from batcher.ports import Clock

WAITING_MAX = 1000
"""Rows of one lane that may wait for another attempt before it stops claiming; they are what a crash leaves."""


@dataclass(slots=True, eq=False)
class Work:
    """A claimed row and what this sitting has done with it so far. `due` is on the steady clock."""

    row: ClaimedRow
    attempts: int = 0
    in_doubt: bool = False
    new_generation: bool = False
    due: float = 0.0
    started: float | None = None
    first_sent_at: float | None = None
    refused: Refused | None = None


@dataclass(order=True, slots=True)
class _Waiting:
    due: float
    row_no: int
    work: Work = field(compare=False)


class RowQueue:
    """Hands out work until the lane has no more or `close` is called."""

    def __init__(self, claim: Callable[[int], Awaitable[list[ClaimedRow]]], clock: Clock, page_rows: int) -> None:
        """`claim(after)` takes the next page of rows after a row number."""
        self._claim = claim
        self._clock = clock
        self._page_rows = page_rows
        self._ready: deque[Work] = deque()
        self._waiting: list[_Waiting] = []
        self._in_hand = 0
        self._after = 0
        self._exhausted = False
        self._closed = False
        self._changed = anyio.Event()

    def put(self, works: Iterable[Work]) -> None:
        """Add rows that are claimed already."""
        self._ready.extend(works)

    async def fill(self) -> None:
        """Claim ahead of the workers until the lane has no planned row left. Runs as a task of its own."""
        while not self._exhausted and not self._closed:
            if len(self._ready) > self._page_rows // 2 or len(self._waiting) >= WAITING_MAX:
                await self._change(None)
                continue
            rows = await self._claim(self._after)
            if rows:
                self._after = rows[-1].row_no
                self._ready.extend(Work(row) for row in rows)
            else:
                self._exhausted = True
            self._notify()

    async def take(self) -> Work | None:
        """The next row that is due; None when nothing is left or the queue is closed."""
        while not self._closed:
            if self._waiting and self._waiting[0].due <= self._clock.steady():
                self._in_hand += 1
                return heapq.heappop(self._waiting).work
            if self._ready:
                self._in_hand += 1
                work = self._ready.popleft()
                if len(self._ready) == self._page_rows // 2:
                    self._notify()
                return work
            if self._exhausted and not self._waiting and not self._in_hand:
                return None
            await self._change(self._waiting[0].due if self._waiting else None)
        return None

    def done(self, work: Work, *, again: bool) -> None:
        """Give a row back: for good, or to be handed out `again` when it is due."""
        self._in_hand -= 1
        if again:
            heapq.heappush(self._waiting, _Waiting(work.due, work.row.row_no, work))
        if not self._ready or len(self._waiting) >= WAITING_MAX - 1:
            self._notify()

    def close(self) -> None:
        """Hand out nothing more."""
        self._closed = True
        self._notify()

    def leftover(self) -> list[Work]:
        """After `close`: the rows that were claimed and not handed out, or waited for another attempt."""
        rest = [*self._ready, *(waiting.work for waiting in self._waiting)]
        self._ready.clear()
        self._waiting.clear()
        return rest

    def _notify(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    async def _change(self, due: float | None) -> None:
        changed = self._changed
        if due is None:
            await changed.wait()
        else:
            with anyio.move_on_after(max(0.0, due - self._clock.steady())):
                await changed.wait()
