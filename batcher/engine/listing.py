"""Read what stands in a scope, page by page, and say whether that was all of it.

`policy.paging` decides when a listing is over and whole. A page that failed for good and a lane that closed leave it
incomplete, and what it did not show unknown.
"""

from collections.abc import AsyncIterator, Sequence

from batcher.engine.context import LaneContext
from batcher.engine.persist import persist
from batcher.model import Page, Refused, Remote
from batcher.policy.paging import Reading


class ScopeListing:
    """One reading of a scope; `complete`, `endless`, `count` and `refused` hold once `pages` has ended."""

    def __init__(self, context: LaneContext, scope: str, only: Sequence[str] = ()) -> None:
        self.complete = False
        self.endless = False
        self.count = 0
        self.refused: Refused | None = None
        self._context = context
        self.scope = scope
        self._only = only

    async def pages(self) -> AsyncIterator[tuple[Remote, ...]]:
        """Yield the items of each page, each item once; ends without raising whatever the provider does."""
        reading: Reading[Remote] = Reading(lambda item: item.remote_id)
        while not reading.is_over:
            page = await self._page(reading.marker)
            if page is None:
                return
            items = reading.take(page)
            self.count = reading.count
            yield items
        self.complete, self.endless = reading.is_whole, reading.is_endless

    async def _page(self, marker: str | None) -> Page[Remote] | None:
        context = self._context
        answer = await persist(
            context, "list", lambda: context.operation.page(context.lane, self.scope, marker, self._only)
        )
        if isinstance(answer, Refused):
            self.refused = answer
            return None
        return answer


def unreadable(listing: ScopeListing) -> str:
    """Why a listing settles nothing, for a reader."""
    if listing.endless:
        return f"the listing did not end after {listing.count:,} items"
    cause = f": {listing.refused.code} {listing.refused.message}" if listing.refused else ""
    return f"the listing could not be read to its end{cause}"
