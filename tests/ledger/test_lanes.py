"""Lanes at work: the lease, the claim, and what becomes of a row until it is settled."""

import dataclasses
from pathlib import Path

import pytest

from batcher.errors import LedgerError, RunNotFoundError, StaleLeaseError
from batcher.ledger.open import open_ledger
from batcher.ledger_port import Ledger
from batcher.model import Lease, Outcome, RowState, RunId
from batcher.records import ScopeLoad
from tests.ledger.book import (
    NORTH,
    SOUTH,
    T0,
    TTL_S,
    accepted,
    assert_counters_hold,
    claimed,
    end,
    everything,
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
    token_of,
    write,
)

R1, R2 = RunId("r1"), RunId("r2")


async def five(ledger: Ledger, name: str = "r1") -> Lease:
    return await lease_of(ledger, await open_run(ledger, name, [row(n) for n in range(1, 6)]))


# --- the lease ------------------------------------------------------------------------------------------


async def test_a_lease_names_its_lane_and_each_owner_gets_a_later_epoch(ledger: Ledger) -> None:
    await open_run(ledger, "r1", [row(1), row(2, lane=SOUTH)])
    first = await lease_of(ledger, R1, 2, owner="one")
    assert first == Lease(R1, 2, SOUTH, "one", 1, T0 + 1 + TTL_S)
    assert (await lease_of(ledger, R1, 2, owner="two")).epoch == 2
    assert (await lease_of(ledger, R1, 1, owner="two")).epoch == 1


async def test_renewing_holds_the_lane_longer(ledger: Ledger) -> None:
    lease = await five(ledger)
    renewed = await ledger.renew_lane(lease, T0 + 40, TTL_S)
    assert renewed == dataclasses.replace(lease, until=T0 + 40 + TTL_S)
    assert len(await claimed(ledger, lease)) == 5


async def test_a_lane_that_was_given_back_can_be_taken_again(ledger: Ledger) -> None:
    lease = await five(ledger)
    await ledger.release_lane(lease)
    await ledger.release_lane(lease)
    assert (await lease_of(ledger, R1, owner="other")).epoch == 2
    with pytest.raises(StaleLeaseError):
        await ledger.renew_lane(lease, T0 + 5, TTL_S)


async def test_a_lease_that_was_given_back_is_over(ledger: Ledger) -> None:
    lease = await five(ledger)
    await ledger.release_lane(lease)
    with pytest.raises(StaleLeaseError):
        await claimed(ledger, lease)


async def test_giving_back_a_lane_that_was_taken_over_leaves_it_with_its_owner(ledger: Ledger) -> None:
    stale = await five(ledger)
    lease = await lease_of(ledger, R1, owner="other")
    await ledger.release_lane(stale)
    assert len(await claimed(ledger, lease)) == 5


async def test_who_lost_the_lane_can_write_nothing(ledger: Ledger) -> None:
    stale = await five(ledger)
    await claimed(ledger, stale, limit=2)
    await lease_of(ledger, R1, owner="other")
    for refused in (
        ledger.renew_lane(stale, T0 + 5, TTL_S),
        ledger.claim(stale, after=0, limit=9, now=T0 + 5),
        ledger.recover(stale, after=0, limit=9),
        ledger.regenerate_rows(stale, [(next_row(1, 1), T0 + 5)]),
        ledger.plan_vanished(stale, [1, 2]),
        ledger.claim_these(stale, dict.fromkeys([3]), T0 + 5),
        ledger.skip_planned(stale, "BATCHER.QuotaExhausted", "", T0 + 5),
        ledger.write(R1, [(stale, settled(1))], {("create", "202"): 1}),
        ledger.write(R1, [], {("create", "202"): 1}, (), [send(stale, 1)]),
    ):
        with pytest.raises(StaleLeaseError, match="epoch 1 is not the newest"):
            await refused
    assert await states(ledger, R1) == "1 claimed, 2 claimed, 3 planned, 4 planned, 5 planned"
    assert {r.generation for r in await everything(ledger, R1)} == {0}
    assert (await ledger.run(R1)).calls == {}
    await assert_counters_hold(ledger, R1)


@pytest.mark.parametrize("stale_first", [True, False])
async def test_a_batch_with_one_stale_lease_is_refused_whole(ledger: Ledger, stale_first: bool) -> None:
    stale = await five(ledger)
    await claimed(ledger, stale)
    lease = await lease_of(ledger, R1, owner="other")
    batch = [(stale, settled(1)), (lease, settled(2))]
    with pytest.raises(StaleLeaseError):
        await ledger.write(R1, batch if stale_first else batch[::-1], {("create", "202"): 2})
    assert await states(ledger, R1) == ", ".join(f"{n} claimed" for n in range(1, 6))
    assert (await ledger.run(R1)).calls == {}


async def test_a_batch_of_two_lanes_is_refused_whole_when_one_was_lost(ledger: Ledger) -> None:
    await open_run(ledger, "r1", [row(1), row(2, lane=SOUTH)])
    north, stale = await lease_of(ledger, R1, 1), await lease_of(ledger, R1, 2)
    await claimed(ledger, north)
    await claimed(ledger, stale)
    south = await lease_of(ledger, R1, 2, owner="other")
    with pytest.raises(StaleLeaseError):
        await ledger.write(R1, [(north, settled(1)), (stale, settled(2))], {})
    assert await states(ledger, R1) == "1 claimed, 2 claimed"
    await ledger.write(R1, [(north, settled(1)), (south, settled(2))], {})
    assert await states(ledger, R1) == "1 settled/created, 2 settled/created"


async def test_a_lane_that_is_not_there_is_no_lane(ledger: Ledger) -> None:
    await five(ledger)
    with pytest.raises(LedgerError, match="no lane 7"):
        await lease_of(ledger, R1, 7)
    with pytest.raises(RunNotFoundError):
        await lease_of(ledger, R2)


async def test_a_lane_of_a_dead_process_is_taken_over_before_its_lease_ends(place: Path) -> None:
    async with open_ledger(str(place)) as ledger:
        await five(ledger)
    async with open_ledger(str(place)) as ledger:
        assert (await lease_of(ledger, R1, owner="heir", now=T0 + 2)).epoch == 2


# --- the claim ------------------------------------------------------------------------------------------


async def test_a_claim_gives_the_next_rows_of_its_lane_in_order(ledger: Ledger) -> None:
    rows = [row(n, lane=SOUTH if n % 3 == 0 else NORTH, scope=f"er-{n % 2}") for n in range(1, 10)]
    await open_run(ledger, "r1", rows)
    lease = await lease_of(ledger, R1)
    assert [w.row_no for w in await claimed(ledger, lease, limit=3)] == [1, 2, 4]
    assert [w.row_no for w in await claimed(ledger, lease, after=4, limit=9)] == [5, 7, 8]
    assert await claimed(ledger, lease, after=8) == []
    assert await claimed(ledger, lease) == []
    await assert_counters_hold(ledger, R1)


async def test_a_claimed_row_has_what_its_sender_needs(ledger: Ledger) -> None:
    lease = await five(ledger)
    (work,) = await claimed(ledger, lease, after=2, limit=1)
    assert (work.row_no, work.line, work.scope, work.spec) == (3, 4, "er-1", '["row-3"]')
    assert (work.key, work.token, work.generation) == (key_of("row-3"), token_of("row-3"), 0)
    assert (work.due_generation, work.used_at, work.intent_at, work.believed_id) == (0, None, None, None)
    assert (work.attempts, work.first_sent_at) == (0, None)


async def test_what_a_dead_worker_had_claimed_is_recovered_with_the_time_of_its_claim(ledger: Ledger) -> None:
    dead = await five(ledger)
    await claimed(ledger, dead, limit=3, now=T0 + 2)
    await write(ledger, dead, settled(1), accepted(2))
    lease = await lease_of(ledger, R1, owner="heir")
    (work,) = await ledger.recover(lease, after=0, limit=9)
    assert (work.row_no, work.used_at, work.intent_at) == (3, T0 + 2, T0 + 2)
    assert await ledger.recover(lease, after=3, limit=9) == []
    assert [w.row_no for w in await claimed(ledger, lease)] == [4, 5]


async def test_rows_are_recovered_page_by_page(ledger: Ledger) -> None:
    await claimed(ledger, await five(ledger))
    lease = await lease_of(ledger, R1, owner="heir")
    assert [w.row_no for w in await ledger.recover(lease, after=0, limit=3)] == [1, 2, 3]
    assert [w.row_no for w in await ledger.recover(lease, after=3, limit=3)] == [4, 5]


# --- settling -------------------------------------------------------------------------------------------


async def test_what_is_known_of_a_row_is_recorded_whole(ledger: Ledger) -> None:
    lease = await five(ledger)
    await claimed(ledger, lease, limit=1)
    await ledger.write(
        R1,
        [
            (
                lease,
                settled(
                    1,
                    Outcome.FAILED,
                    attempts=3,
                    remote_id="fl-1",
                    remote_state="failed",
                    remote_enabled=False,
                    http_status=409,
                    error_code="ER.1",
                    error_message="no",
                    request_id="req-1",
                    first_sent_at=T0 + 2.5,
                    settled_at=T0 + 4.25,
                    duration_ms=1750,
                ),
            )
        ],
        {("create", "409"): 3, ("list", "200"): 1},
    )
    record = (await everything(ledger, R1))[0]
    assert (record.state, record.outcome, record.attempts) == (RowState.SETTLED, Outcome.FAILED, 3)
    assert (record.remote_id, record.remote_state, record.remote_enabled) == ("fl-1", "failed", False)
    assert (record.http_status, record.error_code, record.error_message) == (409, "ER.1", "no")
    assert (record.request_id, record.first_sent_at, record.settled_at) == ("req-1", T0 + 2.5, T0 + 4.25)
    assert record.duration_ms == 1750
    assert (await ledger.run(R1)).calls == {("create", "409"): 3, ("list", "200"): 1}


async def test_calls_add_up_and_need_no_rows(ledger: Ledger) -> None:
    await five(ledger)
    await ledger.write(R1, [], {("create", "202"): 2})
    await ledger.write(R1, [], {("create", "202"): 3, ("list", "200"): 1})
    assert (await ledger.run(R1)).calls == {("create", "202"): 5, ("list", "200"): 1}


async def test_the_first_send_of_a_row_is_remembered(ledger: Ledger) -> None:
    lease = await five(ledger)
    await claimed(ledger, lease, limit=1)
    await write(ledger, lease, put_back(1, first_sent_at=T0 + 2, attempts=1))
    (work,) = await claimed(ledger, lease, limit=1)
    assert (work.attempts, work.first_sent_at) == (1, T0 + 2)
    await write(ledger, lease, settled(1, attempts=2, first_sent_at=T0 + 50))
    assert (await everything(ledger, R1))[0].first_sent_at == T0 + 2


async def test_a_row_that_is_put_back_is_planned_and_was_never_sent(ledger: Ledger) -> None:
    lease = await five(ledger)
    await claimed(ledger, lease, limit=1)
    await write(ledger, lease, put_back(1))
    assert (await states(ledger, R1)).startswith("1 planned, 2 planned")
    (work,) = await claimed(ledger, lease, limit=1, now=T0 + 30)
    assert (work.row_no, work.used_at, work.intent_at) == (1, None, None)
    await assert_counters_hold(ledger, R1)


async def test_a_row_that_is_put_back_keeps_the_time_since_which_its_token_may_be_out(ledger: Ledger) -> None:
    lease = await five(ledger)
    await claimed(ledger, lease, limit=1)
    await write(ledger, lease, put_back(1, intent_at=T0 + 2))
    (work,) = await claimed(ledger, lease, limit=1, now=T0 + 30)
    assert (work.used_at, work.intent_at) == (T0 + 2, T0 + 2)
    (again,) = await ledger.recover(lease, after=0, limit=1)
    assert (again.used_at, again.intent_at) == (T0 + 2, T0 + 2)


async def test_a_row_that_is_put_back_with_a_spent_token_is_due_for_another(ledger: Ledger) -> None:
    lease = await five(ledger)
    await claimed(ledger, lease, limit=1)
    await write(ledger, lease, put_back(1, spent=True))
    (work,) = await claimed(ledger, lease, limit=1)
    assert (work.generation, work.due_generation) == (0, 1)
    await regenerate(ledger, lease, 1, 1, now=T0 + 7)
    (again,) = await ledger.recover(lease, after=0, limit=1)
    assert (again.generation, again.due_generation, again.token) == (1, 1, token_of("row-1", 1))
    assert (again.used_at, again.intent_at) == (T0 + 7, T0 + 7)


async def test_a_generation_only_grows_and_only_of_a_claimed_row(ledger: Ledger) -> None:
    lease = await five(ledger)
    await claimed(ledger, lease, limit=1)
    await regenerate(ledger, lease, 1, 2, now=T0 + 3)
    for row_no, generation in ((1, 2), (1, 1), (2, 1), (99, 1)):
        with pytest.raises(LedgerError, match=f"row {row_no} "):
            await ledger.regenerate_rows(lease, [(next_row(1, 3), T0 + 4), (next_row(row_no, generation), T0 + 4)])
    first, second = (await everything(ledger, R1))[:2]
    assert (first.generation, first.token) == (2, token_of("row-1", 2))
    assert (second.generation, second.token) == (0, token_of("row-2"))


async def test_a_settlement_that_expects_another_state_takes_its_whole_batch_with_it(ledger: Ledger) -> None:
    lease = await five(ledger)
    await claimed(ledger, lease, limit=3)
    for wrong in (
        settled(4),
        settled(1, expect=RowState.ACCEPTED),
        settled(99),
        dataclasses.replace(put_back(5), attempts=1),
    ):
        with pytest.raises(StaleLeaseError):
            await ledger.write(R1, [(lease, settled(2)), (lease, wrong), (lease, accepted(3))], {("create", "202"): 3})
        assert await states(ledger, R1) == "1 claimed, 2 claimed, 3 claimed, 4 planned, 5 planned"
    assert (await ledger.run(R1)).calls == {}
    await assert_counters_hold(ledger, R1)


async def test_a_row_is_settled_once(ledger: Ledger) -> None:
    lease = await five(ledger)
    await claimed(ledger, lease)
    with pytest.raises(StaleLeaseError):
        await write(ledger, lease, settled(1), settled(1, Outcome.FAILED))
    await write(ledger, lease, settled(1))
    with pytest.raises(StaleLeaseError):
        await write(ledger, lease, settled(1, Outcome.FAILED))
    assert (await everything(ledger, R1))[0].outcome is Outcome.CREATED
    await assert_counters_hold(ledger, R1)


async def test_a_row_can_go_several_moves_in_one_write(ledger: Ledger) -> None:
    lease = await five(ledger)
    await claimed(ledger, lease, limit=1)
    await write(ledger, lease, accepted(1), settled(1, expect=RowState.ACCEPTED, remote_id="fl-1"))
    assert (await everything(ledger, R1))[0].outcome is Outcome.CREATED
    await assert_counters_hold(ledger, R1)


# --- scopes, listings, skipping -------------------------------------------------------------------------


async def test_scopes_are_those_of_the_lane_with_open_rows(ledger: Ledger) -> None:
    rows = [row(n, scope=f"er-{n % 4}", lane=SOUTH if n > 12 else NORTH) for n in range(1, 17)]
    await open_run(ledger, "r1", rows)
    lease = await lease_of(ledger, R1)
    await claimed(ledger, lease, limit=6)
    await write(ledger, lease, accepted(1), accepted(2), settled(3), settled(4))
    assert await ledger.scopes(lease) == [
        ScopeLoad("er-0", 2, 0, 0),
        ScopeLoad("er-1", 1, 1, 1),
        ScopeLoad("er-2", 1, 1, 1),
        ScopeLoad("er-3", 2, 0, 0),
    ]


async def test_rows_are_found_by_their_keys_settled_ones_too(ledger: Ledger) -> None:
    await open_run(ledger, "r0", [row(1)])
    await open_run(ledger, "r1", [*(row(n) for n in range(1, 5)), row(5, "row-1", lane=SOUTH)])
    lease = await lease_of(ledger, R1)
    await claimed(ledger, lease, limit=3)
    await write(ledger, lease, settled(1, remote_id="fl-0"), accepted(2, http_status=202, request_id="req-2"))
    keys = [*(key_of(f"row-{n}") for n in (4, 3, 2, 1, 3)), key_of("nobody"), key_of("row-1", SOUTH)]
    found = {match.row_no: match for match in await ledger.match(lease, keys)}
    assert {n: match.state for n, match in found.items()} == {1: "settled", 2: "accepted", 3: "claimed", 4: "planned"}
    assert (found[1].key, found[1].remote_id, found[1].line) == (key_of("row-1"), "fl-0", 2)
    assert (found[2].intent_at, found[2].attempts, found[2].http_status) == (T0 + 2, 1, 202)
    assert (found[2].request_id, found[2].key, found[2].line) == ("req-2", key_of("row-2"), 3)
    assert (found[4].intent_at, found[4].scope, found[4].spec) == (None, "er-1", '["row-4"]')
    assert await ledger.match(lease, []) == []


async def test_a_whole_page_of_a_listing_is_matched_at_once(ledger: Ledger) -> None:
    await open_run(ledger, "r1", [row(n) for n in range(1, 2001)])
    lease = await lease_of(ledger, R1)
    found = await ledger.match(lease, [key_of(f"row-{n}") for n in range(1001, 3001)])
    assert sorted(match.row_no for match in found) == list(range(1001, 2001))


async def test_of_twins_the_first_is_matched(ledger: Ledger) -> None:
    await open_run(ledger, "r1", [row(1, "a"), row(2, "a")])
    lease = await lease_of(ledger, R1)
    assert [match.row_no for match in await ledger.match(lease, [key_of("a")])] == [1]


async def test_skipping_takes_what_is_planned_in_the_lane_and_nothing_else(ledger: Ledger) -> None:
    await open_run(ledger, "r1", [row(1), row(2), row(3, lane=SOUTH), row(4), row(5)])
    lease = await lease_of(ledger, R1)
    await claimed(ledger, lease, limit=2)
    await write(ledger, lease, accepted(1))
    assert await ledger.skip_planned(lease, "BATCHER.LaneStopped", "no", T0 + 5) == 2
    assert await states(ledger, R1) == "1 accepted, 2 claimed, 3 planned, 4 settled/skipped, 5 settled/skipped"
    assert await ledger.skip_planned(lease, "BATCHER.LaneStopped", "no", T0 + 5) == 0
    await assert_counters_hold(ledger, R1)


# --- what a later run is told ---------------------------------------------------------------------------


async def first_look(
    ledger: Ledger, name: str = "r2", *, now: float = T0 + 100
) -> list[tuple[int, int, float | None, str | None]]:
    """A later run of the same five rows claims them: (row, due generation, used at, believed id)."""
    lease = await lease_of(ledger, await open_run(ledger, name, [row(n) for n in range(1, 6)], started_at=now), now=now)
    return [(w.row_no, w.due_generation, w.used_at, w.believed_id) for w in await claimed(ledger, lease, now=now)]


async def test_a_later_run_is_told_what_was_learnt(ledger: Ledger) -> None:
    lease = await five(ledger)
    await claimed(ledger, lease, limit=4)
    await regenerate(ledger, lease, 3, 1, now=T0 + 3)
    await write(
        ledger,
        lease,
        settled(1, remote_id="fl-1"),
        settled(2, Outcome.FAILED, spent=True),
        settled(3, remote_id="fl-3"),
        put_back(4),
    )
    assert not await ledger.has_history()
    await end(ledger, R1)
    assert await ledger.has_history()
    assert await first_look(ledger) == [
        (1, 0, T0 + 2, "fl-1"),
        (2, 1, None, None),
        (3, 1, T0 + 3, "fl-3"),
        (4, 0, None, None),
        (5, 0, None, None),
    ]


async def test_a_token_that_is_due_comes_with_the_time_of_its_own_first_use(ledger: Ledger) -> None:
    """Night 1 spends token 0, night 2 uses token 1: the third is told of token 1, not of the spent one."""
    for night, generation in enumerate((0, 1)):
        run_id = await open_run(ledger, f"n{night}", [row(1)], started_at=T0 + 100 * night)
        lease = await lease_of(ledger, run_id, now=T0 + 100 * night)
        await claimed(ledger, lease, now=T0 + 100 * night + 1)
        if generation:
            await regenerate(ledger, lease, 1, 1, now=T0 + 150)
        await write(ledger, lease, settled(1, Outcome.FAILED, spent=not generation, settled_at=T0 + 100 * night + 60))
        await end(ledger, run_id)
    assert (await first_look(ledger, now=T0 + 300))[0] == (1, 1, T0 + 150, None)


async def test_a_later_run_is_told_what_a_killed_one_had_claimed(place: Path) -> None:
    async with open_ledger(str(place)) as ledger:
        lease = await five(ledger)
        await claimed(ledger, lease, limit=3)
        await write(ledger, lease, accepted(1, "fl-1"), settled(2, Outcome.FAILED, spent=True))
    async with open_ledger(str(place)) as ledger:
        assert await first_look(ledger) == [
            (1, 0, T0 + 2, "fl-1"),
            (2, 1, None, None),
            (3, 0, T0 + 2, None),
            (4, 0, None, None),
            (5, 0, None, None),
        ]


async def test_what_was_there_already_is_believed_though_it_was_never_sent(ledger: Ledger) -> None:
    lease = await five(ledger)
    await write(ledger, lease, settled(1, Outcome.EXISTS, expect=RowState.PLANNED, remote_id="fl-9"))
    await end(ledger, R1)
    assert (await first_look(ledger))[0] == (1, 0, None, "fl-9")


async def test_rows_that_were_never_tried_are_no_history(ledger: Ledger) -> None:
    lease = await five(ledger)
    await ledger.skip_planned(lease, "BATCHER.QuotaExhausted", "", T0 + 5)
    await end(ledger, R1)
    assert not await ledger.has_history()


async def test_generations_grow_over_many_runs(ledger: Ledger) -> None:
    for night in range(3):
        start = T0 + 1000 * night
        run_id = await open_run(ledger, f"n{night}", [row(1)], started_at=start)
        lease = await lease_of(ledger, run_id, now=start)
        (work,) = await claimed(ledger, lease, now=start + 1)
        assert (work.generation, work.due_generation) == (0, night)
        if night:
            await regenerate(ledger, lease, 1, night, now=start + 2)
        await write(ledger, lease, settled(1, Outcome.FAILED, spent=True, settled_at=start + 3))
        await end(ledger, run_id)


async def test_a_token_that_was_refused_for_good_stays_spent_when_the_next_run_dies_with_its_claim(
    ledger: Ledger,
) -> None:
    """Run 1: refused for good. Run 2 claims the row and dies before it takes the next generation. Run 3?"""
    lease = await five(ledger)
    await claimed(ledger, lease, limit=1)
    await write(ledger, lease, settled(1, Outcome.FAILED, spent=True))
    await end(ledger, R1)
    assert (await first_look(ledger, "r2"))[0] == (1, 1, None, None)
    assert (await first_look(ledger, "r3", now=T0 + 200))[0] == (1, 1, None, None)


async def test_a_row_in_doubt_that_is_refused_after_a_resume_has_spent_its_token(ledger: Ledger) -> None:
    lease = await five(ledger)
    await claimed(ledger, lease, limit=1)
    await end(ledger, R1)
    lease = await lease_of(ledger, R1, now=T0 + 20)
    await write(ledger, lease, settled(1, Outcome.FAILED, spent=True, settled_at=T0 + 21))
    await end(ledger, R1)
    assert (await first_look(ledger))[0] == (1, 1, None, None)


async def test_a_resumed_run_still_knows_that_a_token_is_spent(ledger: Ledger) -> None:
    lease = await five(ledger)
    await claimed(ledger, lease, limit=1)
    await write(ledger, lease, settled(1, Outcome.FAILED, spent=True))
    await end(ledger, R1)
    await first_look(ledger, "r2")
    await end(ledger, R2, ended_at=T0 + 150)
    lease = await lease_of(ledger, R2, owner="heir", now=T0 + 200)
    assert (await ledger.recover(lease, after=0, limit=1))[0].due_generation == 1


async def test_what_was_created_is_believed_when_the_next_run_dies_with_its_claim(ledger: Ledger) -> None:
    lease = await five(ledger)
    await claimed(ledger, lease, limit=1)
    await write(ledger, lease, settled(1, remote_id="fl-1"))
    await end(ledger, R1)
    assert (await first_look(ledger, "r2"))[0] == (1, 0, T0 + 2, "fl-1")
    assert (await first_look(ledger, "r3", now=T0 + 200))[0] == (1, 0, T0 + 2, "fl-1")


async def test_what_a_later_run_learnt_counts_though_the_clock_was_set_back(ledger: Ledger) -> None:
    lease = await five(ledger)
    await claimed(ledger, lease, limit=1)
    await write(ledger, lease, settled(1, Outcome.FAILED, spent=True))
    await end(ledger, R1)
    run_id = await open_run(ledger, "r2", [row(1)], started_at=T0 - 50)
    lease = await lease_of(ledger, run_id, now=T0 - 49)
    await claimed(ledger, lease, now=T0 - 48)
    await regenerate(ledger, lease, 1, 1, now=T0 - 47)
    await write(ledger, lease, settled(1, Outcome.FAILED, spent=True, settled_at=T0 - 46))
    await end(ledger, run_id)
    assert (await first_look(ledger, "r3"))[0][1] == 2


async def test_an_old_run_that_is_resumed_after_a_newer_one_learns_from_it(ledger: Ledger) -> None:
    """Run 1 is interrupted before its rows' turn; run 2 spends a token; run 1 goes on."""
    lease = await five(ledger)
    await claimed(ledger, lease, limit=1)
    await write(ledger, lease, put_back(1))
    await end(ledger, R1)
    run_id = await open_run(ledger, "r2", [row(1)], started_at=T0 + 50)
    later = await lease_of(ledger, run_id, now=T0 + 50)
    await claimed(ledger, later, now=T0 + 51)
    await write(ledger, later, settled(1, Outcome.FAILED, spent=True, settled_at=T0 + 52))
    await end(ledger, run_id)
    (work,) = await claimed(ledger, await lease_of(ledger, R1, now=T0 + 60), limit=1, now=T0 + 61)
    assert (work.due_generation, work.used_at, work.intent_at) == (1, None, None)
