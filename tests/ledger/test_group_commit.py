"""Many settlements, one durable write: held on a real ledger, whose commits are counted."""

import contextlib
import itertools
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from batcher.errors import LedgerError, StaleLeaseError
from batcher.events import Event, RowAccepted
from batcher.ledger.group_commit import BACKLOG_MAX, ROWS_MAX, GroupCommit
from batcher.ledger.sqlite import SqliteLedger
from batcher.model import CallClass, Lease, Limit, RunId, Send, Settlement, Window
from tests.ledger.book import (
    NORTH,
    THERE,
    assert_counters_hold,
    claimed,
    everything,
    lease_of,
    open_run,
    opened,
    row,
    send,
    settled,
)

Calls = Mapping[tuple[str, str], int]

R1 = RunId("r1")
ROWS = 3000


class CountingLedger(SqliteLedger):
    """The real ledger; `commits` has the number of rows of each write."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, read_only=False)
        self.commits: list[int] = []

    async def write(
        self,
        run_id: RunId,
        batch: Sequence[tuple[Lease, Settlement]],
        calls: Calls,
        limits: Sequence[Limit] = (),
        sends: Sequence[Send] = (),
    ) -> None:
        self.commits.append(len(batch))
        await super().write(run_id, batch, calls, limits, sends)


@dataclass
class Heard:
    """A sink that looks into the file when it is told something: how many rows were settled there by then."""

    path: Path
    rows: list[int] = field(default_factory=list)
    durable: list[int] = field(default_factory=list)
    changed: anyio.Event = field(default_factory=anyio.Event)

    def emit(self, event: Event) -> None:
        assert isinstance(event, RowAccepted)
        self.rows.append(event.row_no)
        with contextlib.closing(sqlite3.connect(self.path)) as connection:
            (settled_rows,) = connection.execute("SELECT count(*) FROM row WHERE state = 'settled'").fetchone()
        self.durable.append(settled_rows)
        self.changed.set()
        self.changed = anyio.Event()

    async def until(self, rows: int) -> None:
        with anyio.fail_after(10):
            while len(self.rows) < rows:
                await self.changed.wait()


@dataclass
class Desk:
    """A lane with claimed rows and the way from it to the ledger."""

    ledger: CountingLedger
    lease: Lease
    heard: Heard
    commit: GroupCommit

    def settle(self, *row_nos: int, tell: bool = False) -> None:
        for row_no in row_nos:
            self.commit.settle(self.lease, settled(row_no), [RowAccepted(NORTH, row_no)] if tell else [])

    async def settled_rows(self) -> int:
        """How many rows another reader of the file sees as settled."""
        reader = await opened(self.heard.path, read_only=True)
        rows = await everything(reader, R1)
        await reader.close()
        return sum(record.state == "settled" for record in rows)

    async def sends(self) -> dict[int, float]:
        """When another reader of the file sees that rows were sent."""
        with contextlib.closing(sqlite3.connect(self.heard.path)) as connection:
            return dict(connection.execute("SELECT row_no, sent_there FROM row WHERE sent_there IS NOT NULL"))


@pytest.fixture
async def desk(place: Path) -> AsyncIterator[Desk]:
    ledger = CountingLedger(place)
    await ledger.open()
    lease = await lease_of(ledger, await open_run(ledger, "r1", [row(n) for n in range(1, ROWS + 1)]))
    await claimed(ledger, lease, limit=ROWS)
    heard = Heard(place)
    yield Desk(ledger, lease, heard, GroupCommit(ledger, R1, heard))
    await ledger.close()


async def test_what_was_queued_is_durable_after_a_flush(desk: Desk) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(desk.commit.serve)
        for start in range(1, 101, 10):
            desk.settle(*range(start, start + 10))
            await desk.commit.flush()
            assert await desk.settled_rows() == start + 9
        desk.commit.close()
    await assert_counters_hold(desk.ledger, R1)


async def test_a_flush_of_nothing_returns_at_once(desk: Desk) -> None:
    await desk.commit.flush()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(desk.commit.serve)
        await desk.commit.flush()
        desk.commit.close()
    assert desk.ledger.commits == []


async def test_what_is_told_is_in_the_ledger(desk: Desk) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(desk.commit.serve)
        desk.settle(1, 2, 3, tell=True)
        assert desk.heard.rows == []
        await desk.heard.until(3)
        desk.settle(4, tell=True)
        await desk.commit.flush()
        assert desk.heard.rows == [1, 2, 3, 4]
        assert desk.heard.durable == [3, 3, 3, 4]
        desk.commit.close()


async def test_rows_that_come_together_are_one_commit(desk: Desk) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(desk.commit.serve)
        desk.settle(*range(1, 401))
        await desk.commit.flush()
        desk.commit.close()
    assert desk.ledger.commits == [400]


async def test_a_group_that_is_full_is_not_kept_waiting(desk: Desk) -> None:
    commit = GroupCommit(desk.ledger, R1, desk.heard, wait_s=3600.0)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(commit.serve)
        for row_no in range(1, ROWS_MAX + 1):
            commit.settle(desk.lease, settled(row_no), [RowAccepted(NORTH, row_no)] if row_no == ROWS_MAX else [])
        await desk.heard.until(1)
        commit.close()
    assert await desk.settled_rows() == ROWS_MAX


async def test_rows_that_come_while_a_commit_is_on_its_way_gather_for_the_next(desk: Desk) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(desk.commit.serve)
        for row_no in range(1, 1001):
            desk.settle(row_no, tell=row_no == 1000)
            await anyio.sleep(0)
        await desk.heard.until(1)
        desk.commit.close()
    assert sum(desk.ledger.commits) == 1000
    assert len(desk.ledger.commits) <= 100


async def test_a_backlog_says_that_it_is_full_until_it_is_written(desk: Desk) -> None:
    desk.settle(*range(1, BACKLOG_MAX))
    assert not desk.commit.is_full
    desk.settle(BACKLOG_MAX)
    assert desk.commit.is_full
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(desk.commit.serve)
        await desk.commit.flush()
        assert not desk.commit.is_full
        desk.commit.close()
    assert await desk.settled_rows() == BACKLOG_MAX


async def test_closing_writes_what_is_queued_and_ends(desk: Desk) -> None:
    commit = GroupCommit(desk.ledger, R1, desk.heard, wait_s=3600.0)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(commit.serve)
        await anyio.sleep(0)
        commit.settle(desk.lease, settled(1), [RowAccepted(NORTH, 1)])
        commit.count_call("create", "202")
        commit.close()
        commit.close()
        commit.settle(desk.lease, settled(2), [RowAccepted(NORTH, 2)])
    assert desk.heard.rows == [1, 2]
    assert await desk.settled_rows() == 2
    assert (await desk.ledger.run(R1)).calls == {("create", "202"): 1}


async def test_calls_without_rows_are_written_when_it_closes(desk: Desk) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(desk.commit.serve)
        for result in ("429", "429", "503"):
            desk.commit.count_call("create", result)
        desk.commit.close()
    assert (await desk.ledger.run(R1)).calls == {("create", "429"): 2, ("create", "503"): 1}


async def test_what_comes_while_the_last_commit_is_on_its_way_is_written_too(desk: Desk) -> None:
    """Rows, calls, limits and sends, each of them alone."""
    more: list[Callable[[], object]] = [
        lambda: desk.settle(2),
        lambda: desk.commit.count_call("create", "429"),
        lambda: desk.commit.note_limit(Limit(NORTH, CallClass.ALL, Window(9, 1.0), 2.0)),
        lambda: tasks.start_soon(desk.commit.mark, send(desk.lease, 3)),
        lambda: None,
    ]

    async def write_and_tell(*group: Any, **named: Any) -> None:
        if len(more) == 5:
            desk.commit.close()
        more.pop(0)()
        await anyio.lowlevel.checkpoint()
        await CountingLedger.write(desk.ledger, *group, **named)

    desk.ledger.write = write_and_tell  # type: ignore[method-assign]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(desk.commit.serve)
        desk.settle(1)
    assert desk.ledger.commits == [1, 1, 0, 0, 0]
    assert await desk.settled_rows() == 2
    assert (await desk.ledger.run(R1)).calls == {("create", "429"): 1}
    assert [limit.window.calls for limit in await desk.ledger.limits()] == [9]
    assert [each.sent_there for each in await desk.ledger.rows(desk.lease, [3])] == [THERE]


async def test_closing_with_nothing_queued_writes_nothing(desk: Desk) -> None:
    desk.commit.close()
    await desk.commit.serve()
    assert desk.ledger.commits == []


async def test_a_lane_that_was_taken_over_fails_the_writer_and_nothing_is_told(desk: Desk) -> None:
    await lease_of(desk.ledger, R1, owner="other")
    desk.settle(1, 2, tell=True)
    with pytest.raises(StaleLeaseError):
        await desk.commit.serve()
    assert desk.heard.rows == []
    assert await desk.settled_rows() == 0


async def test_a_full_disk_fails_the_writer_and_nothing_is_told(desk: Desk) -> None:
    connection = desk.ledger._store.connection

    def fill_the_disk() -> None:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}")

    await desk.ledger._call(fill_the_disk)
    message = "x" * 5000
    for row_no in range(1, 1001):
        desk.commit.settle(desk.lease, settled(row_no, error_message=message), [RowAccepted(NORTH, row_no)])
    with pytest.raises(LedgerError, match="FULL") as failure:
        await desk.commit.serve()
    assert "free space" in failure.value.hint
    assert desk.heard.rows == []
    assert await desk.settled_rows() == 0
    await assert_counters_hold(desk.ledger, R1)


async def test_a_flush_waits_for_a_write_that_is_on_its_way(desk: Desk) -> None:
    begun, may_end = anyio.Event(), anyio.Event()
    flushed = []

    async def write_when_told(*group: Any, **named: Any) -> None:
        begun.set()
        await may_end.wait()
        await CountingLedger.write(desk.ledger, *group, **named)

    async def flush() -> None:
        await desk.commit.flush()
        flushed.append(may_end.is_set())

    desk.ledger.write = write_when_told  # type: ignore[method-assign]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(desk.commit.serve)
        desk.settle(1)
        await begun.wait()
        tasks.start_soon(flush)
        for _ in range(10):
            await anyio.sleep(0)
        may_end.set()
        desk.commit.close()
    assert flushed == [True]
    assert await desk.settled_rows() == 1


async def test_a_write_that_has_begun_is_finished_and_told_though_the_writer_is_cancelled(desk: Desk) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(desk.commit.serve)
        desk.settle(*range(1, 500))
        desk.settle(500, tell=True)
        while not desk.ledger.commits:
            await anyio.sleep(0)
        tasks.cancel_scope.cancel()
    assert desk.heard.rows == [500]
    assert await desk.settled_rows() == 500


async def test_a_flush_does_not_wait_for_what_others_queue_after_it(desk: Desk) -> None:
    """Another lane settles a row whenever a commit is on its way, twenty times; the flush is of the first row."""
    others = iter(range(2, 22))

    async def write_slowly(*group: Any, **named: Any) -> None:
        await CountingLedger.write(desk.ledger, *group, **named)
        desk.settle(*itertools.islice(others, 1))

    desk.ledger.write = write_slowly  # type: ignore[method-assign]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(desk.commit.serve)
        desk.settle(1)
        await desk.commit.flush()
        commits = len(desk.ledger.commits)
        desk.commit.close()
    assert commits <= 2


# --- sends that nobody waits for --------------------------------------------------------------------------


async def test_a_send_that_is_noted_is_durable_after_a_flush(desk: Desk) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(desk.commit.serve)
        for row_no in (1, 2):
            desk.commit.note_send(send(desk.lease, row_no, THERE + row_no))
            await desk.commit.flush()
            assert await desk.sends() == {n: THERE + n for n in range(1, row_no + 1)}
        desk.commit.close()


async def test_noting_a_send_waits_for_nobody(desk: Desk) -> None:
    """Nobody writes yet; what was noted of a row last is what is on record once somebody does."""
    for seconds in range(BACKLOG_MAX):
        desk.commit.note_send(send(desk.lease, 1, THERE + seconds))
    assert await desk.sends() == {}
    assert not desk.commit.is_full
    desk.commit.close()
    await desk.commit.serve()
    assert await desk.sends() == {1: THERE + BACKLOG_MAX - 1}
    assert desk.ledger.commits == [0]


async def test_a_send_that_is_noted_with_its_settlement_is_on_record_before_it(desk: Desk) -> None:
    desk.settle(1)
    desk.commit.note_send(send(desk.lease, 1))
    desk.commit.close()
    await desk.commit.serve()
    assert desk.ledger.commits == [1]
    assert await desk.sends() == {1: THERE}


@pytest.mark.parametrize("first", ["a send", "a settlement"])
async def test_a_flush_waits_for_each_send_that_was_noted_before_it(desk: Desk, first: str) -> None:
    """One write is on its way, and a send is noted for the next: neither of them alone is enough."""
    gates = [(anyio.Event(), anyio.Event()) for _ in range(2)]
    left = iter(gates)
    flushed: list[dict[int, float]] = []

    async def write_when_told(*group: Any, **named: Any) -> None:
        begun, may_end = next(left)
        begun.set()
        await may_end.wait()
        await CountingLedger.write(desk.ledger, *group, **named)

    async def flush() -> None:
        await desk.commit.flush()
        flushed.append(await desk.sends())

    desk.ledger.write = write_when_told  # type: ignore[method-assign]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(desk.commit.serve)
        if first == "a send":
            desk.commit.note_send(send(desk.lease, 1))
        else:
            desk.settle(1)
        await gates[0][0].wait()
        desk.commit.note_send(send(desk.lease, 2))
        tasks.start_soon(flush)
        gates[0][1].set()
        await gates[1][0].wait()
        for _ in range(10):
            await anyio.sleep(0)
        assert flushed == []
        gates[1][1].set()
        desk.commit.close()
    assert flushed == [{1: THERE, 2: THERE} if first == "a send" else {2: THERE}]


async def test_a_flush_does_not_wait_for_sends_that_are_noted_after_it(desk: Desk) -> None:
    others = iter(range(2, 22))

    async def write_slowly(*group: Any, **named: Any) -> None:
        await CountingLedger.write(desk.ledger, *group, **named)
        for row_no in itertools.islice(others, 1):
            desk.commit.note_send(send(desk.lease, row_no))

    desk.ledger.write = write_slowly  # type: ignore[method-assign]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(desk.commit.serve)
        desk.commit.note_send(send(desk.lease, 1))
        await desk.commit.flush()
        commits = len(desk.ledger.commits)
        desk.commit.close()
    assert commits <= 2
    assert len(await desk.sends()) == 21


async def test_a_noted_send_of_a_lane_that_was_taken_over_fails_the_writer(desk: Desk) -> None:
    await lease_of(desk.ledger, R1, owner="other")
    desk.commit.note_send(send(desk.lease, 1))
    with pytest.raises(StaleLeaseError):
        await desk.commit.serve()
    assert await desk.sends() == {}
