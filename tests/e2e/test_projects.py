"""Rows without a project: looked up in IAM, once for each account and region, before anything is sent."""

import hashlib
import re
from pathlib import Path

from tests.e2e.clouds import assert_created_once, cloud
from tests.e2e.commands import EMULATOR_KEYS, batcher, column, summary, write_settings
from tests.e2e.inventories import some_project, some_rows, write_rows
from tests.e2e.test_accounts import KEYS, pair, write_profile


def homeless(count: int, region: str = "cn-north-4") -> list[dict[str, str]]:
    """Rows that name no project."""
    return [{k: v for k, v in wish.items() if k != "project_id"} for wish in some_rows(count, region=region)]


async def test_a_project_that_no_row_names_is_looked_up_once_for_each_region(tmp_path: Path) -> None:
    north, south = homeless(1500), homeless(1600, region="cn-south-1")[1500:]
    inventory = write_rows(tmp_path / "routers.csv", [*north, *south])
    async with cloud() as sky:
        seeded = {"cn-north-4": some_project(1), "cn-south-1": some_project(2)}
        await sky.control("POST", "projects", [{"name": name, "id": id_} for name, id_ in seeded.items()])
        ended = await sky.run(tmp_path, "run", str(inventory), "--reconcile", "always", "--no-verify")
        assert ended.code == 0, ended.err
        statistics = await sky.statistics()
        assert statistics["calls"]["projects"] == 2
        assert_created_once(statistics, 1600)
        assert column(tmp_path, "project_id") == [some_project(1)] * 1500 + [some_project(2)] * 100


async def test_none_or_several_projects_end_the_command_and_are_listed(tmp_path: Path) -> None:
    inventory = write_rows(tmp_path / "routers.csv", homeless(3))
    async with cloud(open_world=False) as sky:
        ended = await sky.run(tmp_path, "run", str(inventory))
        assert ended.code == 2, ended.out
        assert "no project" in ended.err
        assert "`cn-north-4`" in ended.err
        assert "--project-id" in ended.err

        two = [{"name": "cn-north-4", "id": some_project(n)} for n in (1, 2)]
        await sky.control("POST", "projects", two)
        ended = await sky.run(tmp_path, "run", str(inventory))
        assert ended.code == 2, ended.out
        assert "knows 2 projects" in ended.err
        assert f"`{some_project(1)}`" in ended.err
        assert f"`{some_project(2)}`" in ended.err
        assert await sky.creates() == 0
        assert not list((tmp_path / "reports").glob("2*"))


async def test_a_wrong_secret_costs_one_look_up(tmp_path: Path) -> None:
    inventory = write_rows(tmp_path / "routers.csv", homeless(30))
    async with cloud() as sky:
        wrong = {**EMULATOR_KEYS, "HUAWEICLOUD_SDK_SK": "wrong"}
        ended = await batcher(tmp_path, *sky.words("run", str(inventory)), extra=wrong)
        assert ended.code == 7, ended.err
        assert "APIGW.0301" in ended.out
        assert "hint: check the keys" in ended.out
        assert (await sky.statistics())["unauthorized_by_key"] == {"EMULATORAK": 1}
        assert column(tmp_path, "outcome") == ["skipped"] * 30
        assert set(column(tmp_path, "error_code")) == {"BATCHER.ProjectUnknown"}

        ended = await sky.run(tmp_path, "run", str(inventory))
        assert ended.code == 0, ended.err
        assert_created_once(await sky.statistics(), 30)


async def test_an_account_whose_look_up_is_refused_does_not_hold_up_the_others(tmp_path: Path) -> None:
    """Its rows are skipped with the cause, and are not taken up by `resume`, but by the next run of the inventory."""
    write_profile(tmp_path, north=pair("AKNORTH"), east=pair("AKEAST", "wrong"))
    rows = homeless(40)
    wishes = [{**wish, "account": "north" if n % 2 else "east"} for n, wish in enumerate(rows)]
    inventory = write_rows(tmp_path / "routers.csv", wishes)
    async with cloud(keys=KEYS) as sky:
        command = sky.words("run", str(inventory))
        ended = await batcher(tmp_path, *command)
        assert ended.code == 7, ended.err
        assert column(tmp_path, "outcome") == ["skipped", "created"] * 20
        assert set(column(tmp_path, "error_code")) == {"BATCHER.ProjectUnknown", ""}
        statistics = await sky.statistics()
        assert statistics["unauthorized_by_key"] == {"AKEAST": 1}
        (group,) = summary(tmp_path)["failures"]
        assert "batcher run routers.csv" in group["next"]
        assert "20 rows: BATCHER.ProjectUnknown" in ended.out
        assert re.search(r"next: `batcher run routers.csv .*` \(20 rows\)", ended.out)
        assert "resume" not in ended.out
        barred = tmp_path / "pending.csv"
        barred.write_bytes((tmp_path / "reports" / "latest" / "pending.csv").read_bytes())

        resumed = await batcher(tmp_path, *sky.words("resume"))
        assert resumed.code == 3, resumed.err
        assert column(tmp_path, "outcome") == ["skipped", "created"] * 20

        write_profile(tmp_path, north=pair("AKNORTH"), east=pair("AKEAST"))
        ended = await batcher(tmp_path, *sky.words("run", str(barred)))
        assert ended.code == 0, ended.err
        ended = await batcher(tmp_path, *command)
        assert ended.code == 0, ended.err
        assert column(tmp_path, "outcome") == ["exists"] * 40
        assert_created_once(await sky.statistics(), 40)


async def test_an_unfinished_run_that_was_planned_under_another_tenants_keys_is_not_gone_on_with(
    tmp_path: Path,
) -> None:
    """Wrong but valid keys: their project is refused. With the right ones the same command heals itself."""
    inventory = write_rows(tmp_path / "routers.csv", homeless(10))
    theirs, ours = some_project(1), some_project(2)
    async with cloud(keys=KEYS) as sky:
        projects = [("AKSOUTH", theirs), ("AKNORTH", ours)]
        seeds = [{"name": "cn-north-4", "id": id_, "access_key": key} for key, id_ in projects]
        await sky.control("POST", "projects", seeds)
        denied = {
            "fault": "status",
            "status": 403,
            "code": "APIGW.0302",
            "match": {"project_id": theirs},
            "times": None,
        }
        await sky.script(*({**denied, "operation": operation} for operation in ("create", "list")))
        command = sky.words("run", str(inventory))
        for _ in range(2):
            write_profile(tmp_path, basic=pair("AKSOUTH"))
            ended = await batcher(tmp_path, *command)
            assert ended.code == 7, ended.err
            assert "APIGW.0302" in ended.out
        assert "(continued)" in ended.out

        write_profile(tmp_path, basic=pair("AKNORTH"))
        ended = await batcher(tmp_path, *command)
        assert ended.code == 0, ended.err
        assert "planned anew" in ended.err
        assert set(column(tmp_path, "project_id")) == {ours}
        assert column(tmp_path, "outcome") == ["created"] * 10


async def test_a_look_up_is_tried_again_while_the_service_has_trouble(tmp_path: Path) -> None:
    inventory = write_rows(tmp_path / "routers.csv", homeless(3))
    async with cloud() as sky:
        await sky.script({"operation": "projects", "fault": "status", "status": 503, "code": "APIGW.0613", "times": 2})
        ended = await sky.run(tmp_path, "run", str(inventory))
        assert ended.code == 0, ended.err
        assert (await sky.statistics())["calls"]["projects"] == 3


async def test_rows_can_be_checked_offline_before_their_project_is_known(tmp_path: Path) -> None:
    wishes = homeless(3)
    inventory = write_rows(tmp_path / "routers.csv", [*wishes, wishes[0], {**wishes[1], "region": "cn-nort-4"}])
    ended = await batcher(tmp_path, "validate", str(inventory))
    assert ended.code == 3, ended.err
    assert "3 valid, 1 invalid, 1 duplicate" in ended.out
    assert "project_id" not in ended.out


async def test_keys_are_not_shown_to_an_identity_service_that_is_only_guessed(tmp_path: Path) -> None:
    """Enterprise Router is on another cloud, and nobody said where that cloud's identity service is."""
    write_settings(tmp_path, '[cloud.regions.eu-de]\ner = "https://er.eu-de.example.invalid"\n')
    inventory = write_rows(tmp_path / "routers.csv", homeless(1, region="eu-de"))
    ended = await batcher(tmp_path, "run", str(inventory), extra=EMULATOR_KEYS)
    assert ended.code == 2, ended.out
    assert "cloud.iam_endpoint" in ended.err


async def test_a_rehearsal_looks_projects_up_too(tmp_path: Path) -> None:
    inventory = write_rows(tmp_path / "routers.csv", homeless(3))
    ended = await batcher(tmp_path, "run", str(inventory), "--emulator", "--rate", "200/s")
    assert ended.code == 0, ended.err
    (project,) = set(column(tmp_path, "project_id"))
    assert len(project) == len(hashlib.md5(b"").hexdigest())


async def test_an_identity_service_in_trouble_does_not_hold_up_what_is_planned(tmp_path: Path) -> None:
    """Whether the projects are still the same is asked; where nobody answers, the plan holds."""
    inventory = write_rows(tmp_path / "routers.csv", homeless(5))
    async with cloud() as sky:
        await sky.script({"operation": "create", "fault": "status", "status": 404, "code": "APIGW.0101"})
        ended = await sky.run(tmp_path, "run", str(inventory))
        assert ended.code == 7, ended.err
        later = {"fault": "status", "status": 429, "code": "APIGW.0308", "headers": {"Retry-After": "3600"}}
        await sky.script({"operation": "projects", **later})
        ended = await sky.run(tmp_path, "run", str(inventory))
        assert ended.code == 0, ended.err
        assert "(continued)" in ended.out
        assert_created_once(await sky.statistics(), 5)
