"""The table of moves. That the ledger keeps to it is held in `tests/ledger/test_moves.py`."""

from batcher.model import RowState
from batcher.policy.row_state import MOVES, may_move

LEGAL = {
    ("planned", "claimed"),
    ("planned", "accepted"),
    ("planned", "settled"),
    ("claimed", "claimed"),
    ("claimed", "planned"),
    ("claimed", "accepted"),
    ("claimed", "settled"),
    ("accepted", "planned"),
    ("accepted", "settled"),
    ("settled", "planned"),
    ("settled", "accepted"),
}


def test_the_moves_are_these_and_no_others() -> None:
    assert {(old.value, new.value) for old in RowState for new in RowState if may_move(old, new)} == LEGAL


def test_every_state_has_its_moves_and_they_lead_to_states() -> None:
    assert set(MOVES) == set(RowState)
    assert {new for moves in MOVES.values() for new in moves} <= set(RowState)


def test_every_state_is_reached_from_the_plan_and_leads_to_an_end() -> None:
    for start in RowState:
        reached = {start}
        while more := {new for old in reached for new in MOVES[old]} - reached:
            reached |= more
        assert RowState.SETTLED in reached
        assert start is not RowState.PLANNED or reached == set(RowState)
