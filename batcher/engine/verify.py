"""After a lane has sent: follow what the provider took until it is final, by listing, many rows a call.

What a whole listing lacks is asked for by its id, a few rows a reading, for a listing may lag. A row whose id the
provider does not know, or that two whole listings lack which began `listing_lag_s` apart, is planned again, under its
next generation.
"""

from collections.abc import Sequence
from dataclasses import replace

from batcher.engine.absence import Misses, show
from batcher.engine.context import LaneContext
from batcher.engine.listing import ScopeListing
from batcher.engine.reconcile import settle_by, settle_listed
from batcher.engine.row_set import RowSet
from batcher.engine.settling import ended, made_by_run, record
from batcher.model import Kind, LedgerRow, Outcome, Refused, Remote, RowState, Settlement, Shown
from batcher.policy.evidence import sendings_before
from batcher.policy.found import AVAILABLE, is_leaving

POLL_S_FIRST = 1.0
POLL_S_MAX = 15.0
"""The wait between two readings doubles from the first to the last of these."""
SHOWS_MAX = 20
"""Rows of a scope that are asked for by their ids after a reading: more are soon listed, or wait for a second one."""


class Follower:
    """What one sitting has seen of the rows that the provider took."""

    def __init__(self, context: LaneContext) -> None:
        self._context = context
        self._misses = Misses(context.policy.listing_lag_s)

    async def verify(self) -> bool:
        """Settle accepted rows until none is left, the time for it is over, or the lane closes.

        Whether rows are planned again, because what was made of them is gone.
        """
        context = self._context
        started, delay_s, again = context.worked(), POLL_S_FIRST, False
        while _scopes(context) and not _is_over(context, started):
            if not await context.stop.sleep(delay_s):
                break
            delay_s = min(delay_s * 2, POLL_S_MAX)
            await context.commit.flush()
            for scope in _scopes(context):
                again = await self._read(scope) or again
                if _is_over(context, started):
                    break
            await context.commit.flush()
        return again

    async def _read(self, scope: str) -> bool:
        """One reading of a scope; whether rows of it are planned again."""
        context, seen = self._context, RowSet()
        listing, began = ScopeListing(context, scope), context.clock.steady()
        async for items in listing.pages():
            to_amend, accepted = await settle_listed(context, items)
            for row_no in accepted:
                seen.add(row_no)
            for row, remote in to_amend:
                await _amend(context, row, remote)
        await context.commit.flush()
        if not listing.complete or context.closing or context.accepted.get(scope, 0) <= 0:
            return False
        numbers = (await context.ledger.numbers(context.lease, RowState.ACCEPTED)).get(scope, ())
        missing = seen.missing(numbers)
        gone = [*await self._ask_for(missing[:SHOWS_MAX]), *self._misses.twice(scope, missing, began)]
        if not gone:
            return False
        await context.commit.flush()
        self._misses.forget(scope, gone)
        vanished = await context.ledger.plan_vanished(context.lease, gone)
        context.accepted[scope] -= vanished
        return vanished > 0

    async def _ask_for(self, numbers: Sequence[int]) -> list[int]:
        """Ask for rows by their ids and settle what stands; those of which nothing does."""
        context, gone = self._context, []
        for row in await context.ledger.rows(context.lease, numbers) if numbers else ():
            shown = await show(context, row.scope, row.remote_id or "")
            if not isinstance(shown, Shown):
                break  # it may not be asked, or not now: a second listing tells as well
            if shown.remote is None or is_leaving(shown.remote, row.deleted_id):
                gone.append(row.row_no)
            else:
                self._misses.forget(row.scope, [row.row_no])
            if shown.remote is None or shown.remote.key != row.key:
                continue
            to_amend, _ = await settle_by(context, row, [shown.remote])
            if to_amend is not None:
                await _amend(context, row, to_amend)
        return gone


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
        made=made_by_run(context, row, remote, sendings_before(row, context.policy.answer_s_max)),
    )
    if isinstance(answer, Refused):
        message = f"created, but it could not be made as wished: {answer.message}"
        record(context, row.scope, row.line, ended(context, settlement, Outcome.FAILED, answer.code, message))
    elif answer.as_wished and answer.state == AVAILABLE:
        settlement = replace(settlement, remote_enabled=answer.enabled)
        record(context, row.scope, row.line, ended(context, settlement, Outcome.CREATED))
