"""What was put on record and never left is no evidence, and what left is on record, however slow the disk is."""

from pathlib import Path

import anyio

from batcher.engine.run import RunEngine
from batcher.engine.stop import Stop
from batcher.model import Outcome, RowState, Window
from tests.engine.rig import NIGHT, THERE, Cloud, KilledError, Thing, killed, rig, slow_disk, there, virtual
from tests.ledger.book import everything


async def listed(cloud: Cloud) -> None:
    while not cloud.count("list"):
        await anyio.sleep(0.001)


@virtual
async def test_what_others_made_after_a_stop_kept_a_row_from_leaving_is_theirs(tmp_path: Path) -> None:
    """Of a killed process's row the next send was on its way to a slow disk, when the run was stopped."""
    stop = Stop()
    async with rig(tmp_path, Cloud()) as work:
        await work.plan()
        await work.dead(sent=THERE - 900.0, silent=THERE - 890.0)

        async def halt(_: RunEngine) -> None:
            await listed(work.cloud)
            await anyio.sleep(8.0)
            stop.request("BATCHER.Interrupted")

        with slow_disk(5.0):
            (line,) = await work.work(stop=stop, meanwhile=halt)
        assert (line.state, work.cloud.created) == (RowState.CLAIMED, [])
        work.cloud.things.append(Thing("fl-9", there() + 5.0))
        await anyio.sleep(60.0)
        (line,) = await work.work()
        assert line.outcome is Outcome.EXISTS
        await work.plan_undo()
        await work.undo()
        assert work.cloud.deleted == []


@virtual
async def test_what_others_made_while_a_pause_kept_a_row_from_leaving_is_theirs(tmp_path: Path) -> None:
    """The send was on its way to the disk when an operator's pause began, in which the process was killed."""
    async with rig(tmp_path, Cloud()) as work:
        await work.plan()

        async def pause(engine: RunEngine) -> None:
            await listed(work.cloud)
            await anyio.sleep(8.0)
            engine.pause()
            await anyio.sleep(100.0)
            raise KilledError

        with slow_disk(5.0):
            await work.dies(meanwhile=pause, reconcile="always")
        assert work.cloud.created == []
        work.cloud.things.append(Thing("fl-9", there() - 80.0))
        (line,) = await work.work()
        assert line.outcome is Outcome.EXISTS


@virtual
async def test_a_send_that_left_after_its_turn_had_passed_is_on_record(tmp_path: Path) -> None:
    """The disk was so slow that the send took another turn; the process was killed while it was on its way."""
    async with rig(tmp_path, Cloud([killed])) as work:
        await work.plan()
        with slow_disk(5.0):
            await work.dies(window=Window(1, 7.0))
        (line,) = await everything(work.ledger, NIGHT)
        assert (line.attempts, line.first_sent_at is None) == (1, False)


@virtual
async def test_a_send_that_left_after_a_pause_is_on_record(tmp_path: Path) -> None:
    """The pause began while the send was on its way to a slow disk; the process was killed once it had left."""
    async with rig(tmp_path, Cloud([killed])) as work:
        await work.plan()

        async def pause(engine: RunEngine) -> None:
            await listed(work.cloud)
            await anyio.sleep(8.0)
            engine.pause()
            await anyio.sleep(4.0)
            engine.resume_calls()

        with slow_disk(5.0):
            await work.dies(meanwhile=pause, reconcile="always")
        (line,) = await everything(work.ledger, NIGHT)
        assert (line.attempts, line.first_sent_at is None) == (1, False)
