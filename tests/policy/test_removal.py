"""What `undo` does with a thing that stands at a row's place: every branch of the judgement by hand."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batcher.model import NaturalKey, Outcome, Remote
from batcher.policy.evidence import Maker
from batcher.policy.removal import Act, Removal, judge_removal

DRIFT = ("name: wished `a`, there is `b`", "description: wished ``, there is `c`")


def remote(state: str = "available") -> Remote:
    return Remote(NaturalKey(b"k"), "fl-1", state, enabled=True, created_at=10_000.0, fields={})


def kept(outcome: Outcome, message: str) -> Removal:
    return Removal(Act.KEEP, outcome, message)


DELETE, WAIT = Removal(Act.DELETE), Removal(Act.WAIT)
NOT_THEN = kept(Outcome.EXISTS, "it was made when this run was not sending the row: it is kept")
NOBODY_KNOWS = kept(Outcome.EXISTS, "nobody knows whether this run has made it: it is kept")
ANOTHER_RUNS = kept(Outcome.EXISTS, "another run may have made it: it is kept")
CHANGED = kept(Outcome.DRIFTED, f"it was changed since: {'; '.join(DRIFT)}; `--force` deletes it all the same")
UNLIKE = kept(
    Outcome.EXISTS, f"no answer has told its id, and it is not as it was sent ({'; '.join(DRIFT)}): it is kept"
)
OWN: dict[str, Any] = {"maker": Maker.RUN, "has_id": True}
DATED: dict[str, Any] = {"maker": Maker.RUN}
UNSURE: dict[str, Any] = {"maker": Maker.UNSURE}
ELSE: dict[str, Any] = {"maker": Maker.OTHER}
UNKNOWN: dict[str, Any] = {"maker": Maker.UNKNOWN}
ID: dict[str, Any] = {"has_id": True}
SHARED: dict[str, Any] = {"is_shared": True}

TABLE: dict[str, tuple[Remote, tuple[str, ...], dict[str, Any], Removal]] = {
    "its own": (remote(), (), OWN, DELETE),
    "its own, failed": (remote("failed"), (), OWN, DELETE),
    "its own, not made yet": (remote("pending"), (), OWN, WAIT),
    "its own, in a state that nobody knows": (remote("mending"), (), OWN, WAIT),
    "its own, on its way out": (remote("deleting"), DRIFT, OWN, WAIT),
    "its own, gone": (remote("deleted"), (), OWN, WAIT),
    "its own, and another run has sent the same then": (remote(), (), {**OWN, **SHARED}, DELETE),
    "its own, changed since": (remote(), DRIFT, OWN, CHANGED),
    "its own, failed, changed since": (remote("failed"), DRIFT, OWN, CHANGED),
    "its id, of a send that is not known to a second": (remote(), (), {**UNSURE, **ID}, DELETE),
    "its id, made by somebody else": (remote(), (), {**ELSE, **ID}, NOT_THEN),
    "its id, made by somebody else, on its way out": (remote("deleting"), (), {**ELSE, **ID}, NOT_THEN),
    "its id, made by nobody knows whom": (remote(), (), {**UNKNOWN, **ID}, NOBODY_KNOWS),
    "its id, made by nobody knows whom, changed since": (remote(), DRIFT, {**UNKNOWN, **ID}, NOBODY_KNOWS),
    "its id, made by nobody knows whom, not made yet": (remote("pending"), (), {**UNKNOWN, **ID}, NOBODY_KNOWS),
    "dated into its sending": (remote(), (), DATED, DELETE),
    "dated into its sending, failed": (remote("failed"), (), DATED, DELETE),
    "dated into its sending, not made yet": (remote("pending"), (), DATED, WAIT),
    "dated into its sending, on its way out": (remote("deleting"), (), DATED, WAIT),
    "dated into the second of its send": (remote(), (), UNSURE, DELETE),
    "dated into its sending, not as it was sent": (remote(), DRIFT, DATED, UNLIKE),
    "dated into the sending of another run too": (remote(), (), {**DATED, **SHARED}, ANOTHER_RUNS),
    "perhaps, and in the sending of another run too": (remote(), (), {**UNSURE, **SHARED}, ANOTHER_RUNS),
    "dated into another's sending too, on its way out": (remote("deleting"), (), {**DATED, **SHARED}, ANOTHER_RUNS),
    "dated otherwise": (remote(), (), ELSE, NOT_THEN),
    "dated otherwise, and not as it was sent": (remote(), DRIFT, ELSE, NOT_THEN),
    "dated otherwise, on its way out": (remote("deleting"), (), ELSE, NOT_THEN),
    "no date, no id": (remote(), (), UNKNOWN, NOBODY_KNOWS),
    "no date, no id, on its way out": (remote("deleted"), (), UNKNOWN, NOBODY_KNOWS),
}
FORCED = {
    "its own, changed since": DELETE,
    "its own, failed, changed since": DELETE,
    "its id, made by nobody knows whom": DELETE,
    "its id, made by nobody knows whom, changed since": DELETE,
    "its id, made by nobody knows whom, not made yet": WAIT,
}
"""What `--force` changes."""


@pytest.mark.parametrize("case", TABLE)
def test_what_is_found_is_deleted_only_on_evidence(case: str) -> None:
    found, differences, situation, verdict = TABLE[case]
    given_ = {"has_id": False, "is_shared": False, **situation}
    assert judge_removal(found, differences, **given_, force=False) == verdict
    assert judge_removal(found, differences, **given_, force=True) == FORCED.get(case, verdict)


@given(
    state=st.sampled_from(["available", "failed", "pending", "deleting", "deleted", "mending"]),
    maker=st.sampled_from(Maker),
    has_id=st.booleans(),
    is_shared=st.booleans(),
    differences=st.sampled_from([(), DRIFT]),
    force=st.booleans(),
)
def test_nothing_is_deleted_that_the_run_cannot_have_made(
    state: str, maker: Maker, has_id: bool, is_shared: bool, differences: tuple[str, ...], force: bool
) -> None:
    """Whatever is asked for: what another made, what nobody knows, and of guesses what another run may have made."""
    removal = judge_removal(remote(state), differences, maker=maker, has_id=has_id, is_shared=is_shared, force=force)
    assert (removal.act is Act.KEEP) is (removal.outcome is not None) is bool(removal.message)
    assert maker is not Maker.OTHER or removal.act is Act.KEEP
    if removal.act is not Act.DELETE:
        return
    assert state in ("available", "failed")
    assert maker in (Maker.RUN, Maker.UNSURE) or (maker is Maker.UNKNOWN and force and has_id)
    assert force or not differences
    assert has_id or not (differences or is_shared)
