"""The Protocols between the rooms; each method says whether it may be repeated, what it raises, and what
cancellation does to it. Behaviour lives in the rooms, wiring in `app.py`.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from batcher.events import Event
from batcher.model import (
    Applied,
    ClaimedRow,
    Fault,
    LaneKey,
    Lease,
    LedgerRow,
    NaturalKey,
    Page,
    PlanRow,
    RawRow,
    Refused,
    Remote,
    RowRecord,
    RunId,
    RunRecord,
    Settlement,
    Token,
    Wish,
)


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


class RowSource(Protocol):
    """An inventory that can be read once, as a stream."""

    @property
    def columns(self) -> tuple[tuple[str, str], ...]:
        """The headers as (original, canonical or original), in order; whole once `rows` has ended."""
        ...

    def rows(self) -> Iterator[RawRow]:
        """Yield every row in file order. Raises `InventoryError` where the file as a whole cannot be read."""
        ...


class Operation(Protocol):
    """What is provisioned. Texts named `spec` are the operation's own and come back to it unread.

    `name` is recorded with a run; `known_columns` are all inventory columns that it reads, and
    `identity_columns` those that the report repeats, in the report's order.
    """

    name: str
    known_columns: tuple[str, ...]
    identity_columns: tuple[str, ...]

    def parse(self, fields: Mapping[str, str]) -> Wish | tuple[Fault, ...]:
        """Hold a row to its rules: what it asks for, or every rule that it breaks. Pure."""
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

    async def apply(self, row: ClaimedRow) -> Applied | Refused:
        """Make the call that brings the thing into being: one request, safe to repeat with the same row.

        Raises nothing for what the provider or the network does. Cancelled, it leaves the row in doubt.
        """
        ...

    async def amend(self, row: LedgerRow, remote: Remote) -> Applied | Refused | None:
        """Make one call of those still needed after creation (`enabled`); None: nothing is left to do."""
        ...

    async def page(
        self, lane: LaneKey, scope: str, marker: str | None, only: Sequence[str] = ()
    ) -> Page | Refused:
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

    async def close_plan(self, run: RunRecord) -> None:
        """Find duplicates, take up what is known of each key, and move the run to `open`, in one write."""
        ...

    async def rows_to_renew(self, run_id: RunId, after: int, limit: int) -> list[tuple[int, int, str, int]]:
        """(lane_no, row_no, spec, generation) of planned rows whose generation is not 0, after `row_no`."""
        ...

    async def renew_tokens(self, run_id: RunId, tokens: Sequence[tuple[int, int, Token]]) -> None:
        """Set the tokens of rows from `rows_to_renew`: (lane_no, row_no, token). Repeatable."""
        ...

    async def drop_run(self, run_id: RunId) -> None:
        """Forget a run that is still `planning`: nothing of it can have been sent. Repeatable."""
        ...

    async def reopen(self, run_id: RunId) -> None:
        """Make skipped rows planned again and the run `open`. Repeatable."""
        ...

    async def end_sitting(
        self, run_id: RunId, *, ended_at: float, stop_code: str, exit_code: int, rates: Mapping[str, object]
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

    async def release_lane(self, lease: Lease) -> None:
        """Give the lane back. Repeatable."""
        ...

    async def claim(self, lease: Lease, *, after: int, limit: int, now: float) -> list[ClaimedRow]:
        """Take the next planned rows after `row_no`: lease, intent and fence in one write.

        From here on the rows count as possibly sent. Raises `StaleLeaseError`.
        """
        ...

    async def recover(self, lease: Lease, *, after: int, limit: int) -> list[ClaimedRow]:
        """Take over rows that an earlier epoch claimed and did not settle; they may have been sent."""
        ...

    async def regenerate(self, lease: Lease, row: ClaimedRow, token: Token, now: float) -> ClaimedRow:
        """Record the next generation of a claimed row before it is sent. Raises `StaleLeaseError`."""
        ...

    async def scopes(self, lease: Lease) -> list[tuple[str, int, int, int]]:
        """(scope, planned, accepted, known of old) of every scope of the lane with open rows."""
        ...

    async def match(self, lease: Lease, keys: Sequence[NaturalKey]) -> list[LedgerRow]:
        """The lane's rows with these keys that are planned, claimed or accepted."""
        ...

    async def write(
        self, batch: Sequence[tuple[Lease, Settlement]], calls: Mapping[tuple[str, str], int]
    ) -> None:
        """Record settlements and counted calls in one transaction.

        Each row must be in a state from which the move is legal and under the lease's epoch. Raises
        `StaleLeaseError` otherwise, and nothing of the batch is written.
        """
        ...

    async def close(self) -> None:
        """Let go of the store and its lock. Repeatable."""
        ...
