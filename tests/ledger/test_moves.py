"""The ledger keeps to the table of moves: it takes every legal one and refuses every other, whole."""

import itertools

import pytest

from batcher.errors import BatcherError, LedgerError
from batcher.ledger_port import Ledger
from batcher.model import Lease, Outcome, RowState, RunId, Settlement
from batcher.policy.row_state import MOVES
from tests.ledger.book import (
    T0,
    accepted,
    assert_counters_hold,
    claimed,
    everything,
    lease_of,
    open_run,
    row,
    settled,
    write,
)

R1 = RunId("r1")
PAIRS = list(itertools.product(RowState, RowState))
# Only `reopen` makes these: as settlements they would leave out what goes with them.
NOT_BY_WRITE = {(RowState.SETTLED, RowState.PLANNED), (RowState.SETTLED, RowState.ACCEPTED)}
LEGAL = [pair for pair in PAIRS if pair[1] in MOVES[pair[0]] and pair not in NOT_BY_WRITE]
ILLEGAL = [pair for pair in PAIRS if pair not in LEGAL]


async def one_row_in(ledger: Ledger, state: RowState) -> Lease:
    lease = await lease_of(ledger, await open_run(ledger, "r1", [row(1), row(2)]))
    if state is not RowState.PLANNED:
        await claimed(ledger, lease, limit=1)
    if state is RowState.ACCEPTED:
        await write(ledger, lease, accepted(1))
    if state is RowState.SETTLED:
        await write(ledger, lease, settled(1))
    return lease


def move(old: RowState, new: RowState) -> Settlement:
    is_end = new is RowState.SETTLED
    return Settlement(
        1, old, new, Outcome.EXISTS if is_end else None, remote_id="fl-1", settled_at=T0 + 9 if is_end else None
    )


@pytest.mark.parametrize(("old", "new"), LEGAL)
async def test_every_legal_move_is_taken(ledger: Ledger, old: RowState, new: RowState) -> None:
    lease = await one_row_in(ledger, old)
    await write(ledger, lease, move(old, new))
    assert (await everything(ledger, R1))[0].state is new
    await assert_counters_hold(ledger, R1)


@pytest.mark.parametrize(("old", "new"), ILLEGAL)
async def test_every_other_move_is_refused_whole(ledger: Ledger, old: RowState, new: RowState) -> None:
    lease = await one_row_in(ledger, old)
    before = await everything(ledger, R1)
    with pytest.raises(LedgerError):
        await write(ledger, lease, settled(2, Outcome.EXISTS, expect=RowState.PLANNED), move(old, new))
    assert await everything(ledger, R1) == before
    await assert_counters_hold(ledger, R1)


@pytest.mark.parametrize(("is_in", "old", "new"), [(s, o, n) for s in RowState for o, n in LEGAL if s is not o])
async def test_no_move_is_taken_from_another_state_than_it_names(
    ledger: Ledger, is_in: RowState, old: RowState, new: RowState
) -> None:
    lease = await one_row_in(ledger, is_in)
    before = await everything(ledger, R1)
    with pytest.raises(BatcherError):
        await write(ledger, lease, move(old, new))
    assert await everything(ledger, R1) == before
    await assert_counters_hold(ledger, R1)


async def test_a_row_is_settled_with_an_outcome_and_open_without_one(ledger: Ledger) -> None:
    lease = await one_row_in(ledger, RowState.CLAIMED)
    for wrong in (
        Settlement(1, RowState.CLAIMED, RowState.SETTLED),
        Settlement(1, RowState.CLAIMED, RowState.ACCEPTED, Outcome.CREATED),
    ):
        with pytest.raises(LedgerError):
            await write(ledger, lease, wrong)
    assert (await everything(ledger, R1))[0].state is RowState.CLAIMED
    await assert_counters_hold(ledger, R1)
