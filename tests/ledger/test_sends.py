"""What is on record of sends: when a row first went and when last, and what was deleted."""

import asyncio
import itertools
from collections.abc import Sequence
from pathlib import Path

import pytest

from batcher.errors import LedgerError, StaleLeaseError
from batcher.ledger.open import open_ledger
from batcher.ledger_port import Ledger
from batcher.model import Lease, LedgerRow, Outcome, RowState, RunId, Send, Settlement
from tests.ledger.book import (
    SOUTH,
    T0,
    THERE,
    accepted,
    assert_counters_hold,
    claimed,
    end,
    key_of,
    lease_of,
    next_row,
    open_run,
    put_back,
    regenerate,
    row,
    send,
    settled,
    states,
    taken_back,
    write,
)

R1, R2, UNDO = RunId("r1"), RunId("r2"), RunId("undo")


async def three(ledger: Ledger) -> Lease:
    """A run of three rows, of which the first two are claimed."""
    lease = await lease_of(ledger, await open_run(ledger, "r1", [row(n) for n in range(1, 4)]))
    await claimed(ledger, lease, limit=2)
    return lease


async def found(ledger: Ledger, lease: Lease, row_no: int = 1) -> LedgerRow:
    """A row of the lane, whatever its state."""
    (match,) = await ledger.match(lease, [key_of(f"row-{row_no}")])
    return match


# --- the first send -------------------------------------------------------------------------------------


async def test_a_send_is_on_record_before_its_row_is_settled(ledger: Ledger) -> None:
    lease = await three(ledger)
    await write(ledger, lease, sends=[send(lease, 1), send(lease, 2, THERE + 1)])
    assert await states(ledger, R1) == "1 claimed, 2 claimed, 3 planned"
    one, two = await ledger.recover(await lease_of(ledger, R1, owner="heir"), after=0, limit=9)
    assert (one.sent_there, two.sent_there) == (THERE, THERE + 1)
    assert (one.attempts, one.first_sent_at) == (0, None)
    await assert_counters_hold(ledger, R1)


SETTLEMENTS: dict[str, Settlement] = {
    "accepted": accepted(1, sent_there=THERE + 5),
    "settled": settled(1, sent_there=THERE + 5),
    "in doubt": settled(1, Outcome.IN_DOUBT),
}


@pytest.mark.parametrize("case", SETTLEMENTS)
@pytest.mark.parametrize("together", [True, False])
async def test_the_send_that_was_recorded_first_stays_whatever_is_told_later(
    ledger: Ledger, case: str, together: bool
) -> None:
    """Also in one group: a send that waited for its disk comes with what its answer told."""
    lease = await three(ledger)
    if together:
        await write(ledger, lease, SETTLEMENTS[case], sends=[send(lease, 1)])
    else:
        await write(ledger, lease, sends=[send(lease, 1)])
        await write(ledger, lease, SETTLEMENTS[case])
    assert (await found(ledger, lease)).sent_there == THERE


async def test_what_was_never_recorded_is_told_by_the_settlement(ledger: Ledger) -> None:
    lease = await three(ledger)
    await write(ledger, lease, accepted(1, sent_there=THERE + 5, told_there=THERE + 6, made=True))
    row_1 = await found(ledger, lease)
    assert (row_1.sent_there, row_1.told_there, row_1.made) == (THERE + 5, THERE + 6, True)


@pytest.mark.parametrize("order", list(itertools.permutations([1, 2, 3])))
async def test_of_several_sends_of_a_row_the_last_that_was_noted_counts(ledger: Ledger, order: Sequence[int]) -> None:
    """Whether one before it still counts is for the engine to say."""
    lease = await three(ledger)
    for seconds in order:
        await write(ledger, lease, sends=[send(lease, 1, THERE + seconds)])
    row_1 = await found(ledger, lease)
    assert (row_1.sent_there, row_1.told_there) == (THERE + order[-1], THERE + 1)


@pytest.mark.parametrize("state", [RowState.PLANNED, RowState.ACCEPTED, RowState.SETTLED])
async def test_only_a_claimed_row_is_marked_and_a_send_of_another_is_no_fault(ledger: Ledger, state: RowState) -> None:
    """A send whose record waited until its answer was settled says nothing new."""
    lease = await three(ledger)
    row_no = {RowState.PLANNED: 3}.get(state, 1)
    if state is not RowState.PLANNED:
        await write(ledger, lease, accepted(1) if state is RowState.ACCEPTED else settled(1))
    await write(ledger, lease, sends=[send(lease, row_no), send(lease, 99)])
    assert (await found(ledger, lease, row_no)).sent_there is None


async def test_a_send_of_another_lane_marks_nothing_here(ledger: Ledger) -> None:
    await open_run(ledger, "r1", [row(1), row(2, lane=SOUTH)])
    north, south = await lease_of(ledger, R1, 1), await lease_of(ledger, R1, 2)
    await claimed(ledger, north)
    await claimed(ledger, south)
    await ledger.write(R1, [], {}, (), [send(north, 2), send(south, 1), send(south, 2, THERE + 1, THERE + 99)])
    assert (await found(ledger, north)).sent_there is None
    (match,) = await ledger.match(south, [key_of("row-2", SOUTH)])
    assert match.sent_there == THERE + 1
    assert match.told_there == THERE + 99


# --- who lost the lane ----------------------------------------------------------------------------------


@pytest.mark.parametrize("first", ["the send", "the settlement"])
async def test_a_send_of_a_lane_that_was_taken_over_is_refused_with_all_that_came_with_it(
    ledger: Ledger, first: str
) -> None:
    await open_run(ledger, "r1", [row(1), row(2, lane=SOUTH)])
    stale, south = await lease_of(ledger, R1, 1), await lease_of(ledger, R1, 2)
    await claimed(ledger, stale)
    await claimed(ledger, south)
    heir = await lease_of(ledger, R1, 1, owner="heir")
    sends = [send(stale, 1), send(south, 2)]
    with pytest.raises(StaleLeaseError, match="epoch 1 is not the newest"):
        await ledger.write(
            R1, [(south, settled(2))], {("create", "202"): 1}, (), sends if first == "the send" else sends[::-1]
        )
    assert await states(ledger, R1) == "1 claimed, 2 claimed"
    assert (await found(ledger, heir)).sent_there is None
    assert (await ledger.run(R1)).calls == {}


async def test_a_settlement_of_a_lane_that_was_taken_over_takes_the_sends_with_it(ledger: Ledger) -> None:
    stale = await three(ledger)
    heir = await lease_of(ledger, R1, owner="heir")
    with pytest.raises(StaleLeaseError):
        await ledger.write(R1, [(stale, settled(2))], {}, (), [send(heir, 1)])
    with pytest.raises(StaleLeaseError):
        await ledger.write(R1, [(heir, settled(3))], {}, (), [send(heir, 1)])  # row 3 is not claimed
    assert (await found(ledger, heir)).sent_there is None


# --- put back, and the next generation ------------------------------------------------------------------


@pytest.mark.parametrize("together", [True, False])
async def test_a_row_that_is_put_back_forgets_a_send_that_never_left(ledger: Ledger, together: bool) -> None:
    lease = await three(ledger)
    sends = [send(lease, 1), send(lease, 2)]
    if not together:
        await write(ledger, lease, sends=sends)
    await write(ledger, lease, put_back(1), put_back(2, sent_there=THERE), sends=sends if together else ())
    one, two = await claimed(ledger, lease, limit=2)
    assert (one.sent_there, two.sent_there) == (None, THERE)
    await write(ledger, lease, sends=[send(lease, 1, THERE + 50), send(lease, 2, THERE + 50)])
    assert [(await found(ledger, lease, n)).sent_there for n in (1, 2)] == [THERE + 50] * 2


async def test_what_was_told_last_of_a_row_is_kept_until_more_is_told(ledger: Ledger) -> None:
    lease = await three(ledger)
    await write(ledger, lease, put_back(1, sent_there=THERE, told_there=THERE + 1))
    assert (await found(ledger, lease)).told_there == THERE + 1
    await claimed(ledger, lease, limit=1)
    await write(ledger, lease, put_back(1, sent_there=THERE))
    assert (await found(ledger, lease)).told_there == THERE + 1
    await claimed(ledger, lease, limit=1)
    await write(ledger, lease, accepted(1, told_there=THERE + 9, made=True))
    await write(ledger, lease, settled(1, expect=RowState.ACCEPTED))
    row_1 = await found(ledger, lease)
    assert (row_1.state, row_1.told_there, row_1.made) == (RowState.SETTLED, THERE + 9, True)


@pytest.mark.parametrize("told_there", [None, THERE + 9])
async def test_a_row_that_is_put_back_without_a_send_forgets_all_of_its_sends(
    ledger: Ledger, told_there: float | None
) -> None:
    """Those of earlier processes, too: none of them has worked."""
    lease = await three(ledger)
    await write(ledger, lease, sends=[send(lease, 1, before=((THERE - 9, THERE - 8),))])
    await write(ledger, lease, put_back(1, told_there=told_there))
    row_1 = await found(ledger, lease)
    assert (row_1.sent_there, row_1.told_there, row_1.sent_before) == (None, None, ())


@pytest.mark.parametrize("still_counts", [None, THERE])
async def test_another_generation_was_sent_when_its_row_says_and_not_before(
    ledger: Ledger, still_counts: float | None
) -> None:
    lease = await three(ledger)
    await write(ledger, lease, sends=[send(lease, 1), send(lease, 2)])
    await regenerate(ledger, lease, 1, 1, now=T0 + 5, sent_there=still_counts)
    assert [(await found(ledger, lease, n)).sent_there for n in (1, 2)] == [still_counts, THERE]


async def test_generations_are_recorded_all_or_none(ledger: Ledger) -> None:
    lease = await three(ledger)
    await write(ledger, lease, sends=[send(lease, 1), send(lease, 2)])
    with pytest.raises(LedgerError, match="row 3 "):
        await ledger.regenerate_rows(lease, [(next_row(n, 1), T0 + 5) for n in (1, 2, 3)])
    assert [row.generation for row in await ledger.recover(lease, after=0, limit=9)] == [0, 0]
    await ledger.regenerate_rows(lease, [(next_row(n, n), T0 + 5) for n in (1, 2)])
    one, two = await ledger.recover(lease, after=0, limit=9)
    assert [(each.generation, each.token) for each in (one, two)] == [(n, next_row(n, n).token) for n in (1, 2)]
    assert (one.sent_there, two.sent_there) == (None, None)


async def test_what_vanished_is_nobodys_any_more_and_only_accepted_rows_vanish(ledger: Ledger) -> None:
    lease = await lease_of(ledger, await open_run(ledger, "r1", [row(n) for n in range(1, 6)]))
    await claimed(ledger, lease, limit=4)
    await write(ledger, lease, accepted(1, made=True), accepted(2, made=True), settled(3))
    assert await ledger.plan_vanished(lease, []) == 0
    assert await ledger.plan_vanished(lease, [1, 3, 4, 5, 99]) == 1
    assert await ledger.plan_vanished(lease, [1, 3, 4, 5, 99]) == 0
    assert await states(ledger, R1) == "1 planned, 2 accepted, 3 settled/created, 4 claimed, 5 planned"
    one, two = await found(ledger, lease, 1), await found(ledger, lease, 2)
    assert [(each.remote_id, each.made) for each in (one, two)] == [(None, None), ("fl-1", True)]
    (work,) = await claimed(ledger, lease, limit=1)
    assert (work.generation, work.due_generation) == (0, 1)
    await assert_counters_hold(ledger, R1)


# --- who made it ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("made", [True, False, None])
async def test_who_made_a_thing_is_recorded_as_it_is_known(ledger: Ledger, made: bool | None) -> None:
    lease = await three(ledger)
    await write(ledger, lease, accepted(1, made=made), settled(2, made=made))
    assert [(await found(ledger, lease, n)).made for n in (1, 2, 3)] == [made, made, None]
    assert [each.made for each in await ledger.rows(lease, [1])] == [made]


@pytest.mark.parametrize(("then", "known"), [(None, True), (True, True), (False, False)])
async def test_what_is_known_of_the_maker_is_not_forgotten_and_can_be_put_right(
    ledger: Ledger, then: bool | None, known: bool
) -> None:
    lease = await three(ledger)
    await write(ledger, lease, accepted(1, made=True))
    await write(ledger, lease, settled(1, expect=RowState.ACCEPTED, made=then))
    assert (await found(ledger, lease)).made is known


async def test_what_is_known_of_sends_outlives_the_process(place: Path) -> None:
    async with open_ledger(str(place)) as ledger:
        lease = await three(ledger)
        await write(ledger, lease, sends=[send(lease, 1)])
    async with open_ledger(str(place)) as ledger:
        heir = await lease_of(ledger, R1, owner="heir")
        known = [(work.sent_there, work.told_there) for work in await ledger.recover(heir, after=0, limit=9)]
        assert known == [(THERE, THERE + 1), (None, None)]


# --- opened again ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("first_sent_at", "known"), [(None, None), (T0 + 2, THERE)])
async def test_a_row_that_was_skipped_unsent_is_not_on_record_as_sent_when_it_is_planned_again(
    ledger: Ledger, first_sent_at: float | None, known: float | None
) -> None:
    """What others make until it is really sent must not be dated into a send that never left."""
    lease = await three(ledger)
    skipped = settled(1, Outcome.SKIPPED, first_sent_at=first_sent_at, attempts=0)
    await write(ledger, lease, skipped, sends=[send(lease, 1)])
    await end(ledger, R1)
    await ledger.reopen(R1)
    (work,) = await claimed(ledger, await lease_of(ledger, R1, owner="heir"), limit=1)
    assert (work.row_no, work.sent_there, work.intent_at) == (1, known, known and T0 + 2)


# --- what was deleted -----------------------------------------------------------------------------------


async def make(ledger: Ledger, name: str, generation: int, remote_id: str, now: float) -> RunId:
    """A run that makes the one row under this generation."""
    run_id = await open_run(ledger, name, [row(1)], started_at=now)
    lease = await lease_of(ledger, run_id, now=now)
    await claimed(ledger, lease, now=now)
    if generation:
        await regenerate(ledger, lease, 1, generation, now=now)
    await write(ledger, lease, settled(1, remote_id=remote_id, made=True, settled_at=now + 1))
    await end(ledger, run_id)
    return run_id


async def take_back(
    ledger: Ledger, parent: RunId, name: str, now: float, outcome: Outcome = Outcome.DELETED, *, is_known: bool = True
) -> RunId:
    """An undo of the run; its row ends with this outcome."""
    await taken_back(ledger, parent, name)
    lease = await lease_of(ledger, RunId(name), now=now)
    (undone,) = await ledger.rows(lease, [1])
    known = {"remote_id": undone.remote_id if is_known else None, "spent": is_known, "settled_at": now}
    await write(ledger, lease, settled(1, outcome, expect=RowState.PLANNED, **known))
    await end(ledger, RunId(name))
    return RunId(name)


async def deleted_id(ledger: Ledger, name: str) -> str | None:
    """What the next run is told, by each way on which it is."""
    lease = await lease_of(ledger, await open_run(ledger, name, [row(1)]))
    told = [(await found(ledger, lease)).deleted_id, *(each.deleted_id for each in await ledger.rows(lease, [1]))]
    told += [work.deleted_id for work in await claimed(ledger, lease)]
    told += [work.deleted_id for work in await ledger.recover(lease, after=0, limit=1)]
    assert len(told) == 4
    assert len(set(told)) == 1
    return told[0]


@pytest.mark.parametrize("outcome", [Outcome.DELETED, Outcome.ABSENT])
async def test_what_this_ledger_has_deleted_is_known_to_every_later_run(ledger: Ledger, outcome: Outcome) -> None:
    assert await deleted_id(ledger, "r0") is None
    await take_back(ledger, await make(ledger, "r1", 0, "fl-1", T0), "undo", T0 + 20, outcome)
    assert await deleted_id(ledger, "r2") == "fl-1"


@pytest.mark.parametrize("outcome", [Outcome.EXISTS, Outcome.DRIFTED, Outcome.FAILED, Outcome.IN_DOUBT])
async def test_what_was_not_deleted_is_not_called_so(ledger: Ledger, outcome: Outcome) -> None:
    await take_back(ledger, await make(ledger, "r1", 0, "fl-1", T0), "undo", T0 + 20, outcome)
    assert await deleted_id(ledger, "r2") is None


@pytest.mark.parametrize("is_taken", [True, False])
async def test_what_an_undo_has_asked_for_and_not_seen_gone_is_not_called_deleted(
    ledger: Ledger, is_taken: bool
) -> None:
    """Its delete may never have arrived: who called it deleted would make another beside it, or fail for ever."""
    await taken_back(ledger, await make(ledger, "r1", 0, "fl-1", T0), "undo")
    lease = await lease_of(ledger, UNDO, now=T0 + 20)
    await claimed(ledger, lease, now=T0 + 20)
    if is_taken:
        await write(ledger, lease, accepted(1, remote_id="fl-1"))
    await end(ledger, UNDO)
    assert await deleted_id(ledger, "r2") is None


async def test_a_later_run_does_not_lose_what_was_deleted(ledger: Ledger) -> None:
    """It makes the thing anew, is folded and folded again; the old one may be listed all the while."""
    await take_back(ledger, await make(ledger, "r1", 0, "fl-1", T0), "undo", T0 + 20)
    await make(ledger, "r2", 1, "fl-2", T0 + 30)
    await end(ledger, R2)
    assert await deleted_id(ledger, "r3") == "fl-1"
    lease = await lease_of(ledger, RunId("r3"))
    await write(ledger, lease, settled(1, Outcome.EXISTS, remote_id="fl-2", settled_at=T0 + 60))
    await end(ledger, RunId("r3"))
    assert await deleted_id(ledger, "r4") == "fl-1"


async def test_an_undo_that_knew_no_id_does_not_lose_it_either(ledger: Ledger) -> None:
    await take_back(ledger, await make(ledger, "r1", 0, "fl-1", T0), "undo", T0 + 20)
    again = await make(ledger, "r2", 1, "fl-2", T0 + 30)
    await take_back(ledger, again, "undo-2", T0 + 40, Outcome.ABSENT, is_known=False)
    assert await deleted_id(ledger, "r3") == "fl-1"


@pytest.mark.parametrize("clock", [T0 + 40, T0 - 500], ids=["later", "set back"])
async def test_the_last_that_was_deleted_counts_though_an_older_undo_is_taken_up_again(
    ledger: Ledger, clock: float
) -> None:
    """Whatever the clock says: a later deletion is of a later generation."""
    first = await take_back(ledger, await make(ledger, "r1", 0, "fl-1", T0), "undo", T0 + 20)
    await take_back(ledger, await make(ledger, "r2", 1, "fl-2", T0 + 30), "undo-2", clock)
    await lease_of(ledger, first)  # somebody opens it, and dies
    assert await deleted_id(ledger, "r3") == "fl-2"
    await end(ledger, first)
    assert await deleted_id(ledger, "r4") == "fl-2"


async def test_an_undo_is_told_what_was_deleted_before_it(ledger: Ledger) -> None:
    await take_back(ledger, await make(ledger, "r1", 0, "fl-1", T0), "first", T0 + 20)
    await taken_back(ledger, await make(ledger, "r2", 1, "fl-2", T0 + 30))
    (undone,) = await ledger.rows(await lease_of(ledger, UNDO), [1])
    assert (undone.remote_id, undone.made, undone.deleted_id) == ("fl-2", True, "fl-1")


# --- all of it at once ----------------------------------------------------------------------------------


async def test_sends_of_many_rows_side_by_side_are_each_recorded(ledger: Ledger) -> None:
    rows = 500
    lease = await lease_of(ledger, await open_run(ledger, "r1", [row(n) for n in range(1, rows + 1)]))
    await claimed(ledger, lease, limit=rows)
    sends: list[list[Send]] = [[send(lease, n, THERE + n) for n in range(first, rows + 1, 5)] for first in range(1, 6)]
    await asyncio.gather(*(write(ledger, lease, sends=group) for group in sends))
    assert [work.sent_there for work in await ledger.recover(lease, after=0, limit=rows)] == [
        THERE + n for n in range(1, rows + 1)
    ]
