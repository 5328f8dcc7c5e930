"""The ledger against a plain Python book of the same events, in any order that Hypothesis can think of.

What happens: runs are planned over keys that they share, lanes are taken and taken over, rows are claimed, sent,
settled, put back, given a next generation and skipped; stale workers write; batches name a wrong state; sittings end
and runs are opened again; the process is killed, and the next one opens what the disk has. After each step the ledger's
rows and counters are those of the book, and so is what is on record of sends and of who made what, and what is known of
each key; whoever claims a row is told what the book knows of its key.
"""

import asyncio
import json
import shutil
import sqlite3
import tempfile
from collections import Counter
from contextlib import closing
from dataclasses import astuple, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from batcher.errors import LedgerError, StaleLeaseError
from batcher.ledger.sqlite import SqliteLedger
from batcher.model import ClaimedRow, LaneKey, Lease, Outcome, RowState, RunId, RunState, Send, Settlement
from tests.ledger.book import (
    NORTH,
    SOUTH,
    T0,
    THERE_S,
    TTL_S,
    Times,
    everything,
    key_of,
    next_row,
    open_run,
    row,
    settled,
    token_of,
)
from tests.ledger.machines import live

T = TypeVar("T")

RUNS_MAX = 5
PLANS = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([NORTH, NORTH, SOUTH])), min_size=1, max_size=5)
PICK = st.integers(0, 10**6)
KINDS = st.sampled_from(
    [
        "created",
        "created, by somebody",
        "there",
        "in doubt",
        "made, and failed",
        "refused",
        "skipped",
        "accepted",
        "accepted, by somebody",
        "put back",
        "put back, sent",
        "put back, spent",
    ]
)
"""What may become of a row that was sent."""
GONE = frozenset({Outcome.DELETED, Outcome.ABSENT})


@dataclass
class BookRow:
    """What the book knows of a row of a run."""

    row_no: int
    name: str
    lane: LaneKey
    state: RowState = RowState.PLANNED
    outcome: Outcome | None = None
    generation: int = 0
    spent: bool = False
    intent_at: float | None = None
    attempts: int = 0
    remote_id: str | None = None
    error_code: str = ""
    first_sent_at: float | None = None
    settled_at: float | None = None
    made: bool | None = None
    sent_there: float | None = None
    told_there: float | None = None
    sent_before: Times = ()


@dataclass
class Known:
    """What the book knows of a key over all runs."""

    generation: int
    spent: bool
    used_at: float | None
    seen_at: float
    remote_id: str | None = None
    deleted_id: str | None = None
    leaving_id: str | None = None
    leaving_since: float | None = None


@dataclass
class BookRun:
    """A run in the book; `leases` has the newest lease of each lane, `stale` those that were lost."""

    run_id: RunId
    rows: list[BookRow]
    started_at: float
    operation: str = "flow_log"
    parent: RunId | None = None
    state: RunState = RunState.OPEN
    folded: bool = True
    lanes: dict[int, LaneKey] = field(default_factory=dict)
    epochs: dict[int, int] = field(default_factory=dict)
    leases: dict[int, Lease] = field(default_factory=dict)
    stale: list[Lease] = field(default_factory=list)
    calls: Counter[tuple[str, str]] = field(default_factory=Counter)

    def of(self, lease: Lease, *states: RowState) -> list[BookRow]:
        return [line for line in self.rows if line.lane == lease.lane and line.state in states]


class LedgerMachine(RuleBasedStateMachine):
    """The ledger and its book; time moves on by a second a step."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        memory = Path("/dev/shm")  # death is a copy of the files, so no disk needs to turn for it
        self.folder = Path(tempfile.mkdtemp(prefix="ledger-machine-", dir=memory if memory.is_dir() else None))
        self.deaths = 0
        self.now = T0
        self.runs: list[BookRun] = []
        self.known: dict[tuple[LaneKey, str], Known] = {}
        self.ledger = self._open()

    def _open(self) -> SqliteLedger:
        ledger = SqliteLedger(self.folder / f"life-{self.deaths}" / "ledger.db", read_only=False)
        self.do(ledger.open())
        return ledger

    def do(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    def tick(self) -> float:
        self.now += 1
        return self.now

    @property
    def there(self) -> float:
        """The provider's time."""
        return self.now + THERE_S

    def teardown(self) -> None:
        self.do(self.ledger.close())
        self.loop.close()
        shutil.rmtree(self.folder)

    # --- choosing -------------------------------------------------------------------------------------

    def run_of(self, pick: int) -> BookRun:
        return self.runs[pick % len(self.runs)]

    def leases(self) -> list[tuple[BookRun, Lease]]:
        return [(run, lease) for run in self.runs for lease in run.leases.values()]

    def lease_of(self, pick: int) -> tuple[BookRun, Lease]:
        leases = self.leases()
        return leases[pick % len(leases)]

    def has_leases(self) -> bool:
        return bool(self.leases())

    def has_stale(self) -> bool:
        return any(run.stale for run in self.runs)

    # --- the book's own arithmetic --------------------------------------------------------------------

    def fold(self, run: BookRun) -> None:
        """Learn from the first row of each key what the run has tried or seen."""
        run.folded = True
        firsts: dict[tuple[LaneKey, str], BookRow] = {}
        for line in run.rows:
            firsts.setdefault((line.lane, line.name), line)
        for key, line in firsts.items():
            seen_at = line.settled_at if line.settled_at is not None else line.intent_at
            if seen_at is None or (line.intent_at is None and line.remote_id is None):
                continue
            if line.outcome is Outcome.SKIPPED and line.first_sent_at is None:
                continue
            is_gone = line.spent and line.outcome in GONE
            remote_id = None if is_gone else line.remote_id
            deleted_id = line.remote_id if line.outcome in GONE else None
            old = self.known.get(key)
            leaving = self.leaving(run, line, old)
            if old is None or line.generation > old.generation:
                deleted_id = deleted_id or (old.deleted_id if old else None)
                known = Known(line.generation, line.spent, line.intent_at, seen_at, remote_id, deleted_id, *leaving)
                self.known[key] = known
                continue
            old.leaving_id, old.leaving_since = leaving
            newer, older = (
                (deleted_id, old.deleted_id) if line.generation == old.generation else (old.deleted_id, deleted_id)
            )
            old.deleted_id = newer or older
            if line.generation == old.generation:
                old.spent = old.spent or line.spent
                old.used_at = line.intent_at if old.used_at is None else old.used_at
            if seen_at >= old.seen_at:
                old.remote_id = remote_id if is_gone or remote_id is not None else old.remote_id
            old.seen_at = max(old.seen_at, seen_at)

    def leaving(self, run: BookRun, line: BookRow, old: Known | None) -> tuple[str | None, float | None]:
        """What is leaving, and since when that is known: an undo's delete tells, and a row that was settled later."""
        was_sent = run.operation == "undo" and (line.state is RowState.CLAIMED or line.first_sent_at is not None)
        leaving_id = line.remote_id if was_sent and line.outcome not in GONE else None
        began = run.started_at if line.first_sent_at is None else line.first_sent_at
        since = line.settled_at if line.settled_at is not None else began if was_sent else None
        if old is None or leaving_id is not None:
            return leaving_id, since
        is_later = since is not None and old.leaving_since is not None and since >= old.leaving_since
        is_seen_gone = line.outcome in GONE and line.remote_id is not None and line.remote_id == old.leaving_id
        return (None, since) if is_later or is_seen_gone else (old.leaving_id, old.leaving_since)

    def told(self, line: BookRow) -> tuple[int, float | None, float | None]:
        """The generation that is due for a row, and since when its token may be out: in any run, and in this one."""
        known = self.known.get((line.lane, line.name))
        due = max(line.generation + line.spent, known.generation + known.spent if known else 0)
        here = line.intent_at if line.generation == due else None
        before = known.used_at if known and known.generation == due else None
        return due, min((at for at in (here, before) if at is not None), default=None), here

    def check_claimed(self, run: BookRun, taken: list[ClaimedRow], expected: list[BookRow]) -> None:
        assert [work.row_no for work in taken] == [line.row_no for line in expected]
        for work, line in zip(taken, expected, strict=True):
            assert (work.due_generation, work.used_at, work.intent_at) == self.told(line), work
            assert (work.generation, work.token) == (line.generation, token_of(line.name, line.generation))
            assert (work.attempts, work.first_sent_at) == (line.attempts, line.first_sent_at)
            sends = (line.sent_there, line.told_there, line.sent_before)
            assert (work.sent_there, work.told_there, work.sent_before) == sends, work
            known = self.known.get((line.lane, line.name))
            ids = (known.remote_id, known.deleted_id, known.leaving_id) if known else (None, None, None)
            assert (work.believed_id, work.deleted_id, work.leaving_id) == ids, work

    # --- rules: runs ----------------------------------------------------------------------------------

    @initialize(plan=PLANS)
    def plan_first(self, plan: list[tuple[str, LaneKey]]) -> None:
        self.plan(plan)

    @precondition(lambda self: len(self.runs) < RUNS_MAX)
    @rule(plan=PLANS)
    def plan(self, plan: list[tuple[str, LaneKey]]) -> None:
        name = f"run-{len(self.runs)}"
        rows = [row(n, key, lane=lane) for n, (key, lane) in enumerate(plan, start=1)]
        run_id = self.do(open_run(self.ledger, name, rows, started_at=self.tick()))
        run = BookRun(run_id, [BookRow(n, key, lane) for n, (key, lane) in enumerate(plan, start=1)], self.now)
        run.lanes = dict(enumerate(dict.fromkeys(lane for _, lane in plan), start=1))
        for older in self.runs:
            if not older.folded:
                self.fold(older)
        self.runs.append(run)
        for lane_no in run.lanes:
            self.take(run, lane_no, "one")

    @precondition(lambda self: len(self.runs) < RUNS_MAX)
    @rule(
        plan=PLANS,
        takes_due=st.booleans(),
        sends=st.integers(0, 4),
        kinds=st.lists(KINDS, max_size=4),
        ends=st.booleans(),
    )
    def a_night(
        self, plan: list[tuple[str, LaneKey]], takes_due: bool, sends: int, kinds: list[str], ends: bool
    ) -> None:
        """A whole run, or as much of it as came about before it was left."""
        self.plan(plan)
        run = self.runs[-1]
        for lease in run.leases.values():
            self.claim_in(run, lease, limit=9, after=0)
            for line in run.of(lease, RowState.CLAIMED) if takes_due else []:
                if self.told(line)[0] > line.generation:
                    self.regenerate_in(lease, line, self.told(line)[0])
            if kinds or sends:
                self.settle_in(run, lease, kinds, has_call=True, sends=sends)
        if ends:
            self.end_sitting(len(self.runs) - 1)

    @rule(pick=PICK)
    def reopen(self, pick: int) -> None:
        run = self.run_of(pick)
        self.do(self.ledger.reopen(run.run_id))
        run.state = RunState.OPEN
        for line in run.rows:
            if line.outcome is Outcome.SKIPPED:
                line.state, line.outcome, line.settled_at, line.error_code = RowState.PLANNED, None, None, ""
                if line.first_sent_at is None and run.operation != "undo":
                    line.intent_at = line.sent_there = None
                    line.sent_before = ()

    @rule(pick=PICK)
    def end_sitting(self, pick: int) -> None:
        run, now = self.run_of(pick), self.tick()
        self.do(self.ledger.end_sitting(run.run_id, ended_at=now, stop_code="", stop_message="", exit_code=0, rates={}))
        is_done = all(line.state is RowState.SETTLED for line in run.rows)
        run.state = RunState.FINISHED if is_done else RunState.OPEN
        self.fold(run)

    @rule()
    def die(self) -> None:
        """Kill the process: the next one has the files as they lie, and no lease was given back."""
        old, self.deaths = self.ledger, self.deaths + 1
        shutil.copytree(old._path.parent, self.folder / f"life-{self.deaths}")
        self.do(old.close())
        self.ledger = self._open()

    # --- rules: lanes ---------------------------------------------------------------------------------

    @rule(pick=PICK, owner=st.sampled_from(["one", "two"]))
    def take_over(self, pick: int, owner: str) -> None:
        run = self.run_of(pick)
        self.take(run, 1 + pick % len(run.lanes), owner)

    def take(self, run: BookRun, lane_no: int, owner: str) -> None:
        lease = self.do(self.ledger.acquire_lane(run.run_id, lane_no, owner, self.tick(), TTL_S))
        epoch = run.epochs.get(lane_no, 0) + 1
        assert replace(lease, was_called=False) == Lease(
            run.run_id,
            lane_no,
            run.lanes[lane_no],
            owner,
            epoch,
            self.now + TTL_S,
        )
        if lane_no in run.leases:
            run.stale.append(run.leases.pop(lane_no))
        run.epochs[lane_no], run.leases[lane_no], run.folded = epoch, lease, False

    @precondition(has_leases)
    @rule(pick=PICK)
    def give_back(self, pick: int) -> None:
        run, lease = self.lease_of(pick)
        self.tick()
        self.do(self.ledger.release_lane(lease))
        run.stale.append(run.leases.pop(lease.lane_no))

    @precondition(has_leases)
    @rule(pick=PICK)
    def renew(self, pick: int) -> None:
        run, lease = self.lease_of(pick)
        now = self.tick()
        renewed = self.do(self.ledger.renew_lane(lease, now, TTL_S))
        assert renewed == replace(lease, until=now + TTL_S)
        run.leases[lease.lane_no] = renewed

    @precondition(has_leases)
    @rule(pick=PICK, limit=st.integers(1, 5), after=st.sampled_from([0, 0, 0, 2]))
    def claim(self, pick: int, limit: int, after: int) -> None:
        self.claim_in(*self.lease_of(pick), limit=limit, after=after)

    def claim_in(self, run: BookRun, lease: Lease, *, limit: int, after: int) -> None:
        expected = [line for line in run.of(lease, RowState.PLANNED) if line.row_no > after][:limit]
        taken = self.do(self.ledger.claim(lease, after=after, limit=limit, now=self.tick()))
        self.check_claimed(run, taken, expected)
        self.note_claimed(expected)

    def note_claimed(self, lines: list[BookRow]) -> None:
        for line in lines:
            line.state = RowState.CLAIMED
            line.intent_at = self.now if line.intent_at is None else line.intent_at

    @precondition(has_leases)
    @rule(pick=PICK)
    def recover(self, pick: int) -> None:
        run, lease = self.lease_of(pick)
        taken = self.do(self.ledger.recover(lease, after=0, limit=100))
        self.check_claimed(run, taken, run.of(lease, RowState.CLAIMED))

    @precondition(has_leases)
    @rule(pick=PICK, rows=st.integers(1, 3), still_counts=st.booleans())
    def regenerate(self, pick: int, rows: int, still_counts: bool) -> None:
        run, lease = self.lease_of(pick)
        for line in run.of(lease, RowState.CLAIMED)[:rows]:
            due = max(self.told(line)[0], line.generation + 1)
            self.regenerate_in(lease, line, due, *((line.sent_there, line.sent_before) if still_counts else ()))

    def regenerate_in(
        self, lease: Lease, line: BookRow, generation: int, sent_there: float | None = None, sent_before: Times = ()
    ) -> None:
        work = next_row(line.row_no, generation, name=line.name, sent_there=sent_there, sent_before=sent_before)
        self.do(self.ledger.regenerate_rows(lease, [(work, self.tick())]))
        self.note_regenerated(line, work, self.now)

    def note_regenerated(self, line: BookRow, work: ClaimedRow, now: float) -> None:
        line.generation, line.spent, line.intent_at = work.generation, False, now
        line.sent_there, line.sent_before = work.sent_there, work.sent_before

    @precondition(has_leases)
    @rule(pick=PICK)
    def regenerate_with_a_wrong_row_in_the_batch(self, pick: int) -> None:
        run, lease = self.lease_of(pick)
        good, wrong = run.of(lease, RowState.CLAIMED)[:2], run.of(lease, *set(RowState) - {RowState.CLAIMED})[:1]
        works = [(next_row(line.row_no, 99, name=line.name), self.now) for line in (*good, *wrong)]
        if wrong:
            with pytest.raises(LedgerError, match="is not claimed below"):
                self.do(self.ledger.regenerate_rows(lease, works))

    @precondition(has_leases)
    @rule(pick=PICK)
    def skip_planned(self, pick: int) -> None:
        run, lease = self.lease_of(pick)
        expected = run.of(lease, RowState.PLANNED)
        code = "BATCHER.LaneStopped"
        assert self.do(self.ledger.skip_planned(lease, code, "no", self.tick())) == len(expected)
        for line in expected:
            line.state, line.outcome = RowState.SETTLED, Outcome.SKIPPED
            line.settled_at, line.error_code = self.now, code

    # --- rules: settling ------------------------------------------------------------------------------

    def settlement(self, line: BookRow, kind: str) -> Settlement:
        """What is learnt of a row that is claimed or accepted."""
        row_no, there = line.row_no, {"sent_there": self.there, "told_there": self.there + 1}
        known: dict[str, Any] = {"attempts": line.attempts + 1, "first_sent_at": self.now, **there}
        made = None if "by somebody" in kind else kind != "there"
        if kind in ("accepted", "accepted, by somebody") and line.state is RowState.CLAIMED:
            taken = {"remote_id": f"fl-{line.name}", "made": made, **known}
            return Settlement(row_no, RowState.CLAIMED, RowState.ACCEPTED, **taken)
        if kind.startswith("put back") and line.state is RowState.CLAIMED:
            is_sent = kind == "put back, sent"
            return Settlement(
                row_no,
                RowState.CLAIMED,
                RowState.PLANNED,
                attempts=line.attempts,
                intent_at=line.intent_at if is_sent else None,
                first_sent_at=self.now if is_sent else None,
                spent=kind == "put back, spent",
                sent_there=(line.sent_there or self.there) if is_sent else None,
                told_there=self.there + 1 if is_sent else None,
            )
        end: dict[str, Any] = {"expect": line.state, "settled_at": self.now}
        if kind == "skipped" and line.state is RowState.CLAIMED:
            return settled(row_no, Outcome.SKIPPED, attempts=line.attempts, **end)
        if kind == "refused":
            return settled(row_no, Outcome.FAILED, spent=True, error_code="ER.1", **end, **known)
        if kind == "in doubt":
            return settled(row_no, Outcome.IN_DOUBT, **end, **known)
        outcome = {"there": Outcome.EXISTS, "made, and failed": Outcome.FAILED}.get(kind, Outcome.CREATED)
        return settled(row_no, outcome, remote_id=f"fl-{line.name}-{line.generation}", made=made, **end, **known)

    @precondition(has_leases)
    @rule(
        pick=PICK,
        kinds=st.lists(KINDS, max_size=4),
        has_call=st.booleans(),
        sends=st.integers(0, 4),
    )
    def send_and_settle(self, pick: int, kinds: list[str], has_call: bool, sends: int) -> None:
        self.settle_in(*self.lease_of(pick), kinds, has_call=has_call, sends=sends)

    def settle_in(self, run: BookRun, lease: Lease, kinds: list[str], *, has_call: bool, sends: int = 0) -> None:
        self.tick()
        lines = run.of(lease, RowState.CLAIMED, RowState.ACCEPTED)[: len(kinds)]
        batch = [(lease, self.settlement(line, kind)) for line, kind in zip(lines, kinds, strict=False)]
        calls = {("create", "202"): 2} if has_call else {}
        going = self.sends(run, lease, sends)
        self.do(self.ledger.write(run.run_id, batch, calls, (), going))
        run.calls.update(calls)
        self.note_sent(run, lease, going)
        self.note_settled(lines, [known for _, known in batch])

    def sends(self, run: BookRun, lease: Lease, number: int) -> list[Send]:
        """Sends of rows of the lane, the claimed ones before those of which a send says nothing."""
        lines = [*run.of(lease, RowState.CLAIMED)[::-1], *run.of(lease, *set(RowState) - {RowState.CLAIMED})]
        return [self.send(lease, line, n) for n, line in enumerate(lines[:number])]

    def send(self, lease: Lease, line: BookRow, n: int) -> Send:
        """The first of its row, one of another process, which keeps those before it, or one that is taken off again."""
        first, last = self.there - n / 8, self.there + n % 2
        match (int(self.now) + n) % 4:
            case 0:
                return Send(lease, line.row_no, first, last)
            case 1:
                return Send(lease, line.row_no, None, None, line.sent_before)
            case _:
                began = first - 9 if line.sent_there is None else line.sent_there
                ended = first - 8 if line.told_there is None else line.told_there
                return Send(lease, line.row_no, first, last, (*line.sent_before, (began, ended)))

    def note_sent(self, run: BookRun, lease: Lease, sends: list[Send]) -> None:
        """Sends are on record before whatever is settled in the same group."""
        for each in sends:
            line = next(line for line in run.rows if line.row_no == each.row_no)
            if line.state is RowState.CLAIMED:
                line.sent_there, line.told_there, line.sent_before = each.sent_there, each.left_there, each.before
                line.attempts, line.first_sent_at = each.attempts, each.first_sent_at

    def note_settled(self, lines: list[BookRow], settlements: list[Settlement]) -> None:
        for line, known in zip(lines, settlements, strict=True):
            line.state, line.outcome, line.attempts = known.state, known.outcome, known.attempts
            line.spent = line.spent or known.spent
            line.first_sent_at = known.first_sent_at if line.first_sent_at is None else line.first_sent_at
            if known.state is RowState.PLANNED:
                line.error_code = known.error_code
                is_sent = known.attempts > 0 or known.first_sent_at is not None
                line.first_sent_at = line.first_sent_at if is_sent else None
            line.told_there = line.told_there if known.told_there is None else known.told_there
            if known.state is RowState.PLANNED:
                line.intent_at, line.sent_there = known.intent_at, known.sent_there
                if known.sent_there is None:
                    line.told_there, line.sent_before = None, ()
            else:
                line.made = line.made if known.made is None else known.made
                line.sent_there = known.sent_there if line.sent_there is None else line.sent_there
                line.remote_id, line.error_code = known.remote_id, known.error_code
                line.settled_at = known.settled_at

    @precondition(has_leases)
    @rule(pick=PICK)
    def settle_with_a_wrong_state_in_the_batch(self, pick: int) -> None:
        run, lease = self.lease_of(pick)
        good = run.of(lease, RowState.CLAIMED)
        wrong = run.of(lease, RowState.PLANNED, RowState.SETTLED, RowState.ACCEPTED)
        batch = [(lease, settled(line.row_no)) for line in (*good, *wrong[:1])]
        if wrong:
            with pytest.raises(StaleLeaseError):
                self.do(self.ledger.write(run.run_id, batch, {("create", "202"): 1}, (), self.sends(run, lease, 4)))

    @precondition(has_stale)
    @rule(pick=PICK)
    def a_stale_worker_writes(self, pick: int) -> None:
        stale = [(run, lease) for run in self.runs for lease in run.stale]
        self.write_stale(*stale[pick % len(stale)])

    @precondition(has_leases)
    @rule(pick=PICK)
    def a_worker_is_overtaken_and_writes(self, pick: int) -> None:
        run, lease = self.lease_of(pick)
        self.take(run, lease.lane_no, "two")
        self.write_stale(run, lease)

    def write_stale(self, run: BookRun, lease: Lease) -> None:
        rows = run.of(lease, RowState.CLAIMED)
        mine = rows[:-1] if lease.lane_no in run.leases and len(rows) > 1 else rows
        batch = [(lease, settled(line.row_no)) for line in mine]
        if mine is not rows:  # a row of the heir's in the same batch
            batch.append((run.leases[lease.lane_no], settled(rows[-1].row_no)))
        attempts = [
            self.ledger.claim(lease, after=0, limit=9, now=self.tick()),
            self.ledger.recover(lease, after=0, limit=9),
            self.ledger.renew_lane(lease, self.now, TTL_S),
            self.ledger.skip_planned(lease, "BATCHER.LaneStopped", "no", self.now),
            self.ledger.regenerate_rows(lease, [(next_row(line.row_no, 99), self.now) for line in rows[:1]]),
        ]
        if batch:
            attempts.append(self.ledger.write(run.run_id, batch, {("create", "202"): 1}))
        sends = [Send(lease, line.row_no, 1.0, 1e12) for line in rows[:1]]
        if sends:
            attempts.append(self.ledger.write(run.run_id, batch[1:], {}, (), sends))
        for attempt in attempts:
            with pytest.raises(StaleLeaseError):
                self.do(attempt)

    # --- what always holds ----------------------------------------------------------------------------

    @invariant()
    def the_ledger_is_the_book(self) -> None:
        for run in self.runs:
            records = self.do(everything(self.ledger, run.run_id))
            assert [
                (
                    r.row_no,
                    r.lane,
                    r.state,
                    r.outcome,
                    r.generation,
                    r.token,
                    r.attempts,
                    r.remote_id,
                    r.error_code,
                    r.first_sent_at,
                    r.settled_at,
                )
                for r in records
            ] == [
                (
                    line.row_no,
                    line.lane,
                    line.state,
                    line.outcome,
                    line.generation,
                    token_of(line.name, line.generation),
                    line.attempts,
                    line.remote_id,
                    line.error_code,
                    line.first_sent_at,
                    line.settled_at,
                )
                for line in run.rows
            ]

    @invariant()
    def what_is_on_record_of_sends_is_in_the_book(self) -> None:
        """Read from the file, by another program: reports have nothing of it."""
        with closing(sqlite3.connect(self.ledger._path)) as file:
            rows = file.execute(
                "SELECT run_id, row_no, intent_at, spent, made, sent_there, told_there, sent_before "
                "FROM row JOIN run USING (run_no) ORDER BY run_no, row_no"
            ).fetchall()
        assert [(*values, json.loads(before or "[]")) for *values, before in rows] == [
            (
                run.run_id,
                line.row_no,
                line.intent_at,
                line.spent,
                line.made,
                line.sent_there,
                line.told_there,
                [list(times) for times in line.sent_before],
            )
            for run in self.runs
            for line in run.rows
        ]

    @invariant()
    def what_is_known_of_each_key_is_in_the_book(self) -> None:
        with closing(sqlite3.connect(self.ledger._path)) as file:
            rows = file.execute(
                "SELECT key, generation, spent, used_at, seen_at, remote_id, deleted_id, leaving_id, leaving_since "
                "FROM known"
            ).fetchall()
        assert {key: values for key, *values in rows} == {
            key_of(name, lane): list(astuple(known)) for (lane, name), known in self.known.items()
        }

    @invariant()
    def runs_and_their_counters_are_those_of_the_book(self) -> None:
        for found, run in zip(self.do(self.ledger.runs()), reversed(self.runs), strict=True):
            assert (found.run_id, found.state, dict(found.calls)) == (run.run_id, run.state, dict(run.calls))
            assert dict(found.counts) == dict(Counter((line.state, str(line.outcome or "")) for line in run.rows))

    @rule(pick=PICK)
    def look_at_the_lanes(self, pick: int) -> None:
        run = self.run_of(pick)
        open_rows = Counter(line.lane for line in run.rows if line.state is not RowState.SETTLED)
        expected = [(no, lane, open_rows[lane]) for no, lane in run.lanes.items() if open_rows[lane]]
        assert self.do(self.ledger.lanes(run.run_id)) == expected


@pytest.mark.timeout(120)
def test_the_ledger_keeps_the_book() -> None:
    live(LedgerMachine, 80)
