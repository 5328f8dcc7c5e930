"""When a listing is over, and whether it was whole: one pure decision for every listing that is read.

Absence is only ever concluded from a whole listing, and the provider's pages may mislead: its samples name a marker
on the last page, the item of a marker may be gone, a page may come twice or short (ListFlowLogs, 2025-12-15; api
facts, 2026-11-23). So items are counted once each, by id, and:

| a page | is the last one | the listing is whole |
|---|---|---|
| that is empty or names no marker | yes | if the count, where one is named, was reached |
| that brings the count to what is named | yes, unless it is full and its marker is real | yes |
| that brings nothing new, or a marker that was used | yes | if the count was reached; none named: see below |
| else | no | |

A marker is real if it is the id of the page's last item, as the provider documents it. Where no
count is named, a marker that is not real and stood on a page that was not full may be none: it is followed, and if
that brings nothing new the listing was whole.
"""

from collections.abc import Callable
from typing import Generic, TypeVar

from batcher.model import Page

PAGES_MAX = 10_000
"""20 million things in one listing: far beyond any quota, and an end for a marker that never does."""

T = TypeVar("T")


class Reading(Generic[T]):
    """One reading of a listing: `take` each page, ask with `marker` for the next, until `is_over`."""

    def __init__(self, id_of: Callable[[T], str]) -> None:
        self.marker: str | None = None
        """What the next page is asked with."""
        self.is_over = False
        self.is_whole = False
        """Whether it came to its end: what it did not show is not there."""
        self.total: int | None = None
        """How many there are, if the provider has said so."""
        self._id_of = id_of
        self._seen: set[str] = set()
        self._markers: set[str] = set()
        self._pages = 0
        self._is_doubtful = False  # the marker that leads to the next page may be none

    @property
    def count(self) -> int:
        """How many items have been seen, each counted once."""
        return len(self._seen)

    def take(self, page: Page[T]) -> tuple[T, ...]:
        """Note a page; its items that no page before has shown."""
        before = len(self._seen)
        new = []
        for item in page.items:
            item_id = self._id_of(item)
            if item_id not in self._seen:
                self._seen.add(item_id)
                new.append(item)
        self._pages += 1
        self.total = page.total
        is_counted = page.total is not None and self.count >= page.total
        is_real = bool(page.items) and page.next_marker == self._id_of(page.items[-1])
        is_full = len(page.items) >= page.limit
        is_last = not page.items or page.next_marker is None or (is_counted and not (is_full and is_real))
        is_stuck = self.count == before or page.next_marker in self._markers or self._pages >= PAGES_MAX
        self.is_over = is_last or is_stuck
        is_end = is_last or (self.count == before and self._is_doubtful)
        self.is_whole = self.is_over and (is_counted or (page.total is None and is_end))
        self._is_doubtful = not is_real and not is_full
        if page.next_marker is not None and not self.is_over:
            self._markers.add(page.next_marker)
            self.marker = page.next_marker
        return tuple(new)
