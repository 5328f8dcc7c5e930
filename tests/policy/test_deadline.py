"""Until when a sitting works, and how many more it takes."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

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
    began = datetime.fromisoformat(now).replace(tzinfo=UTC).timestamp()
    assert next_clock(began, 6, 0, UTC) == (datetime.fromisoformat(end).replace(tzinfo=UTC).timestamp(), "")


BERLIN = ZoneInfo("Europe/Berlin")
"""Set forward on 2027-03-28 at 02:00 and back on 2026-10-25 at 03:00."""


@pytest.mark.parametrize(
    ("now", "clock", "end", "note"),
    [
        ("2027-03-27T22:00+01:00", (6, 0), "2027-03-28T06:00+02:00", ""),
        ("2027-03-28T01:30+01:00", (6, 0), "2027-03-28T06:00+02:00", ""),
        (
            "2027-03-27T22:00+01:00",
            (2, 30),
            "2027-03-28T03:30+02:00",
            "does not show 02:30 on 2027-03-28: 03:30 counts",
        ),
        ("2026-10-24T22:00+02:00", (6, 0), "2026-10-25T06:00+01:00", ""),
        ("2026-10-25T01:00+02:00", (2, 30), "2026-10-25T02:30+02:00", "twice on 2026-10-25: the first time counts"),
        ("2026-10-25T02:45+02:00", (2, 30), "2026-10-25T02:30+01:00", "twice on 2026-10-25: the second time counts"),
        ("2026-10-25T02:45+01:00", (2, 30), "2026-10-26T02:30+01:00", ""),
        ("2026-10-25T02:10+02:00", (4, 0), "2026-10-25T04:00+01:00", ""),
    ],
)
def test_the_time_on_the_wall_counts_also_when_the_clock_is_set(
    now: str, clock: tuple[int, int], end: str, note: str
) -> None:
    found = next_clock(datetime.fromisoformat(now).timestamp(), *clock, BERLIN)
    assert found.at == datetime.fromisoformat(end).timestamp()
    assert found.note.endswith(note)
    assert bool(found.note) == bool(note)


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
