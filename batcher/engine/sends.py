"""When a row was sent: what is put on record of it before each send leaves, and what is known of it here.

A send that may have taken effect is a time: from when it left to when it was surely answered or lost. Those of
processes that ended are in the ledger (`ClaimedRow`), those of this one in `Work.doubtful`. All are kept apart: what
somebody else made between two of them is not the row's own.
"""

from batcher.engine.context import LaneContext
from batcher.engine.row_queue import Work
from batcher.model import Send
from batcher.policy.evidence import Sending, sendings_before, times_before


async def mark(context: LaneContext, work: Work, *, waits: bool) -> None:
    """Put on record that a row is about to be sent; `waits` until that is durable."""
    offset, now = context.clock_offset, context.clock.steady()
    first, last = (None, None) if offset is None else (now + offset.low, now + offset.high)
    send = Send(
        context.lease,
        work.row.row_no,
        first,
        last,
        _times(context, work),
        attempts=work.row.attempts + work.attempts + 1,
        first_sent_at=first_sent_at_of(work) or context.clock.now(),
    )
    await context.commit.mark(send) if waits else context.commit.note_send(send)


def unmark(context: LaneContext, work: Work) -> None:
    """Take the last send off the record, which is known to have done nothing; those that may have stay on it."""
    times, attempts = _times(context, work), work.row.attempts + work.attempts
    first, last = times[-1] if times else (None, None)
    first_sent_at = first_sent_at_of(work) if attempts else None
    context.commit.note_send(Send(context.lease, work.row.row_no, first, last, times[:-1], attempts, first_sent_at))


def first_sent_at_of(work: Work) -> float | None:
    """When the row left first, by this machine's clock, in any process of the run; None: it did not."""
    return work.row.first_sent_at if work.row.first_sent_at is not None else work.first_sent_at


def _times(context: LaneContext, work: Work) -> tuple[tuple[float, float], ...]:
    """From when to when the row was being sent, in the provider's time; the last of each may have left at the end."""
    offset, answer_s = context.clock_offset, context.policy.answer_s_max
    if offset is None:
        return times_before(work.row)
    here = ((sent + offset.low, until + offset.high - answer_s) for sent, until in work.doubtful)
    return (*times_before(work.row), *here)


def sendings_of(context: LaneContext, work: Work) -> list[Sending]:
    """All times in which the run was sending a row: in processes that ended, as far as that is on record, and here."""
    offset, found = context.clock_offset, sendings_before(work.row, context.policy.answer_s_max)
    if offset is not None:
        found.extend(
            Sending(sent + offset.low, sent + offset.high, until + offset.high) for sent, until in work.doubtful
        )
        if work.left is not None:
            found.append(Sending(work.left + offset.low, work.left + offset.high))
    return found


def sent_there_of(context: LaneContext, work: Work) -> float | None:
    """The row's first send in the provider's time, at the earliest; None: it was not sent, or that is not known."""
    if work.row.sent_there is not None:
        return work.row.sent_there
    offset = context.clock_offset
    return None if work.sent is None or offset is None else work.sent + offset.low
