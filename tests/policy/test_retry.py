"""The retry law, branch by branch: every answer below was worked out by hand from the law in `policy/retry.py`."""

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batcher.model import Kind, Refused, Stops
from batcher.policy.retry import (
    PAUSE_S_MAX,
    Decision,
    GiveUp,
    LookUp,
    PutBack,
    RetryBudget,
    TryAgain,
    backoff_s,
    decide,
)

BUDGET = RetryBudget(attempts_max=3, time_s_max=100.0, backoff_s_base=1.0, backoff_s_cap=8.0, throttled_s_max=1000.0)
UNAVAILABLE = Refused(Kind.TRANSIENT, Stops.ROW, "ER.500", "try again", http_status=503)
TIMED_OUT = dataclasses.replace(UNAVAILABLE, code="BATCHER.NoAnswer", http_status=None, ambiguous=True)
CONFLICT = dataclasses.replace(UNAVAILABLE, code="ER.409", http_status=409, definitive=True)
UNREACHABLE = dataclasses.replace(UNAVAILABLE, code="BATCHER.Unreachable", http_status=None, sent=False)
THROTTLED = Refused(Kind.THROTTLED, Stops.ROW, "APIGW.0308", "slow down", http_status=429, pause_s=60.0)
BAD_REQUEST = Refused(Kind.PERMANENT, Stops.ROW, "ER.400", "no", http_status=400, definitive=True)
DUPLICATE = Refused(Kind.EXISTS, Stops.ROW, "ER.409", "there already", http_status=409, definitive=True)
NO_ROUTER = dataclasses.replace(BAD_REQUEST, code="ER.404", stops=Stops.SCOPE, http_status=404)
NO_ATTACHMENT = dataclasses.replace(BAD_REQUEST, code="ER.404", stops=Stops.SUBJECT, http_status=404)
NO_QUOTA = dataclasses.replace(BAD_REQUEST, code="ER.04009008", stops=Stops.LANE, http_status=403)
BAD_KEY = Refused(Kind.PERMANENT, Stops.RUN, "APIGW.0301", "bad key", http_status=401)
SAD_SCOPE = dataclasses.replace(UNAVAILABLE, stops=Stops.SCOPE)
SAD_LANE = dataclasses.replace(UNAVAILABLE, stops=Stops.LANE)
SAD_ACCOUNT = dataclasses.replace(UNAVAILABLE, stops=Stops.ACCOUNT)
SAD_RUN = dataclasses.replace(UNAVAILABLE, stops=Stops.RUN)

FIRST = {"attempts": 1, "elapsed_s": 0.0, "in_doubt": False}
DOUBT = {**FIRST, "in_doubt": True}
LAST = {**FIRST, "attempts": 3}
LAST_DOUBT = {**DOUBT, "attempts": 3}
ABSENT = {**DOUBT, "is_absent": True}
UNLISTED = {**FIRST, "was_listed": False}
LATE = {**FIRST, "elapsed_s": 99.6}
LONG_AGO = {**FIRST, "elapsed_s": 1000.0}

TABLE: dict[str, tuple[Refused, dict[str, Any], Decision]] = {
    # 1: the provider says that it is there
    "it exists": (DUPLICATE, FIRST, LookUp()),
    "it exists, after attempts without an answer": (DUPLICATE, LAST_DOUBT, LookUp()),
    "it exists, long after": (DUPLICATE, LONG_AGO, LookUp()),
    # 2: throttled
    "throttled": (THROTTLED, FIRST, TryAgain(0.0, new_generation=False)),
    "throttled for the hundredth time is no attempt": (
        THROTTLED,
        {**FIRST, "attempts": 100},
        TryAgain(0.0, new_generation=False),
    ),
    "throttled in doubt": (THROTTLED, DOUBT, TryAgain(0.0, new_generation=False)),
    "throttled beyond the time for a row that failed": (
        THROTTLED,
        {**FIRST, "elapsed_s": 999.0},
        TryAgain(0.0, new_generation=False),
    ),
    "throttled for so long that the row is refused": (THROTTLED, LONG_AGO, GiveUp()),
    "throttled for so long, in doubt": (THROTTLED, {**LONG_AGO, "in_doubt": True}, LookUp()),
    # 4: what a dead process may have been told is asked once more
    "refused at once, of a dead process and not there": (BAD_REQUEST, ABSENT, TryAgain(0.0, new_generation=True)),
    "no quota, of a dead process and not there": (NO_QUOTA, ABSENT, TryAgain(0.0, new_generation=True)),
    "refused again, of a dead process and not there": (BAD_REQUEST, {**ABSENT, "attempts": 2}, LookUp()),
    "no answer at last, of a dead process and not there": (TIMED_OUT, {**ABSENT, "attempts": 3}, LookUp()),
    # 6: refused for good where nothing was listed
    "refused for good, and its scope was not listed": (BAD_REQUEST, UNLISTED, LookUp()),
    "its attachment refused for good, and its scope was not listed": (NO_ATTACHMENT, UNLISTED, LookUp()),
    "its router refused for good, and not listed": (NO_ROUTER, UNLISTED, GiveUp()),
    "a conflict at last, and its scope was not listed": (CONFLICT, {**UNLISTED, "attempts": 3}, LookUp()),
    "no router, and it was not listed": (NO_ROUTER, UNLISTED, GiveUp()),
    # 3: again after a back-off
    "unavailable": (UNAVAILABLE, FIRST, TryAgain(0.5, new_generation=False)),
    "unavailable the second time": (UNAVAILABLE, {**FIRST, "attempts": 2}, TryAgain(1.0, new_generation=False)),
    "unavailable in doubt": (UNAVAILABLE, DOUBT, TryAgain(0.5, new_generation=False)),
    "no answer": (TIMED_OUT, DOUBT, TryAgain(0.5, new_generation=False)),
    "not sent": (UNREACHABLE, FIRST, TryAgain(0.5, new_generation=False)),
    "a conflict spends the token": (CONFLICT, FIRST, TryAgain(0.5, new_generation=True)),
    "the provider asks for more time": (
        dataclasses.replace(UNAVAILABLE, pause_s=20.0),
        FIRST,
        TryAgain(20.0, new_generation=False),
    ),
    "the provider asks for less time": (
        dataclasses.replace(UNAVAILABLE, pause_s=0.1),
        FIRST,
        TryAgain(0.5, new_generation=False),
    ),
    "the provider asks for more time than there is": (dataclasses.replace(UNAVAILABLE, pause_s=101.0), FIRST, GiveUp()),
    "the time ends exactly with the wait": (
        UNAVAILABLE,
        {**FIRST, "elapsed_s": 99.5},
        TryAgain(0.5, new_generation=False),
    ),
    # 5: it may have taken effect, and repeating is over
    "no answer at the last attempt": (TIMED_OUT, LAST_DOUBT, LookUp()),
    "no answer when the time is over": (TIMED_OUT, {**LATE, "in_doubt": True}, LookUp()),
    "an early attempt in doubt, the last one refused": (UNAVAILABLE, LAST_DOUBT, LookUp()),
    "in doubt, then refused for good": (BAD_REQUEST, DOUBT, LookUp()),
    "in doubt, then the router is gone": (NO_ROUTER, DOUBT, LookUp()),
    "in doubt, then the quota is used up": (NO_QUOTA, DOUBT, LookUp()),
    "in doubt, then not sent": (UNREACHABLE, LAST_DOUBT, LookUp()),
    "in doubt, but the run may not ask": (BAD_KEY, DOUBT, PutBack()),
    "in doubt, and the run stops for a while": (SAD_RUN, DOUBT, PutBack()),
    "in doubt, and the account stops for a while": (SAD_ACCOUNT, DOUBT, PutBack()),
    # 6: the row's own answer
    "refused for good": (BAD_REQUEST, FIRST, GiveUp()),
    "unavailable at the last attempt": (UNAVAILABLE, LAST, GiveUp()),
    "unavailable when the time is over": (UNAVAILABLE, LATE, GiveUp()),
    "a conflict at the last attempt": (CONFLICT, LAST, GiveUp()),
    "the router is gone, said of this very token": (NO_ROUTER, FIRST, GiveUp()),
    "the quota is used up, said of this very token": (NO_QUOTA, FIRST, GiveUp()),
    # 7: not the row's fault
    "not sent at the last attempt": (UNREACHABLE, LAST, PutBack()),
    "not sent when the time is over": (UNREACHABLE, LATE, PutBack()),
    "the scope is refused": (SAD_SCOPE, FIRST, PutBack()),
    "the lane is refused": (SAD_LANE, FIRST, PutBack()),
    "the run is refused": (SAD_RUN, FIRST, PutBack()),
    "the account is refused": (SAD_ACCOUNT, FIRST, PutBack()),
    "the key is refused": (BAD_KEY, FIRST, PutBack()),
}


@pytest.mark.parametrize("case", TABLE)
def test_each_refusal_has_one_answer(case: str) -> None:
    refused, situation, answer = TABLE[case]
    assert decide(refused, **situation, budget=BUDGET, chance=0.5) == answer


@pytest.mark.parametrize(
    ("attempts", "ceiling_s"), [(1, 1.0), (2, 2.0), (3, 4.0), (4, 8.0), (5, 8.0), (33, 8.0), (10**9, 8.0)]
)
@pytest.mark.parametrize("chance", [0.0, 0.25, 0.999])
def test_the_back_off_doubles_to_its_cap_under_full_jitter(attempts: int, ceiling_s: float, chance: float) -> None:
    assert backoff_s(BUDGET, attempts, chance) == ceiling_s * chance


# --- properties -------------------------------------------------------------------------------------

chances = st.floats(min_value=0.0, max_value=1.0, exclude_max=True)
budgets = st.builds(
    RetryBudget,
    attempts_max=st.integers(1, 50),
    time_s_max=st.floats(0.0, 1e5),
    backoff_s_base=st.floats(0.001, 100.0),
    backoff_s_cap=st.floats(0.001, 1000.0),
    throttled_s_max=st.floats(0.0, 1e6),
)
refusals = st.builds(
    Refused,
    kind=st.sampled_from(Kind),
    stops=st.sampled_from(Stops),
    code=st.just("ER.1"),
    message=st.just("no"),
    sent=st.booleans(),
    ambiguous=st.booleans(),
    definitive=st.booleans(),
    pause_s=st.none() | st.floats(0.0, 1e6),
)


@given(refusals, budgets, st.integers(1, 100), st.floats(0.0, 2e6), st.booleans(), chances)
def test_whatever_happens_the_law_keeps_its_bounds(
    refused: Refused, budget: RetryBudget, attempts: int, elapsed_s: float, in_doubt: bool, chance: float
) -> None:
    decision = decide(refused, attempts=attempts, elapsed_s=elapsed_s, in_doubt=in_doubt, budget=budget, chance=chance)
    if isinstance(decision, TryAgain):
        asked_s = min(refused.pause_s or 0.0, PAUSE_S_MAX)
        assert 0.0 <= decision.delay_s <= max(budget.backoff_s_cap, asked_s)
        assert refused.kind is Kind.THROTTLED or decision.delay_s >= asked_s
        assert refused.kind is Kind.THROTTLED or elapsed_s + decision.delay_s <= budget.time_s_max
        assert refused.kind is Kind.THROTTLED or attempts < budget.attempts_max
        assert decision.new_generation <= refused.definitive
    if isinstance(decision, GiveUp):
        assert not in_doubt
        assert refused.sent or refused.definitive
    if isinstance(decision, PutBack):
        assert refused.kind is not Kind.EXISTS
        assert not in_doubt or refused.stops in (Stops.ACCOUNT, Stops.RUN)


@given(budgets, st.integers(1, 100), chances)
def test_full_jitter_takes_any_wait_from_none_to_the_ceiling(budget: RetryBudget, attempts: int, chance: float) -> None:
    ceiling_s = min(budget.backoff_s_cap, budget.backoff_s_base * 2 ** (attempts - 1))
    wait_s = backoff_s(budget, attempts, chance)
    assert 0.0 <= wait_s <= ceiling_s
    assert wait_s == pytest.approx(chance * ceiling_s)
