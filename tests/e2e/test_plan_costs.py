"""What `batcher plan` says that a run would cost: its calls, its time, its quota, as the run then finds them."""

import json
from pathlib import Path

import pytest

from tests.e2e.clouds import cloud
from tests.e2e.commands import calls_made, column, says, side_by_side
from tests.e2e.inventories import row, some_rows, some_uuid, write_rows
from tests.e2e.test_plan import foretold, plan


async def test_the_calls_are_those_that_the_run_makes(tmp_path: Path) -> None:
    """Three routers in two projects, of which one has too few rows to be listed first; some rows wish to be off."""
    await side_by_side(
        calls_as_foretold(tmp_path / f"run{''.join(words)}", *words)
        for words in ((), ("--preflight",), ("--no-verify",))
    )


async def calls_as_foretold(folder: Path, *words: str) -> None:
    """Hold a plan to the run that follows it."""
    folder.mkdir()
    rows = [row(number, routers=2, projects=2) for number in range(48)]
    listed = [wish | {"enabled": "no" if number % 9 == 0 else "yes"} for number, wish in enumerate(rows)]
    few = [row(number, salt="few ") | {"er_id": some_uuid("router few"), "enabled": "yes"} for number in (0, 6, 12)]
    inventory = write_rows(folder / "routers.csv", [*listed, *few])
    async with cloud(open_world=False, pending_s=0.3) as sky:
        await sky.seed_ground(*listed, *few)
        await sky.seed(*(listed[1:8]))
        before = await foretold(sky, folder, inventory, *words)
        ended = await sky.run(folder, "run", str(inventory), *words)
        assert ended.code == 0, ended.err
        made = calls_made(folder)
        assert before["calls"]["by_kind"] == made
        assert before["calls"]["total"] == sum(made.values())
        assert before["rows"]["create"] == made["create"]


async def test_the_calls_of_a_repair_are_those_that_the_run_makes(tmp_path: Path) -> None:
    wishes = [{**wish, "enabled": "no"} for wish in some_rows(24)]
    inventory = write_rows(tmp_path / "routers.csv", wishes)
    async with cloud(open_world=False) as sky:
        await sky.seed_ground(*wishes)
        await sky.seed(*wishes[:10])
        await sky.seed(*wishes[10:24], name="theirs")
        before = await foretold(sky, tmp_path, inventory, "--fix-drift")
        assert before["rows"]["update"] == 24
        assert before["calls"]["by_kind"] == {"amend": 24, "list": 1, "update": 14}
        ended = await sky.run(tmp_path, "run", str(inventory), "--fix-drift")
        assert ended.code == 0, ended.err
        assert calls_made(tmp_path) == before["calls"]["by_kind"]


async def test_what_is_there_costs_a_run_that_does_not_list_first(tmp_path: Path) -> None:
    """Each is refused as there already and looked up: calls that a plan may not leave out."""
    wishes = some_rows(30)
    inventory = write_rows(tmp_path / "routers.csv", wishes)
    async with cloud(open_world=False) as sky:
        await sky.seed_ground(*wishes)
        await sky.seed(*wishes[:29])
        before = await foretold(sky, tmp_path, inventory, "--reconcile", "never", "--no-verify")
        assert before["calls"]["by_kind"] == {"create": 30, "list": 1}
        assert [lane["to_create"] for lane in before["lanes"]] == [1]
        ended = await sky.run(tmp_path, "run", str(inventory), "--reconcile", "never", "--no-verify")
        assert ended.code == 0, ended.err
        made = calls_made(tmp_path)
        assert (made["create"], made["list"] >= 1) == (30, True)


async def test_the_quota_is_held_against_what_is_to_be_created_and_the_nights_are_counted(tmp_path: Path) -> None:
    wishes = some_rows(644)
    inventory = write_rows(tmp_path / "routers.csv", wishes)
    async with cloud(open_world=False, quota=20) as sky:
        await sky.seed_ground(*wishes)
        await sky.seed(*wishes[:4])
        night, short = await side_by_side(
            plan(sky, tmp_path, inventory, "--for", time, rate="5/s") for time in ("6h", "45s")
        )
        says(night.out, "quota 20, used 4, 640 to create: 624 will be refused")
        # 640 creates, a listing before and one after, the first at once and the others 4 in 1.05 s: 168.3 s.
        says(night.out, "calls    642 at least: 640 create, 2 list", "time     3min at least, at 5/s, as given")
        says(night.out, "; 1 night of 6h00min")
        says(short.out, "; 4 nights of 45s")

        ended = await sky.run(tmp_path, "run", str(inventory))
        assert ended.code == 3, ended.err
        outcomes = column(tmp_path, "outcome")
        assert (outcomes.count("created"), outcomes.count("exists")) == (16, 4)
        document = await foretold(sky, tmp_path, inventory)
        assert document["lanes"][0]["quota"] == {"limit": 20, "used": 20, "refused": 624}


async def test_a_rate_that_was_learnt_is_what_the_time_is_told_by(tmp_path: Path) -> None:
    """By this plan's own calls, and by an earlier run."""
    wishes = some_rows(60)
    inventory = write_rows(tmp_path / "routers.csv", wishes)
    few = write_rows(tmp_path / "few.csv", wishes[:2])
    full = {"fault": "status", "status": 429, "code": "APIGW.0308", "message": "limit:4,time:1 second"}
    async with cloud(open_world=False) as sky:
        await sky.seed_ground(*wishes)
        await sky.script({"operation": "quotas", **full})
        surveying = await foretold(sky, tmp_path, inventory)
        assert surveying["lanes"][0]["rate"] == "4/s"
        # 60 creates and two listings, the first at once; 3 in 1.05 s.
        assert surveying["time_s"] == pytest.approx(61 * 1.05 / 3, abs=0.1)

        await sky.script({"operation": "create", **full})
        await sky.run(tmp_path, "run", str(few))
        learnt, text = await side_by_side(
            plan(sky, tmp_path, inventory, *words) for words in (("--output", "json"), ())
        )
        (lane,) = json.loads(learnt.out)["lanes"]
        assert (lane["rate"], lane["learnt_at"] is None) == ("4/s", False)
        says(text.out, "at 4/s, learnt 20")
