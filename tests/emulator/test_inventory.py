"""Routers, attachments and quotas, in an open and in a closed world."""

import pytest

from tests.emulator.client import PROJECT, ROUTER, STREAM, Client, body, some_id, talking


async def test_routers_and_attachments_come_into_being_on_first_use(client: Client) -> None:
    await client.created(1)
    await client.created(2)
    routers = (await client.call("GET", "instances")).json
    assert [(router["id"], router["state"]) for router in routers["instances"]] == [(ROUTER, "available")]
    assert routers["page_info"] == {"next_marker": None, "current_count": 1}
    attachments = (await client.call("GET", f"{ROUTER}/attachments")).json["attachments"]
    assert [item["id"] for item in attachments] == [some_id(1), some_id(2)]
    assert {item["er_id"] for item in attachments} == {ROUTER}
    assert all(item["resource_id"] != item["id"] for item in attachments)


async def test_a_closed_world_knows_only_what_was_seeded() -> None:
    async with talking(open_world=False) as client:
        assert (await client.create()).refused == (404, "ER.04041001")
        assert (await client.page()).refused == (404, "ER.04041001")
        assert (await client.call("GET", f"{ROUTER}/attachments")).refused == (404, "ER.04041001")
        await client.control("POST", "/routers", [{"project_id": PROJECT, "id": ROUTER}])
        assert (await client.create()).refused == (404, "ER.04044001")
        seed = {"project_id": PROJECT, "er_id": ROUTER, "id": some_id(1)}
        await client.control("POST", "/attachments", [seed])
        assert (await client.create()).status == 202


@pytest.mark.parametrize(
    ("attachment", "code"),
    [
        ({"state": "pending"}, "ER.04004003"),
        ({"state": "freezed"}, "ER.04009011"),
        ({"resource_type": "can"}, "ER.04008500"),
    ],
)
async def test_an_attachment_that_cannot_have_flow_logs(client: Client, attachment: dict[str, str], code: str) -> None:
    seed = {"project_id": PROJECT, "er_id": ROUTER, "id": some_id(1), **attachment}
    await client.control("POST", "/attachments", [seed])
    assert (await client.create()).refused == (400, code)
    await client.control("POST", "/attachments", [{**seed, "state": "available", "resource_type": "vpc"}])
    assert (await client.create()).status == 202


async def test_a_router_being_operated_refuses_for_a_while(client: Client) -> None:
    seed = {"project_id": PROJECT, "id": ROUTER, "state": "modifying"}
    await client.control("POST", "/routers", [seed])
    assert (await client.create()).refused == (400, "ER.04001003")
    await client.control("POST", "/routers", [{**seed, "state": "available"}])
    assert (await client.create()).status == 202


async def test_attachments_page_and_filter(client: Client) -> None:
    seeds = [
        {
            "project_id": PROJECT,
            "er_id": ROUTER,
            "id": some_id(number),
            "name": f"att-{number}",
            "state": "failed" if number == 3 else "available",
            "resource_type": "vgw" if number % 2 else "vpc",
            "resource_id": some_id(100 + number),
        }
        for number in range(5)
    ]
    assert (await client.control("POST", "/attachments", seeds)).json["ids"] == [seed["id"] for seed in seeds]

    async def found(query: str) -> list[str]:
        reply = await client.call("GET", f"{ROUTER}/attachments?{query}")
        return [item["id"] for item in reply.json["attachments"]]

    assert await found("resource_type=vgw") == [some_id(1), some_id(3)]
    assert await found("resource_type=vgw&state=available") == [some_id(1)]
    assert await found(f"resource_id={some_id(102)}&resource_id={some_id(104)}") == [some_id(2), some_id(4)]
    assert await found(f"limit=2&marker={some_id(1)}") == [some_id(2), some_id(3)]


async def test_quotas_count_what_is_there_and_unknown_routers_use_nothing() -> None:
    async with talking(quota=20) as client:
        await client.created(1)
        await client.created(2)

        async def flow_logs(query: str) -> dict[str, object]:
            quotas = (await client.call("GET", f"quotas?type=flow_log{query}")).json["quotas"]
            assert len(quotas) == 1
            found: dict[str, object] = quotas[0]
            return found

        expected = {"quota_key": "flow_log", "quota_limit": 20, "used": 2, "unit": "count"}
        assert await flow_logs("") == expected
        assert await flow_logs(f"&erId={ROUTER}") == expected
        assert (await flow_logs(f"&erId={some_id(5)}"))["used"] == 0
        both = (await client.call("GET", "quotas?type=flow_log&type=vpc_attachment")).json["quotas"]
        assert {quota["quota_key"]: quota["used"] for quota in both} == {"flow_log": 2, "vpc_attachment": 2}
        assert len((await client.call("GET", "quotas")).json["quotas"]) > 5
        assert (await client.call("GET", "quotas?type=moon")).refused == (400, "ER.04009009")


async def test_the_quota_of_an_unlimited_project_is_minus_one(client: Client) -> None:
    quotas = (await client.call("GET", "quotas?type=flow_log")).json["quotas"]
    assert quotas[0]["quota_limit"] == -1


async def test_a_router_id_that_is_none_is_refused(client: Client) -> None:
    assert (await client.create(body(), router="er-1")).refused == (400, "ER.04009005")


async def test_a_list_says_that_creates_take_what_it_lacks_and_is_held_to_where_it_does_not() -> None:
    """Attachments of an open world, and log groups of a project for which none was seeded."""
    groups, json = f"/v2/{PROJECT}/groups", {"Content-Type": "application/json;charset=UTF-8"}
    for open_world in (True, False):
        async with talking(open_world=open_world) as client:
            await client.control("POST", "/attachments", [{"project_id": PROJECT, "er_id": ROUTER, "id": some_id(1)}])
            attachments = (await client.call("GET", f"{ROUTER}/attachments")).json
            assert attachments.get("open_world", False) is open_world
            assert (await client.create(body(2))).status == (202 if open_world else 404)
            assert (await client.ask(groups, headers=json)).json["open_world"] is True
            assert (await client.create(body(1))).status == 202
            seed = {"project_id": PROJECT, "id": some_id(70), "streams": [{"id": STREAM}]}
            await client.control("POST", "/log-groups", [seed])
            assert "open_world" not in (await client.ask(groups, headers=json)).json
            elsewhere = body(1, log_group_id=some_id(71), log_stream_id=STREAM)
            assert (await client.create(elsewhere)).refused == (400, "ER.04009005")
            assert (await client.create(body(1, log_group_id=some_id(70), log_stream_id=STREAM))).status == 202
