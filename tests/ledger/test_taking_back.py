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
    COLUMNS,
    NORTH,
    SOUTH,
    T0,
    TTL_S,
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
    row,
    run_record,
    settled,
    states,
    token_of,
    write,
)

R1, R2, UNDO = RunId("r1"), RunId("r2"), RunId("undo")


async def taken_back(ledger: Ledger, parent: RunId = R1, name: str = "undo") -> int:
    """A run that takes back another one, planned and open; how many rows it has."""
    run = dataclasses.replace(run_record(name, parent=parent), operation="undo")
    await ledger.create_run(run)
    copied = await ledger.copy_made(run.run_id, parent)
    await ledger.index_keys(run.run_id)
    await ledger.open_run(run.run_id, COLUMNS, {})
    return copied


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
    "created": ({"outcome": Outcome.CREATED, "remote_id": "fl", "http_status": 202}, True),
    "created, found in a listing": ({"outcome": Outcome.CREATED, "remote_id": "fl"}, True),
    "in doubt": ({"outcome": Outcome.IN_DOUBT}, True),
    "made, and seen to fail": ({"outcome": Outcome.FAILED, "remote_id": "fl", "http_status": 202}, True),
    "made, and not switched off": ({"outcome": Outcome.FAILED, "remote_id": "fl", "http_status": 403}, True),
    "made, and changed before it was seen": ({"outcome": Outcome.DRIFTED, "remote_id": "fl", "http_status": 202}, True),
    "perhaps made, and found failed": ({"outcome": Outcome.FAILED, "remote_id": "fl"}, True),
    "there before, in state failed": ({"outcome": Outcome.FAILED, "remote_id": "fl", "spent": True}, False),
    "refused": ({"outcome": Outcome.FAILED, "http_status": 400}, False),
    "there": ({"outcome": Outcome.EXISTS, "remote_id": "fl"}, False),
    "there otherwise": ({"outcome": Outcome.DRIFTED, "remote_id": "fl"}, False),
    "put right": ({"outcome": Outcome.UPDATED, "remote_id": "fl", "http_status": 200}, False),
    "skipped": ({"outcome": Outcome.SKIPPED}, False),
}


@pytest.mark.parametrize("case", CASES)
async def test_what_a_run_made_or_may_have_made_is_taken_back_and_nothing_else(ledger: Ledger, case: str) -> None:
    known, is_copied = CASES[case]
    await worked(ledger, {1: settled(1, **known)}, [row(1)])
    assert await taken_back(ledger) == is_copied
    found = await rows_of(ledger, await lease_of(ledger, UNDO))
    assert [(each.row_no, each.remote_id, each.intent_at) for each in found.values()] == (
        [(1, known.get("remote_id"), T0 + 2)] if is_copied else []
    )


async def test_what_had_failed_before_the_run_could_send_is_not_taken_back(ledger: Ledger) -> None:
    lease = await lease_of(ledger, await open_run(ledger, "r1", [row(1)]))
    await write(ledger, lease, settled(1, Outcome.FAILED, expect=RowState.PLANNED, remote_id="fl"))
    assert await taken_back(ledger) == 0


async def test_what_is_under_way_is_taken_back_and_what_was_never_sent_is_not(ledger: Ledger) -> None:
    rows = [row(1), row(2), invalid(3), row(4)]
    lease = await lease_of(ledger, await open_run(ledger, "r1", rows))
    await claimed(ledger, lease, limit=2)
    await write(ledger, lease, accepted(2, "fl-2"))
    assert await states(ledger, R1) == "1 claimed, 2 accepted, 3 settled/invalid, 4 planned"
    assert await taken_back(ledger) == 2
    assert await states(ledger, UNDO) == "1 planned, 2 planned"
    await assert_counters_hold(ledger, UNDO)
    one, two = (await rows_of(ledger, await lease_of(ledger, UNDO))).values()
    assert (one.remote_id, one.key, one.line) == (None, key_of("row-1"), 2)
    assert (two.remote_id, two.key, two.line) == ("fl-2", key_of("row-2"), 3)


async def test_a_row_that_is_taken_back_keeps_its_line_its_token_and_the_users_columns(ledger: Ledger) -> None:
    plan = [row(n) for n in range(1, 5)]
    plan[3] = plan[3]._replace(carried='{"Owner":"me"}')
    lease = await worked(ledger, {}, plan)
    await ledger.regenerate(lease, 4, generation=2, token=token_of("row-4", 2), now=T0 + 2)
    await write(ledger, lease, *(settled(n, Outcome.EXISTS) for n in (1, 2, 3)), settled(4, remote_id="fl-4"))
    await taken_back(ledger)
    (record,) = await everything(ledger, UNDO)
    assert (record.row_no, record.line, record.spec, record.carried) == (1, 5, '["row-4"]', '{"Owner":"me"}')
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
    await taken_back(ledger)
    assert await ledger.lanes(UNDO) == [(1, NORTH, 1), (2, SOUTH, 1)]
    assert await ledger.match(await lease_of(ledger, UNDO, 2), [key_of("row-1"), key_of("row-2", SOUTH)]) == (
        await ledger.rows(await lease_of(ledger, UNDO, 2), [2])
    )


async def test_more_rows_than_a_page_are_taken_back(ledger: Ledger) -> None:
    lease = await lease_of(ledger, await open_run(ledger, "r1", [row(n) for n in range(1, 4502)]))
    await claimed(ledger, lease, limit=5000)
    assert await taken_back(ledger) == 4501
    await assert_counters_hold(ledger, UNDO)


async def test_since_when_a_thing_may_be_there_is_the_first_send_of_any_generation(ledger: Ledger) -> None:
    lease = await worked(ledger, {}, [row(1)])
    await write(ledger, lease, put_back(1, intent_at=T0 + 2, first_sent_at=T0 + 3, attempts=1))
    await claimed(ledger, lease, now=T0 + 50)
    await ledger.regenerate(lease, 1, generation=1, token=token_of("row-1", 1), now=T0 + 60)
    await write(ledger, lease, settled(1, remote_id="fl-1"))
    await taken_back(ledger)
    (found,) = (await rows_of(ledger, await lease_of(ledger, UNDO))).values()
    assert found.intent_at == T0 + 3


@pytest.mark.parametrize(("status", "known_id"), [(202, "fl-1"), (None, None)])
async def test_an_id_from_a_listing_is_none_once_another_run_has_sent_the_same(
    ledger: Ledger, status: int | None, known_id: str | None
) -> None:
    """It may be what the other one made; an id that the answer to a create has named cannot be."""
    lease = await worked(ledger, {1: settled(1, remote_id="fl-1", http_status=status)}, [row(1)])
    await end(ledger, lease.run_id)
    other = await lease_of(ledger, await open_run(ledger, "r2", [row(1)]), now=T0 + 20)
    await claimed(ledger, other, now=T0 + 20)
    await taken_back(ledger)
    (found,) = (await rows_of(ledger, await lease_of(ledger, UNDO))).values()
    assert found.remote_id == known_id


# --- when it can have been made -------------------------------------------------------------------------


async def test_what_bounds_the_making_of_a_doubtful_row(ledger: Ledger) -> None:
    rows = [row(n) for n in range(1, 5)]
    lease = await worked(ledger, {n: settled(n, Outcome.IN_DOUBT, settled_at=T0 + n) for n in (1, 2, 4)}, rows)
    await end(ledger, lease.run_id)
    other = await lease_of(ledger, await open_run(ledger, "r2", [row(2), row(1, "row-4")]), now=T0 + 20)
    await claimed(ledger, other, limit=1, now=T0 + 21)
    await taken_back(ledger)
    keys = [key_of(f"row-{n}") for n in range(1, 6)]
    assert await ledger.doubts(await lease_of(ledger, UNDO), keys) == {
        key_of("row-1"): (T0 + 1, None),
        key_of("row-2"): (T0 + 2, None),
        key_of("row-3"): (None, None),
        key_of("row-4"): (T0 + 4, T0 + 21),
    }


async def test_what_an_older_run_had_sent_before_bounds_nothing_and_an_undo_sends_nothing(ledger: Ledger) -> None:
    older = await lease_of(ledger, await open_run(ledger, "r2", [row(1)]))
    await claimed(ledger, older, now=T0 + 1)
    lease = await worked(ledger, {1: settled(1, Outcome.IN_DOUBT, settled_at=T0 + 3)}, [row(1)])
    await end(ledger, lease.run_id)
    await taken_back(ledger, name="first")
    first = await lease_of(ledger, RunId("first"))
    await ledger.claim_these(first, [1], T0 + 90)
    await taken_back(ledger)
    assert await ledger.doubts(await lease_of(ledger, UNDO), [key_of("row-1")]) == {key_of("row-1"): (T0 + 3, None)}


async def test_nothing_is_asked_of_no_keys(ledger: Ledger) -> None:
    await worked(ledger, {}, [row(1)])
    await taken_back(ledger)
    assert await ledger.doubts(await lease_of(ledger, UNDO), []) == {}


async def test_a_dead_run_was_held_until_its_last_lease_ended(ledger: Ledger) -> None:
    await open_run(ledger, "r1", [row(1), row(2, lane=SOUTH)])
    assert await ledger.held_until(R1) is None
    north = await lease_of(ledger, R1, 1)
    south = await lease_of(ledger, R1, 2, now=T0 + 9)
    assert await ledger.held_until(R1) == T0 + 9 + TTL_S
    await ledger.release_lane(south, T0 + 9)
    assert await ledger.held_until(R1) == T0 + 1 + TTL_S
    await ledger.release_lane(north, T0 + 9)
    assert await ledger.held_until(R1) is None


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


@pytest.mark.parametrize("name", ["select_rows", "select_doubts", "select_made", "match_keys", "claim_these"])
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
    await taken_back(ledger)
    lease = await lease_of(ledger, UNDO)
    await ledger.claim_these(lease, [2, 4], T0 + 50)
    assert await states(ledger, UNDO) == "1 planned, 2 claimed, 3 planned, 4 claimed"
    assert {each.intent_at for each in await ledger.rows(lease, [1, 2, 3, 4])} == {T0 + 2}
    await assert_counters_hold(ledger, UNDO)


async def test_a_claim_of_what_is_not_planned_is_refused_whole(ledger: Ledger) -> None:
    await worked(ledger, {}, [row(n) for n in range(1, 4)])
    await taken_back(ledger)
    lease = await lease_of(ledger, UNDO)
    await ledger.claim_these(lease, [2], T0 + 50)
    with pytest.raises(LedgerError, match="1 rows of lane 1 were not planned"):
        await ledger.claim_these(lease, [1, 2, 3], T0 + 51)
    assert await states(ledger, UNDO) == "1 planned, 2 claimed, 3 planned"
    await assert_counters_hold(ledger, UNDO)


async def test_who_lost_the_lane_claims_nothing(ledger: Ledger) -> None:
    await worked(ledger, {}, [row(1)])
    await taken_back(ledger)
    stale = await lease_of(ledger, UNDO)
    await lease_of(ledger, UNDO, owner="other")
    with pytest.raises(StaleLeaseError):
        await ledger.claim_these(stale, [1], T0 + 50)
    assert await states(ledger, UNDO) == "1 planned"


# --- afterwards -----------------------------------------------------------------------------------------


async def test_a_skipped_row_still_knows_since_when_its_thing_may_be_there(ledger: Ledger) -> None:
    """Of any other run a skipped row was never sent, so its claim is forgotten."""
    lease = await worked(ledger, {1: settled(1, Outcome.IN_DOUBT), 2: settled(2, Outcome.SKIPPED)}, [row(1), row(2)])
    await taken_back(ledger)
    undo = await lease_of(ledger, UNDO)
    await write(ledger, undo, settled(1, Outcome.SKIPPED, expect=RowState.PLANNED))
    for run_id in (UNDO, R1):
        await end(ledger, run_id)
        await ledger.reopen(run_id)
    assert [each.intent_at for each in await ledger.rows(undo, [1])] == [T0 + 2]
    assert [each.intent_at for each in await ledger.rows(lease, [2])] == [None]


@pytest.mark.parametrize("outcome", [Outcome.DELETED, Outcome.ABSENT])
async def test_what_is_gone_is_made_again_under_the_next_token_without_a_search(
    ledger: Ledger, outcome: Outcome
) -> None:
    await worked(ledger, {1: settled(1, remote_id="fl-1", http_status=202)}, [row(1)])
    await end(ledger, R1)
    await taken_back(ledger)
    undo = await lease_of(ledger, UNDO)
    gone = settled(1, outcome, expect=RowState.PLANNED, remote_id="fl-1", spent=True, settled_at=T0 + 20)
    await write(ledger, undo, gone)
    await end(ledger, UNDO)
    (work,) = await claimed(ledger, await lease_of(ledger, await open_run(ledger, "r2", [row(1)])))
    assert (work.generation, work.due_generation) == (0, 1)
    assert (work.used_at, work.intent_at, work.believed_id) == (None, None, None)


async def test_what_was_kept_is_still_believed_to_be_there(ledger: Ledger) -> None:
    await worked(ledger, {1: settled(1, remote_id="fl-1", http_status=202)}, [row(1)])
    await end(ledger, R1)
    await taken_back(ledger)
    undo = await lease_of(ledger, UNDO)
    kept = settled(1, Outcome.DRIFTED, expect=RowState.PLANNED, remote_id="fl-1", settled_at=T0 + 20)
    await write(ledger, undo, kept)
    await end(ledger, UNDO)
    (work,) = await claimed(ledger, await lease_of(ledger, await open_run(ledger, "r2", [row(1)])))
    assert (work.due_generation, work.believed_id) == (0, "fl-1")


async def test_a_plan_that_was_dropped_leaves_nothing(ledger: Ledger) -> None:
    await worked(ledger, {}, [row(1)])
    await ledger.create_run(dataclasses.replace(run_record("undo", parent="r1"), operation="undo"))
    await ledger.copy_made(UNDO, R1)
    await ledger.drop_run(UNDO)
    assert [run.run_id for run in await ledger.runs()] == [R1]
    assert await taken_back(ledger) == 1
    records: list[RowRecord] = await everything(ledger, UNDO)
    assert len(records) == 1
