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
from batcher.engine.drift import put_right
from batcher.engine.listing import unreadable
from batcher.engine.look_up import LookUps
from batcher.engine.replacing import is_gone, makes_way, remove_failed
from batcher.engine.row_queue import Work
from batcher.engine.sends import mark, sendings_of, sent_there_of, unmark
from batcher.engine.settling import (
    ended,
    found_settlement,
    made_by_run,
    record,
    tell_of_others,
    whose,
)
from batcher.engine.taken import take
from batcher.events import RowRetried
from batcher.model import Applied, ClaimedRow, Kind, LedgerRow, Outcome, Refused, Remote, RowState, Settlement, Stops
from batcher.policy.breaker import skip_code, skip_message
from batcher.policy.found import others_standing, standing_of
from batcher.policy.retry import GiveUp, LookUp, PutBack, TryAgain, decide, is_attempt

SET_BACK_S = 60.0
"""A token that was used later than now by more than this has an age that nobody knows: the clock was set back."""
LOOK_S_FIRST, LOOK_S_MAX = 1.0, 15.0
"""The wait between two looks for what the provider says exists doubles from the first to the last of these."""


async def attempt(context: LaneContext, look_ups: LookUps, work: Work) -> bool:
    """Bring a row on by one send; True if it waits for another. Cancelled, the row stays claimed."""
    if context.closing or _stopper(context, work) is not None:
        _leave(context, work)
        return False
    if work.looks_until is not None and work.refused is not None:
        return await _settle_by_listing(context, look_ups, work, work.refused)
    if work.leaving is not None and not await _has_made_way(context, work):
        return work.leaving is not None
    match await _prepare(context, look_ups, work):
        case _Step.SEND:
            return await _send(context, look_ups, work)
        case _Step.WAIT:
            return True
        case _Step.DONE:
            return False


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
        _settle(context, work, Outcome.SKIPPED, skip_code(stopper), skip_message(stopper))
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
                _settle(context, work, Outcome.IN_DOUBT, "BATCHER.ListingIncomplete", unreadable(listing))
            return _Step.DONE
        case Absent():
            await _next_generation(context, work)
            work.new_generation = False
            return _Step.SEND


async def _found(context: LaneContext, work: Work, remotes: Sequence[Remote]) -> _Step:
    """Settle a row by what stands at its place, or delete that if it failed, so that the row can be sent again."""
    failed = makes_way(context, work.row, work.row.believed_id, remotes)
    if failed is None:
        return _Step.DONE if await _settle_found(context, work, remotes) else _Step.WAIT
    refused = await remove_failed(context, work, failed)
    if work.leaving is not None:
        return _Step.WAIT
    if refused is None or context.closing:
        _leave(context, work)
    else:
        message = f"the provider keeps `{failed.remote_id}` in state `failed`, and its delete was refused"
        _settle(context, work, Outcome.FAILED, refused.code, f"{message}: {refused.message}")
    return _Step.DONE


async def _has_made_way(context: LaneContext, work: Work) -> bool:
    """Whether what failed is gone, and the row goes under another token; else it waits, or is settled."""
    if await is_gone(context, work):
        work.note, work.leaving = f"replaces `{work.leaving}`, which the provider kept in state `failed`", None
        await _next_generation(context, work)
        return True
    if context.clock.steady() >= work.leaves_until and not context.closing:
        message = f"`{work.leaving}` was deleted, and is not gone yet: `batcher retry --replace-failed` again later"
        _settle(context, work, Outcome.FAILED, "BATCHER.RemoteFailed", message)
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
    if not work.attempts:
        work.first_sent_at = None  # the gateway kept it: it was not sent to the service
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
            return await _settle_by_listing(context, look_ups, work, refused)
        case GiveUp():
            _settle(context, work, Outcome.FAILED, refused.code, refused.message)
        case PutBack():
            put_back(context, work)
            if not refused.sent:
                context.stop_unreachable(refused)
    return False


async def _settle_by_listing(context: LaneContext, look_ups: LookUps, work: Work, refused: Refused) -> bool:
    """Settle a row by what the listing shows; True if it is looked for again later."""
    listed, listing = await look_ups.find(work.row)
    is_old = work.looks_until is not None and context.clock.steady() >= work.looks_until
    remotes = await without_gone(context, work.row, work.row.believed_id, listed, is_old=is_old)
    if remotes and await _settle_found(context, work, remotes):
        return False
    if not listing.complete:
        if not context.closing:
            message = f"{refused.message}; {unreadable(listing)}"
            _settle(context, work, Outcome.IN_DOUBT, refused.code, message)
        return False
    is_there = refused.kind is Kind.EXISTS
    if is_there and not remotes and _looks_again(context, work):
        return True
    if is_there and remotes:
        leaving = f"it is there in state `{remotes[0].state}`: `batcher retry` once it is gone"
        _settle(context, work, Outcome.FAILED, refused.code, f"{refused.message}; {leaving}")
    else:
        # A definitive refusal is an answer; after mere silence, how soon a listing shows a thing is not documented.
        outcome = Outcome.FAILED if refused.definitive and not work.in_doubt else Outcome.IN_DOUBT
        _settle(context, work, outcome, refused.code, f"{refused.message}; the listing does not show it")
    return False


def _looks_again(context: LaneContext, work: Work) -> bool:
    """Whether what the provider says exists, and does not list, is looked for again: its listing may lag."""
    now = context.clock.steady()
    work.looks_until = now + context.policy.listing_lag_s if work.looks_until is None else work.looks_until
    if now >= work.looks_until or context.closing:
        return False
    work.due = min(now + min(LOOK_S_FIRST * 2.0**work.looks, LOOK_S_MAX), work.looks_until)
    work.looks += 1
    return True


async def _settle_found(context: LaneContext, work: Work, remotes: Sequence[Remote]) -> bool:
    """Settle a row by its thing; False if that is leaving. A row that could not be put right in time stays claimed."""
    row = work.row
    remote = standing_of(remotes, known_id=row.believed_id, deleted_id=row.deleted_id)
    known = LedgerRow(
        row_no=row.row_no,
        line=row.line,
        state=RowState.CLAIMED,
        scope=row.scope,
        key=row.key,
        spec=row.spec,
        intent_at=row.intent_at,
        attempts=row.attempts + work.attempts,
        deleted_id=row.deleted_id,
        known_id=row.believed_id,
    )
    made = made_by_run(context, known, remote, sendings_of(context, work)) if work.in_doubt else False
    note = whose(made=made) if work.in_doubt else ""
    others = tell_of_others(context, row.line, others_standing(remotes, remote, deleted_id=row.deleted_id))
    found = found_settlement(context, known, remote, made=made, note=others or note)
    if found is None:
        return False
    settlement = await put_right(context, known, remote, found)
    if settlement is None:
        return True
    # What failed and was there before must not be taken for what this token may have made: `undo` asks.
    is_another = settlement.outcome is Outcome.FAILED and not work.in_doubt
    spent = is_another and work.refused is not None and work.refused.kind is Kind.EXISTS
    settlement = replace(
        settlement, first_sent_at=work.first_sent_at, spent=spent, sent_there=sent_there_of(context, work)
    )
    record(context, row.scope, row.line, settlement)
    return True


def _settle(context: LaneContext, work: Work, outcome: Outcome, code: str, message: str) -> None:
    refused, is_in_doubt = work.refused, outcome is Outcome.IN_DOUBT and work.in_doubt
    settlement = Settlement(
        row_no=work.row.row_no,
        expect=RowState.CLAIMED,
        state=RowState.SETTLED,
        attempts=work.row.attempts + work.attempts,
        http_status=refused.http_status if refused else None,
        request_id=refused.request_id if refused else "",
        first_sent_at=work.first_sent_at,
        # Also a refusal because it exists, of which no listing knows, may be repeated to this token for ever. After any
        # other the token is kept while an earlier send may stand: another might make it twice.
        spent=refused is not None and (refused.kind is Kind.EXISTS or (refused.definitive and not is_in_doubt)),
        sent_there=sent_there_of(context, work),
    )
    settlement = ended(context, settlement, outcome, code, message, started=work.started)
    record(context, work.row.scope, work.row.line, settlement)


def put_back(context: LaneContext, work: Work) -> None:
    """Leave a row for a later sitting: planned if no send of it can have worked, else claimed; what was said stays."""
    if work.in_doubt and not work.attempts:
        return  # it is as the process left it that is gone
    refused = work.refused
    settlement = Settlement(
        row_no=work.row.row_no,
        expect=RowState.CLAIMED,
        state=RowState.CLAIMED if work.in_doubt else RowState.PLANNED,
        attempts=work.row.attempts + work.attempts,
        http_status=refused.http_status if refused else None,
        error_code=refused.code if refused else "",
        error_message=refused.message if refused else "",
        request_id=refused.request_id if refused else "",
        intent_at=work.row.intent_at,
        first_sent_at=work.first_sent_at,
        spent=work.new_generation and not work.in_doubt,
    )
    context.commit.settle(context.lease, settlement)
