"""Control and statistics: what they do, and whom they serve."""

from typing import Any

import pytest

from batcher.emulator.server import EmulatorSettings, FaultShares, Throttle
from tests.emulator.client import GROUP, PROJECT, ROUTER, STREAM, Client, body, key, some_id, talking

SEED = {
    "project_id": PROJECT,
    "er_id": ROUTER,
    "name": "seeded",
    "resource_id": some_id(1),
    "log_group_id": GROUP,
    "log_stream_id": STREAM,
}
FATE = {"project_id": PROJECT, "er_id": ROUTER, "resource_id": some_id(1)}


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://127.0.0.1"},
        {"Origin": "null"},
        {"Host": "evil.example"},
        {"Host": "evil.example:80"},
        {"Host": "10.0.0.1:8080"},
    ],
)
async def test_control_serves_no_web_page_and_no_foreign_name(client: Client, headers: dict[str, str]) -> None:
    reply = await client.control("POST", "/reset", None, **headers)
    assert reply.status == 403
    assert reply.json["error"]


@pytest.mark.parametrize("host", ["localhost", "localhost:80", "127.0.0.1", "127.9.9.9:1", "[::1]:80", "[::1]"])
async def test_control_serves_every_loopback_name(client: Client, host: str) -> None:
    assert (await client.control("GET", "/settings", None, Host=host)).status == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.1", "example.com", "", "::"])
def test_only_loopback_addresses_are_bound(host: str) -> None:
    with pytest.raises(ValueError, match="loopback"):
        EmulatorSettings(host=host)


@pytest.mark.parametrize(
    "wrong",
    [
        {"port": -1},
        {"port": 65536},
        {"pending_s": -1},
        {"latency_s": float("nan")},
        {"failed_share": 1.1},
        {"deleting_s": -1},
        {"listing_lag_s": -1},
        {"delete_lag_s": float("inf")},
        {"date_shift_s": 1e12},
        {"page_max": 0},
        {"page_max": 2001},
        {"quota": -2},
        {"token_lifetime_s": float("inf")},
        {"clock_skew_s": float("nan")},
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        EmulatorSettings(**wrong)


async def test_it_listens_on_other_loopback_addresses() -> None:
    async with talking(host="localhost") as client:
        assert client.url.startswith("http://localhost:")
        assert (await client.create()).status == 202


async def test_settings_are_shown_without_secrets() -> None:
    async with talking(keys={"SOMEAK": "TOPSECRET"}, auth_tokens=frozenset({"TICKETSECRET"}), quota=5) as client:
        reply = await client.control("GET", "/settings")
        assert reply.json["access_keys"] == ["SOMEAK"]
        assert reply.json["quota"] == 5
        assert "SECRET" not in reply.text


async def test_settings_change_while_it_runs(client: Client) -> None:
    changes: dict[str, Any] = {
        "throttle": {"calls": 1000, "period_s": 60},
        "pending_s": 5,
        "quota": 1,
        "latency_s": 0.001,
        "faults": {"delayed": 0.5, "delay_s": 0.001, "on": ["show"]},
        "open_world": False,
        "failed_share": 0.25,
        "deleting_s": 1.5,
        "listing_lag_s": 9,
        "delete_lag_s": 2.5,
        "tombstones": True,
        "unique": False,
        "date_shift_s": -600,
        "token_lifetime_s": 60,
        "remember_tokens": False,
        "page_max": 10,
        "clock_skew_s": -30.5,
    }
    reply = await client.control("PATCH", "/settings", changes)
    assert reply.status == 200
    shown = (await client.control("GET", "/settings")).json
    assert shown == reply.json
    assert shown["faults"].items() >= changes.pop("faults").items()
    assert shown.items() >= changes.items()
    assert (await client.create()).refused == (404, "ER.04041001")


@pytest.mark.parametrize(
    "wrong",
    [
        {"quota": -5},
        {"quota": True},
        {"quota": "1"},
        {"pending_s": -1},
        {"failed_share": 2},
        {"deleting_s": -1},
        {"page_max": 0},
        {"page_max": 1.5},
        {"listing_lag_s": -1},
        {"delete_lag_s": "1"},
        {"tombstones": 1},
        {"unique": None},
        {"date_shift_s": 1e12},
        {"token_lifetime_s": -1},
        {"clock_skew_s": 1e12},
        {"clock_skew_s": "5"},
        {"keys": {"AK": 5}},
        {"throttle": {"calls": 0, "period_s": 1}},
        {"throttle": {"calls": 1}},
        {"faults": {"lost_after": 2}},
        {"faults": {"on": ["fly"]}},
        {"faults": {"on": [1]}},
        {"seed": 1},
        {"port": 1},
        [],
    ],
)
async def test_a_wrong_setting_is_refused_and_changes_nothing(client: Client, wrong: object) -> None:
    before = (await client.control("GET", "/settings")).json
    reply = await client.control("PATCH", "/settings", wrong)
    assert reply.status == 400
    assert reply.json["error"]
    assert (await client.control("GET", "/settings")).json == before


async def test_control_bodies_that_are_no_json_and_unknown_paths(client: Client) -> None:
    assert (await client.send("PATCH", "/_emulator/settings", b"{")).status == 400
    assert (await client.control("GET", "/nothing")).status == 404
    assert (await client.control("PUT", "/settings", {})).status == 404


async def test_seeded_flow_logs_are_there_and_are_no_creates(client: Client) -> None:
    seeds = [SEED, {**SEED, "resource_id": some_id(2), "state": "failed"}]
    ids = (await client.control("POST", "/flow-logs", seeds)).json["ids"]
    states = [(await client.show(flow_log_id)).flow_log["state"] for flow_log_id in ids]
    assert states == ["available", "failed"]
    assert (await client.create(body(1))).refused == (400, "ER.04008503")
    found = await client.statistics()
    assert (found["flow_logs"], found["created_total"]) == (2, 0)


@pytest.mark.parametrize(
    ("path", "items", "status"),
    [
        ("/flow-logs", [{**SEED, "resource_id": some_id(5)}, SEED, SEED], 409),
        ("/flow-logs", [SEED, {**SEED, "name": ""}], 400),
        ("/flow-logs", [SEED, {**SEED, "state": "modifying"}], 400),
        ("/flow-logs", [SEED, 5], 400),
        ("/flow-logs", SEED, 400),
        ("/fates", [{**FATE, "state": "failed"}, {**FATE, "state": "deleting"}], 400),
        ("/fates", [{**FATE, "state": "failed", "er_id": "er-1"}], 400),
        ("/fates", [{**FATE, "state": "failed", "name": "n"}], 400),
        ("/fates", [FATE], 400),
        ("/fates", FATE, 400),
        ("/routers", [{"project_id": PROJECT, "id": "er-1"}], 400),
        ("/routers", [{"project_id": PROJECT}], 400),
        ("/attachments", [{"project_id": PROJECT, "er_id": ROUTER, "id": some_id(1), "kind": "vpc"}], 400),
        ("/projects", [{"name": "cn-north-4", "id": PROJECT}, {"name": "cn-north-4", "id": "p-1"}], 400),
        ("/projects", [{"name": "", "id": PROJECT}], 400),
        ("/projects", [{"name": "cn-north-4", "id": PROJECT, "access_key": ""}], 400),
        ("/log-groups", [{"project_id": PROJECT, "id": GROUP}], 400),
        ("/log-groups", [{"project_id": PROJECT, "id": GROUP, "streams": [STREAM]}], 400),
        ("/log-groups", [{"project_id": PROJECT, "id": GROUP, "streams": [{"id": "s"}]}], 400),
    ],
)
async def test_seeds_take_effect_as_a_whole_or_not_at_all(
    client: Client, path: str, items: object, status: int
) -> None:
    reply = await client.control("POST", path, items)
    assert reply.status == status
    assert (await client.statistics())["flow_logs"] == 0
    assert (await client.call("GET", "instances")).json["instances"] == []
    assert (await client.create()).flow_log["state"] == "available"


async def test_a_flow_log_can_vanish_behind_the_clients_back(client: Client) -> None:
    flow_log_id = await client.created(1)
    assert (await client.control("DELETE", f"/flow-logs/{flow_log_id}")).status == 204
    assert (await client.show(flow_log_id)).status == 404
    assert (await client.control("DELETE", f"/flow-logs/{flow_log_id}")).status == 404
    await client.created(1)
    found = await client.statistics()
    assert (found["flow_logs"], found["created_total"], found["keys_created_twice"]) == (1, 2, [])


async def test_the_clock_only_runs_ahead(client: Client) -> None:
    assert (await client.control("POST", "/clock", {"advance_s": 5})).json == {"offset_s": 5}
    assert (await client.control("POST", "/clock", {"advance_s": 2.5})).json == {"offset_s": 7.5}
    for wrong in ({"advance_s": -1}, {"advance_s": "1"}, {}, None):
        assert (await client.control("POST", "/clock", wrong)).status == 400


async def test_statistics_tell_what_a_client_did(client: Client) -> None:
    await client.created(1)
    await client.create(body(1), token="a")
    await client.create(body(2), token="a")
    await client.create(body(2), token="b")
    await client.create(body(3), token="c")
    await client.create(body(3), token="c")
    await client.page()
    await client.call("GET", "nothing")
    await client.script({"operation": "create", "fault": "throttled"})
    await client.create(body(4))
    found = await client.statistics()
    assert found["worst_window"].pop("calls") >= 1
    assert found == {
        "calls": {"create": 7, "list": 1, "unknown": 1},
        "answers": {"create": {"202": 4, "400": 2, "429": 1}, "list": {"200": 1}, "unknown": {"404": 1}},
        "flow_logs": 3,
        "created_total": 3,
        "keys_created_twice": [],
        "keys_with_two_tokens": [key(2)],
        "unauthorized_by_key": {},
        "worst_window": {"period_s": 1.0},
        "throttled": 1,
        "arrivals_over_limit": 0,
    }


async def test_a_reset_leaves_a_fresh_emulator() -> None:
    async with talking(throttle=Throttle(3, 3600), faults=FaultShares(), seed=3) as client:
        first = await client.created(1)
        await client.script({"operation": "create", "fault": "refused_before", "times": None})
        await client.control("POST", "/clock", {"advance_s": 10})
        assert [(await client.create(body(2), token="t")).status for _ in range(3)] == [503, 503, 429]
        assert (await client.control("POST", "/reset")).status == 204
        found = await client.statistics()
        assert (found["calls"], found["flow_logs"], found["created_total"]) == ({}, 0, 0)
        assert await client.created(1) == first
        assert (await client.create(body(2), token="t")).status == 202
        assert (await client.control("POST", "/clock", {"advance_s": 0})).json == {"offset_s": 0}


async def test_keys_are_renewed_while_it_runs(client: Client) -> None:
    """As a provider ends temporary keys: the old pair is refused from then on."""
    assert (await client.create()).status == 202
    reply = await client.control("PATCH", "/settings", {"keys": {"NEWAK": "NEWSK"}})
    assert reply.json["access_keys"] == ["NEWAK"]
    assert (await client.create()).refused == (401, "APIGW.0301")
