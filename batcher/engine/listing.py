"""Read what stands in a scope, page by page, and say whether that was all of it.

Absence is only ever concluded from a listing that is whole: the provider's count was reached, or it named no
further page. A page that failed for good, a marker that comes back, a count that was not reached, or a lane
that closed leave the listing incomplete, and what it did not show unknown. (Markers: the provider's samples
show one even on the last page; api facts, 2026-11-23.)
"""

from collections.abc import AsyncIterator, Sequence

from batcher.engine.context import LaneContext
from batcher.engine.persist import persist
from batcher.model import Page, Refused, Remote

PAGES_MAX = 10_000
"""20 million things in one scope: far beyond any quota, and an end for a marker that never does."""


class ScopeListing:
    """One reading of a scope; `complete` and `refused` hold once `pages` has ended."""

    def __init__(self, context: LaneContext, scope: str, only: Sequence[str] = ()) -> None:
        self.complete = False
        self.refused: Refused | None = None
        self._context = context
        self._scope = scope
        self._only = only

    async def pages(self) -> AsyncIterator[tuple[Remote, ...]]:
        """Yield the items of each page; ends without raising whatever the provider does."""
        marker: str | None = None
        seen: set[str] = set()
        count = 0
        for _ in range(PAGES_MAX):
            page = await self._page(marker)
            if page is None:
                return
            count += len(page.items)
            yield page.items
            if is_last(page, count):
                self.complete = page.total is None or count >= page.total
                return
            marker = page.next_marker
            if marker is None or marker in seen:
                return
            seen.add(marker)

    async def _page(self, marker: str | None) -> Page | None:
        context = self._context
        answer = await persist(
            context, "list", lambda: context.operation.page(context.lane, self._scope, marker, self._only)
        )
        if isinstance(answer, Refused):
            self.refused = answer
            return None
        return answer


def is_last(page: Page, count: int) -> bool:
    """Whether no page follows, when `count` items have been seen with this one. Pure."""
    if not page.items or page.next_marker is None:
        return True
    return page.total is not None and count >= page.total and len(page.items) < page.limit
