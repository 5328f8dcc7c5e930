"""A service that fails is left in peace, and asked by one call at a time; a quota's end is found with few refusals."""

from batcher.model import Kind, Refused, Stops
from batcher.policy.breaker import (
    COOLDOWN_S_FIRST,
    COOLDOWN_S_MAX,
    FAILURES_TO_OPEN,
    Breaker,
    QuotaWatch,
    is_failure,
)

OPEN_S_MAX = 900.0


def opened(at: float = 0.0) -> Breaker:
    breaker = Breaker()
    for _ in range(FAILURES_TO_OPEN):
        breaker.failed(at, 0.0)
    return breaker


def test_it_opens_after_failures_in_a_row_and_not_before() -> None:
    breaker = Breaker()
    assert [breaker.failed(0.0, 0.0) for _ in range(FAILURES_TO_OPEN - 1)] == [None] * (FAILURES_TO_OPEN - 1)
    breaker.answered()
    assert [breaker.failed(0.0, 0.0) for _ in range(FAILURES_TO_OPEN - 1)] == [None] * (FAILURES_TO_OPEN - 1)
    assert breaker.is_closed
    assert breaker.failed(0.0, 0.0) == COOLDOWN_S_FIRST
    assert not breaker.is_closed


def test_what_was_in_flight_when_it_opened_does_not_count_again() -> None:
    breaker = opened()
    assert [breaker.failed(0.5, 0.0) for _ in range(20)] == [None] * 20


def test_each_probe_that_fails_doubles_the_silence_up_to_a_minute() -> None:
    breaker, now, silences = opened(), 0.0, []
    for _ in range(9):
        now = breaker.silent_until
        silence_s = breaker.failed(now, 0.0)
        assert silence_s is not None
        silences.append(silence_s)
    assert silences == [2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0, 60.0]
    assert max(silences) == COOLDOWN_S_MAX


def test_an_answer_closes_it_and_the_next_trouble_begins_anew() -> None:
    breaker = opened()
    breaker.failed(breaker.silent_until, 0.0)
    breaker.answered()
    assert breaker.is_closed
    assert opened(100.0).silent_until == 100.0 + COOLDOWN_S_FIRST


def test_it_is_given_up_after_a_quarter_of_an_hour() -> None:
    breaker = opened(50.0)
    assert not breaker.is_given_up(50.0 + OPEN_S_MAX - 1.0, OPEN_S_MAX)
    assert breaker.is_given_up(50.0 + OPEN_S_MAX, OPEN_S_MAX)
    assert not Breaker().is_given_up(1e9, OPEN_S_MAX)


def test_a_silence_is_longer_by_chance_and_never_shorter() -> None:
    breaker = Breaker(failures=FAILURES_TO_OPEN - 1)
    assert breaker.failed(0.0, 0.5) == COOLDOWN_S_FIRST * 1.05


def test_only_what_says_nothing_of_the_call_is_a_failure_of_the_service() -> None:
    lost = Refused(Kind.TRANSIENT, Stops.ROW, "BATCHER.NoAnswer", "no answer", ambiguous=True)
    busy = Refused(Kind.TRANSIENT, Stops.ROW, "ER.04004003", "busy", 400, definitive=True)
    mended = Refused(Kind.TRANSIENT, Stops.ROW, "APIGW.0301", "renewed", 401, mended=True)
    wrong = Refused(Kind.PERMANENT, Stops.ROW, "ER.04009005", "wrong", 400, definitive=True)
    full = Refused(Kind.THROTTLED, Stops.ROW, "APIGW.0308", "slow down", 429)
    assert [is_failure(refused) for refused in (lost, busy, mended, wrong, full)] == [True, False, False, False, False]


def test_a_quota_is_the_projects_after_refusals_on_three_attachments_with_no_success_between() -> None:
    watch = QuotaWatch()
    assert not watch.is_alert
    assert [watch.note_refusal(name) for name in ("a", "a", "b")] == [False] * 3
    assert watch.is_alert
    watch.note_success()
    assert not watch.is_alert
    assert [watch.note_refusal(name) for name in ("c", "d", "e")] == [False, False, True]


def test_every_other_try_is_a_read_that_costs_no_row_an_attempt() -> None:
    breaker, wanted = opened(), []
    for _ in range(4):
        wanted.append(breaker.wants_a_read)
        breaker.failed(breaker.silent_until, 0.0)
    assert wanted == [True, False, True, False]
    breaker.answered()
    assert not breaker.wants_a_read


def test_time_in_which_nobody_could_try_does_not_count_as_failed() -> None:
    breaker = opened()
    breaker.untried(OPEN_S_MAX)
    assert not breaker.is_given_up(OPEN_S_MAX + 1, OPEN_S_MAX)
    assert breaker.is_given_up(2 * OPEN_S_MAX, OPEN_S_MAX)
    closed = Breaker()
    closed.untried(OPEN_S_MAX)
    assert closed.is_closed
