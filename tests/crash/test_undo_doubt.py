"""What a report says of a row whose delete may have worked, when an undo ends before it has seen whether it has."""

import signal
from pathlib import Path

import pytest

from tests.crash.judge import after_a_kill
from tests.crash.scenes import Sort, lines_of, scene
from tests.crash.traces import drawn, runs_of
from tests.e2e.clouds import cloud
from tests.e2e.commands import column, report_rows
from tests.e2e.inventories import some_rows
from tests.e2e.undos import deletes, ids, made, undo

pytestmark = pytest.mark.timeout(180)
"""They wait for an answer that hangs, and for the machine."""

WISHES = some_rows(4)


async def test_a_row_that_an_undo_may_have_deleted_is_in_doubt_until_a_listing_tells(tmp_path: Path) -> None:
    """The first sitting dies with a delete done, the next one before it has looked."""
    async with scene(tmp_path, lines_of([Sort.PLAIN] * 4, projects=1)) as stage:
        assert (await stage.ends(*stage.run()))[0] == 0
        words = stage.words("undo", runs_of(stage.ledger)[0].id, "--yes")
        await stage.dies("answer.before", *words)
        await stage.dies("list.before", *words)
        rows = await drawn(stage.ledger, runs_of(stage.ledger)[0].id)
        assert "in_doubt" in {row["outcome"] for row in rows}
        (await after_a_kill(stage)).assert_clean()


async def test_an_undo_that_is_stopped_over_a_lost_answer_calls_no_deleted_row_skipped(tmp_path: Path) -> None:
    async with cloud() as sky:
        run = await made(sky, tmp_path, WISHES)
        await sky.script({"operation": "delete", "fault": "hang", "times": None})
        async with sky.slowly(tmp_path, "undo", run, "--yes", rate="200/s") as work:
            while await deletes(sky) < 1:
                pass
            work.send(signal.SIGTERM)
            ended = await work.end()
        assert ended.code == 143, ended.err
        there = await ids(sky, WISHES)
        rows = report_rows(tmp_path)
        assert "" in there
        assert [row["outcome"] for row, found in zip(rows, there, strict=True) if not found] == [
            "in_doubt"
        ] * there.count("")
        assert {row["attempts"] for row, found in zip(rows, there, strict=True) if not found} == {"1"}

        await sky.script()
        assert (await undo(sky, tmp_path, run)).code == 0
        assert set(column(tmp_path, "outcome")) <= {"deleted", "absent"}
        assert await ids(sky, WISHES) == [""] * 4
