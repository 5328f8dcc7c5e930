"""What a row is once the listing shows its thing: every branch of the judgement by hand."""

from typing import Any

import pytest

from batcher.model import NaturalKey, Outcome, Remote
from batcher.policy.found import Found, judge

SENT_AT = 10_000.0
EARLIER, IN_THE_SKEW, LATER = SENT_AT - 301.0, SENT_AT - 299.0, SENT_AT + 5.0
DRIFT = ("name: wished `a`, there is `b`", "enabled: wished `true`, there is `false`")


def remote(state: str = "available", created_at: float | None = EARLIER) -> Remote:
    return Remote(NaturalKey(b"k"), "fl-1", state, enabled=True, created_at=created_at, fields={})


CREATED, EXISTS, NOT_FINAL = Found(Outcome.CREATED), Found(Outcome.EXISTS), Found(None)
DRIFTED = Found(Outcome.DRIFTED, "BATCHER.Drifted", "; ".join(DRIFT))
SENT: dict[str, Any] = {"sent_since": SENT_AT}
TAKEN: dict[str, Any] = {"accepted": True}
DUE: dict[str, Any] = {"amend_due": True}

TABLE: dict[str, tuple[Remote, tuple[str, ...], dict[str, Any], Found | None]] = {
    "never sent, so it was there": (remote(), (), {}, EXISTS),
    "never sent, though it is new": (remote(created_at=LATER), (), {}, EXISTS),
    "never sent, and not final yet": (remote("pending"), (), {}, EXISTS),
    "never sent, and otherwise than wished": (remote(), DRIFT, DUE, DRIFTED),
    "sent, and made after it": (remote(created_at=LATER), (), SENT, CREATED),
    "sent, and made before it": (remote(created_at=EARLIER), (), SENT, EXISTS),
    "sent, and made before it by less than clocks differ": (remote(created_at=IN_THE_SKEW), (), SENT, CREATED),
    "sent, and no word of when it was made": (remote(created_at=None), (), SENT, EXISTS),
    "sent, made after it, not final": (remote("pending", LATER), (), SENT, NOT_FINAL),
    "sent, made before it, otherwise than wished": (remote(created_at=EARLIER), DRIFT, {**SENT, **DUE}, DRIFTED),
    "sent, made after it, a call still due": (remote(created_at=LATER), DRIFT[1:], {**SENT, **DUE}, NOT_FINAL),
    "sent, made after it, with another name": (remote(created_at=LATER), DRIFT, SENT, DRIFTED),
    "accepted": (remote(), (), TAKEN, CREATED),
    "accepted, whatever the clocks say": (remote(created_at=EARLIER), (), {**SENT, **TAKEN}, CREATED),
    "accepted, and no word of when it was made": (remote(created_at=None), (), TAKEN, CREATED),
    "accepted, not final": (remote("pending"), (), TAKEN, NOT_FINAL),
    "accepted, in a state that nobody knows": (remote("mending"), (), TAKEN, NOT_FINAL),
    "accepted, a call still due": (remote(), DRIFT[1:], {**TAKEN, **DUE}, NOT_FINAL),
    "accepted, but it has another name": (remote(), DRIFT, TAKEN, DRIFTED),
    "on its way out": (remote("deleting"), (), TAKEN, None),
    "gone": (remote("deleted"), DRIFT, SENT, None),
}


@pytest.mark.parametrize("case", TABLE)
def test_what_is_found_is_judged_by_the_evidence(case: str) -> None:
    found, differences, evidence, verdict = TABLE[case]
    situation = {"amend_due": False, "sent_since": None, "accepted": False, **evidence}
    assert judge(found, differences, **situation) == verdict


@pytest.mark.parametrize("evidence", [{}, SENT, TAKEN, {**TAKEN, **DUE}])
def test_a_thing_that_failed_fails_its_row_and_says_what_to_do(evidence: dict[str, Any]) -> None:
    situation = {"amend_due": False, "sent_since": None, "accepted": False, **evidence}
    verdict = judge(remote("failed", LATER), DRIFT, **situation)
    assert verdict is not None
    assert (verdict.outcome, verdict.code) == (Outcome.FAILED, "BATCHER.RemoteFailed")
    assert "delete it" in verdict.message
    assert "`batcher retry`" in verdict.message
