"""One lane from lease to release: reconcile, check, send, verify. Any engine can call `run_lane` with a lease."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from batcher.engine.attempt import attempt, take_due_generations
from batcher.engine.context import LaneContext
from batcher.engine.last_look import is_open_to_looks, list_left, look_last
from batcher.engine.look_up import LookUps
from batcher.engine.preflight import preflight
from batcher.engine.reconcile import reconcile, skip_moved
from batcher.engine.row_end import put_back
from batcher.engine.row_queue import RowQueue, Work
from batcher.engine.taken import settle_unsure
from batcher.engine.verify import Follower
from batcher.model import CallClass, ClaimedRow
from batcher.policy.breaker import skip_code, skip_message, skips_the_rest
from batcher.policy.found import NOT_FINAL, STILL_NOT_FINAL

PAGE_ROWS_MAX = 500
"""Rows of one claim at most."""
AHEAD_S = 1.0
"""How much work is claimed ahead: of what is claimed when a process is killed nobody knows whether it was sent."""
TURNS_MAX = 3
"""How often a lane sends in one sitting: again only what it found to be gone after the provider had taken it."""
RECOVER_ROWS_MAX = 100_000
"""Rows that a dead worker can have left claimed: its pages and its waiting rows are far fewer."""


@asynccontextmanager
async def held(context: LaneContext) -> AsyncIterator[None]:
    """Keep the lane's lease meanwhile, and give it back at the end; what was settled is then in the ledger."""
    is_over = anyio.Event()
    async with anyio.create_task_group() as helpers:
        helpers.start_soon(_keep_lease, context, is_over)
        yield
        await context.commit.flush()
        is_over.set()
    await context.ledger.release_lane(context.lease)


async def run_lane(context: LaneContext, open_rows: int) -> None:
    """Do the lane's open rows, as far as they come before it closes. Raises what the ledger raises."""
    async with held(context):
        if context.policy.reviewed:
            context.expected = await context.ledger.expected(context.lease)
        await reconcile(context)
        await skip_moved(context)
        if context.policy.preflight:
            await preflight(context)
        follower = Follower(context)
        for turn in range(TURNS_MAX):
            await _send(context, follower, open_rows, takes_over=turn == 0)
            await settle_unsure(context, is_last=True)
            if not await follower.verify():
                break
        await list_left(context)
        await look_last(context, follower.look_at)
        await give_up_waiting(context)
        await skip_rest(context)


async def skip_rest(context: LaneContext) -> None:
    """If the provider refused the whole lane, settle what was not attempted because of it."""
    await context.commit.flush()
    if context.stopped is not None and skips_the_rest(context.stopped):
        code, message = skip_code(context.stopped), skip_message(context.stopped)
        await context.ledger.skip_planned(context.lease, code, message, context.clock.now())


async def give_up_waiting(context: LaneContext) -> None:
    """Settle as unverified what stood there before, and was not final as long as the lane has followed it.

    So the run can be finished, and the next one looks at all of the inventory; what the run itself has made stays
    accepted, and the next sitting goes on with it. After a stop there was no time to follow it.
    """
    if context.stop.is_requested or context.gate.stopped is not None or not is_open_to_looks(context):
        return
    await context.commit.flush()
    if any(rows > 0 for rows in context.accepted.values()):
        await context.ledger.settle_not_final(context.lease, NOT_FINAL, STILL_NOT_FINAL, context.clock.now())


async def _keep_lease(context: LaneContext, is_over: anyio.Event) -> None:
    """Renew the lease until that is over. To cancel it instead would leave a traceback that keeps the whole lane."""
    while True:
        with anyio.move_on_after(context.policy.lease_s / 3):
            await is_over.wait()
            return
        now = context.clock.now()
        context.hold(await context.ledger.renew_lane(context.lease, now, context.policy.lease_s))


async def _send(context: LaneContext, follower: Follower, open_rows: int, *, takes_over: bool) -> None:
    """Send the planned rows, and first those that a dead worker has left claimed if this `takes_over`.

    Meanwhile the `follower` looks what became of those that were taken.
    """
    page_rows = page_rows_of(context.limiter.rate_per_s(CallClass.WRITE), context.policy.concurrency)

    async def claim(after: int) -> list[ClaimedRow]:
        if context.commit.is_full:
            await context.commit.flush()
        if context.closing:
            return []
        rows = await context.ledger.claim(context.lease, after=after, limit=page_rows, now=context.clock.now())
        return await take_due_generations(context, rows)

    queue = RowQueue(claim, context.clock, page_rows)
    if takes_over and context.lease.epoch > 1:  # who is the first to hold a lane finds nothing claimed
        left = await context.ledger.recover(context.lease, after=0, limit=RECOVER_ROWS_MAX)
        looked_for = context.looked_up.union(context.listed)
        queue.put(Work(row, in_doubt=True, is_absent=row.scope in looked_for) for row in left)
    context.when_closing(queue.close)
    look_ups, is_over = LookUps(context), anyio.Event()
    async with anyio.create_task_group() as beside:
        beside.start_soon(follower.follow, is_over)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(queue.serve)
            for _ in range(min(context.policy.concurrency, open_rows)):
                tasks.start_soon(_work, context, look_ups, queue)
        is_over.set()
    for work in queue.leftover():
        put_back(context, work)


def page_rows_of(rate_per_s: float, concurrency: int) -> int:
    """How many rows to claim at once at a pace. Pure.

    The queue asks for a page when half a page is left, so at most one and a half are ahead of the workers.
    """
    return max(1, min(PAGE_ROWS_MAX, round(AHEAD_S * rate_per_s / 1.5), 4 * concurrency))


async def _work(context: LaneContext, look_ups: LookUps, queue: RowQueue) -> None:
    """Take one row after the other, each only when there is room to work it: what is taken is claimed."""
    while True:
        async with context.flow:
            work = await queue.take()
            if work is None:
                return
            if context.blind.holds(work):
                queue.hold(work)
                continue
            again = await attempt(context, look_ups, work)
        queue.done(work, again=again)
        if context.blind.is_answered(work):
            queue.release(work.row.scope)
