"""The search for a rate that nobody has told."""

import pytest

from batcher.model import Window
from batcher.policy.rate_search import DOUBLING_S, FALL, MAX_PER_S, MIN_PER_S, RETURN_S, START_PER_S, RateSearch


def use(search: RateSearch, seconds: float, *, since: float = 0.0) -> float:
    """Calls at the rate that is allowed, for so long; when that ends."""
    now = since
    search.answered(now)
    while now < since + seconds:
        now += 1.0 / search.per_s
        search.answered(now)
    return now


def test_it_starts_low_and_doubles_while_answers_are_clean() -> None:
    search = RateSearch()
    assert search.per_s == START_PER_S == 1.0
    now = use(search, DOUBLING_S)
    assert search.per_s == pytest.approx(2.0, rel=0.15)
    use(search, 2 * DOUBLING_S, since=now)
    assert search.per_s == pytest.approx(8.0, rel=0.15)


def test_it_never_exceeds_half_of_what_the_gateway_allows() -> None:
    search = RateSearch()
    use(search, 600.0)
    assert MAX_PER_S / 1.05 < search.per_s <= MAX_PER_S


def test_a_refusal_makes_it_fall_and_it_lingers_about_what_was_refused() -> None:
    search = RateSearch()
    now = use(search, 40.0)
    refused_per_s = search.per_s
    assert search.refused(now)
    assert search.per_s == pytest.approx(FALL * refused_per_s)
    half = use(search, RETURN_S / 2, since=now)
    assert 0.9 * refused_per_s < search.per_s < refused_per_s
    use(search, RETURN_S, since=half)
    assert search.per_s > refused_per_s


def test_refusals_of_calls_that_were_in_flight_together_count_once() -> None:
    search = RateSearch()
    now = use(search, 40.0)
    assert search.refused(now)
    rate = search.per_s
    assert [search.refused(now), search.refused(now)] == [False, False]
    assert search.per_s == rate


def test_what_is_not_used_proves_nothing() -> None:
    idle = RateSearch()
    idle.answered(0.0)
    idle.answered(3600.0)
    assert idle.per_s < 1.2


def test_it_does_not_fall_to_nothing() -> None:
    search, now = RateSearch(), 0.0
    for _ in range(50):
        now = use(search, 5.0, since=now)
        search.refused(now)
    assert search.per_s >= MIN_PER_S


def test_a_rate_is_a_window_of_ten_seconds() -> None:
    assert RateSearch().window == Window(10, 10.0)
