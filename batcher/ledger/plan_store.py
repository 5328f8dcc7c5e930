"""Runs and their plans in SQLite: everything that happens to a run outside its lanes."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache
from typing import Any

from batcher.errors import LedgerError, RunNotFoundError
from batcher.ledger.identity import identity_of
from batcher.ledger.lane_store import count_rows, settle_rows
from batcher.ledger.store import Parameters, Store, legible, statements, translated
from batcher.model import RUN_ID_PATTERN, LaneKey, Lease, Outcome, PlanRow, RowState, RunId, RunState, Settlement
from batcher.policy.selection import Selection
from batcher.policy.verdict import project_outcome
from batcher.records import ChangedRow, Difference, Ending, EndingCount, RowRecord, RunRecord, RunSite, Site, Twin

ROWS_MAX = 2**32 - 1
"""Rows of one run: `plan_id` keeps 32 bits for the row's number."""
NOWHERE = Site()


class PlanStore:
    """The synchronous half of the ledger that deals with runs; every method is one transaction."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lanes: dict[RunId, dict[LaneKey, int]] = {}

    def create_run(self, run: RunRecord) -> None:
        with self._store.transaction():
            self._store.run(
                "insert_run",
                {
                    "run_id": run.run_id,
                    "parent": run.parent,
                    "operation": run.operation,
                    "inventory_name": run.inventory_name,
                    "inventory_sha256": run.inventory_sha256,
                    "fingerprint": run.fingerprint,
                    "columns": json.dumps(run.columns),
                    "settings": json.dumps(run.settings),
                    "started_at": run.started_at,
                },
            )

    def identity(self) -> str:
        with translated(self._store.path, "read"), legible(self._store.path):
            return identity_of(self._store)

    def add_rows(self, run_id: RunId, rows: Sequence[PlanRow], sites: Mapping[LaneKey, Site]) -> None:
        lanes = self._lanes.setdefault(run_id, {})
        new_lanes: dict[LaneKey, int] = {}
        with self._store.transaction():
            run_no = self._store.run_no(run_id)
            plans: list[tuple[object, ...]] = []
            states: list[tuple[object, ...]] = []
            counts: Counter[tuple[RowState, str]] = Counter()
            for row in rows:
                plan_id = (run_no << 32) + row.row_no
                wish = row.wish
                if wish is None:
                    plans.append((plan_id, row.line, 0, None, None, None, row.carried))
                    outcome = Outcome.SKIPPED if row.barred else Outcome.INVALID
                    code = "BATCHER.ProjectUnknown" if row.barred else "BATCHER.Invalid"
                    states.append((run_no, 0, row.row_no, "settled", str(outcome), None, 0, code, row.why))
                    counts[(RowState.SETTLED, outcome)] += 1
                    continue
                lane_no = lanes.get(wish.lane) or new_lanes.setdefault(wish.lane, len(lanes) + len(new_lanes) + 1)
                plans.append((plan_id, row.line, lane_no, wish.scope, wish.key, wish.spec, row.carried))
                states.append((run_no, lane_no, row.row_no, "planned", None, wish.token, 0, "", ""))
                counts[(RowState.PLANNED, "")] += 1
            places: list[tuple[object, ...]] = [
                (run_no, number, lane.account, lane.region, lane.project_id, *sites.get(lane, NOWHERE))
                for lane, number in new_lanes.items()
            ]
            self._store.many("insert_lane", places)
            self._store.many("insert_plan", plans)
            self._store.many("insert_row", states)
            count_rows(self._store, run_no, counts)
        lanes.update(new_lanes)

    def copy_rows(self, run_id: RunId, parent: RunId, selection: Selection) -> int:
        with self._store.transaction():
            run_no, parent_no = self._store.run_no(run_id), self._store.run_no(parent)
            self._store.run("copy_lanes", {"run_no": run_no, "parent_no": parent_no})
            copied = 0
            for page in _pages(self._store, "select_retried", {"run_no": parent_no, **asdict(selection)}):
                plans: list[tuple[object, ...]] = []
                states: list[tuple[object, ...]] = []
                for row_no, line, lane_no, scope, key, spec, carried, token, generation in page:
                    copied += 1
                    plans.append(((run_no << 32) + row_no, line, lane_no, scope, key, spec, carried))
                    states.append((run_no, lane_no, row_no, "planned", None, token, generation, "", ""))
                self._store.many("insert_plan", plans)
                self._store.many("insert_row", states)
            count_rows(self._store, run_no, {(RowState.PLANNED, ""): copied})
        return copied

    def copy_made(self, run_id: RunId, parent: RunId, selection: Selection) -> int:
        with self._store.transaction():
            run_no, parent_no = self._store.run_no(run_id), self._store.run_no(parent)
            self._store.run("copy_lanes", {"run_no": run_no, "parent_no": parent_no})
            copied = 0
            for page in _pages(self._store, "select_made", {"run_no": parent_no, **asdict(selection)}):
                plans: list[tuple[object, ...]] = []
                states: list[tuple[object, ...]] = []
                for row_no, line, lane_no, scope, key, spec, carried, *known in page:
                    copied += 1
                    plans.append(((run_no << 32) + row_no, line, lane_no, scope, key, spec, carried))
                    states.append((run_no, lane_no, row_no, *known))
                self._store.many("insert_plan", plans)
                self._store.many("insert_made_row", states)
            count_rows(self._store, run_no, {(RowState.PLANNED, ""): copied})
        return copied

    def sites(self, run_id: RunId) -> list[RunSite]:
        with translated(self._store.path, "read"):
            found = self._store.all("select_sites", (self._store.run_no(run_id),))
            return [RunSite(account, region, Site(*site)) for account, region, *site in found]

    def index_keys(self, run_id: RunId) -> int:
        self._lanes.pop(run_id, None)  # the plan is whole: nobody adds to it any more
        with self._store.transaction():
            run_no = self._store.run_no(run_id)
            self._store.run("index_keys", {"run_no": run_no})
            for (older,) in self._store.all("select_unfolded"):
                self._fold(older)
            return int(self._store.one("count_twins", {"run_no": run_no})[0])

    def _fold(self, run_no: int) -> None:
        self._store.run("fold", (run_no,))
        self._store.run("mark_folded", (run_no,))

    def twins(self, run_id: RunId, after: int, limit: int) -> list[Twin]:
        with translated(self._store.path, "read"):
            run_no = self._store.run_no(run_id)
            found = self._store.all("select_twins", {"run_no": run_no, "after": after, "limit": limit})
            return [Twin(*values) for values in found]

    def settle_plan(self, run_id: RunId, settlements: Sequence[tuple[int, Settlement]]) -> None:
        with self._store.transaction():
            run_no = self._store.run_no(run_id)
            no_lane = LaneKey("", "", "")
            counts = settle_rows(
                self._store, run_no, [(Lease(run_id, lane, no_lane, "", 0, 0.0), s) for lane, s in settlements]
            )
            count_rows(self._store, run_no, counts)

    def open_run(self, run_id: RunId, columns: Sequence[tuple[str, str]], found: Mapping[str, object]) -> None:
        with self._store.transaction():
            run_no = self._store.run_no(run_id)
            values = {"run_no": run_no, "columns": json.dumps(columns), "found": json.dumps(found)}
            if self._store.run("open_run", values) != 1:
                raise LedgerError(f"run `{run_id}` is not being planned")

    def plan_drifted(self, run_id: RunId) -> None:
        with self._store.transaction():
            run_no = self._store.run_no(run_id)
            again = self._store.run("plan_drifted", (run_no,))
            counts = {(RowState.PLANNED, ""): again, (RowState.SETTLED, str(Outcome.DRIFTED)): -again}
            count_rows(self._store, run_no, counts)

    def drop_run(self, run_id: RunId) -> None:
        with self._store.transaction():
            try:
                numbers = {"run_no": self._store.run_no(run_id)}
            except RunNotFoundError:
                return
            if self._store.run("drop_run", numbers):
                for name in ("drop_plan", "drop_rows", "drop_keys", "drop_lanes", "drop_counts", "drop_calls"):
                    self._store.run(name, numbers)
                self._store.forget(run_id)
                self._lanes.pop(run_id, None)

    def reopen(self, run_id: RunId) -> None:
        with self._store.transaction():
            run_no = self._store.run_no(run_id)
            again = self._store.run("reopen_rows", (run_no,))
            followed = self._store.run("reopen_not_final", (run_no,))
            self._store.run("reopen_run", (run_no,))
            counts = {(RowState.PLANNED, ""): again, (RowState.SETTLED, str(Outcome.SKIPPED)): -again}
            counts |= {(RowState.ACCEPTED, ""): followed, (RowState.SETTLED, str(Outcome.UNVERIFIED)): -followed}
            count_rows(self._store, run_no, counts)

    def begin_sitting(self, run_id: RunId, process: Mapping[str, object]) -> None:
        with self._store.transaction():
            values = {"run_no": self._store.run_no(run_id), "process": json.dumps(process)}
            self._store.run("begin_sitting", values)
            self._store.run("delete_troubles", (values["run_no"],))

    def note_troubles(self, run_id: RunId, troubles: Mapping[int, tuple[str, str]]) -> None:
        with self._store.transaction():
            run_no = self._store.run_no(run_id)
            for lane_no, (code, message) in troubles.items():
                self._store.run("insert_trouble", (run_no, lane_no, code, message))

    def end_sitting(
        self,
        run_id: RunId,
        *,
        ended_at: float,
        stop_code: str,
        stop_message: str,
        exit_code: int,
        rates: Mapping[str, object],
    ) -> None:
        with self._store.transaction():
            run_no = self._store.run_no(run_id)
            counts = self._store.all("select_row_counts", (run_no,))
            is_open = any(state != RowState.SETTLED for state, _, _ in counts)
            self._store.run(
                "end_sitting",
                {
                    "run_no": run_no,
                    "state": RunState.OPEN if is_open else RunState.FINISHED,
                    "ended_at": ended_at,
                    "stop_code": stop_code,
                    "stop_message": stop_message,
                    "exit_code": exit_code,
                    "rates": json.dumps(rates),
                },
            )
            self._fold(run_no)

    def runs(self) -> list[RunRecord]:
        with translated(self._store.path, "read"):
            changes = self._changes()
            return [self._record(values, changes) for values in self._store.all("select_runs")]

    def owners(self) -> dict[RunId, str]:
        with translated(self._store.path, "read"):
            return {RunId(run_id): owner for run_id, owner in self._store.all("select_owners")}

    def run(self, run_id: RunId) -> RunRecord:
        with translated(self._store.path, "read"):
            return self._record(self._store.one("select_run", (self._store.run_no(run_id),)), self._changes())

    def _changes(self) -> Mapping[int, list[tuple[float, str, str]]]:
        """The changes of each run that has any: few, and without an index."""
        found: dict[int, list[tuple[float, str, str]]] = {}
        for run_no, at, action, value in self._store.all("select_changes"):
            found.setdefault(run_no, []).append((at, action, value))
        return found

    def _record(self, values: tuple[Any, ...], changes: Mapping[int, list[tuple[float, str, str]]]) -> RunRecord:
        with legible(self._store.path):
            return self._run_record(values, changes)

    def _run_record(self, values: tuple[Any, ...], changes: Mapping[int, list[tuple[float, str, str]]]) -> RunRecord:
        (run_no, run_id, parent, state, operation, name, sha256, fingerprint, columns, settings, rates) = values[:11]
        started_at, ended_at, stop_code, stop_message, exit_code = values[11:]
        if not RUN_ID_PATTERN.fullmatch(run_id):
            raise ValueError(f"{run_id[:80]!r} is no run's id")
        counts = self._store.all("select_row_counts", (run_no,))
        calls = self._store.all("select_call_counts", (run_no,))
        return RunRecord(
            run_id=RunId(run_id),
            parent=None if parent is None else RunId(parent),
            state=RunState(state),
            operation=operation,
            inventory_name=name,
            inventory_sha256=sha256,
            fingerprint=fingerprint,
            columns=tuple((a, b) for a, b in json.loads(columns)),
            settings=json.loads(settings),
            started_at=started_at,
            ended_at=None if ended_at is None else ended_at,
            stop_code=stop_code,
            stop_message=stop_message,
            exit_code=None if exit_code is None else exit_code,
            counts={(RowState(s), o): n for s, o, n in counts},
            calls={(k, r): n for k, r, n in calls},
            rates=json.loads(rates),
            changes=tuple(changes.get(run_no, ())),
        )

    def records(self, run_id: RunId, after: int, limit: int, without: Sequence[str] = ()) -> list[RowRecord]:
        with translated(self._store.path, "read"):
            run_no = self._store.run_no(run_id)
            bounds = {"run_no": run_no, "after": after, "limit": limit, "without": json.dumps(list(without))}
            found = self._store.all("select_records", bounds)
            with legible(self._store.path):
                return [_row_record(values) for values in found]

    def endings(self, run_id: RunId) -> list[EndingCount]:
        with translated(self._store.path, "read"):
            found = self._store.all("count_endings", (self._store.run_no(run_id),))
            with legible(self._store.path):
                return [EndingCount(_STATES[state], _OUTCOMES[outcome], *rest) for state, outcome, *rest in found]

    def note_change(self, run_id: RunId, at: float, action: str, value: str) -> None:
        with self._store.transaction():
            self._store.run("insert_change", (self._store.run_no(run_id), at, action, value))

    def has_history(self) -> bool:
        with translated(self._store.path, "read"):
            return bool(self._store.one("has_history")[0])

    def changes(self, older: RunId, newer: RunId) -> tuple[int, int, int]:
        with translated(self._store.path, "read"):
            numbers = {"older": self._store.run_no(older), "newer": self._store.run_no(newer)}
            new, changed, gone = self._store.one("count_changes", numbers)
            return new, changed, gone

    def keys(self, run_id: RunId, after: bytes, limit: int) -> list[bytes]:
        with translated(self._store.path, "read"):
            bounds = {"run_no": self._store.run_no(run_id), "after": after, "limit": limit}
            return [key for (key,) in self._store.all("select_keys", bounds)]

    def compare(self, older: RunId, newer: RunId) -> list[Difference]:
        with translated(self._store.path, "read"):
            numbers = {"older": self._store.run_no(older), "newer": self._store.run_no(newer)}
            return [
                Difference(_ending(*values[:3]), _ending(*values[3:6]), bool(values[6]), values[7])
                for values in self._store.all("compare_runs", numbers)
            ]

    def changed(self, older: RunId, newer: RunId) -> list[ChangedRow]:
        with translated(self._store.path, "read"):
            numbers = {"older": self._store.run_no(older), "newer": self._store.run_no(newer)}
            return [
                ChangedRow(values[1], values[2], _ending(*values[3:6]), _ending(*values[6:9]), values[9])
                for values in self._store.all("select_changed", numbers)
            ]


def _ending(state: str | None, outcome: str | None, code: str | None) -> Ending | None:
    if state is None:
        return None
    projected = project_outcome(_STATES[state], _OUTCOMES[outcome])
    return Ending(projected, code or "")


_STATES = {str(state): state for state in RowState}
_OUTCOMES: dict[str | None, Outcome | None] = {None: None, **{str(outcome): outcome for outcome in Outcome}}


_lane_key = lru_cache(maxsize=4096)(LaneKey)


def _row_record(values: tuple[Any, ...]) -> RowRecord:
    row_no, line, account, region, project_id, spec, carried, state, outcome, *rest = values
    lane = None if account is None else _lane_key(account, region, project_id)
    enabled = rest[5]
    rest[5] = None if enabled is None else bool(enabled)
    rest[-2:] = [text or "" for text in rest[-2:]]
    return RowRecord(row_no, line, lane, spec, carried, _STATES[state], _OUTCOMES[outcome], *rest)


def _pages(store: Store, name: str, parameters: Parameters) -> Iterable[list[tuple[Any, ...]]]:
    """A query's rows a few thousand at a time, on a cursor of its own."""
    cursor = store.connection.execute(statements()[name], parameters)
    while page := cursor.fetchmany(2000):
        yield page
