"""Take back what a run has made: list its scopes, delete what is its own, and follow that until it is gone.

A delete is safe to repeat, so a sitting that dies leaves rows that the next one simply looks at again: their things
are listed, and what is gone is gone. Each row is claimed in the ledger before its delete is sent, and stays claimed
while that may have worked and no listing has told: a report shows it as `in_doubt`, not as `skipped`.

A round reads each scope once, 2,000 things a call; what still stands in the way (a thing that is `pending`, or
`deleting`) is looked at again in the next round, as `verify` does. Absence counts only in a whole listing that was
read while nothing was deleted: a delete between two pages changes the count by which a listing is known to be whole.
And a row that was sent and never answered is only believed absent once nothing of it can be under way any more.
"""

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

import anyio

from batcher.engine.context import LaneContext
from batcher.engine.lane import held, skip_rest
from batcher.engine.listing import ScopeListing, unreadable
from batcher.engine.persist import persist
from batcher.engine.reconcile import ROWS_AT_ONCE
from batcher.engine.row_set import RowSet
from batcher.engine.settling import ended, record
from batcher.engine.verify import POLL_S_FIRST, POLL_S_MAX
from batcher.model import Applied, Kind, LedgerRow, NaturalKey, Outcome, Refused, Remote, RowState, Settlement, Stops
from batcher.policy.breaker import skip_code, skip_message
from batcher.policy.found import better
from batcher.policy.removal import Act, Making, judge_removal
from batcher.policy.retry import is_attempt
from batcher.policy.verdict import OwnCode

GONE = "it is not there any more"
NEVER = "it may have been sent, and nothing of it is there"


async def undo_lane(context: LaneContext, _open_rows: int, *, force: bool, quiet_since: float) -> None:
    """Delete what is open of a lane. Raises what the ledger raises.

    `force`: also what was changed since it was made. `quiet_since`: the undone run sent nothing later (wall clock).
    """
    async with held(context):
        rounds = _Rounds(context, force=force, quiet_since=quiet_since)
        await rounds.spend_claimed()
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
        await skip_rest(context)


class _Rounds:
    """Readings of the lane's scopes, one round after the other."""

    def __init__(self, context: LaneContext, *, force: bool, quiet_since: float) -> None:
        self.has_sent = False
        """Whether a delete was sent in the last round."""
        self._context = context
        self._force = force
        self._quiet_since = quiet_since
        self._done_with: set[str] = set()
        """Scopes that are not read again in this sitting."""
        self._sent = 0
        self._deleted = RowSet()
        """Rows whose delete was accepted in this sitting: it is not sent again."""
        self._given_up: dict[int, tuple[Refused, Remote]] = {}
        """Rows whose delete was tried until it was given up: the next reading shows whether it has worked."""

    async def spend_claimed(self) -> None:
        """The delete of what a sitting that died has claimed may have worked: its token must not make it again."""
        context = self._context
        for numbers in (await context.ledger.numbers(context.lease, RowState.CLAIMED)).values():
            await self._each(numbers, lambda row: context.commit.settle(context.lease, _leave(row, spent=True)))
        await context.commit.flush()

    async def go(self) -> bool:
        """Read each scope with open rows once; whether another round can bring more."""
        context, sent_before = self._context, self._sent
        numbers: dict[str, array[int]] = {}
        for state in (RowState.PLANNED, RowState.CLAIMED, RowState.ACCEPTED):
            for scope, found in (await context.ledger.numbers(context.lease, state)).items():
                numbers.setdefault(scope, array("I")).extend(found)
        for scope in sorted(numbers.keys() - self._done_with):
            if context.closing:
                return False
            await self._read(scope, numbers[scope])
            await context.commit.flush()
        self.has_sent = self._sent > sent_before
        left = {load.scope for load in await context.ledger.scopes(context.lease)}
        return bool(left - self._done_with)

    async def _read(self, scope: str, numbers: Sequence[int]) -> None:
        """One reading of a scope, whose open rows have these numbers."""
        context, sent_before = self._context, self._sent
        listing = ScopeListing(context, scope)
        seen = RowSet()
        async for items in listing.pages():
            await self._take(items, seen)
        if listing.refused is not None and listing.refused.stops is Stops.SCOPE:
            context.stop_scope(scope, listing.refused)
        if scope in context.stopped_scopes:
            self._done_with.add(scope)
            await context.commit.flush()
            refused = context.stopped_scopes[scope]
            await self._each(numbers, lambda row: self._skip(row, skip_code(refused), skip_message(refused)))
        elif listing.complete and self._sent == sent_before:
            await self._each(seen.missing(numbers), self._settle_unseen)
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

    async def _take(self, items: Iterable[Remote], seen: RowSet) -> None:
        """Do with what a page shows what is to be done; `seen` gets the rows whose thing it shows."""
        context = self._context
        shown: dict[NaturalKey, list[Remote]] = {}
        for item in items:
            shown.setdefault(item.key, []).append(item)
        await context.commit.flush()
        rows = await context.ledger.match(context.lease, list(shown))
        doubts = await context.ledger.doubts(context.lease, [row.key for row in rows if row.remote_id is None])
        due: list[tuple[LedgerRow, Remote]] = []
        for row in rows:
            seen.add(row.row_no)
            remote = _own(row, shown[row.key])
            if self._judge(row, remote, self._making(row, *doubts.get(row.key, (None, None)))):
                due.append((row, remote))
        await self._delete(due)

    def _making(self, row: LedgerRow, settled_at: float | None, others_since: float | None) -> Making:
        """When the undone run can have made a row's thing."""
        quiet_since = self._quiet_since if settled_at is None else settled_at
        return Making(row.intent_at, quiet_since + self._context.policy.answer_s_max, others_since)

    def _judge(self, row: LedgerRow, remote: Remote, making: Making) -> bool:
        """Settle a row whose thing is not to be deleted; whether it is to be deleted now."""
        if row.state is RowState.ACCEPTED and remote.remote_id != row.remote_id:
            self._end(row, Outcome.DELETED)  # and another one was made since
            return False
        differences = self._differences(row, remote)
        removal = judge_removal(remote, differences, known_id=row.remote_id, making=making, force=self._force)
        if removal.act is Act.KEEP and removal.outcome is not None:
            found = None if removal.outcome is Outcome.ABSENT else remote
            self._end(row, removal.outcome, OwnCode.KEPT, removal.message, found=found)
        elif removal.act is Act.DELETE and row.state is not RowState.ACCEPTED and row.row_no in self._given_up:
            refused, _ = self._given_up[row.row_no]
            self._end(row, Outcome.FAILED, refused.code, refused.message, found=remote, said=refused)
        elif removal.act is Act.DELETE and row.row_no not in self._deleted:
            if row.state is not RowState.ACCEPTED:
                return True
            self._context.commit.settle(self._context.lease, _put_back(row))  # an earlier sitting's delete did nothing
        return False

    def _differences(self, row: LedgerRow, remote: Remote) -> Sequence[str]:
        """What was changed since the thing was made; that it is on is how it was made."""
        operation = self._context.operation
        found = operation.differences(row.spec, remote)
        is_on = bool(remote.enabled) and operation.needs_amending(row.spec, remote)
        return () if len(found) == 1 and is_on else found

    def _settle_unseen(self, row: LedgerRow) -> None:
        """A row whose thing a whole listing does not show."""
        context = self._context
        if row.state is RowState.ACCEPTED:
            self._end(row, Outcome.DELETED)
        elif row.row_no in self._given_up:
            self._end(row, Outcome.DELETED, found=self._given_up[row.row_no][1])
        elif row.remote_id is not None:
            self._end(row, Outcome.ABSENT, message=GONE)
        elif context.clock.now() - self._quiet_since >= context.policy.answer_s_max:
            self._end(row, Outcome.ABSENT, message=NEVER)

    def _skip(self, row: LedgerRow, code: str, message: str) -> None:
        """Leave a row for another sitting; of one whose delete was, or may have been, taken that is not all."""
        if row.state is RowState.PLANNED:
            self._end(row, Outcome.SKIPPED, code, message)

    async def _delete(self, due: Sequence[tuple[LedgerRow, Remote]]) -> None:
        """Delete these things, side by side, each once its row is claimed, if an earlier sitting has not done that."""
        context = self._context
        if not due or context.closing:
            return
        planned = [row.row_no for row, _ in due if row.state is RowState.PLANNED]
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
        call = _Delete(context, row, remote)
        answer = None if row.scope in context.stopped_scopes else await persist(context, "delete", call)
        self._sent += call.attempts > 0
        row = replace(row, state=RowState.CLAIMED, attempts=row.attempts + call.attempts)
        if answer is None or (isinstance(answer, Refused) and not _is_final(answer)):
            leave = _leave if in_doubt or call.in_doubt else _put_back
            context.commit.settle(context.lease, leave(row, spent=call.attempts > 0, first_sent_at=call.sent_at))
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
        elif answer.state == "deleted" or not context.policy.verify:
            settlement = ended(context, settlement, Outcome.DELETED, started=call.began)
        self._deleted.add(row.row_no)
        record(context, row.scope, row.line, _spent(settlement))

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
            remote_state="deleted" if outcome is Outcome.DELETED else None if found is None else found.state,
            remote_enabled=None if found is None else found.enabled,
            http_status=row.http_status if said is None else said.http_status,
            request_id=row.request_id if said is None else said.request_id,
        )
        record(context, row.scope, row.line, _spent(ended(context, settlement, outcome, code, message)))


class _Delete:
    """A row's delete, as often as it is sent: when first (on both clocks), and how many times it counts."""

    def __init__(self, context: LaneContext, row: LedgerRow, remote: Remote) -> None:
        self.sent_at: float | None = None
        self.began: float | None = None
        self.attempts = 0
        self.in_doubt = False
        """Whether one of them may have worked though its answer does not say so."""
        self._context = context
        self._row = row
        self._remote = remote

    async def __call__(self) -> Applied | Refused:
        if self.sent_at is None:  # the wait for leave is not the row's
            self.sent_at, self.began = self._context.clock.now(), self._context.worked()
        answer = await self._context.operation.remove(self._context.lane, self._row.spec, self._remote)
        self.attempts += not isinstance(answer, Refused) or (answer.sent and is_attempt(answer))
        self.in_doubt = self.in_doubt or (isinstance(answer, Refused) and answer.ambiguous)
        return answer


def _own(row: LedgerRow, remotes: Sequence[Remote]) -> Remote:
    """Of the things under a row's key the one that it knows, else the one that counts."""
    found = remotes[0]
    for remote in remotes:
        if remote.remote_id == row.remote_id:
            return remote
        found = better(remote, found)
    return found


def _put_back(row: LedgerRow, *, spent: bool = False, first_sent_at: float | None = None) -> Settlement:
    """Make a row planned again; since when its thing may have been made stays as it was.

    `spent`: its delete was or may have been sent, so its token must not make anything again.
    """
    return Settlement(
        row.row_no,
        row.state,
        RowState.PLANNED,
        attempts=row.attempts,
        intent_at=row.intent_at,
        first_sent_at=first_sent_at,
        spent=spent,
    )


def _leave(row: LedgerRow, *, spent: bool, first_sent_at: float | None = None) -> Settlement:
    """Keep a row claimed, whose delete may have worked, until a listing tells; its attempts count all the same."""
    return Settlement(
        row.row_no,
        RowState.CLAIMED,
        RowState.CLAIMED,
        attempts=row.attempts,
        remote_id=row.remote_id,
        http_status=row.http_status,
        request_id=row.request_id,
        first_sent_at=first_sent_at,
        spent=spent,
    )


def _is_final(refused: Refused) -> bool:
    """Whether a refusal is the row's answer; after any other its thing is looked at again."""
    return refused.kind is Kind.PERMANENT and refused.stops is Stops.ROW


def _spent(settlement: Settlement) -> Settlement:
    """What was made and is gone must be made under another token: the provider may repeat its answer to this one."""
    is_gone = settlement.outcome in (Outcome.DELETED, Outcome.ABSENT)
    return replace(settlement, spent=True) if is_gone and settlement.remote_id is not None else settlement
