"""A run of many lanes or rows on a real ledger, against a provider that answers at once: what it costs is counted."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio

from batcher.clock import SystemClock
from batcher.engine.context import EnginePolicy
from batcher.engine.lane import run_lane
from batcher.engine.run import RunEngine, WorkLane
from batcher.engine.stop import Stop
from batcher.ledger.group_commit import GroupCommit
from batcher.ledger.sqlite import SqliteLedger
from batcher.model import Applied, ClaimedRow, LaneKey, Page, Quota, Refused, Remote, RunId, Window
from batcher.operations.flow_log import FlowLogs
from batcher.operations.flow_log_row import RowDefaults
from batcher.telemetry.sinks import Silent

MADE = Applied("fl-new", "available", enabled=True, as_wished=True, http_status=202, request_id="")
POLICY = EnginePolicy(window=Window(1_000_000, 1.0), verify=False)


@dataclass
class Provider(FlowLogs):
    """Has no flow logs; takes a create once `is_open`, and tells which lanes have sent one."""

    is_open: anyio.Event = field(default_factory=anyio.Event)
    sent: list[LaneKey] = field(default_factory=list)
    opens_after: int = 0

    def __post_init__(self) -> None:
        super().__init__(None, RowDefaults())

    async def page(self, lane: LaneKey, scope: str, marker: str | None, only: Sequence[str] = ()) -> Page[Remote]:
        return Page((), None, 0, 2000)

    async def quota(self, lane: LaneKey) -> Quota | Refused:
        return Quota(-1, 0)

    async def apply(self, lane: LaneKey, row: ClaimedRow) -> Applied | Refused:
        self.sent.append(lane)
        if len(self.sent) >= self.opens_after:
            self.is_open.set()
        await self.is_open.wait()
        return MADE


def lane(number: int) -> LaneKey:
    """The n-th project."""
    return LaneKey("default", "cn-north-4", f"{number:032x}")


@asynccontextmanager
async def ledger_at(path: Path) -> AsyncIterator[SqliteLedger]:
    """A ledger, closed with the block."""
    ledger = SqliteLedger(path, read_only=False)
    await ledger.open()
    try:
        yield ledger
    finally:
        await ledger.close()


def engine_of(
    ledger: SqliteLedger,
    run_id: RunId,
    provider: Provider,
    *,
    policy: EnginePolicy = POLICY,
    work_lane: WorkLane = run_lane,
) -> RunEngine:
    """An engine over the open rows of a run."""
    return RunEngine(
        ledger=ledger,
        operation=provider,
        run_id=run_id,
        policy=policy,
        commit=GroupCommit(ledger, run_id, Silent()),
        sink=Silent(),
        clock=SystemClock(),
        stop=Stop(),
        owner="me",
        seed=0,
        work_lane=work_lane,
    )


@asynccontextmanager
async def statements_of(ledger: SqliteLedger) -> AsyncIterator[list[str]]:
    """What the ledger has SQLite do meanwhile."""
    done: list[str] = []
    connection = ledger._store.connection
    await ledger._call(connection.set_trace_callback, done.append)
    try:
        yield done
    finally:
        await ledger._call(connection.set_trace_callback, None)
