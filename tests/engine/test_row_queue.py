"""The rows of a lane on their way to its workers, in virtual time and against a scripted ledger page."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

import anyio
import pytest

from batcher.engine.blind import Blind
from batcher.engine.row_queue import WAITING_MAX, RowQueue, Work
from batcher.model import ClaimedRow, NaturalKey, Token
from tests.virtual_time import VirtualClock, run_virtual

PAGE = 8


def claimed(row_no: int) -> ClaimedRow:
    return ClaimedRow(row_no, row_no + 1, "router", NaturalKey(bytes(16)), "[]", Token("t"), 0)


class Plan:
    """A lane's planned rows, claimed a page at a time; remembers who asked when."""

    def __init__(self, rows: int, delay_s: float = 0.0) -> None:
        self.rows = rows
        self.delay_s = delay_s
        self.asked: list[tuple[int, float]] = []

    async def claim(self, after: int) -> list[ClaimedRow]:
        self.asked.append((after, VirtualClock().steady()))
        await anyio.sleep(self.delay_s)
        return [claimed(row_no) for row_no in range(after + 1, min(after + PAGE, self.rows) + 1)]


Step = Callable[[Work], Awaitable[bool]]


async def drain(queue: RowQueue, step: Step, *, workers: int = 1) -> list[tuple[int, float]]:
    """Work the queue to its end: (row, second) of each hand-out. `step` says whether the row comes again."""
    clock = VirtualClock()
    handed: list[tuple[int, float]] = []

    async def work() -> None:
        while (taken := await queue.take()) is not None:
            handed.append((taken.row.row_no, round(clock.steady(), 2)))
            queue.done(taken, again=await step(taken))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(queue.serve)
        for _ in range(workers):
            tasks.start_soon(work)
    return handed


async def at_once(_: Work) -> bool:
    return False


def new_queue(plan: Plan) -> RowQueue:
    return RowQueue(plan.claim, VirtualClock(), PAGE)


@pytest.mark.parametrize("workers", [1, 3, 50])
@pytest.mark.parametrize("rows", [0, 1, PAGE - 1, PAGE, PAGE + 1, 100])
def test_every_row_is_handed_out_once_and_the_queue_ends(rows: int, workers: int) -> None:
    async def slowly(_: Work) -> bool:
        await anyio.sleep(1.0)
        return False

    handed = run_virtual(drain(new_queue(Plan(rows)), slowly, workers=workers))
    assert [row for row, _ in handed] == list(range(1, rows + 1))


def test_rows_that_wait_come_in_the_order_of_their_times() -> None:
    due = {1: 30.0, 2: 10.0, 3: 20.0, 4: 10.0}

    async def once_more(work: Work) -> bool:
        if work.attempts:
            return False
        work.attempts += 1
        work.due = due[work.row.row_no]
        return True

    handed = run_virtual(drain(new_queue(Plan(4)), once_more))
    assert handed == [(1, 0.0), (2, 0.0), (3, 0.0), (4, 0.0), (2, 10.0), (4, 10.0), (3, 20.0), (1, 30.0)]


def test_a_row_that_waits_holds_no_worker_and_is_next_after_what_was_claimed_ahead() -> None:
    async def step(work: Work) -> bool:
        await anyio.sleep(1.0)
        if work.row.row_no != 1 or work.attempts:
            return False
        work.attempts, work.due = 1, 5.5
        return True

    handed = run_virtual(drain(new_queue(Plan(100)), step))
    rows = [row for row, _ in handed]
    again = rows.index(1, 1)
    assert rows[:again] + rows[again + 1 :] == list(range(1, 101))
    assert 6 <= again <= 6 + PAGE + PAGE // 2
    assert [second for _, second in handed] == [float(n) for n in range(101)]  # nobody waited with a row in hand


def test_an_earlier_time_put_in_while_a_worker_waits_is_kept() -> None:
    """Two workers: one waits for a row due in 100 s when the other gives back a row due in 2 s."""

    async def step(work: Work) -> bool:
        if work.attempts:
            return False
        work.attempts = 1
        if work.row.row_no == 1:
            work.due = 100.0
        else:
            await anyio.sleep(1.0)
            work.due = 2.0
        return True

    handed = run_virtual(drain(new_queue(Plan(2)), step, workers=2))
    assert handed == [(1, 0.0), (2, 0.0), (2, 2.0), (1, 100.0)]


def test_pages_are_claimed_ahead_so_that_a_slow_ledger_costs_no_time() -> None:
    async def one_second(_: Work) -> bool:
        await anyio.sleep(1.0)
        return False

    plan = Plan(80, delay_s=2.0)
    handed = run_virtual(drain(new_queue(plan), one_second))
    assert handed[-1] == (80, 81.0)  # the first page takes 2 s, then a row a second without a gap
    assert [after for after, _ in plan.asked] == list(range(0, 81, PAGE))


def test_no_more_is_claimed_ahead_than_a_page_and_a_half() -> None:
    plan = Plan(1000)

    async def step(work: Work) -> bool:
        await anyio.sleep(1.0)
        claimed_rows = min(1000, plan.asked[-1][0] + PAGE)
        assert claimed_rows - work.row.row_no <= PAGE + PAGE // 2
        return False

    run_virtual(drain(new_queue(plan), step))


def test_a_lane_full_of_waiting_rows_claims_no_more_until_they_are_done() -> None:
    plan = Plan(2 * WAITING_MAX)
    waiting_most = 0
    waiting: set[int] = set()

    async def step(work: Work) -> bool:
        nonlocal waiting_most
        if work.attempts:
            waiting.discard(work.row.row_no)
            return False
        work.attempts, work.due = 1, 1000.0 + 0.001 * work.row.row_no
        waiting.add(work.row.row_no)
        waiting_most = max(waiting_most, len(waiting))
        return True

    handed = run_virtual(drain(new_queue(plan), step, workers=4))
    assert len(handed) == 4 * WAITING_MAX
    assert waiting_most <= WAITING_MAX + 2 * PAGE
    assert not waiting


def test_rows_put_in_come_first() -> None:
    async def recovered() -> list[tuple[int, float]]:
        queue = new_queue(Plan(3))
        queue.put([Work(claimed(7), in_doubt=True), Work(claimed(9), in_doubt=True)])
        return await drain(queue, at_once)

    assert [row for row, _ in run_virtual(recovered())] == [7, 9, 1, 2, 3]


@pytest.mark.parametrize("workers", [1, 4])
def test_closing_hands_out_nothing_more_and_leaves_the_rest_to_be_put_back(workers: int) -> None:
    async def closing() -> tuple[set[int], set[int], float]:
        plan = Plan(1000)
        queue = new_queue(plan)

        async def step(work: Work) -> bool:
            await anyio.sleep(1.0)
            work.due = 1e6
            return work.row.row_no % 2 == 0

        async def close() -> None:
            await anyio.sleep(10.5)
            queue.close()
            queue.close()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(close)
            handed = await drain(queue, step, workers=workers)
        left = queue.leftover()
        assert queue.leftover() == []
        assert await queue.take() is None
        at = VirtualClock().steady()
        claimed_rows = set(range(1, plan.asked[-1][0] + PAGE + 1))
        done = {row for row, _ in handed if row % 2}
        assert claimed_rows == done | {work.row.row_no for work in left}
        return done, {work.row.row_no for work in left}, at

    done, left, at = run_virtual(closing())
    assert not done & left
    assert at == pytest.approx(11.0, abs=0.01)  # what was in hand was finished, nothing else begun


def test_closing_wakes_a_worker_that_waits_for_a_row_in_an_hour() -> None:
    async def closing() -> tuple[list[int], float]:
        queue = new_queue(Plan(1))

        async def step(work: Work) -> bool:
            work.due = 3600.0
            return True

        async def close() -> None:
            await anyio.sleep(5.0)
            queue.close()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(close)
            await drain(queue, step, workers=3)
        return [work.row.row_no for work in queue.leftover()], VirtualClock().steady()

    left, at = run_virtual(closing())
    assert left == [1]
    assert at == pytest.approx(5.0, abs=0.01)


def test_rows_that_were_claimed_while_the_queue_closed_are_left_over() -> None:
    async def closing() -> list[int]:
        queue = new_queue(Plan(PAGE, delay_s=10.0))

        async def close() -> None:
            await anyio.sleep(5.0)
            queue.close()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(close)
            assert await drain(queue, at_once) == []
        return [work.row.row_no for work in queue.leftover()]

    assert run_virtual(closing()) == list(range(1, PAGE + 1))


def test_a_ledger_that_fails_fails_the_lane() -> None:
    async def broken(_: int) -> list[ClaimedRow]:
        raise OSError("disk gone")

    with pytest.raises(ExceptionGroup) as failure:
        run_virtual(drain(RowQueue(broken, VirtualClock(), PAGE), at_once, workers=3))
    assert failure.group_contains(OSError, match="disk gone")


@pytest.mark.parametrize("workers", [1, 3])
def test_held_rows_wait_without_a_worker_for_the_first_of_their_scope_and_count_as_claimed_ahead(workers: int) -> None:
    """The answer to the first comes after 5 s: until then no more is claimed than a page; then the rest follows."""
    plan = Plan(20)
    queue = new_queue(plan)
    handed: list[tuple[int, float]] = []

    async def main() -> None:
        clock, blind = VirtualClock(), Blind()
        blind.add("router")

        async def work() -> None:
            while (taken := await queue.take()) is not None:
                if blind.holds(taken):
                    queue.hold(taken)
                    continue
                handed.append((taken.row.row_no, round(clock.steady(), 2)))
                if taken.row.row_no == 1:
                    await anyio.sleep(5.0)
                    assert [after for after, _ in plan.asked] in ([0], [0, 8])
                queue.done(taken, again=False)
                if blind.is_answered(taken):
                    queue.release("router")

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(queue.serve)
            for _ in range(workers):
                tasks.start_soon(work)

    run_virtual(main())
    assert handed == [(1, 0.0), *((row_no, 5.0) for row_no in range(2, 21))]


def test_held_rows_are_left_over_when_the_queue_closes() -> None:
    queue = new_queue(Plan(5))

    async def main() -> list[int]:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(queue.serve)
            for _ in range(3):
                taken = await queue.take()
                assert taken is not None
                queue.hold(taken)
            queue.close()
        return sorted(work.row.row_no for work in queue.leftover())

    assert run_virtual(main()) == [1, 2, 3, 4, 5]


def test_a_row_that_may_have_been_sent_is_never_held() -> None:
    blind = Blind()
    blind.add("router")
    first, doubtful, again = Work(claimed(1)), Work(claimed(2), in_doubt=True), Work(claimed(3), sends=1)
    before = Work(replace(claimed(4), used_at=1.0))
    assert [blind.holds(work) for work in (first, doubtful, again, before, Work(claimed(5)))] == [False] * 4 + [True]
    assert not blind.is_answered(doubtful)
    assert blind.is_answered(first)
    assert not blind.holds(Work(claimed(5)))
