"""All lanes of a run, side by side, until they are done or the run is stopped.

Two levels of stopping: `Stop.request` closes every lane softly (what is in flight settles, within the time
limit of one answer); cancelling the caller's scope ends at once, and only what is known already is written.
"""

import random
from collections.abc import Awaitable, Callable, Iterator, Mapping

import anyio

from batcher.engine.context import AccountGate, EnginePolicy, LaneContext, Seen
from batcher.engine.lane import run_lane
from batcher.engine.stop import FailureGuard, Stop
from batcher.ledger_port import Ledger, Settler
from batcher.model import CallClass, LaneKey, Refused, RunId, Stops, Window
from batcher.policy.breaker import stop_code
from batcher.policy.pace import limits_text
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
        self._contexts: set[LaneContext] = set()
        self._gates: dict[str, AccountGate] = {}
        self._learnt: dict[str, str] = {}
        self.stop_code = ""
        """What left open rows in a lane or an account that nobody asked to stop (`BATCHER.<Name>`), or empty."""
        self.stop_message = ""
        """What the provider or the network said when that lane was stopped, or empty."""
        self.stop_advice = ""
        """What a person can do about it, or empty."""

    async def work(self) -> None:
        """Do what is open. Raises what the ledger raises; cancelled, it still writes what has been answered."""
        lanes = iter(await self._ledger.lanes(self._run_id))
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
                        for _ in range(self._policy.lanes_max):
                            workers.start_soon(self._work_lanes, lanes)
                    tasks.cancel_scope.cancel()
                self._commit.close()
        except anyio.get_cancelled_exc_class():
            self._commit.close()
            with anyio.CancelScope(shield=True):  # as long as the disk takes for the last group
                await self._commit.serve()
            raise

    async def _close_on_stop(self) -> None:
        await self._stop.wait()
        for context in list(self._contexts):
            context.close()

    async def _work_lanes(self, lanes: Iterator[tuple[int, LaneKey, int]]) -> None:
        for lane_no, key, open_rows in lanes:
            if self._stop.is_requested:
                return
            gate = self._gates.setdefault(key.account, AccountGate())
            if gate.stopped is None:
                await self._work_lane(lane_no, open_rows, gate)

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
        )
        self._contexts.add(context)
        gate.lanes.add(context)
        try:
            await self._do(context, open_rows)
        finally:
            self._contexts.discard(context)
            gate.lanes.discard(context)
            if context.stopped is not None:
                self._note_stop(context.lane, context.stopped)
            if context.limiter.learnt:
                name = "/".join((context.lane.account, context.lane.region, context.lane.project_id))
                self._learnt[name] = limits_text(context.limiter.learnt)

    def _note_stop(self, lane: LaneKey, refused: Refused) -> None:
        """Keep what ends the run, of the first lane that something ends it for; else of the first that stopped."""
        code = stop_code(refused)
        if self.stop_message and (self.stop_code or not code):
            return
        whose = f"account `{lane.account}`: " if refused.stops is Stops.ACCOUNT else ""
        self.stop_code, self.stop_advice = code, refused.advice
        self.stop_message = f"{whose}{refused.code}: {refused.message}"

    @property
    def learnt(self) -> Mapping[str, str]:
        """The limits that the provider named, by `account/region/project_id`."""
        return self._learnt
