"""Drift put right: the calls that make a thing, which was there otherwise than wished, as its row wishes it.

Each call is safe to repeat, so nothing of it is in the ledger but its end: a sitting that dies half-way leaves a row
that is looked at again, and found as wished or put right then.
"""

from dataclasses import replace

from batcher.engine.context import LaneContext
from batcher.engine.listing import ScopeListing
from batcher.engine.persist import persist
from batcher.model import Applied, LedgerRow, Outcome, Refused, Remote, Settlement
from batcher.policy.found import AVAILABLE
from batcher.policy.verdict import OwnCode


async def put_right(context: LaneContext, row: LedgerRow, remote: Remote, drifted: Settlement) -> Settlement | None:
    """The settlement of a drifted row: `updated`, or `drifted` with what stands against it.

    As it was given where nothing is to be put right. None if the lane closed on the way: the row stays open.
    """
    if not context.policy.fix_drift or drifted.outcome is not Outcome.DRIFTED:
        return drifted
    if obstacle := _obstacle(context, row, remote):
        return replace(drifted, error_message=f"{drifted.error_message}; not put right{obstacle}")
    enabled = remote.enabled
    for is_due, kind, make in (
        (context.operation.needs_update, "update", context.operation.update),
        (context.operation.needs_amending, "amend", context.operation.amend),
    ):
        if not is_due(row.spec, remote):
            continue
        answer = await persist(context, kind, lambda make=make: make(context.lane, row.spec, remote))  # type: ignore[misc]
        if answer is None or (isinstance(answer, Refused) and context.closing):
            return None
        if isinstance(answer, Refused):
            return await _not_done(context, row, remote, drifted, answer)
        if not answer.as_wished:
            return replace(drifted, error_message=f"{drifted.error_message}; the provider took a change and shows none")
        enabled = answer.enabled if answer.enabled is not None else enabled
        drifted = _answered(drifted, answer)
    return _updated(context, replace(drifted, remote_enabled=enabled), drifted.error_message)


async def _not_done(
    context: LaneContext, row: LedgerRow, remote: Remote, drifted: Settlement, refused: Refused
) -> Settlement | None:
    """What a change has done that was refused at last: `in_doubt` where it may have been made and no listing tells.

    None if the lane closed before one could.
    """
    if not refused.ambiguous:
        return _refused(drifted, refused)
    listing, now = ScopeListing(context, row.scope, only=(row.spec,)), None
    async for items in listing.pages():
        now = next((item for item in items if item.remote_id == remote.remote_id), now)
    if now is None and context.closing:
        return None
    if now is None:
        return replace(_refused(drifted, refused), outcome=Outcome.IN_DOUBT, error_code=OwnCode.IN_DOUBT.value)
    seen = replace(drifted, remote_state=now.state, remote_enabled=now.enabled)
    differences = context.operation.differences(row.spec, now)
    if differences:
        return _refused(replace(seen, error_message="; ".join(differences)), refused)
    return _updated(context, seen, drifted.error_message)


def _updated(context: LaneContext, settlement: Settlement, differences: str) -> Settlement:
    return replace(
        settlement,
        outcome=Outcome.UPDATED,
        error_code="",
        error_message=f"put right: {differences.replace('there is', 'there was')}",
        settled_at=context.clock.now(),
    )


def _obstacle(context: LaneContext, row: LedgerRow, remote: Remote) -> str:
    """Why a thing is not to be changed, or empty."""
    if context.policy.reviewed and row.remote_id != remote.remote_id:
        return ": it was not there when the plan was reviewed"
    return "" if remote.state == AVAILABLE else f" in state `{remote.state}`"


def _answered(drifted: Settlement, answer: Applied) -> Settlement:
    return replace(drifted, http_status=answer.http_status, request_id=answer.request_id, remote_state=answer.state)


def _refused(drifted: Settlement, refused: Refused) -> Settlement:
    message = f"{drifted.error_message}; not put right: {refused.code}: {refused.message}"
    return replace(drifted, error_message=message, http_status=refused.http_status, request_id=refused.request_id)
