"""Settlements from what is known: the facts of an answer or of a listing, in the ledger's words."""

from collections.abc import Sequence
from dataclasses import replace

from batcher.engine.context import LaneContext
from batcher.events import Event, RowAccepted, RowSettled, Warned
from batcher.model import LedgerRow, Outcome, Remote, RowState, Settlement
from batcher.policy.evidence import Maker, Sending, maker_of
from batcher.policy.following import Sight, calls_of
from batcher.policy.found import is_leaving, judge

SOMEBODY_ELSE = "made by somebody else: it is not dated into a time in which this run alone was sending the row"
TOLD_TWICE_MAX = 10
"""Places of one lane at which more than one thing stands, and of which a warning tells; the report has them all."""
NOBODY_KNOWS = "this run may have made it: a process that ended was about to send the row, and no send is on record"


def ended(
    context: LaneContext,
    settlement: Settlement,
    outcome: Outcome,
    code: str = "",
    message: str = "",
    *,
    started: float | None = None,
) -> Settlement:
    """The settlement of a row that ended now; its duration runs from `started` on the lane's own clock."""
    return replace(
        settlement,
        state=RowState.SETTLED,
        outcome=outcome,
        error_code=code,
        error_message=message,
        settled_at=context.clock.now(),
        duration_ms=elapsed_ms(context, started),
    )


def elapsed_ms(context: LaneContext, started: float | None) -> int | None:
    """Whole milliseconds since `started` on the lane's own clock; None if nothing was started."""
    return None if started is None else round((context.worked() - started) * 1000)


def made_by_run(context: LaneContext, row: LedgerRow, remote: Remote, sendings: Sequence[Sending]) -> bool | None:
    """Whether a request of the run made what stands at a row's place; None: not known."""
    is_told = row.state is RowState.ACCEPTED and row.remote_id is not None
    if is_told and (remote.remote_id != row.remote_id or row.row_no in context.whose.others):
        return False
    if is_told and row.made is not None:
        return row.made
    if row.state is RowState.PLANNED:
        return False  # never sent
    match maker_of(remote.created_at, sendings, now_there=context.now_there):
        case Maker.UNKNOWN:
            return False if remote.remote_id == row.known_id else None  # known to another run
        case Maker.OTHER:
            return False
        case Maker.RUN | Maker.UNSURE:
            return True


def found_settlement(
    context: LaneContext, row: LedgerRow, remote: Remote, *, made: bool | None, note: str = ""
) -> Settlement | None:
    """What a row is, now that the provider shows its thing; None if the thing is on its way out.

    `made`: whether a request of the run made it (None: not known). `note` is the message of a row that has no other.
    """
    if is_leaving(remote, row.deleted_id):
        return None
    differences = context.operation.differences(row.spec, remote)
    amend_due = len(differences) == 1 and context.operation.needs_amending(row.spec, remote)
    was_taken = made is None and row.state is RowState.ACCEPTED and is_success(row.http_status)  # and told no date
    found = judge(remote, differences, amend_due=amend_due, ours=made is True or was_taken)
    if found is None:
        return None
    settlement = Settlement(
        row_no=row.row_no,
        expect=row.state,
        state=RowState.ACCEPTED,
        attempts=row.attempts,
        remote_id=remote.remote_id,
        remote_state=remote.state,
        remote_enabled=remote.enabled,
        http_status=row.http_status,
        request_id=row.request_id,
        made=made,
        told_there=None if made is None else context.now_there,  # until then it may have been made: only a send tells
    )
    if found.outcome is not None:
        return ended(context, settlement, found.outcome, found.code, found.message or note)
    if found.code and context.policy.verify:
        # A status is kept where an answer took the row: here nobody knows whether the run has made what is followed.
        return replace(settlement, error_code=found.code, http_status=None if made is None else row.http_status)
    if not context.policy.verify and not amend_due:
        return ended(context, settlement, Outcome.EXISTS if found.code else Outcome.CREATED, message=note)
    return settlement


def is_success(http_status: int | None) -> bool:
    """Whether an answer took what it was asked for. Pure."""
    return http_status is not None and 200 <= http_status < 300


def whose(*, made: bool | None) -> str:
    """What is to be said of a thing that stands where the run may have made one; empty where the run did."""
    if made is None:
        return NOBODY_KNOWS
    return "" if made else SOMEBODY_ELSE


def tell_of_others(context: LaneContext, line: int, others: Sequence[str]) -> str:
    """Say that more than one thing stands at a row's place; the note for its line in the report, or empty."""
    if not others:
        return ""
    context.whose.standing_twice += 1
    also = f"at the same place stands also {', '.join(f'`{each}`' for each in others)}"
    if context.whose.standing_twice <= TOLD_TWICE_MAX:
        context.sink.emit(Warned(f"line {line}: {also}", "look who made it: batcher leaves it alone"))
    return also


def record(context: LaneContext, scope: str, line: int, settlement: Settlement) -> None:
    """Queue a settlement with the event that tells of it; keep count of what a scope has accepted."""
    if settlement.expect is RowState.ACCEPTED:
        context.accepted[scope] = context.accepted.get(scope, 0) - 1
    if settlement.state is RowState.ACCEPTED:
        context.accepted[scope] = context.accepted.get(scope, 0) + 1
        if settlement.expect is not RowState.ACCEPTED:
            now = context.clock.steady()
            if scope not in context.looks.sights:
                context.looks.sights[scope] = Sight(now, now, calls=calls_of(context.listed.get(scope, 0)))
            context.looks.sights[scope].accepted(now)
    context.commit.settle(context.lease, settlement, [_event(context, line, settlement)])
    if settlement.outcome is not None:
        context.tolerance.note(settlement.outcome, settlement.error_code)


def _event(context: LaneContext, line: int, settlement: Settlement) -> Event:
    if settlement.outcome is None:
        return RowAccepted(context.lane, settlement.row_no)
    return RowSettled(
        context.lane,
        settlement.row_no,
        line,
        settlement.outcome,
        settlement.error_code,
        settlement.attempts,
        was_accepted=settlement.expect is RowState.ACCEPTED,
    )
