"""A flow log that the provider keeps in state `failed` makes way for another: it is deleted, and its row sent again.

Only the one that an earlier run has named: whatever else stands there is left alone. Each step is safe to repeat,
so nothing of it is in the ledger but its end: a process that dies on the way leaves a row whose flow log is looked at
again.
"""

from collections.abc import Sequence

from batcher.engine.absence import show
from batcher.engine.context import LaneContext
from batcher.engine.persist import persist
from batcher.engine.row_queue import Work
from batcher.model import ClaimedRow, LedgerRow, Refused, Remote, Shown
from batcher.policy.found import DELETED, FAILED, standing_of

LOOK_S_FIRST, LOOK_S_MAX = 1.0, 15.0
"""The wait between two looks whether it is gone doubles from the first to the last of these."""


def makes_way(
    context: LaneContext, row: ClaimedRow | LedgerRow, known_id: str | None, remotes: Sequence[Remote]
) -> Remote | None:
    """Which of the things at a row's place is deleted so that it can be created again; None: none is."""
    if not context.policy.replaces_failed or not remotes:
        return None
    remote = standing_of(remotes, known_id=known_id, deleted_id=row.deleted_id)
    return remote if remote.state == FAILED and remote.remote_id == known_id else None


async def remove_failed(context: LaneContext, work: Work, remote: Remote) -> Refused | None:
    """Delete it, and have the row wait until it is gone; the refusal if that was not to be."""
    answer = await persist(context, "delete", lambda: context.operation.remove(context.lane, work.row.spec, remote))
    if isinstance(answer, Refused):
        return answer
    if answer is not None:
        now = context.clock.steady()
        work.leaving, work.leaves_until, work.looks = remote.remote_id, now + context.policy.verify_s_max, 0
        work.due = now + LOOK_S_FIRST
    return None


async def is_gone(context: LaneContext, work: Work) -> bool:
    """Whether the provider says that what was deleted is gone; else the row is due for another look."""
    shown = await show(context, work.row.scope, work.leaving or "")
    if isinstance(shown, Shown) and (shown.remote is None or shown.remote.state == DELETED):
        return True
    work.looks += 1
    work.due = context.clock.steady() + min(LOOK_S_FIRST * 2.0**work.looks, LOOK_S_MAX)
    return False
