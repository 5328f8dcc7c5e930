"""Whose a flow log is, by the provider's dates: answers worked out by hand, and what holds for all of them."""

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from batcher.policy.evidence import FUTURE_S, NARROW_S, Maker, Sending, maker_of

RUN, OTHER, UNSURE, UNKNOWN = Maker.RUN, Maker.OTHER, Maker.UNSURE, Maker.UNKNOWN
DAY = 1_764_000_000.0
"""A moment of today, in whole seconds."""


def at(earliest: float, latest: float | None = None, until: float | None = None) -> Sending:
    """A sending that began between these seconds of the day, and was over at `until`."""
    latest = earliest if latest is None else latest
    return Sending(DAY + earliest, DAY + latest, None if until is None else DAY + until)


# The clocks of the gateway and of the service may be 0.2 s apart, and a date of whole seconds is cut: what was made at
# 99.99 is dated 99. So a send that was made at 100.0 may have made what is dated 99, since that may have been made at
# 99.99 there, which is 100.19 here. One that was made at 100.3 cannot have: 99 is over at 100.0, which is 100.2 here.
TABLE: dict[str, tuple[float, list[Sending], Maker]] = {
    # a send at a moment that is known exactly
    "dated the second of its send": (100.0, [at(100.0)], RUN),
    "dated the second of its send, whatever part of it": (100.0, [at(100.99)], RUN),
    "dated the second before, which was not over by more than the clocks differ": (99.0, [at(100.19)], RUN),
    "dated the second before, which was": (99.0, [at(100.21)], OTHER),
    "dated two seconds before": (98.0, [at(100.0)], OTHER),
    "dated after it, without an end": (5_000.0, [at(100.0)], RUN),
    "a finer date, of the moment": (100.5, [at(100.5)], RUN),
    "a finer date, before it by less than clocks differ": (100.35, [at(100.5)], RUN),
    "a finer date, before it by more": (100.25, [at(100.5)], OTHER),
    # a send that is over
    "dated the second of its end": (200.0, [at(100.0, until=200.0)], RUN),
    "dated after its end by less than clocks differ": (200.0, [at(100.0, until=199.85)], RUN),
    "dated after its end by more": (200.0, [at(100.0, until=199.75)], OTHER),
    "dated before an end, and before the send": (50.0, [at(100.0, until=200.0)], OTHER),
    # a send of which the moment is not known exactly: from 100.0 to 103.0
    "dated after the latest that it can be": (103.0, [at(100.0, 103.0)], RUN),
    "dated the second in which the latest is": (103.0, [at(100.0, 103.9)], RUN),
    "dated the second that is over at the latest": (102.0, [at(100.0, 103.0)], RUN),
    "dated in between": (101.0, [at(100.0, 103.0)], UNSURE),
    "dated the second before the earliest, by less than clocks differ": (99.0, [at(100.1, 103.0)], UNSURE),
    "dated before the earliest": (98.0, [at(100.0, 103.0)], OTHER),
    "known to a quarter of a second, that counts as known": (99.0, [at(100.0, 100.25)], RUN),
    "known to a little more": (99.0, [at(100.0, 100.26)], UNSURE),
    # several sendings
    "between two": (150.0, [at(100.0, until=110.0), at(200.0)], OTHER),
    "in the first of two": (105.0, [at(100.0, until=110.0), at(200.0)], RUN),
    "in the second of two": (205.0, [at(100.0, until=110.0), at(200.0)], RUN),
    "in one for sure, in the other perhaps": (205.0, [at(100.0, until=250.0), at(200.0, 230.0)], RUN),
    "in one perhaps, in the other not": (205.0, [at(100.0, until=110.0), at(200.0, 230.0)], UNSURE),
    "before all": (20.0, [at(100.0, until=110.0), at(200.0)], OTHER),
}


@pytest.mark.parametrize("case", TABLE)
def test_who_made_it_goes_by_its_date_and_the_times_of_the_sends(case: str) -> None:
    created_at, sendings, maker = TABLE[case]
    assert maker_of(DAY + created_at, sendings) is maker
    assert maker_of(DAY + created_at, sendings[::-1]) is maker


def test_without_a_date_or_the_time_of_a_send_nobody_knows() -> None:
    assert maker_of(None, [at(100.0)]) is UNKNOWN
    assert maker_of(None, [at(100.0)], now_there=DAY + 100.0) is UNKNOWN
    assert maker_of(DAY + 100.0, []) is UNKNOWN
    assert maker_of(None, []) is UNKNOWN


@pytest.mark.parametrize(
    ("created_at", "maker"), [(100.0, RUN), (105.0, RUN), (105.5, UNKNOWN), (3_700.0, UNKNOWN), (50.0, OTHER)]
)
def test_a_date_in_the_future_is_of_another_clock_and_says_nothing(created_at: float, maker: Maker) -> None:
    """Five seconds ahead of the provider's own time at the most; what is in the past is dated as ever."""
    assert maker_of(DAY + created_at, [at(90.0)], now_there=DAY + 100.0) is maker


def test_what_another_ledger_made_a_few_seconds_before_is_not_the_runs() -> None:
    """The second of two ledgers sends the same token: it is answered with what the first has made."""
    for earlier_s in (1.3, 2.0, 7.0, 600.0):
        made_at = math.floor(100.0 - earlier_s)
        assert maker_of(DAY + made_at, [at(100.0)], now_there=DAY + 101.0) is OTHER


# --- what holds for all -----------------------------------------------------------------------------------

MOMENTS = st.floats(0.0, 1_000.0)
FROM_SEND_TO_MADE = st.floats(0.0, 30.0)
APART = st.floats(-0.19, 0.19)


@st.composite
def sendings(draw: st.DrawFn) -> Sending:
    earliest = draw(MOMENTS)
    latest = earliest + draw(st.floats(0.0, 5.0))
    until = draw(st.none() | st.floats(0.0, 500.0))
    return Sending(DAY + earliest, DAY + latest, None if until is None else DAY + latest + until)


@given(sending=sendings(), share=st.floats(0.0, 1.0), took=FROM_SEND_TO_MADE, apart=APART, cut=st.booleans())
def test_what_the_run_made_is_never_called_somebody_elses(
    sending: Sending, share: float, took: float, apart: float, cut: bool
) -> None:
    """Wherever its send was in what is known of it, however far the clocks of gateway and service are apart."""
    sent = sending.earliest + share * (sending.latest - sending.earliest)
    made = sent + took
    assume(sending.until is None or made <= sending.until)
    dated = math.floor(made + apart) if cut else made + apart
    assert maker_of(float(dated), [sending], now_there=made + 1.0) in (RUN, UNSURE)


@given(sending=sendings(), before=st.floats(1.25, 1e6), cut=st.booleans())
def test_what_was_there_well_before_the_send_is_never_called_the_runs(
    sending: Sending, before: float, cut: bool
) -> None:
    made = sending.earliest - before
    dated = float(math.floor(made)) if cut else made
    assert maker_of(dated, [sending], now_there=sending.latest) is OTHER


@given(sending=sendings(), after=st.floats(0.25, 1e6))
def test_what_was_made_when_the_sending_was_over_is_never_called_the_runs(sending: Sending, after: float) -> None:
    assume(sending.until is not None)
    assert sending.until is not None
    assert maker_of(float(math.ceil(sending.until + after)), [sending]) is OTHER


@given(created_at=MOMENTS, known=st.lists(sendings(), min_size=1, max_size=3), more=sendings())
def test_one_more_sending_can_only_speak_for_the_run(created_at: float, known: list[Sending], more: Sending) -> None:
    weight = {OTHER: 0, UNSURE: 1, RUN: 2}
    before, now = maker_of(DAY + created_at, known), maker_of(DAY + created_at, [*known, more])
    assert weight[now] >= weight[before]
    assert now is max(before, maker_of(DAY + created_at, [more]), key=lambda maker: weight[maker])


@given(created_at=MOMENTS, sending=sendings(), narrower=st.floats(0.0, 1.0), to=st.floats(0.0, 1.0))
def test_knowing_the_time_better_never_takes_back_a_sure_answer(
    created_at: float, sending: Sending, narrower: float, to: float
) -> None:
    """More answers narrow the provider's time down: what was `run` or `other` by then stays so."""
    width = sending.latest - sending.earliest
    assume(width > NARROW_S)  # as good as exact is as good as exact
    earliest = sending.earliest + narrower * to * width
    better = Sending(earliest, earliest + (1 - narrower) * width, sending.until)
    before, now = maker_of(DAY + created_at, [sending]), maker_of(DAY + created_at, [better])
    assert now is before or before is UNSURE


@given(created_at=MOMENTS, sending=sendings())
def test_a_time_that_is_known_well_leaves_nobody_unsure(created_at: float, sending: Sending) -> None:
    exact = Sending(sending.earliest, sending.earliest + NARROW_S / 2, sending.until)
    assert maker_of(DAY + created_at, [exact]) is not UNSURE


@given(created_at=MOMENTS, sending=sendings(), now=MOMENTS)
def test_only_a_date_in_the_future_is_unknown(created_at: float, sending: Sending, now: float) -> None:
    maker = maker_of(DAY + created_at, [sending], now_there=DAY + now)
    assert (maker is UNKNOWN) is (DAY + created_at > DAY + now + FUTURE_S)
    assert maker in (UNKNOWN, maker_of(DAY + created_at, [sending]))
