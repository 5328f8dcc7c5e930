"""A row's first send on its way to the disk: who waits for it, how long, and on how slow a disk.

On a real ledger in virtual time: the jobs of its thread are done by the loop, each when the disk of the test allows.
"""

import asyncio
import random
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import anyio
import pytest

from batcher.errors import StaleLeaseError
from batcher.events import Event
from batcher.ledger.group_commit import WAIT_S, GroupCommit
from batcher.ledger.sqlite import SqliteLedger
from batcher.model import Lease, RunId
from tests.ledger.book import THERE, TTL_S, accepted, claimed, lease_of, open_run, opened, row, send, settled, states
from tests.simulation.machine import MachineLoop, Process, live

R1 = RunId("r1")
ROWS = 40
HOUR_S = 3600.0
DISK_S = 0.05
"""By then a commit of a disk that works is done, as far as chance goes in these tests."""


class Deaf:
    """A sink that nobody listens to."""

    def emit(self, event: Event) -> None:
        """Nothing."""


class Desk:
    """A lane whose rows are claimed, and the way from it to a ledger on a disk that stands still for some time."""

    def __init__(self, ledger: SqliteLedger, lease: Lease, process: Process) -> None:
        self.ledger = ledger
        self.lease = lease
        self.commit = GroupCommit(ledger, R1, Deaf())
        self._process = process

    def stall(self, seconds: float) -> None:
        """From now on the disk does nothing for a while."""
        now = self.now() - self._process.began
        self._process.stalls = ((now, now + seconds),)

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    async def mark(self, row_no: int, waited: list[float]) -> None:
        """Mark a row, and note how long that took."""
        began = self.now()
        await self.commit.mark(send(self.lease, row_no, THERE + row_no, THERE + row_no + TTL_S))
        waited.append(self.now() - began)

    async def sent_there(self, *row_nos: int) -> list[float | None]:
        rows = await self.ledger.rows(self.lease, list(row_nos))
        return [each.sent_there for each in rows]


def on_desk(place: Path, act: Callable[[Desk], Coroutine[Any, Any, None]], *, seed: int = 0) -> None:
    """Do something at a desk, to its end, in virtual time."""

    async def main() -> None:
        process = Process()

        async def body() -> None:
            ledger = await opened(place)
            lease = await lease_of(ledger, await open_run(ledger, "r1", [row(n) for n in range(1, ROWS + 1)]))
            await claimed(ledger, lease)
            await act(Desk(ledger, lease, process))
            await ledger.close()

        await live(process, body())

    with asyncio.Runner(loop_factory=lambda: MachineLoop(random.Random(seed))) as runner:
        runner.run(main())


@pytest.mark.parametrize("seed", range(10))
def test_a_send_leaves_once_it_is_on_record(place: Path, seed: int) -> None:
    waited: list[float] = []

    async def act(desk: Desk) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(desk.commit.serve)
            for row_no in range(1, ROWS + 1):
                await desk.mark(row_no, waited)
                assert await desk.sent_there(row_no) == [THERE + row_no]
            desk.commit.close()
        assert await desk.sent_there(*range(1, ROWS + 1)) == [THERE + n for n in range(1, ROWS + 1)]

    on_desk(place, act, seed=seed)
    assert min(waited) >= WAIT_S


def test_while_a_disk_hangs_no_send_leaves(place: Path) -> None:
    waited: list[float] = []

    async def act(desk: Desk) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(desk.commit.serve)
            desk.stall(HOUR_S)
            await desk.mark(1, waited)
            assert await desk.sent_there(1) == [THERE + 1]
            desk.commit.close()

    on_desk(place, act)
    assert waited[0] > HOUR_S


def test_sends_side_by_side_wait_for_one_commit_and_none_for_another(place: Path) -> None:
    waited: list[float] = []

    async def act(desk: Desk) -> None:
        writes = 0

        async def counted(*group: Any, **named: Any) -> None:
            nonlocal writes
            writes += 1
            await SqliteLedger.write(desk.ledger, *group, **named)

        desk.ledger.write = counted  # type: ignore[method-assign]
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(desk.commit.serve)
            async with anyio.create_task_group() as senders:
                for row_no in range(1, ROWS + 1):
                    senders.start_soon(desk.mark, row_no, waited)
            assert await desk.sent_there(*range(1, ROWS + 1)) == [THERE + n for n in range(1, ROWS + 1)]
            assert writes == 1
            desk.commit.close()

    on_desk(place, act)
    assert len(waited) == ROWS


def test_a_send_that_comes_while_a_commit_is_on_its_way_waits_for_its_own(place: Path) -> None:
    first: list[float] = []
    second: list[float] = []

    async def act(desk: Desk) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(desk.commit.serve)
            desk.stall(HOUR_S)
            tasks.start_soon(desk.mark, 1, first)
            await asyncio.sleep(WAIT_S * 2)  # its commit has begun
            await desk.mark(2, second)
            assert await desk.sent_there(1, 2) == [THERE + 1, THERE + 2]
            desk.commit.close()

    on_desk(place, act)
    assert first[0] > HOUR_S


def test_a_send_and_what_came_of_it_may_go_in_one_commit(place: Path) -> None:
    """The send is recorded first."""

    async def act(desk: Desk) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(desk.mark, 1, [])
            await asyncio.sleep(0)
            desk.commit.settle(desk.lease, accepted(1, sent_there=THERE + 9, told_there=THERE + 10))
            tasks.start_soon(desk.commit.serve)
            await desk.commit.flush()
            assert await desk.sent_there(1) == [THERE + 1]
            desk.commit.close()

    on_desk(place, act)


def test_a_send_that_is_cancelled_while_it_waits_may_be_on_record(place: Path) -> None:
    """And it keeps nobody else waiting, and breaks no commit."""
    waited: list[float] = []

    async def act(desk: Desk) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(desk.commit.serve)
            with anyio.move_on_after(WAIT_S / 2) as scope:
                await desk.mark(1, waited)
            assert scope.cancelled_caught
            assert waited == []
            await desk.mark(2, waited)
            assert await desk.sent_there(1, 2) == [THERE + 1, THERE + 2]
            desk.commit.close()

    on_desk(place, act)


def test_closing_writes_the_sends_that_wait(place: Path) -> None:
    waited: list[float] = []

    async def act(desk: Desk) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(desk.mark, 1, waited)
            await asyncio.sleep(0)
            desk.commit.close()
            await desk.commit.serve()
        assert await desk.sent_there(1) == [THERE + 1]

    on_desk(place, act)
    assert len(waited) == 1


def test_a_send_under_a_lost_lease_fails_the_writer_and_is_not_on_record(place: Path) -> None:
    waited: list[float] = []

    async def act(desk: Desk) -> None:
        heir = await lease_of(desk.ledger, R1, owner="other")
        failed: list[StaleLeaseError] = []

        async def serve() -> None:
            try:
                await desk.commit.serve()
            except StaleLeaseError as error:
                failed.append(error)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(serve)
            desk.commit.settle(heir, settled(2))
            with anyio.move_on_after(HOUR_S):  # the engine ends whoever waits with the writer
                await desk.mark(1, waited)
        assert len(failed) == 1
        assert await states(desk.ledger, R1) == ", ".join(f"{n} claimed" for n in range(1, ROWS + 1))
        assert await desk.sent_there(1) == [None]

    on_desk(place, act)
    assert waited == []
