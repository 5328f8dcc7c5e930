"""After a lane has sent: follow what the provider took until it is final, by listing, many rows a call."""

from dataclasses import replace

from batcher.engine.context import LaneContext
from batcher.engine.listing import ScopeListing
from batcher.engine.reconcile import settle_listed
from batcher.engine.settling import ended, record
from batcher.model import Kind, LedgerRow, Outcome, Refused, Remote, RowState, Settlement
from batcher.policy.found import AVAILABLE

POLL_S_FIRST = 1.0
POLL_S_MAX = 15.0
"""The wait between two readings doubles from the first to the last of these."""


async def verify(context: LaneContext) -> None:
    """Settle accepted rows until none is left, the time for it is over, or the lane closes."""
    started = context.worked()
    delay_s = POLL_S_FIRST
    while _scopes(context) and not _is_over(context, started):
        if not await context.stop.sleep(delay_s):
            return
        delay_s = min(delay_s * 2, POLL_S_MAX)
        await context.commit.flush()
        for scope in _scopes(context):
            async for items in ScopeListing(context, scope).pages():
                to_amend, _ = await settle_listed(context, items)
                for row, remote in to_amend:
                    await _amend(context, row, remote)
            if _is_over(context, started):
                break
        await context.commit.flush()


def _is_over(context: LaneContext, started: float) -> bool:
    return context.closing or context.worked() - started >= context.policy.verify_s_max


def _scopes(context: LaneContext) -> list[str]:
    return [scope for scope, rows in context.accepted.items() if rows > 0]


async def _amend(context: LaneContext, row: LedgerRow, remote: Remote) -> None:
    """Make the call that is still due; what it changes is seen at the next reading at the latest."""
    if remote.state != AVAILABLE:
        return
    answer = await context.call("amend", lambda: context.operation.amend(context.lane, row.spec, remote))
    if answer is None or (isinstance(answer, Refused) and answer.kind is not Kind.PERMANENT):
        return
    settlement = Settlement(
        row_no=row.row_no,
        expect=RowState.ACCEPTED,
        state=RowState.SETTLED,
        attempts=row.attempts,
        remote_id=remote.remote_id,
        remote_state=remote.state,
        remote_enabled=remote.enabled,
        http_status=answer.http_status,
        request_id=answer.request_id,
    )
    if isinstance(answer, Refused):
        message = f"created, but it could not be made as wished: {answer.message}"
        record(context, row.scope, row.line, ended(context, settlement, Outcome.FAILED, answer.code, message))
    elif answer.as_wished and answer.state == AVAILABLE:
        settlement = replace(settlement, remote_enabled=answer.enabled)
        record(context, row.scope, row.line, ended(context, settlement, Outcome.CREATED))
