"""Scopes that are sent blind, that is without a listing before: one row goes ahead, the others wait for its answer.

A row that is refused because it exists costs two calls, its create and a look-up; and where one row of a scope stands,
most of them do. So of a scope that has too few rows to be listed first, one row goes ahead, while the others wait
without a worker. If it is taken, they are sent. If it exists, the scope is listed, once: what the listing shows at the
places of rows that were not sent yet is kept until their turn comes, and settles them without a call. The same is done
where another row than the first is the first that exists.
"""

from collections.abc import Sequence

from batcher.engine.row_queue import Work
from batcher.model import ClaimedRow, NaturalKey, Remote

SHOWN_MAX = 100_000
"""Rows of one lane of which is kept what stands at their places, some 500 bytes each; others are sent."""


class Blind:
    """The scopes of one lane that are sent blind, and what was seen of their rows."""

    def __init__(self) -> None:
        self._unlisted: set[str] = set()
        self._leads: dict[str, int | None] = {}
        """Scopes whose rows wait, and the number of the row for whose answer they do (None: for the next one's)."""
        self._shown: dict[NaturalKey, Sequence[Remote]] = {}

    def add(self, scope: str) -> None:
        """The rows of this scope are sent without a listing before."""
        self._unlisted.add(scope)
        self._leads[scope] = None

    def remove(self, scope: str) -> None:
        """It was listed."""
        self._unlisted.discard(scope)
        self._leads.pop(scope, None)

    def holds(self, work: Work) -> bool:
        """Whether a row waits for the answer to another one; the first of its scope is the one that goes ahead."""
        scope, row_no = work.row.scope, work.row.row_no
        if scope not in self._leads or not is_unsent(work):
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
        """The row exists: whether its scope is listed because of that, as it is once; the others wait meanwhile."""
        if row.scope not in self._unlisted:
            return False
        self._unlisted.discard(row.scope)
        self._leads[row.scope] = row.row_no
        return True

    def keep(self, key: NaturalKey, remotes: Sequence[Remote]) -> None:
        """What stands at the place of a row that was not sent yet."""
        if len(self._shown) < SHOWN_MAX:
            self._shown[key] = (*self._shown.get(key, ()), *remotes)

    def take(self, work: Work) -> Sequence[Remote]:
        """What is kept of a row, if it was not sent; it is kept no more."""
        shown = self._shown.pop(work.row.key, ())
        return shown if is_unsent(work) else ()


def is_unsent(work: Work) -> bool:
    """Whether no send of a row, in any run, can have done anything."""
    return not work.in_doubt and not work.sends and work.row.used_at is None
