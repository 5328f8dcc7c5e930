"""A run that takes another one back: which rows it is about, what is known of them, and what is learnt of it."""

import dataclasses
import re
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from batcher.errors import LedgerError, StaleLeaseError
from batcher.ledger.open import open_ledger
from batcher.ledger.store import statements
from batcher.ledger_port import Ledger
from batcher.model import Lease, LedgerRow, Outcome, PlanRow, RowState, RunId, Settlement
from batcher.records import RowRecord
from tests.ledger.book import (
    NORTH,
    SOUTH,
    T0,
    THERE,
    accepted,
    assert_counters_hold,
    claimed,
    end,
    everything,
    invalid,
    key_of,
    lease_of,
    open_run,
    put_back,
    regenerate,
    row,
    run_record,
    send,
    settled,
    states,
    taken_back,
    token_of,
    write,
)

R1, R2, UNDO = RunId("r1"), RunId("r2"), RunId("undo")


async def worked(ledger: Ledger, settlements: Mapping[int, Settlement | None], rows: list[PlanRow]) -> Lease:
    """The run `r1` with these rows, all of them claimed, and some settled."""
    lease = await lease_of(ledger, await open_run(ledger, "r1", rows))
    await claimed(ledger, lease)
    await write(ledger, lease, *(each for each in settlements.values() if each is not None))
    return lease


async def rows_of(ledger: Ledger, lease: Lease) -> dict[str, LedgerRow]:
    """The open rows of a lane, by their name in the book."""
    found = await ledger.rows(lease, range(1, 100))
    return {each.spec.strip('[]"'): each for each in found}


# --- what is taken back ---------------------------------------------------------------------------------

CASES: dict[str, tuple[dict[str, Any], bool]] = {
    "created": ({"outcome": Outcome.CREATED, "remote_id": "fl", "http_status": 202, "made": True}, True),
    "created, and no word of who made it": ({"outcome": Outcome.CREATED, "remote_id": "fl"}, True),
    "said to be created, and somebody else's": ({"outcome": Outcome.CREATED, "remote_id": "fl", "made": False}, False),
    "in doubt": ({"outcome": Outcome.IN_DOUBT}, True),
    "in doubt, of a thing that it made": ({"outcome": Outcome.IN_DOUBT, "remote_id": "fl", "made": True}, True),
    "in doubt, of a thing that it did not make": (
        {"outcome": Outcome.IN_DOUBT, "remote_id": "fl", "made": False},
        False,
    ),
    "made, and seen to fail": ({"outcome": Outcome.FAILED, "remote_id": "fl", "http_status": 202, "made": True}, True),
    "made, and not switched off": (
        {"outcome": Outcome.FAILED, "remote_id": "fl", "http_status": 403, "made": True},
        True,
    ),
    "made, and changed before it was seen": (
        {"outcome": Outcome.DRIFTED, "remote_id": "fl", "http_status": 202, "made": True},
        True,
    ),
    "found failed, and no word of who made it": ({"outcome": Outcome.FAILED, "remote_id": "fl"}, False),
    "found failed, and somebody else's": ({"outcome": Outcome.FAILED, "remote_id": "fl", "made": False}, False),
    "refused": ({"outcome": Outcome.FAILED, "http_status": 400}, False),
    "there": ({"outcome": Outcome.EXISTS, "remote_id": "fl", "made": False}, False),
    "there, and no word of who made it": ({"outcome": Outcome.EXISTS, "remote_id": "fl"}, False),
    "there otherwise": ({"outcome": Outcome.DRIFTED, "remote_id": "fl", "made": False}, False),
    "there otherwise, and no word of who made it": ({"outcome": Outcome.DRIFTED, "remote_id": "fl"}, False),
    "put right": ({"outcome": Outcome.UPDATED, "remote_id": "fl", "http_status": 200, "made": False}, False),
    "skipped": ({"outcome": Outcome.SKIPPED}, False),
}


@pytest.mark.parametrize("case", CASES)
async def test_what_a_run_made_or_may_have_made_is_taken_back_and_nothing_else(ledger: Ledger, case: str) -> None:
    known, is_copied = CASES[case]
    await worked(ledger, {1: settled(1, **known, sent_there=THERE, told_there=THERE + 3)}, [row(1)])
    assert await taken_back(ledger, R1) == is_copied
    found = await rows_of(ledger, await lease_of(ledger, UNDO))
    assert [(r.row_no, r.remote_id, r.made, r.sent_there, r.told_there, r.intent_at) for r in found.values()] == (
        [(1, known.get("remote_id"), known.get("made"), THERE, THERE + 3, T0 + 2)] if is_copied else []
    )


@pytest.mark.parametrize(("made", "copied"), [(True, 1), (None, 1), (False, 0)])
async def test_of_what_was_taken_that_is_left_out_which_somebody_else_made(
    ledger: Ledger, made: bool | None, copied: int
) -> None:
    await worked(ledger, {1: accepted(1, "fl-1", made=made)}, [row(1)])
    assert await taken_back(ledger, R1) == copied


async def test_what_had_failed_before_the_run_could_send_is_not_taken_back(ledger: Ledger) -> None:
    lease = await lease_of(ledger, await open_run(ledger, "r1", [row(1)]))
    await write(ledger, lease, settled(1, Outcome.FAILED, expect=RowState.PLANNED, remote_id="fl"))
    assert await taken_back(ledger, R1) == 0


async def test_what_is_under_way_is_taken_back_and_what_was_never_sent_is_not(ledger: Ledger) -> None:
    rows = [row(1), row(2), invalid(3), row(4)]
    lease = await lease_of(ledger, await open_run(ledger, "r1", rows))
    await claimed(ledger, lease, limit=2)
    await write(ledger, lease, accepted(2, "fl-2"))
    assert await states(ledger, R1) == "1 claimed, 2 accepted, 3 settled/invalid, 4 planned"
    assert await taken_back(ledger, R1) == 2
    assert await states(ledger, UNDO) == "1 planned, 2 planned"
    await assert_counters_hold(ledger, UNDO)
    one, two = (await rows_of(ledger, await lease_of(ledger, UNDO))).values()
    assert (one.remote_id, one.key, one.line) == (None, key_of("row-1"), 2)
    assert (two.remote_id, two.key, two.line) == ("fl-2", key_of("row-2"), 3)


async def test_a_row_that_is_taken_back_keeps_its_line_its_token_and_the_users_columns(ledger: Ledger) -> None:
    plan = [row(n) for n in range(1, 5)]
    plan[3] = plan[3]._replace(carried='{"Owner":"me"}')
    lease = await worked(ledger, {}, plan)
    await regenerate(ledger, lease, 4, 2, now=T0 + 2)
    await write(ledger, lease, *(settled(n, Outcome.EXISTS) for n in (1, 2, 3)), settled(4, remote_id="fl-4"))
    await taken_back(ledger, R1)
    (record,) = await everything(ledger, UNDO)
    assert (record.row_no, record.line, record.spec, record.carried) == (4, 5, '["row-4"]', '{"Owner":"me"}')
    assert (record.token, record.generation, record.remote_id) == (token_of("row-4", 2), 2, "fl-4")
    assert (record.state, record.attempts, record.http_status, record.first_sent_at) == (
        RowState.PLANNED,
        0,
        None,
        None,
    )


async def test_lanes_are_those_of_the_run_that_is_taken_back(ledger: Ledger) -> None:
    await open_run(ledger, "r1", [row(1), row(2, lane=SOUTH)])
    for lane_no, row_no in ((1, 1), (2, 2)):
        lease = await lease_of(ledger, R1, lane_no)
        await claimed(ledger, lease)
        await write(ledger, lease, settled(row_no, remote_id=f"fl-{row_no}"))
    await taken_back(ledger, R1)
    assert await ledger.lanes(UNDO) == [(1, NORTH, 1), (2, SOUTH, 1)]
    assert await ledger.match(await lease_of(ledger, UNDO, 2), [key_of("row-1"), key_of("row-2", SOUTH)]) == (
        await ledger.rows(await lease_of(ledger, UNDO, 2), [2])
    )


async def test_more_rows_than_a_page_are_taken_back(ledger: Ledger) -> None:
    lease = await lease_of(ledger, await open_run(ledger, "r1", [row(n) for n in range(1, 4502)]))
    await claimed(ledger, lease, limit=5000)
    assert await taken_back(ledger, R1) == 4501
    await assert_counters_hold(ledger, UNDO)


async def test_since_when_a_thing_may_be_there_is_the_first_send_of_any_generation(ledger: Ledger) -> None:
    lease = await worked(ledger, {}, [row(1)])
    await write(ledger, lease, put_back(1, intent_at=T0 + 2, first_sent_at=T0 + 3, attempts=1))
    await claimed(ledger, lease, now=T0 + 50)
    await regenerate(ledger, lease, 1, 1, now=T0 + 60)
    await write(ledger, lease, settled(1, remote_id="fl-1"))
    await taken_back(ledger, R1)
    (found,) = (await rows_of(ledger, await lease_of(ledger, UNDO))).values()
    assert found.intent_at == T0 + 3


@pytest.mark.parametrize("made", [True, None])
async def test_an_id_stays_with_who_made_it_though_another_run_has_sent_the_same(
    ledger: Ledger, made: bool | None
) -> None:
    """Whose the thing with that id is, its date tells; the id alone proves nothing."""
    known: dict[str, Any] = {"remote_id": "fl-1", "made": made, "sent_there": THERE, "told_there": THERE + 1}
    lease = await worked(ledger, {1: settled(1, **known)}, [row(1)])
    await end(ledger, lease.run_id)
    other = await lease_of(ledger, await open_run(ledger, "r2", [row(1)]), now=T0 + 20)
    await claimed(ledger, other, now=T0 + 20)
    await write(ledger, other, sends=[send(other, 1, THERE + 20)])
    await taken_back(ledger, R1)
    (found,) = (await rows_of(ledger, await lease_of(ledger, UNDO))).values()
    assert (found.remote_id, found.made, found.sent_there, found.told_there) == ("fl-1", made, THERE, THERE + 1)


# --- when it can have been made -------------------------------------------------------------------------


async def test_a_row_that_a_dead_process_left_was_sent_no_later_than_its_last_send_on_record(ledger: Ledger) -> None:
    lease = await worked(ledger, {2: settled(2, Outcome.IN_DOUBT)}, [row(1), row(2), row(3)])
    await write(ledger, lease, settled(3, Outcome.IN_DOUBT, told_there=THERE + 9), sends=[send(lease, 1)])
    await taken_back(ledger, R1)
    found = await rows_of(ledger, await lease_of(ledger, UNDO))
    assert {name: (each.sent_there, each.told_there) for name, each in found.items()} == {
        "row-1": (THERE, THERE + 1),
        "row-2": (None, None),
        "row-3": (None, THERE + 9),
    }


async def test_what_was_told_of_an_earlier_send_does_not_end_one_that_is_under_way(ledger: Ledger) -> None:
    """Refused, put back, and sent again by a process that died: it may have been made long after the refusal."""
    lease = await worked(ledger, {}, [row(1)])
    again = put_back(1, intent_at=T0 + 2, first_sent_at=T0 + 2, sent_there=THERE, told_there=THERE + 1)
    await write(ledger, lease, again)
    await claimed(ledger, lease)
    await write(ledger, lease, sends=[send(lease, 1, THERE + 600, THERE + 660)])
    await taken_back(ledger, R1)
    (found,) = (await rows_of(ledger, await lease_of(ledger, UNDO))).values()
    assert (found.sent_there, found.told_there) == (THERE + 600, THERE + 660)


async def test_nothing_is_said_of_when_where_nothing_is_known_of_it(ledger: Ledger) -> None:
    await worked(ledger, {}, [row(1)])
    await taken_back(ledger, R1)
    (found,) = (await rows_of(ledger, await lease_of(ledger, UNDO))).values()
    assert (found.made, found.sent_there, found.told_there) == (None, None, None)


async def sent(ledger: Ledger, run_id: str, names: Mapping[str, float], *, now: float = T0 + 20) -> Lease:
    """Another run that has sent rows of these names, at these times there."""
    rows = [row(n, name) for n, name in enumerate(names, 1)]
    lease = await lease_of(ledger, await open_run(ledger, run_id, rows), now=now)
    await claimed(ledger, lease, now=now)
    await write(ledger, lease, sends=[send(lease, n, there) for n, there in enumerate(names.values(), 1)])
    return lease


async def test_who_else_sent_the_same_is_told_from_when_he_did(ledger: Ledger) -> None:
    lease = await worked(ledger, {}, [row(n) for n in range(1, 6)])
    await write(ledger, lease, sends=[send(lease, n, THERE + n) for n in range(1, 5)])
    await sent(ledger, "r2", {"row-1": THERE + 70, "row-2": THERE + 1, "row-5": THERE + 90})
    await sent(ledger, "r3", {"row-1": THERE + 50, "row-4": THERE + 60})
    other = await lease_of(ledger, await open_run(ledger, "r4", [row(1, "row-3")]), now=T0 + 40)
    await claimed(ledger, other, now=T0 + 40)  # and it does not send it
    await taken_back(ledger, R1)
    keys = [key_of(f"row-{n}") for n in range(1, 7)]
    # row-2 was sent by another run before, row-3 by none, and nobody knows when row-5 was sent by the run itself
    assert await ledger.rivals(await lease_of(ledger, UNDO), keys) == {
        key_of("row-1"): THERE + 50,
        key_of("row-4"): THERE + 60,
    }


async def test_neither_the_run_itself_nor_an_undo_is_a_rival(ledger: Ledger) -> None:
    lease = await worked(ledger, {}, [row(1)])
    await write(ledger, lease, sends=[send(lease, 1)])
    await taken_back(ledger, R1, "first")
    first = await lease_of(ledger, RunId("first"))
    await ledger.claim_these(first, dict.fromkeys([1]), T0 + 90)
    await write(ledger, first, sends=[send(first, 1, THERE + 90)])
    await taken_back(ledger, R1)
    assert await ledger.rivals(await lease_of(ledger, UNDO), [key_of("row-1")]) == {}


async def test_nothing_is_asked_of_no_keys(ledger: Ledger) -> None:
    await worked(ledger, {}, [row(1)])
    await taken_back(ledger, R1)
    assert await ledger.rivals(await lease_of(ledger, UNDO), []) == {}


# --- rows by number -------------------------------------------------------------------------------------


async def test_rows_are_numbered_by_scope_and_state(ledger: Ledger) -> None:
    rows = [row(n, scope=f"er-{n % 2}", lane=SOUTH if n == 3 else NORTH) for n in range(1, 7)]
    lease = await lease_of(ledger, await open_run(ledger, "r1", rows))
    await claimed(ledger, lease, limit=2)
    await write(ledger, lease, accepted(1))
    assert await numbers(ledger, lease, RowState.PLANNED) == {"er-0": [4, 6], "er-1": [5]}
    assert await numbers(ledger, lease, RowState.CLAIMED) == {"er-0": [2]}
    assert await numbers(ledger, lease, RowState.ACCEPTED) == {"er-1": [1]}
    assert await numbers(ledger, lease, RowState.SETTLED) == {}


async def numbers(ledger: Ledger, lease: Lease, state: RowState) -> dict[str, list[int]]:
    return {scope: list(found) for scope, found in (await ledger.numbers(lease, state)).items()}


async def test_rows_are_found_by_number_unless_they_are_settled(ledger: Ledger) -> None:
    lease = await worked(ledger, {1: settled(1), 2: accepted(2, "fl-2")}, [row(n) for n in range(1, 4)])
    found = await ledger.rows(lease, [3, 1, 2, 99])
    assert [(each.row_no, each.state, each.remote_id) for each in found] == [
        (2, RowState.ACCEPTED, "fl-2"),
        (3, RowState.CLAIMED, None),
    ]
    assert await ledger.rows(lease, []) == []


@pytest.mark.parametrize(
    "name", ["select_rows", "select_rivals", "select_made", "match_keys", "claim_these", "plan_vanished", "mark_sent"]
)
async def test_a_few_rows_are_searched_for_and_no_table_is_read_for_them(place: Path, name: str) -> None:
    """By their whole key, or else a large run takes the square of its rows."""
    async with open_ledger(str(place)):
        pass
    sql = statements()[name].format(keys="?")
    named = dict.fromkeys(re.findall(r":(\w+)", sql), 1)
    with closing(sqlite3.connect(place)) as db:
        found = db.execute(f"EXPLAIN QUERY PLAN {sql}", named or (1,) * sql.count("?"))
        steps = [str(step) for _, _, _, step in found]
    read_whole = [step for step in steps if "SCAN" in step and "VIRTUAL" not in step and step != "SCAN o"]  # the runs
    assert read_whole == []
    assert any("row_no=?" in step for step in steps) or name == "select_made"


# --- the claim ------------------------------------------------------------------------------------------


async def test_these_rows_are_claimed_and_no_others(ledger: Ledger) -> None:
    await worked(ledger, {}, [row(n) for n in range(1, 5)])
    await taken_back(ledger, R1)
    lease = await lease_of(ledger, UNDO)
    await ledger.claim_these(lease, dict.fromkeys([2, 4]), T0 + 50)
    assert await states(ledger, UNDO) == "1 planned, 2 claimed, 3 planned, 4 claimed"
    assert {each.intent_at for each in await ledger.rows(lease, [1, 2, 3, 4])} == {T0 + 2}
    await assert_counters_hold(ledger, UNDO)


async def test_a_claim_of_what_is_not_planned_is_refused_whole(ledger: Ledger) -> None:
    await worked(ledger, {}, [row(n) for n in range(1, 4)])
    await taken_back(ledger, R1)
    lease = await lease_of(ledger, UNDO)
    await ledger.claim_these(lease, dict.fromkeys([2]), T0 + 50)
    with pytest.raises(LedgerError, match="1 rows of lane 1 were not planned"):
        await ledger.claim_these(lease, dict.fromkeys([1, 2, 3]), T0 + 51)
    assert await states(ledger, UNDO) == "1 planned, 2 claimed, 3 planned"
    await assert_counters_hold(ledger, UNDO)


async def test_who_lost_the_lane_claims_nothing(ledger: Ledger) -> None:
    await worked(ledger, {}, [row(1)])
    await taken_back(ledger, R1)
    stale = await lease_of(ledger, UNDO)
    await lease_of(ledger, UNDO, owner="other")
    with pytest.raises(StaleLeaseError):
        await ledger.claim_these(stale, dict.fromkeys([1]), T0 + 50)
    assert await states(ledger, UNDO) == "1 planned"


# --- afterwards -----------------------------------------------------------------------------------------


async def test_a_skipped_row_still_knows_since_when_its_thing_may_be_there(ledger: Ledger) -> None:
    """Of any other run a skipped row was never sent, so its claim is forgotten, and a send that did not leave."""
    lease = await worked(ledger, {}, [row(1), row(2)])
    both = [send(lease, 1), send(lease, 2)]
    await write(ledger, lease, settled(1, Outcome.IN_DOUBT), settled(2, Outcome.SKIPPED), sends=both)
    await taken_back(ledger, R1)
    undo = await lease_of(ledger, UNDO)
    await write(ledger, undo, settled(1, Outcome.SKIPPED, expect=RowState.PLANNED))
    for run_id in (UNDO, R1):
        await end(ledger, run_id)
        await ledger.reopen(run_id)
    assert [(each.intent_at, each.sent_there) for each in await ledger.rows(undo, [1])] == [(T0 + 2, THERE)]
    assert [(each.intent_at, each.sent_there) for each in await ledger.rows(lease, [2])] == [(None, None)]


@pytest.mark.parametrize("outcome", [Outcome.DELETED, Outcome.ABSENT])
async def test_what_is_gone_is_made_again_under_the_next_token_without_a_search(
    ledger: Ledger, outcome: Outcome
) -> None:
    await worked(ledger, {1: settled(1, remote_id="fl-1", http_status=202, made=True)}, [row(1)])
    await end(ledger, R1)
    await taken_back(ledger, R1)
    undo = await lease_of(ledger, UNDO)
    gone = settled(1, outcome, expect=RowState.PLANNED, remote_id="fl-1", spent=True, settled_at=T0 + 20)
    await write(ledger, undo, gone)
    await end(ledger, UNDO)
    (work,) = await claimed(ledger, await lease_of(ledger, await open_run(ledger, "r2", [row(1)])))
    assert (work.generation, work.due_generation) == (0, 1)
    assert (work.used_at, work.intent_at, work.believed_id, work.sent_there) == (None, None, None, None)
    assert work.deleted_id == "fl-1"


async def test_what_was_kept_is_still_believed_to_be_there(ledger: Ledger) -> None:
    await worked(ledger, {1: settled(1, remote_id="fl-1", http_status=202, made=True)}, [row(1)])
    await end(ledger, R1)
    await taken_back(ledger, R1)
    undo = await lease_of(ledger, UNDO)
    kept = settled(1, Outcome.DRIFTED, expect=RowState.PLANNED, remote_id="fl-1", settled_at=T0 + 20)
    await write(ledger, undo, kept)
    await end(ledger, UNDO)
    (work,) = await claimed(ledger, await lease_of(ledger, await open_run(ledger, "r2", [row(1)])))
    assert (work.due_generation, work.believed_id, work.deleted_id) == (0, "fl-1", None)


async def test_a_plan_that_was_dropped_leaves_nothing(ledger: Ledger) -> None:
    await worked(ledger, {}, [row(1)])
    await ledger.create_run(dataclasses.replace(run_record("undo", parent="r1"), operation="undo"))
    await ledger.copy_made(UNDO, R1)
    await ledger.drop_run(UNDO)
    assert [run.run_id for run in await ledger.runs()] == [R1]
    assert await taken_back(ledger, R1) == 1
    records: list[RowRecord] = await everything(ledger, UNDO)
    assert len(records) == 1
