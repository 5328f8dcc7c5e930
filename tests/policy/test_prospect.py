"""What a plan says of a row, and the arithmetic of its costs: tables worked out by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batcher.model import Outcome, RowState, Window
from batcher.policy.prospect import (
    AS_WISHED,
    CHANGES,
    PROSPECTS,
    LaneCost,
    Prospect,
    duration_s,
    nights_of,
    pages_of,
    prospect_of,
    refused_by_quota,
)

MINUTE, HOUR = 60.0, 3600.0
SETTLED, PLANNED = RowState.SETTLED, RowState.PLANNED


@pytest.mark.parametrize(
    ("outcome", "code", "remote_state", "fix_drift", "prospect"),
    [
        (Outcome.EXISTS, "", "available", False, "exists"),
        (Outcome.EXISTS, "", "pending", True, "exists"),
        (Outcome.DRIFTED, "BATCHER.Drifted", "available", False, "drifted"),
        (Outcome.DRIFTED, "BATCHER.Drifted", "available", True, "update"),
        (Outcome.DRIFTED, "BATCHER.Drifted", "modifying", True, "drifted"),
        (Outcome.DRIFTED, "BATCHER.Drifted", None, True, "drifted"),
        (Outcome.FAILED, "BATCHER.RemoteFailed", "failed", True, "failed"),
        (Outcome.FAILED, "BATCHER.NoAttachment", None, False, "failed"),
        (Outcome.SKIPPED, "BATCHER.AttachmentNotReady", None, False, "skipped"),
        (Outcome.INVALID, "BATCHER.Invalid", None, False, "invalid"),
        (Outcome.INVALID, "BATCHER.Conflict", None, False, "conflict"),
        (Outcome.DUPLICATE, "BATCHER.Duplicate", None, True, "duplicate"),
    ],
)
@pytest.mark.parametrize(("is_listed", "is_refused"), [(True, False), (False, True), (False, False)])
def test_what_is_settled_is_what_it_is_whatever_became_of_its_router(
    outcome: Outcome,
    code: str,
    remote_state: str | None,
    fix_drift: bool,
    prospect: str,
    is_listed: bool,
    is_refused: bool,
) -> None:
    found = prospect_of(
        SETTLED, outcome, code, remote_state, is_listed=is_listed, is_refused=is_refused, fix_drift=fix_drift
    )
    assert found == prospect


@pytest.mark.parametrize(
    ("is_listed", "is_refused", "prospect"),
    [(True, False, "create"), (False, True, "skipped"), (True, True, "skipped"), (False, False, "unknown")],
)
def test_what_nobody_has_seen_is_to_be_created_only_if_its_router_was_read_whole(
    is_listed: bool, is_refused: bool, prospect: str
) -> None:
    for fix_drift in (False, True):
        found = prospect_of(PLANNED, None, "", None, is_listed=is_listed, is_refused=is_refused, fix_drift=fix_drift)
        assert found == prospect


def test_every_prospect_has_words_and_only_two_of_them_change_anything() -> None:
    assert set(PROSPECTS) == set(Prospect)
    assert sorted(CHANGES) == ["create", "update"]
    assert sorted(AS_WISHED) == ["duplicate", "exists"]


@pytest.mark.parametrize(
    ("things", "page", "pages"), [(0, 2000, 1), (1, 2000, 1), (2000, 2000, 1), (2001, 2000, 2), (10_000, 2000, 5)]
)
def test_a_listing_costs_a_call_for_each_page_and_one_for_an_empty_router(things: int, page: int, pages: int) -> None:
    assert pages_of(things, page) == pages


# By hand: the first call waits for nothing, and 100/min lets 99 calls go in 60.05 s.
@pytest.mark.parametrize(
    ("costs", "lanes_max", "expected_s"),
    [
        ([], 64, 0.0),
        ([(0, Window(100, MINUTE))], 64, 0.0),
        ([(1, Window(100, MINUTE))], 64, 0.0),
        ([(100, Window(100, MINUTE))], 64, 60.05),
        ([(19_801, Window(100, MINUTE))], 64, 200 * 60.05),
        ([(100, Window(100, MINUTE)), (199, Window(100, MINUTE))], 64, 2 * 60.05),
        ([(100, Window(100, MINUTE))] * 3, 1, 3 * 60.05),
        ([(100, Window(100, MINUTE))] * 128, 64, 2 * 60.05),
        ([(10, Window(10, 1.0)), (2, Window(1, HOUR))], 64, 3600.05),
    ],
)
def test_lanes_take_their_time_side_by_side(costs: list[tuple[int, Window]], lanes_max: int, expected_s: float) -> None:
    lanes = (LaneCost(calls, window) for calls, window in costs)
    assert duration_s(lanes, lanes_max=lanes_max, rows_max=1000) == pytest.approx(expected_s)


@pytest.mark.parametrize(("rows", "expected_s"), [(1, 60.05), (16, 60.05), (32, 2 * 60.05), (64, 4 * 60.05)])
def test_lanes_with_many_rows_find_room_for_fewer_at_once(rows: int, expected_s: float) -> None:
    four = [LaneCost(100, Window(100, MINUTE), rows)] * 4
    assert duration_s(four, lanes_max=9, rows_max=64) == pytest.approx(expected_s)


@pytest.mark.parametrize(
    ("time_s", "night_s", "nights"),
    [
        (0.0, 6 * HOUR, 1),
        (6 * HOUR, 6 * HOUR, 1),
        (6 * HOUR + 1, 6 * HOUR, 2),
        (60 * HOUR, 6 * HOUR, 10),
        (61 * HOUR, 6 * HOUR, 11),
        (10.0, 45.0, 1),
    ],
)
def test_a_night_that_is_begun_is_one_night_more(time_s: float, night_s: float, nights: int) -> None:
    assert nights_of(time_s, night_s) == nights


@pytest.mark.parametrize(
    ("limit", "used", "wanted", "refused"),
    [
        (20, 4, 640, 624),
        (20, 4, 16, 0),
        (20, 4, 17, 1),
        (20, 20, 5, 5),
        (20, 25, 5, 5),
        (0, 0, 3, 3),
        (20, 4, 0, 0),
        (-1, 999_999, 640, 0),
    ],
)
def test_the_quota_refuses_what_it_has_no_room_for(limit: int, used: int, wanted: int, refused: int) -> None:
    assert refused_by_quota(limit, used, wanted) == refused


# --- properties -------------------------------------------------------------------------------------

lanes_of_calls = st.lists(
    st.builds(
        LaneCost,
        st.integers(0, 100_000),
        st.builds(Window, st.integers(1, 400), st.sampled_from([1.0, MINUTE])),
        st.integers(1, 64),
    )
)


@given(lanes_of_calls, st.integers(1, 64), st.integers(64, 4096))
def test_more_lanes_at_once_never_take_longer_and_no_lane_is_faster_than_alone(
    costs: list[LaneCost], lanes_max: int, rows_max: int
) -> None:
    whole = duration_s(costs, lanes_max=lanes_max, rows_max=rows_max)
    assert whole >= duration_s(costs, lanes_max=lanes_max + 1, rows_max=rows_max)
    assert whole >= duration_s(costs, lanes_max=lanes_max, rows_max=rows_max + 1)
    assert all(whole >= duration_s([cost], lanes_max=lanes_max, rows_max=rows_max) for cost in costs)


@given(st.integers(-1, 1000), st.integers(0, 2000), st.integers(0, 2000))
def test_what_is_refused_and_what_fits_is_all_that_is_wanted(limit: int, used: int, wanted: int) -> None:
    refused = refused_by_quota(limit, used, wanted)
    assert 0 <= refused <= wanted
    if limit >= 0 and used <= limit:
        assert used + wanted - refused <= limit
