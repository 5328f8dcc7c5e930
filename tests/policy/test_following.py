"""When a lane looks at what was accepted: tables worked out by hand, at times on a steady clock."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batcher.policy.following import (
    LOOK_SHARE,
    NEW_ROWS_A_CALL,
    STOP_LOOK_S,
    TURN_SHARE,
    Sight,
    calls_of,
    due_at,
    due_looks,
    kept_s,
    last_looks,
    turn_s,
)


@pytest.mark.parametrize(
    ("new", "calls", "was_looked_at", "due"),
    [
        # the first look of a sitting: 12 s after its first row, or 5 s a call where 100 rows a call are there
        (1, 1, False, 1012.0),
        (99, 1, False, 1012.0),
        (100, 1, False, 1005.0),
        (100, 2, False, 1012.0),
        (200, 2, False, 1010.0),
        (300, 3, False, 1012.0),
        # later ones: after 30 s, or as above
        (0, 1, True, 1030.0),
        (99, 1, True, 1030.0),
        (100, 1, True, 1005.0),
        (999, 10, True, 1030.0),
        (400, 4, True, 1020.0),
        (1000, 10, True, 1030.0),
    ],
)
def test_a_scope_is_due_when_it_is_worth_a_look_or_in_time(
    new: int, calls: int, was_looked_at: bool, due: float
) -> None:
    sight = Sight(since=1000.0, newest=1000.0, new=new, calls=calls, was_looked_at=was_looked_at)
    assert due_at(sight) == due


def test_what_tells_most_a_call_comes_first_and_what_is_not_due_not_at_all() -> None:
    sights = {
        "few": Sight(0.0, 0.0, new=3),
        "large": Sight(0.0, 0.0, new=300, calls=3),
        "many": Sight(0.0, 0.0, new=250),
        "barred": Sight(0.0, 0.0, new=900, is_barred=True),
        "just seen": Sight(11.0, 11.0, new=500, was_looked_at=True),
    }
    assert due_looks(sights, 12.0) == ["many", "large", "few"]
    assert due_looks(sights, 11.9) == ["many"]
    assert due_looks(sights, 4.9) == []


@pytest.mark.parametrize(("things", "calls"), [(0, 1), (1, 1), (2000, 1), (2001, 2), (100_000, 50)])
def test_a_look_takes_a_call_for_each_two_thousand_things(things: int, calls: int) -> None:
    assert calls_of(things) == calls


@pytest.mark.parametrize(
    ("calls", "rate_per_s", "wait_s"),
    [(1, 20.0, 0.5), (50, 20.0, 25.0), (1, 1 / 60, 600.0), (1, 1000.0, 0.01)],
)
def test_looks_leave_nine_tenths_of_the_pace_to_creates(calls: int, rate_per_s: float, wait_s: float) -> None:
    assert turn_s(calls, rate_per_s) == pytest.approx(wait_s)


@pytest.mark.parametrize(
    ("code", "scopes"),
    [
        # what a person asked for: each scope, those with most that is new first
        ("BATCHER.Interrupted", ["new", "fresh", "old"]),
        ("BATCHER.Terminated", ["new", "fresh", "old"]),
        ("BATCHER.Drained", ["new", "fresh", "old"]),
        ("BATCHER.Deadline", ["new", "fresh", "old"]),
        # what the threshold stopped: not again what a look has just told
        ("BATCHER.TooManyFailures", ["new", "old"]),
    ],
)
def test_a_stop_looks_once_more_at_each_scope(code: str, scopes: list[str]) -> None:
    sights = {
        "old": Sight(80.0, 0.0, new=1, was_looked_at=True),
        "fresh": Sight(96.0, 0.0, new=2, was_looked_at=True),
        "new": Sight(99.0, 0.0, new=3),
    }
    assert last_looks(sights, code, 100.0) == scopes


@pytest.mark.parametrize(
    ("calls", "rate_per_s", "answer_s", "kept"),
    [(0, 20.0, 0.1, 0.0), (6, 20.0, 0.1, 1.4), (1, 1 / 60, 0.5, 61.5)],
)
def test_a_known_deadline_keeps_the_calls_of_the_last_looks(
    calls: int, rate_per_s: float, answer_s: float, kept: float
) -> None:
    assert kept_s(calls, rate_per_s, answer_s) == pytest.approx(kept)


def test_a_stop_leaves_time_for_the_report_within_eight_seconds() -> None:
    assert STOP_LOOK_S <= 6.0


@given(
    st.lists(st.tuples(st.floats(0.0, 3.0), st.integers(1, 4)), min_size=1, max_size=400),
    st.integers(1, 5),
)
def test_looks_that_are_worth_it_cost_a_hundredth_of_the_creates(creates: list[tuple[float, int]], calls: int) -> None:
    """Whatever the pace: of a scope that always has enough that is new, beside its first look."""
    sight, now, cost, made = Sight(0.0, 0.0, calls=calls), 0.0, 0, 0
    for gap_s, rows in creates:
        now += gap_s
        for _ in range(rows):
            sight.accepted(now)
            made += 1
        if sight.new >= NEW_ROWS_A_CALL * sight.calls and due_at(sight) <= now:
            sight.looked(now, calls, is_barred=False)
            cost += calls
    assert cost <= LOOK_SHARE * made
    assert TURN_SHARE >= LOOK_SHARE
