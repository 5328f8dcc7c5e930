"""The Protocol of the ledger, and of the way to it; each method says whether it may be repeated, what it raises, and
what cancellation does to it. `ledger/` has the behaviour.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from batcher.events import Event
from batcher.model import (
    ClaimedRow,
    LaneKey,
    Lease,
    LedgerRow,
    Limit,
    NaturalKey,
    PlanRow,
    RowState,
    RunId,
    Send,
    Settlement,
)
from batcher.policy.selection import ALL, Selection
from batcher.records import ChangedRow, Difference, EndingCount, RowRecord, RunRecord, RunSite, ScopeLoad, Site, Twin


class Settler(Protocol):
    """The way from the lanes to the ledger: many settlements, one durable write."""

    def settle(self, lease: Lease, settlement: Settlement, events: Sequence[Event] = ()) -> None:
        """Queue a settlement; never waits, never raises. The events are told once it is durable."""
        ...

    async def mark(self, send: Send) -> None:
        """Queue that a row is about to be sent; returns once that is durable.

        Never raises. Cancelled, the row may be recorded as sent and was not.
        """
        ...

    def note_send(self, send: Send) -> None:
        """Queue when a row was sent whose `mark` is durable and out of date; never waits, never raises."""
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


class Ledger(Protocol):
    """The durable truth. Every write is whole or not at all, and durable when the call returns.

    All methods raise `LedgerError` where the store fails. Cancelling a write leaves it either done or not
    done, never half; the caller must take it for possibly done.
    """

    # --- runs -------------------------------------------------------------------------------------

    async def create_run(self, run: RunRecord) -> None:
        """Open a run in state `planning`. Not repeatable: the id must be new."""
        ...

    async def identity(self) -> str:
        """The id of this ledger and of its copies; empty if only older versions of batcher have written it."""
        ...

    async def add_rows(self, run_id: RunId, rows: Sequence[PlanRow], sites: Mapping[LaneKey, Site] = ...) -> None:
        """Record planned rows in one transaction, in ascending `row_no`. Not repeatable.

        `sites` has the site of each lane of these rows; a lane that it lacks is recorded without one.
        """
        ...

    async def sites(self, run_id: RunId) -> list[RunSite]:
        """Where a run was planned to be done: each site once, in the order of accounts and regions."""
        ...

    async def copy_rows(self, run_id: RunId, parent: RunId, selection: Selection = ALL) -> int:
        """Plan again the selected rows of `parent` that ended failed or in doubt; the number copied.

        Each keeps its row number: that of the inventory.
        """
        ...

    async def copy_made(self, run_id: RunId, parent: RunId, selection: Selection = ALL) -> int:
        """Plan the selected rows of `parent` that it has made or may have made, to be taken back; the number copied.

        Each keeps its row number, its token, the id under which it is known, who made that, and when the run was
        sending it.
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

    async def plan_drifted(self, run_id: RunId) -> None:
        """Before a surveyed run is opened: plan again what has drifted and can be put right, its thing's id kept."""
        ...

    async def drop_run(self, run_id: RunId) -> None:
        """Forget a run that is still `planning`: nothing of it can have been sent. Repeatable."""
        ...

    async def reopen(self, run_id: RunId) -> None:
        """Begin another sitting: skipped rows are planned again, unverified ones accepted, the last end forgotten."""
        ...

    async def begin_sitting(self, run_id: RunId, process: Mapping[str, object]) -> None:
        """Keep among the run's settings, under `process`, who works it from now on; forget its lanes' troubles.

        Repeatable.
        """
        ...

    async def note_troubles(self, run_id: RunId, troubles: Mapping[int, tuple[str, str]]) -> None:
        """Keep why the open rows of lanes were left in this sitting: code and message. Repeatable: the last counts."""
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

    async def owners(self) -> Mapping[RunId, str]:
        """Who holds a lane of each unfinished run, or held one when it was killed."""
        ...

    async def records(self, run_id: RunId, after: int, limit: int, without: Sequence[str] = ()) -> list[RowRecord]:
        """The next `limit` rows after `row_no`, in inventory order."""
        ...

    async def endings(self, run_id: RunId) -> list[EndingCount]:
        """How many rows of a run ended so, and which is the first: one reading of all its rows."""
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

    async def keys(self, run_id: RunId, after: bytes, limit: int) -> list[bytes]:
        """The next `limit` natural keys of a plan after one, as digests in their order; after empty bytes the first."""
        ...

    async def compare(self, older: RunId, newer: RunId) -> list[Difference]:
        """How the rows of two runs ended, by natural key, counted; rows without a key are in neither."""
        ...

    async def changed(self, older: RunId, newer: RunId) -> list[ChangedRow]:
        """Rows of both runs that did not end alike, or are asked for otherwise, in the order of the newer."""
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

    async def regenerate_rows(self, lease: Lease, rows: Sequence[tuple[ClaimedRow, float]]) -> None:
        """Record another generation of claimed rows before they are sent: each as it is from now on, and its first use.

        `sent_there` is that of a send that may still count. Raises `StaleLeaseError`.
        """
        ...

    async def plan_vanished(self, lease: Lease, numbers: Sequence[int]) -> int:
        """Plan again, under their next generation, those of the rows with these numbers that are accepted; how many.

        Their things are known to be gone. Raises `StaleLeaseError`. Repeatable.
        """
        ...

    async def skip_planned(self, lease: Lease, code: str, message: str, now: float) -> int:
        """Settle every planned row of the lane as skipped, in one write; how many. Raises `StaleLeaseError`."""
        ...

    async def settle_not_final(self, lease: Lease, code: str, message: str, now: float) -> int:
        """Settle every accepted row of the lane that has this error code as unverified, in one write; how many.

        `%s` in the message stands for the state in which the provider shows it. Raises `StaleLeaseError`.
        """
        ...

    async def scopes(self, lease: Lease) -> list[ScopeLoad]:
        """Every scope of the lane that has open rows."""
        ...

    async def numbers(self, lease: Lease, state: RowState) -> Mapping[str, Sequence[int]]:
        """The numbers of the lane's rows in a state, by scope, each in ascending order; four bytes a row."""
        ...

    async def last_claim(self, lease: Lease) -> float | None:
        """When rows of the lane were last claimed, as far as they may have been sent; None: never."""
        ...

    async def expected(self, lease: Lease) -> Mapping[str, Sequence[int]]:
        """As `numbers`, of the planned rows whose thing was there when their plan was reviewed."""
        ...

    async def rows(self, lease: Lease, numbers: Sequence[int]) -> list[LedgerRow]:
        """The lane's rows with these numbers that are not settled, in their order."""
        ...

    async def claim_these(self, lease: Lease, ids: Mapping[int, str | None], now: float) -> None:
        """As `claim`, of these rows, all of which must be planned: by number the id of what is to be deleted for each.

        A row that has no id gets it: whatever becomes of the process, that thing may be gone. Raises `StaleLeaseError`.
        """
        ...

    async def match(self, lease: Lease, keys: Sequence[NaturalKey]) -> list[LedgerRow]:
        """The lane's rows with these keys, settled ones too: the first of the inventory with each key."""
        ...

    async def rivals(self, lease: Lease, keys: Sequence[NaturalKey]) -> Mapping[NaturalKey, float]:
        """Of a run that takes another one back, by key: since when yet another run of the ledger has sent the same.

        In the provider's time; only what was sent after the run that is taken back first sent it.
        """
        ...

    async def write(
        self,
        run_id: RunId,
        batch: Sequence[tuple[Lease, Settlement]],
        calls: Mapping[tuple[str, str], int],
        limits: Sequence[Limit] = (),
        sends: Sequence[Send] = (),
    ) -> None:
        """Record first sends and settlements of a run, counted calls and named limits in one transaction.

        Each row must be in a state from which the move is legal and under the lease's epoch. Raises
        `StaleLeaseError` otherwise, and nothing of the batch is written.
        """
        ...

    async def close(self) -> None:
        """Let go of the store and its lock. Repeatable."""
        ...
