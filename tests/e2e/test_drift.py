"""What is there otherwise than wished: named, and put right where that is asked for."""

from collections import Counter
from pathlib import Path

import aiohttp
import pytest

from tests.e2e.clouds import TICKET, Cloud, assert_created_once, cloud
from tests.e2e.commands import EMULATOR_KEYS, batcher, column, report_rows
from tests.e2e.inventories import some_rows, write_rows

Row = dict[str, str]
WISHES = [{**wish, "description": f"of row {number}", "enabled": "true"} for number, wish in enumerate(some_rows(6))]


async def off(sky: Cloud, wish: Row, flow_log_id: str) -> None:
    """Somebody has disabled it."""
    url = f"{sky.url}/v3/{wish['project_id']}/enterprise-router/{wish['er_id']}/flow-logs/{flow_log_id}/disable"
    async with aiohttp.ClientSession() as session, session.post(url, headers={"X-Auth-Token": TICKET}) as response:
        assert response.status == 202, await response.text()


async def seed_drift(sky: Cloud) -> None:
    """Of six wishes: another name, another description, off, all three, as wished, and nothing."""
    await sky.seed(WISHES[0], name="theirs")
    await sky.seed(WISHES[1], description="theirs")
    (only_off,) = await sky.seed(WISHES[2])
    (all_three,) = await sky.seed(WISHES[3], name="theirs", description="theirs")
    await sky.seed(WISHES[4])
    await off(sky, WISHES[2], only_off)
    await off(sky, WISHES[3], all_three)


async def as_wished(sky: Cloud) -> bool:
    """Whether the cloud holds what the inventory asks for."""
    logs = {log["resource_id"]: log for log in await sky.flow_logs(WISHES[0])}
    return len(logs) == 6 and all(
        (logs[wish["resource_id"]]["name"], logs[wish["resource_id"]]["description"])
        == (wish["name"], wish["description"])
        and logs[wish["resource_id"]]["enabled"] is True
        for wish in WISHES
    )


@pytest.mark.parametrize("reconcile", ["always", "never"])
async def test_drift_is_named_and_then_put_right(tmp_path: Path, reconcile: str) -> None:
    """Found in the listing before sending, or by the provider's refusal of a second one."""
    inventory = write_rows(tmp_path / "routers.csv", WISHES)
    words = ("run", str(inventory), "--reconcile", reconcile)
    async with cloud() as sky:
        await seed_drift(sky)
        ended = await sky.run(tmp_path, *words)
        assert ended.code == 3, ended.err
        assert column(tmp_path, "outcome") == ["drifted"] * 4 + ["exists", "created"]
        assert "name: wished `fl-0`, there is `theirs`" in column(tmp_path, "error_message")[0]
        assert "run routers.csv --fix-drift" in ended.out
        assert not await as_wished(sky)

        ended = await sky.run(tmp_path, *words, "--fix-drift")
        assert ended.code == 0, ended.err
        assert column(tmp_path, "outcome") == ["updated"] * 4 + ["exists"] * 2
        rows = report_rows(tmp_path)
        assert {(line["error_code"], line["enabled"]) for line in rows} == {("", "true")}
        assert rows[0]["error_message"] == "put right: name: wished `fl-0`, there was `theirs`"
        assert await as_wished(sky)
        statistics = await sky.statistics()
        assert (statistics["calls"]["update"], statistics["calls"]["enable"]) == (3, 2)

        ended = await sky.run(tmp_path, *words)
        assert ended.code == 0, ended.err
        assert column(tmp_path, "outcome") == ["exists"] * 6
        assert_created_once(await sky.statistics(), 1)


async def test_what_cannot_be_put_right_says_why_and_leaves_the_rest(tmp_path: Path) -> None:
    inventory = write_rows(tmp_path / "routers.csv", WISHES)
    async with cloud() as sky:
        await seed_drift(sky)
        no = {"operation": "update", "fault": "status", "status": 400, "code": "ER.04009005", "message": "no such name"}
        busy = {"operation": "update", "fault": "status", "status": 400, "code": "ER.04008502", "skip": 0}
        lost = {"operation": "enable", "fault": "lost_after"}
        await sky.script({**no, "match": {"name": "fl-0"}, "times": None}, busy, lost)
        ended = await sky.run(tmp_path, "run", str(inventory), "--reconcile", "always", "--fix-drift")
        assert ended.code == 3, ended.err
        assert column(tmp_path, "outcome") == ["drifted", "updated", "updated", "updated", "exists", "created"]
        said = column(tmp_path, "error_message")[0]
        assert said.startswith("name: wished `fl-0`, there is `theirs`; not put right: ER.04009005: no such name")


@pytest.mark.parametrize("can_look", [True, False])
async def test_a_repair_without_an_answer_is_judged_by_what_is_there(tmp_path: Path, can_look: bool) -> None:
    inventory = write_rows(tmp_path / "routers.csv", WISHES[:1])
    words = ("run", str(inventory), "--reconcile", "always", "--fix-drift")
    async with cloud() as sky:
        await sky.seed(WISHES[0], name="theirs")
        down = {"operation": "list", "fault": "status", "status": 503, "skip": 1, "times": None}
        await sky.script({"operation": "update", "fault": "lost_after"}, *([] if can_look else [down]))
        (tmp_path / "batcher.toml").write_text("[run]\nattempts_max = 1\n")
        ended = await sky.run(tmp_path, *words)
        if not can_look:
            assert (ended.code, column(tmp_path, "outcome")) == (3, ["in_doubt"]), ended.err
            assert "not put right" in column(tmp_path, "error_message")[0]
            await sky.script()
            ended = await sky.run(tmp_path, *words)
        assert ended.code == 0, ended.err
        assert column(tmp_path, "outcome") == ["updated" if can_look else "exists"]
        assert (await sky.statistics())["calls"]["update"] == 1


async def test_a_repair_that_was_killed_is_done_by_the_next_sitting(tmp_path: Path) -> None:
    inventory = write_rows(tmp_path / "routers.csv", WISHES)
    async with cloud() as sky:
        await seed_drift(sky)
        await sky.script({"operation": "update", "fault": "hang", "skip": 1})
        words = ("run", str(inventory), "--reconcile", "always", "--fix-drift")
        async with sky.slowly(tmp_path, *words, rate="50/s") as work:
            await work.until("run.started")
            while (await sky.statistics())["calls"].get("update", 0) < 2:
                pass
            work.process.kill()
            await work.end()
        ended = await sky.run(tmp_path, "resume")
        assert ended.code == 0, ended.err
        assert set(column(tmp_path, "outcome")) <= {"updated", "exists", "created"}
        assert await as_wished(sky)


@pytest.mark.timeout(120)
async def test_half_of_a_large_router_is_there_and_some_of_it_drifted(tmp_path: Path) -> None:
    """5,000 rows: about a call for each that must be created, and next to none for what is right; nothing twice."""
    wishes = some_rows(5000)
    inventory = write_rows(tmp_path / "routers.csv", wishes)
    async with cloud() as sky:
        await sky.seed(*wishes[:2450])
        await sky.seed(*wishes[2450:2500], name="theirs")
        ended = await batcher(tmp_path, *sky.words("run", str(inventory), rate="2000/s"), extra=EMULATOR_KEYS)
        assert ended.code == 3, ended.err
        assert Counter(column(tmp_path, "outcome")) == {"exists": 2450, "drifted": 50, "created": 2500}
        calls = (await sky.statistics())["calls"]
        assert sum(calls.values()) <= 1.02 * 2500
        assert_created_once(await sky.statistics(), 2500)

        ended = await batcher(tmp_path, *sky.words("run", str(inventory), rate="2000/s"), extra=EMULATOR_KEYS)
        assert ended.code == 3, ended.err
        again = (await sky.statistics())["calls"]
        assert sum(again.values()) - sum(calls.values()) <= 3 + 1
        assert again["create"] == calls["create"]

        ended = await batcher(
            tmp_path, *sky.words("run", str(inventory), "--fix-drift", rate="2000/s"), extra=EMULATOR_KEYS
        )
        assert ended.code == 0, ended.err
        assert Counter(column(tmp_path, "outcome")) == {"exists": 4950, "updated": 50}
