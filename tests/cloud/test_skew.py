"""The clock of an endpoint beside ours: measured now and then, told once, corrected after a refusal only."""

import pytest

from batcher.cloud.skew import MEASURE_EVERY_S, EndpointClock

NOON = 1_713_528_000.0  # 2024-04-19 12:00 UTC


def date(text: str) -> dict[str, str]:
    """The headers of an answer that was dated so on that day."""
    return {"Date": f"Fri, 19 Apr 2024 {text} GMT"}


@pytest.mark.parametrize(
    ("text", "skew_s", "warns"),
    [
        ("12:00:00", 0.0, False),
        ("11:55:00", 300.0, False),
        ("11:54:59", 301.0, True),
        ("12:05:00", -300.0, False),
        ("12:05:01", -301.0, True),
    ],
)
def test_more_than_five_minutes_are_worth_a_warning(text: str, skew_s: float, warns: bool) -> None:
    clock = EndpointClock()
    assert clock.measure(date(text), NOON) is warns
    assert clock.skew_s == skew_s


def test_it_is_told_once() -> None:
    clock = EndpointClock()
    assert [clock.measure(date("11:00:00"), NOON + 60 * n) for n in range(3)] == [True, False, False]


def test_it_is_measured_once_a_minute() -> None:
    clock = EndpointClock()
    assert clock.is_due(NOON)
    clock.measure(date("12:00:00"), NOON)
    assert not clock.is_due(NOON + MEASURE_EVERY_S - 1)
    assert clock.is_due(NOON + MEASURE_EVERY_S)


@pytest.mark.parametrize("headers", [{}, {"Date": "yesterday"}, {"Date": ""}])
def test_an_answer_without_a_date_tells_nothing_and_corrects_nothing(headers: dict[str, str]) -> None:
    clock = EndpointClock()
    clock.measure(date("11:00:00"), NOON)
    assert clock.measure(headers, NOON + 1) is False
    assert clock.skew_s == 3600.0
    assert clock.refuses(NOON + 1) is False


@pytest.mark.parametrize(
    ("text", "refuses"),
    [("12:00:00", False), ("12:14:00", False), ("12:14:01", True), ("11:46:00", False), ("11:45:59", True)],
)
def test_only_a_date_that_is_off_by_nearly_fifteen_minutes_can_be_the_reason(text: str, refuses: bool) -> None:
    clock = EndpointClock()
    clock.measure(date(text), NOON)
    assert clock.refuses(NOON) is refuses


def test_a_call_that_was_dated_by_the_endpoints_clock_is_not_refused_for_its_date() -> None:
    """So a wrong key at a machine with a wrong clock is refused twice and not for ever."""
    clock = EndpointClock()
    clock.measure(date("13:00:05"), NOON + 5)
    assert not clock.refuses(NOON + 3600)
    assert clock.refuses(NOON + 5)
