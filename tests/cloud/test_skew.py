"""The clock of an endpoint beside ours: narrowed down by answers, told once, corrected once until something works."""

import pytest

from batcher.cloud.skew import EndpointClock
from batcher.model import ClockOffset

NOON = 1_713_528_000.0  # 2024-04-19 12:00 UTC


def date(text: str) -> dict[str, str]:
    """The headers of an answer that was dated so on that day."""
    return {"Date": f"Fri, 19 Apr 2024 {text} GMT"}


def answered(clock: EndpointClock, text: str, now: float = NOON) -> bool:
    """An answer that was dated `text` and came at `now` by the wall clock; what `measure` says."""
    return clock.measure(date(text), now, sent=0.0, came=0.0)


# --- what time it is there --------------------------------------------------------------------------------


def offset(clock: EndpointClock, text: str, sent: float, came: float) -> tuple[float, float]:
    """What is known after an answer, as seconds beside noon."""
    clock.measure(date(text), NOON, sent=sent, came=came)
    assert clock.offset is not None
    return round(clock.offset.low - NOON, 4), round(clock.offset.high - NOON, 4)


def test_before_its_first_answer_nothing_is_known() -> None:
    assert EndpointClock().offset is None


def test_an_answer_was_dated_between_its_sending_and_its_coming() -> None:
    """Sent at 99.5 and here at 100.25; the date is cut to a whole second."""
    clock = EndpointClock()
    assert offset(clock, "12:00:00", 99.5, 100.25) == (-100.25, -98.5)
    assert clock.offset == ClockOffset(NOON - 100.25, NOON - 98.5)


def test_answers_at_other_phases_of_the_second_narrow_it_down() -> None:
    """The clock there is exactly 100 s behind our steady one, beside noon; each answer takes 20 ms."""
    clock = EndpointClock()
    assert offset(clock, "12:00:00", 100.50, 100.52) == (-100.52, -99.5)
    assert offset(clock, "12:00:01", 101.90, 101.92) == (-100.52, -99.9)
    assert offset(clock, "12:00:02", 102.03, 102.05) == (-100.05, -99.9)
    assert offset(clock, "12:00:03", 103.00, 103.02) == (-100.02, -99.9)
    assert offset(clock, "12:00:03", 103.97, 103.99) == (-100.02, -99.97)


def test_an_answer_that_took_long_takes_nothing_back() -> None:
    clock = EndpointClock()
    offset(clock, "12:00:00", 100.00, 100.02)
    assert offset(clock, "12:00:30", 110.0, 130.9) == (-100.02, -99.0)


def test_a_step_of_the_providers_clock_is_believed_and_what_was_known_is_forgotten() -> None:
    clock = EndpointClock()
    offset(clock, "12:00:00", 100.00, 100.02)
    offset(clock, "12:00:03", 103.97, 103.99)
    assert offset(clock, "12:00:08", 104.5, 104.52) == (-96.52, -95.5)  # four seconds ahead now
    assert offset(clock, "12:00:09", 105.9, 105.92) == (-96.52, -95.9)
    assert offset(clock, "12:00:05", 105.95, 105.97) == (-100.97, -99.95)  # and back


def test_a_step_of_our_own_wall_clock_changes_nothing_of_the_time_there() -> None:
    clock = EndpointClock()
    clock.measure(date("12:00:00"), NOON, sent=100.5, came=100.52)
    known = clock.offset
    clock.measure(date("12:00:00"), NOON + 7200, sent=100.5, came=100.52)
    assert (clock.offset, clock.skew_s) == (known, 7200.0)


@pytest.mark.parametrize("headers", [{}, {"Date": "yesterday"}, {"Date": ""}])
def test_an_answer_without_a_date_tells_nothing_and_corrects_nothing(headers: dict[str, str]) -> None:
    clock = EndpointClock()
    clock.measure(date("11:00:00"), NOON, sent=1.0, came=1.5)
    known = clock.offset
    assert clock.measure(headers, NOON + 1, sent=2.0, came=2.5) is False
    assert (clock.skew_s, clock.offset) == (3600.0, known)
    assert clock.corrects(NOON + 1, 0.0) is False
    assert clock.correction_s == 0.0


# --- what is told -----------------------------------------------------------------------------------------


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
    assert answered(clock, text) is warns
    assert clock.skew_s == skew_s


def test_it_is_told_once() -> None:
    clock = EndpointClock()
    assert [answered(clock, "11:00:00", NOON + 60 * n) for n in range(3)] == [True, False, False]


# --- when a call is dated ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "corrects", "correction_s"),
    [
        ("12:00:00", False, 0.0),
        ("12:14:00", False, 0.0),
        ("12:14:01", True, 841.0),
        ("11:46:00", False, 0.0),
        ("11:45:59", True, -841.0),
    ],
)
def test_only_a_date_that_is_off_by_nearly_fifteen_minutes_can_be_the_reason(
    text: str, corrects: bool, correction_s: float
) -> None:
    clock = EndpointClock()
    answered(clock, text)
    assert clock.corrects(NOON, 0.0) is corrects
    assert clock.correction_s == correction_s


def test_nothing_is_corrected_unasked() -> None:
    clock = EndpointClock()
    answered(clock, "13:00:00")
    clock.succeeded()
    assert clock.correction_s == 0.0


def test_a_call_that_was_dated_by_the_endpoints_clock_is_not_refused_for_its_date() -> None:
    """So a wrong key at a machine with a wrong clock is refused twice and not for ever."""
    clock = EndpointClock()
    answered(clock, "13:00:05", NOON + 5)
    assert clock.corrects(NOON + 5, 0.0)
    assert clock.correction_s == 3600.0
    answered(clock, "13:00:06", NOON + 6)
    assert not clock.corrects(NOON + 6 + 3600.0, 3600.0)


def test_a_correction_is_believed_once_however_the_clock_there_moves() -> None:
    """Else whoever answers with another date each time would hear the keys each time."""
    clock = EndpointClock()
    answered(clock, "13:00:00")
    assert clock.corrects(NOON, 0.0)
    for text in ("14:00:00", "10:00:00", "12:00:00", "18:00:00"):
        answered(clock, text)
        assert not clock.corrects(NOON + 3600.0, 3600.0)
        assert clock.correction_s == 3600.0


def test_a_call_that_was_dated_before_the_correction_in_force_is_out_of_date_and_goes_again() -> None:
    """Of many calls side by side the first refusal corrects; the others were signed before, and change nothing."""
    clock = EndpointClock()
    answered(clock, "13:00:00")
    assert clock.corrects(NOON, 0.0)
    answered(clock, "13:00:02", NOON + 1)
    assert clock.corrects(NOON + 1, 0.0)
    assert clock.correction_s == 3600.0


def test_a_success_renews_the_right_to_correct() -> None:
    clock = EndpointClock()
    answered(clock, "13:00:00")
    assert clock.corrects(NOON, 0.0)
    answered(clock, "13:00:01", NOON + 1)
    clock.succeeded()
    answered(clock, "15:00:00", NOON + 2)  # it was set, or ours was
    assert clock.corrects(NOON + 2 + 3600.0, 3600.0)
    assert clock.correction_s == 10_798.0
    answered(clock, "18:00:00", NOON + 3)
    assert not clock.corrects(NOON + 3 + 10_798.0, 10_798.0)
