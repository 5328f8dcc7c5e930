"""The verdict on rows and runs, worked out by hand from the product's tables of outcomes and exit codes."""

import itertools

import pytest

from batcher.model import Outcome, RowState
from batcher.policy.verdict import DONE, EXIT_OF_STOP, OWN_CODES, OwnCode, exit_code, open_cause, project_outcome

SETTLED_EXITS = {
    Outcome.CREATED: 0,
    Outcome.EXISTS: 0,
    Outcome.UPDATED: 0,
    Outcome.DUPLICATE: 0,
    Outcome.DELETED: 0,
    Outcome.ABSENT: 0,
    Outcome.DRIFTED: 3,
    Outcome.FAILED: 3,
    Outcome.IN_DOUBT: 3,
    Outcome.INVALID: 3,
    Outcome.SKIPPED: 3,
    Outcome.UNVERIFIED: 5,
}
ROW_EXITS = {
    **{(RowState.SETTLED, outcome.value): code for outcome, code in SETTLED_EXITS.items()},
    (RowState.PLANNED, ""): 5,
    (RowState.CLAIMED, ""): 5,
    (RowState.ACCEPTED, ""): 5,
}
STOP_EXITS = {
    "BATCHER.Interrupted": 130,
    "BATCHER.Terminated": 143,
    "BATCHER.HungUp": 129,
    "BATCHER.AccessRefused": 7,
    "BATCHER.EndpointUnreachable": 7,
    "BATCHER.TooManyFailures": 4,
}


def test_every_outcome_has_an_exit_code() -> None:
    assert set(SETTLED_EXITS) == set(Outcome)


@pytest.mark.parametrize(("rows", "code"), ROW_EXITS.items())
def test_one_kind_of_rows_decides_the_exit_code(rows: tuple[RowState, str], code: int) -> None:
    assert exit_code({rows: 7}, "") == code


@pytest.mark.parametrize("pair", list(itertools.permutations(ROW_EXITS, 2)))
def test_of_two_kinds_of_rows_unfinished_outranks_faulty_outranks_done(pair: tuple[tuple[RowState, str], ...]) -> None:
    assert exit_code(dict.fromkeys(pair, 1), "") == max(ROW_EXITS[rows] for rows in pair)


@pytest.mark.parametrize(("stop", "code"), STOP_EXITS.items())
@pytest.mark.parametrize("rows", ROW_EXITS)
def test_a_stop_decides_whatever_became_of_the_rows(stop: str, code: int, rows: tuple[RowState, str]) -> None:
    assert exit_code({rows: 1}, stop) == code


@pytest.mark.parametrize("stop", sorted(set(OWN_CODES) - set(STOP_EXITS)))
def test_other_codes_leave_the_exit_code_to_the_rows(stop: str) -> None:
    assert exit_code({(RowState.SETTLED, "created"): 1}, stop) == 0
    assert exit_code({(RowState.SETTLED, "skipped"): 1}, stop) == 3
    assert exit_code({(RowState.PLANNED, ""): 1}, stop) == 5


def test_kinds_without_rows_do_not_count() -> None:
    assert exit_code({(RowState.SETTLED, "failed"): 0, (RowState.PLANNED, ""): 0}, "") == 0
    assert exit_code({}, "") == 0


def test_the_stop_table_is_the_products() -> None:
    assert dict(EXIT_OF_STOP) == STOP_EXITS


def test_done_are_the_outcomes_of_exit_code_0() -> None:
    assert {outcome for outcome, code in SETTLED_EXITS.items() if code == 0} == DONE


@pytest.mark.parametrize(
    ("state", "stop_code", "outcome", "code"),
    [
        (RowState.PLANNED, "", "skipped", "BATCHER.NotAttempted"),
        (RowState.PLANNED, "BATCHER.Interrupted", "skipped", "BATCHER.Interrupted"),
        (RowState.PLANNED, "BATCHER.AccessRefused", "skipped", "BATCHER.AccessRefused"),
        (RowState.PLANNED, "BATCHER.Drained", "skipped", "BATCHER.Drained"),
        (RowState.CLAIMED, "", "in_doubt", "BATCHER.InDoubt"),
        (RowState.CLAIMED, "BATCHER.Interrupted", "in_doubt", "BATCHER.InDoubt"),
        (RowState.ACCEPTED, "", "unverified", "BATCHER.Unverified"),
        (RowState.ACCEPTED, "BATCHER.Terminated", "unverified", "BATCHER.Unverified"),
    ],
)
def test_an_open_row_is_projected(state: RowState, stop_code: str, outcome: str, code: str) -> None:
    assert project_outcome(state, None) == outcome
    assert open_cause(state, stop_code) == (code, OWN_CODES[code])


def test_an_outcome_of_an_earlier_sitting_does_not_outlive_the_state() -> None:
    """`resume` makes a skipped row planned again; when it is then claimed, it is in doubt."""
    assert project_outcome(RowState.CLAIMED, Outcome.SKIPPED) is Outcome.IN_DOUBT


@pytest.mark.parametrize("outcome", Outcome)
def test_a_settled_row_keeps_its_outcome(outcome: Outcome) -> None:
    assert project_outcome(RowState.SETTLED, outcome) is outcome


def test_a_settled_row_without_outcome_is_refused() -> None:
    with pytest.raises(ValueError, match="no outcome"):
        project_outcome(RowState.SETTLED, None)


def test_a_stop_code_of_a_newer_batcher_still_gets_a_message() -> None:
    code, message = open_cause(RowState.PLANNED, "BATCHER.Later")
    assert code == "BATCHER.Later"
    assert message == "the run stopped before the row was done"


def test_every_own_code_has_one_meaning() -> None:
    assert set(OWN_CODES) == set(OwnCode)
    assert len(set(OWN_CODES.values())) == len(OWN_CODES)
    assert all(code.startswith("BATCHER.") for code in OWN_CODES)
