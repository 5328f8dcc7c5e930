"""When a listing is over, and whether it was whole: one pure decision for every listing that is read.

Absence is only ever concluded from a whole listing, and the provider's pages may mislead: its samples name a marker
on the last page, the item of a marker may be gone, a page may come twice or short (ListFlowLogs, 2025-12-15; api
facts, 2026-11-23). So items are counted once each, by id, and:

| a page | is the last one | the listing is whole |
|---|---|---|
| that is empty or names no marker | yes | if the count, where one is named, was reached |
| that brings the count to what is named | yes, unless its marker is real: see below | yes |
| that brings nothing new, or a marker that was used | yes | if the count was reached; none named: see below |
| else | no | |

A real marker is followed although the count was reached if the page is full, or if the count has changed since the page
before: then something that was shown may be gone, and something else be left.

A marker is real if it is the id of the page's last item, as the provider documents it. Where no
count is named, a marker that is not real and stood on a page that was not full may be none: it is followed, and if
that brings nothing new the listing was whole.

A listing that does not end is given up after `ITEMS_MAX` items or `PAGES_MAX` pages, and is not whole, whatever it
counts. What is remembered does not grow with it. Listings are asked for in the order of ids, so beyond
`REMEMBERED_MAX` items it is enough to know the highest id so far: what is above it is new. What is not above it came
before, or comes out of order, and nobody can tell which; it is left out, and then only a count that was reached makes
the listing whole. One that is out of order from the start is given up at `REMEMBERED_MAX`.
"""

from collections.abc import Callable
from typing import Generic, TypeVar

from batcher.model import Page

ITEMS_MAX = 1_000_000
"""Things in one listing: as many as the largest inventory has rows, all on one router; no quota comes near."""
PAGES_MAX = 5_000
"""So many things on pages of 200, a tenth of what is asked for; and an end for pages that bring little."""
REMEMBERED_MAX = 50_000
"""Ids that are kept: some 8 MB. A provider that does not list in the order asked for has no more at one place."""

T = TypeVar("T")


class Reading(Generic[T]):
    """One reading of a listing: `take` each page, ask with `marker` for the next, until `is_over`.

    `items_max`: after so many items it is given up. Whoever reads a page sees to it that ids are of bounded length.
    """

    def __init__(self, id_of: Callable[[T], str], items_max: int = ITEMS_MAX) -> None:
        self.marker: str | None = None
        """What the next page is asked with."""
        self.is_over = False
        self.is_whole = False
        """Whether it came to its end: what it did not show is not there."""
        self.is_endless = False
        """Whether it was given up, because it did not end."""
        self.total: int | None = None
        """How many there are, if the provider has said so."""
        self.count = 0
        """How many items have been seen, each counted once."""
        self._id_of = id_of
        self._items_max = items_max
        self._seen: set[str] | None = set()  # None: too many, and all in order until then
        self._highest = ""
        self._is_ordered = True
        self._is_steady = True  # every page has named the same count
        self._is_blurred = False  # something was left out that may be new
        self._markers: set[str] = set()
        self._pages = 0
        self._is_doubtful = False  # the marker that leads to the next page may be none

    def take(self, page: Page[T]) -> tuple[T, ...]:
        """Note a page; its items that no page before has shown."""
        before = self.count
        new = tuple(item for item in page.items if self._is_new(self._id_of(item)))
        self._is_steady = self._is_steady and (self._pages == 0 or page.total == self.total)
        self._pages += 1
        self.total = page.total
        is_counted = page.total is not None and self.count >= page.total
        is_real = bool(page.items) and page.next_marker == self._id_of(page.items[-1])
        is_full = len(page.items) >= page.limit
        is_open = is_real and (is_full or not self._is_steady)
        is_last = not page.items or page.next_marker is None or (is_counted and not is_open)
        is_stuck = self.count == before or page.next_marker in self._markers
        self.is_endless = not (is_last or is_stuck) and self._is_too_much()
        self.is_over = is_last or is_stuck or self.is_endless
        is_end = (is_last or (self.count == before and self._is_doubtful)) and not self._is_blurred
        self.is_whole = self.is_over and not self.is_endless and (is_counted or (page.total is None and is_end))
        self._is_doubtful = not is_real and not is_full
        if page.next_marker is not None and not self.is_over:
            self._markers.add(page.next_marker)
            self.marker = page.next_marker
        return new

    def _is_new(self, item_id: str) -> bool:
        """Note an item; whether it is surely none that was seen before."""
        if self._seen is not None:
            if item_id in self._seen:
                return False
            self._seen.add(item_id)
            self._is_ordered = self._is_ordered and item_id > self._highest
        elif item_id <= self._highest:
            self._is_blurred = True
            return False
        self._highest = max(self._highest, item_id)
        self.count += 1
        return True

    def _is_too_much(self) -> bool:
        """Whether a listing that goes on is not read on; beyond what is remembered only its order is."""
        if self._seen is not None and self.count > REMEMBERED_MAX:
            if not self._is_ordered:
                return True
            self._seen = None
        return self.count >= self._items_max or self._pages >= PAGES_MAX
