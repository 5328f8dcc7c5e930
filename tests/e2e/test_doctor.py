"""`batcher doctor`: what it finds when all is well, and one fault at a time; it never writes to the cloud."""

import json
from pathlib import Path
from typing import Any

from tests.e2e.clouds import Cloud, cloud
from tests.e2e.commands import EMULATOR_KEYS, Ended, batcher
from tests.e2e.inventories import row, some_rows, write_rows
from tests.e2e.test_access import closed_port

PLACE = row(0)
NONSENSE = '{"instances":[{"id":"../x y"}]}'
READS = {"projects", "quotas", "routers", "list", "log_groups", "log_streams"}


def place(**changes: str) -> list[str]:
    """The options that name a place."""
    words = []
    for name in ("region", "project_id", "er_id", "log_group_id", "log_stream_id"):
        value = {**PLACE, **changes}[name]
        words += [f"--{name.replace('_', '-')}", value] if value else []
    return words


def findings(ended: Ended) -> list[dict[str, Any]]:
    """What `--output json` said, a finding a line."""
    return [json.loads(line) for line in ended.out.splitlines()]


def by_check(ended: Ended) -> dict[str, dict[str, Any]]:
    """The last finding of each check."""
    return {finding["check"]: finding for finding in findings(ended)}


async def seed(sky: Cloud, *, limit: int | None = None) -> None:
    """A router with two flow logs, and the log group and stream."""
    await sky.seed(*some_rows(2))
    group = {
        "project_id": PLACE["project_id"],
        "id": PLACE["log_group_id"],
        "streams": [{"id": PLACE["log_stream_id"]}],
    }
    await sky.control("POST", "log-groups", [group])
    await sky.control("POST", "projects", [{"name": "cn-north-4", "id": PLACE["project_id"]}])
    if limit is not None:
        await sky.control("PATCH", "settings", {"quota": limit})


async def visit(sky: Cloud, folder: Path, *words: str, **extra: str) -> Ended:
    """A doctor's visit, told as JSON."""
    command = ("doctor", "--endpoint", sky.url, "--output", "json", *words)
    return await batcher(folder, *command, extra={**EMULATOR_KEYS, **extra})


async def test_a_healthy_place_has_a_finding_for_everything_that_a_run_needs(tmp_path: Path) -> None:
    async with cloud() as sky:
        await seed(sky)
        ended = await visit(sky, tmp_path, *place(project_id=""))
        assert (ended.code, ended.err) == (0, "")
        found = by_check(ended)
        assert [finding["check"] for finding in findings(ended)] == [
            "credentials",
            "endpoint",
            "project",
            "clock",
            "quota",
            "list",
            "log group",
            "log stream",
        ]
        assert {finding["mark"] for finding in found.values()} == {"ok"}
        assert "HUAWEICLOUD_SDK_AK" in found["credentials"]["answer"]
        assert "EMULATORAK" not in ended.out
        assert PLACE["project_id"] in found["project"]["answer"]
        assert found["quota"]["answer"] == "2 used, no limit"
        assert found["list"]["answer"] == "2 there"
        statistics = await sky.statistics()
        assert set(statistics["calls"]) <= READS
        assert not (tmp_path / "reports").exists()


async def test_a_wrong_secret_is_asked_with_once(tmp_path: Path) -> None:
    async with cloud() as sky:
        await seed(sky)
        for words in (place(), place(project_id="")):
            ended = await visit(sky, tmp_path, *words, HUAWEICLOUD_SDK_SK="wrong")
            assert ended.code == 7, ended.err
            failed = [finding for finding in findings(ended) if finding["mark"] == "failed"]
            assert len(failed) == 1
            assert "APIGW.0301" in failed[0]["answer"]
            assert "check the keys" in failed[0]["advice"]
        assert (await sky.statistics())["unauthorized_by_key"] == {"EMULATORAK": 2}


async def test_no_credentials_are_a_finding_that_names_what_was_looked_at(tmp_path: Path) -> None:
    async with cloud() as sky:
        ended = await visit(sky, tmp_path, *place(), HUAWEICLOUD_SDK_AK="", HUAWEICLOUD_SDK_SK="")
        assert ended.code == 7, ended.err
        finding, skipped = findings(ended)
        assert (finding["check"], finding["mark"]) == ("credentials", "failed")
        assert (skipped["check"], skipped["mark"]) == ("place", "skipped")
        assert "HW_ACCESS_KEY" in finding["answer"]
        assert (await sky.statistics())["calls"] == {}


async def test_one_refusal_does_not_hide_the_other_places(tmp_path: Path) -> None:
    """LTS may not be read, and one region has no project; what else can be asked is asked, and nothing twice."""
    south = {**row(1), "region": "cn-south-1"}
    rows = [row(0), {**south, "project_id": ""}, {**south, "project_id": "", "log_stream_id": south["er_id"]}, row(4)]
    inventory = write_rows(tmp_path / "routers.csv", [*rows, {**row(2), "region": "cn-east-3"}])
    async with cloud(open_world=False) as sky:
        await sky.seed_attachments(*rows)
        denied = {"status": 403, "code": "APIGW.0302", "message": "no right", "times": None}
        await sky.script({"operation": "log_groups", "fault": "status", **denied})
        ended = await visit(sky, tmp_path, str(inventory))
        assert ended.code == 7, ended.err
        failed = [finding["check"] for finding in findings(ended) if finding["mark"] == "failed"]
        assert failed.count("project") == 1
        assert [finding["check"] for finding in findings(ended)].count("quota") == 3
        assert set(failed) == {"project", "log group", "list"}


async def test_what_an_endpoint_says_may_be_nonsense(tmp_path: Path) -> None:
    """A router without a proper id is a failed check, and no fault of batcher's."""
    async with cloud() as sky:
        await seed(sky)
        rule: dict[str, object] = {
            "operation": "routers",
            "fault": "status",
            "status": 200,
            "body": NONSENSE,
            "times": None,
        }
        await sky.script(rule)
        ended = await visit(sky, tmp_path, *place(er_id=""))
        assert ended.code == 7, ended.err
        assert by_check(ended)["list"]["mark"] == "failed"
        assert "no id" in by_check(ended)["list"]["answer"]


async def test_an_endpoint_that_is_down(tmp_path: Path) -> None:
    with closed_port() as port:
        words = ("doctor", "--endpoint", f"http://127.0.0.1:{port}", "--output", "json", *place())
        ended = await batcher(tmp_path, *words, extra=EMULATOR_KEYS)
    assert ended.code == 7, ended.err
    last = findings(ended)[-1]
    assert (last["check"], last["mark"]) == ("endpoint", "failed")
    assert "no connection" in last["answer"]


async def test_a_permission_that_lacks(tmp_path: Path) -> None:
    async with cloud() as sky:
        await seed(sky)
        said = {"status": 403, "code": "APIGW.0302", "message": "no right", "times": None}
        await sky.script({"operation": "quotas", "fault": "status", **said})
        ended = await visit(sky, tmp_path, *place())
        assert ended.code == 7, ended.err
        quota = by_check(ended)["quota"]
        assert quota["mark"] == "failed"
        assert "APIGW.0302: no right" in quota["answer"]
        assert "er:quotas:list" in quota["advice"]


async def test_a_used_up_quota_and_a_clock_that_is_off_are_warnings(tmp_path: Path) -> None:
    async with cloud(clock_skew_s=-400.0) as sky:
        await seed(sky, limit=2)
        ended = await visit(sky, tmp_path, *place())
        assert ended.code == 0, ended.err
        found = by_check(ended)
        assert (found["quota"]["mark"], found["quota"]["answer"]) == ("warning", "2 of 2 used")
        assert found["clock"]["mark"] == "warning"
        assert "ahead" in found["clock"]["answer"]
        assert "clock" in ended.err


async def test_a_clock_that_is_so_wrong_that_calls_are_refused_does_not_hide_the_rest(tmp_path: Path) -> None:
    async with cloud(clock_skew_s=3600.0) as sky:
        await seed(sky)
        ended = await visit(sky, tmp_path, *place())
        assert ended.code == 0, ended.out
        found = by_check(ended)
        assert found["clock"]["mark"] == "warning"
        assert "behind" in found["clock"]["answer"]
        assert found["log stream"]["mark"] == "ok"


async def test_a_log_group_or_stream_that_is_not_there(tmp_path: Path) -> None:
    async with cloud() as sky:
        await seed(sky)
        other = row(0)["resource_id"]
        for column, check in (("log_group_id", "log group"), ("log_stream_id", "log stream")):
            ended = await visit(sky, tmp_path, *place(**{column: other}))
            assert ended.code == 7, ended.err
            found = by_check(ended)[check]
            assert (found["mark"], found["answer"]) == ("failed", "there is no such one")
            assert column in found["advice"]


async def test_every_place_of_an_inventory_is_visited(tmp_path: Path) -> None:
    rows = [*some_rows(20, routers=4, projects=2), {**row(0), "er_id": "no id"}]
    inventory = write_rows(tmp_path / "routers.csv", rows)
    async with cloud() as sky:
        ended = await visit(sky, tmp_path, str(inventory))
        quotas = [finding for finding in findings(ended) if finding["check"] == "quota"]
        assert len(quotas) == 2
        assert (await sky.statistics())["calls"]["quotas"] == 2


async def test_what_is_not_said_is_asked_for(tmp_path: Path) -> None:
    ended = await batcher(tmp_path, "doctor", extra=EMULATOR_KEYS)
    assert ended.code == 2, ended.out
    assert "--region" in ended.err
    ended = await batcher(tmp_path, "doctor", *place(er_id="er-1"), extra=EMULATOR_KEYS)
    assert ended.code == 2, ended.out
    assert "er_id `er-1`" in ended.err
    ended = await batcher(tmp_path, "doctor", *place(region="cn-nort-4"), extra=EMULATOR_KEYS)
    assert ended.code == 7, ended.err
    assert "cn-north-4" in ended.out


async def test_a_rehearsal_is_healthy_and_leaves_nothing_behind(tmp_path: Path) -> None:
    ended = await batcher(tmp_path, "doctor", "--emulator", "--region", "cn-north-4")
    assert ended.code == 0, ended.err
    assert "ok       credentials" in ended.out
    assert not (tmp_path / "reports").exists()
