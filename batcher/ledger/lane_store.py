"""Lanes in SQLite: leases, claims and settlements; each write names the epoch and the state it expects."""

import json
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from sys import intern
from typing import Any

from batcher.errors import LedgerError, StaleLeaseError
from batcher.ledger.store import Store, statements, translated
from batcher.model import (
    CallClass,
    ClaimedRow,
    LaneKey,
    Lease,
    LedgerRow,
    Limit,
    NaturalKey,
    Outcome,
    RowState,
    RunId,
    Send,
    Settlement,
    Window,
)
from batcher.policy.row_state import may_move
from batcher.records import ScopeLoad

KEYS_MAX = 500
"""Keys in one look-up: well below SQLite's bound on parameters."""


class LaneStore:
    """The synchronous half of the ledger that deals with lanes; every method is one transaction.

    `alone` says that this process holds the ledger's lock, which proves every other owner dead.
    """

    def __init__(self, store: Store, *, alone: bool) -> None:
        self._store = store
        self._alone = alone

    def lanes(self, run_id: RunId) -> list[tuple[int, LaneKey, int]]:
        with translated(self._store.path, "read"):
            found = self._store.all("select_lanes", (self._store.run_no(run_id),))
            return [(n, LaneKey(intern(a), intern(r), p), rows) for n, a, r, p, rows in found]

    def acquire(self, run_id: RunId, lane_no: int, owner: str, now: float, ttl_s: float) -> Lease:
        with self._store.transaction():
            run_no = self._store.run_no(run_id)
            found = self._store.one("select_lease", (run_no, lane_no))
            if not found:
                raise LedgerError(f"run `{run_id}` has no lane {lane_no}")
            account, region, project_id, holder, epoch, until = found
            live = holder is not None and holder != owner and until > now
            if live and not self._alone:
                raise StaleLeaseError(f"lane {lane_no} of run `{run_id}` is worked by `{holder}`")
            numbers = {"run_no": run_no, "lane_no": lane_no, "owner": owner, "until": now + ttl_s, "epoch": epoch}
            self._store.run("take_lane", numbers)
            self._store.run("mark_unfolded", (run_no,))
            was_called = not self._store.run("note_called", (account, region, project_id))
            key = LaneKey(account, region, project_id)
            return Lease(run_id, lane_no, key, owner, epoch + 1, now + ttl_s, was_called=was_called)

    def renew(self, lease: Lease, now: float, ttl_s: float) -> Lease:
        with self._store.transaction():
            run_no = self._store.run_no(lease.run_id)
            place = (now + ttl_s, run_no, lease.lane_no, lease.epoch, lease.owner)
            if self._store.run("renew_lane", place) != 1:
                raise _taken_over(lease)
        return replace(lease, until=now + ttl_s)

    def release(self, lease: Lease) -> None:
        with self._store.transaction():
            place = (self._store.run_no(lease.run_id), lease.lane_no, lease.epoch, lease.owner)
            self._store.run("release_lane", place)

    def limits(self) -> list[Limit]:
        with translated(self._store.path, "read"):
            return [
                Limit(LaneKey(a, r, p), CallClass(call_class), Window(calls, period_s), learnt_at)
                for a, r, p, call_class, calls, period_s, learnt_at in self._store.all("select_limits")
            ]

    def _check(self, lease: Lease) -> int:
        run_no = self._store.run_no(lease.run_id)
        if self._store.one("check_lease", (run_no, lease.lane_no, lease.epoch, lease.owner)) != (1,):
            raise _taken_over(lease)
        return run_no

    def claim(self, lease: Lease, *, after: int, limit: int, now: float) -> list[ClaimedRow]:
        with self._store.transaction():
            run_no = self._check(lease)
            rows = self._claimable(run_no, lease.lane_no, RowState.PLANNED, after, limit)
            if rows:
                claimed = self._store.run("claim_rows", (now, run_no, lease.lane_no, after, rows[-1].row_no))
                if claimed != len(rows):
                    raise LedgerError(f"rows of lane {lease.lane_no} changed under their claim")
                counts = {(RowState.PLANNED, ""): -claimed, (RowState.CLAIMED, ""): claimed}
                count_rows(self._store, run_no, counts)
        return rows

    def recover(self, lease: Lease, *, after: int, limit: int) -> list[ClaimedRow]:
        with self._store.transaction():
            run_no = self._check(lease)
            return self._claimable(run_no, lease.lane_no, RowState.CLAIMED, after, limit)

    def _claimable(self, run_no: int, lane_no: int, state: RowState, after: int, limit: int) -> list[ClaimedRow]:
        numbers = {"run_no": run_no, "lane_no": lane_no, "state": state.value, "after": after, "limit": limit}
        found = self._store.all("select_claimable", numbers)
        return [_claimed_row(values) for values in found]

    def regenerate_rows(self, lease: Lease, rows: Sequence[tuple[ClaimedRow, float]]) -> None:
        with self._store.transaction():
            run_no = self._check(lease)
            for row, used_at in rows:
                place = (run_no, lease.lane_no, row.row_no, row.generation)
                values = (row.generation, row.token, used_at, row.sent_there, _text(row.sent_before), *place)
                if self._store.run("regenerate_row", values) != 1:
                    said = f"row {row.row_no} of run `{lease.run_id}` is not claimed below generation {row.generation}"
                    raise LedgerError(said)

    def plan_vanished(self, lease: Lease, numbers: Sequence[int]) -> int:
        with self._store.transaction():
            run_no = self._check(lease)
            place = {"run_no": run_no, "lane_no": lease.lane_no, "numbers": json.dumps(list(numbers))}
            gone = self._store.run("plan_vanished", place)
            count_rows(self._store, run_no, {(RowState.ACCEPTED, ""): -gone, (RowState.PLANNED, ""): gone})
            return gone

    def skip_planned(self, lease: Lease, code: str, message: str, now: float) -> int:
        with self._store.transaction():
            run_no = self._check(lease)
            skipped = self._store.run("skip_planned", (code, message, now, run_no, lease.lane_no))
            counts = {(RowState.PLANNED, ""): -skipped, (RowState.SETTLED, str(Outcome.SKIPPED)): skipped}
            count_rows(self._store, run_no, counts)
            return skipped

    def settle_not_final(self, lease: Lease, code: str, message: str, now: float) -> int:
        with self._store.transaction():
            run_no = self._check(lease)
            settled = self._store.run("settle_not_final", (message, now, run_no, lease.lane_no, code))
            counts = {(RowState.ACCEPTED, ""): -settled, (RowState.SETTLED, str(Outcome.UNVERIFIED)): settled}
            count_rows(self._store, run_no, counts)
            return settled

    def scopes(self, lease: Lease) -> list[ScopeLoad]:
        with translated(self._store.path, "read"):
            found = self._store.all("select_scopes", (self._store.run_no(lease.run_id), lease.lane_no))
            return [ScopeLoad(*values) for values in found]

    def numbers(self, lease: Lease, state: RowState) -> Mapping[str, Sequence[int]]:
        return self._numbers(lease, "select_numbers", state.value)

    def last_claim(self, lease: Lease) -> float | None:
        with translated(self._store.path, "read"):
            at = self._store.one("select_last_claim", (self._store.run_no(lease.run_id), lease.lane_no))[0]
            return None if at is None else float(at)

    def expected(self, lease: Lease) -> Mapping[str, Sequence[int]]:
        return self._numbers(lease, "select_expected")

    def _numbers(self, lease: Lease, name: str, *more: str) -> Mapping[str, Sequence[int]]:
        found: dict[str, array[int]] = {}
        with translated(self._store.path, "read"):
            place = (self._store.run_no(lease.run_id), lease.lane_no, *more)
            for scope, row_no in self._store.connection.execute(statements()[name], place):
                found.setdefault(scope, array("I")).append(row_no)
        return found

    def rows(self, lease: Lease, numbers: Sequence[int]) -> list[LedgerRow]:
        with translated(self._store.path, "read"):
            run_no = self._store.run_no(lease.run_id)
            place = {"run_no": run_no, "lane_no": lease.lane_no, "numbers": json.dumps(list(numbers))}
            return [_ledger_row(values) for values in self._store.all("select_rows", place)]

    def claim_these(self, lease: Lease, ids: Mapping[int, str | None], now: float) -> None:
        with self._store.transaction():
            run_no = self._check(lease)
            rows: list[tuple[object, ...]] = [
                (now, remote_id, run_no, lease.lane_no, row_no) for row_no, remote_id in ids.items()
            ]
            claimed = self._store.many("claim_these", rows)
            if claimed != len(ids):
                raise LedgerError(f"{len(ids) - claimed} rows of lane {lease.lane_no} were not planned")
            count_rows(self._store, run_no, {(RowState.PLANNED, ""): -claimed, (RowState.CLAIMED, ""): claimed})

    def match(self, lease: Lease, keys: Sequence[NaturalKey]) -> list[LedgerRow]:
        rows: list[LedgerRow] = []
        with translated(self._store.path, "read"):
            for found in self._by_key("match_keys", keys, self._store.run_no(lease.run_id), lease.lane_no):
                rows.extend(map(_ledger_row, found))
        return rows

    def rivals(self, lease: Lease, keys: Sequence[NaturalKey]) -> Mapping[NaturalKey, float]:
        found: dict[NaturalKey, float] = {}
        with translated(self._store.path, "read"):
            for rows in self._by_key("select_rivals", keys, self._store.run_no(lease.run_id)):
                found.update((NaturalKey(key), since) for key, since in rows)
        return found

    def _by_key(self, name: str, keys: Sequence[NaturalKey], *place: int) -> Iterator[Iterable[tuple[Any, ...]]]:
        """What a statement gives for keys, as many of them at a time as it may have parameters."""
        ordered = sorted(set(keys))
        for start in range(0, len(ordered), KEYS_MAX):
            part = ordered[start : start + KEYS_MAX]
            sql = statements()[name].format(keys=",".join("?" * len(part)))
            yield self._store.connection.execute(sql, (*place, *part))

    def write(
        self,
        run_id: RunId,
        batch: Sequence[tuple[Lease, Settlement]],
        calls: Mapping[tuple[str, str], int],
        limits: Sequence[Limit] = (),
        sends: Sequence[Send] = (),
    ) -> None:
        with self._store.transaction():
            run_no = self._store.run_no(run_id)
            leases = [*(lease for lease, _ in batch), *(send.lease for send in sends)]
            for lease in {(lease.lane_no, lease.epoch, lease.owner): lease for lease in leases}.values():
                self._check(lease)
            self._mark(run_no, sends)
            count_rows(self._store, run_no, settle_rows(self._store, run_no, batch))
            self._store.many("add_call_count", [(run_no, kind, result, n) for (kind, result), n in calls.items()])
            named: list[tuple[object, ...]] = [
                (n.lane.account, n.lane.region, n.lane.project_id, n.call_class.value, *_window(n), n.learnt_at)
                for n in limits
            ]
            self._store.many("put_limit", named)

    def _mark(self, run_no: int, sends: Sequence[Send]) -> None:
        """Note sends that are about to leave."""
        marks: list[tuple[object, ...]] = [
            (s.sent_there, s.left_there, _text(s.before), s.attempts, s.first_sent_at,
             run_no, s.lease.lane_no, s.row_no) for s in sends
        ]  # fmt: skip
        self._store.many("mark_sent", marks)


def settle_rows(store: Store, run_no: int, batch: Sequence[tuple[Lease, Settlement]]) -> Counter[tuple[RowState, str]]:
    """Move rows inside the caller's transaction; how the counters change. Raises `StaleLeaseError` if one
    of them was not in the state that its settlement expects: somebody else has moved it.
    """
    settled: list[tuple[object, ...]] = []
    put_back: list[tuple[object, ...]] = []
    for lease, s in batch:
        # The values of enums, not the enums: SQLite's adapter looks at a subclass of str for a microsecond.
        place = (run_no, lease.lane_no, s.row_no, s.expect.value)
        if s.state is RowState.PLANNED:
            put_back.append(
                (s.attempts, s.intent_at, s.first_sent_at, s.spent, s.sent_there, s.told_there, s.http_status,
                 s.error_code, s.error_message, s.request_id, *place)
            )  # fmt: skip
        else:
            settled.append(
                (s.state.value, None if s.outcome is None else s.outcome.value, s.attempts, s.remote_id,
                 s.remote_state, s.remote_enabled, s.http_status, s.error_code, s.error_message, s.request_id,
                 s.first_sent_at, s.settled_at, s.duration_ms, s.spent, s.made, s.sent_there, s.told_there, *place)
            )  # fmt: skip
    counts: Counter[tuple[RowState, str]] = Counter()
    for (expect, state, outcome), rows in Counter((s.expect, s.state, s.outcome) for _, s in batch).items():
        if expect is RowState.SETTLED or not may_move(expect, state):  # a settled row is left by `reopen` alone
            raise LedgerError(f"no move leads a row from {expect} to {state}")
        counts[(expect, "")] -= rows
        counts[(state, outcome or "")] += rows
    moved = store.many("settle_row", settled) + store.many("put_back_row", put_back)
    if moved != len(batch):
        raise StaleLeaseError(f"{len(batch) - moved} rows were not in the state that their settlement expects")
    return counts


def count_rows(store: Store, run_no: int, counts: Mapping[tuple[RowState, str], int]) -> None:
    """Change the run's counters inside the caller's transaction."""
    store.many("add_row_count", [(run_no, state, outcome, n) for (state, outcome), n in counts.items() if n])


def _window(limit: Limit) -> tuple[int, float]:
    return limit.window.calls, limit.window.period_s


def _claimed_row(values: tuple[Any, ...]) -> ClaimedRow:
    known = list(values)
    known[15] = _times(known[15])
    return ClaimedRow(*known)


def _times(text: str | None) -> tuple[tuple[float, float], ...]:
    """Pairs of times from a column; few rows have any."""
    return () if text is None else tuple((first, last) for first, last in json.loads(text))


def _text(times: Sequence[tuple[float, float]]) -> str | None:
    return json.dumps(times) if times else None


def _ledger_row(values: tuple[Any, ...]) -> LedgerRow:
    row_no, line, state, *rest = values
    made = rest[8]
    rest[8] = None if made is None else bool(made)
    rest[11] = _times(rest[11])
    return LedgerRow(row_no, line, RowState(state), *rest)


def _taken_over(lease: Lease) -> StaleLeaseError:
    return StaleLeaseError(
        f"lane {lease.lane_no} of run `{lease.run_id}` was taken over: epoch {lease.epoch} is not the newest",
        hint="another worker goes on with it; nothing of this step was recorded",
    )
