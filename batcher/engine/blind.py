"""Scopes that are sent blind, that is without a listing before: one row goes ahead, the others wait for its answer.

A row that is refused because it exists costs two calls, its create and a look-up; and where one row of a scope stands,
most of them do. So of a scope that has too few rows to be listed first, one row goes ahead, while the others wait
without a worker. If it is taken, they are sent. If it is refused because it exists, or for good, so that it may stand
all the same, the scope is listed, once: what the listing shows at the places of other rows is kept until their turn
comes, and settles them without a call. The same is done where another row than the first is the first that is refused.
"""

from collections.abc import Sequence

from batcher.engine.row_queue import Work
from batcher.model import ClaimedRow, NaturalKey, Remote

SHOWN_MAX = 100_000
"""Rows of one lane of which is kept what stands at their places, some 500 bytes each; others are sent."""


class Blind:
    """The scopes of one lane that are sent blind, and what was seen of their rows."""

    def __init__(self) -> None:
        self.scopes: set[str] = set()
        """All that were not listed before the first send."""
        self._unlisted: set[str] = set()
        self._leads: dict[str, int | None] = {}
        """Scopes whose rows wait, and the number of the row for whose answer they do (None: for the next one's)."""
        self._shown: dict[NaturalKey, Sequence[Remote]] = {}

    def add(self, scope: str) -> None:
        """The rows of this scope are sent without a listing before."""
        self.scopes.add(scope)
        self._unlisted.add(scope)
        self._leads[scope] = None

    def remove(self, scope: str) -> None:
        """It was listed."""
        self.scopes.discard(scope)
        self._unlisted.discard(scope)
        self._leads.pop(scope, None)

    def holds(self, work: Work) -> bool:
        """Whether a row waits for the answer to another one; the first of its scope is the one that goes ahead."""
        scope, row_no = work.row.scope, work.row.row_no
        if scope not in self._leads or work.sends or not _made_nothing(work):
            return False
        if self._leads[scope] is None:
            self._leads[scope] = row_no
        return self._leads[scope] != row_no

    def is_answered(self, work: Work) -> bool:
        """Work on a row has come to an end for now: whether others waited for that, and go on."""
        scope = work.row.scope
        if scope not in self._leads or self._leads[scope] != work.row.row_no:
            return False
        del self._leads[scope]
        return True

    def is_to_be_listed(self, row: ClaimedRow) -> bool:
        """A row was refused: whether its scope is listed because of that, as it is once; the others wait meanwhile."""
        if row.scope not in self._unlisted:
            return False
        self._unlisted.discard(row.scope)
        self._leads[row.scope] = row.row_no
        return True

    def keep(self, key: NaturalKey, remotes: Sequence[Remote]) -> None:
        """What stands at the place of a row that is not settled."""
        if len(self._shown) < SHOWN_MAX:
            self._shown[key] = (*self._shown.get(key, ()), *remotes)

    def take(self, work: Work) -> Sequence[Remote]:
        """What is kept of a row, if it surely made nothing; it is kept no more."""
        shown = self._shown.pop(work.row.key, ())
        return shown if _made_nothing(work) else ()


def _made_nothing(work: Work) -> bool:
    """Whether no send of a row, in any run, can have done anything."""
    return not work.in_doubt and work.row.used_at is None
