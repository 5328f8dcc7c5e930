"""When a listing is over, and whether what it did not show is known not to be there."""

import pytest

from batcher.model import Page
from batcher.policy.paging import PAGES_MAX, Reading

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


def test_a_listing_without_end_is_given_up() -> None:
    reading: Reading[str] = Reading(str)
    for number in range(PAGES_MAX):
        assert not reading.is_over
        reading.take(Page((f"id {number}",), f"id {number}", PAGES_MAX + 1, 1))
    assert reading.is_over
    assert not reading.is_whole
