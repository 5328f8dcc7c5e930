"""Sent, and no answer worth the name: what the report says then, and how the doubt is cleared."""

from pathlib import Path

from tests.e2e.clouds import assert_created_once, cloud
from tests.e2e.commands import column, report_rows, summary, write_settings
from tests.e2e.inventories import some_rows, write_rows
from tests.e2e.undos import rewrite

QUICK = "[run]\nattempts_max = 2\nbackoff_base_s = 0.01\nbackoff_cap_s = 0.02\n"


async def test_a_create_whose_every_answer_is_lost_is_found_in_the_listing(tmp_path: Path) -> None:
    write_settings(tmp_path, QUICK)
    inventory = write_rows(tmp_path / "routers.csv", wishes := some_rows(3))
    losses = ("lost_after", "error_after", "truncated_after")
    async with cloud() as sky:
        await sky.script(
            *(
                {"operation": "create", "fault": loss, "times": None, "match": {"resource_id": wish["resource_id"]}}
                for loss, wish in zip(losses, wishes, strict=True)
            )
        )
        ended = await sky.run(tmp_path, "run", str(inventory))
        assert ended.code == 0, ended.err
        assert column(tmp_path, "outcome") == ["created"] * 3
        assert column(tmp_path, "attempts") == ["2"] * 3
        assert_created_once(await sky.statistics(), 3)


async def test_what_the_listing_cannot_settle_is_in_doubt_and_a_retry_settles_it(tmp_path: Path) -> None:
    write_settings(tmp_path, QUICK)
    inventory = write_rows(tmp_path / "routers.csv", some_rows(2))
    async with cloud() as sky:
        await sky.script(
            {"operation": "create", "fault": "lost_after", "times": None},
            {"operation": "list", "fault": "status", "status": 500, "times": None},
        )
        ended = await sky.run(tmp_path, "run", str(inventory))
        assert ended.code == 3, ended.err
        assert column(tmp_path, "outcome") == ["in_doubt"] * 2
        assert all("listing could not be read" in message for message in column(tmp_path, "error_message"))
        assert "retry" in ended.out

        await sky.script()
        ended = await sky.run(tmp_path, "retry")
        assert ended.code == 0, ended.err
        assert set(column(tmp_path, "outcome")) <= {"created", "exists"}
        assert all(column(tmp_path, "flow_log_id"))
        assert_created_once(await sky.statistics(), 2)


async def test_what_no_listing_shows_after_silence_stays_in_doubt_and_retry_makes_it(tmp_path: Path) -> None:
    write_settings(tmp_path, QUICK)
    inventory = write_rows(tmp_path / "routers.csv", some_rows(2))
    async with cloud() as sky:
        await sky.script({"operation": "create", "fault": "lost_before", "times": None})
        ended = await sky.run(tmp_path, "run", str(inventory))
        assert ended.code == 3, ended.err
        assert column(tmp_path, "outcome") == ["in_doubt"] * 2
        assert column(tmp_path, "error_code") == ["BATCHER.NoAnswer"] * 2
        assert all("the listing does not show it" in message for message in column(tmp_path, "error_message"))

        await sky.script()
        ended = await sky.run(tmp_path, "retry")
        assert ended.code == 0, ended.err
        assert column(tmp_path, "outcome") == ["created"] * 2
        assert summary(tmp_path)["parent"] is not None
        assert (await sky.statistics())["created_total"] == 2


async def test_answers_lost_before_a_kill_are_cleared_up_by_resume(tmp_path: Path) -> None:
    """The listing has told what time it is there, so the sends of the run that was killed are on record."""
    inventory = write_rows(tmp_path / "routers.csv", some_rows(12))
    async with cloud() as sky:
        await sky.script({"operation": "create", "fault": "lost_after", "times": None})
        async with sky.slowly(tmp_path, "run", str(inventory), "--reconcile", "always", rate="20/s") as run:
            await run.until("kind=create", times=4)
            run.process.kill()
            assert (await run.end()).code < 0
        await sky.script()
        ended = await sky.run(tmp_path, "resume")
        assert ended.code == 0, ended.err
        assert "(continued)" in ended.out
        assert column(tmp_path, "outcome") == ["created"] * 12
        assert_created_once(await sky.statistics(), 12)


async def test_what_may_have_been_sent_when_nobody_knew_the_time_is_not_claimed(tmp_path: Path) -> None:
    """No answer had come before the kill, so no send is on record in the provider's time; `undo` leaves it alone."""
    inventory = write_rows(tmp_path / "routers.csv", wishes := some_rows(1))
    async with cloud() as sky:
        await sky.script({"operation": "create", "fault": "hang"})
        async with sky.slowly(tmp_path, "run", str(inventory)) as run:
            await sky.until_creates(1)
            run.process.kill()
            await run.end()
        ended = await sky.run(tmp_path, "resume")
        assert ended.code == 0, ended.err
        (row,) = report_rows(tmp_path)
        assert (row["outcome"], row["error_code"]) == ("exists", "")
        assert "this run may have made it" in row["error_message"]
        ended = await sky.run(tmp_path, "undo", row["run_id"], "--yes", "--force")
        assert (ended.code, "has created no flow log" in ended.err) == (2, True)
        assert len(await sky.flow_logs(wishes[0])) == 1


async def test_what_vanished_in_doubt_is_made_again(tmp_path: Path) -> None:
    """Its token gives back the flow log that is gone, so only another generation can make one."""
    inventory = write_rows(tmp_path / "routers.csv", wishes := some_rows(1))
    async with cloud() as sky:
        await sky.script({"operation": "create", "fault": "hang"})
        async with sky.slowly(tmp_path, "run", str(inventory)) as run:
            await sky.until_creates(1)
            run.process.kill()
            await run.end()
        await sky.control("DELETE", f"flow-logs/{(await sky.flow_logs(wishes[0]))[0]['id']}")
        ended = await sky.run(tmp_path, "resume")
        assert ended.code == 0, ended.out + ended.err
        assert column(tmp_path, "outcome") == ["created"]
        assert len(await sky.flow_logs(wishes[0])) == 1


async def test_a_token_older_than_its_lifetime_is_not_sent_again(tmp_path: Path) -> None:
    inventory = write_rows(tmp_path / "routers.csv", wishes := some_rows(2))
    async with cloud() as sky:
        await sky.script({"operation": "create", "fault": "hang"})
        async with sky.slowly(tmp_path, "run", str(inventory)) as run:
            await sky.until_creates(1)
            run.process.kill()
            await run.end()
        await sky.control("DELETE", f"flow-logs/{(await sky.flow_logs(wishes[0]))[0]['id']}")
        await sky.control("POST", "clock", {"advance_s": 9 * 3600})
        write_settings(tmp_path, "[run]\ntoken_lifetime_s = 3600\nlisting_lag_s = 0.2\n")
        rewrite(tmp_path, "UPDATE row SET intent_at = intent_at - 32400")
        ended = await sky.run(tmp_path, "resume")
        assert ended.code == 0, ended.err
        rows = report_rows(tmp_path)
        assert [row["outcome"] for row in rows] == ["created"] * 2
        assert rows[0]["generation"] == "1"
        assert len(await sky.flow_logs(wishes[0])) == 2
