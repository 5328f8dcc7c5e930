"""What two listings that lack a row prove, and when what the first one lacked counts no more."""

from batcher.engine.absence import Misses

LAG_S = 120.0


def test_two_listings_far_enough_apart_tell_of_the_rows_that_both_lack() -> None:
    misses = Misses(LAG_S)
    assert misses.twice("router", [1, 2], 10.0) == []
    assert misses.twice("router", [1, 2], 100.0) == []
    assert misses.twice("router", [2, 3], 10.0 + LAG_S) == [2]
    assert misses.twice("router", [3], 10.0 + 2 * LAG_S) == [3]


def test_a_row_that_was_made_again_or_seen_is_not_gone_by_a_listing_from_before() -> None:
    misses = Misses(LAG_S)
    misses.twice("router", [1, 2], 10.0)
    misses.forget("router", [1])
    misses.forget("another router", [2])
    assert misses.twice("router", [1, 2], 10.0 + LAG_S) == [2]
    assert misses.twice("router", [1, 2], 10.0 + 2 * LAG_S) == [1, 2]
