"""Take back what a run has made: look at its scopes, delete what is its own, and follow that until it is gone.

A delete is safe to repeat, so a sitting that dies leaves rows that the next one simply looks at again. Each row is
claimed in the ledger before its delete is sent, and stays claimed while that may have worked and nothing has told: a
report shows it as `in_doubt`, not as `skipped`.

A round reads each scope once, 2,000 things a call. What still stands in the way (a thing that is `pending`, or
`deleting`) is looked at again in the next round, as `verify` does. Absence counts only in a whole listing that was read
while nothing was deleted: a delete between two pages changes the count by which a listing is known to be whole. And a
listing may lag: what was made less than `listing_lag_s` ago is not gone because it is not shown, nor does a thing
stand because it is. Such rows are asked for by their ids, as many as the lane's pace allows before they are old enough.
"""

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

import anyio

from batcher.engine.absence import Misses, show
from batcher.engine.context import LaneContext
from batcher.engine.deleting import Delete, is_final, leave, put_back, spent_if_gone
from batcher.engine.lane import held, skip_rest
from batcher.engine.last_look import POLL_S_FIRST, POLL_S_MAX, look_last
from batcher.engine.listing import ScopeListing, unreadable
from batcher.engine.persist import persist
from batcher.engine.reconcile import ROWS_AT_ONCE
from batcher.engine.row_set import RowSet
from batcher.engine.settling import ended, record, tell_of_others
from batcher.model import (
    CallClass,
    LedgerRow,
    NaturalKey,
    Outcome,
    Refused,
    Remote,
    RowState,
    Settlement,
    Shown,
    Stops,
)
from batcher.policy.breaker import skip_code, skip_message
from batcher.policy.evidence import MARGIN_S, Maker, maker_of, sendings_before
from batcher.policy.found import DELETED, others_standing, standing_of
from batcher.policy.removal import Act, judge_removal
from batcher.policy.verdict import OwnCode

GONE = "it is not there any more"
NEVER = "it may have been sent, and nothing of it is there"


async def undo_lane(context: LaneContext, _open_rows: int, *, force: bool) -> None:
    """Delete what is open of a lane; with `force` also what was changed since. Raises what the ledger raises."""
    async with held(context):
        rounds = _Rounds(context, force=force)
        delay_s, waiting_since = POLL_S_FIRST, None
        while await rounds.go() and not context.closing:
            if rounds.has_sent:  # it goes on: a row's delete is sent once in a sitting, so this has an end
                delay_s, waiting_since = POLL_S_FIRST, None
            elif not context.policy.verify:
                break
            else:
                waiting_since = context.worked() if waiting_since is None else waiting_since
                if context.worked() - waiting_since >= context.policy.verify_s_max:
                    break
            if not await context.stop.sleep(delay_s):
                break
            delay_s = min(delay_s * 2, POLL_S_MAX)
        await look_last(context, rounds.look_at)
        await skip_rest(context)


class _Rounds:
    """Readings of the lane's scopes, one round after the other."""

    def __init__(self, context: LaneContext, *, force: bool) -> None:
        self.has_sent = False
        """Whether a delete was sent in the last round."""
        self._context = context
        self._force = force
        self._done_with: set[str] = set()
        """Scopes that are not read again in this sitting."""
        self._sent = 0
        self._deleted = RowSet()
        """Rows whose delete was accepted in this sitting: it is not sent again."""
        self._given_up: dict[int, tuple[Refused, Remote]] = {}
        """Rows whose delete was tried until it was given up: the next reading shows whether it has worked."""
        self._told = RowSet()
        """Rows of which it was said that something else stands at their place."""
        self._misses = Misses(context.policy.listing_lag_s)

    async def go(self) -> bool:
        """Read each scope with open rows once; whether another round can bring more."""
        context, sent_before = self._context, self._sent
        numbers: dict[str, array[int]] = {}
        for state in (RowState.PLANNED, RowState.CLAIMED, RowState.ACCEPTED):
            for scope, found in (await context.ledger.numbers(context.lease, state)).items():
                numbers.setdefault(scope, array("I")).extend(found)
                if state is RowState.ACCEPTED:
                    context.accepted[scope] = len(found)
        for scope in sorted(numbers.keys() - self._done_with):
            if context.closing:
                return False
            await self._read(scope, numbers[scope])
            await context.commit.flush()
        self.has_sent = self._sent > sent_before
        left = {load.scope for load in await context.ledger.scopes(context.lease)}
        return bool(left - self._done_with)

    async def look_at(self, scopes: Sequence[str]) -> None:
        """Read these scopes once more, whose deletes were taken; the lane closes, so nothing else is deleted."""
        numbers = await self._context.ledger.numbers(self._context.lease, RowState.ACCEPTED)
        for scope in scopes:
            await self._read(scope, numbers.get(scope, array("I")))
            await self._context.commit.flush()

    async def _read(self, scope: str, numbers: Sequence[int]) -> None:
        """One reading of a scope, whose open rows have these numbers."""
        context, sent_before, began = self._context, self._sent, self._context.clock.steady()
        listing = ScopeListing(context, scope)
        seen, stale = RowSet(), array("I")
        async for items in listing.pages():
            await self._take(items, seen, stale)
        if listing.refused is not None and listing.refused.stops is Stops.SCOPE:
            context.stop_scope(scope, listing.refused)
        if scope in context.stopped_scopes:
            self._done_with.add(scope)
            await context.commit.flush()
            refused = context.stopped_scopes[scope]
            await self._each(numbers, lambda row: self._skip(row, skip_code(refused), skip_message(refused)))
        elif listing.complete and self._sent == sent_before:
            await self._look_closer(scope, seen.missing(numbers), stale, began)
        elif listing.complete or self._sent > sent_before or context.closing:
            return  # what it did not show is seen in the next round
        elif listing.refused is not None and not listing.refused.sent:
            context.stop_unreachable(listing.refused)
        else:
            self._done_with.add(scope)
            code, message = OwnCode.LISTING_INCOMPLETE.value, unreadable(listing)
            await self._each(seen.missing(numbers), lambda row: self._skip(row, code, message))

    async def _each(self, numbers: Sequence[int], act: Callable[[LedgerRow], None]) -> None:
        """Do something with each of the rows with these numbers that is not settled."""
        context = self._context
        for start in range(0, len(numbers), ROWS_AT_ONCE):
            for row in await context.ledger.rows(context.lease, numbers[start : start + ROWS_AT_ONCE]):
                act(row)

    async def _take(self, items: Iterable[Remote], seen: RowSet, stale: "array[int]") -> None:
        """Do with what a page shows what is to be done; `seen` gets the rows whose thing it shows.

        `stale` gets those whose delete was taken in this sitting, and that are shown as if it was not.
        """
        context = self._context
        shown: dict[NaturalKey, list[Remote]] = {}
        for item in items:
            shown.setdefault(item.key, []).append(item)
        await context.commit.flush()
        rows = [
            row for row in await context.ledger.match(context.lease, list(shown)) if row.state is not RowState.SETTLED
        ]
        rivals = await context.ledger.rivals(context.lease, [row.key for row in rows if row.remote_id is None])
        due: list[tuple[LedgerRow, Remote]] = []
        for row in rows:
            remote = _own(row, shown[row.key])
            if remote is None:
                continue  # another one stands there: whether the run's own does too, a closer look tells
            seen.add(row.row_no)
            self._tell(row, others_standing(shown[row.key], remote, deleted_id=row.deleted_id))
            was_taken = row.row_no in self._deleted or row.state is RowState.ACCEPTED  # a delete of it
            if was_taken and remote.state != DELETED:
                stale.append(row.row_no)
            elif self._judge(row, remote, rivals.get(row.key)):
                due.append((row, remote))
        await self._delete(due)

    def _tell(self, row: LedgerRow, others: Sequence[str]) -> None:
        """Say once what else stands at a row's place."""
        if others and row.row_no not in self._told:
            self._told.add(row.row_no)
            tell_of_others(self._context, row.line, others)

    def _judge(self, row: LedgerRow, remote: Remote, rivals_since: float | None = None) -> bool:
        """Settle a row whose thing is not to be deleted; whether it is to be deleted now."""
        if remote.state == DELETED:
            self._settle_gone(row)
            return False
        is_shared = rivals_since is not None and (remote.created_at or 0.0) >= rivals_since - MARGIN_S
        removal = judge_removal(
            remote,
            self._differences(row, remote),
            maker=self._maker(row, remote),
            has_id=row.remote_id is not None,
            is_shared=is_shared,
            force=self._force,
        )
        if removal.act is Act.KEEP and removal.outcome is not None:
            self._end(row, removal.outcome, OwnCode.KEPT, removal.message, found=remote)
        elif removal.act is Act.DELETE and row.state is not RowState.ACCEPTED and row.row_no in self._given_up:
            refused, _ = self._given_up[row.row_no]
            self._end(row, Outcome.FAILED, refused.code, refused.message, found=remote, said=refused)
        elif removal.act is Act.DELETE:
            if row.state is not RowState.ACCEPTED:
                return True
            self._context.commit.settle(self._context.lease, put_back(row))  # an earlier sitting's delete did nothing
        return False

    def _maker(self, row: LedgerRow, remote: Remote) -> Maker:
        """Who made what stands at a row's place."""
        if row.remote_id is not None and row.made is not None:
            return Maker.RUN if row.made else Maker.OTHER
        sendings = sendings_before(row, self._context.policy.answer_s_max)
        return maker_of(remote.created_at, sendings, now_there=self._context.now_there)

    def _differences(self, row: LedgerRow, remote: Remote) -> Sequence[str]:
        """What was changed since the thing was made; that it is on is how it was made."""
        operation = self._context.operation
        found = operation.differences(row.spec, remote)
        is_on = bool(remote.enabled) and operation.needs_amending(row.spec, remote)
        return () if len(found) == 1 and is_on else found

    async def _look_closer(self, scope: str, missing: Sequence[int], stale: Sequence[int], began: float) -> None:
        """Settle what a whole listing lacks, or shows though it was deleted, as far as that can be known now."""
        context = self._context
        await context.commit.flush()
        young: list[LedgerRow] = []
        twice = RowSet(self._misses.twice(scope, missing, began))
        for start in range(0, len(missing), ROWS_AT_ONCE):
            for row in await context.ledger.rows(context.lease, missing[start : start + ROWS_AT_ONCE]):
                if self._is_old(row) or row.row_no in twice:
                    self._settle_gone(row)
                elif row.remote_id is not None:
                    young.append(row)
        asked = max(1, int(context.limiter.rate_per_s(CallClass.READ) * context.policy.listing_lag_s))
        await self._ask_for(young[:asked])
        if len(young) < asked:
            await self._ask_for(await context.ledger.rows(context.lease, stale[: asked - len(young)]))

    def _is_old(self, row: LedgerRow) -> bool:
        """Whether a listing must show a row's thing by now if it is there."""
        now, lag_s = self._context.now_there, self._context.policy.listing_lag_s
        if now is None or row.told_there is None:
            return False
        answer_s = 0.0 if row.remote_id is not None else self._context.policy.answer_s_max
        return now - row.told_there >= lag_s + answer_s

    async def _ask_for(self, rows: Sequence[LedgerRow]) -> None:
        """Ask for things by their ids, side by side, settle what is gone and delete what stands."""
        pairs = iter(rows)
        due: list[tuple[LedgerRow, Remote]] = []

        async def work() -> None:
            for row in pairs:
                shown = await show(self._context, row.scope, row.remote_id or "")
                if not isinstance(shown, Shown):
                    return  # it may not be asked, or not now: later listings tell as well
                if shown.remote is None:
                    self._settle_gone(row)
                elif row.row_no not in self._deleted and self._judge(row, shown.remote):
                    due.append((row, shown.remote))

        async with anyio.create_task_group() as tasks:
            for _ in range(min(self._context.policy.concurrency, len(rows))):
                tasks.start_soon(work)
        await self._context.commit.flush()
        await self._delete(due)

    def _settle_gone(self, row: LedgerRow) -> None:
        """A row whose thing is surely not there."""
        if row.state is RowState.ACCEPTED:
            self._end(row, Outcome.DELETED)
        elif row.row_no in self._given_up:
            self._end(row, Outcome.DELETED, found=self._given_up[row.row_no][1])
        else:
            self._end(row, Outcome.ABSENT, message=NEVER if row.remote_id is None else GONE)

    def _skip(self, row: LedgerRow, code: str, message: str) -> None:
        """Leave a row for another sitting; of one whose delete was, or may have been, taken that is not all."""
        if row.state is RowState.PLANNED:
            self._end(row, Outcome.SKIPPED, code, message)

    async def _delete(self, due: Sequence[tuple[LedgerRow, Remote]]) -> None:
        """Delete these things, side by side, each once its row is claimed, if an earlier sitting has not done that."""
        context = self._context
        if not due or context.closing:
            return
        planned = {row.row_no: remote.remote_id for row, remote in due if row.state is RowState.PLANNED}
        await context.ledger.claim_these(context.lease, planned, context.clock.now())
        pairs = iter(due)
        async with anyio.create_task_group() as tasks:
            for _ in range(min(context.policy.concurrency, len(due))):
                tasks.start_soon(self._work, pairs)

    async def _work(self, pairs: Iterator[tuple[LedgerRow, Remote]]) -> None:
        for row, remote in pairs:
            async with self._context.flow:
                await self._remove(row, remote)

    async def _remove(self, row: LedgerRow, remote: Remote) -> None:
        """Send one delete; the row is planned again if surely nothing came of it."""
        context, in_doubt = self._context, row.state is RowState.CLAIMED
        call = Delete(context, row, remote)
        answer = None if row.scope in context.stopped_scopes else await persist(context, "delete", call)
        self._sent += call.attempts > 0
        row = replace(row, state=RowState.CLAIMED, attempts=row.attempts + call.attempts)
        if answer is None or (isinstance(answer, Refused) and not is_final(answer)):
            as_it_is = leave if in_doubt or call.in_doubt else put_back
            context.commit.settle(context.lease, as_it_is(row, first_sent_at=call.sent_at))
            if answer is not None and not context.closing:
                self._give_up(row, remote, answer)
            return
        settlement = Settlement(
            row.row_no,
            RowState.CLAIMED,
            RowState.ACCEPTED,
            attempts=row.attempts,
            remote_id=remote.remote_id,
            remote_state=remote.state if isinstance(answer, Refused) else answer.state,
            remote_enabled=remote.enabled,
            http_status=answer.http_status,
            request_id=answer.request_id,
            first_sent_at=call.sent_at,
        )
        if isinstance(answer, Refused):
            settlement = ended(context, settlement, Outcome.FAILED, answer.code, answer.message, started=call.began)
        elif answer.state == DELETED or not context.policy.verify:
            settlement = ended(context, settlement, Outcome.DELETED, started=call.began)
        self._deleted.add(row.row_no)
        record(context, row.scope, row.line, spent_if_gone(settlement))

    def _give_up(self, row: LedgerRow, remote: Remote, refused: Refused) -> None:
        """Nothing more is tried on a row, or on more than it, after this last answer."""
        if refused.stops is Stops.SCOPE:
            self._context.stop_scope(row.scope, refused)
        elif not refused.sent:
            self._context.stop_unreachable(refused)
        else:
            self._given_up[row.row_no] = refused, remote

    def _end(
        self,
        row: LedgerRow,
        outcome: Outcome,
        code: str = "",
        message: str = "",
        *,
        found: Remote | None = None,
        said: Refused | None = None,
    ) -> None:
        """Settle a row by what was `found` of it, and by what the provider `said`, if that is not on record."""
        context = self._context
        settlement = Settlement(
            row.row_no,
            row.state,
            RowState.SETTLED,
            attempts=row.attempts,
            remote_id=row.remote_id if found is None else found.remote_id,
            remote_state=DELETED if outcome is Outcome.DELETED else None if found is None else found.state,
            remote_enabled=None if found is None else found.enabled,
            http_status=row.http_status if said is None else said.http_status,
            request_id=row.request_id if said is None else said.request_id,
        )
        record(context, row.scope, row.line, spent_if_gone(ended(context, settlement, outcome, code, message)))


def _own(row: LedgerRow, remotes: Sequence[Remote]) -> Remote | None:
    """Of the things at a row's place the one whose id it knows; where it knows none, the one that counts.

    What is gone tells nothing of a row without an id: it may be another's, and the row's own not be listed yet.
    """
    if row.remote_id is None:
        left = [remote for remote in remotes if remote.state != DELETED]
        return standing_of(left, deleted_id=row.deleted_id) if left else None
    return next((remote for remote in remotes if remote.remote_id == row.remote_id), None)
