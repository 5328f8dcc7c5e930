"""The clock of an endpoint beside ours: measured now and then, told once, corrected after a refusal only."""

import pytest

from batcher.cloud.skew import MEASURE_EVERY_S, WARN_S, EndpointTime

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
    time = EndpointTime()
    assert time.measure(date(text), NOON) is warns
    assert time.skew_s == skew_s
    assert time.offset_s == 0.0


def test_it_is_told_once() -> None:
    time = EndpointTime()
    assert [time.measure(date("11:00:00"), NOON + 60 * n) for n in range(3)] == [True, False, False]


def test_it_is_measured_once_a_minute() -> None:
    time = EndpointTime()
    assert time.is_due(NOON)
    time.measure(date("12:00:00"), NOON)
    assert not time.is_due(NOON + MEASURE_EVERY_S - 1)
    assert time.is_due(NOON + MEASURE_EVERY_S)


@pytest.mark.parametrize("headers", [{}, {"Date": "yesterday"}, {"Date": ""}])
def test_an_answer_without_a_date_tells_nothing_and_corrects_nothing(headers: dict[str, str]) -> None:
    time = EndpointTime()
    time.measure(date("11:00:00"), NOON)
    assert time.measure(headers, NOON + 1) is False
    assert time.skew_s == 3600.0
    assert time.correct(NOON + 1) is False


def test_a_refused_call_is_dated_anew_by_what_the_refusal_showed() -> None:
    time = EndpointTime()
    time.measure(date("13:00:00"), NOON)
    assert time.correct(NOON) is True
    assert NOON + time.offset_s == NOON + 3600.0
    assert time.is_due(NOON + time.offset_s + MEASURE_EVERY_S)


def test_a_call_that_was_dated_rightly_is_not_refused_for_its_date() -> None:
    """So a wrong key at a machine with a wrong clock is refused twice and not for ever."""
    time = EndpointTime()
    time.measure(date("13:00:00"), NOON)
    assert time.correct(NOON)
    time.measure(date("13:00:05"), NOON + 5)
    assert not time.correct(NOON + 5 + time.offset_s)


def test_a_clock_that_steps_after_it_was_corrected_is_corrected_again() -> None:
    time = EndpointTime()
    time.measure(date("13:00:00"), NOON)
    assert time.correct(NOON)
    stepped = NOON + 3600.0 + 60  # somebody has set the clock right
    time.measure(date("13:01:00"), stepped)
    assert time.correct(stepped + time.offset_s)
    assert time.offset_s == 0.0


def test_what_is_within_the_five_minutes_is_not_the_reason_for_a_refusal() -> None:
    time = EndpointTime()
    time.measure(date("12:05:00"), NOON)
    assert not time.correct(NOON)
    assert WARN_S == 300.0
