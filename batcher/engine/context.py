"""What the parts of one lane share: its lease, its pace, its way to the ledger and to the provider."""

import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TypeVar

import anyio

from batcher.engine.blind import Blind
from batcher.engine.call import GIVEN_UP, Before
from batcher.engine.flow import Flow
from batcher.engine.gate import AccountGate
from batcher.engine.halt import Halt
from batcher.engine.limiter import LaneLimiter
from batcher.engine.seen import Looks, Seen, Whose
from batcher.engine.stop import FailureGuard, Stop
from batcher.events import CallMade, LanePaused, PaceSet, ScopeStopped
from batcher.ledger_port import Ledger, Settler
from batcher.model import CallClass, ClockOffset, Kind, Lease, Limit, Page, Refused, Stops, Window
from batcher.policy.breaker import QUOTA_CODE, UNAVAILABLE_CODE, Breaker, QuotaWatch, is_failure, stop_code
from batcher.policy.pace import JITTER_S, class_of, pause_s
from batcher.policy.retry import RetryBudget
from batcher.policy.threshold import Tolerance
from batcher.ports import Clock, EventSink, Operation

T = TypeVar("T")


LANES_FULL_MAX = 64
"""Lanes of `concurrency` rows or more that are worked side by side: a bound on claimed rows and so on memory."""
READY_S_MAX = 0.02
"""How late a call may be made after its turn, whatever the pace says: a group commit takes less on a good disk."""
LANES_MAX = 256
"""Small lanes side by side, each of which has a call in flight."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnginePolicy:
    """What shapes the work on every lane; times in seconds.

    `window` None: the rate is searched for. `concurrency` is the most of a lane's rows that are worked side by side,
    `lanes_max` the most lanes, as far as `rows_max` suffices for their rows; `calls_max` the most rows of all, by what
    connections there can be. A listing may lag for `listing_lag_s`; a stop is over in `stop_s_max`.
    `reviewed`: of what is there already only what a person has reviewed may be changed. `replaces_failed`: what the
    provider keeps in state `failed` is deleted, and made again.
    """

    window: Window | None
    reserve: int = 0
    jitter_s: float = JITTER_S
    concurrency: int = 64
    lanes_max: int = LANES_MAX
    calls_max: int | None = None
    stop_s_max: float = 8.0
    reconcile: str = "auto"
    fix_drift: bool = False
    preflight: bool = False
    reviewed: bool = False
    replaces_failed: bool = False
    verify: bool = True
    verify_s_max: float = 300.0
    token_lifetime_s: float = 8 * 3600.0
    answer_s_max: float = 30.0
    listing_lag_s: float = 120.0
    lease_s: float = 60.0
    budget: RetryBudget = field(default_factory=RetryBudget)

    @property
    def rows_max(self) -> int:
        """The most rows of all lanes that are worked side by side."""
        rows = LANES_FULL_MAX * self.concurrency
        return rows if self.calls_max is None else min(rows, self.calls_max)

    def rows_of(self, open_rows: int) -> int:
        """How many rows of a lane are worked side by side at most, given how many it has."""
        return max(1, min(self.concurrency, open_rows, self.rows_max))


class LaneContext:
    """One lane at work. Every call to the provider goes through `call`, and nothing else does."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        operation: Operation,
        lease: Lease,
        policy: EnginePolicy,
        commit: Settler,
        sink: EventSink,
        clock: Clock,
        stop: Stop,
        gate: AccountGate,
        chance: random.Random,
        tolerance: FailureGuard | None = None,
        limits: Mapping[CallClass, Window] | None = None,
        known: Seen | None = None,
        has_history: bool = True,
        halt: Halt | None = None,
    ) -> None:
        self.ledger = ledger
        self.operation = operation
        self.policy = policy
        self.commit = commit
        self.sink = sink
        self.clock = clock
        self.stop = stop
        self.chance = chance
        self.has_history = has_history
        """Whether the ledger knows of anything that an earlier run has made or tried."""
        self.lane = lease.lane
        halt = halt or Halt(clock)
        self.worked = halt.worked
        """The clock on which it counts how long something has been tried: it stands while an operator's pause is on."""
        self.limiter = (known.limiter if known else None) or self._new_limiter(lease, limits or {})
        self.limiter.obey(halt, lambda window, source: sink.emit(PaceSet(lease.lane, window, source)))
        self.flow = Flow(policy.concurrency)
        """How many rows are worked side by side."""
        self._calls_in_flight: set[anyio.CancelScope] = set()
        self.calls: Counter[str] = Counter()
        """Calls that were made, by kind."""
        self.breaker = Breaker()
        self.quota = QuotaWatch()
        self.tolerance = tolerance or FailureGuard(Tolerance(), stop)
        self.listed: dict[str, int] = dict(known.listed if known else {})
        """Scopes of which a whole listing was read in this sitting, before any send, and how many things it showed."""
        self.listed_at: dict[str, float] = {}
        """When the reading of each of these began (steady clock)."""
        self.looked_up: set[str] = set()
        """Scopes of which only the rows in doubt and those that were taken were looked for before any send."""
        self.unread: dict[str, str] = {}
        """Scopes that could not be read to their end, and why."""
        self.expected: Mapping[str, Sequence[int]] = {}
        """Rows by scope whose thing was there when the plan was reviewed: they must not be made."""
        self.accepted: dict[str, int] = {}
        """Rows by scope that the provider took and that are not final yet."""
        self.whose, self.looks, self.blind = Whose(), Looks(), Blind()
        self.stopped_scopes: dict[str, Refused] = dict(known.refused if known else {})
        self.stopped_subjects: dict[str, Refused] = {}
        """What of a scope is stopped alone."""
        self.stopped: Refused | None = None
        """What stopped the whole lane, if anything did."""
        self._failing: Refused | None = None
        """The last of the failures since anything was answered."""
        self.gate, self._in_line = gate, 0
        self._own_line = self._alone = anyio.Lock()
        self._when_closing: list[Callable[[], None]] = [self.limiter.close]
        self.hold(lease)

    def _new_limiter(self, lease: Lease, limits: Mapping[CallClass, Window]) -> LaneLimiter:
        """The lane's pace, on from where whoever called in its place before has left it."""
        limiter = LaneLimiter(
            self.policy.window,
            self.clock,
            reserve=self.policy.reserve,
            jitter_s=self.policy.jitter_s,
            was_called=lease.was_called,
        )
        limiter.known(limits)
        return limiter

    def hold(self, lease: Lease) -> None:
        """Believe in a lease, on the local clock, for a little less than its time."""
        self.lease = lease
        self._held_until = self.clock.steady() + self.policy.lease_s * 0.9

    @property
    def clock_offset(self) -> ClockOffset | None:
        """What to add to the steady clock for the provider's time; None while no answer has told it."""
        return self.operation.clock_offset(self.lane)

    @property
    def now_there(self) -> float | None:
        """The provider's time now, at the latest; None: not known."""
        offset = self.clock_offset
        return None if offset is None else self.clock.steady() + offset.high

    @property
    def closing(self) -> bool:
        """Whether the lane takes no more rows."""
        return self.stopped is not None or self.gate.stopped is not None or self.stop.is_requested

    @property
    def trouble(self) -> Refused | None:
        """What keeps the lane's rows from being done whoever stops the run, if anything does."""
        failing = self._failing
        is_failing = failing is not None and not (failing.sent and self.breaker.is_closed)
        return self.stopped or self.gate.stopped or (failing if is_failing else None)

    def when_closing(self, act: Callable[[], None]) -> None:
        """Have `act` done when the lane closes; at once if it is closing already."""
        self._when_closing.append(act)
        if self.closing:
            act()

    def close(self) -> None:
        """Take no more rows: a stop was requested, or the whole lane was refused. Repeatable."""
        for act in self._when_closing:
            act()

    @property
    def in_flight(self) -> int:
        """Calls that have begun and not ended."""
        return len(self._calls_in_flight)

    def give_up(self) -> None:
        """Wait for no answer any more: the time of a stop is over. Repeatable."""
        for call in self._calls_in_flight:
            call.cancel()

    def forget(self) -> None:
        """The lane is left: let go of what its parts hold of each other, so that its memory is free at once."""
        self._when_closing.clear()

    async def call(
        self,
        kind: str,
        make: Callable[[], Awaitable[T | Refused]],
        scope: str | None = None,
        before: Before | None = None,
    ) -> T | Refused | None:
        """Make one call at the lane's pace; None if the lane, or `scope`, was stopped first: nothing was sent.

        `before` is done when the call's turn has come; nothing is sent either where it says no. Where it took so long
        that another turn has to be waited for, it stands meanwhile and is done again; a pause takes it back first.
        """
        call_class, is_through = class_of(kind), False
        while True:
            if self._goes_side_by_side() and (is_through or not self._in_line):
                if not await self._leave(call_class, scope):
                    return None
                if self._goes_side_by_side():
                    return await self._make(kind, make) if await self._is_ready(call_class, scope, before) else None
                is_through = False
            elif not await self.limiter.unpaused():
                return None
            else:
                async with self._line():
                    # A pause is waited out outside: in here it would be every lane's.
                    is_through = self._goes_side_by_side()
                    if is_through or self.limiter.is_paused:
                        continue
                    if self.breaker.wants_a_read:
                        if not await self._leave(CallClass.READ, None):
                            return None
                        await self._make("quotas", lambda: self.operation.quota(self.lane))
                    else:
                        may_call = await self._leave(call_class, scope) and await self._is_ready(
                            call_class, scope, before
                        )
                        return await self._make(kind, make) if may_call else None

    @asynccontextmanager
    async def _line(self) -> AsyncIterator[None]:
        """The lane's calls one at a time, in the order in which they came; who comes later does not overtake."""
        if not self._in_line:
            self._alone = self._own_line if self.operation.is_trusted(self.lane) else self.gate.alone
        self._in_line += 1
        try:
            async with self._alone:
                yield
        finally:
            self._in_line -= 1

    def _goes_side_by_side(self) -> bool:
        """Whether nothing asks for one call at a time: a canary, a service that fails, a quota that may be used up."""
        return self.operation.is_trusted(self.lane) and self.breaker.is_closed and not self.quota.is_alert

    async def _leave(self, call_class: CallClass, scope: str | None) -> bool:
        """Wait for the lane's pace; whether the call may be made now."""
        is_over = self.stop.is_over or (self.closing and not self.looks.are_last)
        if not await self.limiter.acquire(call_class) or is_over or scope in self.stopped_scopes:
            return False
        if self.clock.steady() >= self._held_until:
            self._close(Refused(Kind.TRANSIENT, Stops.LANE, "BATCHER.LeaseLost", "the lease ended", sent=False))
            return False
        return True

    async def _is_ready(self, call_class: CallClass, scope: str | None, before: Before | None) -> bool:
        """Do what has to be done before a call whose turn has come; whether it may still be made then."""
        if before is None:
            return True
        while True:
            began = self.clock.steady()
            if not await before.do(waits=True):
                return False
            if not self.limiter.is_paused:
                break
            before.take_back()
            if not await self._leave(call_class, scope):
                return False
        if self.clock.steady() - began <= max(self.policy.jitter_s, READY_S_MAX):
            return True
        # Its turn has passed, as the disk was slow. What is durable stands until the next is: the call may leave first.
        return await self._leave(call_class, scope) and await before.do(waits=False)

    async def _make(self, kind: str, make: Callable[[], Awaitable[T | Refused]]) -> T | Refused:
        began = self.clock.steady()
        answer: T | Refused = GIVEN_UP
        with anyio.CancelScope() as call:
            self._calls_in_flight.add(call)
            try:
                answer = await make()
            finally:
                self._calls_in_flight.discard(call)
        self._note(kind, answer, began)
        return answer

    def _note(self, kind: str, answer: object, began: float) -> None:
        if isinstance(answer, Refused):
            result = str(answer.http_status) if answer.http_status is not None else answer.code
        elif isinstance(answer, Page):
            result = "200"
        else:
            result = str(getattr(answer, "http_status", 200))
        call_class, now = class_of(kind), self.clock.steady()
        if not isinstance(answer, Refused) or answer.sent or answer.kind is not Kind.PERMANENT:
            self.calls[kind] += 1
            self.commit.count_call(kind, result)
            self.sink.emit(CallMade(self.lane, kind, result))
        if not isinstance(answer, Refused) or not is_failure(answer):
            self.breaker.answered()
            self._failing = None
        self.flow.answered(now - began, self.limiter.rate_per_s(call_class))
        if not isinstance(answer, Refused):
            self.limiter.note_answer(call_class)
            return
        if answer.kind is Kind.THROTTLED:
            self._throttle(answer, call_class)
        elif is_failure(answer):
            self._fail(answer, now)
        else:
            self.limiter.note_answer(call_class)
        if answer.stops in (Stops.RUN, Stops.ACCOUNT, Stops.LANE):
            self._close(answer)

    def _fail(self, refused: Refused, now: float) -> None:
        """A call failed as calls do where the service fails: be silent for a while if too many did."""
        self._failing = refused
        silence_s = self.breaker.failed(now, self.chance.random())
        if silence_s is None:
            return
        open_s_max = self.policy.budget.time_s_max
        if self.breaker.is_given_up(now, open_s_max):
            if not refused.sent:
                self.stop_unreachable(refused)
                return
            message = f"the service has failed for {open_s_max:,.0f} s: {refused.code}: {refused.message}"
            self._close(
                Refused(Kind.TRANSIENT, Stops.LANE, UNAVAILABLE_CODE, message, sent=False, advice=refused.advice)
            )
            return
        self.limiter.pause(silence_s)
        self.sink.emit(LanePaused(self.lane, silence_s, None, refused.code))

    def _throttle(self, refused: Refused, call_class: CallClass) -> None:
        duration_s = pause_s(refused.pause_s, refused.window, self.chance.random())
        self.limiter.pause(duration_s)
        learnt = self.limiter.note_refusal(call_class, refused.window)
        if learnt is not None and refused.window is not None:
            self.commit.note_limit(Limit(self.lane, learnt, refused.window, self.clock.now()))
        self.sink.emit(LanePaused(self.lane, duration_s, refused.window, refused.code))

    def _close(self, refused: Refused) -> None:
        if self.stopped is None:
            self.stopped = refused
            self.sink.emit(ScopeStopped(str(refused.stops), refused.code, refused.message))
        self.close()
        if refused.stops is Stops.ACCOUNT:
            self.gate.stop(refused)
        elif refused.stops is Stops.RUN:
            self.stop.request(stop_code(refused))

    def stop_unreachable(self, refused: Refused) -> None:
        """Nothing gets through to the provider: no row of this lane is worth trying now."""
        self._close(replace(refused, stops=Stops.LANE))

    def stop_subject(self, subject: str, refused: Refused) -> None:
        """No other row about this is worth trying after this refusal; after many such none of the lane's."""
        self.stopped_subjects.setdefault(subject, refused)
        if refused.code == QUOTA_CODE and self.quota.note_refusal(subject):
            self._close(replace(refused, stops=Stops.LANE))

    def stop_scope(self, scope: str, refused: Refused) -> None:
        """No row of this scope is worth trying after this refusal."""
        if scope not in self.stopped_scopes:
            self.stopped_scopes[scope] = refused
            self.sink.emit(ScopeStopped(scope, refused.code, refused.message))
