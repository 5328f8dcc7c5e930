"""Find rows' things in the provider's listing while a lane sends: one reading of a scope at a time.

A row that asks waits for the reading that is under way, and the next one is for all rows that wait by then: a
hundred rows in doubt on one router cost a few calls and not a hundred. A row is only ever answered by a reading that
began after it asked.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice

import anyio

from batcher.engine.context import LaneContext
from batcher.engine.listing import ScopeListing
from batcher.model import ClaimedRow, NaturalKey, Remote, RowState

LOOK_UP_ROWS_MAX = 50
"""Rows of one reading: each is a parameter of the URL, of some 50 bytes."""


@dataclass(slots=True)
class _Desk:
    """Who waits at a scope, and the answers that wait for them."""

    lock: anyio.Lock = field(default_factory=anyio.Lock)
    waiting: dict[NaturalKey, str] = field(default_factory=dict)
    answers: dict[NaturalKey, tuple[list[Remote], ScopeListing]] = field(default_factory=dict)


class LookUps:
    """The look-ups of one lane."""

    def __init__(self, context: LaneContext) -> None:
        self._context = context
        self._desks: dict[str, _Desk] = {}

    async def find(self, row: ClaimedRow, *, is_refused: bool = False) -> tuple[list[Remote], ScopeListing]:
        """All that the listing shows at the row's place, and the listing, which says whether it was read whole.

        If the provider has refused it for good, and its scope was sent blind, all of the scope is listed.
        """
        desk = self._desks.setdefault(row.scope, _Desk())
        desk.waiting[row.key] = row.spec
        async with desk.lock:
            if row.key in desk.waiting:
                await self._read(desk, row, is_whole=is_refused and self._context.blind.is_to_be_listed(row))
            return desk.answers.pop(row.key)

    async def _read(self, desk: _Desk, row: ClaimedRow, *, is_whole: bool) -> None:
        asked = {row.key: desk.waiting.pop(row.key)}
        asked.update({key: desk.waiting[key] for key in islice(desk.waiting, LOOK_UP_ROWS_MAX - 1)})
        for key in asked:
            desk.waiting.pop(key, None)
        context, began = self._context, self._context.clock.steady()
        listing = ScopeListing(context, row.scope, only=() if is_whole else tuple(asked.values()))
        found: dict[NaturalKey, list[Remote]] = {key: [] for key in asked}
        async for items in listing.pages():
            for item in items:
                if item.key in asked:
                    found[item.key].append(item)
            if is_whole:
                await self._keep([item for item in items if item.key not in asked])
        if is_whole and listing.complete:
            context.listed[row.scope], context.listed_at[row.scope] = listing.count, began
        desk.answers.update({key: (remotes, listing) for key, remotes in found.items()})

    async def _keep(self, items: Sequence[Remote]) -> None:
        """Keep what stands at the places of other rows of the lane, for when their turn comes."""
        by_key: dict[NaturalKey, list[Remote]] = {}
        for item in items:
            by_key.setdefault(item.key, []).append(item)
        rows = await self._context.ledger.match(self._context.lease, list(by_key)) if by_key else []
        for row in rows:
            if row.state in {RowState.PLANNED, RowState.CLAIMED}:
                self._context.blind.keep(row.key, by_key[row.key])
