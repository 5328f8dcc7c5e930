"""A run taken back: what it made is gone, everything else stands, and each row has its line."""

import json
from pathlib import Path

import pytest

from tests.e2e.clouds import cloud
from tests.e2e.commands import batcher, column, report_rows, summary, write_settings
from tests.e2e.inventories import some_rows, write_rows
from tests.e2e.undos import QUICK, deletes, ids, made, on_terminal, remake, rename, rewrite, run_id, undo

WISHES = some_rows(6)
GONE_QUIETLY = {"operation": "create", "fault": "lost_before", "times": None}


async def test_what_a_run_made_is_deleted_and_what_stood_before_is_not(tmp_path: Path) -> None:
    """Also what the run made and switched off; each has its line in the report."""
    wishes = [{**wish, "enabled": "false" if number == 5 else "true"} for number, wish in enumerate(WISHES)]
    async with cloud() as sky:
        seeded = await sky.seed(*wishes[:2])
        run = await made(sky, tmp_path, wishes)
        assert column(tmp_path, "outcome") == ["exists"] * 2 + ["created"] * 4
        made_ids = column(tmp_path, "flow_log_id")[2:]

        ended = await undo(sky, tmp_path, run)
        assert ended.code == 0, ended.err
        assert "4 deleted" in ended.out
        rows = report_rows(tmp_path)
        assert [row["outcome"] for row in rows] == ["deleted"] * 4
        assert [row["flow_log_id"] for row in rows] == made_ids
        assert {row["flow_log_state"] for row in rows} == {"deleted"}
        assert [row["line"] for row in rows] == ["4", "5", "6", "7"]
        assert [row["owner"] for row in rows] == [wish["owner"] for wish in wishes[2:]]
        assert report_rows(tmp_path, "failed.csv") == []
        told = summary(tmp_path)
        assert (told["operation"], told["parent"], told["exit_code"]) == ("undo", run, 0)
        assert told["rows"]["by_outcome"]["deleted"] == 4
        assert await ids(sky, wishes) == [*seeded, "", "", "", ""]
        assert await deletes(sky) == 4


async def test_after_an_undo_the_inventory_is_made_anew_and_the_undone_run_is_over(tmp_path: Path) -> None:
    async with cloud() as sky:
        run = await made(sky, tmp_path, WISHES)
        first = column(tmp_path, "token")
        assert (await undo(sky, tmp_path, run)).code == 0
        for command in ("resume", "retry"):
            ended = await sky.run(tmp_path, command, run)
            assert ended.code == 2, ended.err
            assert "was taken back" in ended.err
        assert await ids(sky, WISHES) == [""] * 6

        ended = await sky.run(tmp_path, "run", "routers.csv")
        assert ended.code == 0, ended.err
        assert "(continued)" not in ended.out
        assert run_id(tmp_path) != run
        rows = report_rows(tmp_path)
        assert {(row["outcome"], row["generation"]) for row in rows} == {("created", "1")}
        assert not {row["token"] for row in rows} & set(first)

        again = await ids(sky, WISHES)
        ended = await undo(sky, tmp_path, run, "--force")
        assert ended.code == 0, ended.err
        assert column(tmp_path, "outcome") == ["absent"] * 6
        assert not set(column(tmp_path, "flow_log_id")) & set(again)
        assert await ids(sky, WISHES) == again
        assert await deletes(sky) == 6


async def test_an_unfinished_run_that_was_taken_back_is_not_gone_on_with(tmp_path: Path) -> None:
    write_settings(tmp_path, f"{QUICK}listing_lag_s = 1\n")
    inventory = write_rows(tmp_path / "routers.csv", WISHES)
    async with cloud() as sky:
        async with sky.slowly(tmp_path, "run", str(inventory)) as work:
            await work.until("kind=create", times=3)
            work.process.kill()
            await work.end()
        listed = await batcher(tmp_path, "status", "--output", "json")
        (run,) = (found["run_id"] for found in json.loads(listed.out))
        ended = await undo(sky, tmp_path, run)
        assert ended.code == 0, ended.err
        assert await ids(sky, WISHES) == [""] * 6

        ended = await sky.run(tmp_path, "resume")
        assert ended.code == 2, ended.out
        assert "no unfinished run" in ended.err
        ended = await sky.run(tmp_path, "run", str(inventory))
        assert ended.code == 0, ended.err
        assert "(continued)" not in ended.out
        assert column(tmp_path, "outcome") == ["created"] * 6
        assert summary(tmp_path)["run_id"] != run


async def test_what_was_changed_since_is_kept_until_that_is_forced(tmp_path: Path) -> None:
    async with cloud() as sky:
        run = await made(sky, tmp_path, WISHES)
        before = await ids(sky, WISHES)
        await rename(sky, WISHES[0], before[0], "theirs")
        ended = await undo(sky, tmp_path, run)
        assert ended.code == 3, ended.err
        assert column(tmp_path, "outcome") == ["drifted"] + ["deleted"] * 5
        kept = report_rows(tmp_path)[0]
        assert (kept["error_code"], kept["flow_log_id"]) == ("BATCHER.Kept", before[0])
        assert "name: wished `fl-0`, there is `theirs`" in kept["error_message"]
        assert f"undo {run} --force" in ended.out
        assert await ids(sky, WISHES) == [before[0], *[""] * 5]

        ended = await undo(sky, tmp_path, run, "--force")
        assert ended.code == 0, ended.err
        assert column(tmp_path, "outcome") == ["deleted"] + ["absent"] * 5
        assert await ids(sky, WISHES) == [""] * 6
        assert await deletes(sky) == 6


async def test_what_somebody_else_made_is_never_deleted(tmp_path: Path) -> None:
    """Made again under another id; made seconds before under the same key; there before in state `failed`."""
    async with cloud() as sky:
        failed = await sky.seed(WISHES[0], state="failed")
        theirs = await sky.seed(WISHES[1])
        run = await made(sky, tmp_path, WISHES, "--reconcile", "never")
        assert column(tmp_path, "outcome") == ["failed", "exists"] + ["created"] * 4
        assert (await sky.statistics())["answers"]["create"]["400"] == 2
        before = await ids(sky, WISHES)
        again = await remake(sky, WISHES[2], before[2])
        ended = await undo(sky, tmp_path, run, "--force")
        assert await ids(sky, WISHES) == [*failed, *theirs, again, "", "", ""], ended.out
        assert column(tmp_path, "outcome") == ["absent", "deleted", "deleted", "deleted"]
        assert await deletes(sky) == 3


async def test_what_was_there_before_in_state_failed_is_not_deleted_even_by_force(tmp_path: Path) -> None:
    async with cloud() as sky:
        failed = await sky.seed(WISHES[0], state="failed")
        run = await made(sky, tmp_path, WISHES, "--reconcile", "always")
        assert column(tmp_path, "outcome") == ["failed"] + ["created"] * 5
        ended = await undo(sky, tmp_path, run, "--force")
        assert ended.code == 0, ended.err
        assert column(tmp_path, "outcome") == ["deleted"] * 5
        assert await ids(sky, WISHES) == [*failed, *[""] * 5]


async def test_what_the_run_made_and_saw_fail_is_deleted(tmp_path: Path) -> None:
    async with cloud(failed_share=1.0) as sky:
        run = await made(sky, tmp_path, WISHES)
        assert column(tmp_path, "outcome") == ["failed"] * 6
        ended = await undo(sky, tmp_path, run)
        assert ended.code == 0, ended.err
        assert column(tmp_path, "outcome") == ["deleted"] * 6
        assert await ids(sky, WISHES) == [""] * 6


async def test_what_another_run_made_of_a_doubtful_row_is_that_ones_to_take_back(tmp_path: Path) -> None:
    async with cloud() as sky:
        await sky.script(GONE_QUIETLY)
        first = await made(sky, tmp_path, WISHES)
        assert column(tmp_path, "outcome") == ["in_doubt"] * 6
        await sky.script()
        ended = await sky.run(tmp_path, "retry")
        assert ended.code == 0, ended.err
        second, there = run_id(tmp_path), await ids(sky, WISHES)

        ended = await undo(sky, tmp_path, first, "--force")
        assert column(tmp_path, "outcome") == ["exists"] * 6, ended.out
        assert set(column(tmp_path, "error_message")) == {"another run may have made it: it is kept"}
        assert await ids(sky, WISHES) == there
        ended = await undo(sky, tmp_path, second)
        assert ended.code == 0, ended.err
        assert column(tmp_path, "outcome") == ["deleted"] * 6
        assert await deletes(sky) == 6


async def test_what_was_made_hours_after_a_run_had_died_is_not_its_own(tmp_path: Path) -> None:
    """Though the run may have sent it, got no answer, and nobody knows when it died: its lease ended long ago."""
    inventory = write_rows(tmp_path / "routers.csv", WISHES)
    async with cloud() as sky:
        await sky.script(GONE_QUIETLY)
        async with sky.slowly(tmp_path, "run", str(inventory), "--reconcile", "always") as work:
            await sky.until_creates(1)
            work.process.kill()
            await work.end()
        await sky.script()
        rewrite(tmp_path, "UPDATE row SET told_there = told_there - 7200")
        rewrite(tmp_path, "UPDATE row SET sent_there = sent_there - 7200")
        theirs = await sky.seed(*WISHES)
        run = json.loads((await batcher(tmp_path, "status", "--output", "json")).out)[0]["run_id"]
        ended = await undo(sky, tmp_path, run, "--force")
        assert ended.code == 0, ended.err
        rows = report_rows(tmp_path)
        assert {row["outcome"] for row in rows} == {"exists"}
        assert {row["error_message"] for row in rows} == {
            "it was made when this run was not sending the row: it is kept",
            "nobody knows whether this run has made it: it is kept",
        }
        assert await ids(sky, WISHES) == theirs
        assert await deletes(sky) == 0


async def test_how_the_run_was_verified_is_not_how_its_undo_is(tmp_path: Path) -> None:
    async with cloud(deleting_s=1.2) as sky:
        run = await made(sky, tmp_path, WISHES, "--no-verify")
        ended = await undo(sky, tmp_path, run)
        assert ended.code == 0, ended.err
        assert column(tmp_path, "outcome") == ["deleted"] * 6
        assert await ids(sky, WISHES) == [""] * 6

        await sky.run(tmp_path, "run", "routers.csv")
        await sky.control("PATCH", "settings", {"deleting_s": 3600})
        ended = await undo(sky, tmp_path, run_id(tmp_path), "--no-verify")
        assert ended.code == 0, ended.err
        rows = report_rows(tmp_path)
        assert {(row["outcome"], row["flow_log_state"]) for row in rows} == {("deleted", "deleting")}
        assert {log["state"] for log in await sky.flow_logs(WISHES[0])} == {"deleting"}


@pytest.mark.parametrize(("keys", "code"), [(b"y\n", 0), (b"n\n", 2), (b"\x04", 2)])
async def test_on_a_terminal_it_asks(tmp_path: Path, keys: bytes, code: int) -> None:
    async with cloud() as sky:
        run = await made(sky, tmp_path, WISHES)
        ended, shown = await on_terminal(tmp_path, *sky.words("undo", run), keys=keys)
        assert f"run {run} of routers.csv, on:" in shown
        assert f"  account `default`, cn-north-4, at {sky.url}" in shown
        assert "delete the flow logs that it created, 6 at most? [y/N]" in shown
        assert ended == code, shown
        assert ("6 deleted" in shown) is (code == 0)
        assert ("nothing was deleted" in shown) is (code == 2)
        assert await ids(sky, WISHES) != [""] * 6 or code == 0
        assert await deletes(sky) == (6 if code == 0 else 0)


async def test_what_cannot_be_undone_is_said_and_nothing_is_deleted(tmp_path: Path) -> None:
    async with cloud() as sky:
        run = await made(sky, tmp_path, WISHES[:2])
        refused = {
            ("undo", run): "no terminal on which to ask",
            ("undo", "no-such-run", "--yes"): "no-such-run",
            ("undo", "--yes"): "RUN",
        }
        for words, said in refused.items():
            ended = await sky.run(tmp_path, *words)
            assert ended.code == 2, ended.err
            assert said in ended.err
            assert ended.out == ""
        # Without keys nothing is begun: the run can still be gone on with.
        ended = await batcher(tmp_path, *sky.words("undo", run, "--yes"))
        assert ended.code == 2, ended.err
        assert (await sky.run(tmp_path, "resume", run)).code == 0
        assert await deletes(sky) == 0

        assert (await undo(sky, tmp_path, run)).code == 0
        ended = await undo(sky, tmp_path, run_id(tmp_path))
        assert ended.code == 2, ended.err
        assert "is an undo itself" in ended.err


async def test_an_undo_of_a_run_that_made_nothing_deletes_nothing_and_says_so(tmp_path: Path) -> None:
    async with cloud() as sky:
        seeded = await sky.seed(*WISHES)
        run = await made(sky, tmp_path, WISHES)
        ended = await undo(sky, tmp_path, run)
        assert (ended.code, ended.out) == (2, ""), ended.err
        assert f"run `{run}` has created no flow log: there is nothing to take back" in ended.err
        assert await ids(sky, WISHES) == seeded


async def test_a_rehearsal_is_taken_back_in_the_rehearsal(tmp_path: Path) -> None:
    inventory = write_rows(tmp_path / "routers.csv", WISHES)
    assert (await batcher(tmp_path, "run", str(inventory), "--emulator", "--rate", "200/s")).code == 0
    run = run_id(tmp_path)
    assert (await batcher(tmp_path, "undo", run, "--yes")).code == 2
    ended = await batcher(tmp_path, "undo", run, "--yes", "--emulator")
    assert ended.code == 0, ended.err
    assert column(tmp_path, "outcome") == ["deleted"] * 6
