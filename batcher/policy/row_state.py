"""The states of a row and the moves between them: one table that the ledger, the engine and the tests read.

    planned --claim--> claimed --answer 202, not final--> accepted --seen final--> settled
       |                 |  ^
       |                 |  +-- taken over after a crash
       |                 +--definitive answer--> settled
       |                 +--surely not sent--> planned
       |                                   accepted --gone from the whole listing--> planned
       +--found in the listing, invalid, duplicate, scope stopped--> settled
       +--found in the listing, not final--> accepted

`settled` is left again only by `skipped` rows, which `resume` makes planned, and by `unverified` ones, which it makes
accepted. A row that is claimed and not
settled when its worker is gone may have been sent; nothing but an answer or a listing moves it on.
"""

from collections.abc import Mapping

from batcher.model import RowState

MOVES: Mapping[RowState, frozenset[RowState]] = {
    RowState.PLANNED: frozenset({RowState.CLAIMED, RowState.ACCEPTED, RowState.SETTLED}),
    RowState.CLAIMED: frozenset({RowState.CLAIMED, RowState.PLANNED, RowState.ACCEPTED, RowState.SETTLED}),
    RowState.ACCEPTED: frozenset({RowState.PLANNED, RowState.SETTLED}),
    RowState.SETTLED: frozenset({RowState.PLANNED, RowState.ACCEPTED}),
}


def may_move(old: RowState, new: RowState) -> bool:
    """Whether the ledger may move a row from `old` to `new`."""
    return new in MOVES[old]
