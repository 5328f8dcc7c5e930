"""Once a stop has ended a lane: look at each scope with accepted rows once more, so that the end is true.

The lane is open for these looks alone, at its own pace, and no longer than the stop leaves time. What is accepted last
gets a moment to become final before it is looked at.
"""

from collections.abc import Awaitable, Callable, Sequence

import anyio

from batcher.engine.context import LaneContext
from batcher.model import CallClass
from batcher.policy.breaker import QUOTA_CODE
from batcher.policy.following import LOOKED_AFTER, RIPE_S, Sight, calls_of, kept_s, last_looks


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
    """Look once more at what a stop has left accepted; `look_at` settles what scopes show."""
    if not _may_look(context):
        return
    await context.commit.flush()
    sights, now = waiting(context), context.clock.steady()
    scopes = last_looks(sights, context.stop.code, now)
    if not scopes:
        return
    context.looks.are_last = True
    context.limiter.open()
    try:
        with anyio.move_on_after(_time_s(context)):
            newest = max(sights[scope].newest for scope in scopes)
            await anyio.sleep(max(0.0, newest + RIPE_S - now))
            await look_at(scopes)
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
    return context.stopped is None or context.stopped.code == QUOTA_CODE


def _time_s(context: LaneContext) -> float:
    """How long looks may take. Where the lane alone was stopped nobody waits for its end."""
    return context.stop.look_s if context.stop.is_requested else context.policy.verify_s_max
