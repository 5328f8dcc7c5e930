"""Rows without a project: looked up in IAM, once for each account and region, before anything is sent."""

import hashlib
from pathlib import Path

from tests.e2e.clouds import assert_created_once, cloud
from tests.e2e.commands import EMULATOR_KEYS, batcher, column, write_settings
from tests.e2e.inventories import some_project, some_rows, write_rows


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
        assert ended.code == 7, ended.out
        assert "APIGW.0301" in ended.err
        assert "hint: check the keys" in ended.err
        assert (await sky.statistics())["unauthorized_by_key"] == {"EMULATORAK": 1}


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
