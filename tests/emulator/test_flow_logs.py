"""Flow logs through the API: create, show, list, change, delete."""

import json
import re

import pytest

from tests.emulator.client import (
    GROUP,
    PROJECT,
    ROUTER,
    STREAM,
    Client,
    Clock,
    body,
    some_id,
    talking,
)

UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"


async def test_a_create_answers_as_the_document_shows(client: Client) -> None:
    reply = await client.create(body(7, name="flow-log", description="flow log test"), token="token-1")
    assert reply.status == 202
    assert reply.headers["X-Client-Token"] == "token-1"
    assert reply.headers["X-Request-Id"] == reply.json["request_id"]
    log = reply.flow_log
    assert re.fullmatch(UUID, log.pop("id"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", log["created_at"])
    assert log.pop("created_at") == log.pop("updated_at")
    assert log == {
        "name": "flow-log",
        "description": "flow log test",
        "project_id": PROJECT,
        "resource_type": "attachment",
        "resource_id": some_id(7),
        "log_group_id": GROUP,
        "log_stream_id": STREAM,
        "log_store_type": "LTS",
        "log_aggregation_interval": 600,
        "state": "available",
        "enabled": True,
    }


async def test_a_create_without_token_echoes_none(client: Client) -> None:
    reply = await client.create()
    assert reply.status == 202
    assert "X-Client-Token" not in reply.headers


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 65}, "name"),
        ({"name": None}, "name"),
        ({"name": 5}, "name"),
        ({"description": "x" * 256}, "description"),
        ({"description": ["x"]}, "description"),
        ({"resource_type": "vpc"}, "resource_type"),
        ({"resource_type": None}, "resource_type"),
        ({"resource_id": "attachment-1"}, "resource_id"),
        ({"log_group_id": None}, "log_group_id"),
        ({"log_stream_id": 1}, "log_stream_id"),
        ({"log_store_type": "OBS"}, "log_store_type"),
    ],
)
async def test_a_wrong_field_is_refused_by_name(client: Client, changes: dict[str, object], field: str) -> None:
    reply = await client.create(body(1, **changes))
    assert reply.refused == (400, "ER.04009005")
    assert f"`{field}`" in reply.json["error_msg"]
    assert (await client.page()).json["total_count"] == 0


@pytest.mark.parametrize("changes", [{"name": "x" * 64}, {"description": None}, {"description": "流" * 255}])
async def test_values_at_the_bounds_are_taken(client: Client, changes: dict[str, object]) -> None:
    reply = await client.create(body(1, **changes))
    assert reply.status == 202
    assert reply.flow_log["description"] == (body(1, **changes)["flow_log"].get("description") or "")  # type: ignore[attr-defined]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b'{"flow_log": 1}', b"\xff", b"[" * 100_000])
async def test_a_body_that_is_no_object_is_refused(client: Client, content: bytes) -> None:
    path = f"{client.base}/{ROUTER}/flow-logs"
    reply = await client.send("POST", path, content, {"X-Auth-Token": "ticket"})
    assert reply.refused == (400, "ER.04009005")


async def test_one_flow_log_per_router_attachment_group_and_stream(client: Client) -> None:
    await client.created(1)
    assert (await client.create(body(1, name="other"))).refused == (400, "ER.04008503")
    assert (await client.create(body(1, log_stream_id=some_id(9)))).status == 202
    assert (await client.create(body(1), router=some_id(3))).status == 202
    other_project = await client.send(
        "POST",
        f"/v3/{'f' * 32}/enterprise-router/{ROUTER}/flow-logs",
        json.dumps(body(1)).encode(),
        {"X-Auth-Token": "ticket"},
    )
    assert other_project.status == 202


async def test_a_deleted_flow_log_is_gone_and_its_key_free(client: Client) -> None:
    first = await client.created(1)
    deleted = await client.call("DELETE", f"{ROUTER}/flow-logs/{first}")
    assert (deleted.status, deleted.text) == (202, "")
    assert deleted.headers["X-Request-Id"]
    assert (await client.show(first)).status == 404
    assert (await client.call("DELETE", f"{ROUTER}/flow-logs/{first}")).refused == (400, "ER.04008501")
    assert (await client.page()).json["flow_logs"] == []
    assert await client.created(1) != first


async def test_show_gives_what_create_gave(client: Client) -> None:
    reply = await client.create(body(4))
    shown = await client.show(reply.flow_log["id"])
    assert shown.status == 200
    assert shown.flow_log == reply.flow_log


async def test_update_changes_what_it_names_and_wants_a_bare_body(client: Client) -> None:
    flow_log_id = await client.created(1)
    path = f"{ROUTER}/flow-logs/{flow_log_id}"
    assert (await client.call("PUT", path, {"name": "new"})).flow_log["name"] == "new"
    changed = await client.call("PUT", path, {"description": ""})
    assert changed.status == 200
    assert (changed.flow_log["name"], changed.flow_log["description"]) == ("new", "")
    wrongs: list[object] = [{"flow_log": {"name": "x"}}, {"log_group_id": GROUP}, {"name": ""}, []]
    for wrong in wrongs:
        assert (await client.call("PUT", path, wrong)).refused == (400, "ER.04009005")
    assert (await client.show(flow_log_id)).flow_log == changed.flow_log
    unknown = await client.call("PUT", f"{ROUTER}/flow-logs/{some_id(9)}", {"name": "x"})
    assert unknown.refused == (400, "ER.04008501")


async def test_disable_and_enable(client: Client) -> None:
    path = f"{ROUTER}/flow-logs/{await client.created(1)}"
    off = await client.call("POST", f"{path}/disable")
    assert (off.status, off.flow_log["enabled"]) == (202, False)
    assert (await client.call("GET", path)).flow_log["enabled"] is False
    on = await client.call("POST", f"{path}/enable")
    assert (on.status, on.flow_log["enabled"]) == (202, True)
    assert (await client.call("POST", f"{ROUTER}/flow-logs/{some_id(9)}/enable")).status == 400


async def test_a_pending_flow_log_becomes_available_with_the_clock() -> None:
    async with talking(pending_s=30) as client:
        reply = await client.create()
        assert reply.flow_log["state"] == "pending"
        path = f"{ROUTER}/flow-logs/{reply.flow_log['id']}"
        assert (await client.call("DELETE", path)).refused == (400, "ER.04008502")
        assert (await client.call("PUT", path, {"name": "x"})).refused == (400, "ER.04008502")
        await client.control("POST", "/clock", {"advance_s": 31})
        assert (await client.call("GET", path)).flow_log["state"] == "available"
        assert (await client.call("DELETE", path)).status == 202


async def test_a_share_of_flow_logs_ends_in_failed_the_same_ones_each_time() -> None:
    async def failed() -> set[str]:
        async with talking(failed_share=0.4, pending_s=10, seed=5) as client:
            for number in range(60):
                assert (await client.create(body(number))).flow_log["state"] == "pending"
            await client.control("POST", "/clock", {"advance_s": 11})
            logs = (await client.page()).json["flow_logs"]
            return {log["resource_id"] for log in logs if log["state"] == "failed"}

    first = await failed()
    assert 10 < len(first) < 40
    assert await failed() == first


async def test_a_quota_holds_per_project_and_is_freed_by_deletes() -> None:
    async with talking(quota=2) as client:
        first = await client.created(1)
        await client.created(2)
        assert (await client.create(body(2))).refused == (400, "ER.04008503")
        assert (await client.create(body(3))).refused == (400, "ER.04009008")
        await client.call("DELETE", f"{ROUTER}/flow-logs/{first}")
        assert (await client.create(body(3))).status == 202


async def test_paging_over_5000_flow_logs_shows_each_once(client: Client) -> None:
    seeds = []
    for number in range(5000):
        fields = body(number)["flow_log"]
        assert isinstance(fields, dict)
        seeds.append({"project_id": PROJECT, "er_id": ROUTER, **fields})
    seeded = (await client.control("POST", "/flow-logs", seeds)).json["ids"]
    found: list[str] = []
    counts = []
    query = "?limit=2000"
    while True:
        page = (await client.page(query)).json
        assert page["total_count"] == 5000
        counts.append(page["page_info"]["current_count"])
        found += [log["id"] for log in page["flow_logs"]]
        marker = page["page_info"]["next_marker"]
        if marker is None:
            break
        assert marker == found[-1]
        query = f"?limit=2000&marker={marker}"
    assert counts == [2000, 2000, 1000]
    assert found == sorted(seeded)


async def test_a_list_without_limit_gives_2000() -> None:
    async with talking() as client:
        seeds = [
            {"project_id": PROJECT, "er_id": ROUTER, **body(number)["flow_log"]}  # type: ignore[dict-item]
            for number in range(2001)
        ]
        await client.control("POST", "/flow-logs", seeds)
        page = (await client.page()).json
        assert len(page["flow_logs"]) == page["page_info"]["current_count"] == 2000
        assert page["page_info"]["next_marker"] == page["flow_logs"][-1]["id"]


async def test_a_page_goes_on_after_a_marker_whose_item_is_gone(client: Client) -> None:
    ids = sorted([await client.created(number) for number in range(6)])
    first = (await client.page("?limit=3")).json
    assert first["page_info"]["next_marker"] == ids[2]
    await client.control("DELETE", f"/flow-logs/{ids[2]}")
    rest = (await client.page(f"?limit=3&marker={ids[2]}")).json
    assert [log["id"] for log in rest["flow_logs"]] == ids[3:]


@pytest.mark.parametrize("direction", ["asc", "desc"])
@pytest.mark.parametrize("sort_key", ["name", "state", "id"])
async def test_each_sort_key_pages_in_order(client: Client, sort_key: str, direction: str) -> None:
    for number in range(7):
        await client.created(number, name=f"name-{number % 3}")
    found: list[dict[str, str]] = []
    query = f"?limit=2&sort_key={sort_key}&sort_dir={direction}"
    marker = ""
    while marker is not None:
        page = (await client.page(query + (marker and f"&marker={marker}"))).json
        found += page["flow_logs"]
        marker = page["page_info"]["next_marker"]
    assert len({log["id"] for log in found}) == len(found) == 7
    values = [(log[sort_key], log["id"]) for log in found]
    assert values == sorted(values, reverse=direction == "desc")


async def test_filters_by_attachment_and_type(client: Client) -> None:
    for number in range(4):
        await client.created(number)
    page = (await client.page(f"?resource_id={some_id(1)}&resource_id={some_id(3)}")).json
    assert {log["resource_id"] for log in page["flow_logs"]} == {some_id(1), some_id(3)}
    assert page["total_count"] == 2
    assert (await client.page("?resource_type=attachment")).json["total_count"] == 4
    assert (await client.page("?resource_type=vpc")).json["total_count"] == 0
    assert (await client.page(router=some_id(77))).json["flow_logs"] == []


@pytest.mark.parametrize(
    "query",
    ["?limit=0", "?limit=2001", "?limit=x", "?limit=", "?marker=a", "?limit=5&marker=", "?sort_key=x", "?sort_dir=up"],
)
async def test_a_wrong_list_parameter_is_refused(client: Client, query: str) -> None:
    assert (await client.page(query)).refused == (400, "ER.04009005")


async def test_a_marker_of_another_order_that_is_gone_is_refused(client: Client) -> None:
    reply = await client.page(f"?limit=5&sort_key=name&marker={some_id(1)}")
    assert reply.refused == (400, "ER.04009005")


async def test_times_are_utc_seconds_of_the_emulators_clock() -> None:
    clock = Clock()
    async with talking(now=clock) as client:
        flow_log_id = await client.created(1)
        await client.control("POST", "/clock", {"advance_s": 3600})
        changed = await client.call("PUT", f"{ROUTER}/flow-logs/{flow_log_id}", {"name": "later"})
        created_at, updated_at = changed.flow_log["created_at"], changed.flow_log["updated_at"]
        assert created_at != updated_at
        assert created_at[13:] == updated_at[13:]


async def test_ids_come_from_the_seed() -> None:
    async def ids(seed: int) -> list[str]:
        async with talking(seed=seed) as client:
            return [await client.created(number) for number in range(3)]

    assert await ids(1) == await ids(1)
    assert set(await ids(1)).isdisjoint(await ids(2))
