"""How work on a row ends: it is settled by what was answered or by what the listing shows, or put back.

`in_doubt` says that an earlier send may have taken effect, here or in a process that died.
"""

from collections.abc import Sequence
from dataclasses import replace

from batcher.engine.absence import without_gone
from batcher.engine.context import LaneContext
from batcher.engine.drift import put_right
from batcher.engine.listing import unreadable
from batcher.engine.look_up import LookUps
from batcher.engine.row_queue import Work
from batcher.engine.sends import sendings_of, sent_there_of
from batcher.engine.settling import (
    ended,
    found_settlement,
    made_by_run,
    record,
    tell_of_others,
    whose,
)
from batcher.model import Kind, LedgerRow, Outcome, Refused, Remote, RowState, Settlement
from batcher.policy.breaker import QUOTA_CODE
from batcher.policy.found import others_standing, standing_of

LOOK_S_FIRST, LOOK_S_MAX = 1.0, 15.0
"""The wait between two looks for what the provider says exists doubles from the first to the last of these."""


async def settle_by_listing(context: LaneContext, look_ups: LookUps, work: Work, refused: Refused) -> bool:
    """Settle a row by what the listing shows; True if it is looked for again later."""
    listed, listing = await look_ups.find(work.row, is_refused=refused.definitive or refused.kind is Kind.EXISTS)
    is_old = work.looks_until is not None and context.clock.steady() >= work.looks_until
    remotes = await without_gone(context, work.row, work.row.believed_id, listed, is_old=is_old)
    if remotes and await settle_found(context, work, remotes):
        return False
    if not listing.complete:
        if context.closing and not work.in_doubt and refused.code == QUOTA_CODE:
            settle(context, work, Outcome.FAILED, refused.code, refused.message)
        elif context.closing and not work.in_doubt:
            put_back(context, work)
        elif not context.closing:
            message = f"{refused.message}; {unreadable(listing)}"
            settle(context, work, Outcome.IN_DOUBT, refused.code, message)
        return False
    is_there = refused.kind is Kind.EXISTS
    if is_there and not remotes and _looks_again(context, work):
        return True
    if is_there and remotes:
        leaving = f"it is there in state `{remotes[0].state}`: `batcher retry` once it is gone"
        settle(context, work, Outcome.FAILED, refused.code, f"{refused.message}; {leaving}")
    else:
        # A definitive refusal is an answer; after mere silence, how soon a listing shows a thing is not documented.
        outcome = Outcome.FAILED if refused.definitive and not work.in_doubt else Outcome.IN_DOUBT
        settle(context, work, outcome, refused.code, f"{refused.message}; the listing does not show it")
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


async def settle_found(context: LaneContext, work: Work, remotes: Sequence[Remote]) -> bool:
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
        attempts=row.attempts + work.sends,
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
        if not work.in_doubt:
            put_back(context, work)
        return True
    # What failed and was there before must not be taken for what this token may have made: `undo` asks.
    is_another = settlement.outcome is Outcome.FAILED and not work.in_doubt
    spent = is_another and work.refused is not None and work.refused.kind is Kind.EXISTS
    settlement = replace(
        settlement, first_sent_at=work.first_sent_at, spent=spent, sent_there=sent_there_of(context, work)
    )
    record(context, row.scope, row.line, settlement)
    return True


def settle(context: LaneContext, work: Work, outcome: Outcome, code: str, message: str) -> None:
    """Settle a row with this outcome; what was said of its last send goes with it."""
    refused, is_in_doubt = work.refused, outcome is Outcome.IN_DOUBT and work.in_doubt
    settlement = Settlement(
        row_no=work.row.row_no,
        expect=RowState.CLAIMED,
        state=RowState.SETTLED,
        attempts=work.row.attempts + work.sends,
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
    if work.in_doubt and not work.sends:
        return  # it is as the process left it that is gone
    refused = work.refused
    settlement = Settlement(
        row_no=work.row.row_no,
        expect=RowState.CLAIMED,
        state=RowState.CLAIMED if work.in_doubt else RowState.PLANNED,
        attempts=work.row.attempts + work.sends,
        http_status=refused.http_status if refused else None,
        error_code=refused.code if refused else "",
        error_message=refused.message if refused else "",
        request_id=refused.request_id if refused else "",
        intent_at=work.row.intent_at,
        first_sent_at=work.first_sent_at,
        spent=work.new_generation and not work.in_doubt,
    )
    context.commit.settle(context.lease, settlement)
