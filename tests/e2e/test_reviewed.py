"""`batcher run --plan`: exactly what was reviewed is done, or nothing, and it says what has moved."""

import json
import signal
import sqlite3
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import aiohttp
import pytest

from tests.e2e.clouds import TICKET, Cloud, assert_created_once, cloud
from tests.e2e.commands import (
    EMULATOR_KEYS,
    Ended,
    batcher,
    calls_made,
    column,
    report_rows,
    says,
    side_by_side,
    summary,
    write_settings,
)
from tests.e2e.inventories import row, some_rows, some_uuid, write_rows

Row = Mapping[str, str]
PLAN = ("--plan", "plan.json")
SHORT = "[run]\nattempts_max = 2\nbackoff_base_s = 0.01\nbackoff_cap_s = 0.02\n"
WRITES = ("create", "update", "delete", "enable", "disable")
EMPTY = json.dumps({"flow_logs": [], "page_info": {"current_count": 0}, "total_count": 0, "request_id": "r"})
"""A whole listing of a router that has nothing."""


async def reviewed(sky: Cloud, folder: Path, inventory: Path, *words: str) -> None:
    """A plan in `plan.json`; it may have rows that cannot be made."""
    ended = await sky.run(folder, "plan", str(inventory), "--out", "plan.json", *words)
    assert ended.code in (0, 3), ended.err


def runs(folder: Path) -> int:
    """How many runs the ledger holds, in whatever state."""
    with closing(sqlite3.connect(folder / "reports" / "ledger.db")) as ledger:
        return int(ledger.execute("SELECT count(*) FROM run").fetchone()[0])


async def written(sky: Cloud) -> int:
    """How many calls the cloud has seen that change something."""
    calls = (await sky.statistics())["calls"]
    return sum(calls.get(kind, 0) for kind in WRITES)


async def change(sky: Cloud, wish: Row, method: str, flow_log_id: str, **fields: str) -> None:
    """What somebody else does to a flow log."""
    url = f"{sky.url}/v3/{wish['project_id']}/enterprise-router/{wish['er_id']}/flow-logs/{flow_log_id}"
    own = {"X-Auth-Token": TICKET}
    async with aiohttp.ClientSession() as session, session.request(method, url, json=fields, headers=own) as response:
        assert response.status < 300, await response.text()


async def set_state(sky: Cloud, wish: Row, state: str) -> None:
    """An attachment is in another state from now on."""
    place = {name: wish[name] for name in ("project_id", "er_id")}
    await sky.control("POST", "attachments", [{**place, "id": wish["resource_id"], "state": state}])


# --- what was reviewed is done ----------------------------------------------------------------------


async def test_what_was_reviewed_is_done_with_no_call_more_than_it_needs(tmp_path: Path) -> None:
    """The look before it is the run's own: no router is listed again, and what is checked is checked once."""
    wishes = [row(number, routers=2, projects=2) for number in range(40)]
    inventory = write_rows(tmp_path / "routers.csv", wishes)
    async with cloud(open_world=False) as sky:
        await sky.seed_ground(*wishes[:39])
        await sky.seed(*wishes[:5])
        await reviewed(sky, tmp_path, inventory)
        before = Counter((await sky.statistics())["calls"])
        ended = await sky.run(tmp_path, "run", str(inventory), *PLAN, "--preflight", "--no-verify")
        assert ended.code == 3, ended.err
        assert column(tmp_path, "outcome") == ["exists"] * 5 + ["created"] * 34 + ["failed"]
        needed = {"list": 2, "attachments": 2, "log_groups": 2, "log_streams": 2, "quotas": 2, "create": 34}
        assert Counter((await sky.statistics())["calls"]) - before == needed
        assert calls_made(tmp_path) == needed
        changes = json.loads((tmp_path / "plan.json").read_bytes())["changes"]
        created = [line["resource_id"] for line in report_rows(tmp_path) if line["outcome"] == "created"]
        assert [change["resource_id"] for change in changes] == created
        assert_created_once(await sky.statistics(), 34)

        again = await sky.run(tmp_path, "run", str(inventory), *PLAN)
        assert again.code == 2, again.out
        assert "the cloud has moved" in again.err
        assert runs(tmp_path) == 1


async def test_exactly_the_drift_that_was_reviewed_is_put_right(tmp_path: Path) -> None:
    """However many rows the router has, and whether or not a run of its own accord would list it first."""
    cases = [(rows, reconcile) for rows in (3, 30) for reconcile in ("auto", "never")]
    await side_by_side(put_right(tmp_path / f"{rows}-{reconcile}", rows, reconcile) for rows, reconcile in cases)


async def put_right(folder: Path, rows: int, reconcile: str) -> None:
    """One row has drifted, one is there, the others are not."""
    folder.mkdir()
    wishes = some_rows(rows)
    inventory = write_rows(folder / "routers.csv", wishes)
    async with cloud(open_world=False) as sky:
        await sky.seed_ground(*wishes)
        (drifted,) = await sky.seed(wishes[0], name="theirs")
        await sky.seed(wishes[1])
        await reviewed(sky, folder, inventory, "--fix-drift")
        ended = await sky.run(folder, "run", str(inventory), *PLAN, "--reconcile", reconcile)
        assert ended.code == 0, ended.out
        assert column(folder, "outcome") == ["updated", "exists"] + ["created"] * (rows - 2)
        assert report_rows(folder)[0]["flow_log_id"] == drifted
        assert (await sky.statistics())["calls"]["update"] == 1


async def test_a_limit_that_the_look_has_met_holds_for_the_run(tmp_path: Path) -> None:
    """The last call of the look is throttled to 30 a second; 40 creates then take more than one."""
    wishes = some_rows(40)
    inventory = write_rows(tmp_path / "routers.csv", wishes)
    async with cloud(open_world=False) as sky:
        await sky.seed_ground(*wishes)
        await reviewed(sky, tmp_path, inventory)
        await sky.control("POST", "clock", {"advance_s": 60})
        full = {"fault": "status", "status": 429, "code": "APIGW.0308", "message": "limit:30,time:1 second"}
        await sky.script({"operation": "quotas", **full})
        ended = await sky.run(tmp_path, "run", str(inventory), *PLAN)
        assert ended.code == 0, ended.err
        assert column(tmp_path, "outcome") == ["created"] * 40
        assert (await sky.statistics())["worst_window"]["calls"] <= 32


async def test_a_router_that_refused_the_plan_is_not_called_by_the_run(tmp_path: Path) -> None:
    here, gone = some_rows(2), [{**wish, "er_id": some_uuid("gone")} for wish in some_rows(2)]
    inventory = write_rows(tmp_path / "routers.csv", [*here, *gone])
    async with cloud(open_world=False) as sky:
        await sky.seed_ground(*here)
        await reviewed(sky, tmp_path, inventory)
        ended = await sky.run(tmp_path, "run", str(inventory), *PLAN)
        assert ended.code == 3, ended.err
        assert column(tmp_path, "outcome") == ["created"] * 2 + ["skipped"] * 2
        assert column(tmp_path, "error_code")[2:] == ["BATCHER.RouterStopped"] * 2
        assert await sky.creates() == 2


# --- nothing is done --------------------------------------------------------------------------------


async def test_a_cloud_that_has_moved_is_told_by_its_router_and_nothing_is_sent(tmp_path: Path) -> None:
    """A flow log more, one renamed, one less, an attachment that is not ready; and back again, as it was reviewed."""
    wishes = some_rows(4)
    inventory = write_rows(tmp_path / "routers.csv", wishes)
    router = f"router `{wishes[0]['er_id']}`"

    async def refusal(sky: Cloud) -> str:
        before = await written(sky)
        ended = await sky.run(tmp_path, "run", str(inventory), *PLAN)
        assert ended.code == 2, ended.out
        assert (await written(sky), runs(tmp_path), ended.out) == (before, 0, "")
        says(
            ended.err,
            "the cloud has moved since the plan `plan.json` was made",
            "batcher plan INVENTORY --out plan.json",
        )
        return ended.err

    async with cloud(open_world=False) as sky:
        await sky.seed_ground(*wishes)
        (there,) = await sky.seed(wishes[0])
        await reviewed(sky, tmp_path, inventory)

        (more,) = await sky.seed(wishes[1])
        says(await refusal(sky), f"{router}: then 3 create, 1 exists, now 2 create, 2 exists; nothing was sent")
        await sky.control("DELETE", f"flow-logs/{more}")

        await change(sky, wishes[0], "PUT", there, name="theirs")
        says(await refusal(sky), f"{router}: then 3 create, 1 exists, now 3 create, 1 drifted")
        await change(sky, wishes[0], "PUT", there, name=wishes[0]["name"])

        await set_state(sky, wishes[2], "deleting")
        says(await refusal(sky), f"{router}: then 3 create, 1 exists, now 2 create, 1 exists, 1 skipped")
        await set_state(sky, wishes[2], "available")

        await sky.control("DELETE", f"flow-logs/{there}")
        says(await refusal(sky), f"{router}: then 3 create, 1 exists, now 4 create")

        await sky.seed(wishes[0])
        says(await refusal(sky), f"{router}: 3 create, 1 exists as then, but of other rows or flow logs")


async def test_as_long_as_nothing_has_moved_the_plan_holds(tmp_path: Path) -> None:
    """What others do to rows of nobody's inventory is no concern of it."""
    wishes = some_rows(4)
    inventory = write_rows(tmp_path / "routers.csv", wishes[:3])
    async with cloud(open_world=False) as sky:
        await sky.seed_ground(*wishes)
        (there,) = await sky.seed(wishes[0])
        await reviewed(sky, tmp_path, inventory)
        await sky.seed(wishes[3])
        await change(sky, wishes[0], "PUT", there, name="theirs")
        await change(sky, wishes[0], "PUT", there, name=wishes[0]["name"])
        ended = await sky.run(tmp_path, "run", str(inventory), *PLAN)
        assert ended.code == 0, ended.err
        assert column(tmp_path, "outcome") == ["exists", "created", "created"]


async def test_another_inventory_other_settings_and_an_edited_plan_are_refused_before_any_call(tmp_path: Path) -> None:
    wishes = some_rows(3)
    inventory = write_rows(tmp_path / "routers.csv", wishes)
    other = write_rows(tmp_path / "other.csv", wishes[:2])
    async with cloud() as sky:
        await sky.seed_ground(*wishes)
        await reviewed(sky, tmp_path, inventory)
        text = (tmp_path / "plan.json").read_text()
        (tmp_path / "edited.json").write_text(text.replace("fl-2", "fl-9"))
        seen = (await sky.statistics())["calls"]

        async def refusal(inventory: Path, plan: str, *words: str) -> Ended:
            return await sky.run(
                tmp_path, "run", str(inventory), "--plan", plan, "--ledger", f"{plan}{words}.db", *words
            )

        ended = await side_by_side(
            (
                refusal(other, "plan.json"),
                refusal(inventory, "plan.json", "--map", "name=owner"),
                refusal(inventory, "plan.json", "--fix-drift"),
                refusal(inventory, "edited.json"),
                refusal(inventory, "routers.csv"),
                refusal(inventory, "plan.json", "--emulator"),
            )
        )
        assert [each.code for each in ended] == [2] * 6, ended
        for each, said in zip(
            ended,
            (
                "the inventory is not the one of the plan `plan.json`",
                "the settings that shape rows are not those of the plan `plan.json`",
                "the plan `plan.json` was made without `--fix-drift`",
                "the plan `edited.json` was changed since it was made",
                "`routers.csv` is no plan",
                "the plan `plan.json` was made for the cloud",
            ),
            strict=True,
        ):
            says(each.err, said)
            assert "hint: " in each.err
        assert (await sky.statistics())["calls"] == seen
    assert not (tmp_path / "reports").exists()


async def test_what_cannot_be_looked_at_again_is_not_done(tmp_path: Path) -> None:
    write_settings(tmp_path, SHORT)
    wishes = some_rows(3)
    inventory = write_rows(tmp_path / "routers.csv", wishes)
    async with cloud(open_world=False) as sky:
        await sky.seed_ground(*wishes)
        await reviewed(sky, tmp_path, inventory)
        broken = {"operation": "list", "fault": "status", "status": 500, "code": "APIGW.0611", "times": 2}
        await sky.script(broken)
        ended = await sky.run(tmp_path, "run", str(inventory), *PLAN)
        assert (ended.code, ended.out) == (5, ""), ended.err
        wrong = {**EMULATOR_KEYS, "HUAWEICLOUD_SDK_SK": "not-the-secret"}
        ended = await batcher(tmp_path, *sky.words("run", str(inventory), *PLAN), extra=wrong)
        assert (ended.code, ended.out) == (7, ""), ended.err
        async with sky.slowly(tmp_path, "run", str(inventory), *PLAN, rate="2/s") as run:
            await run.until("kind=list")
            run.send(signal.SIGTERM)
            ended = await run.end()
        assert (ended.code, ended.out) == (143, ""), ended.err
        assert (await written(sky), runs(tmp_path)) == (0, 0)


# --- what moves in the meantime ---------------------------------------------------------------------


async def test_drift_that_vanishes_before_it_is_put_right_is_not_made_anew(tmp_path: Path) -> None:
    """By the second listing it is gone: it is left alone, by this run, and by `resume`; the rest is done."""
    wishes = some_rows(3)
    inventory = write_rows(tmp_path / "routers.csv", wishes)
    async with cloud(open_world=False) as sky:
        await sky.seed_ground(*wishes)
        (drifted,) = await sky.seed(wishes[0], name="theirs")
        await reviewed(sky, tmp_path, inventory, "--fix-drift")
        await sky.script(
            {"operation": "list", "fault": "status", "status": 200, "body": EMPTY, "skip": 1, "times": None}
        )
        ended = await sky.run(tmp_path, "run", str(inventory), *PLAN)
        assert ended.code == 3, ended.err
        for _ in range(2):
            assert column(tmp_path, "outcome") == ["skipped", "created", "created"]
            assert column(tmp_path, "error_code") == ["BATCHER.Moved", "", ""]
            assert column(tmp_path, "flow_log_id")[0] == drifted
            assert await sky.creates() == 2
            await sky.script()
            await sky.control("DELETE", f"flow-logs/{drifted}") if _ == 0 else None
            ended = await sky.run(tmp_path, "resume")
            assert ended.code == 3, ended.err


async def test_drift_that_cannot_be_read_again_is_not_called_gone(tmp_path: Path) -> None:
    write_settings(tmp_path, SHORT)
    wishes = some_rows(2)
    inventory = write_rows(tmp_path / "routers.csv", wishes)
    async with cloud(open_world=False) as sky:
        await sky.seed_ground(*wishes)
        await sky.seed(wishes[0], name="theirs")
        await reviewed(sky, tmp_path, inventory, "--fix-drift")
        broken = {"operation": "list", "fault": "status", "status": 500, "code": "APIGW.0611", "message": "internal"}
        await sky.script({**broken, "skip": 1, "times": 2})
        ended = await sky.run(tmp_path, "run", str(inventory), *PLAN)
        assert ended.code == 3, ended.err
        assert column(tmp_path, "outcome") == ["skipped", "created"]
        assert column(tmp_path, "error_code") == ["BATCHER.ListingIncomplete", ""]
        assert "APIGW.0611 internal" in column(tmp_path, "error_message")[0]
        ended = await sky.run(tmp_path, "resume")
        assert ended.code == 0, ended.err
        assert column(tmp_path, "outcome") == ["updated", "created"]


@pytest.mark.parametrize("hidden", [1, 2])
async def test_what_others_make_in_the_meantime_is_not_changed(tmp_path: Path, hidden: int) -> None:
    """The plan was to create it. It is there by then, under another name: nobody has reviewed to rename it.

    It shows in the listing before the repair, or only once the create is refused.
    """
    wishes = some_rows(3)
    inventory = write_rows(tmp_path / "routers.csv", wishes)
    async with cloud(open_world=False) as sky:
        await sky.seed_ground(*wishes)
        await sky.seed(wishes[0], name="theirs")
        (drifted,) = await sky.flow_logs(wishes[0])
        await reviewed(sky, tmp_path, inventory, "--fix-drift")
        await sky.seed(wishes[1], name="theirs too")
        first = {"flow_logs": [drifted], "page_info": {"current_count": 1}, "total_count": 1, "request_id": "r"}
        body = json.dumps(first)
        await sky.script({"operation": "list", "fault": "status", "status": 200, "body": body, "times": hidden})
        ended = await sky.run(tmp_path, "run", str(inventory), *PLAN)
        assert ended.code == 3, ended.err
        assert column(tmp_path, "outcome") == ["updated", "drifted", "created"]
        assert "not put right: it was not there when the plan was reviewed" in column(tmp_path, "error_message")[1]
        calls = (await sky.statistics())["calls"]
        assert (calls["update"], calls["create"]) == (1, hidden)


# --- again ------------------------------------------------------------------------------------------


async def test_a_run_that_was_killed_goes_on_with_its_plan(tmp_path: Path) -> None:
    """Killed within a repair, of which the thing is then gone: it is still not made anew."""
    wishes = some_rows(24)
    inventory = write_rows(tmp_path / "routers.csv", wishes)
    async with cloud(open_world=False) as sky:
        await sky.seed_ground(*wishes)
        drifted = await sky.seed(*wishes[:2], name="theirs")
        await reviewed(sky, tmp_path, inventory, "--fix-drift")
        await sky.script({"operation": "update", "fault": "hang"})
        async with sky.slowly(tmp_path, "run", str(inventory), *PLAN, rate="200/s") as run:
            while not (await sky.statistics())["calls"].get("update"):
                pass
            run.process.kill()
            await run.end()
        assert (runs(tmp_path), await sky.creates()) == (1, 0)
        await sky.control("DELETE", f"flow-logs/{drifted[1]}")
        ended = await sky.run(tmp_path, "run", str(inventory), *PLAN)
        assert ended.code == 3, ended.err
        assert "(continued)" in ended.out
        assert column(tmp_path, "outcome")[1:] == ["skipped"] + ["created"] * 22
        assert column(tmp_path, "outcome")[0] in ("updated", "exists")
        assert column(tmp_path, "error_code")[1] == "BATCHER.Moved"
        assert runs(tmp_path) == 1
        assert_created_once(await sky.statistics(), 22)


async def test_another_unfinished_run_of_the_inventory_comes_first(tmp_path: Path) -> None:
    wishes = some_rows(8)
    inventory = write_rows(tmp_path / "routers.csv", wishes)
    async with cloud(open_world=False, latency_s=0.2) as sky:
        await sky.seed_ground(*wishes)
        async with sky.slowly(tmp_path, "run", str(inventory)) as run:
            await run.until("kind=create")
            run.send(signal.SIGINT)
            assert (await run.end()).code == 130
        begun = summary(tmp_path)["run_id"]
        await reviewed(sky, tmp_path, inventory)
        before = await written(sky)
        ended = await sky.run(tmp_path, "run", str(inventory), *PLAN)
        assert ended.code == 2, ended.out
        says(ended.err, f"run `{begun}` of this inventory is unfinished", f"`batcher resume {begun}` goes on with it")
        assert (await written(sky), runs(tmp_path)) == (before, 1)
