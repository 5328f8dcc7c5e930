"""What is on record of a row's sends and deletes when a process is killed, and what the next one concludes from it."""

from pathlib import Path

import anyio
import pytest

from batcher.engine.run import RunEngine
from batcher.model import Applied, ClaimedRow, Kind, LaneKey, Outcome, Refused, Remote, RunId, Stops
from batcher.policy.retry import RetryBudget
from tests.engine.rig import LAG_S, NIGHT, SILENCE, THERE, Cloud, Rig, Thing, rig, steady, there, virtual

NEXT = RunId("next")
BUSY = Refused(Kind.TRANSIENT, Stops.ROW, "ER.04008502", "a task is being operated", 400)


class KilledError(Exception):
    """The process is gone."""


def killed(cloud: Cloud, row: ClaimedRow) -> Refused:
    raise KilledError


async def dies(work: Rig, *, undoes: bool = False) -> None:
    """A sitting that is killed on the way."""
    with pytest.raises(ExceptionGroup):
        await (work.undo() if undoes else work.work())


class DeadlyToDelete(Cloud):
    """Takes the first delete, and kills who sent it."""

    async def remove(self, lane: LaneKey, spec: str, remote: Remote) -> Applied | Refused:
        answer = await super().remove(lane, spec, remote)
        if len(self.deleted) == 1:
            raise KilledError
        return answer


@virtual
async def test_what_the_first_of_two_killed_processes_made_is_the_runs_own(tmp_path: Path) -> None:
    sent = THERE - 900.0
    thing = Thing("fl-1", sent + 1.0, is_listed=False)
    async with rig(tmp_path, Cloud([killed], [thing])) as work:
        await work.plan()
        await work.dead(sent=sent, silent=sent + 1.0)
        await dies(work)
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


@virtual
async def test_a_send_that_was_refused_counts_for_nothing_if_its_process_dies_before_the_next(tmp_path: Path) -> None:
    async def kill(_: RunEngine) -> None:
        await anyio.sleep(20.0)
        raise KilledError

    async with rig(tmp_path, Cloud([BUSY])) as work:
        await work.plan()
        with pytest.raises(ExceptionGroup):
            await work.work(meanwhile=kill, budget=RetryBudget(backoff_s_base=1000.0, backoff_s_cap=1000.0))
        work.cloud.things.append(Thing("fl-9", there() - 10.0))
        (line,) = await work.work()
        assert (line.outcome, line.remote_id) == (Outcome.EXISTS, "fl-9")
        assert len(work.cloud.created) == 1


@virtual
async def test_what_a_later_run_has_seen_is_the_killed_runs_own_once_that_goes_on(tmp_path: Path) -> None:
    sent = THERE - 900.0
    async with rig(tmp_path, Cloud(things=[Thing("fl-1", sent + 1.0)])) as work:
        await work.plan()
        await work.dead(sent=sent, silent=sent + 1.0)
        await work.plan(NEXT)
        assert [line.outcome for line in await work.work(NEXT)] == [Outcome.EXISTS]
        assert [line.outcome for line in await work.work(NIGHT)] == [Outcome.CREATED]


async def undone_by_a_killed_process(work: Rig) -> None:
    """A run has made `fl-1`, and an undo was killed right after its delete was taken."""
    await work.plan()
    assert [line.outcome for line in await work.work()] == [Outcome.CREATED]
    await work.plan_undo()
    await dies(work, undoes=True)


@virtual
async def test_what_a_killed_undo_may_have_deleted_is_asked_for_before_it_is_said_to_exist(tmp_path: Path) -> None:
    async with rig(tmp_path, DeadlyToDelete(delete_lag_s=9000.0)) as work:
        await undone_by_a_killed_process(work)
        await work.plan(NEXT)
        (line,) = await work.work(NEXT)
        assert (line.outcome, line.remote_id) == (Outcome.CREATED, "fl-2")
        assert work.cloud.count("show fl-1") > 0


@virtual
async def test_where_it_may_not_be_asked_for_only_a_listing_that_is_old_enough_is_believed(tmp_path: Path) -> None:
    async with rig(tmp_path, DeadlyToDelete(delete_lag_s=LAG_S - 20.0, shows=False)) as work:
        await undone_by_a_killed_process(work)
        await work.plan(NEXT)
        began = steady()
        (line,) = await work.work(NEXT)
        assert (line.outcome, line.remote_id) == (Outcome.CREATED, "fl-2")
        assert steady() - began >= LAG_S


@virtual
async def test_an_undo_that_goes_on_asks_whether_an_earlier_delete_has_worked(tmp_path: Path) -> None:
    async with rig(tmp_path, DeadlyToDelete(delete_lag_s=60.0)) as work:
        await undone_by_a_killed_process(work)
        (line,) = await work.undo()
        assert line.outcome in (Outcome.DELETED, Outcome.ABSENT)
        assert [thing.stands for thing in work.cloud.things] == [False]
