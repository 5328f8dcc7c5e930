"""What the parts of one lane share: its lease, its pace, its way to the ledger and to the provider."""

import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import anyio

from batcher.engine.limiter import LaneLimiter
from batcher.engine.stop import Stop
from batcher.events import CallMade, LanePaused, ScopeStopped
from batcher.model import Kind, Lease, Page, Refused, Stops, Window
from batcher.policy.breaker import stop_code
from batcher.policy.pace import pause_s
from batcher.policy.retry import RetryBudget
from batcher.ports import Clock, EventSink, Ledger, Operation, Settler

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class EnginePolicy:
    """What shapes the work on every lane. `concurrency` is a lane's calls in flight; times in seconds.

    `reviewed`: of what is there already only what a person has reviewed may be changed.
    """

    window: Window
    concurrency: int = 16
    lanes_max: int = 64
    reconcile: str = "auto"
    fix_drift: bool = False
    preflight: bool = False
    reviewed: bool = False
    verify: bool = True
    verify_s_max: float = 300.0
    token_lifetime_s: float = 8 * 3600.0
    answer_s_max: float = 30.0
    lease_s: float = 60.0
    budget: RetryBudget = field(default_factory=RetryBudget)


@dataclass(frozen=True, slots=True)
class Seen:
    """What a survey saw of a lane just before: scopes that it read whole, and those that were refused.

    `limiter` is the survey's own: the lane's calls before and after it are one stream.
    """

    listed: Mapping[str, int]
    refused: Mapping[str, Refused]
    limiter: LaneLimiter


class AccountGate:
    """What the lanes of one account share: its canary's turn, and what stopped it.

    While the account's credentials are not trusted one call of its lanes is made at a time. The client would see to
    that too, but who waited there would come out with leave taken long ago, all at once.
    """

    def __init__(self) -> None:
        self.alone = anyio.Lock()
        self.stopped: Refused | None = None
        """What stopped the account, if anything did."""
        self.lanes: set[LaneContext] = set()

    def stop(self, refused: Refused) -> None:
        """No lane of the account takes another row. Repeatable."""
        self.stopped = self.stopped or refused
        for lane in self.lanes:
            lane.close()


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
        known: Seen | None = None,
    ) -> None:
        self.ledger = ledger
        self.operation = operation
        self.policy = policy
        self.commit = commit
        self.sink = sink
        self.clock = clock
        self.stop = stop
        self.chance = chance
        self.lane = lease.lane
        self.limiter = known.limiter if known else LaneLimiter(policy.window, clock)
        self.listed: dict[str, int] = dict(known.listed if known else {})
        """Scopes of which a whole listing was read in this sitting, before any send, and how many things it showed."""
        self.unread: dict[str, str] = {}
        """Scopes that could not be read to their end, and why."""
        self.expected: Mapping[str, Sequence[int]] = {}
        """Rows by scope whose thing was there when the plan was reviewed: they must not be made."""
        self.accepted: dict[str, int] = {}
        """Rows by scope that the provider took and that are not final yet."""
        self.stopped_scopes: dict[str, Refused] = dict(known.refused if known else {})
        self.stopped: Refused | None = None
        """What stopped the whole lane, if anything did."""
        self._gate = gate
        self._when_closing: list[Callable[[], None]] = [self.limiter.close]
        self.hold(lease)

    def hold(self, lease: Lease) -> None:
        """Believe in a lease, on the local clock, for a little less than its time."""
        self.lease = lease
        self._held_until = self.clock.steady() + self.policy.lease_s * 0.9

    @property
    def closing(self) -> bool:
        """Whether the lane takes no more rows."""
        return self.stopped is not None or self._gate.stopped is not None or self.stop.is_requested

    def when_closing(self, act: Callable[[], None]) -> None:
        """Have `act` done when the lane closes; at once if it is closing already."""
        self._when_closing.append(act)
        if self.closing:
            act()

    def close(self) -> None:
        """Take no more rows: a stop was requested, or the whole lane was refused. Repeatable."""
        for act in self._when_closing:
            act()

    async def call(
        self, kind: str, make: Callable[[], Awaitable[T | Refused]], scope: str | None = None
    ) -> T | Refused | None:
        """Make one call at the lane's pace; None if the lane, or `scope`, was stopped first: nothing was sent."""
        while True:
            if self.operation.is_trusted(self.lane):
                if not await self._leave(scope):
                    return None
                if self.operation.is_trusted(self.lane):
                    return await self._make(kind, make)
            elif not await self.limiter.unpaused():
                return None
            else:
                async with self._gate.alone:
                    # A pause is waited out outside: in here it would be every lane's.
                    if not self.operation.is_trusted(self.lane) and not self.limiter.is_paused:
                        return await self._make(kind, make) if await self._leave(scope) else None

    async def _leave(self, scope: str | None) -> bool:
        """Wait for the lane's pace; whether the call may be made now."""
        if not await self.limiter.acquire() or self.closing or scope in self.stopped_scopes:
            return False
        if self.clock.steady() >= self._held_until:
            self._close(Refused(Kind.TRANSIENT, Stops.LANE, "BATCHER.LeaseLost", "the lease ended", sent=False))
            return False
        return True

    async def _make(self, kind: str, make: Callable[[], Awaitable[T | Refused]]) -> T | Refused:
        answer = await make()
        self._note(kind, answer)
        return answer

    def _note(self, kind: str, answer: object) -> None:
        if isinstance(answer, Refused):
            result = str(answer.http_status) if answer.http_status is not None else answer.code
        elif isinstance(answer, Page):
            result = "200"
        else:
            result = str(getattr(answer, "http_status", 200))
        if not isinstance(answer, Refused) or answer.sent or answer.kind is not Kind.PERMANENT:
            self.commit.count_call(kind, result)
            self.sink.emit(CallMade(self.lane, kind, result))
        if not isinstance(answer, Refused):
            return
        if answer.kind is Kind.THROTTLED:
            self._throttle(answer)
        if answer.stops in (Stops.RUN, Stops.ACCOUNT, Stops.LANE):
            self._close(answer)

    def _throttle(self, refused: Refused) -> None:
        duration_s = pause_s(refused.pause_s, refused.window, self.chance.random())
        self.limiter.pause(duration_s)
        if refused.window is not None:
            self.limiter.learn(refused.window)
        self.sink.emit(LanePaused(self.lane, duration_s, refused.window))

    def _close(self, refused: Refused) -> None:
        if self.stopped is None:
            self.stopped = refused
            self.sink.emit(ScopeStopped(str(refused.stops), refused.code, refused.message))
        self.close()
        if refused.stops is Stops.ACCOUNT:
            self._gate.stop(refused)
        elif refused.stops is Stops.RUN:
            self.stop.request(stop_code(refused))

    def stop_unreachable(self, refused: Refused) -> None:
        """Nothing gets through to the provider: no row of this lane is worth trying now."""
        self._close(replace(refused, stops=Stops.LANE))

    def stop_scope(self, scope: str, refused: Refused) -> None:
        """No row of this scope is worth trying after this refusal."""
        if scope not in self.stopped_scopes:
            self.stopped_scopes[scope] = refused
            self.sink.emit(ScopeStopped(scope, refused.code, refused.message))
