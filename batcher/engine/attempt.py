"""One row from claim to settled, as far as it comes without waiting: send, decide, and act on the decision.

What is true of a row on the way: its claim is in the ledger before it is sent; its settlement is queued in the
same breath in which the answer is understood; whatever happens in between leaves it claimed, that is, possibly
sent. `in_doubt` says that an earlier send may have taken effect, here or in a process that died.
"""

from dataclasses import replace

from batcher.engine.context import LaneContext
from batcher.engine.drift import put_right
from batcher.engine.listing import unreadable
from batcher.engine.look_up import LookUps
from batcher.engine.row_queue import Work
from batcher.engine.settling import elapsed_ms, ended, found_settlement, record
from batcher.events import RowRetried
from batcher.model import Applied, ClaimedRow, Kind, LedgerRow, Outcome, Refused, Remote, RowState, Settlement, Stops
from batcher.policy.breaker import skip_code, skip_message
from batcher.policy.found import AVAILABLE, FAILED
from batcher.policy.retry import GiveUp, LookUp, PutBack, TryAgain, decide, is_attempt


async def attempt(context: LaneContext, look_ups: LookUps, work: Work) -> bool:
    """Bring a row on by one send; True if it waits for another. Cancelled, the row stays claimed."""
    if context.closing or _stopper(context, work) is not None:
        _leave(context, work)
    elif await _prepare(context, look_ups, work):
        return await _send(context, look_ups, work)
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


async def _send(context: LaneContext, look_ups: LookUps, work: Work) -> bool:
    sent_at = began = 0.0

    async def apply() -> Applied | Refused:
        nonlocal sent_at, began  # the wait for leave is not the row's
        sent_at, began = context.clock.now(), context.worked()
        return await context.operation.apply(context.lane, work.row)

    answer = await context.call("create", apply, None if work.in_doubt else work.row.scope)
    if answer is None:
        _leave(context, work)
        return False
    work.started = began if work.started is None else work.started
    if isinstance(answer, Applied) or answer.sent:
        work.first_sent_at = work.first_sent_at or sent_at
    if isinstance(answer, Refused):
        return await _refused(context, look_ups, work, answer)
    _applied(context, work, answer)
    return False


async def _prepare(context: LaneContext, look_ups: LookUps, work: Work) -> bool:
    """Make sure that the row may be sent under its token; False if it was settled instead."""
    if work.new_generation:  # after a definitive refusal; what an attempt before it may have done is still open
        since = (work.row.intent_at or work.first_sent_at) if work.in_doubt else None
        await _take_generation(context, work, work.row.generation + 1, since)
        work.new_generation = False
        return True
    if work.row.due_generation > work.row.generation:
        used_at = work.row.used_at
        await _take_generation(context, work, work.row.due_generation, None)
        work.row = replace(work.row, used_at=used_at)
    row = work.row
    if work.attempts or (row.used_at is None and row.believed_id is None):
        return True
    work.in_doubt = work.in_doubt or row.used_at is not None
    expired = row.used_at is not None and context.clock.now() - row.used_at > context.policy.token_lifetime_s
    if row.believed_id is None and not expired:
        return True
    was_seen_absent = work.is_absent or row.scope in context.listed
    if not was_seen_absent and not await _is_absent(context, look_ups, work):
        return False
    await _next_generation(context, work)
    return True


async def _next_generation(context: LaneContext, work: Work) -> None:
    """A token that was never used, after a whole listing has shown that nothing is left of what others made."""
    await _take_generation(context, work, work.row.generation + 1, None)
    work.row = replace(work.row, intent_at=None)
    work.in_doubt = False


async def _take_generation(context: LaneContext, work: Work, generation: int, since: float | None) -> None:
    """Record the token of a generation before it is sent, and that the run may have sent the row since then, or now.

    `since` is that of a token before it: what that one may have made is the row's own, however late it is found.
    """
    row_no, token = work.row.row_no, context.operation.token(work.row.spec, generation)
    first_use = context.clock.now() if since is None else since
    await context.ledger.regenerate(context.lease, row_no, generation=generation, token=token, now=first_use)
    work.row = replace(work.row, generation=generation, due_generation=generation, token=token, used_at=since)


async def take_due_generations(context: LaneContext, rows: list[ClaimedRow]) -> list[ClaimedRow]:
    """A page of claimed rows with the tokens that are due, all recorded in one write before any of them is sent."""
    now = context.clock.now()
    due: dict[int, ClaimedRow] = {}
    for row in rows:
        if row.due_generation > row.generation:
            token = context.operation.token(row.spec, row.due_generation)
            due[row.row_no] = replace(row, generation=row.due_generation, token=token)
    if due:
        await context.ledger.regenerate_rows(context.lease, [(row, now) for row in due.values()])
    return [due.get(row.row_no, row) for row in rows]


async def _is_absent(context: LaneContext, look_ups: LookUps, work: Work) -> bool:
    """Whether a whole look-up shows nothing; the row is settled, or left in doubt, where it does not."""
    remote, listing = await look_ups.find(work.row)
    if remote is not None and await _settle_found(context, work, remote):
        return False
    if listing.complete:
        return True
    if context.closing:
        return False
    _settle(context, work, Outcome.IN_DOUBT, "BATCHER.ListingIncomplete", unreadable(listing))
    return False


def _applied(context: LaneContext, work: Work, answer: Applied) -> None:
    work.attempts += 1
    context.quota.note_success()
    outcome, code, message = _outcome(context, work, answer)
    is_final = outcome is not None
    settlement = Settlement(
        row_no=work.row.row_no,
        expect=RowState.CLAIMED,
        state=RowState.SETTLED if is_final else RowState.ACCEPTED,
        outcome=outcome,
        attempts=work.row.attempts + work.attempts,
        remote_id=answer.remote_id,
        remote_state=answer.state,
        remote_enabled=answer.enabled,
        http_status=answer.http_status,
        error_code=code,
        error_message=message,
        request_id=answer.request_id,
        first_sent_at=work.first_sent_at,
        settled_at=context.clock.now() if is_final else None,
        duration_ms=elapsed_ms(context, work.started) if is_final else None,
    )
    record(context, work.row.scope, work.row.line, settlement)


def _outcome(context: LaneContext, work: Work, answer: Applied) -> tuple[Outcome | None, str, str]:
    """The outcome of an accepted row (None: not final yet), with code and message."""
    if answer.state == FAILED:
        return Outcome.FAILED, "BATCHER.RemoteFailed", "accepted, and shown in state `failed`: delete it, then retry"
    if not answer.as_wished or (answer.state != AVAILABLE and context.policy.verify):
        return None, "", ""
    return (Outcome.EXISTS if answer.remote_id == work.row.believed_id else Outcome.CREATED), "", ""


async def _refused(context: LaneContext, look_ups: LookUps, work: Work, refused: Refused) -> bool:
    """Do what the retry law says; True if the row is to be sent again."""
    work.refused = refused
    work.attempts += is_attempt(refused)
    work.in_doubt = work.in_doubt or refused.ambiguous
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
            await _settle_by_listing(context, look_ups, work, refused)
        case GiveUp():
            _settle(context, work, Outcome.FAILED, refused.code, refused.message)
        case PutBack():
            put_back(context, work)
            if not refused.sent:
                context.stop_unreachable(refused)
    return False


async def _settle_by_listing(context: LaneContext, look_ups: LookUps, work: Work, refused: Refused) -> None:
    remote, listing = await look_ups.find(work.row)
    if remote is not None and await _settle_found(context, work, remote):
        return
    if not listing.complete:
        if context.closing:
            return
        message = f"{refused.message}; {unreadable(listing)}"
        _settle(context, work, Outcome.IN_DOUBT, refused.code, message)
    elif remote is not None and refused.kind is Kind.EXISTS:
        leaving = f"it is there in state `{remote.state}`: `batcher retry` once it is gone"
        _settle(context, work, Outcome.FAILED, refused.code, f"{refused.message}; {leaving}")
    else:
        # A definitive refusal is an answer; after mere silence, how soon a listing shows a thing is not documented.
        outcome = Outcome.FAILED if refused.definitive else Outcome.IN_DOUBT
        _settle(context, work, outcome, refused.code, f"{refused.message}; the listing does not show it")


async def _settle_found(context: LaneContext, work: Work, remote: Remote) -> bool:
    """Settle a row by its thing; False if that is leaving. A row that could not be put right in time stays claimed."""
    row = work.row
    known = LedgerRow(
        row_no=row.row_no,
        line=row.line,
        state=RowState.CLAIMED,
        scope=row.scope,
        key=row.key,
        spec=row.spec,
        intent_at=(row.intent_at or work.first_sent_at) if work.in_doubt else None,
        attempts=row.attempts + work.attempts,
    )
    found = found_settlement(context, known, remote)
    if found is None:
        return False
    settlement = await put_right(context, known, remote, found)
    if settlement is None:
        return True
    # What failed and was there before must not be taken for what this token may have made: `undo` asks.
    is_another = settlement.outcome is Outcome.FAILED and not work.in_doubt
    spent = is_another and work.refused is not None and work.refused.kind is Kind.EXISTS
    record(context, row.scope, row.line, replace(settlement, first_sent_at=work.first_sent_at, spent=spent))
    return True


def _settle(context: LaneContext, work: Work, outcome: Outcome, code: str, message: str) -> None:
    refused = work.refused
    settlement = Settlement(
        row_no=work.row.row_no,
        expect=RowState.CLAIMED,
        state=RowState.SETTLED,
        attempts=work.row.attempts + work.attempts,
        http_status=refused.http_status if refused else None,
        request_id=refused.request_id if refused else "",
        first_sent_at=work.first_sent_at,
        # Also a refusal because it exists, of which no listing knows, may be repeated to this token for ever.
        spent=refused is not None and (refused.definitive or refused.kind is Kind.EXISTS),
    )
    settlement = ended(context, settlement, outcome, code, message, started=work.started)
    record(context, work.row.scope, work.row.line, settlement)


def put_back(context: LaneContext, work: Work) -> None:
    """Leave a row for a later sitting: planned if no send of it can have worked, else claimed, as it is."""
    if work.in_doubt:
        return
    settlement = Settlement(
        row_no=work.row.row_no,
        expect=RowState.CLAIMED,
        state=RowState.PLANNED,
        attempts=work.row.attempts + work.attempts,
        intent_at=work.row.intent_at,
        first_sent_at=work.first_sent_at,
        spent=work.new_generation,
    )
    context.commit.settle(context.lease, settlement)
