"""A run whose plan was reviewed: what was there by then is remembered by its id, from sitting to sitting."""

from typing import Any

from batcher.ledger_port import Ledger
from batcher.model import Outcome, RowState, RunId
from tests.ledger.book import (
    COLUMNS,
    SOUTH,
    T0,
    assert_counters_hold,
    claimed,
    end,
    everything,
    lease_of,
    row,
    run_record,
    settled,
    states,
    write,
)

R1 = RunId("r1")


async def surveyed(ledger: Ledger) -> None:
    """Of six rows in a run that is still `planning`: two that can be put right, one that cannot, one as wished."""
    await ledger.create_run(run_record("r1"))
    rows = [row(1), row(2, scope="er-2"), row(3), row(4), row(5), row(6, lane=SOUTH)]
    await ledger.add_rows(R1, rows)
    await ledger.index_keys(R1)
    lease = await lease_of(ledger, R1)
    found: dict[str, Any] = {"expect": RowState.PLANNED, "error_code": "BATCHER.Drifted", "error_message": "name"}
    await write(
        ledger,
        lease,
        settled(1, Outcome.DRIFTED, remote_id="fl-1", remote_state="available", **found),
        settled(2, Outcome.DRIFTED, remote_id="fl-2", remote_state="available", **found),
        settled(3, Outcome.DRIFTED, remote_id="fl-3", remote_state="modifying", **found),
        settled(4, Outcome.EXISTS, expect=RowState.PLANNED, remote_id="fl-4", remote_state="available"),
    )
    await ledger.release_lane(lease)


async def expected(ledger: Ledger, lane_no: int = 1) -> dict[str, list[int]]:
    """The rows whose thing was there, by scope."""
    found = await ledger.expected(await lease_of(ledger, R1, lane_no))
    return {scope: list(numbers) for scope, numbers in found.items()}


async def test_what_can_be_put_right_is_planned_again_and_known_by_its_id(ledger: Ledger) -> None:
    await surveyed(ledger)
    assert await expected(ledger) == {}
    await ledger.plan_drifted(R1)
    await ledger.open_run(R1, COLUMNS, {})
    assert await states(ledger, R1) == (
        "1 planned, 2 planned, 3 settled/drifted, 4 settled/exists, 5 planned, 6 planned"
    )
    first = (await everything(ledger, R1))[0]
    assert (first.remote_id, first.remote_state, first.error_code, first.settled_at) == ("fl-1", None, "", None)
    assert await expected(ledger) == {"er-1": [1], "er-2": [2]}
    assert await expected(ledger, 2) == {}
    await assert_counters_hold(ledger, R1)


async def test_what_was_left_alone_is_still_known_when_it_is_taken_up_again(ledger: Ledger) -> None:
    await surveyed(ledger)
    await ledger.plan_drifted(R1)
    await ledger.open_run(R1, COLUMNS, {})
    lease = await lease_of(ledger, R1)
    skipped: dict[str, Any] = {"expect": RowState.PLANNED, "error_code": "BATCHER.Moved"}
    await write(ledger, lease, settled(1, Outcome.SKIPPED, remote_id="fl-1", attempts=0, **skipped))
    assert await expected(ledger) == {"er-2": [2]}
    await end(ledger, R1)
    await ledger.reopen(R1)
    assert await expected(ledger) == {"er-1": [1], "er-2": [2]}
    await assert_counters_hold(ledger, R1)


async def test_what_was_reviewed_and_never_sent_is_no_history_for_later_runs(ledger: Ledger) -> None:
    """A row that only a plan has seen must not count as made: its token was never used."""
    await surveyed(ledger)
    await ledger.plan_drifted(R1)
    await ledger.open_run(R1, COLUMNS, {})
    await end(ledger, R1, ended_at=T0 + 20)
    await ledger.create_run(run_record("r2", started_at=T0 + 30))
    await ledger.add_rows(RunId("r2"), [row(1)])
    await ledger.index_keys(RunId("r2"))
    await ledger.open_run(RunId("r2"), COLUMNS, {})
    (work,) = await claimed(ledger, await lease_of(ledger, RunId("r2")))
    assert (work.generation, work.due_generation, work.used_at, work.believed_id) == (0, 0, None, None)
