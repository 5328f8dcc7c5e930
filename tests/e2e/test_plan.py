"""`batcher plan`: what a run would do and cost, as it then does and costs it, and nothing is changed on the way."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from batcher.report.schema import plan_schema
from tests.e2e.clouds import Cloud, cloud
from tests.e2e.commands import (
    EMULATOR_KEYS,
    Ended,
    all_files,
    batcher,
    column,
    says,
    side_by_side,
    write_settings,
)
from tests.e2e.inventories import row, some_project, some_rows, some_uuid, write_rows
from tests.e2e.schemas import faults
from tests.e2e.test_accounts import KEYS, pair, write_profile

Row = dict[str, str]
WRONG = {**EMULATOR_KEYS, "HUAWEICLOUD_SDK_SK": "not-the-secret"}
SHORT = "[run]\nattempts_max = 2\nbackoff_base_s = 0.01\nbackoff_cap_s = 0.02\n"
READS = {"list", "attachments", "log_groups", "log_streams", "quotas", "projects"}
VPC = some_uuid("vpc")


async def plan(sky: Cloud, folder: Path, inventory: Path, *words: str, rate: str = "200/s") -> Ended:
    """A plan as text."""
    return await batcher(folder, *sky.words("plan", str(inventory), *words, rate=rate), extra=EMULATOR_KEYS)


async def foretold(sky: Cloud, folder: Path, inventory: Path, *words: str, rate: str = "200/s") -> dict[str, Any]:
    """A plan as JSON, of which nothing ends it early."""
    ended = await plan(sky, folder, inventory, *words, "--output", "json", rate=rate)
    assert ended.code == 0, ended.err
    return dict(json.loads(ended.out))


# --- what would be done -----------------------------------------------------------------------------


def every_class() -> list[Row]:
    """Of each class one row or more: three to create, two there, one drifted, and one each that cannot be made."""
    wishes = [row(number, routers=2, projects=2) for number in range(8)]
    odd = [
        {**row(8, routers=2, projects=2), "resource_id": VPC},
        {**row(10, routers=2, projects=2), "log_group_id": "not-an-id"},
        wishes[0],
        {**wishes[0], "name": "otherwise"},
    ]
    return [*wishes, *odd]


async def seed_every_class(sky: Cloud, wishes: list[Row]) -> None:
    await sky.seed_ground(*wishes[:8])
    attached = {name: wishes[8][name] for name in ("project_id", "er_id")}
    behind = {**attached, "id": row(8)["resource_id"], "resource_id": VPC}
    waiting = {**attached, "id": wishes[2]["resource_id"], "state": "pending"}
    await sky.control("POST", "attachments", [behind, waiting])
    await sky.seed(wishes[4], wishes[5])
    await sky.seed(wishes[6], name="the\x1b[31mirs\n")


async def test_every_row_is_in_its_class_and_nothing_is_changed(tmp_path: Path) -> None:
    wishes = every_class()
    inventory = write_rows(tmp_path / "routers.csv", wishes)
    async with cloud(open_world=False) as sky:
        await seed_every_class(sky, wishes)
        there = (await sky.statistics())["flow_logs"]
        text, found = await side_by_side(
            (plan(sky, tmp_path, inventory), plan(sky, tmp_path, inventory, "--output", "json"))
        )
        statistics = await sky.statistics()
        assert set(statistics["calls"]) <= READS
        assert (statistics["flow_logs"], statistics["created_total"]) == (there, 0)
    assert all_files(tmp_path) == {"routers.csv"}

    document = json.loads(found.out)
    assert faults(document, plan_schema()) == []
    assert {name: count for name, count in document["rows"].items() if count} == {
        "create": 4,
        "exists": 2,
        "drifted": 1,
        "failed": 1,
        "skipped": 1,
        "invalid": 1,
        "conflict": 1,
        "duplicate": 1,
    }
    assert [(scope["er_id"], scope["flow_logs"], scope["rows"]) for scope in document["scopes"]] == [
        (
            wishes[0]["er_id"],
            2,
            {"create": 1, "skipped": 1, "exists": 1, "drifted": 1, "failed": 1, "duplicate": 1, "conflict": 1},
        ),
        (wishes[1]["er_id"], 1, {"create": 3, "exists": 1}),
        (None, None, {"invalid": 1}),
    ]
    assert [lane["project_id"] for lane in document["lanes"]] == [some_project(0), some_project(1)]
    assert [lane["to_create"] for lane in document["lanes"]] == [1, 3]
    assert document["survey_calls"]["by_kind"] == statistics["calls"] | {
        kind: count // 2 for kind, count in statistics["calls"].items()
    }

    assert text.code == 3, text.err
    right = row(8)["resource_id"]
    says(
        text.out,
        "routers.csv: 12 rows, 2 routers",
        "4 to create",
        "2 there as wished",
        "1 there, but otherwise than wished",
        "1 cannot be made",
        "1 cannot be made now",
        "1 invalid",
        "1 in conflict with an earlier row",
        "1 duplicate",
        f"router   {wishes[1]['er_id']} in project {some_project(1)}, cn-north-4: 3 create; 1 flow logs there",
        "1 drifted, BATCHER.Drifted, as line 8: name: wished `fl-6`, there is `the\ufffd[31mirs\ufffd`",
        f"such as a VPC; the attachment's is `{right}`",
        "1 skipped, BATCHER.AttachmentNotReady, as line 4",
        "1 invalid, BATCHER.Invalid, as line 11: log_group_id `not-an-id`",
        "1 conflict, BATCHER.Conflict, as line 13: contradicts line 2",
    )


async def test_a_check_ends_with_3_unless_all_is_as_wished(tmp_path: Path) -> None:
    wishes = some_rows(3)
    inventory = write_rows(tmp_path / "routers.csv", wishes)
    async with cloud(open_world=False) as sky:
        await sky.seed_ground(*wishes)
        await sky.seed(*wishes[:2])
        unchecked, checked = await side_by_side(
            (plan(sky, tmp_path, inventory), plan(sky, tmp_path, inventory, "--check"))
        )
        assert (unchecked.code, checked.code) == (0, 3)
        assert unchecked.out == checked.out

        await sky.seed(wishes[2])
        twice = write_rows(tmp_path / "twice.csv", [*wishes, wishes[0]])
        right, twins = await side_by_side(
            (plan(sky, tmp_path, inventory, "--check"), plan(sky, tmp_path, twice, "--check"))
        )
        assert (right.code, twins.code) == (0, 0), right.out + twins.out
        says(twins.out, "3 there as wished", "1 duplicate")


async def test_it_works_beside_a_run_that_holds_the_ledger(tmp_path: Path) -> None:
    wishes = some_rows(20)
    inventory = write_rows(tmp_path / "routers.csv", wishes)
    async with cloud(open_world=False) as sky:
        await sky.seed_ground(*wishes)
        async with sky.slowly(tmp_path, "run", str(inventory), "--reconcile", "never", rate="12/s") as run:
            await run.until("kind=create")
            document = await foretold(sky, tmp_path, inventory)
            assert run.process.returncode is None, "the run ended before the plan did"
            assert document["rows"]["create"] + document["rows"]["exists"] == 20
            assert document["rows"]["exists"] > 0
            ended = await run.end()
        assert ended.code == 0, ended.err
        assert column(tmp_path, "outcome") == ["created"] * 20
        before = all_files(tmp_path)
        assert (await foretold(sky, tmp_path, inventory))["rows"]["exists"] == 20
        assert all_files(tmp_path) == before


async def test_standard_input_is_planned_and_the_hint_says_what_to_type(tmp_path: Path) -> None:
    wishes = some_rows(2)
    inventory = write_rows(tmp_path / "routers of ours.csv", wishes)
    async with cloud() as sky:
        await sky.seed_ground(*wishes)
        words = sky.words("plan", "-", "--input-format", "csv", "--out", "a plan.json")
        ended = await batcher(tmp_path, *words, extra=EMULATOR_KEYS, stdin=inventory.read_bytes())
        assert ended.code == 0, ended.err
        says(ended.out, "stdin: 2 rows", "2 to create", "`batcher run - --plan 'a plan.json'`")
        named = await plan(sky, tmp_path, inventory, "--out", "a plan.json")
        says(named.out, f"`batcher run '{inventory}' --plan 'a plan.json'`")
        assert await sky.creates() == 0


async def test_a_rehearsal_is_planned_and_leaves_nothing(tmp_path: Path) -> None:
    inventory = write_rows(tmp_path / "routers.csv", some_rows(3))
    ended = await batcher(tmp_path, "plan", str(inventory), "--emulator", "--rate", "200/s", "--no-progress")
    assert ended.code == 0, ended.err
    says(ended.out, "3 to create", "a rehearsal takes any attachment, log group and stream: they were not checked")
    assert all_files(tmp_path) == {"routers.csv"}


# --- what goes wrong --------------------------------------------------------------------------------


async def test_a_listing_that_cannot_be_read_leaves_rows_unknown_and_no_plan(tmp_path: Path) -> None:
    write_settings(tmp_path, SHORT)
    wishes = some_rows(4, routers=2)
    inventory = write_rows(tmp_path / "routers.csv", wishes)
    async with cloud(open_world=False) as sky:
        await sky.seed_ground(*wishes)
        broken = {"operation": "list", "match": {"er_id": wishes[1]["er_id"]}, "fault": "status", "status": 500}
        await sky.script({**broken, "code": "APIGW.0611", "message": "internal", "times": None})
        why = "the listing could not be read to its end: APIGW.0611 internal"
        text, out = await side_by_side(
            (plan(sky, tmp_path, inventory, "--check"), plan(sky, tmp_path, inventory, "--out", "plan.json"))
        )
        assert (text.code, out.code) == (5, 5)
        says(
            text.out,
            "2 to create",
            "2 unknown: what is there could not be read",
            f"as line 3: {why}",
            ": 2 unknown; ? flow",
        )
        says(out.err, f"the plan is not whole: what is there could not be read for 2 rows, as line 3: {why}")
        assert all_files(tmp_path) == {"batcher.toml", "routers.csv"}


async def test_a_router_that_is_not_there_is_named_with_the_provider_s_words(tmp_path: Path) -> None:
    here, gone = some_rows(2), [{**wish, "er_id": some_uuid("gone")} for wish in some_rows(2, name="elsewhere")]
    inventory = write_rows(tmp_path / "routers.csv", [*here, *gone])
    async with cloud(open_world=False) as sky:
        await sky.seed_ground(*here)
        ended = await plan(sky, tmp_path, inventory)
        assert ended.code == 3, ended.err
        why = "2 skipped, BATCHER.RouterStopped, as line 4: ER.04041001: "
        says(ended.out, "2 to create", "2 cannot be made now", why)

        await sky.seed_ground(*gone)
        vanished = {"operation": "attachments", "match": {"er_id": some_uuid("gone")}, "fault": "status", "status": 404}
        await sky.script({**vanished, "code": "ER.04041001", "message": "gone since"})
        says((await plan(sky, tmp_path, inventory)).out, "2 to create", "2 cannot be made now", f"{why}gone since")


@pytest.mark.parametrize("with_project", [True, False])
async def test_wrong_keys_end_it_with_one_call(tmp_path: Path, with_project: bool) -> None:
    """Whether they are refused by the first listing or by the look-up of the rows' project."""
    wishes = [{k: v for k, v in wish.items() if with_project or k != "project_id"} for wish in some_rows(6)]
    inventory = write_rows(tmp_path / "routers.csv", wishes)
    async with cloud() as sky:
        commands = [sky.words("plan", str(inventory), *words) for words in ((), ("--out", "plan.json"))]
        for ended in await side_by_side(batcher(tmp_path, *command, extra=WRONG) for command in commands):
            assert ended.code == 7, ended.out
            assert "APIGW.0301" in ended.err
            assert "hint: check the keys" in ended.err
        assert (await sky.statistics())["unauthorized_by_key"] == {"EMULATORAK": 2}
    assert all_files(tmp_path) == {"routers.csv"}


async def test_accounts_are_told_apart_and_one_with_wrong_keys_hides_no_other(tmp_path: Path) -> None:
    write_profile(tmp_path, north=pair("AKNORTH"), east=pair("AKEAST", "wrong"))
    wishes = [{**wish, "account": "north" if number % 2 else "east"} for number, wish in enumerate(some_rows(6))]
    inventory = write_rows(tmp_path / "routers.csv", wishes)
    async with cloud(keys=KEYS) as sky:
        await sky.seed_ground(*wishes)
        ended = await batcher(tmp_path, *sky.words("plan", str(inventory)))
        assert ended.code == 7, ended.err
        says(ended.err, "stopped: BATCHER.AccessRefused account `east`: APIGW.0301")
        says(ended.out, "account `north`: 3 create;", "account `east`: 3 unknown;")


@pytest.mark.parametrize("code", ["APIGW.0302", "ER.04031001"])
async def test_a_quota_that_may_not_be_read_holds_up_nothing(tmp_path: Path, code: str) -> None:
    wishes = some_rows(3)
    inventory = write_rows(tmp_path / "routers.csv", wishes)
    async with cloud(open_world=False) as sky:
        await sky.seed_ground(*wishes)
        await sky.script({"operation": "quotas", "fault": "status", "status": 403, "code": code, "message": "denied"})
        ended = await plan(sky, tmp_path, inventory, "--out", "plan.json")
        assert ended.code == 0, ended.err
        says(ended.out, "3 to create", f"not known: {code} denied")


async def test_the_rows_that_would_be_changed_are_listed_and_a_dry_run_is_a_plan(tmp_path: Path) -> None:
    wishes = some_rows(3)
    inventory = write_rows(tmp_path / "routers.csv", wishes)
    async with cloud() as sky:
        await sky.seed_ground(*wishes)
        await sky.seed(wishes[0], name="otherwise")
        await sky.seed(wishes[1])
        ended = await plan(sky, tmp_path, inventory, "--rows", "--fix-drift")
        assert ended.code == 0, ended.err
        assert [line for line in ended.out.splitlines() if line[0] in "+~"] == [
            f"~ line 2 {wishes[0]['name']}: name: wished `{wishes[0]['name']}`, there is `otherwise`",
            f"+ line 4 {wishes[2]['name']}",
        ]
        typed = json.loads((await plan(sky, tmp_path, inventory, "--rows", "--output", "json")).out)
        assert [change["line"] for change in typed["changes"]] == [4]
        dry = await sky.run(tmp_path, "run", str(inventory), "--dry-run")
        assert (dry.code, "1 to create" in dry.out) == (0, True)
        assert await sky.creates() == 0


@pytest.mark.parametrize("words", [(), ("--out", "plan.json")])
async def test_a_plan_that_is_interrupted_says_so_and_writes_nothing(tmp_path: Path, words: tuple[str, ...]) -> None:
    wishes = some_rows(20, routers=20)
    inventory = write_rows(tmp_path / "routers.csv", wishes)
    async with cloud(open_world=False, latency_s=0.1) as sky:
        await sky.seed_ground(*wishes)
        async with sky.slowly(tmp_path, "plan", str(inventory), *words, rate="20/s") as planning:
            await planning.until("kind=list", times=2)
            planning.send(signal.SIGINT)
            ended = await planning.end()
        assert ended.code == 130, ended.err
        assert "stopp" in ended.err
        assert (await sky.statistics())["calls"].keys() == {"list"}
    assert all_files(tmp_path) == {"routers.csv"}


async def test_the_inventory_is_not_written_over(tmp_path: Path) -> None:
    inventory = write_rows(tmp_path / "routers.csv", some_rows(2))
    text = inventory.read_bytes()
    async with cloud() as sky:
        ended = await plan(sky, tmp_path, inventory, "--out", "routers.csv")
        assert ended.code == 2, ended.out
        says(ended.err, "`--out routers.csv` is the inventory itself")
        assert not (await sky.statistics())["calls"]
    assert inventory.read_bytes() == text
