"""When a listing is over, and whether what it did not show is known not to be there."""

import tracemalloc
from collections.abc import Iterable

import pytest

from batcher.model import Page
from batcher.policy.paging import ITEMS_MAX, PAGES_MAX, REMEMBERED_MAX, Reading

LIMIT = 3


def page(text: str, marker: str | None = None, total: int | None = None) -> Page[str]:
    """A page of one-letter ids, three of which are full."""
    return Page(tuple(text), marker, total, LIMIT)


def read(*pages: Page[str]) -> tuple[str, bool]:
    """What was shown, each once, and whether it was whole; every page must have been asked for."""
    reading: Reading[str] = Reading(str)
    shown = ""
    for number, each in enumerate(pages):
        assert not reading.is_over, f"page {number} was not asked for"
        shown += "".join(reading.take(each))
    assert reading.is_over, "another page would have been asked for"
    return shown, reading.is_whole


@pytest.mark.parametrize(
    ("pages", "shown", "whole"),
    [
        # as documented
        ([page("")], "", True),
        ([page("ab")], "ab", True),
        ([page("ab", total=2)], "ab", True),
        ([page("abc", "c", 5), page("de", None, 5)], "abcde", True),
        ([page("abc", "c", 3), page("", None, 3)], "abc", True),  # full, with a real marker: more may have come
        ([page("abc", "c"), page("")], "abc", True),
        ([page("ab", "b"), page("cd", "d"), page("")], "abcd", True),  # fewer than were asked for, and more to come
        # a marker on the last page
        ([page("ab", "1", 2)], "ab", True),
        ([page("abc", "1", 3)], "abc", True),
        ([page("ab", "1"), page("ab", "1")], "ab", True),
        ([page("ab", "1"), page("", None)], "ab", True),
        ([page("ab", "1"), page("cd", "2"), page("cd", "2")], "abcd", True),  # a marker of another kind
        # cut short
        ([page("ab", None, 3)], "ab", False),
        ([page("abc", "c", 5), page("d", None, 5)], "abcd", False),
        ([page("abc", "c", 5), page("", None, 5)], "abc", False),
        ([page("", "1", 5)], "", False),
        # a page that comes again
        ([page("abc", "c", 5), page("abc", "c", 5)], "abc", False),
        ([page("abc", "c"), page("abc", "c")], "abc", False),
        ([page("abc", "c", 6), page("bcd", "d", 6), page("ef", None, 6)], "abcdef", True),
        ([page("abc", "c", 3), page("abc", "c", 3)], "abc", True),  # all had been seen
        ([page("abc", "x"), page("def", "x")], "abcdef", False),  # a marker that was used
        # more or fewer while it was read
        ([page("abc", "c", 4), page("de", None, 5)], "abcde", True),
        ([page("abc", "c", 5), page("d", None, 4)], "abcd", True),
        ([page("abc", "c", 5), page("de", None, 6)], "abcde", False),
        ([page("ab", "b", 5), page("cd", "d", 4), page("e", None, 4)], "abcde", True),  # of the first two one is gone
        ([page("ab", "b", 5), page("cd", "1", 4)], "abcd", True),  # and no more was named
    ],
)
def test_a_listing_is_whole_only_where_nothing_can_be_missing(
    pages: list[Page[str]], shown: str, *, whole: bool
) -> None:
    assert read(*pages) == (shown, whole)


def test_the_next_page_is_asked_for_with_the_last_marker() -> None:
    reading: Reading[str] = Reading(str)
    reading.take(page("abc", "c", 9))
    assert (reading.marker, reading.count, reading.total) == ("c", 3, 9)


def long_page(numbers: Iterable[int], *, end: bool = False, total: int | None = None, limit: int = 2000) -> Page[str]:
    """A page of ids that are in the order of their numbers; it names its last item unless it is the `end`."""
    ids = tuple(f"{number:08d}" for number in numbers)
    return Page(ids, None if end else ids[-1], total, limit)


def in_order(reading: Reading[str], count: int, total: int | None = None) -> None:
    """Read so many items in their order, on full pages that all name a next one."""
    for start in range(0, count, 2000):
        assert not reading.is_over
        reading.take(long_page(range(start, min(start + 2000, count)), total=total))


@pytest.mark.parametrize("total", [None, 5, PAGES_MAX, 10**9])
def test_a_listing_without_end_is_given_up(total: int | None) -> None:
    reading: Reading[str] = Reading(str)
    for number in range(PAGES_MAX):
        assert not reading.is_over
        reading.take(long_page([number], total=total, limit=1))
    assert (reading.is_over, reading.is_endless, reading.is_whole) == (True, True, False)


@pytest.mark.parametrize("total", [5, 10**9])
def test_a_listing_that_goes_on_in_order_is_given_up_at_a_million(total: int) -> None:
    reading: Reading[str] = Reading(str)
    in_order(reading, ITEMS_MAX, total)
    assert (reading.is_over, reading.is_endless, reading.is_whole) == (True, True, False)
    assert reading.count == ITEMS_MAX


def test_what_is_remembered_of_a_listing_in_order_does_not_grow_with_it() -> None:
    reading: Reading[str] = Reading(str)
    tracemalloc.start()
    try:
        in_order(reading, REMEMBERED_MAX)
        assert tracemalloc.get_traced_memory()[0] < 12 << 20
        for start in range(REMEMBERED_MAX, 4 * REMEMBERED_MAX, 2000):
            reading.take(long_page(range(start, start + 2000)))
        assert tracemalloc.get_traced_memory()[0] < 1 << 20
    finally:
        tracemalloc.stop()
    assert reading.count == 4 * REMEMBERED_MAX


def test_a_listing_that_goes_on_in_no_order_is_given_up_while_its_ids_can_be_kept() -> None:
    reading: Reading[str] = Reading(str)
    pages = 0
    while not reading.is_over:
        pages += 1
        reading.take(long_page(range(10**8 - 1 - 2000 * pages, 10**8 - 1 - 2000 * (pages - 1))))
    assert (reading.is_endless, reading.is_whole) == (True, False)
    assert reading.count <= REMEMBERED_MAX + 2000


def test_who_asks_for_fewer_items_is_given_no_more() -> None:
    reading: Reading[str] = Reading(str, items_max=4000)
    in_order(reading, 4000)
    assert (reading.is_over, reading.is_endless, reading.is_whole) == (True, True, False)
    reading = Reading(str, items_max=4000)
    in_order(reading, 2000)
    reading.take(long_page(range(2000, 4000), end=True))
    assert (reading.is_over, reading.is_endless, reading.is_whole) == (True, False, True)


LONG = 60_000
MORE = range(LONG, LONG + 500)


@pytest.mark.parametrize(
    ("pages", "count", "whole"),
    [
        ([long_page(MORE, end=True)], LONG + 500, True),
        ([long_page(MORE, end=True, total=LONG + 500)], LONG + 500, True),
        ([long_page(MORE, end=True, total=LONG + 501)], LONG + 500, False),
        ([long_page(range(2000))], LONG, False),  # one that was seen, or is out of order: nobody knows
        ([long_page(range(LONG - 10, LONG + 500), end=True)], LONG + 500, False),
        ([long_page(range(LONG - 10, LONG + 500), end=True, total=LONG + 500)], LONG + 500, True),
        ([long_page(range(LONG - 10, LONG + 500), total=LONG + 600)], None, False),
        ([long_page(range(LONG - 10, LONG + 500)), Page((), None, None, 2000)], LONG + 500, False),
    ],
)
def test_what_a_long_listing_shows_out_of_order_leaves_it_unwhole_unless_a_count_is_reached(
    pages: list[Page[str]], count: int | None, *, whole: bool
) -> None:
    reading: Reading[str] = Reading(str)
    in_order(reading, LONG)
    for each in pages:
        assert not reading.is_over
        reading.take(each)
    assert (reading.is_over, reading.is_whole) == (count is not None, whole)
    assert count is None or reading.count == count
