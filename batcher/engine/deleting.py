"""One delete of an undo: the call, as often as it is made, and what its answer makes of the row."""

from dataclasses import replace

from batcher.engine.context import LaneContext
from batcher.model import Applied, Kind, LedgerRow, Outcome, Refused, Remote, RowState, Settlement, Stops
from batcher.policy.retry import is_attempt


class Delete:
    """A row's delete, as often as it is sent: when first (on both clocks), and how many times it counts."""

    def __init__(self, context: LaneContext, row: LedgerRow, remote: Remote) -> None:
        self.sent_at: float | None = None
        self.began: float | None = None
        self.attempts = 0
        self.in_doubt = False
        """Whether one of them may have worked though its answer does not say so."""
        self._context = context
        self._row = row
        self._remote = remote

    async def __call__(self) -> Applied | Refused:
        """Make the call."""
        if self.sent_at is None:  # the wait for leave is not the row's
            self.sent_at, self.began = self._context.clock.now(), self._context.worked()
        answer = await self._context.operation.remove(self._context.lane, self._row.spec, self._remote)
        self.attempts += not isinstance(answer, Refused) or (answer.sent and is_attempt(answer))
        self.in_doubt = self.in_doubt or (isinstance(answer, Refused) and answer.ambiguous)
        return answer


def put_back(row: LedgerRow, *, first_sent_at: float | None = None) -> Settlement:
    """Make a row planned again; since when its thing may have been made stays as it was."""
    return Settlement(
        row.row_no,
        row.state,
        RowState.PLANNED,
        attempts=row.attempts,
        intent_at=row.intent_at,
        first_sent_at=first_sent_at,
        sent_there=row.sent_there,
    )


def leave(row: LedgerRow, *, first_sent_at: float | None = None) -> Settlement:
    """Keep a row claimed, whose delete may have worked, until a listing tells; its attempts count all the same.

    Its token is not spent by that: if the thing stands the provider answers that token with it, and another token might
    make a second one beside it.
    """
    return Settlement(
        row.row_no,
        RowState.CLAIMED,
        RowState.CLAIMED,
        attempts=row.attempts,
        remote_id=row.remote_id,
        http_status=row.http_status,
        request_id=row.request_id,
        first_sent_at=first_sent_at,
    )


def is_final(refused: Refused) -> bool:
    """Whether a refusal is the row's answer; after any other its thing is looked at again."""
    return refused.kind is Kind.PERMANENT and refused.stops is Stops.ROW


def spent_if_gone(settlement: Settlement) -> Settlement:
    """What was made and is gone must be made under another token: the provider may repeat its answer to this one."""
    is_gone = settlement.outcome in (Outcome.DELETED, Outcome.ABSENT)
    return replace(settlement, spent=True) if is_gone and settlement.remote_id is not None else settlement
