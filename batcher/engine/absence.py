"""Whether nothing stands at a row's place any more, so that the row may be made under another token.

A listing may lag: what was made minutes ago it may not show yet. So one listing that lacks a thing proves nothing.
What proves that it is gone:

- the provider's answer to its own id: there is none;
- two looks, each of them whole, of which the second began `EnginePolicy.listing_lag_s` after the first.

Meanwhile the row waits, without holding a worker.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from batcher.engine.context import LaneContext
from batcher.engine.listing import ScopeListing
from batcher.engine.look_up import LookUps
from batcher.engine.persist import persist
from batcher.engine.row_queue import Work
from batcher.engine.row_set import RowSet
from batcher.model import ClaimedRow, LedgerRow, Refused, Remote, Shown
from batcher.policy.found import is_leaving


class Misses:
    """What whole listings have lacked: which rows of a scope two of them did that began long enough apart."""

    def __init__(self, listing_lag_s: float) -> None:
        self._listing_lag_s = listing_lag_s
        self._missed: dict[str, tuple[float, RowSet]] = {}

    def twice(self, scope: str, missing: Sequence[int], began: float) -> list[int]:
        """Those of the `missing` rows that a reading lacked as well which began `listing_lag_s` before `began`."""
        first_began, before = self._missed.setdefault(scope, (began, RowSet(missing)))
        if began == first_began or began - first_began < self._listing_lag_s:
            return []
        self._missed[scope] = (began, RowSet(missing))
        return [row_no for row_no in missing if row_no in before]

    def forget(self, scope: str, row_nos: Iterable[int]) -> None:
        """What was missed of these rows counts no more: it was seen since, or they are made again."""
        if scope in self._missed:
            for row_no in row_nos:
                self._missed[scope][1].discard(row_no)


@dataclass(frozen=True, slots=True)
class Found:
    """Something stands there."""

    remotes: Sequence[Remote]


@dataclass(frozen=True, slots=True)
class Absent:
    """Nothing stands there, surely."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing was seen; the next look that counts is at `due` (steady clock)."""

    due: float


@dataclass(frozen=True, slots=True)
class Unreadable:
    """The listing could not be read to its end."""

    listing: ScopeListing


async def look_for(context: LaneContext, look_ups: LookUps, work: Work) -> Found | Absent | Wait | Unreadable:
    """What stands at the place of a row whose token must not be used again if nothing does."""
    row, now = work.row, context.clock.steady()
    first = context.listed_at.get(row.scope) if work.missed_at is None else work.missed_at
    if first is None or now - first >= context.policy.listing_lag_s:
        listed, listing = await look_ups.find(row)
        remotes = await without_gone(context, row, row.believed_id, listed, is_old=first is not None)
        if any(not is_leaving(remote, row.deleted_id) for remote in remotes):
            return Found(remotes)
        if not listing.complete:
            return Unreadable(listing)
        if first is not None:
            return Absent()
        work.missed_at = first = now
    if row.believed_id is not None:
        shown = await show(context, row.scope, row.believed_id)
        if isinstance(shown, Shown):
            is_there = shown.remote is not None and not is_leaving(shown.remote, row.deleted_id)
            return Found([shown.remote]) if shown.remote is not None and is_there else Absent()
    return Wait(first + context.policy.listing_lag_s)


async def without_gone(
    context: LaneContext, row: ClaimedRow | LedgerRow, known_id: str | None, remotes: Sequence[Remote], *, is_old: bool
) -> list[Remote]:
    """What a listing shows at a row's place, without what the provider, asked for its id, says is gone.

    Asked for is what this ledger may have deleted: whose delete was sent and never seen to work; and, at a place from
    which it has deleted something, what no run has known to stand there since (`known_id`). Where the provider does not
    tell, the former counts as standing only if the listing `is_old` enough to lack it.
    """
    left: list[Remote] = []
    for remote in remotes:
        is_doubted = remote.remote_id == row.leaving_id
        is_strange = row.deleted_id is not None and remote.remote_id not in (row.deleted_id, known_id)
        if is_leaving(remote) or not (is_doubted or is_strange):
            left.append(remote)
            continue
        shown = await show(context, row.scope, remote.remote_id)
        if isinstance(shown, Shown):
            stands = shown.remote is not None and not is_leaving(shown.remote)
        else:
            stands = is_old or not is_doubted
        if stands:
            left.append(remote)
    return left


async def show(context: LaneContext, scope: str, remote_id: str) -> Shown | Refused | None:
    """What the provider says of an id; None if the lane closed before it said anything."""
    return await persist(context, "show", lambda: context.operation.show(context.lane, scope, remote_id))
