"""What `undo` does with a thing under a row's key: every branch of the judgement by hand."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batcher.model import NaturalKey, Outcome, Remote
from batcher.policy.removal import Act, Making, Removal, judge_removal

SENT_AT, QUIET_AT = 10_000.0, 10_600.0
"""The run first sent the row then, and nothing any more after that."""
EARLIER, IN_THE_MARGIN, LATER, AFTERWARDS = SENT_AT - 5.5, SENT_AT - 4.5, SENT_AT + 60.0, QUIET_AT + 6.0
DRIFT = ("name: wished `a`, there is `b`", "description: wished ``, there is `c`")


def remote(state: str = "available", created_at: float | None = LATER, remote_id: str = "fl-1") -> Remote:
    return Remote(NaturalKey(b"k"), remote_id, state, enabled=True, created_at=created_at, fields={})


def kept(outcome: Outcome, message: str) -> Removal:
    return Removal(Act.KEEP, outcome, message)


DELETE, WAIT = Removal(Act.DELETE), Removal(Act.WAIT)
OTHER = kept(Outcome.ABSENT, "it is gone; another one, `fl-2`, stands in its place")
BEFORE = kept(Outcome.EXISTS, "it was made before this run: it is kept")
AFTER = kept(Outcome.EXISTS, "it was made after this run: it is kept")
ANOTHER_RUNS = kept(Outcome.EXISTS, "another run may have made it: it is kept")
UNDATED = kept(Outcome.EXISTS, "nobody knows when it was made: it is kept")
UNSENT = kept(Outcome.EXISTS, "this run has not sent it: it is kept")
CHANGED = kept(Outcome.DRIFTED, f"it was changed since: {'; '.join(DRIFT)}; `--force` deletes it all the same")
UNLIKE = kept(
    Outcome.EXISTS, f"no answer has told its id, and it is not as it was sent ({'; '.join(DRIFT)}): it is kept"
)
MADE = Making(SENT_AT, QUIET_AT)
KNOWN: dict[str, Any] = {"known_id": "fl-1"}
GUESSED: dict[str, Any] = {"known_id": None}
RIVAL: dict[str, Any] = {"making": Making(SENT_AT, QUIET_AT, others_since=LATER)}

TABLE: dict[str, tuple[Remote, tuple[str, ...], dict[str, Any], Removal]] = {
    "its own": (remote(), (), KNOWN, DELETE),
    "its own, failed": (remote("failed"), (), KNOWN, DELETE),
    "its own, not made yet": (remote("pending"), (), KNOWN, WAIT),
    "its own, in a state that nobody knows": (remote("mending"), (), KNOWN, WAIT),
    "its own, on its way out": (remote("deleting"), DRIFT, KNOWN, WAIT),
    "its own, gone": (remote("deleted"), (), KNOWN, WAIT),
    "its own, made before by less than dates can tell": (remote(created_at=IN_THE_MARGIN), (), KNOWN, DELETE),
    "its own, and a later run has seen it": (remote(), (), {**KNOWN, **RIVAL}, DELETE),
    "its own, whatever was seen of it later": (remote(created_at=AFTERWARDS), (), KNOWN, DELETE),
    "its own, changed since": (remote(), DRIFT, KNOWN, CHANGED),
    "another one in its place": (remote(remote_id="fl-2"), (), KNOWN, OTHER),
    "another one in its place, on its way out": (remote("deleting", remote_id="fl-2"), (), KNOWN, OTHER),
    "its id, but made before": (remote(created_at=EARLIER), (), KNOWN, BEFORE),
    "its id, but never sent": (remote(), (), {**KNOWN, "making": Making(None)}, UNSENT),
    "its id, and no date": (remote(created_at=None), (), KNOWN, UNDATED),
    "never answered, made in time": (remote(), (), GUESSED, DELETE),
    "never answered, made in time, failed": (remote("failed"), (), GUESSED, DELETE),
    "never answered, made in time, not made yet": (remote("pending"), (), GUESSED, WAIT),
    "never answered, made before": (remote(created_at=EARLIER), (), GUESSED, BEFORE),
    "never answered, made by somebody on his way out": (remote("deleting", EARLIER), (), GUESSED, BEFORE),
    "never answered, made at the very end": (remote(created_at=QUIET_AT + 4.5), (), GUESSED, DELETE),
    "never answered, made when nothing was under way": (remote(created_at=AFTERWARDS), (), GUESSED, AFTER),
    "never answered, no end known": (remote(created_at=AFTERWARDS), (), {**GUESSED, "making": Making(SENT_AT)}, DELETE),
    "never answered, and no date": (remote(created_at=None), (), GUESSED, UNDATED),
    "never answered, not as it was sent": (remote(), DRIFT, GUESSED, UNLIKE),
    "never answered, and another run sent it then": (remote(), (), {**GUESSED, **RIVAL}, ANOTHER_RUNS),
    "never answered, and another run sent it just after": (
        remote(created_at=LATER - 4.5),
        (),
        {**GUESSED, **RIVAL},
        ANOTHER_RUNS,
    ),
    "never answered, and another run sent it long after": (
        remote(created_at=LATER - 5.5),
        (),
        {**GUESSED, **RIVAL},
        DELETE,
    ),
}
FORCED = {
    "its own, changed since": DELETE,
    "its id, and no date": DELETE,
}
"""What `--force` changes."""


@pytest.mark.parametrize("case", TABLE)
def test_what_is_found_is_deleted_only_on_evidence(case: str) -> None:
    found, differences, situation, verdict = TABLE[case]
    given_ = {"making": MADE, **situation}
    assert judge_removal(found, differences, **given_, force=False) == verdict
    assert judge_removal(found, differences, **given_, force=True) == FORCED.get(case, verdict)


MOMENTS = st.none() | st.floats(0, 100)


@given(
    state=st.sampled_from(["available", "failed", "pending", "deleting", "deleted", "mending"]),
    created_at=MOMENTS,
    remote_id=st.sampled_from(["fl-1", "fl-2"]),
    known_id=st.sampled_from([None, "fl-1"]),
    since=MOMENTS,
    until=MOMENTS,
    others_since=MOMENTS,
    differences=st.sampled_from([(), DRIFT]),
    force=st.booleans(),
)
def test_nothing_is_deleted_that_the_run_cannot_have_made(
    state: str,
    created_at: float | None,
    remote_id: str,
    known_id: str | None,
    since: float | None,
    until: float | None,
    others_since: float | None,
    differences: tuple[str, ...],
    force: bool,
) -> None:
    """Whatever is asked for: another's id, what the run never sent, what is older, and of guesses what does not fit."""
    removal = judge_removal(
        remote(state, created_at, remote_id),
        differences,
        known_id=known_id,
        making=Making(since, until, others_since),
        force=force,
    )
    assert (removal.act is Act.KEEP) is (removal.outcome is not None) is bool(removal.message)
    if removal.act is not Act.DELETE:
        return
    assert state in ("available", "failed")
    assert known_id in (None, remote_id)
    assert since is not None
    assert created_at is None or created_at >= since - 5
    assert created_at is not None or (force and known_id is not None)
    assert force or not differences
    if known_id is None:
        assert not differences
        assert until is None or created_at is None or created_at <= until + 5
        assert others_since is None or created_at is None or created_at < others_since - 5
