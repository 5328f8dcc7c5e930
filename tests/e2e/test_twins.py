"""Flow logs that were there before, and flow logs that went away: the report tells them from its own."""

import gzip
from pathlib import Path

from tests.e2e.clouds import assert_created_once, cloud
from tests.e2e.commands import column, report_rows, side_by_side
from tests.e2e.inventories import some_rows, write_rows


async def test_one_that_was_there_exists_or_has_drifted_however_it_is_found(tmp_path: Path) -> None:
    await side_by_side(told_apart(tmp_path / mode, mode) for mode in ("never", "auto", "always"))


async def told_apart(folder: Path, mode: str) -> None:
    """Run rows of which one has an equal twin and one a different one."""
    folder.mkdir()
    wishes = some_rows(4)
    inventory = write_rows(folder / "routers.csv", wishes)
    async with cloud() as sky:
        same, other = await sky.seed(wishes[0]) + await sky.seed(wishes[1], name="of-another-team")
        ended = await sky.run(folder, "run", str(inventory), "--reconcile", mode)
        assert ended.code == 3, ended.err
        rows = report_rows(folder)
        assert [row["outcome"] for row in rows] == ["exists", "drifted", "created", "created"], mode
        assert [row["flow_log_id"] for row in rows[:2]] == [same, other]
        assert rows[1]["error_code"] == "BATCHER.Drifted"
        assert rows[1]["error_message"] == "name: wished `fl-1`, there is `of-another-team`"
        assert [row["name"] for row in report_rows(folder, "failed.csv")] == ["fl-1"]
        assert_created_once(await sky.statistics(), 2)
        assert {log["name"] for log in await sky.flow_logs(wishes[0])} == {"fl-0", "of-another-team", "fl-2", "fl-3"}


async def test_one_made_under_another_token_is_found_not_made(tmp_path: Path) -> None:
    wishes = some_rows(2, description="by us")
    inventory = write_rows(tmp_path / "routers.csv", wishes)
    async with cloud() as sky:
        await sky.create(wishes[0], token="of-another-program")
        await sky.create({**wishes[1], "description": "by them"}, token="of-another-program-too")
        ended = await sky.run(tmp_path, "run", str(inventory), "--reconcile", "never")
        assert ended.code == 3, ended.err
        rows = report_rows(tmp_path)
        assert [row["outcome"] for row in rows] == ["exists", "drifted"]
        assert rows[1]["error_message"] == "description: wished `by us`, there is `by them`"
        statistics = await sky.statistics()
        assert statistics["created_total"] == 2
        assert statistics["keys_created_twice"] == []


async def test_rows_that_are_off_end_off(tmp_path: Path) -> None:
    wishes = [*some_rows(2, enabled="true"), {**some_rows(3)[2], "enabled": "false"}]
    inventory = write_rows(tmp_path / "routers.csv", wishes)
    async with cloud() as sky:
        ended = await sky.run(tmp_path, "run", str(inventory))
        assert ended.code == 0, ended.err
        assert column(tmp_path, "outcome") == ["created"] * 3
        assert column(tmp_path, "enabled") == ["true", "true", "false"]
        there = {log["name"]: log["enabled"] for log in await sky.flow_logs(wishes[0])}
        assert there == {"fl-0": True, "fl-1": True, "fl-2": False}

        ended = await sky.run(tmp_path, "run", str(inventory))
        assert ended.code == 0, ended.err
        assert column(tmp_path, "outcome") == ["exists"] * 3


async def test_one_deleted_behind_our_back_is_made_again(tmp_path: Path) -> None:
    wishes = some_rows(3)
    inventory = write_rows(tmp_path / "routers.csv", wishes)
    async with cloud() as sky:
        assert (await sky.run(tmp_path, "run", str(inventory))).code == 0
        gone = column(tmp_path, "flow_log_id")[1]
        await sky.control("DELETE", f"flow-logs/{gone}")
        ended = await sky.run(tmp_path, "run", str(inventory))
        assert ended.code == 0, ended.err
        rows = report_rows(tmp_path)
        assert [row["outcome"] for row in rows] == ["exists", "created", "exists"]
        assert [row["generation"] for row in rows] == ["0", "1", "0"]
        assert rows[1]["flow_log_id"] != gone
        assert len(await sky.flow_logs(wishes[0])) == 3

        gone = rows[1]["flow_log_id"]
        await sky.control("DELETE", f"flow-logs/{gone}")
        ended = await sky.run(tmp_path, "run", str(inventory), "--reconcile", "never")
        assert ended.code == 0, ended.err
        assert column(tmp_path, "generation")[1] == "2"
        assert len(await sky.flow_logs(wishes[0])) == 3


async def test_one_that_was_taken_and_vanished_before_it_was_seen_is_made_again(tmp_path: Path) -> None:
    wishes = some_rows(2)
    inventory = write_rows(tmp_path / "routers.csv", wishes)
    (tmp_path / "batcher.toml").write_text("[run]\nverify_time_s = 0.5\n")
    async with cloud(pending_s=3600) as sky:
        ended = await sky.run(tmp_path, "run", str(inventory))
        assert ended.code == 5, ended.err
        assert column(tmp_path, "outcome") == ["unverified"] * 2
        await sky.control("DELETE", f"flow-logs/{column(tmp_path, 'flow_log_id')[0]}")
        await sky.control("PATCH", "settings", {"pending_s": 0})
        await sky.control("POST", "clock", {"advance_s": 3600})
        for _ in range(2):
            ended = await sky.run(tmp_path, "run", str(inventory))
        assert len(await sky.flow_logs(wishes[0])) == 2
        assert ended.code == 0, ended.out + ended.err


async def test_equal_wishes_of_two_ledgers_are_one_flow_log(tmp_path: Path) -> None:
    """Losing the ledger costs time, never correctness: the token comes from the content."""
    wishes = some_rows(3)
    async with cloud() as sky:
        for name in ("first", "second"):
            folder = tmp_path / name
            folder.mkdir()
            (folder / "routers.csv.gz").write_bytes(gzip.compress(write_rows(folder / "plain", wishes).read_bytes()))
            ended = await sky.run(folder, "run", "routers.csv.gz", "--reconcile", "never")
            assert ended.code == 0, ended.err
            assert set(column(folder, "outcome")) <= {"created", "exists"}
        assert column(tmp_path / "first", "token") == column(tmp_path / "second", "token")
        assert column(tmp_path / "first", "flow_log_id") == column(tmp_path / "second", "flow_log_id")
        assert_created_once(await sky.statistics(), 3)
