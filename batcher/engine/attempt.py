"""One row from claim to settled, as far as it comes without waiting: send, decide, and act on the decision.

What is true of a row on the way: its claim is in the ledger before it is sent; its settlement is queued in the
same breath in which the answer is understood; whatever happens in between leaves it claimed, that is, possibly
sent. `in_doubt` says that an earlier send may have taken effect, here or in a process that died.
"""

from collections.abc import Sequence
from dataclasses import replace
from enum import Enum, auto

from batcher.engine.absence import Absent, Found, Unreadable, Wait, look_for, without_gone
from batcher.engine.context import LaneContext
from batcher.engine.listing import unreadable
from batcher.engine.look_up import LookUps
from batcher.engine.replacing import is_gone, makes_way, remove_failed
from batcher.engine.row_end import put_back, settle, settle_by_listing, settle_found
from batcher.engine.row_queue import Work
from batcher.engine.sends import mark, unmark
from batcher.engine.taken import take
from batcher.events import RowRetried
from batcher.model import Applied, ClaimedRow, Outcome, Refused, Remote, Stops
from batcher.policy.breaker import skip_code, skip_message
from batcher.policy.retry import GiveUp, LookUp, PutBack, TryAgain, decide, is_attempt

SET_BACK_S = 60.0
"""A token that was used later than now by more than this has an age that nobody knows: the clock was set back."""


async def attempt(context: LaneContext, look_ups: LookUps, work: Work) -> bool:
    """Bring a row on by one send; True if it waits for another. Cancelled, the row stays claimed."""
    if await _is_settled_or_left(context, work):
        return False
    if work.looks_until is not None and work.refused is not None:
        return await settle_by_listing(context, look_ups, work, work.refused)
    if work.leaving is not None and not await _has_made_way(context, work):
        return work.leaving is not None
    match await _prepare(context, look_ups, work):
        case _Step.SEND:
            return await _send(context, look_ups, work)
        case _Step.WAIT:
            return True
        case _Step.DONE:
            return False


async def _is_settled_or_left(context: LaneContext, work: Work) -> bool:
    """Settle a row by what was shown of it since it was claimed, or leave it where it is not to be sent now."""
    if not context.closing and await _was_shown(context, work):
        return True
    if context.closing or _stopper(context, work) is not None:
        _leave(context, work)
        return True
    return False


async def _was_shown(context: LaneContext, work: Work) -> bool:
    """Settle a row that surely made nothing by what a listing has shown at its place; whether it did."""
    remotes = context.blind.take(work)
    if remotes:
        remotes = await without_gone(context, work.row, work.row.believed_id, remotes, is_old=False)
    return bool(remotes) and await settle_found(context, work, remotes)


def _stopper(context: LaneContext, work: Work) -> Refused | None:
    """What stopped the row's scope, or what it is about, unless the row itself is in doubt."""
    if work.in_doubt:
        return None
    stopper = context.stopped_scopes.get(work.row.scope)
    if stopper is None and context.stopped_subjects:
        stopper = context.stopped_subjects.get(context.operation.subject(work.row.spec))
    return stopper


def _leave(context: LaneContext, work: Work) -> None:
    """Do with a row that is not to be sent now what is true of it: skipped with its scope, or put back."""
    stopper = _stopper(context, work)
    if stopper is not None:
        settle(context, work, Outcome.SKIPPED, skip_code(stopper), skip_message(stopper))
    else:
        put_back(context, work)


class _OnRecord:
    """That a row is about to be sent: on record before it leaves, and off it where it does not."""

    def __init__(self, context: LaneContext, work: Work) -> None:
        self._context, self._work, self._is_on = context, work, False

    async def do(self, *, waits: bool) -> bool:
        if _is_expired(self._context, self._work):  # it waited for its turn for so long
            return False
        await mark(self._context, self._work, waits=waits)
        self._is_on = True
        return True

    def take_back(self) -> None:
        if self._is_on:
            unmark(self._context, self._work)
        self._is_on = False


async def _send(context: LaneContext, look_ups: LookUps, work: Work) -> bool:
    sent = sent_at = began = 0.0
    record_of = _OnRecord(context, work)

    async def apply() -> Applied | Refused:
        nonlocal sent, sent_at, began  # the wait for leave is not the row's
        sent, sent_at, began = context.clock.steady(), context.clock.now(), context.worked()
        return await context.operation.apply(context.lane, work.row)

    answer = await context.call("create", apply, None if work.in_doubt else work.row.scope, record_of)
    if answer is None:
        record_of.take_back()
        if _is_expired(context, work) and not context.closing and _stopper(context, work) is None:
            return True
        _leave(context, work)
        return False
    work.started = began if work.started is None else work.started
    if isinstance(answer, Applied) or answer.sent:
        work.sends += 1
        work.first_sent_at = work.first_sent_at or sent_at
        work.sent = sent if work.sent is None else work.sent
        work.used = sent if work.used is None else work.used
        work.left = sent
    if isinstance(answer, Refused):
        return await _refused(context, look_ups, work, answer)
    take(context, work, answer)
    return False


class _Step(Enum):
    """What comes next for a row: it is sent now, it waits until it is due, or it is settled or left as it is."""

    SEND = auto()
    WAIT = auto()
    DONE = auto()


def _is_expired(context: LaneContext, work: Work) -> bool:
    """Whether the provider may have forgotten the row's token, so that it would make a second thing."""
    lifetime_s = context.policy.token_lifetime_s
    if work.used is not None and context.clock.steady() - work.used > lifetime_s:
        return True
    if work.row.used_at is None:
        return False
    return not -SET_BACK_S <= context.clock.now() - work.row.used_at <= lifetime_s


async def _prepare(context: LaneContext, look_ups: LookUps, work: Work) -> _Step:
    """Make sure that the row may be sent under its token, and that nothing stands there if it needs another."""
    if work.new_generation and not work.in_doubt:  # after a definitive refusal: nothing of it stands
        await _take_generation(context, work, work.row.generation + 1)
        work.new_generation = False
        return _Step.SEND
    if work.row.due_generation > work.row.generation:
        used_at = work.row.used_at
        await _take_generation(context, work, work.row.due_generation)
        work.row = replace(work.row, used_at=used_at)
    row, is_first = work.row, not work.attempts
    if is_first and row.used_at is not None:
        work.in_doubt, work.is_absent = True, work.is_absent or row.scope in context.listed
    must_look = work.new_generation or (is_first and row.believed_id is not None)
    if not must_look and not _is_expired(context, work):
        return _Step.SEND
    match await look_for(context, look_ups, work):
        case Found(remotes):
            return await _found(context, work, remotes)
        case Wait(due):
            work.due = due
            return _Step.WAIT
        case Unreadable(listing):
            if not context.closing:
                settle(context, work, Outcome.IN_DOUBT, "BATCHER.ListingIncomplete", unreadable(listing))
            return _Step.DONE
        case Absent():
            await _next_generation(context, work)
            work.new_generation = False
            return _Step.SEND


async def _found(context: LaneContext, work: Work, remotes: Sequence[Remote]) -> _Step:
    """Settle a row by what stands at its place, or delete that if it failed, so that the row can be sent again."""
    failed = makes_way(context, work.row, work.row.believed_id, remotes)
    if failed is None:
        return _Step.DONE if await settle_found(context, work, remotes) else _Step.WAIT
    refused = await remove_failed(context, work, failed)
    if work.leaving is not None:
        return _Step.WAIT
    if refused is None or context.closing:
        _leave(context, work)
    else:
        message = f"the provider keeps `{failed.remote_id}` in state `failed`, and its delete was refused"
        settle(context, work, Outcome.FAILED, refused.code, f"{message}: {refused.message}")
    return _Step.DONE


async def _has_made_way(context: LaneContext, work: Work) -> bool:
    """Whether what failed is gone, and the row goes under another token; else it waits, or is settled."""
    if await is_gone(context, work):
        work.note, work.leaving = f"replaces `{work.leaving}`, which the provider kept in state `failed`", None
        await _next_generation(context, work)
        return True
    if context.clock.steady() >= work.leaves_until and not context.closing:
        message = f"`{work.leaving}` was deleted, and is not gone yet: `batcher retry --replace-failed` again later"
        settle(context, work, Outcome.FAILED, "BATCHER.RemoteFailed", message)
        work.leaving = None
    return False


async def _next_generation(context: LaneContext, work: Work) -> None:
    """A token that was never used, after a whole listing has shown that nothing is left of what others made."""
    await _take_generation(context, work, work.row.generation + 1)
    work.row = replace(work.row, intent_at=None, believed_id=None)
    work.in_doubt, work.sent, work.used, work.left = False, None, None, None
    work.doubtful.clear()


async def _take_generation(context: LaneContext, work: Work, generation: int) -> None:
    """Record the token of a generation before it is sent: what was sent under one before it counts for nothing."""
    token = context.operation.token(work.row.spec, generation)
    work.row = replace(
        work.row,
        generation=generation,
        due_generation=generation,
        token=token,
        used_at=None,
        sent_there=None,
        told_there=None,
        sent_before=(),
    )
    await context.ledger.regenerate_rows(context.lease, [(work.row, context.clock.now())])


async def take_due_generations(context: LaneContext, rows: list[ClaimedRow]) -> list[ClaimedRow]:
    """A page of claimed rows with the tokens that are due, all recorded in one write before any of them is sent."""
    now = context.clock.now()
    due: dict[int, ClaimedRow] = {}
    for row in rows:
        if row.due_generation > row.generation:
            token = context.operation.token(row.spec, row.due_generation)
            due[row.row_no] = replace(
                row, generation=row.due_generation, token=token, sent_there=None, told_there=None, sent_before=()
            )
    if due:
        await context.ledger.regenerate_rows(context.lease, [(row, now) for row in due.values()])
    return [due.get(row.row_no, row) for row in rows]


async def _refused(context: LaneContext, look_ups: LookUps, work: Work, refused: Refused) -> bool:
    """Do what the retry law says; True if the row is to be sent again."""
    work.refused = refused
    work.attempts += is_attempt(refused)
    work.in_doubt = work.in_doubt or refused.ambiguous
    if refused.ambiguous and work.left is not None:
        heard = context.clock.steady()
        over = heard if refused.http_status is not None else heard + context.policy.answer_s_max
        work.doubtful.append((work.left, over))
    work.left = None  # what is made until the next send is somebody else's
    work.sent = work.doubtful[0][0] if work.doubtful else None
    decision = decide(
        refused,
        attempts=work.attempts,
        elapsed_s=context.worked() - (work.started or 0.0),
        in_doubt=work.in_doubt,
        budget=context.policy.budget,
        chance=context.chance.random(),
        is_absent=work.is_absent,
        was_listed=work.row.scope in context.listed,
    )
    if not refused.ambiguous and (work.in_doubt or isinstance(decision, TryAgain)):
        unmark(context, work)  # this send did nothing; those before it are what counts
    if isinstance(decision, TryAgain):
        work.due = context.clock.steady() + decision.delay_s
        work.new_generation = decision.new_generation
        retried = RowRetried(context.lane, work.row.row_no, refused.code, work.attempts, decision.delay_s)
        context.sink.emit(retried)
        return True
    if refused.stops is Stops.SCOPE:
        context.stop_scope(work.row.scope, refused)
    elif refused.stops is Stops.SUBJECT:
        context.stop_subject(context.operation.subject(work.row.spec), refused)
    match decision:
        case LookUp():
            return await settle_by_listing(context, look_ups, work, refused)
        case GiveUp() if await _was_shown(context, work):
            pass
        case GiveUp():
            settle(context, work, Outcome.FAILED, refused.code, refused.message)
        case PutBack():
            put_back(context, work)
            if not refused.sent:
                context.stop_unreachable(refused)
    return False
