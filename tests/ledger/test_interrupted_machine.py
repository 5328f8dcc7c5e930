"""The ledger's machine, and what else may happen to a ledger between two steps of it.

Calls are cancelled before and after their transaction has begun: then they are not done, or done, and never half.
Another program holds the file: every write is refused and nothing of it is there. Workers that lost their lane try
every write that there is. And runs are made of runs (`retry`, `undo`), what was taken vanishes, plans are dropped,
limits are named, and each lane is told when its place was last called.

`python -m tests.ledger.long_machine 2000` runs this and the other machines for longer.
"""

import asyncio
import dataclasses
import sqlite3
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from batcher.errors import LedgerError, StaleLeaseError
from batcher.model import (
    CallClass,
    LaneKey,
    Lease,
    LedgerRow,
    Limit,
    NaturalKey,
    Outcome,
    RowState,
    RunId,
    Window,
)
from tests.ledger.book import COLUMNS, NORTH, SOUTH, TTL_S, accepted, end, key_of, next_row, row, run_record, settled
from tests.ledger.machines import live
from tests.ledger.test_ledger_machine import KINDS, PICK, PLANS, RUNS_MAX, BookRow, BookRun, LedgerMachine

SCOPE = "er-1"
MADE = frozenset({Outcome.CREATED, Outcome.IN_DOUBT})
FOUND = frozenset({Outcome.FAILED, Outcome.DRIFTED})
"""What ended so was made by the run only if that is known."""

Work = Callable[[], Coroutine[Any, Any, Any]]


class InterruptedMachine(LedgerMachine):
    """The ledger and its book under interruptions."""

    def __init__(self) -> None:
        self.limits: dict[tuple[LaneKey, CallClass], Limit] = {}
        self.places: set[LaneKey] = set()
        super().__init__()

    # --- who else is there ----------------------------------------------------------------------------

    @contextmanager
    def held_by_another_program(self) -> Iterator[sqlite3.Connection]:
        """A program that holds the file for writing."""
        with closing(sqlite3.connect(self.ledger._path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield other

    def on_connection(self, name: str, *arguments: Any) -> None:
        """Call a method of the ledger's connection in its thread, after all that was asked of that before."""

        def call() -> None:
            getattr(self.ledger._store.connection, name)(*arguments)

        self.do(self.ledger._call(call))

    def cancel(self, work: Work, *, begun: bool) -> None:
        """Cancel a call: once its transaction has `begun`, or before."""
        began = threading.Event()
        if begun:
            self.on_connection("set_trace_callback", lambda _: began.set())
            with self.held_by_another_program():
                self.do(self._cancelled(work, began.is_set))
            self.on_connection("set_trace_callback", None)
        else:
            gate = threading.Event()
            self.ledger._thread.submit(gate.wait)
            self.do(self._cancelled(work, lambda: True))
            gate.set()

    async def _cancelled(self, work: Work, is_due: Callable[[], bool]) -> None:
        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        while not is_due():
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    # --- rules: cancelled calls -----------------------------------------------------------------------

    @precondition(LedgerMachine.has_leases)
    @rule(pick=PICK, begun=st.booleans())
    def a_claim_is_cancelled(self, pick: int, begun: bool) -> None:
        run, lease = self.lease_of(pick)
        lines = run.of(lease, RowState.PLANNED)[:3]
        now = self.tick()
        self.cancel(lambda: self.ledger.claim(lease, after=0, limit=3, now=now), begun=begun)
        self.note_claimed(lines if begun else [])

    @precondition(LedgerMachine.has_leases)
    @rule(pick=PICK, begun=st.booleans(), kinds=st.lists(KINDS, max_size=4), sends=st.integers(0, 4))
    def a_write_is_cancelled(self, pick: int, begun: bool, kinds: list[str], sends: int) -> None:
        run, lease = self.lease_of(pick)
        self.tick()
        lines = run.of(lease, RowState.CLAIMED, RowState.ACCEPTED)[: len(kinds)]
        known = [self.settlement(line, kind) for line, kind in zip(lines, kinds, strict=False)]
        batch, calls = [(lease, each) for each in known], {("create", "202"): 1}
        going = self.sends(run, lease, sends)
        self.cancel(lambda: self.ledger.write(run.run_id, batch, calls, (), going), begun=begun)
        if begun:
            run.calls.update(calls)
            self.note_sent(run, lease, going)
            self.note_settled(lines, known)

    @precondition(LedgerMachine.has_leases)
    @rule(pick=PICK, begun=st.booleans())
    def a_new_generation_is_cancelled(self, pick: int, begun: bool) -> None:
        run, lease = self.lease_of(pick)
        now = self.tick()
        for line in run.of(lease, RowState.CLAIMED)[:1]:
            due = max(self.told(line)[0], line.generation + 1)
            row = next_row(line.row_no, due, name=line.name, sent_before=line.sent_before)
            work = self.ledger.regenerate_rows(lease, [(row, now)])
            self.cancel(lambda work=work: work, begun=begun)  # type: ignore[misc]
            if begun:
                self.note_regenerated(line, row, now)

    @rule(pick=PICK, begun=st.booleans())
    def a_take_over_is_cancelled(self, pick: int, begun: bool) -> None:
        """Nobody has the lease then; the lane can be taken again."""
        run = self.run_of(pick)
        lane_no, now = 1 + pick % len(run.lanes), self.tick()
        self.cancel(lambda: self.ledger.acquire_lane(run.run_id, lane_no, "three", now, TTL_S), begun=begun)
        if begun:
            run.epochs[lane_no] = run.epochs.get(lane_no, 0) + 1
            run.folded = False
            if lane_no in run.leases:
                run.stale.append(run.leases.pop(lane_no))
            self.places.add(run.lanes[lane_no])

    # --- rules: another program -----------------------------------------------------------------------

    @precondition(LedgerMachine.has_leases)
    @rule(pick=PICK)
    def another_program_holds_the_file(self, pick: int) -> None:
        run, lease = self.lease_of(pick)
        now = self.tick()
        claimed, planned = run.of(lease, RowState.CLAIMED), run.of(lease, RowState.PLANNED)
        ledger, run_id = self.ledger, run.run_id
        works: list[Coroutine[Any, Any, Any]] = [
            ledger.claim(lease, after=0, limit=9, now=now),
            ledger.claim_these(lease, dict.fromkeys(line.row_no for line in planned), now),
            ledger.recover(lease, after=0, limit=9),
            ledger.skip_planned(lease, "BATCHER.LaneStopped", "no", now),
            ledger.plan_vanished(lease, [line.row_no for line in run.rows]),
            ledger.regenerate_rows(lease, [(next_row(line.row_no, 99), now) for line in claimed]),
            ledger.write(run_id, [(lease, settled(line.row_no)) for line in claimed], {("create", "202"): 1}),
            ledger.write(run_id, [], {}, (), self.sends(run, lease, 4)),
            ledger.renew_lane(lease, now, TTL_S),
            ledger.release_lane(lease),
            ledger.acquire_lane(run_id, lease.lane_no, "two", now, TTL_S),
            ledger.reopen(run_id),
            ledger.create_run(run_record("never")),
            ledger.note_change(run_id, now, "rate", "1/s"),
            end(ledger, run_id),
        ]
        self.on_connection("execute", "PRAGMA busy_timeout = 0")
        with self.held_by_another_program():
            for work in works:
                with pytest.raises(LedgerError, match="BUSY") as raised:
                    self.do(work)
                assert not isinstance(raised.value, StaleLeaseError)
                assert "another program" in raised.value.hint
        self.on_connection("execute", "PRAGMA busy_timeout = 10000")
        assert self.do(self.ledger.renew_lane(lease, now, TTL_S)).until == now + TTL_S

    # --- rules: the writes that the machine lacks -----------------------------------------------------

    @precondition(LedgerMachine.has_leases)
    @rule(pick=PICK)
    def claim_these(self, pick: int) -> None:
        run, lease = self.lease_of(pick)
        planned, others = run.of(lease, RowState.PLANNED)[::2], run.of(lease, RowState.CLAIMED, RowState.SETTLED)
        now = self.tick()
        if others:
            with pytest.raises(LedgerError):
                self.do(self.ledger.claim_these(lease, dict.fromkeys(line.row_no for line in [*planned, *others]), now))
        self.do(self.ledger.claim_these(lease, dict.fromkeys(line.row_no for line in planned), now))
        self.note_claimed(planned)

    @precondition(LedgerMachine.has_leases)
    @rule(pick=PICK, seen=st.integers(0, 2))
    def what_was_taken_vanishes(self, pick: int, seen: int) -> None:
        self.vanish_in(*self.lease_of(pick), seen)

    def vanish_in(self, run: BookRun, lease: Lease, seen: int) -> None:
        """All but the first that were taken; the numbers of rows that were not, or are of another lane, say nothing."""
        gone = run.of(lease, RowState.ACCEPTED)[seen:]
        still = {line.row_no for line in run.of(lease, RowState.ACCEPTED)[:seen]}
        numbers = [line.row_no for line in run.rows if line.row_no not in still]
        assert self.do(self.ledger.plan_vanished(lease, [])) == 0
        assert self.do(self.ledger.plan_vanished(lease, [*numbers, 10**6])) == len(gone)
        for line in gone:
            line.state, line.spent, line.remote_id, line.made = RowState.PLANNED, True, None, None

    @precondition(LedgerMachine.has_leases)
    @rule(pick=PICK)
    def look_at_a_lane(self, pick: int) -> None:
        """What is read of a lane says what the book says."""
        run, lease = self.lease_of(pick)
        for state in (RowState.PLANNED, RowState.CLAIMED, RowState.ACCEPTED):
            numbers = [line.row_no for line in run.of(lease, state)]
            found = self.do(self.ledger.numbers(lease, state))
            assert {scope: list(each) for scope, each in found.items()} == ({SCOPE: numbers} if numbers else {})
            shown = self.do(self.ledger.rows(lease, numbers))
            lines = run.of(lease, state)
            assert [self.shown(r) for r in shown] == [self.expected(line) for line in lines]
        firsts: dict[str, BookRow] = {}
        for line in run.rows:
            if line.lane == lease.lane:
                firsts.setdefault(line.name, line)
        matched = self.do(self.ledger.match(lease, [key_of(name, lease.lane) for name in "abc"]))
        assert sorted(self.shown(r) for r in matched) == sorted(self.expected(line) for line in firsts.values())

    def shown(self, found: LedgerRow) -> tuple[Any, ...]:
        """What the ledger says of a row to whoever compares it with a listing."""
        sends = (found.sent_there, found.told_there, found.sent_before)
        known = (found.remote_id, found.made, found.deleted_id, found.leaving_id, found.known_id)
        return (found.row_no, found.state, found.intent_at, *sends, *known)

    def expected(self, line: BookRow) -> tuple[Any, ...]:
        """What the book says of it."""
        known = self.known.get((line.lane, line.name))
        ids = (known.deleted_id, known.leaving_id, known.remote_id) if known else (None, None, None)
        sends = (line.sent_there, line.told_there, line.sent_before)
        return (line.row_no, line.state, line.intent_at, *sends, line.remote_id, line.made, *ids)

    @precondition(lambda self: any(run.operation == "undo" and run.leases for run in self.runs))
    @rule(pick=PICK)
    def look_for_rivals(self, pick: int) -> None:
        """Who else sent the same after the run that is taken back first did."""
        undos = [(run, lease) for run, lease in self.leases() if run.operation == "undo"]
        run, lease = undos[pick % len(undos)]
        parent = next(each for each in self.runs if each.run_id == run.parent)
        others = [each for each in self.runs if each is not parent and each.operation != "undo"]
        since: dict[NaturalKey, float] = {}
        for line in {(line.lane, line.name): line for line in parent.rows[::-1]}.values():
            began = self.first_sent(line)
            sent = [self.first_sent(other) for each in others if (other := self.first_of(each, line)) is not None]
            later = [at for at in sent if at is not None and began is not None and at > began]
            if later:
                since[key_of(line.name, line.lane)] = min(later)
        keys = [key_of(name, lane) for name in "abc" for lane in (NORTH, SOUTH)]
        assert self.do(self.ledger.rivals(lease, keys)) == since

    @precondition(LedgerMachine.has_leases)
    @rule(pick=PICK, call_class=st.sampled_from(CallClass), calls=st.integers(1, 9))
    def a_limit_is_named(self, pick: int, call_class: CallClass, calls: int) -> None:
        run, lease = self.lease_of(pick)
        limit = Limit(lease.lane, call_class, Window(calls, 60.0), self.tick())
        self.do(self.ledger.write(run.run_id, [], {}, [limit]))
        self.limits[lease.lane, call_class] = limit
        assert {(each.lane, each.call_class): each for each in self.do(self.ledger.limits())} == self.limits

    @rule(plan=PLANS)
    def a_plan_is_dropped(self, plan: list[tuple[str, LaneKey]]) -> None:
        run = run_record("dropped", started_at=self.tick())
        self.do(self.ledger.create_run(run))
        self.do(self.ledger.add_rows(run.run_id, [row(n, key, lane=lane) for n, (key, lane) in enumerate(plan, 1)]))
        self.do(self.ledger.drop_run(run.run_id))

    # --- rules: runs of runs --------------------------------------------------------------------------

    @precondition(lambda self: len(self.runs) < RUNS_MAX)
    @rule(pick=PICK)
    def retry(self, pick: int) -> None:
        parent = self.run_of(pick)
        lines = [line for line in parent.rows if line.outcome in (Outcome.FAILED, Outcome.IN_DOUBT)]
        rows = [BookRow(line.row_no, line.name, line.lane, generation=line.generation) for line in lines]
        self.follow(parent, "flow_log", rows)

    @precondition(lambda self: len(self.runs) < RUNS_MAX and self.runs[0].operation == "flow_log")
    @rule(pick=PICK)
    def undo(self, pick: int) -> None:
        parents = [run for run in self.runs if run.operation != "undo"]
        parent = parents[pick % len(parents)]
        self.follow(parent, "undo", self.made(parent))

    def made(self, parent: BookRun) -> list[BookRow]:
        """What an undo of a run is about, and what is known of when and by whom each was made."""
        found: list[BookRow] = []
        for line in parent.rows:
            is_open = line.state in (RowState.CLAIMED, RowState.ACCEPTED)
            is_found = line.outcome in FOUND and line.made is True
            if line.made is False or not (is_open or is_found or line.outcome in MADE):
                continue
            moments = [each for each in (line.intent_at, line.first_sent_at) if each is not None]
            taken = dataclasses.replace(
                BookRow(line.row_no, line.name, line.lane, generation=line.generation, remote_id=line.remote_id),
                made=line.made,
                sent_there=line.sent_there,
                told_there=line.told_there,
                sent_before=line.sent_before,
                intent_at=min(moments) if moments else None,
            )
            found.append(taken)
        return found

    def first_sent(self, line: BookRow) -> float | None:
        """When the first of all processes first sent a row."""
        return line.sent_before[0][0] if line.sent_before else line.sent_there

    def first_of(self, run: BookRun, line: BookRow) -> BookRow | None:
        """The first row of a run with the key of another one's."""
        return next((each for each in run.rows if (each.lane, each.name) == (line.lane, line.name)), None)

    def follow(self, parent: BookRun, operation: str, rows: list[BookRow]) -> None:
        """Plan a run of another one's rows."""
        name = RunId(f"run-{len(self.runs)}")
        record = run_record(name, started_at=self.tick(), parent=parent.run_id)
        self.do(self.ledger.create_run(dataclasses.replace(record, operation=operation)))
        copy = self.ledger.copy_made if operation == "undo" else self.ledger.copy_rows
        assert self.do(copy(name, parent.run_id)) == len(rows)
        self.do(self.ledger.index_keys(name))
        self.do(self.ledger.open_run(name, COLUMNS, {}))
        for older in self.runs:
            if not older.folded:
                self.fold(older)
        run = BookRun(name, rows, record.started_at, operation, parent.run_id, lanes=dict(parent.lanes))
        self.runs.append(run)
        for lane_no in run.lanes:
            self.take(run, lane_no, "one")

    @precondition(lambda self: any(run.operation == "undo" and run.leases for run in self.runs))
    @rule(pick=PICK, ends=st.booleans())
    def what_an_undo_deletes_is_gone(self, pick: int, ends: bool) -> None:
        found = [(run, lease) for run, lease in self.leases() if run.operation == "undo"]
        run, lease = found[pick % len(found)]
        self.delete_in(run, lease)
        if ends:
            self.end_sitting(self.runs.index(run))

    def delete_in(self, run: BookRun, lease: Lease) -> None:
        lines, now = run.of(lease, RowState.PLANNED), self.tick()
        self.do(self.ledger.claim_these(lease, dict.fromkeys(line.row_no for line in lines), now))
        self.note_claimed(lines)
        known = [
            settled(
                line.row_no,
                Outcome.DELETED,
                remote_id=line.remote_id,
                spent=line.remote_id is not None,
                first_sent_at=now,
                settled_at=now,
                attempts=line.attempts + 1,
            )
            for line in lines
        ]
        self.do(self.ledger.write(run.run_id, [(lease, each) for each in known], {}))
        self.note_settled(lines, known)

    # --- rules: whole nights, which single steps seldom come to ----------------------------------------

    @precondition(lambda self: len(self.runs) < RUNS_MAX)
    @rule(
        plan=PLANS,
        is_taken=st.booleans(),
        then=st.sampled_from(["nothing", "claimed", "settled", "the undo ends"]),
    )
    def an_undo_is_killed(self, plan: list[tuple[str, LaneKey]], is_taken: bool, then: str) -> None:
        """Its deletes were sent and are not seen to have worked; then another run of the same comes, or it goes on."""
        self.plan(plan)
        parent = self.runs[-1]
        self.work_through(parent, ["created"] * 5)
        if len(self.runs) == RUNS_MAX:
            return
        self.follow(parent, "undo", self.made(parent))
        undo = self.runs[-1]
        for lease in undo.leases.values():
            self.claim_in(undo, lease, limit=9, after=0)
            lines = undo.of(lease, RowState.CLAIMED) if is_taken else []
            batch = [
                accepted(line.row_no, line.remote_id or "", first_sent_at=self.tick(), attempts=line.attempts + 1)
                for line in lines
            ]
            self.do(self.ledger.write(undo.run_id, [(lease, each) for each in batch], {}))
            self.note_settled(lines, batch)
        if then == "the undo ends":
            self.end_sitting(len(self.runs) - 1)
        elif then != "nothing" and len(self.runs) < RUNS_MAX:
            self.plan(plan)
            self.work_through(self.runs[-1], ["there"] * 5 if then == "settled" else [])

    def work_through(self, run: BookRun, kinds: list[str], sends: int = 0) -> None:
        """Claim all of a run's rows, send some, and settle as many as there are kinds."""
        for lease in list(run.leases.values()):
            self.claim_in(run, lease, limit=9, after=0)
            self.settle_in(run, lease, [], has_call=False, sends=sends)
            self.settle_in(run, lease, kinds, has_call=True)

    @precondition(lambda self: len(self.runs) < RUNS_MAX)
    @rule(
        plan=PLANS,
        kinds=st.lists(KINDS, max_size=4),
        sends=st.integers(0, 4),
        another=st.booleans(),
        again=st.booleans(),
    )
    def a_night_is_taken_back(
        self, plan: list[tuple[str, LaneKey]], kinds: list[str], sends: int, another: bool, again: bool
    ) -> None:
        """With `another` run of the same between, or the same once more `again` afterwards."""
        self.plan(plan)
        parent = self.runs[-1]
        self.work_through(parent, kinds, sends)
        if another:
            self.plan(plan)
            self.work_through(self.runs[-1], [], sends)
        self.follow(parent, "undo", self.made(parent))
        undo = self.runs[-1]
        for lease in undo.leases.values():
            self.delete_in(undo, lease)
        self.end_sitting(len(self.runs) - 1)
        if again:
            self.plan(plan)
            self.work_through(self.runs[-1], [])

    @precondition(lambda self: len(self.runs) < RUNS_MAX)
    @rule(plan=PLANS, seen=st.integers(0, 2))
    def a_night_is_lost(self, plan: list[tuple[str, LaneKey]], seen: int) -> None:
        """What the provider took is not there in the morning, and is claimed once more."""
        self.plan(plan)
        run = self.runs[-1]
        self.work_through(run, ["accepted"] * 5)
        for lease in list(run.leases.values()):
            self.vanish_in(run, lease, seen)
        self.work_through(run, [])

    @precondition(lambda self: len(self.runs) < RUNS_MAX)
    @rule(plan=PLANS)
    def a_night_with_a_wrong_batch(self, plan: list[tuple[str, LaneKey]]) -> None:
        """One row is claimed, and the batch has another one, too."""
        self.plan(plan)
        run = self.runs[-1]
        for lease in list(run.leases.values()):
            self.claim_in(run, lease, limit=1, after=0)
            wrong = run.of(lease, RowState.PLANNED)
            batch = [(lease, settled(line.row_no)) for line in (*run.of(lease, RowState.CLAIMED), *wrong[:1])]
            if wrong:
                with pytest.raises(StaleLeaseError):
                    self.do(self.ledger.write(run.run_id, batch, {("create", "202"): 1}))

    # --- leases, as the machine has them and more -----------------------------------------------------

    def take(self, run: BookRun, lane_no: int, owner: str) -> None:
        lane = run.lanes[lane_no]
        super().take(run, lane_no, owner)
        assert run.leases[lane_no].was_called == (lane in self.places)
        self.places.add(lane)

    def write_stale(self, run: BookRun, lease: Lease) -> None:
        super().write_stale(run, lease)
        planned = [line.row_no for line in run.of(lease, RowState.PLANNED)]
        for work in (
            self.ledger.claim_these(lease, dict.fromkeys(planned), self.now),
            self.ledger.plan_vanished(lease, [line.row_no for line in run.rows]),
        ):
            with pytest.raises(StaleLeaseError):
                self.do(work)
        self.do(self.ledger.release_lane(lease))  # gives nothing back: it is not its own any more
        if lease.lane_no in run.leases:
            self.do(self.ledger.renew_lane(run.leases[lease.lane_no], self.now, TTL_S))


@pytest.mark.timeout(120)
def test_the_ledger_keeps_the_book_whatever_interrupts_it() -> None:
    live(InterruptedMachine, 60)
