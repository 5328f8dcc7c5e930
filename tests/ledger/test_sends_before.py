"""What is on record of sends of a row by processes before the last one that sent it."""

from pathlib import Path

import pytest

from batcher.ledger.open import open_ledger
from batcher.ledger_port import Ledger
from batcher.model import ClaimedRow, Lease, LedgerRow, Outcome, RowState, Send, Settlement
from tests.ledger.book import (
    T0,
    THERE,
    Times,
    accepted,
    claimed,
    end,
    key_of,
    lease_of,
    open_run,
    put_back,
    regenerate,
    row,
    send,
    settled,
    taken_back,
    write,
)
from tests.ledger.test_sends import R1, UNDO, found, three

BEFORE: Times = ((THERE - 9.5, THERE - 8.25), (THERE - 5, THERE - 4))
LAST = (THERE, THERE + 1)
ON_RECORD = (*LAST, BEFORE)
NOTHING = (None, None, ())


def sends_of(each: ClaimedRow | LedgerRow) -> tuple[float | None, float | None, Times]:
    return each.sent_there, each.told_there, each.sent_before


async def sent(ledger: Ledger) -> Lease:
    """A run of three rows; the first was sent by three processes, and so was the second by the last of them."""
    lease = await three(ledger)
    await write(ledger, lease, sends=[send(lease, 1, before=BEFORE), send(lease, 2)])
    return lease


async def test_sends_of_processes_before_are_told_wherever_a_row_is(ledger: Ledger) -> None:
    lease = await sent(ledger)
    assert sends_of(await found(ledger, lease)) == ON_RECORD
    expected = [ON_RECORD, (*LAST, ())]
    assert [sends_of(each) for each in await ledger.rows(lease, [1, 2])] == expected
    assert [sends_of(each) for each in await ledger.recover(lease, after=0, limit=9)] == expected


async def test_they_outlive_the_process(place: Path) -> None:
    async with open_ledger(str(place)) as ledger:
        await sent(ledger)
    async with open_ledger(str(place)) as ledger:
        heir = await lease_of(ledger, R1, owner="heir")
        one, two = await ledger.recover(heir, after=0, limit=9)
        assert (sends_of(one), sends_of(two)) == (ON_RECORD, (*LAST, ()))
        again: Times = (*one.sent_before, (one.sent_there or 0.0, one.told_there or 0.0))
        await write(ledger, heir, sends=[send(heir, 1, THERE + 50, THERE + 51, again)])
        assert sends_of(await found(ledger, heir)) == (THERE + 50, THERE + 51, (*BEFORE, LAST))


async def test_a_run_that_takes_it_back_is_told_all_of_them(ledger: Ledger) -> None:
    await sent(ledger)
    assert await taken_back(ledger, R1) == 2
    undo = await lease_of(ledger, UNDO)
    expected = [ON_RECORD, (*LAST, ())]
    assert [sends_of(each) for each in await ledger.rows(undo, [1, 2])] == expected
    assert sends_of(await found(ledger, undo)) == ON_RECORD
    assert [sends_of(each) for each in await claimed(ledger, undo)] == expected


@pytest.mark.parametrize(
    ("mine", "others", "since"),
    [
        ((), ((THERE + 20, THERE + 21),), THERE + 20),
        (((THERE - 20, THERE - 19),), (), THERE + 50),
        (((THERE - 20, THERE - 19),), ((THERE - 10, THERE - 9),), THERE - 10),
        (((THERE - 20, THERE - 19),), ((THERE - 30, THERE - 29),), None),
    ],
)
async def test_a_rival_is_dated_by_the_first_process_that_sent_it_and_so_is_the_run_that_is_taken_back(
    ledger: Ledger, mine: Times, others: Times, since: float | None
) -> None:
    """Each of the two sent the row in a last process, too: the run at first, the rival 50 s after it."""
    for name, at, before in (("r1", THERE, mine), ("r2", THERE + 50, others)):
        lease = await lease_of(ledger, await open_run(ledger, name, [row(1)]))
        await claimed(ledger, lease)
        await write(ledger, lease, sends=[send(lease, 1, at, at + 1, before)])
    await taken_back(ledger, R1)
    found_since = await ledger.rivals(await lease_of(ledger, UNDO), [key_of("row-1")])
    assert found_since.get(key_of("row-1")) == since


async def test_a_run_that_tries_it_again_has_sent_nothing_yet(ledger: Ledger) -> None:
    lease = await sent(ledger)
    await write(ledger, lease, settled(1, Outcome.IN_DOUBT))
    again = await open_run(ledger, "again", [], parent=R1)
    await ledger.copy_rows(again, R1)
    (work,) = await claimed(ledger, await lease_of(ledger, again))
    assert sends_of(work) == NOTHING


# --- what is sent, or not ---------------------------------------------------------------------------------


@pytest.mark.parametrize("before", [(), BEFORE, BEFORE[:1]])
async def test_a_send_without_a_time_is_taken_off_the_record_and_those_with_it_stay(
    ledger: Ledger, before: Times
) -> None:
    lease = await sent(ledger)
    await write(ledger, lease, sends=[Send(lease, 1, None, None, before)])
    assert sends_of(await found(ledger, lease)) == (None, None, before)
    assert sends_of(await found(ledger, lease, 2)) == (*LAST, ())


async def test_a_send_says_all_that_is_on_record_of_its_row(ledger: Ledger) -> None:
    lease = await sent(ledger)
    await write(ledger, lease, sends=[send(lease, 1, THERE + 5, THERE + 6), send(lease, 2, before=BEFORE)])
    assert sends_of(await found(ledger, lease)) == (THERE + 5, THERE + 6, ())
    assert sends_of(await found(ledger, lease, 2)) == ON_RECORD


@pytest.mark.parametrize("state", [RowState.PLANNED, RowState.ACCEPTED, RowState.SETTLED])
async def test_a_row_that_is_not_claimed_gets_none(ledger: Ledger, state: RowState) -> None:
    lease = await three(ledger)
    row_no = 3 if state is RowState.PLANNED else 1
    if state is not RowState.PLANNED:
        await write(ledger, lease, accepted(1) if state is RowState.ACCEPTED else settled(1))
    await write(ledger, lease, sends=[send(lease, row_no, before=BEFORE)])
    assert sends_of(await found(ledger, lease, row_no)) == NOTHING


@pytest.mark.parametrize("settlement", [accepted(1), settled(1), settled(1, Outcome.IN_DOUBT)])
async def test_they_stay_whatever_becomes_of_the_row(ledger: Ledger, settlement: Settlement) -> None:
    lease = await sent(ledger)
    await write(ledger, lease, settlement)
    assert sends_of(await found(ledger, lease)) == ON_RECORD


async def test_a_row_that_is_put_back_keeps_those_that_may_have_worked(ledger: Ledger) -> None:
    lease = await sent(ledger)
    await write(ledger, lease, put_back(1, sent_there=THERE), put_back(2, sent_there=THERE, told_there=THERE + 9))
    one, two = await claimed(ledger, lease, limit=2)
    assert (sends_of(one), sends_of(two)) == (ON_RECORD, (THERE, THERE + 9, ()))


@pytest.mark.parametrize("before", [(), BEFORE[1:]])
async def test_another_generation_was_sent_before_when_its_row_says_so(ledger: Ledger, before: Times) -> None:
    lease = await sent(ledger)
    await regenerate(ledger, lease, 1, 1, now=T0 + 5, sent_there=THERE, sent_before=before)
    assert (await found(ledger, lease)).sent_before == before


@pytest.mark.parametrize(("first_sent_at", "before"), [(None, ()), (T0 + 2, BEFORE)])
async def test_a_row_that_was_skipped_unsent_was_not_sent_before_either_when_it_is_planned_again(
    ledger: Ledger, first_sent_at: float | None, before: Times
) -> None:
    lease = await sent(ledger)
    await write(ledger, lease, settled(1, Outcome.SKIPPED, first_sent_at=first_sent_at, attempts=0))
    await end(ledger, R1)
    await ledger.reopen(R1)
    assert (await found(ledger, await lease_of(ledger, R1, owner="heir"))).sent_before == before


async def test_a_row_of_an_undo_that_was_skipped_still_tells_when_its_thing_may_have_been_made(ledger: Ledger) -> None:
    await sent(ledger)
    await taken_back(ledger, R1)
    undo = await lease_of(ledger, UNDO)
    await write(ledger, undo, *(settled(n, Outcome.SKIPPED, expect=RowState.PLANNED, attempts=0) for n in (1, 2)))
    await end(ledger, UNDO)
    await ledger.reopen(UNDO)
    one, two = await claimed(ledger, await lease_of(ledger, UNDO, owner="heir"))
    assert (sends_of(one), sends_of(two)) == (ON_RECORD, (*LAST, ()))
