"""What a row is once the provider shows its thing, and which of several things counts: every branch by hand."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batcher.model import NaturalKey, Outcome, Remote
from batcher.policy.found import Found, is_leaving, judge, others_standing, standing_of

DRIFT = ("name: wished `a`, there is `b`", "enabled: wished `true`, there is `false`")


def remote(state: str = "available", remote_id: str = "fl-1", created_at: float | None = 10_000.0) -> Remote:
    return Remote(NaturalKey(b"k"), remote_id, state, enabled=True, created_at=created_at, fields={})


# --- what the row is ------------------------------------------------------------------------------------

CREATED, EXISTS, NOT_FINAL = Found(Outcome.CREATED), Found(Outcome.EXISTS), Found(None)
FOLLOWED = Found(None, "BATCHER.Unverified")
DRIFTED = Found(Outcome.DRIFTED, "BATCHER.Drifted", "; ".join(DRIFT))
OURS: dict[str, Any] = {"ours": True}
DUE: dict[str, Any] = {"amend_due": True}

TABLE: dict[str, tuple[Remote, tuple[str, ...], dict[str, Any], Found | None]] = {
    "somebody else's": (remote(), (), {}, EXISTS),
    "somebody else's, and not final yet": (remote("pending"), (), {}, FOLLOWED),
    "somebody else's, in a state that nobody knows": (remote("mending"), (), {}, FOLLOWED),
    "somebody else's, and otherwise than wished": (remote(), DRIFT, {}, DRIFTED),
    "somebody else's, not final, and otherwise than wished": (remote("pending"), DRIFT, {}, DRIFTED),
    "somebody else's, and a call would make it as wished": (remote(), DRIFT[1:], DUE, Found(
        Outcome.DRIFTED, "BATCHER.Drifted", DRIFT[1]
    )),
    "its own": (remote(), (), OURS, CREATED),
    "its own, and no word of when it was made": (remote(created_at=None), (), OURS, CREATED),
    "its own, not final": (remote("pending"), (), OURS, NOT_FINAL),
    "its own, not final, and with another name": (remote("pending"), DRIFT, OURS, NOT_FINAL),
    "its own, in a state that nobody knows": (remote("mending"), (), OURS, NOT_FINAL),
    "its own, a call still due": (remote(), DRIFT[1:], {**OURS, **DUE}, NOT_FINAL),
    "its own, with another name": (remote(), DRIFT, OURS, DRIFTED),
    "its own, on its way out": (remote("deleting"), (), OURS, None),
    "its own, gone": (remote("deleted"), DRIFT, OURS, None),
    "somebody else's, on its way out": (remote("deleting"), DRIFT, {}, None),
    "somebody else's, gone": (remote("deleted"), (), DUE, None),
}  # fmt: skip


@pytest.mark.parametrize("case", TABLE)
def test_what_is_found_is_judged_by_whose_it_is(case: str) -> None:
    found, differences, evidence, verdict = TABLE[case]
    assert judge(found, differences, **{"amend_due": False, "ours": False, **evidence}) == verdict


@pytest.mark.parametrize("evidence", [{}, DUE, OURS, {**OURS, **DUE}])
def test_a_thing_that_failed_fails_its_row_and_says_what_to_do(evidence: dict[str, Any]) -> None:
    verdict = judge(remote("failed"), DRIFT, **{"amend_due": False, "ours": False, **evidence})
    assert verdict is not None
    assert (verdict.outcome, verdict.code) == (Outcome.FAILED, "BATCHER.RemoteFailed")
    assert "`batcher retry --replace-failed`" in verdict.message


STATES = st.sampled_from(["available", "failed", "pending", "deleting", "deleted", "mending"])


@given(state=STATES, created_at=st.none() | st.floats(0, 1e9), is_due=st.booleans(), differs=st.booleans())
def test_what_somebody_else_made_is_never_called_created_or_taken(
    state: str, created_at: float | None, is_due: bool, differs: bool
) -> None:
    verdict = judge(remote(state, created_at=created_at), DRIFT if differs else (), amend_due=is_due, ours=False)
    assert (
        verdict is None or verdict.outcome in (Outcome.EXISTS, Outcome.DRIFTED, Outcome.FAILED) or verdict == FOLLOWED
    )


# --- which thing counts ---------------------------------------------------------------------------------

STANDS, ALSO = remote("available", "a"), remote("pending", "b")
BROKEN, GOING, GONE = remote("failed", "c"), remote("deleting", "d"), remote("deleted", "e")

CHOICES: dict[str, tuple[tuple[Remote, ...], dict[str, str], Remote, list[str]]] = {
    "one alone": ((STANDS,), {}, STANDS, []),
    "one alone, on its way out": ((GOING,), {}, GOING, []),
    "what stays before what failed": ((BROKEN, STANDS), {}, STANDS, ["c"]),
    "what failed before what is leaving": ((GOING, BROKEN, GONE), {}, BROKEN, []),
    "what is not final stays as well": ((BROKEN, ALSO), {}, ALSO, ["c"]),
    "of two that stay the first that is shown": ((ALSO, STANDS), {}, ALSO, ["a"]),
    "of two that stay the one it knows": ((STANDS, ALSO), {"known_id": "b"}, ALSO, ["a"]),
    "the one it knows failed, and another stays": ((BROKEN, STANDS), {"known_id": "c"}, STANDS, ["c"]),
    "the one it knows is leaving, and another stays": ((GOING, STANDS), {"known_id": "d"}, STANDS, []),
    "of two that are leaving the one it knows": ((GOING, GONE), {"known_id": "e"}, GONE, []),
    "what the ledger has deleted is leaving": ((STANDS, BROKEN), {"deleted_id": "a"}, BROKEN, []),
    "what it knows and has deleted": ((STANDS, ALSO), {"known_id": "a", "deleted_id": "a"}, ALSO, []),
    "what it has deleted, alone": ((STANDS,), {"deleted_id": "a"}, STANDS, []),
    "three that stay": ((STANDS, ALSO, remote("available", "0")), {"known_id": "b"}, ALSO, ["0", "a"]),
}


@pytest.mark.parametrize("case", CHOICES)
def test_of_several_things_at_one_place_one_counts_and_the_others_are_told(case: str) -> None:
    remotes, known, chosen, others = CHOICES[case]
    deleted_id = known.get("deleted_id")
    assert standing_of(remotes, **known) is chosen
    assert others_standing(remotes, chosen, deleted_id=deleted_id) == others


@pytest.mark.parametrize(
    ("state", "deleted_id", "leaves"),
    [
        ("available", None, False),
        ("pending", None, False),
        ("failed", None, False),
        ("mending", None, False),
        ("deleting", None, True),
        ("deleted", None, True),
        ("available", "fl-2", False),
        ("available", "fl-1", True),
        ("failed", "fl-1", True),
        ("deleting", "fl-1", True),
    ],
)
def test_a_thing_is_leaving_as_the_provider_or_the_ledger_knows_it(
    state: str, deleted_id: str | None, leaves: bool
) -> None:
    assert is_leaving(remote(state), deleted_id) is leaves


THINGS = st.lists(
    st.builds(remote, STATES, st.sampled_from("abcd")), min_size=1, max_size=5, unique_by=lambda r: r.remote_id
)
IDS = st.none() | st.sampled_from("abcde")


@given(remotes=THINGS, known_id=IDS, deleted_id=IDS)
def test_what_is_leaving_counts_only_where_nothing_else_stands(
    remotes: list[Remote], known_id: str | None, deleted_id: str | None
) -> None:
    chosen = standing_of(remotes, known_id=known_id, deleted_id=deleted_id)
    others = others_standing(remotes, chosen, deleted_id=deleted_id)
    staying = {each.remote_id for each in remotes if not is_leaving(each, deleted_id)}
    assert chosen in remotes
    assert (chosen.remote_id in staying) is bool(staying)
    assert others == sorted(staying - {chosen.remote_id})
    known = [
        each for each in remotes if each.remote_id == known_id and each.remote_id in staying and each.state != "failed"
    ]
    assert known in ([], [chosen])
