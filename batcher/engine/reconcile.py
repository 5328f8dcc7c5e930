"""Before a lane sends: read the scopes where that pays, and settle the rows whose things are there already.

One page of a listing tells 2,000 rows; a create that is refused as a duplicate costs two calls for one row. So
a scope is listed when it has `ROWS_WORTH_A_LISTING` rows to send, or when the ledger has any history: then
most of a nightly inventory is there already, and what an earlier run believed must be seen before a token is
used again. It is listed, too, before the ground of its rows is checked, for what stands needs none; and in any case if
rows of it are in doubt or were taken: that costs less than to send them again. What a listing does not show of them is
not gone: `engine.verify` follows what was taken, and a row in doubt goes again under its own token. Other scopes are
sent blind (`engine.blind`).

A sitting that goes on with a lane soon after another has claimed rows there, and so had listed it, looks up the rows in
doubt and those that were taken, and no others: with a million rows, sends begin at once.
"""

from array import array
from collections.abc import MutableSequence, Sequence

from batcher.engine.absence import without_gone
from batcher.engine.context import LaneContext
from batcher.engine.drift import put_right
from batcher.engine.listing import ScopeListing, unreadable
from batcher.engine.look_up import LOOK_UP_ROWS_MAX
from batcher.engine.replacing import makes_way
from batcher.engine.settling import (
    ended,
    found_settlement,
    made_by_run,
    record,
    tell_of_others,
    whose,
)
from batcher.model import LedgerRow, NaturalKey, Outcome, Remote, RowState, Settlement, Stops
from batcher.policy.evidence import sendings_before, times_before
from batcher.policy.found import is_leaving, others_standing, standing_of
from batcher.policy.verdict import OWN_CODES, OwnCode
from batcher.records import ScopeLoad

ROWS_WORTH_A_LISTING = 20
"""One listing call is then at most 5 % of what the scope's rows cost anyway."""
LISTED_S = 3600.0
"""What others have made since is found by the provider's refusal; within an hour that is little."""
LOOKED_UP_MAX = 200
"""Rows of a scope that are looked up, some at a call; more are as many calls as the whole listing of a large router."""
ROWS_AT_ONCE = 500
"""Rows of the ledger that are read and settled together."""


def pays(load: ScopeLoad, mode: str, *, has_history: bool, has_checks: bool) -> bool:
    """Whether to list a scope before sending its rows; `has_checks`: their ground is looked at first. Pure."""
    if load.claimed or load.accepted:
        return True
    is_worth_it = has_history or has_checks or load.planned >= ROWS_WORTH_A_LISTING
    return mode == "always" or (mode == "auto" and is_worth_it)


def is_blind(load: ScopeLoad, mode: str) -> bool:
    """Whether rows of a scope that was not listed wait for the answer to one of them. Pure."""
    return mode == "auto" and 1 < load.planned < ROWS_WORTH_A_LISTING


async def reconcile(context: LaneContext) -> None:
    """List the lane's scopes one after the other; what was read whole is noted in `context.listed`."""
    open_rows = await _open_rows(context) if await _was_listed(context) else None
    loads = await context.ledger.scopes(context.lease)
    context.accepted.update({load.scope: load.accepted for load in loads})
    for load in loads:
        if context.closing:
            return
        if load.scope in context.listed or load.scope in context.stopped_scopes:
            continue
        numbers = None if open_rows is None else open_rows.get(load.scope, ())
        if load.scope in context.expected or (numbers is not None and len(numbers) > LOOKED_UP_MAX):
            await list_scope(context, load.scope)
        elif numbers is not None:
            await _look_up(context, load.scope, numbers)
        elif pays(
            load,
            context.policy.reconcile,
            has_history=context.has_history,
            has_checks=context.policy.preflight,
        ):
            await list_scope(context, load.scope)
        was_tried = load.scope in context.listed or load.scope in context.unread
        if is_blind(load, context.policy.reconcile) and not was_tried:
            context.blind.add(load.scope)
    await context.commit.flush()


async def _was_listed(context: LaneContext) -> bool:
    """Whether an earlier sitting of the run has listed the lane's scopes, as far as that paid, and not long ago."""
    if context.lease.epoch == 1 or context.policy.reconcile == "always":
        return False
    claimed_at = await context.ledger.last_claim(context.lease)
    return claimed_at is not None and 0.0 <= context.clock.now() - claimed_at < LISTED_S


async def _open_rows(context: LaneContext) -> dict[str, MutableSequence[int]]:
    """The numbers of the rows that an earlier sitting has claimed or that were accepted, by scope."""
    found: dict[str, MutableSequence[int]] = {}
    for state in (RowState.CLAIMED, RowState.ACCEPTED):
        for scope, numbers in (await context.ledger.numbers(context.lease, state)).items():
            found.setdefault(scope, array("I")).extend(numbers)
    return found


async def list_scope(context: LaneContext, scope: str) -> None:
    """List a scope and settle what stands; it is in `context.listed` then if it was read whole."""
    listing, began = ScopeListing(context, scope), context.clock.steady()
    if await _read(context, listing):
        context.listed[scope] = listing.count
        context.listed_at[scope] = began
        context.blind.remove(scope)


async def _look_up(context: LaneContext, scope: str, numbers: Sequence[int]) -> None:
    """Look for these rows alone, which are all of the scope's that are claimed or accepted."""
    for start in range(0, len(numbers), LOOK_UP_ROWS_MAX):
        rows = await context.ledger.rows(context.lease, numbers[start : start + LOOK_UP_ROWS_MAX])
        if not await _read(context, ScopeListing(context, scope, only=[row.spec for row in rows])):
            return
    context.looked_up.add(scope)


async def _read(context: LaneContext, listing: ScopeListing) -> bool:
    """Settle what a listing shows; whether it was whole."""
    async for items in listing.pages():
        await settle_listed(context, items)
    if listing.refused is not None and not listing.refused.sent:
        context.stop_unreachable(listing.refused)
    elif listing.refused is not None and listing.refused.stops is Stops.SCOPE:
        context.stop_scope(listing.scope, listing.refused)
    elif not listing.complete:
        context.unread[listing.scope] = unreadable(listing)
    return listing.complete


async def skip_moved(context: LaneContext) -> None:
    """Leave alone what was there when the plan was reviewed and is not shown now: to make it was not planned."""
    if not context.expected or context.closing:
        return
    for scope, numbers in (await context.ledger.expected(context.lease)).items():
        if scope in context.stopped_scopes:
            continue  # they are skipped with it
        code = OwnCode.MOVED if scope in context.listed else OwnCode.LISTING_INCOMPLETE
        message = context.unread.get(scope, OWN_CODES[code])
        for start in range(0, len(numbers), ROWS_AT_ONCE):
            for row in await context.ledger.rows(context.lease, numbers[start : start + ROWS_AT_ONCE]):
                settlement = Settlement(
                    row_no=row.row_no,
                    expect=row.state,
                    state=RowState.SETTLED,
                    attempts=row.attempts,
                    remote_id=row.remote_id,
                )
                record(context, scope, row.line, ended(context, settlement, Outcome.SKIPPED, code.value, message))
    await context.commit.flush()


async def settle_listed(
    context: LaneContext, items: tuple[Remote, ...], *, sends: bool = False
) -> tuple[list[tuple[LedgerRow, Remote]], list[int]]:
    """Settle the lane's open rows that a page shows; while the lane `sends` those alone that the provider took.

    Back come those that still need a call to be as wished, and the row numbers of all that are accepted now.
    """
    by_key: dict[NaturalKey, list[Remote]] = {}
    if not items:
        return [], []
    for item in items:
        by_key.setdefault(item.key, []).append(item)
    await context.commit.flush()  # what a page before has settled is no open row any more
    to_amend: list[tuple[LedgerRow, Remote]] = []
    accepted: list[int] = []
    for row in await context.ledger.match(context.lease, list(by_key)):
        if sends and (row.state is not RowState.ACCEPTED or row.row_no in context.whose.unsure):
            continue
        if row.state is RowState.SETTLED:
            _tell_of_more(context, row, by_key[row.key])
            continue
        remote, is_accepted = await settle_by(context, row, by_key[row.key])
        if remote is not None:
            to_amend.append((row, remote))
        if is_accepted:
            accepted.append(row.row_no)
    return to_amend, accepted


def _tell_of_more(context: LaneContext, row: LedgerRow, remotes: Sequence[Remote]) -> None:
    """Say what a later page shows at the place of a row that an earlier one has settled."""
    own = next((remote for remote in remotes if remote.remote_id == row.remote_id), None)
    if own is None and row.remote_id is not None:
        others = [r.remote_id for r in remotes if not is_leaving(r, row.deleted_id)]
        tell_of_others(context, row.line, sorted(others))


async def settle_by(context: LaneContext, row: LedgerRow, remotes: Sequence[Remote]) -> tuple[Remote | None, bool]:
    """Settle an open row by what stands at its place: what a call has still to make as wished, and if it is accepted.

    Of a row that was taken under an id only that id tells anything: a listing may lack it for a while.
    """
    if row.state is RowState.PLANNED:
        remotes = await without_gone(context, row, row.known_id, remotes, is_old=False)
    elif row.state is RowState.ACCEPTED and all(each.remote_id != row.remote_id for each in remotes):
        return None, False
    if not remotes or (row.state is not RowState.ACCEPTED and makes_way(context, row, row.known_id, remotes)):
        return None, False
    remote = standing_of(remotes, known_id=row.remote_id, deleted_id=row.deleted_id)
    if row.state is RowState.ACCEPTED:
        remote = next(each for each in remotes if each.remote_id == row.remote_id)
    made = made_by_run(context, row, remote, sendings_before(row, context.policy.answer_s_max))
    others = tell_of_others(context, row.line, others_standing(remotes, remote, deleted_id=row.deleted_id))
    was_sent = row.state is RowState.CLAIMED or made is not False or bool(times_before(row))
    note = whose(made=made) if row.state is not RowState.PLANNED and was_sent else ""
    found = found_settlement(context, row, remote, made=made, note=others or note)
    if found is None:
        return None, False
    settlement = await put_right(context, row, remote, found)
    state = row.state if settlement is None else settlement.state  # None: the lane closed over a change of it
    if settlement is not None and settlement.state is not row.state:
        record(context, row.scope, row.line, settlement)
        return None, state is RowState.ACCEPTED
    due = remote if settlement is not None and context.operation.needs_amending(row.spec, remote) else None
    return due, state is RowState.ACCEPTED
