"""A run that is changed while it works, on a real ledger: what is recorded, what takes effect, what a pause costs."""

from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import anyio
import pytest

from batcher.clock import SystemClock
from batcher.engine.context import EnginePolicy
from batcher.engine.run import RunEngine
from batcher.engine.steering import Steering
from batcher.engine.stop import Stop
from batcher.errors import LedgerError
from batcher.events import Event, RunSteered
from batcher.ledger.group_commit import GroupCommit
from batcher.ledger.sqlite import SqliteLedger
from batcher.model import (
    Applied,
    ClaimedRow,
    Kind,
    LaneKey,
    Lease,
    Outcome,
    Page,
    PlanRow,
    Refused,
    Remote,
    RunId,
    Stops,
    Token,
    Window,
)
from batcher.operations.flow_log import FlowLogs
from batcher.operations.flow_log_row import RowDefaults
from batcher.policy.control import Action, Request
from batcher.policy.retry import RetryBudget
from tests.ledger.book import NORTH, SOUTH, everything, open_run, row, token_of

FAST = Window(1000, 1.0)
LEASE_S = 0.6
MADE = Applied("fl-new", "available", enabled=True, as_wished=True, http_status=202, request_id="")
BUSY = Refused(Kind.TRANSIENT, Stops.ROW, "ER.05000000", "try again", 503)

PAUSE, CONTINUE, DRAIN, STATUS = (
    Request(action) for action in (Action.PAUSE, Action.CONTINUE, Action.DRAIN, Action.STATUS)
)


@dataclass
class Provider(FlowLogs):
    """Takes a create once `is_open`, answers with the next of `answers`, else accepts; tells what was `sent`."""

    answers: list[Applied | Refused] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)
    is_open: anyio.Event = field(default_factory=anyio.Event)
    came: anyio.Event = field(default_factory=anyio.Event)

    def __post_init__(self) -> None:
        super().__init__(None, RowDefaults())

    def token(self, spec: str, generation: int) -> Token:
        return token_of(spec.strip('[]"'), generation)

    async def page(self, lane: LaneKey, scope: str, marker: str | None, only: Sequence[str] = ()) -> Page[Remote]:
        return Page((), None, 0, 2000)

    async def apply(self, lane: LaneKey, row: ClaimedRow) -> Applied | Refused:
        self.sent.append(row.token)
        self.came.set()
        self.came = anyio.Event()
        await self.is_open.wait()
        return self.answers.pop(0) if self.answers else MADE

    async def until_sent(self, count: int) -> None:
        while len(self.sent) < count:
            await self.came.wait()


class Ledger(SqliteLedger):
    """A ledger that tells when leases were renewed, and what is so when a change is recorded."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, read_only=False)
        self.renewed = anyio.Event()
        self.before_note: Callable[[], None] = lambda: None
        self.turns_to_note: Callable[[], int] = lambda: 0
        """Of the loop, until it is told that a change is recorded."""

    async def renew_lane(self, lease: Lease, now: float, ttl_s: float) -> Lease:
        try:
            return await super().renew_lane(lease, now, ttl_s)
        finally:
            self.renewed.set()
            self.renewed = anyio.Event()

    async def note_change(self, run_id: RunId, at: float, action: str, value: str) -> None:
        self.before_note()
        await super().note_change(run_id, at, action, value)
        for _ in range(self.turns_to_note()):
            await anyio.sleep(0)

    async def until_renewed(self, times: int) -> None:
        for _ in range(times):
            await self.renewed.wait()


class Heard(list[Event]):
    def emit(self, event: Event) -> None:
        self.append(event)


@dataclass
class Work:
    """A run at work, and who steers it."""

    ledger: Ledger
    run_id: RunId
    cloud: Provider
    engine: RunEngine
    steering: Steering
    stop: Stop
    heard: Heard

    @property
    def steered(self) -> list[RunSteered]:
        return [event for event in self.heard if isinstance(event, RunSteered)]

    async def recorded(self) -> list[tuple[str, str]]:
        return [(action, value) for _, action, value in (await self.ledger.run(self.run_id)).changes]

    async def outcomes(self) -> list[Outcome | None]:
        return [record.outcome for record in await everything(self.ledger, self.run_id)]


POLICY = EnginePolicy(window=FAST, lease_s=LEASE_S, verify=False)


@asynccontextmanager
async def run_of(
    folder: Path, rows: Sequence[PlanRow], policy: EnginePolicy = POLICY, cloud: Provider | None = None
) -> AsyncIterator[Work]:
    ledger = Ledger(folder / "ledger.db")
    await ledger.open()
    try:
        run_id = await open_run(ledger, "tonight", rows, started_at=SystemClock.now())
        cloud, sink, clock, stop = cloud or Provider(), Heard(), SystemClock(), Stop()
        engine = RunEngine(
            ledger=ledger,
            operation=cloud,
            run_id=run_id,
            policy=policy,
            commit=GroupCommit(ledger, run_id, sink),
            sink=sink,
            clock=clock,
            stop=stop,
            owner="me",
            seed=0,
        )
        run = await ledger.run(run_id)
        steering = Steering(engine, run, ledger=ledger, stop=stop, sink=sink, clock=clock, deadline=None)
        yield Work(ledger, run_id, cloud, engine, steering, stop, sink)
    finally:
        await ledger.close()


async def during(work: Work, operator: Callable[[], Coroutine[None, None, None]]) -> None:
    """Let the run work to its end while an operator does something."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(operator)
        await work.engine.work()


async def test_a_pause_lets_what_flies_settle_keeps_the_lease_and_ends_when_it_is_ended(tmp_path: Path) -> None:
    async with run_of(tmp_path, [row(number) for number in range(1, 31)]) as work:

        async def operator() -> None:
            await work.cloud.until_sent(4)  # as many as are let in at first
            status = await work.steering.obey(PAUSE)
            assert (status.state, status.open_rows, status.lanes[0].in_flight) == ("paused", 30, 4)
            work.cloud.is_open.set()
            await work.ledger.until_renewed(5)  # longer than a lease
            status = await work.steering.obey(STATUS)
            assert (status.state, status.settled, status.open_rows) == ("paused", {"created": 4}, 26)
            assert (status.lanes[0].in_flight, status.lanes[0].calls) == (0, 4 + 1)  # and a listing
            assert status.calls == {"create": 4, "list": 1}
            assert len(work.cloud.sent) == 4
            assert (await work.steering.obey(CONTINUE)).state == "working"

        await during(work, operator)
        assert await work.outcomes() == [Outcome.CREATED] * 30
        assert len(set(work.cloud.sent)) == len(work.cloud.sent) == 30
        assert await work.recorded() == [("pause", ""), ("continue", "")]
        status = await work.steering.obey(STATUS)
        assert (status.open_rows, status.lanes, status.calls) == (0, (), {"create": 30, "list": 1})


async def test_a_pause_costs_no_row_its_patience(tmp_path: Path) -> None:
    policy = replace(POLICY, budget=RetryBudget(time_s_max=0.4, backoff_s_base=0.001, backoff_s_cap=0.001))
    cloud = Provider(answers=[BUSY, BUSY, MADE])
    async with run_of(tmp_path, [row(1)], policy, cloud) as work:

        async def operator() -> None:
            await work.cloud.until_sent(1)
            await work.steering.obey(PAUSE)
            work.cloud.is_open.set()
            await work.ledger.until_renewed(4)  # 0.8 s: the row's time would be over twice
            await work.steering.obey(CONTINUE)

        await during(work, operator)
        assert await work.outcomes() == [Outcome.CREATED]
        assert work.cloud.sent == [token_of("row-1")] * 3
        (record,) = await everything(work.ledger, work.run_id)
        assert (record.duration_ms or 0) < 600


@pytest.mark.parametrize("then", ["a stop", "a drain", "the end of the program"])
async def test_a_paused_run_can_be_stopped(tmp_path: Path, then: str) -> None:
    async with run_of(tmp_path, [row(number) for number in range(1, 31)]) as work:
        with anyio.CancelScope() as scope:

            async def operator() -> None:
                await work.cloud.until_sent(4)
                await work.steering.obey(PAUSE)
                work.cloud.is_open.set()
                if then == "a stop":
                    work.stop.request("BATCHER.Terminated")
                elif then == "a drain":
                    assert (await work.steering.obey(DRAIN)).state == "draining"
                else:
                    scope.cancel()

            await during(work, operator)
        assert scope.cancelled_caught is (then == "the end of the program")
        assert len(work.cloud.sent) == 4
        made = (await work.outcomes()).count(Outcome.CREATED)
        assert made == 4 or (then == "the end of the program" and made <= 4)
        assert work.stop.code == {"a stop": "BATCHER.Terminated", "a drain": "BATCHER.Drained"}.get(then, "")


async def test_a_change_is_recorded_before_it_takes_effect_and_not_made_if_it_cannot_be(tmp_path: Path) -> None:
    async with run_of(tmp_path, [row(1)]) as work:
        seen: list[tuple[Window | None, bool, bool]] = []

        def look() -> None:
            seen.append((work.engine.rate, work.engine.is_paused, work.stop.is_requested))

        requests = (Request(Action.RATE, Window(5, 1.0)), PAUSE, CONTINUE, DRAIN)

        def full() -> None:
            look()
            raise LedgerError("disk full")

        work.ledger.before_note = full
        for request in (requests[0], PAUSE, DRAIN):
            with pytest.raises(LedgerError):
                await work.steering.obey(request)
        look()
        assert seen == [(FAST, False, False)] * 4
        assert await work.recorded() == []
        assert work.steered == []

        seen.clear()
        work.ledger.before_note = look
        states = [(await work.steering.obey(request)).state for request in requests]
        look()
        slow = Window(5, 1.0)
        assert seen == [
            (FAST, False, False),
            (slow, False, False),
            (slow, True, False),
            (slow, False, False),
            (slow, False, True),
        ]
        assert states == ["working", "paused", "working", "draining"]
        assert await work.recorded() == [("rate", "5/s"), ("pause", ""), ("continue", ""), ("drain", "")]
        assert work.steered == [
            RunSteered("rate", "5/s"),
            RunSteered("pause", ""),
            RunSteered("continue", ""),
            RunSteered("drain", ""),
        ]


async def test_what_changes_nothing_is_not_recorded(tmp_path: Path) -> None:
    async with run_of(tmp_path, [row(1)]) as work:
        for request in (STATUS, CONTINUE, Request(Action.RATE, FAST), PAUSE, PAUSE, DRAIN, DRAIN, CONTINUE, PAUSE):
            await work.steering.obey(request)
        assert await work.recorded() == [("pause", ""), ("drain", "")]
        status = await work.steering.obey(Request(Action.RATE, None))
        assert (status.state, status.rate) == ("draining", "1000/s")


async def test_changes_are_made_one_at_a_time_in_the_order_of_their_record(tmp_path: Path) -> None:
    async with run_of(tmp_path, [row(1)]) as work:
        turns = iter(range(2000, 0, -100))  # the later, the sooner it would be told
        work.ledger.turns_to_note = lambda: next(turns)
        async with anyio.create_task_group() as tasks:
            for number in range(1, 21):
                tasks.start_soon(work.steering.obey, Request(Action.RATE, Window(number, 1.0)))
        recorded = await work.recorded()
        assert len(recorded) == 20
        assert [value for _, value in recorded] == [event.value for event in work.steered]
        assert (await work.steering.obey(STATUS)).rate == recorded[-1][1]


async def test_a_rate_reaches_the_lanes_at_work_and_those_that_start_later(tmp_path: Path) -> None:
    rows = [row(number, lane=NORTH if number <= 6 else SOUTH) for number in range(1, 13)]
    async with run_of(tmp_path, rows, replace(POLICY, lanes_max=1)) as work:
        rates: dict[str, str] = {}

        async def operator() -> None:
            await work.cloud.until_sent(1)
            status = await work.steering.obey(Request(Action.RATE, Window(500, 1.0)))
            (lane,) = status.lanes
            rates[lane.region] = lane.rate
            assert status.rate == "500/s"
            work.cloud.is_open.set()
            await work.cloud.until_sent(7)
            (lane,) = (await work.steering.obey(STATUS)).lanes
            rates[lane.region] = lane.rate

        await during(work, operator)
        assert rates == {NORTH.region: "500/s", SOUTH.region: "500/s"}


async def test_the_calls_of_earlier_sittings_count(tmp_path: Path) -> None:
    async with run_of(tmp_path, [row(1)]) as work:
        work.cloud.is_open.set()
        await work.ledger.write(work.run_id, [], {("create", "503"): 2, ("create", "202"): 1, ("list", "200"): 1})
        run = await work.ledger.run(work.run_id)
        steering = Steering(
            work.engine,
            run,
            ledger=work.ledger,
            stop=work.stop,
            sink=work.heard,
            clock=SystemClock(),
            deadline=run.started_at + 60,
        )
        await work.engine.work()
        status = await steering.obey(STATUS)
        assert status.calls == {"create": 4, "list": 1}
        assert status.deadline == run.started_at + 60
