"""`batcher` killed at every named point, as a process, and gone on with: judged by what the cloud remembers.

Each test is a chain: one job is killed at a point, gone on with, killed at the next, and so on to its end. After every
kill the disk is looked at as it is, and a report drawn from it; at the end the whole report is held against the cloud.
"""

import re
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from batcher.ledger.migrate import migrations
from batcher.report.folder import OWNER_FILE
from tests.crash.judge import after_a_kill, at_the_end, at_the_end_of_an_undo, beside_the_ledger, duplicates
from tests.crash.points import POINTS
from tests.crash.scenes import Scene, Sort, lines_of, scene
from tests.crash.traces import ledger_faults, memory_of, runs_of
from tests.e2e.commands import report_rows

pytestmark = pytest.mark.timeout(180)
"""Chains of up to twenty processes, on a machine that may be busy."""

MIXED = (
    *(Sort.PLAIN, Sort.THERE, Sort.INVALID, Sort.DRIFTED, Sort.PLAIN, Sort.DUPLICATE, Sort.PLAIN, Sort.CONFLICT),
    *(Sort.DOOMED, Sort.REFUSED, Sort.THERE, Sort.SWITCHED_OFF, *[Sort.PLAIN] * 12),
)
PLANNING = (
    *("create_run.before", "create_run.after", "add_rows.before", "add_rows.after", "drop_run.before"),
    *("drop_run.after", "index_keys.before", "index_keys.after", "settle_plan.before", "settle_plan.after"),
    *("open_run.before", "open_run.after"),
)
SENDING = (
    *("reopen.before", "reopen.after", "acquire.before", "acquire.after", "list.before", "list.after"),
    *("found.before", "found.after", "claim.before", "claim.after", "mark.before", "mark.after"),
    *("send.before:2", "send.after:2"),
    *("answer.before:2", "answer.after:2", "settle.before", "settle.after"),
)
STOPPED = ("put_back.before", "put_back.after")
ENDING = ("verify.before", "verify.after", "release.before", "release.after", "end_sitting.before", "end_sitting.after")
PUBLISHING = (
    *("draft.before", "draft.after:3", "sync.before", "sync.after:4", "rename.before", "rename.after"),
    *("rename.after:2", "rename.after:3", "rename.before:5", "rename.after:5"),
)
UNDOING = (
    *("create_run.after", "copy_made.before", "copy_made.after", "open_run.before", "open_run.after"),
    *("acquire.after", "claim_these.before", "claim_these.after"),
    *("delete.before:2", "delete.after:2", "answer.before", "answer.after:3"),
    *("settle.before", "settle.after", "verify.before", "verify.after", "release.before", "end_sitting.before"),
    *("rename.before", "rename.before:3"),
)
REPLACING = ("regenerate_rows.before", "regenerate_rows.after")
RETRYING = ("copy_rows.before", "copy_rows.after", "claim.after", "send.after")
CHANGING = ("change.before", "change.after")
MIGRATING = ("statement.before", "statement.after:2", "migrate.before", "migrate.after")
BUSY = {"operation": "create", "fault": "status", "status": 400, "code": "ER.04008502"}


async def chain(stage: Scene, points: Sequence[str], *commands: Sequence[str]) -> None:
    """Kill a job at each of these points, the commands taking turns; after each kill nothing may be wrong."""
    for turn, point in enumerate(points):
        await stage.dies(point, *commands[turn % len(commands)])
        (await after_a_kill(stage)).assert_clean()


async def ends(stage: Scene, *words: str, code: int) -> str:
    """Run a command to its end; the newest run."""
    ended, err = await stage.ends(*words)
    assert ended == code, err
    return runs_of(stage.ledger)[0].id


async def test_a_plan_that_died_is_made_anew_and_nothing_of_it_was_sent(tmp_path: Path) -> None:
    async with scene(tmp_path, lines_of(MIXED)) as stage:
        await chain(stage, PLANNING[:-1], stage.run())
        assert (await stage.sky.statistics())["calls"] == {}
        await chain(stage, PLANNING[-1:], stage.run())
        run = await ends(stage, *stage.run(), code=3)
        (await at_the_end(stage, run)).assert_clean()


async def test_a_run_that_died_while_it_sent_loses_no_row_and_makes_none_twice(tmp_path: Path) -> None:
    """By the same command, as cron would give it, and by `resume`, in turn."""
    async with scene(tmp_path, lines_of(MIXED)) as stage:
        again = stage.run("--reconcile", "always"), stage.words("resume")
        await stage.dies("open_run.after", *again[0])
        await chain(stage, SENDING, *again)
        run = await ends(stage, *again[1], code=3)
        (await at_the_end(stage, run)).assert_clean()


@pytest.mark.parametrize(("point", "is_replaced"), list(zip(REPLACING, (False, True), strict=True)))
async def test_a_token_that_is_to_be_replaced_is_replaced_once_at_most(
    tmp_path: Path, point: str, is_replaced: bool
) -> None:
    """Where the process dies before the next one is in the ledger, the row is in doubt, and keeps the first."""
    async with scene(tmp_path, lines_of(MIXED)) as stage:
        await stage.refuse(BUSY)
        await chain(stage, [point], stage.run())
        run = await ends(stage, *stage.words("resume"), code=3)
        (await at_the_end(stage, run)).assert_clean()
        assert not is_replaced or (await stage.sky.statistics())["keys_with_two_tokens"] != []


@pytest.mark.parametrize("point", STOPPED)
async def test_a_run_that_died_over_its_own_stop_is_gone_on_with(tmp_path: Path, point: str) -> None:
    """It puts back what it has claimed and will not send, since too many rows have failed."""
    async with scene(tmp_path, lines_of(MIXED)) as stage:
        await chain(stage, [point], stage.run("--max-failures", "0"))
        run = await ends(stage, *stage.words("resume", "--max-failures", "100%"), code=3)
        (await at_the_end(stage, run)).assert_clean()


async def test_a_run_that_died_over_its_end_ends_as_if_it_had_not(tmp_path: Path) -> None:
    """One flow log stays pending throughout, so that there is always a lane to hold."""
    lines = lines_of(MIXED)
    async with scene(tmp_path, lines, "--pending=0.3") as stage:
        await stage.decide(lines[0], "pending")
        await chain(stage, ENDING, stage.run(), stage.words("resume"))
        await stage.decide(lines[0], "available")
        run = await ends(stage, *stage.words("resume"), code=3)
        (await at_the_end(stage, run)).assert_clean()


async def test_no_half_file_is_seen_whenever_a_publisher_dies(tmp_path: Path) -> None:
    """Of a first report, by the run itself, and of one that takes the place of another, by `batcher report`."""
    async with scene(tmp_path, lines_of(MIXED)) as stage:
        await chain(stage, ("rename.after:5",), stage.run())  # the first ones are those of its beginning
        run = runs_of(stage.ledger)[0].id
        await chain(stage, PUBLISHING, ("report", run))
        assert await ends(stage, "report", run, code=0) == run
        (await at_the_end(stage, run)).assert_clean()
        assert {path.name for path in (tmp_path / "reports" / run).iterdir() if path.name.startswith(".")} == {
            OWNER_FILE
        }
        again = await ends(stage, *stage.run(), code=3)
        assert again != run
        (await after_a_kill(stage)).assert_clean()
        assert "created" not in {row["outcome"] for row in report_rows(tmp_path)}


async def test_an_undo_that_died_deletes_what_the_run_made_and_nothing_else(tmp_path: Path) -> None:
    """What it deletes is `deleting` for a while, so that it has to look again.

    One flow log stays pending throughout, and so in its way: there is always a lane to hold.
    """
    lines = lines_of(MIXED)
    async with scene(tmp_path, lines, "--deleting=0.3") as stage:
        await stage.decide(lines[0], "pending")
        run = await ends(stage, *stage.run(), code=5)
        await chain(stage, UNDOING, stage.words("undo", run, "--yes"))
        await stage.decide(lines[0], "available")
        taken_back = await ends(stage, *stage.words("undo", run, "--yes"), code=0)
        (await at_the_end_of_an_undo(stage, taken_back)).assert_clean()


async def test_a_retry_that_died_tries_each_row_again_and_no_other(tmp_path: Path) -> None:
    """What was refused is not refused any more, and goes under its next token."""
    async with scene(tmp_path, lines_of((*MIXED, Sort.REFUSED, Sort.REFUSED))) as stage:
        run = await ends(stage, *stage.run(), code=3)
        (await at_the_end(stage, run)).assert_clean()
        await stage.sky.script()
        await chain(stage, RETRYING, stage.words("retry", run))
        again = await ends(stage, *stage.words("retry", run), code=3)
        found = {row["owner"]: row["outcome"] for row in report_rows(tmp_path)}
        wished = {Sort.REFUSED: "created", Sort.DOOMED: "failed"}
        assert found == {line.cells["owner"]: wished[line.sort] for line in stage.lines if line.sort in wished}
        memory = memory_of(stage.state)
        assert duplicates(memory, stage.lines) == []
        assert beside_the_ledger(tmp_path / "reports" / again, stage.ledger, again) == []


async def test_a_repair_that_died_is_found_done_or_done_again(tmp_path: Path) -> None:
    """A name that is put right, and a flow log that is switched off after it was made."""
    sorts = (*[Sort.DRIFTED] * 4, *[Sort.SWITCHED_OFF] * 4)
    async with scene(tmp_path, lines_of(sorts)) as stage:
        again = stage.run("--fix-drift", "--reconcile", "always"), stage.words("resume")
        await chain(stage, CHANGING, *again)
        run = await ends(stage, *again[1], code=0)
        (await at_the_end(stage, run, fix_drift=True)).assert_clean()


async def test_a_ledger_whose_migration_died_is_migrated_by_the_next_start(tmp_path: Path) -> None:
    """First the making of a new one, between its versions too; then an older one with a run half done."""
    async with scene(tmp_path, lines_of(MIXED)) as stage:
        for point in ("migrate.before:2", *MIGRATING):
            await stage.dies(point, *stage.run())
            assert ledger_faults(stage.ledger) == []
        await stage.dies("send.after:3", *stage.run())
        age(stage.ledger)
        for mark in (tmp_path / "reports").glob(f"*/{OWNER_FILE}"):
            mark.unlink()  # a ledger of then has no name
        for point in MIGRATING:
            await stage.dies(point, *stage.words("resume"))
            assert ledger_faults(stage.ledger) == []
        run = await ends(stage, *stage.run(), code=3)
        (await at_the_end(stage, run, unrecorded=True)).assert_clean()
        assert len(runs_of(stage.ledger)) == 1


def age(ledger: Path) -> None:
    """Make a ledger one of the first schema: what later ones have added is taken away."""
    with closing(sqlite3.connect(ledger)) as database:
        for number, script in migrations()[1:]:
            for table in re.findall(r"CREATE TABLE (\w+)", script):
                database.execute(f"DROP TABLE {table}")
            for table, column in re.findall(r"ALTER TABLE (\w+) ADD COLUMN (\w+)", script):
                database.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
            assert number in (2, 3, 4, 5), "what schema 6 adds has to be taken away here, too"
        database.execute("PRAGMA user_version = 1")


def test_every_point_has_its_chain() -> None:
    chains = (PLANNING, SENDING, REPLACING, STOPPED, ENDING, PUBLISHING, UNDOING, RETRYING, CHANGING, MIGRATING)
    tried = {point.partition(":")[0] for points in chains for point in points}
    assert POINTS - tried == set()
