"""Settlements from what is known: the facts of an answer or of a listing, in the ledger's words."""

from dataclasses import replace

from batcher.engine.context import LaneContext
from batcher.events import Event, RowAccepted, RowSettled
from batcher.model import LedgerRow, Outcome, Remote, RowState, Settlement
from batcher.policy.found import judge


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


def found_settlement(context: LaneContext, row: LedgerRow, remote: Remote) -> Settlement | None:
    """What a row is, now that a listing shows its thing; None if the thing is on its way out."""
    differences = context.operation.differences(row.spec, remote)
    amend_due = len(differences) == 1 and context.operation.needs_amending(row.spec, remote)
    found = judge(
        remote,
        differences,
        amend_due=amend_due,
        sent_since=row.intent_at if row.state is RowState.CLAIMED else None,
        accepted=row.state is RowState.ACCEPTED,
    )
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
    )
    if found.outcome is not None:
        return ended(context, settlement, found.outcome, found.code, found.message)
    if not context.policy.verify and not amend_due:
        return ended(context, settlement, Outcome.CREATED)
    return settlement


def record(context: LaneContext, scope: str, line: int, settlement: Settlement) -> None:
    """Queue a settlement with the event that tells of it; keep count of what a scope has accepted."""
    if settlement.expect is RowState.ACCEPTED:
        context.accepted[scope] = context.accepted.get(scope, 0) - 1
    if settlement.state is RowState.ACCEPTED:
        context.accepted[scope] = context.accepted.get(scope, 0) + 1
    context.commit.settle(context.lease, settlement, [_event(context, line, settlement)])
    if settlement.outcome is not None:
        context.tolerance.note(settlement.outcome, settlement.error_code)


def _event(context: LaneContext, line: int, settlement: Settlement) -> Event:
    if settlement.outcome is None:
        return RowAccepted(context.lane, settlement.row_no)
    return RowSettled(
        context.lane, settlement.row_no, line, settlement.outcome, settlement.error_code, settlement.attempts
    )
