"""A machine on which batcher runs and dies: processes, their disk, their clocks, in virtual time.

What a process does to the world outside goes through two doors: jobs of a thread (the ledger, the reports) and sends.
A process that was killed comes through neither any more: whatever it still does on its way out changes nothing, as if
it had stopped at that instruction. What a system does for the dead it does here too: it closes their files.

Jobs of one thread are done in their order, each some time after it was handed over, and the one who waits goes on some
time after it was done: so a kill can fall before a commit, or between a commit and whoever learns of it.
"""

import asyncio
import math
import random
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, TypeVar

from batcher.ledger.sqlite import SqliteLedger
from tests.virtual_time import EPOCH, VirtualLoop

T = TypeVar("T")

JOB_S_MEAN = 0.002
"""How long a disk takes for a commit."""
LIFE_S_MAX = 10 * 86_400.0
"""No night is so long: a process that has not ended by then hangs."""


class KilledError(BaseException):
    """The process is dead: no handler may take this for an error."""


@dataclass(frozen=True, slots=True)
class Kill:
    """When a process dies: before or after its `number`-th job or send, or at a moment of its own time."""

    what: str
    number: float


@dataclass(eq=False)
class Process:
    """One start of batcher. `stalls` are times (from, until) in which the disk does nothing."""

    kill: Kill | None = None
    stalls: tuple[tuple[float, float], ...] = ()
    dead: bool = False
    died_at: float = math.inf
    jobs: int = 0
    sends: int = 0
    task: "asyncio.Task[Any] | None" = None
    began: float = 0.0
    free_at: dict[int, float] = field(default_factory=dict)

    def pass_(self, what: str, number: int) -> None:
        """Come through a door, or die there."""
        if self.dead:
            raise KilledError
        if self.kill is not None and self.kill.what == what and self.kill.number == number:
            self.die()
            raise KilledError

    def die(self) -> None:
        """Nothing this process does from now on has any effect."""
        if self.task is not None and not self.dead:
            self.died_at = self.task.get_loop().time()
            self.task.get_loop().call_soon(self.task.cancel)
        self.dead = True

    def do(self, job: Callable[..., T], args: tuple[Any, ...]) -> T:
        """A job of one of its threads. Files are closed in any case: else the system does it."""
        if getattr(job, "__func__", None) is SqliteLedger._close:
            return job(*args)
        self.jobs += 1
        self.pass_("before job", self.jobs)
        done = job(*args)
        self.pass_("after job", self.jobs)
        return done

    def disk_at(self, now: float, executor: object, lasts_s: float) -> float:
        """When a job that is handed over now is done."""
        at = max(now, self.free_at.get(id(executor), 0.0)) + lasts_s
        for start, end in self.stalls:
            if start <= at - self.began < end:
                at = self.began + end
        self.free_at[id(executor)] = at
        return at


PROCESS: ContextVar[Process | None] = ContextVar("process", default=None)
"""Whose task is running; None: it is the judge's."""


class MachineLoop(VirtualLoop):
    """Virtual time, in which jobs of threads are done by the loop itself, one after the other."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__(late_s=lambda: chance.expovariate(2000.0))
        self._chance = chance

    def run_in_executor(self, executor: object, func: Callable[..., T], *args: Any) -> "asyncio.Future[T]":  # type: ignore[override]  # no thread is needed
        """Do a job of the running process; the judge's are done at once."""
        future: asyncio.Future[T] = self.create_future()
        process = PROCESS.get()
        if process is None:
            self._do(future, lambda: func(*args))
        else:
            at = process.disk_at(self.time(), executor, self._chance.expovariate(1 / JOB_S_MEAN))
            self.call_at(at, self._do, future, lambda: process.do(func, args))
        return future

    @staticmethod
    def _do(future: "asyncio.Future[T]", job: Callable[[], T]) -> None:
        try:
            done = job()
        except BaseException as error:  # noqa: BLE001  # it is the waiting task's
            if not future.cancelled():
                future.set_exception(error)
        else:
            if not future.cancelled():
                future.set_result(done)


class ProcessClock:
    """The clock of a machine whose wall clock is set now and then: `steps` are pairs (when, by how much)."""

    def __init__(self, steps: tuple[tuple[float, float], ...]) -> None:
        self._steps = list(steps)

    def now(self) -> float:
        """The wall clock, as far off as it is."""
        at = self.steady()
        return EPOCH + at + self.off_s(at)

    def steady(self) -> float:
        """Time since boot."""
        return asyncio.get_running_loop().time()

    def off_s(self, at: float) -> float:
        """By how much it is ahead at a moment of its own steady time."""
        return sum(by for when, by in self._steps if when <= at)

    def set(self, off_s: float) -> None:
        """Somebody sets it, to be so far ahead from now on."""
        now = self.steady()
        self._steps.append((now, off_s - self.off_s(now)))

    def is_set_between(self, start: float, end: float) -> bool:
        """Whether it was set after `start`, and no later than `end`."""
        return any(start < when <= end for when, _ in self._steps)


async def live(process: Process, life: Coroutine[Any, Any, T]) -> T:
    """Let a process live to its end. Raises `KilledError` where it was killed, and else what its `life` raises."""
    loop = asyncio.get_running_loop()

    async def body() -> T:
        PROCESS.set(process)
        return await life

    process.began = loop.time()
    task = loop.create_task(body())
    process.task = task
    if process.kill is not None and process.kill.what == "time":
        loop.call_later(process.kill.number, process.die)
    done, _ = await asyncio.wait([task], timeout=LIFE_S_MAX)
    if not done:
        raise RuntimeError("the process hangs: it has not ended for days")
    if process.dead:
        if not task.cancelled():
            task.exception()  # whatever it died of is nobody's any more
        raise KilledError
    return task.result()
