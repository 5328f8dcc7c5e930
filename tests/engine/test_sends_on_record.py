"""What is on record of a row's sends and deletes when a process is killed, and what the next one concludes from it."""

from collections.abc import Sequence
from pathlib import Path

import anyio
import pytest

from batcher.engine.run import RunEngine
from batcher.engine.settling import NOBODY_KNOWS
from batcher.model import Applied, ClaimedRow, Kind, LaneKey, Outcome, Page, Refused, Remote, RowState, RunId, Stops
from batcher.policy.retry import RetryBudget
from tests.engine.rig import (
    FORBIDDEN,
    LAG_S,
    NIGHT,
    SILENCE,
    THERE,
    UNDO,
    UNREACHABLE,
    Cloud,
    KilledError,
    Rig,
    Say,
    Thing,
    killed,
    lost,
    rig,
    slow_disk,
    steady,
    there,
    virtual,
)
from tests.ledger.book import T0, everything

NEXT = RunId("next")
BUSY = Refused(Kind.TRANSIENT, Stops.ROW, "ER.04008502", "a task is being operated", 400)
THROTTLED = Refused(Kind.THROTTLED, Stops.ROW, "APIGW.0308", "slow down", 429, pause_s=100.0)
PATIENT = RetryBudget(backoff_s_base=1000.0, backoff_s_cap=1000.0)


async def killed_soon(_: RunEngine) -> None:
    await anyio.sleep(20.0)
    raise KilledError


# --- sends of more than one process -----------------------------------------------------------------------


@virtual
async def test_what_the_first_of_two_killed_processes_made_is_the_runs_own(tmp_path: Path) -> None:
    sent = THERE - 900.0
    thing = Thing("fl-1", sent + 1.0, is_listed=False)
    async with rig(tmp_path, Cloud([killed], [thing])) as work:
        await work.plan()
        await work.dead(sent=sent, silent=sent + 1.0)
        await work.dies()
        thing.is_listed = True
        (line,) = await work.work()
        assert (line.outcome, line.remote_id) == (Outcome.CREATED, "fl-1")
        await work.plan_undo()
        assert [line.outcome for line in await work.undo()] == [Outcome.DELETED]


@virtual
async def test_what_others_made_between_the_sends_of_two_processes_is_theirs(tmp_path: Path) -> None:
    async with rig(tmp_path, Cloud([SILENCE] * 3)) as work:
        await work.plan()
        await work.dead(sent=THERE - 900.0, silent=THERE - 890.0)
        (line,) = await work.work()
        assert line.outcome is Outcome.IN_DOUBT
        work.cloud.things.append(Thing("fl-9", THERE - 400.0))
        await work.plan_undo()
        await work.undo()
        assert work.cloud.deleted == []


class Unreadable(Cloud):
    """May not be listed, until it may."""

    may_be_listed = False

    async def page(
        self, lane: LaneKey, scope: str, marker: str | None, only: Sequence[str] = ()
    ) -> Page[Remote] | Refused:
        page = await super().page(lane, scope, marker, only)
        return page if self.may_be_listed else FORBIDDEN


@virtual
async def test_what_others_made_before_a_later_process_gave_a_row_up_is_theirs(tmp_path: Path) -> None:
    """It only looked for the row, whose token had run out, and could not see: it sent nothing."""
    cloud = Unreadable(things=[Thing("fl-9", THERE - 400.0)])
    async with rig(tmp_path, cloud) as work:
        await work.plan()
        await work.dead(sent=THERE - 900.0, silent=THERE - 890.0)
        (line,) = await work.work(token_lifetime_s=30.0)
        assert (line.outcome, cloud.created) == (Outcome.IN_DOUBT, [])
        cloud.may_be_listed = True
        assert await work.plan_undo() == 1
        (line,) = await work.undo()
        assert (line.outcome, cloud.deleted) == (Outcome.EXISTS, [])


@virtual
async def test_what_others_made_when_a_send_did_not_get_through_is_not_the_runs(tmp_path: Path) -> None:
    """The row was put back; the process that took it up again was killed before it sent anything."""
    async with rig(tmp_path, Cloud([UNREACHABLE] * 3)) as work:
        await work.plan()
        (line,) = await work.work(reconcile="always")
        assert (line.state, len(work.cloud.created)) == (RowState.PLANNED, 3)
        work.cloud.things.append(Thing("fl-9", there() + 5.0))
        await anyio.sleep(60.0)
        await work.dead(sent=None, silent=there(), at=T0 + 120.0)
        (line,) = await work.work()
        assert (line.outcome, line.error_message) == (Outcome.EXISTS, NOBODY_KNOWS)
        await work.plan_undo()
        await work.undo()
        assert work.cloud.deleted == []


@virtual
async def test_what_a_later_run_has_seen_is_the_killed_runs_own_once_that_goes_on(tmp_path: Path) -> None:
    sent = THERE - 900.0
    async with rig(tmp_path, Cloud(things=[Thing("fl-1", sent + 1.0)])) as work:
        await work.plan()
        await work.dead(sent=sent, silent=sent + 1.0)
        await work.plan(NEXT)
        assert [line.outcome for line in await work.work(NEXT)] == [Outcome.EXISTS]
        assert [line.outcome for line in await work.work(NIGHT)] == [Outcome.CREATED]


# --- sends that did nothing, and that left late -----------------------------------------------------------


@pytest.mark.parametrize("refused", [BUSY, THROTTLED], ids=["busy", "throttled"])
@virtual
async def test_what_others_made_after_a_send_was_refused_is_theirs_though_its_process_was_killed(
    tmp_path: Path, refused: Refused
) -> None:
    async with rig(tmp_path, Cloud([refused])) as work:
        await work.plan()
        await work.dies(meanwhile=killed_soon, budget=PATIENT, reconcile="always")
        work.cloud.things.append(Thing("fl-9", there() - 10.0))
        (line,) = await work.work()
        assert (line.outcome, line.remote_id) == (Outcome.EXISTS, "fl-9")
        assert len(work.cloud.created) == 1


@virtual
async def test_what_a_lost_answer_made_is_the_runs_own_though_the_next_send_was_refused(tmp_path: Path) -> None:
    first: list[Say] = [lost, THROTTLED]
    async with rig(tmp_path, Cloud(first, lag_s=5.0)) as work:
        await work.plan()
        await work.dies(meanwhile=killed_soon, reconcile="always")
        assert len(work.cloud.created) == 2
        (line,) = await work.work()
        assert (line.outcome, line.remote_id, len(work.cloud.created)) == (Outcome.CREATED, "fl-1", 2)


class Hanging(Cloud):
    """Does as it is asked, and kills who waits for its answer after a minute."""

    async def apply(self, lane: LaneKey, row: ClaimedRow) -> Applied | Refused:
        await super().apply(lane, row)
        await anyio.sleep(60.0)
        raise KilledError


def others(cloud: Cloud, row: ClaimedRow) -> Refused:
    """Somebody else has made it just before."""
    cloud.things.append(Thing("fl-9", there() - 4.0))
    return SILENCE


@pytest.mark.parametrize(("say", "outcome"), [(lost, Outcome.CREATED), (others, Outcome.EXISTS)])
@virtual
async def test_a_row_that_a_slow_disk_held_up_counts_as_sent_when_it_left(
    tmp_path: Path, say: Say, outcome: Outcome
) -> None:
    """Its send was on record five seconds before; an answer takes one at most."""
    async with rig(tmp_path, Hanging([say])) as work:
        await work.plan()
        with slow_disk(5.0):
            await work.dies(reconcile="always", answer_s_max=1.0)
        (line,) = await work.work(answer_s_max=1.0)
        assert (line.outcome, len(work.cloud.created)) == (outcome, 1)


# --- deletes of a killed undo -----------------------------------------------------------------------------


class DeadlyToDelete(Cloud):
    """Takes the first delete, and kills who sent it."""

    async def remove(self, lane: LaneKey, spec: str, remote: Remote) -> Applied | Refused:
        answer = await super().remove(lane, spec, remote)
        if len(self.deleted) == 1:
            raise KilledError
        return answer


async def undone_by_a_killed_process(work: Rig) -> None:
    """A run has made `fl-1`, and an undo was killed right after its delete was taken."""
    await work.plan()
    assert [line.outcome for line in await work.work()] == [Outcome.CREATED]
    await work.plan_undo()
    await work.dies(undoes=True)
    await work.plan(NEXT)


@pytest.mark.parametrize("reconcile", ["auto", "never"])
@virtual
async def test_what_a_killed_undo_may_have_deleted_is_asked_for_before_it_is_said_to_exist(
    tmp_path: Path, reconcile: str
) -> None:
    async with rig(tmp_path, DeadlyToDelete(delete_lag_s=9000.0)) as work:
        await undone_by_a_killed_process(work)
        (line,) = await work.work(NEXT, reconcile=reconcile)
        assert (line.outcome, line.remote_id, line.generation) == (Outcome.CREATED, "fl-2", 1)
        assert work.cloud.count("show fl-1") > 0


@virtual
async def test_what_a_killed_undo_has_deleted_does_not_hide_what_a_lost_answer_made(tmp_path: Path) -> None:
    async with rig(tmp_path, DeadlyToDelete(delete_lag_s=9000.0)) as work:
        await undone_by_a_killed_process(work)
        work.cloud.answers = [lost, SILENCE, SILENCE]
        (line,) = await work.work(NEXT)
        assert (line.outcome, line.remote_id) == (Outcome.CREATED, "fl-2")


@virtual
async def test_where_it_may_not_be_asked_for_only_a_listing_that_is_old_enough_is_believed(tmp_path: Path) -> None:
    async with rig(tmp_path, DeadlyToDelete(delete_lag_s=LAG_S - 20.0, shows=False)) as work:
        await undone_by_a_killed_process(work)
        began = steady()
        (line,) = await work.work(NEXT)
        assert (line.outcome, line.remote_id, line.generation) == (Outcome.CREATED, "fl-2", 1)
        assert steady() - began >= LAG_S


@virtual
async def test_what_still_stands_after_a_killed_undo_is_not_made_a_second_time(tmp_path: Path) -> None:
    """Its delete came to nothing, and it may not be asked for: a listing that is old enough shows it."""
    nothing = Applied("fl-1", "deleting", True, True, 202, "req")
    async with rig(tmp_path, DeadlyToDelete(removes=[nothing], shows=False)) as work:
        await undone_by_a_killed_process(work)
        began = steady()
        (line,) = await work.work(NEXT)
        assert (line.outcome, line.remote_id, work.cloud.created) == (Outcome.EXISTS, "fl-1", ["create 0"])
        assert steady() - began >= LAG_S


@virtual
async def test_an_undo_that_goes_on_asks_whether_a_delete_has_worked_before_it_sends_another(tmp_path: Path) -> None:
    """The answer to the delete is on record, and the listing lags."""
    async with rig(tmp_path, Cloud(delete_lag_s=60.0)) as work:

        async def kill(_: RunEngine) -> None:
            while not work.cloud.deleted:
                await anyio.sleep(0.001)
            await anyio.sleep(0.5)
            raise KilledError

        await work.plan()
        await work.work()
        await work.plan_undo()
        await work.dies(undoes=True, meanwhile=kill)
        assert [line.state for line in await everything(work.ledger, UNDO)] == [RowState.ACCEPTED]
        began = steady()
        (line,) = await work.undo()
        assert (line.outcome, line.attempts, work.cloud.deleted) == (Outcome.DELETED, 1, ["fl-1"])
        assert steady() - began < 5.0
