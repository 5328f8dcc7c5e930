"""Once a stop has ended a lane: look at each scope with accepted rows once more, so that the end is true.

The lane is open for these looks alone, at its own pace, and no longer than the stop leaves time. What is accepted last
gets a moment to become final before it is looked at. Where the quota has closed the lane, scopes that were not listed
are: rows of them may stand, and need no quota.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import anyio

from batcher.engine.context import LaneContext
from batcher.engine.reconcile import list_scope
from batcher.model import CallClass
from batcher.policy.breaker import QUOTA_CODE
from batcher.policy.following import LOOKED_AFTER, RIPE_S, Sight, calls_of, kept_s, last_looks

POLL_S_FIRST = 1.0
POLL_S_MAX = 15.0
"""The wait between two readings of what was accepted doubles from the first to the last of these."""


def waiting(context: LaneContext) -> dict[str, Sight]:
    """The scopes in which rows are accepted that are not final; those that nobody has looked at are new."""
    now = context.clock.steady()
    for scope, rows in context.accepted.items():
        if rows > 0 and scope not in context.looks.sights:  # an earlier sitting's
            context.looks.sights[scope] = Sight(now, now - RIPE_S, calls=calls_of(context.listed.get(scope, 0)))
    return {scope: context.looks.sights[scope] for scope, rows in context.accepted.items() if rows > 0}


def closing_s(context: LaneContext) -> float:
    """How long before a deadline the lane has to stop sending, as things stand."""
    calls = sum(sight.calls for sight in waiting(context).values()) or min(1, len(context.looks.sights))
    return kept_s(calls, context.limiter.rate_per_s(CallClass.READ), context.flow.answer_s)


async def look_last(context: LaneContext, look_at: Callable[[Sequence[str]], Awaitable[None]]) -> None:
    """Look once more at what a stop has left accepted; `look_at` settles what scopes show.

    Where the lane alone was stopped, for its quota, nobody waits for its end: it is looked at as after a last send.
    """
    started, delay_s = context.worked(), POLL_S_FIRST
    while _may_look(context):
        is_last = context.stop.is_requested
        await context.commit.flush()
        sights = waiting(context)
        scopes = last_looks(sights, context.stop.code, context.clock.steady()) if is_last else sorted(sights)
        if not scopes or (not is_last and context.worked() - started >= context.policy.verify_s_max):
            return
        if is_last:
            newest = max(sights[scope].newest for scope in scopes)
            delay_s = max(0.0, newest + RIPE_S - context.clock.steady())
            await _look(context, partial(look_at, scopes), delay_s)
            return
        if await context.stop.sleep(delay_s):
            delay_s = min(delay_s * 2, POLL_S_MAX)
            await _look(context, partial(look_at, scopes), 0.0)


async def list_left(context: LaneContext) -> None:
    """Before the rows that a used-up quota leaves are skipped: settle by a listing those that stand."""
    if context.stopped is None or context.stopped.code != QUOTA_CODE or context.policy.reconcile != "auto":
        return
    if not _may_look(context):
        return
    await context.commit.flush()
    for load in await context.ledger.scopes(context.lease):
        is_known = load.scope in context.listed and load.scope not in context.blind.scopes
        is_barred = load.scope in context.unread or load.scope in context.stopped_scopes
        if load.planned and not is_known and not is_barred:
            await _look(context, partial(list_scope, context, load.scope), 0.0)


async def _look(context: LaneContext, look: Callable[[], Awaitable[None]], delay_s: float) -> None:
    """Have the lane open for a look; where a stop is on that is all over in the time that it leaves."""
    context.looks.are_last = True
    context.limiter.open()
    try:
        with anyio.move_on_after(context.stop.look_s if context.stop.is_requested else None):
            await anyio.sleep(delay_s)
            await look()
    finally:
        context.looks.are_last = False
        context.limiter.close()
    await context.commit.flush()


def _may_look(context: LaneContext) -> bool:
    """Whether the lane closes for a reason after which the provider can still be asked, and nobody has paused it."""
    if not context.closing or context.gate.stopped is not None or context.limiter.is_halted:
        return False
    if context.stop.is_requested and context.stop.code not in LOOKED_AFTER:
        return False
    return is_open_to_looks(context)


def is_open_to_looks(context: LaneContext) -> bool:
    """Whether nothing has stopped the lane itself, or only its quota has."""
    return context.stopped is None or context.stopped.code == QUOTA_CODE
