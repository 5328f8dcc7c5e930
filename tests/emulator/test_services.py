"""The two services beside Enterprise Router: projects of IAM, log groups and streams of LTS."""

import re
from pathlib import Path
from typing import Any

import pytest

from batcher.emulator.server import FaultShares, Throttle
from tests.emulator.client import GROUP, PROJECT, ROUTER, STREAM, Client, Reply, body, some_id, talking

REGION = "name=cn-north-4"
OTHER_PROJECT = "1" * 32
KEYS = {"EMULATORAK": "EMULATORSK", "SECONDAK": "SECONDSK"}
SECOND: dict[str, Any] = {"access": "SECONDAK", "secret": "SECONDSK"}
JSON = {"Content-Type": "application/json;charset=UTF-8"}
GROUPS = f"/v2/{PROJECT}/groups"
STREAMS = f"{GROUPS}/{GROUP}/streams"


def ids(reply: Reply) -> list[str]:
    """The ids of the projects, groups or streams in an answer."""
    assert reply.status == 200, reply.text
    items = next(value for value in reply.json.values() if isinstance(value, list))
    return [next(item[name] for name in ("id", "log_group_id", "log_stream_id") if name in item) for item in items]


async def test_every_region_has_one_project_whose_id_stays(client: Client) -> None:
    first = await client.ask("/v3/projects", REGION)
    assert first.status == 200
    (project,) = first.json["projects"]
    assert re.fullmatch("[0-9a-f]{32}", project["id"])
    assert project["name"] == "cn-north-4"
    assert project["enabled"] is True
    assert set(project) >= {"domain_id", "description", "is_domain", "parent_id", "links"}
    assert set(first.json) == {"links", "projects"}
    async with talking(seed=5) as second:
        assert ids(await second.ask("/v3/projects", REGION)) == [project["id"]]
        assert ids(await second.ask("/v3/projects", "name=cn-east-3")) != [project["id"]]
        assert ids(await second.ask("/v3/projects")) == []


async def test_a_closed_world_has_the_projects_that_were_seeded() -> None:
    async with talking(open_world=False) as client:
        assert ids(await client.ask("/v3/projects", REGION)) == []
        await client.control("POST", "/projects", [{"name": "cn-north-4", "id": PROJECT}])
        assert ids(await client.ask("/v3/projects", REGION)) == [PROJECT]
        assert ids(await client.ask("/v3/projects", "name=cn-east-3")) == []
        assert ids(await client.ask("/v3/projects")) == [PROJECT]


async def test_a_key_sees_its_own_projects_and_those_of_all() -> None:
    async with talking(keys=KEYS) as client:
        seeds = [
            {"name": "cn-north-4", "id": PROJECT, "access_key": "EMULATORAK"},
            {"name": "cn-north-4", "id": OTHER_PROJECT, "access_key": "SECONDAK"},
            {"name": "cn-east-3", "id": "2" * 32},
        ]
        assert (await client.control("POST", "/projects", seeds)).status == 200
        assert ids(await client.ask("/v3/projects", REGION)) == [PROJECT]
        assert ids(await client.ask("/v3/projects", REGION, **SECOND)) == [OTHER_PROJECT]
        assert ids(await client.ask("/v3/projects", **SECOND)) == ["2" * 32, OTHER_PROJECT]
        token = await client.send("GET", f"/v3/projects?{REGION}", headers={"X-Auth-Token": "ticket"})
        assert ids(token) == []


async def test_several_projects_of_a_name_are_all_shown_once(client: Client) -> None:
    seeds = [{"name": "cn-north-4", "id": id_} for id_ in (PROJECT, OTHER_PROJECT, PROJECT)]
    await client.control("POST", "/projects", seeds)
    await client.control("POST", "/projects", [{**seeds[0], "access_key": "EMULATORAK"}])
    assert ids(await client.ask("/v3/projects", REGION)) == [PROJECT, OTHER_PROJECT]


async def test_answers_of_the_identity_service_carry_its_trace_id(client: Client) -> None:
    reply = await client.ask("/v3/projects", REGION)
    assert reply.headers["X-IAM-Trace-Id"]
    assert reply.headers["X-IAM-Trace-Id"] != reply.headers["X-Request-Id"]
    at_the_gateway = await client.ask("/v3/projects", REGION, secret="wrong")
    assert at_the_gateway.refused == (401, "APIGW.0301")
    assert "X-IAM-Trace-Id" not in at_the_gateway.headers
    assert "X-IAM-Trace-Id" not in (await client.page()).headers


async def test_each_service_fails_in_its_own_shape() -> None:
    shares = FaultShares(refused_before=1.0, on=frozenset({"projects", "log_groups", "log_streams", "list"}))
    async with talking(faults=shares) as client:
        iam = await client.ask("/v3/projects", REGION)
        assert (iam.status, iam.json["error"]["code"], iam.json["error"]["title"]) == (503, 503, "Service Unavailable")
        lts = await client.ask(GROUPS, headers=JSON)
        assert (lts.status, set(lts.json)) == (503, {"error_code", "error_msg"})
        assert (await client.page()).refused == (503, "ER.05039006")
        assert (await client.statistics())["calls"] == {"projects": 1, "log_groups": 1, "list": 1}


async def test_log_groups_and_streams_that_were_seeded(client: Client) -> None:
    streams = [{"id": STREAM, "name": "north"}, {"id": some_id(8)}]
    seed = {"project_id": PROJECT, "id": GROUP, "name": "flows", "streams": streams}
    assert (await client.control("POST", "/log-groups", [seed])).json == {"ids": [GROUP]}
    (group,) = (await client.ask(GROUPS, headers=JSON)).json["log_groups"]
    assert (group["log_group_id"], group["log_group_name"]) == (GROUP, "flows")
    assert group["creation_time"] > 1_700_000_000_000
    assert set(group) >= {"ttl_in_days", "tag"}
    reply = await client.ask(STREAMS, headers=JSON)
    assert ids(reply) == [some_id(8), STREAM]
    stream = reply.json["log_streams"][1]
    assert stream["log_stream_name"] == "north"
    assert set(stream) >= {"creation_time", "filter_count", "tag", "is_favorite"}
    await client.control("POST", "/log-groups", [{**seed, "name": "renamed", "streams": [{"id": some_id(9)}]}])
    (group,) = (await client.ask(GROUPS, headers=JSON)).json["log_groups"]
    assert group["log_group_name"] == "renamed"
    assert ids(await client.ask(STREAMS, headers=JSON)) == [some_id(8), some_id(9), STREAM]
    assert ids(await client.ask(f"/v2/{OTHER_PROJECT}/groups", headers=JSON)) == []


async def test_an_open_world_lists_what_flow_logs_use_and_a_closed_one_does_not(client: Client) -> None:
    assert ids(await client.ask(GROUPS, headers=JSON)) == []
    await client.created(1)
    await client.created(2)
    await client.created(3, log_stream_id=some_id(8))
    assert ids(await client.ask(GROUPS, headers=JSON)) == [GROUP]
    assert ids(await client.ask(STREAMS, headers=JSON)) == [some_id(8), STREAM]
    await client.control("POST", "/log-groups", [{"project_id": PROJECT, "id": GROUP, "streams": [{"id": STREAM}]}])
    assert ids(await client.ask(GROUPS, headers=JSON)) == [GROUP]
    assert ids(await client.ask(STREAMS, headers=JSON)) == [some_id(8), STREAM]
    await client.control("PATCH", "/settings", {"open_world": False})
    assert ids(await client.ask(STREAMS, headers=JSON)) == [STREAM]


async def test_a_closed_world_does_not_check_the_log_stream_of_a_create() -> None:
    async with talking(open_world=False) as client:
        await client.control("POST", "/attachments", [{"project_id": PROJECT, "er_id": ROUTER, "id": some_id(1)}])
        assert (await client.create(body(1))).status == 202


async def test_the_streams_of_a_missing_group_are_refused(client: Client) -> None:
    reply = await client.ask(STREAMS, headers=JSON)
    assert reply.refused == (400, "LTS.0201")
    assert set(reply.json) == {"error_code", "error_msg"}


@pytest.mark.parametrize("path", [GROUPS, STREAMS])
@pytest.mark.parametrize("headers", [None, {"Content-Type": "text/plain"}])
async def test_the_log_service_wants_json_although_there_is_no_body(
    client: Client, path: str, headers: dict[str, str] | None
) -> None:
    await client.created(1)
    assert (await client.ask(path, headers=headers)).refused == (400, "LTS.0009")
    assert (await client.ask(path, headers={"Content-Type": "application/json"})).status == 200


@pytest.mark.parametrize("path", ["/v3/projects/x", "/v2/projects", f"{STREAMS}/x", f"/v3/{PROJECT}/groups"])
async def test_other_paths_of_these_services_are_not_served(client: Client, path: str) -> None:
    assert (await client.ask(path, headers=JSON)).refused == (404, "APIGW.0101")


async def test_scripts_know_these_calls_by_key_group_and_name() -> None:
    async with talking(keys=KEYS) as client:
        fault = {"fault": "status", "status": 403, "code": "X.1", "times": None}
        await client.script(
            {**fault, "operation": "projects", "match": {"access_key": "SECONDAK", "name": "cn-north-4"}},
            {**fault, "operation": "log_streams", "match": {"log_group_id": GROUP, "project_id": PROJECT}},
        )
        statuses = [(await client.ask("/v3/projects", REGION, **key)).status for key in ({}, SECOND)]
        assert statuses == [200, 403]
        assert (await client.ask("/v3/projects", "name=cn-east-3", **SECOND)).status == 200
        assert (await client.ask(STREAMS, headers=JSON)).status == 403
        assert (await client.ask(f"{GROUPS}/{some_id(1)}/streams", headers=JSON)).refused == (400, "LTS.0201")


async def test_look_ups_of_projects_have_a_throttle_of_their_own() -> None:
    async with talking(throttle=Throttle(1, 3600)) as client:
        await client.created(1)
        assert (await client.ask("/v3/projects", REGION)).status == 200
        assert (await client.ask("/v3/projects", REGION)).refused == (429, "APIGW.0308")
        assert (await client.ask(GROUPS, headers=JSON)).refused == (429, "APIGW.0308")


async def test_what_was_seeded_survives_a_restart_and_not_a_reset(tmp_path: Path) -> None:
    async with talking(open_world=False, state_path=tmp_path / "state.db") as client:
        await client.control("POST", "/projects", [{"name": "cn-north-4", "id": PROJECT}])
        await client.control("POST", "/log-groups", [{"project_id": PROJECT, "id": GROUP, "streams": [{"id": STREAM}]}])
    async with talking(open_world=False, state_path=tmp_path / "state.db") as client:
        assert ids(await client.ask("/v3/projects", REGION)) == [PROJECT]
        assert ids(await client.ask(STREAMS, headers=JSON)) == [STREAM]
        await client.control("POST", "/reset")
        assert ids(await client.ask("/v3/projects", REGION)) == []
        assert ids(await client.ask(GROUPS, headers=JSON)) == []
