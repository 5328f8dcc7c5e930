"""What stands already, and is not as it will be: a plan, a run and the report say the same of it, and know no more."""

import json
from pathlib import Path

import pytest

from tests.e2e.clouds import Cloud, cloud
from tests.e2e.commands import (
    EMULATOR_KEYS,
    Ended,
    batcher,
    calls_made,
    column,
    emulator,
    report_rows,
    says,
    summary,
    write_settings,
)
from tests.e2e.inventories import row, some_rows, some_uuid, write_rows

SHORT = "[run]\nverify_time_s = 0.2\n"
"""Nobody waits for long for what stays `pending`."""


async def freed(sky: Cloud, wish: dict[str, str], state: str) -> None:
    """What is `pending` on a row's attachment becomes this."""
    place = {name: wish[name] for name in ("project_id", "er_id", "resource_id")}
    await sky.control("POST", "fates", [{**place, "state": state}])


def told(ended: Ended) -> dict[str, int]:
    """Rows by what a plan says of them."""
    return {name: count for name, count in json.loads(ended.out)["rows"].items() if count}


async def test_what_stays_pending_is_never_there_as_wished_and_no_night_waits_for_the_one_before(
    tmp_path: Path,
) -> None:
    """Two that stand, one of them `pending` for good; each night is a run of its own, which looks at both."""
    wishes = some_rows(2)
    inventory = write_rows(tmp_path / "routers.csv", wishes)
    write_settings(tmp_path, SHORT)
    async with cloud() as sky:
        await sky.seed(wishes[0])
        await sky.seed(wishes[1], state="pending")
        ids = set()
        for _ in range(2):
            planned = await sky.run(tmp_path, "plan", str(inventory), "--check")
            assert planned.code == 3, planned.out
            says(planned.out, "1 there as wished", "1 there, not final yet", "1 pending, BATCHER.Unverified, as line 3")
            ended = await sky.run(tmp_path, "run", str(inventory))
            assert ended.code == 5, ended.err
            assert column(tmp_path, "outcome") == ["exists", "unverified"]
            last = report_rows(tmp_path)[1]
            assert (last["error_code"], last["flow_log_state"]) == ("BATCHER.Unverified", "pending")
            assert "in state `pending`" in last["error_message"]
            assert [line["name"] for line in report_rows(tmp_path, "pending.csv")] == [wishes[1]["name"]]
            ids.add(summary(tmp_path)["run_id"])
        assert len(ids) == 2

        await freed(sky, wishes[1], "available")
        resumed = await sky.run(tmp_path, "resume")
        assert resumed.code == 0, resumed.err
        assert column(tmp_path, "outcome") == ["exists", "exists"]
        assert (await sky.run(tmp_path, "plan", str(inventory), "--check")).code == 0
        assert (await sky.run(tmp_path, "run", str(inventory))).code == 0
        assert calls_made(tmp_path) == {"list": 1}
        assert await sky.creates() <= 2


async def test_what_is_pending_is_followed_to_its_end(tmp_path: Path) -> None:
    wishes = some_rows(3)
    inventory = write_rows(tmp_path / "routers.csv", wishes)
    async with cloud() as sky:
        await sky.seed(*wishes, state="pending")
        async with sky.slowly(tmp_path, "run", str(inventory), "--reconcile", "always", rate="200/s") as running:
            await running.until("kind=list")
            for wish, state in zip(wishes, ("available", "failed", "available"), strict=True):
                await freed(sky, wish, state)
            ended = await running.end()
        assert ended.code == 3, ended.err
        assert column(tmp_path, "outcome") == ["exists", "failed", "exists"]
        assert column(tmp_path, "error_message")[0] == ""
        assert await sky.creates() == 0
        undone = await sky.run(tmp_path, "undo", "latest", "--yes")
        assert undone.code == 2, undone.out
        assert len(await sky.flow_logs(wishes[0])) == 3


async def test_what_failed_before_is_failed_in_plan_and_run(tmp_path: Path) -> None:
    wishes = some_rows(2)
    inventory = write_rows(tmp_path / "routers.csv", wishes)
    async with cloud() as sky:
        await sky.seed(*wishes, state="failed")
        planned = await sky.run(tmp_path, "plan", str(inventory), "--output", "json")
        assert told(planned) == {"failed": 2}
        ended = await sky.run(tmp_path, "run", str(inventory))
        assert (ended.code, column(tmp_path, "error_code")) == (3, ["BATCHER.RemoteFailed"] * 2), ended.err


async def test_without_verification_what_is_pending_is_there(tmp_path: Path) -> None:
    wishes = some_rows(2)
    inventory = write_rows(tmp_path / "routers.csv", wishes)
    async with cloud() as sky:
        await sky.seed(*wishes, state="pending")
        planned = await sky.run(tmp_path, "plan", str(inventory), "--no-verify", "--output", "json")
        assert told(planned) == {"exists": 2}
        ended = await sky.run(tmp_path, "run", str(inventory), "--no-verify")
        assert (ended.code, column(tmp_path, "outcome")) == (0, ["exists"] * 2), ended.err
        assert column(tmp_path, "flow_log_state") == ["pending"] * 2


async def test_a_reviewed_plan_does_not_make_what_it_saw_pending(tmp_path: Path) -> None:
    """It becomes final after the review, and one is gone: that one was not to be made."""
    wishes = some_rows(2)
    inventory = write_rows(tmp_path / "routers.csv", wishes)
    async with cloud() as sky:
        ids = await sky.seed(*wishes, state="pending")
        planned = await sky.run(tmp_path, "plan", str(inventory), "--out", "plan.json")
        assert planned.code == 0, planned.err
        async with sky.slowly(tmp_path, "run", str(inventory), "--plan", "plan.json", rate="200/s") as running:
            await running.until("kind=list")
            await sky.control("DELETE", f"flow-logs/{ids[1]}")
            await freed(sky, wishes[0], "available")
            ended = await running.end()
        assert ended.code == 3, ended.err
        assert column(tmp_path, "outcome") == ["exists", "skipped"]
        assert column(tmp_path, "error_code")[1] == "BATCHER.Moved"
        assert await sky.creates() == 0


async def test_what_stands_without_its_ground_is_there_for_a_preflight_too(tmp_path: Path) -> None:
    """Its log group is gone: what stands stands, and another such row cannot be made. On two routers with few rows."""
    wishes = some_rows(12, routers=2)
    inventory = write_rows(tmp_path / "routers.csv", wishes)
    async with cloud(open_world=False) as sky:
        await sky.seed_ground(*({**wish, "log_group_id": some_uuid("another group")} for wish in wishes))
        await sky.seed(*wishes[:10])
        await sky.seed(wishes[10], name="otherwise")
        planned = await sky.run(tmp_path, "plan", str(inventory), "--preflight", "--output", "json")
        ended = await sky.run(tmp_path, "run", str(inventory), "--preflight")
        assert ended.code == 3, ended.err
        assert column(tmp_path, "outcome") == ["exists"] * 10 + ["drifted", "failed"]
        assert column(tmp_path, "error_code")[11] == "BATCHER.NoLogGroup"
        assert told(planned) == {"exists": 10, "drifted": 1, "failed": 1}
        assert calls_made(tmp_path) == json.loads(planned.out)["calls"]["by_kind"]
        assert await sky.creates() == 0


async def test_what_a_preflight_cannot_list_is_sent_as_it_is(tmp_path: Path) -> None:
    wishes = some_rows(2)
    inventory = write_rows(tmp_path / "routers.csv", wishes)
    async with cloud(open_world=False) as sky:
        await sky.seed_ground({**wishes[0], "log_group_id": some_uuid("another group")})
        await sky.seed(wishes[0])
        no = {"operation": "list", "fault": "status", "status": 403, "code": "ER.04003001", "message": "denied"}
        await sky.script({**no, "times": 1})
        ended = await sky.run(tmp_path, "run", str(inventory), "--preflight")
        assert ended.code == 3, ended.err
        assert column(tmp_path, "outcome") == ["exists", "failed"]
        assert column(tmp_path, "error_code")[1].startswith("ER.")


@pytest.mark.parametrize(("rows", "made"), [(30, {"create": 2, "list": 2}), (60, {"list": 2})])
async def test_few_rows_that_stand_cost_no_more_than_many(tmp_path: Path, rows: int, made: dict[str, int]) -> None:
    """Two routers; of each one row goes ahead, and the listing that its refusal asks for settles the others."""
    wishes = some_rows(rows, routers=2)
    inventory = write_rows(tmp_path / "routers.csv", wishes)
    async with cloud(latency_s=0.02) as sky:
        await sky.seed(*wishes)
        planned = await sky.run(tmp_path, "plan", str(inventory))
        says(planned.out, f"{rows} there as wished")
        assert "to create" not in planned.out
        refused = "2 create (2 refused, as they are there), " if "create" in made else ""
        says(planned.out, f"calls    {sum(made.values())} at least: {refused}2 list (this plan cost")
        ended = await sky.run(tmp_path, "run", str(inventory))
        assert (ended.code, set(column(tmp_path, "outcome"))) == (0, {"exists"}), ended.err
        assert calls_made(tmp_path) == made


async def test_the_first_that_stands_has_the_router_listed_wherever_it_is(tmp_path: Path) -> None:
    """The first rows are new, the others stand, one of them otherwise than wished, and two failed."""
    wishes = some_rows(16)
    inventory = write_rows(tmp_path / "routers.csv", wishes)
    async with cloud() as sky:
        await sky.seed(*wishes[3:13])
        await sky.seed(wishes[13], name="otherwise")
        await sky.seed(*wishes[14:], state="failed")
        planned = await sky.run(tmp_path, "plan", str(inventory), "--fix-drift", "--no-verify", "--output", "json")
        words = sky.words("run", str(inventory), "--fix-drift", "--no-verify", "--concurrency", "1")
        ended = await batcher(tmp_path, *words, extra=EMULATOR_KEYS)
        assert ended.code == 3, ended.err
        assert column(tmp_path, "outcome") == ["created"] * 3 + ["exists"] * 10 + ["updated"] + ["failed"] * 2
        made = {"create": 4, "list": 1, "update": 1}
        assert calls_made(tmp_path) == json.loads(planned.out)["calls"]["by_kind"] == made


async def test_where_nothing_stands_a_row_that_goes_ahead_costs_no_call(tmp_path: Path) -> None:
    wishes = some_rows(30, routers=6)
    inventory = write_rows(tmp_path / "routers.csv", wishes)
    async with cloud() as sky:
        ended = await sky.run(tmp_path, "run", str(inventory), "--no-verify")
        assert (ended.code, set(column(tmp_path, "outcome"))) == (0, {"created"}), ended.err
        assert calls_made(tmp_path) == {"create": 30}


async def test_the_emulator_is_one_world_for_a_plan_a_check_and_a_run(tmp_path: Path) -> None:
    """Nothing was seeded: any attachment and log group is taken, and nobody says that they cannot be."""
    wishes = some_rows(30, routers=2)
    inventory = write_rows(tmp_path / "routers.csv", wishes)
    async with emulator(tmp_path) as served:
        sky = Cloud(served.url)
        for words in (("plan", str(inventory)), ("plan", str(inventory), "--preflight")):
            planned = await sky.run(tmp_path, *words)
            says(planned.out, "30 to create", "warning  the emulator takes any attachment, log group and stream")
            assert (planned.code, "cannot be made" in planned.out) == (0, False), planned.out
        visited = await batcher(tmp_path, "doctor", str(inventory), "--endpoint", sky.url, extra=EMULATOR_KEYS)
        assert (visited.code, "failed" in visited.out) == (0, False), visited.out
        says(visited.out, "the emulator takes any")
        ended = await sky.run(
            tmp_path, "run", str(inventory), "--preflight", "--reports", "checked", "--ledger", "c.db"
        )
        assert ended.code == 0, ended.err
        says(ended.err, "warning: the emulator takes any attachment")
        assert (await sky.statistics())["created_total"] == 30


async def test_what_stands_is_there_though_its_attachment_cannot_be_used(tmp_path: Path) -> None:
    """The service refuses a create for that before it looks what is there."""
    wishes = some_rows(4)
    inventory = write_rows(tmp_path / "routers.csv", wishes)
    async with cloud(open_world=False) as sky:
        await sky.seed_ground(*wishes)
        await sky.seed(*wishes[:3])
        place = {name: wishes[0][name] for name in ("project_id", "er_id")}
        frozen = [{**place, "id": wish["resource_id"], "state": "freezed"} for wish in (wishes[0], wishes[3])]
        await sky.control("POST", "attachments", frozen)
        planned = await sky.run(tmp_path, "plan", str(inventory), "--output", "json")
        assert told(planned) == {"exists": 3, "skipped": 1}
        ended = await sky.run(tmp_path, "run", str(inventory))
        assert ended.code == 3, ended.err
        assert column(tmp_path, "outcome") == ["exists"] * 3 + ["failed"]
        assert calls_made(tmp_path) == {"create": 2, "list": 1}


async def test_what_stands_is_there_though_the_quota_ends_before_its_turn(tmp_path: Path) -> None:
    """Ten rows of another router are refused first; a listing of the second one needs no quota."""
    new, there = some_rows(10, routers=1), [row(number, salt="there ") for number in range(1, 46, 3)]
    there = [{**wish, "project_id": new[0]["project_id"]} for wish in there]
    inventory = write_rows(tmp_path / "routers.csv", [*new, *there])
    async with cloud(quota=15) as sky:
        await sky.seed(*there)
        planned = await sky.run(tmp_path, "plan", str(inventory), "--output", "json")
        assert told(planned) == {"create": 10, "exists": 15}
        ended = await sky.run(tmp_path, "run", str(inventory))
        assert ended.code == 3, ended.err
        outcomes = column(tmp_path, "outcome")
        assert (set(outcomes[:10]), set(outcomes[10:])) == ({"failed", "skipped"}, {"exists"})
        assert (await sky.statistics())["created_total"] == 0
