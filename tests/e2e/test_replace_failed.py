"""Flow logs that the provider keeps in state `failed`: deleted and created again, or only deleted."""

from collections import Counter
from pathlib import Path

from tests.e2e.clouds import Cloud, cloud
from tests.e2e.commands import column, report_rows
from tests.e2e.inventories import some_rows
from tests.e2e.test_final_states import decide
from tests.e2e.undos import deletes, ids, made

WISHES = some_rows(6, routers=2)
FAILED, WELL = WISHES[:4], WISHES[4:]


async def failed_run(sky: Cloud, folder: Path) -> str:
    """A run whose first four flow logs failed at the provider; from now on all would go well."""
    await decide(sky, FAILED, "failed")
    run = await made(sky, folder, WISHES)
    assert column(folder, "outcome") == ["failed"] * 4 + ["created"] * 2
    await decide(sky, FAILED, "available")
    return run


async def test_what_failed_is_deleted_and_created_again(tmp_path: Path) -> None:
    async with cloud(pending_s=0.1, deleting_s=0.3) as sky:
        run = await failed_run(sky, tmp_path)
        before = await ids(sky, WISHES)
        plain = await sky.run(tmp_path, "retry", run)
        assert (plain.code, await ids(sky, WISHES)) == (3, before)
        assert "--replace-failed" in plain.out
        ended = await sky.run(tmp_path, "retry", run, "--replace-failed")
        assert ended.code == 0, ended.err
        after = await ids(sky, WISHES)
        assert all(after)
        assert [one == two for one, two in zip(before, after, strict=True)] == [False] * 4 + [True] * 2
        rows = report_rows(tmp_path)
        assert [row["outcome"] for row in rows] == ["created"] * 4
        assert [row["flow_log_id"] for row in rows] == after[:4]
        assert [row["error_message"] for row in rows] == [
            f"replaces `{old}`, which the provider kept in state `failed`" for old in before[:4]
        ]
        assert await deletes(sky) == 4


async def test_a_replacement_that_fails_too_is_not_tried_for_ever(tmp_path: Path) -> None:
    async with cloud(pending_s=0.1) as sky:
        run = await failed_run(sky, tmp_path)
        await decide(sky, FAILED[:1], "failed")
        ended = await sky.run(tmp_path, "retry", run, "--replace-failed")
        assert ended.code == 3, ended.err
        assert Counter(column(tmp_path, "outcome")) == {"created": 3, "failed": 1}
        assert await deletes(sky) == 4


async def test_what_somebody_has_put_in_its_place_is_left_alone(tmp_path: Path) -> None:
    async with cloud(pending_s=0.1) as sky:
        run = await failed_run(sky, tmp_path)
        (old,) = await ids(sky, FAILED[:1])
        await sky.control("DELETE", f"flow-logs/{old}")
        (other,) = await sky.seed(FAILED[0], name="by hand")
        ended = await sky.run(tmp_path, "retry", run, "--replace-failed")
        assert ended.code == 3, ended.err
        assert (await ids(sky, FAILED[:1])) == [other]
        assert column(tmp_path, "outcome") == ["drifted"] + ["created"] * 3
        assert await deletes(sky) == 3


async def test_a_delete_that_is_refused_is_told_and_nothing_is_created(tmp_path: Path) -> None:
    async with cloud(pending_s=0.1) as sky:
        run = await failed_run(sky, tmp_path)
        before, creates = await ids(sky, WISHES), await sky.creates()
        await sky.script(
            {"operation": "delete", "fault": "status", "status": 400, "code": "ER.0099", "message": "no", "times": None}
        )
        ended = await sky.run(tmp_path, "retry", run, "--replace-failed")
        assert ended.code == 3, ended.err
        assert (await ids(sky, WISHES), await sky.creates()) == (before, creates)
        assert {(row["outcome"], row["error_code"]) for row in report_rows(tmp_path)} == {("failed", "ER.0099")}
        assert all("its delete was refused: no" in row["error_message"] for row in report_rows(tmp_path))


async def test_killed_on_the_way_it_goes_on_and_makes_each_once(tmp_path: Path) -> None:
    async with cloud(pending_s=0.1, deleting_s=0.5) as sky:
        run = await failed_run(sky, tmp_path)
        before = await ids(sky, WISHES)
        async with sky.slowly(tmp_path, "retry", run, "--replace-failed") as retry:
            await retry.until("kind=delete", times=2)
            retry.process.kill()
            await retry.end()
        ended = await sky.run(tmp_path, "resume")
        assert ended.code == 0, ended.err
        after = await ids(sky, WISHES)
        assert all(after)
        assert not set(after[:4]) & set(before[:4])
        assert column(tmp_path, "outcome") == ["created"] * 4


async def test_only_what_failed_is_undone_and_the_run_can_still_be_retried(tmp_path: Path) -> None:
    async with cloud(pending_s=0.1) as sky:
        run = await failed_run(sky, tmp_path)
        ended = await sky.run(tmp_path, "undo", run, "--only", "failed", "--yes")
        assert ended.code == 0, ended.err
        assert column(tmp_path, "outcome") == ["deleted"] * 4
        assert [bool(found) for found in await ids(sky, WISHES)] == [False] * 4 + [True] * 2
        ended = await sky.run(tmp_path, "retry", run)
        assert ended.code == 0, ended.err
        assert column(tmp_path, "outcome") == ["created"] * 4
        assert all(await ids(sky, WISHES))


async def test_a_retry_and_an_undo_take_up_the_rows_that_are_named_by_how_they_ended(tmp_path: Path) -> None:
    async with cloud(pending_s=0.1) as sky:
        await decide(sky, FAILED[:2], "failed")
        refused = {"operation": "create", "fault": "status", "status": 400, "code": "ER.0099", "times": 1}
        await sky.script({**refused, "match": {"resource_id": WISHES[2]["resource_id"]}})
        run = await made(sky, tmp_path, WISHES)
        assert Counter(column(tmp_path, "error_code")) == {"BATCHER.RemoteFailed": 2, "ER.0099": 1, "": 3}
        ended = await sky.run(tmp_path, "retry", run, "--code", "ER.9999")
        assert "no row that is `failed` or `in_doubt` with error code `ER.9999`" in ended.err
        assert ended.code == 2
        ended = await sky.run(tmp_path, "retry", run, "--code", "ER.0099")
        assert ended.code == 0, ended.err
        assert [(row["name"], row["outcome"]) for row in report_rows(tmp_path)] == [(WISHES[2]["name"], "created")]
        ended = await sky.run(tmp_path, "undo", run, "--outcome", "created", "--yes")
        assert ended.code == 0, ended.err
        assert column(tmp_path, "outcome") == ["deleted"] * 3
        assert [bool(found) for found in await ids(sky, WISHES)] == [True] * 3 + [False] * 3
