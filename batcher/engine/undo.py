"""Take back what a run has made: list its scopes, delete what is its own, and follow that until it is gone.

A delete is safe to repeat, so a sitting that dies leaves rows that the next one simply looks at again: they are put
back, their things are listed, and what is gone is gone. Each row is claimed in the ledger before its delete is sent.

A round reads each scope once, 2,000 things a call; what still stands in the way (a thing that is `pending`, or
`deleting`) is looked at again in the next round, as `verify` does. Absence counts only in a whole listing; and a row
that was sent and never answered is only believed absent once nothing of it can be under way any more.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import anyio

from batcher.engine.context import LaneContext
from batcher.engine.lane import RECOVER_ROWS_MAX, held, skip_rest
from batcher.engine.listing import ScopeListing
from batcher.engine.persist import persist
from batcher.engine.reconcile import ROWS_AT_ONCE
from batcher.engine.settling import ended, record
from batcher.engine.verify import POLL_S_FIRST, POLL_S_MAX
from batcher.model import Kind, LedgerRow, NaturalKey, Outcome, Refused, Remote, RowState, Settlement, Stops
from batcher.policy.breaker import skip_code, skip_message
from batcher.policy.found import better
from batcher.policy.removal import Act, judge_removal
from batcher.policy.verdict import OwnCode

GONE = "it is not there any more"
NEVER = "it may have been sent, and nothing of it is there"


async def undo_lane(context: LaneContext, _open_rows: int, *, force: bool, quiet_since: float) -> None:
    """Delete what is open of a lane. Raises what the ledger raises.

    `force`: also what was changed since it was made. `quiet_since`: the undone run sent nothing later (wall clock).
    """
    async with held(context):
        await _put_back_claimed(context)
        rounds = _Rounds(context, force=force, quiet_since=quiet_since)
        delay_s, waiting_since = POLL_S_FIRST, None
        while await rounds.go() and context.policy.verify and not context.closing:
            waiting_since = waiting_since or context.worked()
            is_over = context.worked() - waiting_since >= context.policy.verify_s_max
            if is_over or not await context.stop.sleep(delay_s):
                break
            delay_s = min(delay_s * 2, POLL_S_MAX)
        await skip_rest(context)


async def _put_back_claimed(context: LaneContext) -> None:
    """What a sitting that died has claimed is looked at anew."""
    for row in await context.ledger.recover(context.lease, after=0, limit=RECOVER_ROWS_MAX):
        settlement = Settlement(
            row.row_no, RowState.CLAIMED, RowState.PLANNED, attempts=row.attempts, intent_at=row.intent_at
        )
        context.commit.settle(context.lease, settlement)
    await context.commit.flush()


class _Rounds:
    """Readings of the lane's scopes, one round after the other."""

    def __init__(self, context: LaneContext, *, force: bool, quiet_since: float) -> None:
        self._context = context
        self._force = force
        self._quiet_since = quiet_since
        self._unreadable: set[str] = set()
        self._deleted: set[int] = set()
        """Rows whose delete was sent in this sitting: it is not sent again."""

    async def go(self) -> bool:
        """Read each scope with open rows once; whether another round can bring more."""
        context = self._context
        planned = await context.ledger.numbers(context.lease, RowState.PLANNED)
        accepted = await context.ledger.numbers(context.lease, RowState.ACCEPTED)
        for scope in sorted({*planned, *accepted} - self._unreadable):
            if context.closing:
                return False
            await self._read(scope, (*planned.get(scope, ()), *accepted.get(scope, ())))
            await context.commit.flush()
        left = {load.scope for load in await context.ledger.scopes(context.lease)}
        return bool(left - self._unreadable)

    async def _read(self, scope: str, numbers: Sequence[int]) -> None:
        """One reading of a scope, whose open rows have these numbers."""
        context = self._context
        listing = ScopeListing(context, scope)
        seen: set[int] = set()
        async for items in listing.pages():
            await self._take(items, seen)
        refused = listing.refused
        if refused is not None and refused.stops is Stops.SCOPE:
            context.stop_scope(scope, refused)
        if not listing.complete:
            self._unreadable.add(scope)
            if refused is None or refused.stops is not Stops.SCOPE:
                return
        unseen = [number for number in numbers if number not in seen]
        for start in range(0, len(unseen), ROWS_AT_ONCE):
            for row in await context.ledger.rows(context.lease, unseen[start : start + ROWS_AT_ONCE]):
                self._settle_unseen(row, refused)

    async def _take(self, items: Iterable[Remote], seen: set[int]) -> None:
        """Do with what a page shows what is to be done; `seen` gets the rows whose thing it shows."""
        context = self._context
        shown: dict[NaturalKey, list[Remote]] = {}
        for item in items:
            shown.setdefault(item.key, []).append(item)
        await context.commit.flush()
        due: list[tuple[LedgerRow, Remote]] = []
        for row in await context.ledger.match(context.lease, list(shown)):
            remote = _own(row, shown[row.key])
            removal = judge_removal(
                remote,
                self._differences(row, remote),
                known_id=row.remote_id,
                made_since=row.intent_at,
                force=self._force,
            )
            seen.add(row.row_no)
            if removal.act is Act.KEEP and removal.outcome is not None:
                self._end(row, removal.outcome, OwnCode.KEPT, removal.message, remote)
            elif removal.act is Act.DELETE and row.row_no not in self._deleted:
                if row.state is RowState.PLANNED:
                    due.append((row, remote))
                else:  # an earlier sitting's delete did nothing
                    context.commit.settle(context.lease, _put_back(row))
        await self._delete(due)

    def _differences(self, row: LedgerRow, remote: Remote) -> Sequence[str]:
        """What was changed since the thing was made; that it is on is how it was made."""
        operation = self._context.operation
        found = operation.differences(row.spec, remote)
        is_on = bool(remote.enabled) and operation.needs_amending(row.spec, remote)
        return () if len(found) == 1 and is_on else found

    def _settle_unseen(self, row: LedgerRow, refused: Refused | None) -> None:
        """A row whose thing a whole listing does not show, or whose scope was refused."""
        context = self._context
        if refused is not None:
            if row.state is RowState.PLANNED:
                self._end(row, Outcome.SKIPPED, skip_code(refused), skip_message(refused))
        elif row.state is RowState.ACCEPTED:
            self._end(row, Outcome.DELETED)
        elif row.remote_id is not None:
            self._end(row, Outcome.ABSENT, message=GONE)
        elif context.clock.now() - self._quiet_since >= context.policy.answer_s_max:
            self._end(row, Outcome.ABSENT, message=NEVER)

    async def _delete(self, due: Sequence[tuple[LedgerRow, Remote]]) -> None:
        """Delete these things, side by side, each once its row is claimed."""
        context = self._context
        if not due or context.closing:
            return
        await context.ledger.claim_these(context.lease, [row.row_no for row, _ in due], context.clock.now())
        pairs = iter(due)
        async with anyio.create_task_group() as tasks:
            for _ in range(min(context.policy.concurrency, len(due))):
                tasks.start_soon(self._work, pairs)

    async def _work(self, pairs: Iterator[tuple[LedgerRow, Remote]]) -> None:
        for row, remote in pairs:
            await self._remove(row, remote)

    async def _remove(self, row: LedgerRow, remote: Remote) -> None:
        """Send one delete; the row is as it was if nothing came of it."""
        context = self._context
        began, sent_at = context.worked(), context.clock.now()
        answer = await persist(context, "delete", lambda: context.operation.remove(context.lane, row.spec, remote))
        if answer is None or (isinstance(answer, Refused) and not _is_final(answer)):
            context.commit.settle(context.lease, _put_back(row, RowState.CLAIMED))
            return
        self._deleted.add(row.row_no)
        settlement = Settlement(
            row.row_no,
            RowState.CLAIMED,
            RowState.ACCEPTED,
            attempts=row.attempts + 1,
            remote_id=remote.remote_id,
            remote_state=remote.state,
            remote_enabled=remote.enabled,
            http_status=answer.http_status,
            request_id=answer.request_id,
            first_sent_at=sent_at,
        )
        if isinstance(answer, Refused):
            settlement = ended(context, settlement, Outcome.FAILED, answer.code, answer.message, started=began)
        elif answer.state == "deleted" or not context.policy.verify:
            settlement = ended(context, settlement, Outcome.DELETED, started=began)
        record(context, row.scope, row.line, _spent(settlement))

    def _end(
        self, row: LedgerRow, outcome: Outcome, code: str = "", message: str = "", remote: Remote | None = None
    ) -> None:
        context = self._context
        settlement = Settlement(
            row.row_no,
            row.state,
            RowState.SETTLED,
            attempts=row.attempts,
            remote_id=row.remote_id if remote is None else remote.remote_id,
            remote_state="deleted" if outcome is Outcome.DELETED else None if remote is None else remote.state,
            remote_enabled=None if remote is None else remote.enabled,
            http_status=row.http_status,
            request_id=row.request_id,
        )
        record(context, row.scope, row.line, _spent(ended(context, settlement, outcome, code, message)))


def _own(row: LedgerRow, remotes: Sequence[Remote]) -> Remote:
    """Of the things under a row's key the one that it knows, else the one that counts."""
    found = remotes[0]
    for remote in remotes:
        if remote.remote_id == row.remote_id:
            return remote
        found = better(remote, found)
    return found


def _put_back(row: LedgerRow, state: RowState | None = None) -> Settlement:
    """Make a row planned again; since when its thing may have been made stays as it was."""
    return Settlement(row.row_no, state or row.state, RowState.PLANNED, attempts=row.attempts, intent_at=row.intent_at)


def _is_final(refused: Refused) -> bool:
    """Whether a refusal is the row's answer; after any other its thing is looked at again."""
    return refused.kind is Kind.PERMANENT and refused.stops is Stops.ROW


def _spent(settlement: Settlement) -> Settlement:
    """What was made and is gone must be made under another token: the provider may repeat its answer to this one."""
    is_gone = settlement.outcome in (Outcome.DELETED, Outcome.ABSENT)
    return replace(settlement, spent=True) if is_gone and settlement.remote_id is not None else settlement
