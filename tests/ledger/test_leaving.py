"""What is leaving: whose delete an undo has sent, and which nobody has seen to be gone."""

from pathlib import Path

import pytest

from batcher.ledger.open import open_ledger
from batcher.ledger_port import Ledger
from batcher.model import Lease, Outcome, RowState, RunId
from tests.ledger.book import T0, accepted, claimed, end, lease_of, open_run, put_back, row, settled, taken_back, write
from tests.ledger.test_sends import UNDO, found, make, take_back

R1, R2, R3 = RunId("r1"), RunId("r2"), RunId("r3")
AT = T0 + 20
"""When the undo was at work."""


async def killed(ledger: Ledger, state: RowState = RowState.CLAIMED, name: str = "undo") -> Lease:
    """An undo of `r1`, which made `fl-1`, that was killed when its row was in this state."""
    await make(ledger, "r1", 0, "fl-1", T0)
    return await begun(ledger, state, R1, name)


async def begun(ledger: Ledger, state: RowState, parent: RunId, name: str = "undo") -> Lease:
    """An undo whose one row was brought into this state, and no further."""
    await taken_back(ledger, parent, name, started_at=AT)
    lease = await lease_of(ledger, RunId(name), now=AT)
    if state is not RowState.PLANNED:
        (work,) = await claimed(ledger, lease, now=AT)
        if state is RowState.ACCEPTED:
            await write(ledger, lease, accepted(1, work.believed_id or "", first_sent_at=AT))
    return lease


async def leaving_id(ledger: Ledger, name: str) -> str | None:
    """What the next run is told, by each way on which it is; it settles nothing."""
    lease = await lease_of(ledger, await open_run(ledger, name, [row(1)]))
    told = [(await found(ledger, lease)).leaving_id, *(each.leaving_id for each in await ledger.rows(lease, [1]))]
    told += [work.leaving_id for work in await claimed(ledger, lease)]
    told += [work.leaving_id for work in await ledger.recover(lease, after=0, limit=1)]
    assert len(told) == 4
    assert len(set(told)) == 1
    return told[0]


async def looked_at(ledger: Ledger, name: str, outcome: Outcome, now: float, remote_id: str | None = None) -> RunId:
    """A run that settles the row so."""
    run_id = await open_run(ledger, name, [row(1)], started_at=now)
    lease = await lease_of(ledger, run_id, now=now)
    await claimed(ledger, lease, now=now)
    await write(ledger, lease, settled(1, outcome, settled_at=now + 1, remote_id=remote_id))
    await end(ledger, run_id)
    return run_id


# --- an undo that was stopped ---------------------------------------------------------------------------


@pytest.mark.parametrize("state", [RowState.CLAIMED, RowState.ACCEPTED])
@pytest.mark.parametrize("ends", [False, True], ids=["killed", "ended"])
async def test_what_an_undo_may_have_deleted_is_told_to_the_next_run(
    ledger: Ledger, state: RowState, ends: bool
) -> None:
    await killed(ledger, state)
    if ends:
        await end(ledger, UNDO)
    assert await leaving_id(ledger, "r2") == "fl-1"


@pytest.mark.parametrize("state", [RowState.CLAIMED, RowState.ACCEPTED])
async def test_it_is_told_to_another_process_as_well(place: Path, state: RowState) -> None:
    async with open_ledger(str(place)) as ledger:
        await killed(ledger, state)
    async with open_ledger(str(place)) as ledger:
        assert await leaving_id(ledger, "r2") == "fl-1"


async def test_what_no_delete_was_sent_for_is_not_leaving(ledger: Ledger) -> None:
    await killed(ledger, RowState.PLANNED)
    assert await leaving_id(ledger, "r2") is None


async def test_what_a_run_itself_was_about_to_make_is_not_leaving(ledger: Ledger) -> None:
    """A run that is no undo deletes nothing, however it was killed."""
    lease = await lease_of(ledger, await open_run(ledger, "r1", [row(1)]))
    await claimed(ledger, lease)
    await write(ledger, lease, accepted(1, "fl-1", first_sent_at=T0 + 2))
    assert await leaving_id(ledger, "r2") is None


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.IN_DOUBT])
async def test_a_delete_that_was_sent_and_not_seen_to_work_leaves_its_thing_in_doubt(
    ledger: Ledger, outcome: Outcome
) -> None:
    lease = await killed(ledger)
    await write(ledger, lease, settled(1, outcome, remote_id="fl-1", first_sent_at=AT, settled_at=AT + 1))
    await end(ledger, UNDO)
    assert await leaving_id(ledger, "r2") == "fl-1"


async def test_a_row_that_was_planned_again_after_its_delete_was_sent_leaves_it_in_doubt(ledger: Ledger) -> None:
    lease = await killed(ledger)
    await write(ledger, lease, put_back(1, intent_at=T0, first_sent_at=AT))
    assert await leaving_id(ledger, "r2") == "fl-1"


@pytest.mark.parametrize("outcome", [Outcome.EXISTS, Outcome.DRIFTED])
async def test_what_an_undo_has_left_alone_is_not_leaving(ledger: Ledger, outcome: Outcome) -> None:
    await take_back(ledger, await make(ledger, "r1", 0, "fl-1", T0), "undo", AT, outcome)
    assert await leaving_id(ledger, "r2") is None


# --- seen to be gone ------------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", [Outcome.DELETED, Outcome.ABSENT])
async def test_what_an_undo_has_seen_gone_is_leaving_no_more(ledger: Ledger, outcome: Outcome) -> None:
    await take_back(ledger, await make(ledger, "r1", 0, "fl-1", T0), "undo", AT, outcome)
    assert await leaving_id(ledger, "r2") is None


@pytest.mark.parametrize("state", [RowState.CLAIMED, RowState.ACCEPTED])
@pytest.mark.parametrize("clock", [AT + 5, AT - 500], ids=["later", "set back"])
async def test_an_undo_that_is_gone_on_with_and_finished_takes_the_doubt_back(
    ledger: Ledger, state: RowState, clock: float
) -> None:
    await killed(ledger, state)
    assert await leaving_id(ledger, "r2") == "fl-1"
    lease = await lease_of(ledger, UNDO, owner="heir", now=clock)
    done = settled(1, Outcome.DELETED, expect=state, remote_id="fl-1", spent=True, settled_at=clock + 1)
    await write(ledger, lease, done)
    await end(ledger, UNDO)
    assert await leaving_id(ledger, "r3") is None


# --- a later run, and an older one ----------------------------------------------------------------------


@pytest.mark.parametrize("outcome", [Outcome.EXISTS, Outcome.CREATED])
@pytest.mark.parametrize("state", [RowState.CLAIMED, RowState.ACCEPTED])
async def test_a_later_run_that_settled_the_row_takes_the_doubt_back(
    ledger: Ledger, outcome: Outcome, state: RowState
) -> None:
    await killed(ledger, state)
    await looked_at(ledger, "r2", outcome, AT + 10, remote_id="fl-1")
    assert await leaving_id(ledger, "r3") is None


@pytest.mark.parametrize("ends", [False, True], ids=["killed", "ended"])
async def test_a_later_run_that_has_claimed_the_row_and_not_settled_it_leaves_it_in_doubt(
    ledger: Ledger, ends: bool
) -> None:
    """It knows no more than the undo: its listing may still show what was deleted."""
    await killed(ledger)
    run_id = await open_run(ledger, "r2", [row(1)], started_at=AT + 10)
    await claimed(ledger, await lease_of(ledger, run_id, now=AT + 10), now=AT + 11)
    if ends:
        await end(ledger, run_id)
    assert await leaving_id(ledger, "r3") == "fl-1"


async def test_a_later_undo_that_has_not_begun_leaves_it_in_doubt(ledger: Ledger) -> None:
    await killed(ledger)
    await begun(ledger, RowState.PLANNED, R1, "undo-2")
    assert await leaving_id(ledger, "r2") == "fl-1"


@pytest.mark.parametrize("older", [R1, RunId("r0")], ids=["the run that made it", "one before"])
async def test_an_older_run_that_is_taken_up_again_leaves_it_in_doubt(ledger: Ledger, older: RunId) -> None:
    """Another row of it may be open; what it has settled of this one is from before the delete."""
    await looked_at(ledger, "r0", Outcome.FAILED, T0 - 9)
    await killed(ledger)
    assert await leaving_id(ledger, "r2") == "fl-1"
    await lease_of(ledger, older, owner="heir", now=AT + 20)
    await end(ledger, older, ended_at=AT + 30)
    assert await leaving_id(ledger, "r3") == "fl-1"


async def test_an_older_undo_that_is_taken_up_again_leaves_the_newer_ones_in_doubt(ledger: Ledger) -> None:
    first = await take_back(ledger, await make(ledger, "r1", 0, "fl-1", T0), "first", T0 + 5)
    await begun(ledger, RowState.CLAIMED, await make(ledger, "r2", 1, "fl-2", T0 + 10))
    assert await leaving_id(ledger, "r3") == "fl-2"
    await lease_of(ledger, first, owner="heir", now=AT + 20)
    await end(ledger, first)
    assert await leaving_id(ledger, "r4") == "fl-2"


async def test_the_last_that_was_deleted_and_not_seen_gone_is_the_one_in_doubt(ledger: Ledger) -> None:
    await killed(ledger)
    again = await make(ledger, "r2", 1, "fl-2", AT + 10)
    await begun(ledger, RowState.CLAIMED, again, "undo-2")
    assert await leaving_id(ledger, "r3") == "fl-2"


async def test_an_undo_is_told_what_is_leaving(ledger: Ledger) -> None:
    """Its own delete, too, once another process goes on with it."""
    await killed(ledger)
    await leaving_id(ledger, "r2")
    (undone,) = await ledger.rows(await lease_of(ledger, UNDO, owner="heir"), [1])
    assert (undone.remote_id, undone.leaving_id, undone.known_id) == ("fl-1", "fl-1", "fl-1")


async def test_a_row_without_an_id_gets_that_of_what_is_to_be_deleted_with_its_claim(ledger: Ledger) -> None:
    """Its create was never answered, so only the listing told the undo what stands there."""
    run_id = await open_run(ledger, "r1", [row(1)])
    await claimed(ledger, await lease_of(ledger, run_id))
    await end(ledger, run_id)
    await taken_back(ledger, run_id, "undo", started_at=AT)
    lease = await lease_of(ledger, UNDO, now=AT)
    await ledger.claim_these(lease, {1: "fl-9"}, AT)
    assert [each.remote_id for each in await ledger.rows(lease, [1])] == ["fl-9"]
    await end(ledger, UNDO)
    assert await leaving_id(ledger, "r2") == "fl-9"


async def test_a_row_with_an_id_keeps_it_when_it_is_claimed(ledger: Ledger) -> None:
    lease = await killed(ledger, RowState.PLANNED)
    await ledger.claim_these(lease, {1: "fl-9"}, AT)
    assert [each.remote_id for each in await ledger.rows(lease, [1])] == ["fl-1"]
