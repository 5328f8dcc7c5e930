"""All lanes of a run, side by side, until they are done or the run is stopped.

Two levels of stopping: `Stop.request` closes every lane softly (what is in flight settles, or is given up when the
time of a stop is over); cancelling the caller's scope ends at once, and only what is known already is written.
"""

import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import replace

import anyio

from batcher.engine.capacity import Capacity
from batcher.engine.context import EnginePolicy, LaneContext
from batcher.engine.gate import AccountGate
from batcher.engine.halt import Halt
from batcher.engine.lane import run_lane
from batcher.engine.last_look import closing_s
from batcher.engine.seen import Seen
from batcher.engine.stop import FailureGuard, Stop
from batcher.ledger_port import Ledger, Settler
from batcher.model import CallClass, LaneKey, Refused, RunId, Stops, Window
from batcher.policy.breaker import stop_code, trouble_of
from batcher.policy.control import LaneNow
from batcher.policy.pace import limits_text, rate_text
from batcher.ports import Clock, EventSink, Operation

LIMIT_S_MAX = 30 * 86_400.0
"""A limit that was named longer ago is not believed any more: it may have been raised, and only a try can tell."""

WorkLane = Callable[[LaneContext, int], Awaitable[None]]
"""Does what is open in one lane, given how many rows that are; it holds the lane's lease."""


class RunEngine:
    """The work on one open run. `owner` names this worker in leases; `seed` makes its chances repeatable."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        operation: Operation,
        run_id: RunId,
        policy: EnginePolicy,
        commit: Settler,
        sink: EventSink,
        clock: Clock,
        stop: Stop,
        owner: str,
        seed: int,
        work_lane: WorkLane = run_lane,
        tolerance: FailureGuard | None = None,
        known: Mapping[LaneKey, Seen] | None = None,
    ) -> None:
        """`work_lane` is what is done with each lane; `known` what a survey has just seen of each."""
        self._ledger = ledger
        self._operation = operation
        self._run_id = run_id
        self._policy = policy
        self._commit = commit
        self._sink = sink
        self._clock = clock
        self._stop = stop
        self._owner = owner
        self._seed = seed
        self._do = work_lane
        self._tolerance = tolerance
        self._known = known or {}
        self._limits: dict[LaneKey, dict[CallClass, Window]] = {}
        self._has_history = True
        self._halt = Halt(clock)
        self._contexts: set[LaneContext] = set()
        self._calls: Counter[str] = Counter()
        self._gates: dict[str, AccountGate] = {}
        self._learnt: dict[str, str] = {}
        self._troubles: dict[int, tuple[str, str]] = {}
        self.stop_code = ""
        """What left open rows in a lane or an account that nobody asked to stop (`BATCHER.<Name>`), or empty."""
        self.stop_message = ""
        """What the provider or the network said when that lane was stopped, or empty."""
        self.stop_advice = ""
        """What a person can do about it, or empty."""

    async def work(self) -> None:
        """Do what is open. Raises what the ledger raises; cancelled, it still writes what has been answered."""
        lanes = await self._ledger.lanes(self._run_id)
        turns, capacity = iter(lanes), Capacity(self._policy.rows_max)
        self._has_history = await self._ledger.has_history()  # it grows when a sitting ends
        oldest = self._clock.now() - LIMIT_S_MAX
        for limit in await self._ledger.limits():
            if limit.learnt_at >= oldest:
                self._limits.setdefault(limit.lane, {})[limit.call_class] = limit.window
        try:
            async with anyio.create_task_group() as writer:
                writer.start_soon(self._commit.serve)
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self._close_on_stop)
                    async with anyio.create_task_group() as workers:
                        for _ in range(min(self._policy.lanes_max, len(lanes))):
                            workers.start_soon(self._work_lanes, turns, capacity)
                    tasks.cancel_scope.cancel()
                self._commit.close()
        except anyio.get_cancelled_exc_class():
            self._commit.close()
            with anyio.CancelScope(shield=True):  # as long as the disk takes for the last group
                await self._commit.serve()
                await self._keep_troubles()
            raise
        await self._keep_troubles()

    async def _keep_troubles(self) -> None:
        if self._troubles:
            await self._ledger.note_troubles(self._run_id, self._troubles)

    async def _close_on_stop(self) -> None:
        await self._stop.wait()
        for context in list(self._contexts):
            context.close()
        left_s = self._stop.time_s(self._policy.stop_s_max)
        look_s = min(left_s / 2, self.closing_s())
        await anyio.sleep(left_s - look_s)
        self._give_up()  # what hangs, so that last looks are made in time
        await anyio.sleep(look_s)
        self._stop.is_over = True
        self._give_up()

    def _give_up(self) -> None:
        for context in list(self._contexts):
            context.give_up()

    async def _work_lanes(self, lanes: Iterator[tuple[int, LaneKey, int]], capacity: Capacity) -> None:
        for lane_no, key, open_rows in lanes:
            async with capacity.of(self._policy.rows_of(open_rows)):
                if self._stop.is_requested:
                    return
                gate = self._gates.setdefault(key.account, AccountGate())
                if gate.stopped is None:
                    await self._work_lane(lane_no, open_rows, gate)
                else:
                    self._troubles[lane_no] = trouble_of(gate.stopped, key.region)

    async def _work_lane(self, lane_no: int, open_rows: int, gate: AccountGate) -> None:
        now, lease_s = self._clock.now(), self._policy.lease_s
        lease = await self._ledger.acquire_lane(self._run_id, lane_no, self._owner, now, lease_s)
        context = LaneContext(
            ledger=self._ledger,
            operation=self._operation,
            lease=lease,
            gate=gate,
            policy=self._policy,
            commit=self._commit,
            sink=self._sink,
            clock=self._clock,
            stop=self._stop,
            chance=random.Random(f"{self._seed}/{lane_no}"),  # noqa: S311  # jitter, no secret
            tolerance=self._tolerance,
            limits=self._limits.get(lease.lane),
            known=self._known.get(lease.lane),
            has_history=self._has_history,
            halt=self._halt,
        )
        self._contexts.add(context)
        gate.lanes.add(context)
        try:
            await self._do(context, open_rows)
        finally:
            self._contexts.discard(context)
            gate.lanes.discard(context)
            self._calls.update(context.calls)
            if context.stopped is not None:
                self._note_stop(context.lane, context.stopped)
            if context.trouble is not None:
                self._troubles[lane_no] = trouble_of(context.trouble, context.lane.region)
            if context.limiter.learnt:
                name = "/".join((context.lane.account, context.lane.region, context.lane.project_id))
                self._learnt[name] = limits_text(context.limiter.learnt)
            context.forget()

    def _note_stop(self, lane: LaneKey, refused: Refused) -> None:
        """Keep what ends the run, of the first lane that something ends it for; else of the first that stopped."""
        code = stop_code(refused)
        if self.stop_message and (self.stop_code or not code):
            return
        whose = f"account `{lane.account}`" if refused.stops is Stops.ACCOUNT else f"region `{lane.region}`"
        where = "" if refused.sent or not refused.advice else f"region `{lane.region}`: "
        self.stop_code, self.stop_advice = code, f"{where}{refused.advice}"
        self.stop_message = f"{whose}: {refused.code}: {refused.message}"

    @property
    def learnt(self) -> Mapping[str, str]:
        """The limits that the provider named, by `account/region/project_id`."""
        return self._learnt

    @property
    def rate(self) -> Window | None:
        """The rate that is asked for; None: it is searched for."""
        return self._policy.window

    def set_rate(self, window: Window | None) -> None:
        """This is the rate of every lane from now on, of those too that start later; None: it is searched for."""
        self._policy = replace(self._policy, window=window)
        for context in self._contexts:
            context.limiter.set_window(window)

    @property
    def is_paused(self) -> bool:
        """Whether no lane may begin a call."""
        return self._halt.is_on

    def pause(self) -> None:
        """Let no lane begin a call, until `resume_calls`; leases are kept, and stops hold. Repeatable."""
        self._halt.begin()

    def resume_calls(self) -> None:
        """Let lanes call again, as far as nothing else holds them up. Repeatable."""
        lasted_s = self._halt.end()
        for context in self._contexts:
            context.breaker.untried(lasted_s)

    def closing_s(self) -> float:
        """How long before a deadline sending has to end, as things stand, so that last looks are over by then."""
        return max((closing_s(context) for context in self._contexts), default=0.0)

    @property
    def calls_now(self) -> Counter[str]:
        """The calls of this sitting so far, by kind."""
        return sum((context.calls for context in self._contexts), self._calls.copy())

    def lanes_now(self) -> tuple[LaneNow, ...]:
        """The lanes at work, in the order of their names."""
        return tuple(_now(context) for context in sorted(self._contexts, key=lambda context: context.lane))


def _now(context: LaneContext) -> LaneNow:
    lane, limiter = context.lane, context.limiter
    return LaneNow(
        account=lane.account,
        region=lane.region,
        project_id=lane.project_id,
        rate=rate_text(limiter.window),
        writes_per_s=round(limiter.rate_per_s(CallClass.WRITE), 3),
        reads_per_s=round(limiter.rate_per_s(CallClass.READ), 3),
        learnt=limits_text(limiter.learnt),
        silent_s=round(limiter.silent_s, 3),
        in_flight=context.in_flight,
        calls=context.calls.total(),
    )
