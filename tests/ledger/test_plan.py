"""A run from its plan to its end, as far as no lane is worked: what is recorded is given back, whole and in order."""

import dataclasses
from pathlib import Path

import pytest

from batcher.errors import LedgerError, RunNotFoundError, StaleLeaseError
from batcher.ledger.open import open_ledger
from batcher.ledger_port import Ledger
from batcher.model import LaneKey, Outcome, PlanRow, RowState, RunId, RunState, Settlement
from tests.ledger.book import (
    COLUMNS,
    NORTH,
    SOUTH,
    T0,
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
    settled,
    states,
    token_of,
    write,
)

R1, R2 = RunId("r1"), RunId("r2")


async def test_a_run_is_given_back_as_it_was_recorded(ledger: Ledger) -> None:
    run = run_record("r1", parent="r0")
    await ledger.create_run(run)
    assert await ledger.run(R1) == run
    await ledger.add_rows(R1, [row(1), row(2), invalid(3)])
    await ledger.index_keys(R1)
    await ledger.open_run(R1, COLUMNS, {})
    counts = {(RowState.PLANNED, ""): 2, (RowState.SETTLED, "invalid"): 1}
    assert await ledger.run(R1) == dataclasses.replace(run, state=RunState.OPEN, columns=COLUMNS, counts=counts)


async def test_a_row_is_given_back_as_it_was_planned(ledger: Ledger) -> None:
    wished = row(1, "a", lane=SOUTH)
    assert wished.wish is not None
    await open_run(ledger, "r1", [wished._replace(line=17, carried='{"Owner":"net"}'), invalid(2)])
    first, second = await everything(ledger, R1)
    assert (first.row_no, first.line, first.lane, first.spec) == (1, 17, SOUTH, '["a"]')
    assert (first.carried, first.state, first.outcome) == ('{"Owner":"net"}', RowState.PLANNED, None)
    assert (first.token, first.generation, first.attempts) == (token_of("a"), 0, 0)
    assert (first.remote_id, first.http_status, first.first_sent_at, first.settled_at) == (None, None, None, None)
    assert (second.lane, second.spec, second.token) == (None, None, None)
    assert (second.outcome, second.error_code) == (Outcome.INVALID, "BATCHER.Invalid")
    assert second.error_message == "name `` must have 1 to 64 characters"


async def test_records_come_in_inventory_order_over_lanes_and_pages(ledger: Ledger) -> None:
    lanes = [LaneKey("default", f"region-{n}", "0" * 32) for n in range(5)]
    rows = [invalid(n) if n % 13 == 0 else row(n, lane=lanes[n * 7 % 5]) for n in range(1, 102)]
    await ledger.create_run(run_record("r1"))
    for start in range(0, 101, 20):
        await ledger.add_rows(R1, rows[start : start + 20])
    await open_run(ledger, "r2", [row(n) for n in range(1, 30)])
    seen, after = [], 0
    while page := await ledger.records(R1, after, 7):
        assert len(page) <= 7
        seen += page
        after = page[-1].row_no
    assert [record.row_no for record in seen] == list(range(1, 102))
    assert [record.lane for record in seen] == [line.wish.lane if line.wish else None for line in rows]
    await assert_counters_hold(ledger, R1)


async def test_lanes_are_those_with_open_rows(ledger: Ledger) -> None:
    run_id = await open_run(ledger, "r1", [row(1), row(2, lane=SOUTH), row(3), row(4, lane=SOUTH), invalid(5)])
    assert await ledger.lanes(run_id) == [(1, NORTH, 2), (2, SOUTH, 2)]
    lease = await lease_of(ledger, run_id, 1)
    await claimed(ledger, lease)
    await write(ledger, lease, settled(1), accepted(3))
    assert await ledger.lanes(run_id) == [(1, NORTH, 1), (2, SOUTH, 2)]
    await write(ledger, lease, settled(3, expect=RowState.ACCEPTED))
    assert await ledger.lanes(run_id) == [(2, SOUTH, 2)]


async def test_runs_are_listed_newest_first(ledger: Ledger) -> None:
    for name in ("r1", "r2", "r3"):
        await open_run(ledger, name, [row(1)])
    assert [run.run_id for run in await ledger.runs()] == ["r3", "r2", "r1"]


async def test_a_run_id_is_taken_once(ledger: Ledger) -> None:
    await open_run(ledger, "r1", [row(1)])
    with pytest.raises(LedgerError):
        await ledger.create_run(run_record("r1"))
    assert await states(ledger, R1) == "1 planned"


async def test_a_page_of_rows_is_recorded_whole_or_not_at_all(ledger: Ledger) -> None:
    await ledger.create_run(run_record("r1"))
    await ledger.add_rows(R1, [row(1), row(2)])
    with pytest.raises(LedgerError):
        await ledger.add_rows(R1, [row(3), row(2)])
    assert await states(ledger, R1) == "1 planned, 2 planned"
    await assert_counters_hold(ledger, R1)


async def test_lanes_of_a_page_that_was_refused_are_made_with_the_next(ledger: Ledger) -> None:
    await ledger.create_run(run_record("r1"))
    await ledger.add_rows(R1, [row(1)])
    with pytest.raises(LedgerError):
        await ledger.add_rows(R1, [row(1, lane=SOUTH)])
    await ledger.add_rows(R1, [row(2, lane=SOUTH)])
    assert [(key, rows) for _, key, rows in await ledger.lanes(R1)] == [(NORTH, 1), (SOUTH, 1)]


# --- twins ----------------------------------------------------------------------------------------------


async def test_twins_are_the_later_rows_with_an_earlier_rows_key(ledger: Ledger) -> None:
    rows = [row(1, "a"), row(2, "b"), row(3, "a"), row(4, "a", lane=SOUTH), row(5, "a", spec="other"), invalid(6)]
    await ledger.create_run(run_record("r1"))
    await ledger.add_rows(R1, rows)
    await ledger.index_keys(R1)
    twins = await ledger.twins(R1, 0, 10)
    assert [(t.row_no, t.lane_no, t.spec, t.first_line, t.first_spec) for t in twins] == [
        (3, 1, '["a"]', 2, '["a"]'),
        (5, 1, "other", 2, '["a"]'),
    ]


async def test_twins_come_in_pages_and_not_from_other_runs(ledger: Ledger) -> None:
    await open_run(ledger, "r0", [row(n, "a") for n in range(1, 9)])
    await ledger.create_run(run_record("r1"))
    await ledger.add_rows(R1, [row(n, f"key-{n % 3}") for n in range(1, 20)])
    await ledger.index_keys(R1)
    first = await ledger.twins(R1, 0, 10)
    rest = await ledger.twins(R1, first[-1].row_no, 10)
    assert [twin.row_no for twin in first + rest] == list(range(4, 20))
    assert await ledger.twins(R1, 19, 10) == []


async def test_a_plan_without_twins_has_none(ledger: Ledger) -> None:
    await open_run(ledger, "r1", [row(1), row(2), row(1_000_000)])
    assert await ledger.twins(R1, 0, 10) == []


async def test_what_is_settled_in_the_plan_is_never_claimed(ledger: Ledger) -> None:
    await ledger.create_run(run_record("r1"))
    await ledger.add_rows(R1, [row(1, "a"), row(2, "a"), row(3, "b", lane=SOUTH), row(4, "b", lane=SOUTH)])
    await ledger.index_keys(R1)
    twins = await ledger.twins(R1, 0, 10)
    await ledger.settle_plan(
        R1, [(t.lane_no, settled(t.row_no, Outcome.DUPLICATE, expect=RowState.PLANNED)) for t in twins]
    )
    await ledger.open_run(R1, COLUMNS, {})
    assert await states(ledger, R1) == "1 planned, 2 settled/duplicate, 3 planned, 4 settled/duplicate"
    for lane_no, row_no in ((1, 1), (2, 3)):
        lease = await lease_of(ledger, R1, lane_no)
        assert [work.row_no for work in await claimed(ledger, lease)] == [row_no]
    await assert_counters_hold(ledger, R1)


async def test_a_plan_is_settled_whole_or_not_at_all(ledger: Ledger) -> None:
    await ledger.create_run(run_record("r1"))
    await ledger.add_rows(R1, [row(1), row(2)])
    good = settled(1, Outcome.DUPLICATE, expect=RowState.PLANNED)
    with pytest.raises(StaleLeaseError):
        await ledger.settle_plan(R1, [(1, good), (1, settled(2, expect=RowState.CLAIMED))])
    assert await states(ledger, R1) == "1 planned, 2 planned"
    await assert_counters_hold(ledger, R1)


# --- opening, dropping, copying, comparing --------------------------------------------------------------


async def test_only_a_run_that_is_planned_can_be_opened_and_only_once(ledger: Ledger) -> None:
    await open_run(ledger, "r1", [row(1)])
    with pytest.raises(LedgerError, match="`r1`"):
        await ledger.open_run(R1, COLUMNS, {})
    with pytest.raises(RunNotFoundError):
        await ledger.open_run(R2, COLUMNS, {})


async def test_dropping_forgets_a_plan_and_nothing_else(ledger: Ledger) -> None:
    await open_run(ledger, "r1", [row(1), row(2, lane=SOUTH)])
    await ledger.create_run(run_record("r2"))
    await ledger.add_rows(R2, [row(1), row(2, "row-1"), invalid(3)])
    await ledger.index_keys(R2)
    await ledger.drop_run(R2)
    await ledger.drop_run(R2)
    assert [run.run_id for run in await ledger.runs()] == ["r1"]
    assert await states(ledger, R1) == "1 planned, 2 planned"
    with pytest.raises(RunNotFoundError):
        await ledger.records(R2, 0, 10)


@pytest.mark.parametrize("in_between", ["the same process", "the next process"])
async def test_the_next_run_takes_the_place_of_a_dropped_one(place: Path, in_between: str) -> None:
    async with open_ledger(str(place)) as ledger:
        await ledger.create_run(run_record("r2"))
        await ledger.add_rows(R2, [row(1), row(2), row(3, lane=SOUTH)])
        await ledger.index_keys(R2)
        await ledger.drop_run(R2)
        if in_between == "the same process":
            await open_run(ledger, "r3", [row(1, lane=SOUTH), row(2, "row-1", lane=SOUTH)])
    async with open_ledger(str(place)) as ledger:
        if in_between == "the next process":
            await open_run(ledger, "r3", [row(1, lane=SOUTH), row(2, "row-1", lane=SOUTH)])
        assert await ledger.lanes(RunId("r3")) == [(1, SOUTH, 2)]
        assert [twin.row_no for twin in await ledger.twins(RunId("r3"), 0, 9)] == [2]
        await assert_counters_hold(ledger, RunId("r3"))


async def test_a_dropped_run_can_be_planned_again_under_its_id(ledger: Ledger) -> None:
    await ledger.create_run(run_record("r1"))
    await ledger.add_rows(R1, [row(1), row(2, lane=SOUTH)])
    await ledger.drop_run(R1)
    await open_run(ledger, "r1", [row(1), row(2, lane=SOUTH)])
    assert await ledger.lanes(R1) == [(1, NORTH, 1), (2, SOUTH, 1)]


@pytest.mark.parametrize("state", [RunState.OPEN, RunState.FINISHED])
async def test_a_run_that_was_opened_is_never_dropped(ledger: Ledger, state: RunState) -> None:
    rows = [row(1)] if state is RunState.OPEN else [invalid(1)]
    await open_run(ledger, "r1", rows)
    await end(ledger, R1)
    await ledger.drop_run(R1)
    assert (await ledger.run(R1)).state is state
    assert len(await everything(ledger, R1)) == 1


async def test_a_retry_plans_the_rows_again_that_failed_or_are_in_doubt(ledger: Ledger) -> None:
    rows = [row(n, lane=SOUTH if n % 2 else NORTH) for n in range(1, 9)]
    rows[2] = rows[2]._replace(carried='{"Owner":"net"}', line=40)
    await open_run(ledger, "r1", [*rows, invalid(9)])
    outcomes = [
        Outcome.CREATED,
        Outcome.FAILED,
        Outcome.IN_DOUBT,
        Outcome.EXISTS,
        Outcome.SKIPPED,
        Outcome.DRIFTED,
        Outcome.FAILED,
    ]
    for lane_no, _, _ in await ledger.lanes(R1):
        lease = await lease_of(ledger, R1, lane_no)
        for work in await claimed(ledger, lease):
            if work.row_no == 7:
                await regenerate(ledger, lease, 7, 3, now=T0 + 2)
            if work.row_no <= 7:
                await write(ledger, lease, settled(work.row_no, outcomes[work.row_no - 1]))
    await ledger.create_run(run_record("r2", parent="r1"))
    assert await ledger.copy_rows(R2, R1) == 3
    await ledger.index_keys(R2)
    await ledger.open_run(R2, COLUMNS, {})
    copied = await everything(ledger, R2)
    assert [(c.row_no, c.line, c.lane, c.spec, c.carried, c.state, c.token, c.generation) for c in copied] == [
        (2, 3, NORTH, '["row-2"]', "{}", RowState.PLANNED, token_of("row-2"), 0),
        (3, 40, SOUTH, '["row-3"]', '{"Owner":"net"}', RowState.PLANNED, token_of("row-3"), 0),
        (7, 8, SOUTH, '["row-7"]', "{}", RowState.PLANNED, token_of("row-7", 3), 3),
    ]
    await assert_counters_hold(ledger, R2)
    assert {key for _, key, _ in await ledger.lanes(R2)} == {NORTH, SOUTH}


async def test_copying_thousands_of_rows_copies_them_all(ledger: Ledger) -> None:
    await open_run(ledger, "r1", [row(n) for n in range(1, 4502)])
    lease = await lease_of(ledger, R1)
    await claimed(ledger, lease, limit=5000)
    await write(ledger, lease, *(settled(n, Outcome.FAILED if n % 2 else Outcome.CREATED) for n in range(1, 4502)))
    await ledger.create_run(run_record("r2", parent="r1"))
    assert await ledger.copy_rows(R2, R1) == 2251
    assert [c.spec for c in await everything(ledger, R2)] == [f'["row-{n}"]' for n in range(1, 4502, 2)]


async def test_what_a_run_spent_is_known_to_the_next_though_the_clock_was_set_back(ledger: Ledger) -> None:
    first = await open_run(ledger, "r1", [row(1)])
    for clock, spent in [(T0 + 3600, False), (T0, True)]:
        lease = await lease_of(ledger, first, now=clock)
        await claimed(ledger, lease, now=clock)
        await write(ledger, lease, Settlement(1, RowState.CLAIMED, RowState.PLANNED, intent_at=clock, spent=spent))
        await ledger.end_sitting(first, ended_at=clock, stop_code="", stop_message="", exit_code=5, rates={})
    second = await open_run(ledger, "r2", [row(1)])
    (again,) = await claimed(ledger, await lease_of(ledger, second, now=T0), now=T0)
    assert again.due_generation == 1


async def test_changes_say_what_is_new_changed_and_gone(ledger: Ledger) -> None:
    await open_run(ledger, "r1", [row(1, "a"), row(2, "b"), row(3, "c"), row(4, "a"), invalid(5)])
    await open_run(ledger, "r2", [row(1, "d"), row(2, "b", spec="other"), row(3, "a"), row(4, "d"), row(5, "e")])
    assert await ledger.changes(R1, R2) == (2, 1, 1)
    assert await ledger.changes(R2, R1) == (1, 1, 2)
    assert await ledger.changes(R1, R1) == (0, 0, 0)


async def test_keys_come_in_their_order_in_pages(ledger: Ledger) -> None:
    await open_run(ledger, "r1", [row(1, "a"), row(2, "b"), row(3, "c"), row(4, "a"), invalid(5)])
    await open_run(ledger, "r2", [row(1, "c"), row(2, "d")])
    keys = await ledger.keys(R1, b"", 9)
    assert len(keys) == 3
    assert keys == sorted(keys)
    assert [await ledger.keys(R1, b"", 2), await ledger.keys(R1, keys[1], 2)] == [keys[:2], keys[2:]]
    assert await ledger.keys(R1, keys[2], 2) == []
    assert len(set(keys) & set(await ledger.keys(R2, b"", 9))) == 1


# --- the end of a sitting -------------------------------------------------------------------------------


async def test_a_sitting_ends_open_while_a_row_is_left_and_finished_when_none_is(ledger: Ledger) -> None:
    await open_run(ledger, "r1", [row(1), row(2)])
    lease = await lease_of(ledger, R1)
    await claimed(ledger, lease)
    await write(ledger, lease, settled(1), put_back(2))
    await ledger.end_sitting(
        R1, ended_at=T0 + 9, stop_code="BATCHER.Interrupted", stop_message="", exit_code=130, rates={"asked": "10/s"}
    )
    run = await ledger.run(R1)
    assert (run.state, run.ended_at, run.stop_code, run.exit_code) == (
        RunState.OPEN,
        T0 + 9,
        "BATCHER.Interrupted",
        130,
    )
    assert run.rates == {"asked": "10/s"}
    await ledger.reopen(R1)
    await claimed(ledger, lease)
    await write(ledger, lease, settled(2))
    await end(ledger, R1, ended_at=T0 + 20)
    run = await ledger.run(R1)
    assert (run.state, run.ended_at, run.stop_code, run.exit_code) == (RunState.FINISHED, T0 + 20, "", 0)


@pytest.mark.parametrize("left", [put_back(1), accepted(1), None], ids=["planned", "accepted", "claimed"])
async def test_a_row_in_any_open_state_keeps_its_run_open(ledger: Ledger, left: Settlement | None) -> None:
    await open_run(ledger, "r1", [row(1)])
    lease = await lease_of(ledger, R1)
    await claimed(ledger, lease)
    if left is not None:
        await write(ledger, lease, left)
    await end(ledger, R1)
    assert (await ledger.run(R1)).state is RunState.OPEN


async def test_reopening_makes_skipped_rows_planned_again_and_no_others(ledger: Ledger) -> None:
    await open_run(ledger, "r1", [row(1), row(2), row(3), invalid(4)])
    lease = await lease_of(ledger, R1)
    await claimed(ledger, lease, limit=2)
    await write(ledger, lease, settled(1), settled(2, Outcome.FAILED, error_code="ER.1"))
    assert await ledger.skip_planned(lease, "BATCHER.QuotaExhausted", "not attempted", T0 + 5) == 1
    await end(ledger, R1)
    assert (await ledger.run(R1)).state is RunState.FINISHED
    skipped = (await everything(ledger, R1))[2]
    assert (skipped.error_code, skipped.error_message) == ("BATCHER.QuotaExhausted", "not attempted")
    assert skipped.settled_at == T0 + 5
    for _ in range(2):
        await ledger.reopen(R1)
        assert await states(ledger, R1) == "1 settled/created, 2 settled/failed, 3 planned, 4 settled/invalid"
        run = await ledger.run(R1)
        assert (run.state, run.ended_at, run.stop_code, run.exit_code) == (RunState.OPEN, None, "", None)
        await assert_counters_hold(ledger, R1)
    again = (await everything(ledger, R1))[2]
    assert (again.outcome, again.error_code, again.error_message, again.settled_at) == (None, "", "", None)


async def test_a_run_that_is_being_planned_is_not_reopened(ledger: Ledger) -> None:
    await ledger.create_run(run_record("r1"))
    await ledger.reopen(R1)
    assert (await ledger.run(R1)).state is RunState.PLANNING


async def test_the_longest_values_and_any_text_come_back_as_they_were(ledger: Ledger) -> None:
    strange = "a\x00b\n\"'\u6d41\U0001f600" * 100
    plan = row(1)
    assert plan.wish is not None
    wish = plan.wish._replace(spec=strange)
    await open_run(ledger, "r1", [PlanRow(2**32 - 1, 2**40, wish, strange)])
    (record,) = await everything(ledger, R1)
    assert (record.row_no, record.line, record.spec, record.carried) == (2**32 - 1, 2**40, strange, strange)
    lease = await lease_of(ledger, R1)
    (work,) = await claimed(ledger, lease)
    assert (work.key, work.spec) == (key_of("row-1"), strange)


async def test_changes_are_kept_with_their_run_in_the_order_in_which_they_came(ledger: Ledger) -> None:
    one, other = await open_run(ledger, "one", [row(1)]), await open_run(ledger, "other", [row(1)])
    await ledger.note_change(one, T0 + 5, "rate", "5/s")
    await ledger.note_change(other, T0 + 4, "pause", "")
    await ledger.note_change(one, T0 + 3, "drain", "")  # a clock that was set back
    assert (await ledger.run(one)).changes == ((T0 + 5, "rate", "5/s"), (T0 + 3, "drain", ""))
    assert [run.changes for run in await ledger.runs()] == [
        ((T0 + 4, "pause", ""),),
        (await ledger.run(one)).changes,
    ]
    await end(ledger, one)
    await ledger.reopen(one)
    assert len((await ledger.run(one)).changes) == 2
    with pytest.raises(RunNotFoundError):
        await ledger.note_change(RunId("none"), T0, "pause", "")
