"""The Protocols between the rooms; each method says whether it may be repeated, what it raises, and what
cancellation does to it. Behaviour lives in the rooms, wiring in `app.py`.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Protocol, TypeVar

from batcher.events import Event
from batcher.model import (
    Applied,
    Barred,
    ClaimedRow,
    Fault,
    LaneKey,
    Lease,
    LedgerRow,
    Limit,
    NaturalKey,
    Obstacle,
    Page,
    PlanRow,
    Quota,
    RawRow,
    Refused,
    Remote,
    RowRecord,
    RowState,
    RunId,
    RunRecord,
    ScopeLoad,
    Settlement,
    Token,
    Twin,
    Wish,
)

T = TypeVar("T")


class Clock(Protocol):
    """Where time comes from."""

    def now(self) -> float:
        """Wall clock, seconds since the epoch: for records and for what other machines read."""
        ...

    def steady(self) -> float:
        """Seconds that only grow and count suspended time: for leases, pauses and back-off."""
        ...


class EventSink(Protocol):
    """Where the engine tells what happened; must return at once and never raise."""

    def emit(self, event: Event) -> None:
        """Take one event."""
        ...


class Settler(Protocol):
    """The way from the lanes to the ledger: many settlements, one durable write."""

    def settle(self, lease: Lease, settlement: Settlement, events: Sequence[Event] = ()) -> None:
        """Queue a settlement; never waits, never raises. The events are told once it is durable."""
        ...

    def count_call(self, kind: str, result: str) -> None:
        """Count a call to the provider; recorded with the next write."""
        ...

    def note_limit(self, limit: Limit) -> None:
        """The provider has named a limit; recorded with the next write."""
        ...

    @property
    def is_full(self) -> bool:
        """Whether lanes should stop claiming until `flush` has returned."""
        ...

    async def flush(self) -> None:
        """Return when everything queued before is durable. Repeatable; safe to cancel."""
        ...

    async def serve(self) -> None:
        """Write until `close`. Raises what the ledger raises; a write that has begun is not cancelled."""
        ...

    def close(self) -> None:
        """Let `serve` write what is queued, and end. Repeatable."""
        ...


class RowSource(Protocol):
    """An inventory that can be read once, as a stream."""

    @property
    def columns(self) -> tuple[tuple[str, str], ...]:
        """The headers as (original, canonical or original), in order; whole once `rows` has ended."""
        ...

    def rows(self) -> Iterator[RawRow]:
        """Yield every row in file order. Raises `InventoryError` where the file as a whole cannot be read."""
        ...


class Ask(Protocol):
    """The engine's way to make a call that is no row's send: at the lane's pace, and again where that may help."""

    async def __call__(self, kind: str, make: Callable[[], Awaitable[T | Refused]]) -> T | Refused | None:
        """The answer of a repeatable call, or its last refusal; None if the lane closed before there was either."""
        ...


class Ground(Protocol):
    """What the rows of a lane need to be there at the provider."""

    async def obstacles(self, scope: str, specs: Sequence[str]) -> list[Obstacle | None]:
        """What stands in the way of each of these rows of a scope; None where nothing does, as far as can be known.

        Reads, few of them if scopes are asked for one after the other; repeatable.
        """
        ...


class Operation(Protocol):
    """What is provisioned. Texts named `spec` are the operation's own and come back to it unread.

    `name` is recorded with a run; `known_columns` are all inventory columns that it reads, and
    `identity_columns` those that the report repeats, in the report's order.
    """

    name: str
    known_columns: tuple[str, ...]
    identity_columns: tuple[str, ...]

    async def prepare(self, rows: Sequence[Mapping[str, str]]) -> None:
        """Find out from the provider what `parse` needs for these rows and they leave open. Reads; repeatable.

        Raises `ConfigError` where it cannot be known; then no row may be planned. Where the provider refuses, the
        rows are `Barred`.
        """
        ...

    def parse(self, fields: Mapping[str, str]) -> Wish | Barred | tuple[Fault, ...]:
        """Hold a row to its rules: what it asks for, or every rule that it breaks. Pure, once prepared."""
        ...

    def token(self, spec: str, generation: int) -> Token:
        """The idempotency token of a generation: equal input, equal token, on every machine. Pure."""
        ...

    def columns_of(self, spec: str) -> Mapping[str, str]:
        """The known columns of a spec as an inventory would write them. Pure."""
        ...

    def differences(self, spec: str, remote: Remote) -> tuple[str, ...]:
        """What the provider has otherwise than wished, each named for a reader; empty if equal. Pure."""
        ...

    def needs_amending(self, spec: str, remote: Remote) -> bool:
        """Whether `amend` has a call to make before the thing is as wished. Pure."""
        ...

    def subject(self, spec: str) -> str:
        """What a row is about, and other rows of its scope may be too: for flow logs the attachment. Pure."""
        ...

    def is_trusted(self, lane: LaneKey) -> bool:
        """Whether calls of the lane's account can go side by side: the provider has accepted its credentials."""
        ...

    def needs_update(self, spec: str, remote: Remote) -> bool:
        """Whether `update` has a call to make before the thing is as wished. Pure."""
        ...

    async def apply(self, lane: LaneKey, row: ClaimedRow) -> Applied | Refused:
        """Make the call that brings the thing into being: one request, safe to repeat with the same row.

        Raises nothing for what the provider or the network does. Cancelled, it leaves the row in doubt.
        """
        ...

    async def amend(self, lane: LaneKey, spec: str, remote: Remote) -> Applied | Refused:
        """Make the call that `needs_amending` asks for: one request, safe to repeat. Raises nothing."""
        ...

    async def update(self, lane: LaneKey, spec: str, remote: Remote) -> Applied | Refused:
        """Make the call that `needs_update` asks for: one request, safe to repeat. Raises nothing."""
        ...

    async def remove(self, lane: LaneKey, spec: str, remote: Remote) -> Applied | Refused:
        """Make the call that deletes a thing: one request, safe to repeat. Raises nothing."""
        ...

    async def quota(self, lane: LaneKey) -> Quota | Refused:
        """How many things there may be in a lane, and are. Reads; repeatable."""
        ...

    def ground(self, lane: LaneKey, ask: "Ask", tell: Callable[[str, str], None]) -> "Ground":
        """What rows of a lane stand on. Calls go through `ask`; `tell(message, hint)` hears what cannot be checked."""
        ...

    async def page(
        self, lane: LaneKey, scope: str, marker: str | None, only: Sequence[str] = ()
    ) -> Page[Remote] | Refused:
        """List one page of what stands in a scope; `only` narrows it to rows' specs. Reads; repeatable."""
        ...


class Ledger(Protocol):
    """The durable truth. Every write is whole or not at all, and durable when the call returns.

    All methods raise `LedgerError` where the store fails. Cancelling a write leaves it either done or not
    done, never half; the caller must take it for possibly done.
    """

    # --- runs -------------------------------------------------------------------------------------

    async def create_run(self, run: RunRecord) -> None:
        """Open a run in state `planning`. Not repeatable: the id must be new."""
        ...

    async def add_rows(self, run_id: RunId, rows: Sequence[PlanRow]) -> None:
        """Record planned rows in one transaction, in ascending `row_no`. Not repeatable."""
        ...

    async def copy_rows(self, run_id: RunId, parent: RunId) -> int:
        """Plan again the rows of `parent` that ended failed or in doubt; the number copied."""
        ...

    async def copy_made(self, run_id: RunId, parent: RunId) -> int:
        """Plan the rows of `parent` that it has made or may have made, to be taken back; the number copied.

        Each keeps its token, the id under which it is known, and since when it may have been sent.
        """
        ...

    async def index_keys(self, run_id: RunId) -> int:
        """After the last `add_rows`: index the plan by natural key, fold what earlier runs learnt; how many twins."""
        ...

    async def twins(self, run_id: RunId, after: int, limit: int) -> list[Twin]:
        """Planned rows after `row_no` whose natural key an earlier row has; needs `index_keys`."""
        ...

    async def settle_plan(self, run_id: RunId, settlements: Sequence[tuple[int, Settlement]]) -> None:
        """Settle rows of a run that is still `planning`: pairs of (lane_no, settlement)."""
        ...

    async def open_run(self, run_id: RunId, columns: Sequence[tuple[str, str]], found: Mapping[str, object]) -> None:
        """The plan is whole: from now on the run can be worked and resumed. `found` is added to its settings."""
        ...

    async def plan_drifted(self, run_id: RunId) -> Mapping[int, Sequence[int]]:
        """Before a surveyed run is opened: plan again what has drifted and can be put right; row numbers by lane."""
        ...

    async def drop_run(self, run_id: RunId) -> None:
        """Forget a run that is still `planning`: nothing of it can have been sent. Repeatable."""
        ...

    async def reopen(self, run_id: RunId) -> None:
        """Begin another sitting: skipped rows are planned again, the last end is forgotten. Repeatable."""
        ...

    async def end_sitting(
        self,
        run_id: RunId,
        *,
        ended_at: float,
        stop_code: str,
        stop_message: str,
        exit_code: int,
        rates: Mapping[str, object],
    ) -> None:
        """Record how this sitting ended; `finished` where no row is open; fold what was learnt of keys."""
        ...

    async def runs(self) -> list[RunRecord]:
        """Every run, newest first."""
        ...

    async def run(self, run_id: RunId) -> RunRecord:
        """One run. Raises `RunNotFoundError`."""
        ...

    async def records(self, run_id: RunId, after: int, limit: int) -> list[RowRecord]:
        """The next `limit` rows after `row_no`, in inventory order."""
        ...

    async def note_change(self, run_id: RunId, at: float, action: str, value: str) -> None:
        """Record what somebody changes of a run while it works (`RunRecord.changes`). Not repeatable."""
        ...

    async def has_history(self) -> bool:
        """Whether any run before has learnt of anything that exists or was tried."""
        ...

    async def changes(self, older: RunId, newer: RunId) -> tuple[int, int, int]:
        """How two plans differ by natural key: (new, changed, gone)."""
        ...

    # --- lanes: work under a lease ----------------------------------------------------------------

    async def lanes(self, run_id: RunId) -> list[tuple[int, LaneKey, int]]:
        """(lane_no, key, open rows) of every lane that has open rows."""
        ...

    async def acquire_lane(self, run_id: RunId, lane_no: int, owner: str, now: float, ttl_s: float) -> Lease:
        """Take a lane that is free, expired, or whose owner is known to be dead; the epoch grows by one.

        Raises `StaleLeaseError` while a live owner holds it.
        """
        ...

    async def renew_lane(self, lease: Lease, now: float, ttl_s: float) -> Lease:
        """Hold the lane longer. Raises `StaleLeaseError` when it was taken over. Repeatable."""
        ...

    async def release_lane(self, lease: Lease, now: float) -> None:
        """Give the lane back; no call was made in it after `now`. Repeatable."""
        ...

    async def limits(self) -> list[Limit]:
        """Every limit that the provider has ever named, the newest for each lane and class of calls."""
        ...

    async def claim(self, lease: Lease, *, after: int, limit: int, now: float) -> list[ClaimedRow]:
        """Take the next planned rows after `row_no`: lease, intent and fence in one write.

        From here on the rows count as possibly sent. Raises `StaleLeaseError`.
        """
        ...

    async def recover(self, lease: Lease, *, after: int, limit: int) -> list[ClaimedRow]:
        """Take over the next rows that an earlier epoch claimed and did not settle; they may have been sent."""
        ...

    async def regenerate(self, lease: Lease, row_no: int, *, generation: int, token: Token, now: float) -> None:
        """Record another generation of a claimed row before it is sent, its token first used `now`.

        Raises `StaleLeaseError`.
        """
        ...

    async def plan_vanished(self, lease: Lease, scope: str, seen: Sequence[int]) -> int:
        """Plan again, under their next generation, the scope's accepted rows that a whole listing does not show.

        `seen` are the numbers of those that it does. How many. Raises `StaleLeaseError`. Repeatable.
        """
        ...

    async def skip_planned(self, lease: Lease, code: str, message: str, now: float) -> int:
        """Settle every planned row of the lane as skipped, in one write; how many. Raises `StaleLeaseError`."""
        ...

    async def scopes(self, lease: Lease) -> list[ScopeLoad]:
        """Every scope of the lane that has planned or accepted rows."""
        ...

    async def numbers(self, lease: Lease, state: RowState) -> Mapping[str, Sequence[int]]:
        """The numbers of the lane's rows in a state, by scope, each in ascending order; four bytes a row."""
        ...

    async def rows(self, lease: Lease, numbers: Sequence[int]) -> list[LedgerRow]:
        """The lane's rows with these numbers that are not settled, in their order."""
        ...

    async def claim_these(self, lease: Lease, numbers: Sequence[int], now: float) -> None:
        """As `claim`, of the rows with these numbers, all of which must be planned. Raises `StaleLeaseError`."""
        ...

    async def match(self, lease: Lease, keys: Sequence[NaturalKey]) -> list[LedgerRow]:
        """The lane's rows with these keys that are planned, claimed or accepted."""
        ...

    async def write(
        self,
        run_id: RunId,
        batch: Sequence[tuple[Lease, Settlement]],
        calls: Mapping[tuple[str, str], int],
        limits: Sequence[Limit] = (),
    ) -> None:
        """Record settlements of a run, counted calls and named limits in one transaction.

        Each row must be in a state from which the move is legal and under the lease's epoch. Raises
        `StaleLeaseError` otherwise, and nothing of the batch is written.
        """
        ...

    async def close(self) -> None:
        """Let go of the store and its lock. Repeatable."""
        ...
