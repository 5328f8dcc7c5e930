"""Until when a sitting works, and how many more it takes."""

from datetime import UTC, datetime

import pytest

from batcher.policy.deadline import next_clock, nights_left, parse_clock


@pytest.mark.parametrize(
    ("text", "clock"), [("06:00", (6, 0)), ("6:00", (6, 0)), (" 23:59 ", (23, 59)), ("0:00", (0, 0))]
)
def test_a_time_of_day(text: str, clock: tuple[int, int]) -> None:
    assert parse_clock(text) == clock


@pytest.mark.parametrize("text", ["", "6", "24:00", "06:60", "06:0", "6am", "06:00:00", "-1:00"])
def test_what_is_no_time_of_day(text: str) -> None:
    with pytest.raises(ValueError, match="06:00"):
        parse_clock(text)


@pytest.mark.parametrize(
    ("now", "end"),
    [
        ("2026-11-25 02:00:00", "2026-11-25 06:00:00"),
        ("2026-11-25 05:59:59", "2026-11-25 06:00:00"),
        ("2026-11-25 06:00:00", "2026-11-26 06:00:00"),
        ("2026-11-25 22:00:00", "2026-11-26 06:00:00"),
        ("2026-12-31 22:00:00", "2027-01-01 06:00:00"),
    ],
)
def test_the_next_time_that_the_clock_shows_it(now: str, end: str) -> None:
    began = datetime.fromisoformat(now).replace(tzinfo=UTC)
    assert next_clock(began, 6, 0) == datetime.fromisoformat(end).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("left", "done", "worked_s", "night_s", "nights"),
    [
        (0, 10, 60.0, 60.0, 0),
        (10, 10, 60.0, 60.0, 1),
        (11, 10, 60.0, 60.0, 2),
        (100, 10, 30.0, 60.0, 5),
        (5, 0, 60.0, 60.0, None),
    ],
)
def test_nights_at_this_pace(left: int, done: int, worked_s: float, night_s: float, nights: int | None) -> None:
    assert nights_left(left, done, worked_s, night_s) == nights
