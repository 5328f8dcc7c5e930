"""The rows of one lane on their way to its workers: claimed ahead a page at a time, waiting for their due time
without holding a worker, and handed out one by one.

A worker that finds nothing is parked and woken when there is a row for it: a shared event would wake every
worker for every row (measured: a fifth of the engine's time).
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
    """A claimed row and what this sitting has done with it so far. `due` is on the steady clock.

    `attempts` counts those sends that count against its retries, `sends` all.
    `is_absent`: a process that died had claimed it, and a listing before the first send of this one did not show it.
    `doubtful` are sends that may have taken effect, each with when it was over; `left` is the last one, if its answer
    does not say that it surely has not.
    On the steady clock: `sent` is when a send of this sitting left first that may have taken effect, `used` when
    any did, `missed_at` when a look for it began that did not show it, and `looks_until` how long it is looked for once
    the provider has said that it exists. `leaving` is the id of a failed thing that was deleted to make way, and
    `leaves_until` how long it is waited for; `note` is said of the row where there is nothing else to say.
    """

    row: ClaimedRow
    attempts: int = 0
    sends: int = 0
    in_doubt: bool = False
    is_absent: bool = False
    new_generation: bool = False
    due: float = 0.0
    started: float | None = None
    first_sent_at: float | None = None
    sent: float | None = None
    used: float | None = None
    left: float | None = None
    doubtful: list[tuple[float, float]] = field(default_factory=list)
    missed_at: float | None = None
    looks_until: float | None = None
    looks: int = 0
    refused: Refused | None = None
    leaving: str | None = None
    leaves_until: float = 0.0
    note: str = ""


@dataclass(order=True, slots=True)
class _Waiting:
    due: float
    row_no: int
    work: Work = field(compare=False)


class RowQueue:
    """Hands out work until the lane has no more or `close` is called. `serve` must be running."""

    def __init__(self, claim: Callable[[int], Awaitable[list[ClaimedRow]]], clock: Clock, page_rows: int) -> None:
        """`claim(after)` takes the next page of rows after a row number; one that is not full is the last."""
        self._claim = claim
        self._clock = clock
        self._page_rows = page_rows
        self._low_water = page_rows // 2
        self._ready: deque[Work] = deque()
        self._waiting: list[_Waiting] = []
        self._held: dict[str, list[Work]] = {}
        self._held_rows = 0
        self._parked: deque[anyio.Event] = deque()
        self._in_hand = 0
        self._after = 0
        self._exhausted = False
        self._closed = False
        self._room = anyio.Event()
        self._sooner = anyio.Event()

    def put(self, works: Iterable[Work]) -> None:
        """Add rows that are claimed already."""
        self._ready.extend(works)
        self._unpark(len(self._ready))

    async def serve(self) -> None:
        """Claim ahead of the workers, and hand rows over when they are due; ends with the queue."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._fill)
            tasks.start_soon(self._keep_time)

    async def take(self) -> Work | None:
        """The next row; None when nothing is left or the queue is closed."""
        while not self._closed:
            if self._ready:
                work = self._ready.popleft()
                self._in_hand += 1
                if len(self._ready) == self._low_water:
                    self._room.set()
                return work
            if self._is_finished():
                return None
            parked = anyio.Event()
            self._parked.append(parked)
            self._room.set()
            await parked.wait()
        return None

    def done(self, work: Work, *, again: bool) -> None:
        """Give a row back: for good, or to be handed out `again` when it is due."""
        self._in_hand -= 1
        if again:
            heapq.heappush(self._waiting, _Waiting(work.due, work.row.row_no, work))
            if self._waiting[0].work is work:
                self._sooner.set()
        elif self._is_finished():
            self._end()

    def hold(self, work: Work) -> None:
        """Give a row back until its scope is released; like those that are ready it is claimed ahead."""
        self._in_hand -= 1
        self._held.setdefault(work.row.scope, []).append(work)
        self._held_rows += 1

    def release(self, scope: str) -> None:
        """Hand out again, before others, what was held of a scope."""
        works = self._held.pop(scope, [])
        self._held_rows -= len(works)
        self._ready.extendleft(reversed(works))
        self._unpark(len(works))
        self._room.set()

    def close(self) -> None:
        """Hand out nothing more."""
        self._closed = True
        self._end()

    def leftover(self) -> list[Work]:
        """After `close`: the rows that were claimed and not handed out, or waited for another attempt, or were held."""
        rest = [*self._ready, *(waiting.work for waiting in self._waiting)]
        rest += [work for works in self._held.values() for work in works]
        self._ready.clear()
        self._waiting.clear()
        self._held.clear()
        return rest

    def _is_finished(self) -> bool:
        return self._exhausted and not (self._ready or self._waiting or self._held or self._in_hand)

    def _end(self) -> None:
        self._unpark(len(self._parked))
        self._room.set()
        self._sooner.set()

    def _unpark(self, workers: int) -> None:
        for _ in range(min(workers, len(self._parked))):
            self._parked.popleft().set()

    async def _fill(self) -> None:
        while not self._exhausted and not self._closed:
            ahead = len(self._ready) + self._held_rows
            if ahead > self._low_water or len(self._waiting) >= WAITING_MAX:
                self._room = anyio.Event()
                await self._room.wait()
                continue
            rows = await self._claim(self._after)
            if rows:
                self._after = rows[-1].row_no
                self.put(Work(row) for row in rows)
            self._exhausted = len(rows) < self._page_rows
        if self._is_finished():
            self._end()

    async def _keep_time(self) -> None:
        """Make rows ready when they are due, however early the next one comes."""
        while not self._closed and not self._is_finished():
            self._sooner = anyio.Event()
            now = self._clock.steady()
            due = []
            while self._waiting and self._waiting[0].due <= now:
                due.append(heapq.heappop(self._waiting).work)
            if due:
                self.put(due)
                self._room.set()
            if self._waiting:
                with anyio.move_on_after(max(0.0, self._waiting[0].due - now)):
                    await self._sooner.wait()
            else:
                await self._sooner.wait()
