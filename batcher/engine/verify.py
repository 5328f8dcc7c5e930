"""Follow what the provider took until it is final, by listing, many rows a call.

While the lane sends its scopes are looked at as `policy.following` says. Such a look settles what it shows and
concludes nothing from what it lacks; calls that rows still need to be as wished are made in between, one at a time.
Where the provider refuses it, the sends go on: they tell whether the lane has to stop.

After the last send the scopes are read to their ends.
What a whole listing lacks is asked for by its id, a few rows a reading, for a listing may lag. A row whose id the
provider does not know, or that two whole listings lack which began `listing_lag_s` apart, is planned again, under its
next generation.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import anyio

from batcher.engine.absence import Misses, show
from batcher.engine.context import LaneContext
from batcher.engine.last_look import POLL_S_FIRST, POLL_S_MAX, waiting
from batcher.engine.listing import ScopeListing
from batcher.engine.reconcile import settle_by, settle_listed
from batcher.engine.row_set import RowSet
from batcher.engine.settling import ended, made_by_run, record
from batcher.engine.taken import settle_unsure
from batcher.model import (
    CallClass,
    Kind,
    LedgerRow,
    Outcome,
    Page,
    Refused,
    Remote,
    RowState,
    Settlement,
    Shown,
    Stops,
)
from batcher.policy.evidence import sendings_before
from batcher.policy.following import due_looks, turn_s
from batcher.policy.found import AVAILABLE, is_leaving
from batcher.policy.verdict import OWN_CODES, OwnCode

SHOWS_MAX = 20
"""Rows of a scope that are asked for by their ids after a reading: more are soon listed, or wait for a second one."""
SCAN_S = 1.0
"""How often it is asked, while the lane sends, which scopes are due."""
TRIES_MAX = 3
"""How often a scope whose listing failed is looked at once more in the end."""
AMENDS_MAX = 500
"""Calls that rows still need which are kept in mind while the lane sends: the next look finds the others again."""


class Follower:
    """What one sitting has seen of the rows that the provider took."""

    def __init__(self, context: LaneContext) -> None:
        self._context = context
        self._misses = Misses(context.policy.listing_lag_s)
        self._to_amend: dict[int, tuple[LedgerRow, Remote]] = {}
        """Rows that still need a call, by number."""
        self._calls = 1
        """What the last look took."""

    async def follow(self, is_over: anyio.Event) -> None:
        """Look at what was accepted while the lane sends; ends soon after `is_over`."""
        context = self._context
        due: list[str] = []
        scan_at = next_at = context.clock.steady() + turn_s(1, context.limiter.rate_per_s(CallClass.READ))
        while not (is_over.is_set() or context.closing):
            now = context.clock.steady()
            if not due and now >= scan_at:
                sights = {scope: sight for scope, sight in waiting(context).items() if self._is_open(scope)}
                due, scan_at = due_looks(sights, now), now + SCAN_S
            may_call = context.breaker.is_closed and not context.limiter.is_paused
            if due and not self._is_open(due[0]):
                due.pop(0)
            elif due and now >= next_at and may_call:
                await self._look(due.pop(0), is_over.is_set)
                next_at = now + turn_s(self._calls, context.limiter.rate_per_s(CallClass.READ))
            elif self._to_amend and may_call:
                await self._amend_one()
            else:
                wait_s = (max(next_at, now) if due else scan_at) - now
                with anyio.move_on_after(wait_s if may_call else SCAN_S):
                    await is_over.wait()
        self._to_amend.clear()

    async def _amend_one(self) -> None:
        await _amend(self._context, *self._to_amend.pop(next(iter(self._to_amend))))

    def _is_open(self, scope: str) -> bool:
        context = self._context
        return scope not in context.stopped_scopes and context.accepted.get(scope, 0) > 0

    async def look_at(self, scopes: Sequence[str]) -> None:
        """Look at each of the scopes, again where that failed, and make the calls that rows there still need."""
        for _ in range(TRIES_MAX):
            scopes = [scope for scope in scopes if not await self._look(scope)]
        while self._to_amend:
            await self._amend_one()

    async def _look(self, scope: str, is_over: Callable[[], bool] = lambda: False) -> bool:
        """Settle what a listing shows of what was accepted; whether it could be listed. `is_over` ends it early."""
        context, began = self._context, self._context.clock.steady()
        self._to_amend = {number: one for number, one in self._to_amend.items() if one[0].scope != scope}
        await settle_unsure(context, is_last=False)
        look = _Look(context, scope, is_over)
        async for items in look.pages():
            to_amend, _ = await settle_listed(context, items, sends=True)
            for row, remote in to_amend:
                if len(self._to_amend) < AMENDS_MAX:
                    self._to_amend[row.row_no] = row, remote
        self._calls = max(1, look.calls)
        if scope in context.looks.sights:
            context.looks.sights[scope].looked(began, look.calls, is_barred=look.is_barred)
        return look.refused is None

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
        gone = list(await _without_unplanned(context, gone))
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


class _Look(ScopeListing):
    """A reading beside the lane's work: each page is asked for once, and a refusal stops nothing."""

    def __init__(self, context: LaneContext, scope: str, is_over: Callable[[], bool]) -> None:
        super().__init__(context, scope)
        self.calls = 0
        self._is_over = is_over

    @property
    def is_barred(self) -> bool:
        """Whether to ask again would bring the same."""
        return self.refused is not None and self.refused.kind is Kind.PERMANENT

    async def _page(self, marker: str | None) -> Page[Remote] | None:
        if self._is_over():
            return None
        context = self._context

        async def ask() -> Page[Remote] | Refused:
            self.calls += 1
            answer = await context.operation.page(context.lane, self.scope, marker)
            is_wide = isinstance(answer, Refused) and answer.stops in (Stops.LANE, Stops.ACCOUNT, Stops.RUN)
            return replace(answer, stops=Stops.ROW) if isinstance(answer, Refused) and is_wide else answer

        answer = await context.call("list", ask)
        if isinstance(answer, Refused):
            self.refused = answer
            return None
        return answer


async def _without_unplanned(context: LaneContext, gone: Sequence[int]) -> Sequence[int]:
    """Which of the rows whose things are gone may be planned again: of a reviewed plan those that were to be made."""
    if not context.policy.reviewed or not gone:
        return gone
    rows = await context.ledger.rows(context.lease, gone)
    for row in (row for row in rows if row.made is False and row.intent_at is None):
        settlement = Settlement(row.row_no, expect=row.state, state=RowState.SETTLED, remote_id=row.remote_id)
        message = OWN_CODES[OwnCode.MOVED]
        record(context, row.scope, row.line, ended(context, settlement, Outcome.SKIPPED, OwnCode.MOVED.value, message))
    await context.commit.flush()
    return [row.row_no for row in rows if row.made is not False or row.intent_at is not None]


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
