"""One ledger file, several live workers, none of which holds its lock: leases alone say who may write.

Workers have a connection each. A lane of a live owner is refused until its lease has ended; who takes it over gets the
next epoch, and from then on every write under an older one is refused whole. A worker may die in the middle of a
transaction, or find the file held by another. After each step every connection sees what the plain book says.
"""

import asyncio
import json
import shutil
import sqlite3
import tempfile
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from batcher.errors import LedgerError, StaleLeaseError
from batcher.ledger.lane_store import LaneStore
from batcher.ledger.store import Store
from batcher.model import ClaimedRow, Lease, Outcome, RowState, RunId, Send, Settlement
from tests.ledger.book import (
    NORTH,
    SOUTH,
    T0,
    THERE_S,
    TTL_S,
    Times,
    accepted,
    next_row,
    open_run,
    opened,
    put_back,
    row,
    settled,
)
from tests.ledger.machines import live

RUN = RunId("run")
ROWS = 6
LANES = {1: NORTH, 2: SOUTH}
WORKERS = ("a", "b", "c")
PICK = st.integers(0, 10**6)
KINDS = st.sampled_from(["created", "accepted", "put back"])


async def planned(path: Path, rows: int = ROWS) -> None:
    """A ledger with one run; rows of two lanes, one after the other."""
    ledger = await opened(path)
    await open_run(ledger, RUN, [row(n, lane=LANES[1 + n % 2]) for n in range(1, rows + 1)])
    await ledger.close()


class Worker:
    """A connection of a worker's, and the lanes through it."""

    def __init__(self, path: Path, name: str, busy_ms: int = 0) -> None:
        self.name = name
        self.connection = sqlite3.connect(path, isolation_level=None)
        self.connection.execute(f"PRAGMA busy_timeout = {busy_ms}")
        self.connection.execute("PRAGMA synchronous = OFF")  # no power is cut here
        self.store = Store(path, self.connection)
        self.lanes = LaneStore(self.store, alone=False)


@dataclass
class BookRow:
    """A row of the book."""

    row_no: int
    state: RowState = RowState.PLANNED
    outcome: Outcome | None = None
    generation: int = 0
    sent_there: float | None = None
    told_there: float | None = None
    sent_before: Times = ()


@dataclass
class BookLane:
    """A lane of the book."""

    rows: list[BookRow]
    owner: str | None = None
    epoch: int = 0
    until: float = 0.0
    leases: list[Lease] = field(default_factory=list)

    def of(self, *states: RowState) -> list[BookRow]:
        return [line for line in self.rows if line.state in states]


class SharedMachine(RuleBasedStateMachine):
    """The file, its workers and the book; time moves on by steps of any size."""

    def __init__(self) -> None:
        super().__init__()
        memory = Path("/dev/shm")
        self.folder = Path(tempfile.mkdtemp(prefix="shared-machine-", dir=memory if memory.is_dir() else None))
        self.path = self.folder / "ledger.db"
        asyncio.run(planned(self.path))
        self.workers = {name: Worker(self.path, name) for name in WORKERS}
        numbers = range(1, ROWS + 1)
        self.lanes = {no: BookLane([BookRow(n) for n in numbers if 1 + n % 2 == self.lane_no_of(no)]) for no in LANES}
        self.now = T0

    def lane_no_of(self, number: int) -> int:
        """The first row is of the second place, which makes it the run's first lane."""
        return 3 - number

    def teardown(self) -> None:
        for worker in self.workers.values():
            worker.connection.close()
        shutil.rmtree(self.folder)

    # --- choosing, and trying -------------------------------------------------------------------------

    def has_leases(self) -> bool:
        return any(lane.leases for lane in self.lanes.values())

    def lease_of(self, pick: int) -> tuple[BookLane, Lease]:
        """One of all leases that were ever given, the newer ones more often."""
        leases = [(lane, lease) for lane in self.lanes.values() for lease in lane.leases[-3:]]
        return leases[pick % len(leases)]

    def through(self, lease: Lease) -> LaneStore:
        return self.workers[lease.owner].lanes

    def attempt(self, lane: BookLane, lease: Lease, write: Callable[[], Any]) -> list[Any]:
        """What a write under a lease gives; nothing if it is refused, because the lease is not the lane's own."""
        if (lane.epoch, lane.owner) == (lease.epoch, lease.owner):
            return [write()]
        with pytest.raises(StaleLeaseError):
            write()
        return []

    # --- rules: time and leases -----------------------------------------------------------------------

    @rule(seconds=st.sampled_from([1, 1, 20, TTL_S, 2 * TTL_S]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(name=st.sampled_from(WORKERS), lane_no=st.sampled_from([1, 2]))
    def acquire(self, name: str, lane_no: int) -> None:
        lane = self.lanes[lane_no]
        if lane.owner not in (None, name) and lane.until > self.now:
            with pytest.raises(StaleLeaseError, match=f"worked by `{lane.owner}`"):
                self.workers[name].lanes.acquire(RUN, lane_no, name, self.now, TTL_S)
            return
        lease = self.workers[name].lanes.acquire(RUN, lane_no, name, self.now, TTL_S)
        lane.owner, lane.epoch, lane.until = name, lane.epoch + 1, self.now + TTL_S
        assert (lease.epoch, lease.until, lease.owner) == (lane.epoch, lane.until, name)
        lane.leases.append(lease)

    @precondition(has_leases)
    @rule(pick=PICK)
    def renew(self, pick: int) -> None:
        """Also one that has ended, as long as nobody has taken the lane over."""
        lane, lease = self.lease_of(pick)
        if self.attempt(lane, lease, lambda: self.through(lease).renew(lease, self.now, TTL_S)):
            lane.until = self.now + TTL_S

    @precondition(has_leases)
    @rule(pick=PICK)
    def release(self, pick: int) -> None:
        lane, lease = self.lease_of(pick)
        self.through(lease).release(lease)
        if (lane.epoch, lane.owner) == (lease.epoch, lease.owner):
            lane.owner, lane.until = None, 0.0

    # --- rules: every write there is, under any lease there was ---------------------------------------

    @precondition(has_leases)
    @rule(pick=PICK, limit=st.integers(1, 3))
    def claim(self, pick: int, limit: int) -> None:
        lane, lease = self.lease_of(pick)
        taken = self.attempt(lane, lease, lambda: self.through(lease).claim(lease, after=0, limit=limit, now=self.now))
        for works in taken:
            lines = lane.of(RowState.PLANNED)[:limit]
            assert [work.row_no for work in works] == [line.row_no for line in lines]
            self.move(lines, RowState.CLAIMED)

    @precondition(has_leases)
    @rule(pick=PICK)
    def claim_these(self, pick: int) -> None:
        lane, lease = self.lease_of(pick)
        lines = lane.of(RowState.PLANNED)[1:]
        numbers = [line.row_no for line in lines]
        if self.attempt(lane, lease, lambda: self.through(lease).claim_these(lease, dict.fromkeys(numbers), self.now)):
            self.move(lines, RowState.CLAIMED)

    @precondition(has_leases)
    @rule(pick=PICK)
    def recover(self, pick: int) -> None:
        lane, lease = self.lease_of(pick)
        taken = self.attempt(lane, lease, lambda: self.through(lease).recover(lease, after=0, limit=9))
        for works in taken:
            assert [work.row_no for work in works] == [line.row_no for line in lane.of(RowState.CLAIMED)]

    @precondition(has_leases)
    @rule(pick=PICK)
    def regenerate(self, pick: int) -> None:
        lane, lease = self.lease_of(pick)
        for line in lane.of(RowState.CLAIMED)[:1]:
            work = next_row(line.row_no, line.generation + 1)

            def write(work: ClaimedRow = work) -> None:
                self.through(lease).regenerate_rows(lease, [(work, self.now)])

            if self.attempt(lane, lease, write):
                line.generation, line.sent_there, line.sent_before = work.generation, None, ()

    @precondition(has_leases)
    @rule(pick=PICK, rows=st.integers(1, 3))
    def send(self, pick: int, rows: int) -> None:
        """Sends under any lease there was; of the lane's rows only those that are claimed are marked.

        Each keeps what is on record of those before it, as another process does.
        """
        lane, lease = self.lease_of(pick)
        there = self.now + THERE_S
        lines = sorted(lane.rows, key=lambda line: line.state is not RowState.CLAIMED)[:rows]
        sends = [Send(lease, line.row_no, there, there + 1, self.times_of(line)) for line in lines]
        if self.attempt(lane, lease, lambda: self.through(lease).write(RUN, [], {}, (), sends)):
            self.note_sent(lane, sends)

    def times_of(self, line: BookRow) -> Times:
        if line.sent_there is None or line.told_there is None:
            return line.sent_before
        return (*line.sent_before, (line.sent_there, line.told_there))

    def note_sent(self, lane: BookLane, sends: list[Send]) -> None:
        for each in sends:
            for line in lane.of(RowState.CLAIMED):
                if line.row_no == each.row_no:
                    line.sent_there, line.told_there, line.sent_before = each[2:5]

    @precondition(has_leases)
    @rule(pick=PICK, kinds=st.lists(KINDS, min_size=1, max_size=3))
    def settle(self, pick: int, kinds: list[str]) -> None:
        lane, lease = self.lease_of(pick)
        lines = lane.of(RowState.CLAIMED)[: len(kinds)]
        known = [self.settlement(line, kind) for line, kind in zip(lines, kinds, strict=False)]
        if not known:
            return
        batch = [(lease, each) for each in known]
        if self.attempt(lane, lease, lambda: self.through(lease).write(RUN, batch, {})):
            for line, each in zip(lines, known, strict=True):
                line.state, line.outcome = each.state, each.outcome
                if each.state is RowState.PLANNED:
                    line.sent_there, line.told_there, line.sent_before = None, None, ()

    def settlement(self, line: BookRow, kind: str) -> Settlement:
        makers: dict[str, Callable[[int], Settlement]] = {
            "created": settled,
            "accepted": accepted,
            "put back": put_back,
        }
        return makers[kind](line.row_no)

    @precondition(has_leases)
    @rule(pick=PICK)
    def settle_in_two_lanes(self, pick: int) -> None:
        """A batch of both lanes is written if both leases hold, and else not at all; nor are the sends with it."""
        lane, lease = self.lease_of(pick)
        other = self.lanes[3 - lease.lane_no]
        mine, theirs = lane.of(RowState.CLAIMED)[:1], other.of(RowState.CLAIMED)[:1]
        if not mine or not theirs or not other.leases:
            return
        second = other.leases[-1]
        batch = [(lease, settled(mine[0].row_no)), (second, settled(theirs[0].row_no))]
        there = self.now + THERE_S
        sends = [
            Send(lease, mine[0].row_no, there, there + TTL_S),
            Send(second, theirs[0].row_no, there, there + TTL_S),
        ]
        holds = (other.epoch, other.owner) == (second.epoch, second.owner)
        if not holds:
            for group in (batch, batch[:1]):
                with pytest.raises(StaleLeaseError):
                    self.through(lease).write(RUN, group, {}, (), sends)
        elif self.attempt(lane, lease, lambda: self.through(lease).write(RUN, batch, {}, (), sends)):
            self.note_sent(lane, sends[:1])
            self.note_sent(other, sends[1:])
            for line in (*mine, *theirs):
                line.state, line.outcome = RowState.SETTLED, Outcome.CREATED

    @precondition(has_leases)
    @rule(pick=PICK)
    def skip(self, pick: int) -> None:
        lane, lease = self.lease_of(pick)
        lines = lane.of(RowState.PLANNED)
        done = self.attempt(lane, lease, lambda: self.through(lease).skip_planned(lease, "B.x", "no", self.now))
        if done:
            assert done == [len(lines)]
            self.move(lines, RowState.SETTLED, Outcome.SKIPPED)

    @precondition(has_leases)
    @rule(pick=PICK)
    def vanish(self, pick: int) -> None:
        lane, lease = self.lease_of(pick)
        lines = lane.of(RowState.ACCEPTED)
        numbers = [line.row_no for each in self.lanes.values() for line in each.rows]
        done = self.attempt(lane, lease, lambda: self.through(lease).plan_vanished(lease, numbers))
        if done:
            assert done == [len(lines)]
            self.move(lines, RowState.PLANNED)

    def move(self, lines: list[BookRow], state: RowState, outcome: Outcome | None = None) -> None:
        for line in lines:
            line.state, line.outcome = state, outcome

    # --- rules: death, and the file in other hands ----------------------------------------------------

    @rule(name=st.sampled_from(WORKERS), lane_no=st.sampled_from([1, 2]))
    def die_in_a_transaction(self, name: str, lane_no: int) -> None:
        """All that the dead worker had written is not there; its leases are, and its successor may use them."""
        dying = self.workers[name]
        dying.connection.execute("BEGIN IMMEDIATE")
        dying.connection.execute("UPDATE row SET state = 'claimed' WHERE state = 'planned' AND lane_no = ?", (lane_no,))
        dying.connection.execute("UPDATE lane SET epoch = epoch + 7 WHERE lane_no = ?", (lane_no,))
        dying.connection.close()
        self.workers[name] = Worker(self.path, name)

    @precondition(has_leases)
    @rule(pick=PICK, holder=st.sampled_from(WORKERS))
    def find_the_file_held(self, pick: int, holder: str) -> None:
        """The holder's own write goes through in the end; nothing of the other's does."""
        lane, lease = self.lease_of(pick)
        if lease.owner == holder:
            return
        held = self.workers[holder].connection
        held.execute("BEGIN IMMEDIATE")
        lanes, lines = self.through(lease), lane.of(RowState.CLAIMED)
        writes: list[Callable[[], Any]] = [
            lambda: lanes.acquire(RUN, lease.lane_no, lease.owner, self.now, TTL_S),
            lambda: lanes.renew(lease, self.now, TTL_S),
            lambda: lanes.release(lease),
            lambda: lanes.claim(lease, after=0, limit=9, now=self.now),
            lambda: lanes.skip_planned(lease, "B.x", "no", self.now),
            lambda: lanes.write(RUN, [(lease, settled(line.row_no)) for line in lines], {("create", "202"): 1}),
            lambda: lanes.write(RUN, [], {}, (), [Send(lease, line.row_no, 1.0, 1e12) for line in lane.rows]),
        ]
        for write in writes:
            with pytest.raises(LedgerError, match="BUSY"):
                write()
        held.execute("COMMIT")

    # --- what always holds ----------------------------------------------------------------------------

    @invariant()
    def every_connection_sees_the_book(self) -> None:
        rows = sorted(
            (
                no,
                line.row_no,
                str(line.state),
                line.outcome and str(line.outcome),
                line.generation,
                line.sent_there,
                line.told_there,
                json.dumps(line.sent_before) if line.sent_before else None,
            )
            for no, lane in self.lanes.items()
            for line in lane.rows
        )
        lanes = [(no, lane.owner, lane.epoch, lane.until) for no, lane in self.lanes.items()]
        counts = Counter((state, outcome or "") for _, _, state, outcome, *_ in rows)
        for worker in self.workers.values():
            read = worker.connection.execute
            columns = "lane_no, row_no, state, outcome, generation, sent_there, told_there, sent_before"
            found = read(f"SELECT {columns} FROM row ORDER BY lane_no, row_no")
            assert found.fetchall() == rows
            columns = "lane_no, owner, epoch, leased_until"
            assert read(f"SELECT {columns} FROM lane ORDER BY lane_no").fetchall() == lanes
            found = read("SELECT state, outcome, rows FROM row_count WHERE rows <> 0")
            assert {(state, outcome): n for state, outcome, n in found} == dict(counts)
            assert read("SELECT count(*) FROM call_count").fetchone() == (0,)


@pytest.mark.timeout(120)
def test_leases_alone_keep_workers_apart() -> None:
    live(SharedMachine, 60)


def test_workers_that_race_for_lanes_settle_each_row_once(tmp_path: Path) -> None:
    """Three threads with a connection each, in whatever order the machine gives them."""
    path, rows = tmp_path / "ledger.db", 120
    asyncio.run(planned(path, rows))
    sent: list[int] = []
    faults: list[BaseException] = []

    def work(name: str) -> None:
        try:
            worker = Worker(path, name, busy_ms=20_000)
            while lanes := worker.lanes.lanes(RUN):
                for lane_no, _, _ in lanes:
                    _step(worker, lane_no, sent)
            worker.connection.close()
        except BaseException as fault:  # noqa: BLE001 - a thread's fault is told by its starter
            faults.append(fault)

    threads = [threading.Thread(target=work, args=(name,)) for name in WORKERS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert sorted(sent) == list(range(1, rows + 1))


def _step(worker: Worker, lane_no: int, sent: list[int]) -> None:
    """Take a lane if it is free, do five rows of it, and give it back."""
    try:
        lease = worker.lanes.acquire(RUN, lane_no, worker.name, T0, TTL_S)
    except StaleLeaseError:
        return
    taken = [work.row_no for work in worker.lanes.claim(lease, after=0, limit=5, now=T0)]
    worker.lanes.write(RUN, [(lease, settled(number)) for number in taken], {("create", "202"): len(taken)})
    sent.extend(taken)
    worker.lanes.release(lease)
