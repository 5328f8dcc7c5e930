"""Listings that lie by script, and pages that are smaller than their limit."""

from dataclasses import dataclass
from typing import Any

import pytest

from tests.emulator.client import PROJECT, ROUTER, Client, some_id, talking

PAGED = {"list": ("flow_logs", f"{ROUTER}/flow-logs"), "attachments": ("attachments", f"{ROUTER}/attachments")}


@dataclass(frozen=True)
class Shown:
    """What a page shows."""

    ids: list[str]
    marker: str | None
    count: int
    total: int | None


async def page(client: Client, marker: str | None = None, *, operation: str = "list", query: str = "") -> Shown:
    """One page of at most four."""
    member, path = PAGED[operation]
    following = "" if marker is None else f"&marker={marker}"
    reply = await client.call("GET", f"{path}?limit=4{following}{query}")
    assert reply.status == 200, reply.text
    info = reply.json["page_info"]
    ids = [item["id"] for item in reply.json[member]]
    return Shown(ids, info["next_marker"], info["current_count"], reply.json.get("total_count"))


async def lie(client: Client, kind: str, **rule: Any) -> None:
    await client.script({"operation": "list", "fault": kind, **rule})


async def six(client: Client) -> list[str]:
    """The ids of six flow logs, in order."""
    return sorted([await client.created(number) for number in range(6)])


async def test_a_marker_is_left_on_the_last_page_and_the_real_one_on_the_others(client: Client) -> None:
    ids = await six(client)
    await lie(client, "marker_left", times=2)
    assert await page(client) == Shown(ids[:4], ids[3], 4, 6)
    assert await page(client, ids[3]) == Shown(ids[4:], "1", 2, 6)
    assert await page(client, ids[3]) == Shown(ids[4:], None, 2, 6)


async def test_a_marker_whose_item_is_said_to_be_gone_is_refused_and_first_pages_are_not(client: Client) -> None:
    ids = await six(client)
    await lie(client, "marker_gone")
    assert (await page(client)).ids == ids[:4]
    reply = await client.page(f"?limit=4&marker={ids[3]}")
    assert reply.refused == (400, "ER.04009005")
    assert "`marker`" in reply.json["error_msg"]
    assert (await page(client, ids[3])).ids == ids[4:]
    assert (await client.statistics())["answers"]["list"] == {"200": 2, "400": 1}


async def test_the_first_page_comes_again_in_place_of_another(client: Client) -> None:
    ids = await six(client)
    await lie(client, "page_repeated")
    first = await page(client)
    assert await page(client, ids[3]) == first == Shown(ids[:4], ids[3], 4, 6)
    assert await page(client, ids[3]) == Shown(ids[4:], None, 2, 6)


async def test_a_page_is_empty_although_there_is_more(client: Client) -> None:
    ids = await six(client)
    await lie(client, "page_empty", times=2)
    assert await page(client) == await page(client, ids[3]) == Shown([], None, 0, 6)
    assert (await page(client)).ids == ids[:4]


async def test_a_page_breaks_off_in_its_middle(client: Client) -> None:
    ids = await six(client)
    await lie(client, "page_short", times=4)
    assert await page(client) == Shown(ids[:2], None, 2, 6)
    assert await page(client, ids[3]) == Shown(ids[4:5], None, 1, 6)
    assert await page(client, ids[2]) == Shown(ids[3:4], None, 1, 6)
    assert await page(client, ids[4]) == Shown([], None, 0, 6)


async def test_lies_strike_the_calls_that_their_rule_names(client: Client) -> None:
    ids = await six(client)
    await client.script(
        {"operation": "list", "fault": "page_empty", "match": {"marker": ids[3]}, "times": None},
        {"operation": "list", "fault": "page_short", "match": {"marker": "", "resource_id": ""}, "times": None},
    )
    assert (await page(client)).ids == ids[:2]
    assert (await page(client, ids[3])).ids == []
    assert (await page(client, ids[2])).ids == ids[3:]
    assert len((await page(client, query=f"&resource_id={some_id(1)}")).ids) == 1


@pytest.mark.parametrize(
    ("kind", "shown"),
    [
        ("marker_left", Shown([some_id(4), some_id(5)], "1", 2, None)),
        ("page_repeated", Shown([some_id(number) for number in range(4)], some_id(3), 4, None)),
        ("page_empty", Shown([], None, 0, None)),
        ("page_short", Shown([some_id(4)], None, 1, None)),
    ],
)
async def test_attachments_are_lied_about_too(client: Client, kind: str, shown: Shown) -> None:
    await six(client)
    await client.script({"operation": "attachments", "fault": kind, "match": {"er_id": ROUTER}})
    assert await page(client, some_id(3), operation="attachments") == shown
    assert (await page(client, some_id(3), operation="attachments")).ids == [some_id(4), some_id(5)]


async def test_routers_are_lied_about_too(client: Client) -> None:
    await client.created(1)
    await client.script(
        {"operation": "routers", "fault": "page_empty"}, {"operation": "routers", "fault": "marker_gone"}
    )
    assert (await client.call("GET", "instances")).json["instances"] == []
    assert (await client.call("GET", "instances?limit=1&marker=1")).refused == (400, "ER.04009005")
    assert len((await client.call("GET", "instances")).json["instances"]) == 1


async def test_a_refusal_of_its_own_is_not_lied_about(client: Client) -> None:
    await lie(client, "page_empty", times=None)
    assert (await client.page("?limit=0")).refused == (400, "ER.04009005")


async def test_pages_are_as_small_as_the_settings_say() -> None:
    async with talking(page_max=2) as client:
        ids = await six(client)
        assert await page(client) == Shown(ids[:2], ids[1], 2, 6)
        assert await page(client, ids[3]) == Shown(ids[4:], None, 2, 6)
        attachments = await page(client, operation="attachments")
        assert attachments == Shown([some_id(0), some_id(1)], some_id(1), 2, None)
        assert len((await client.page()).json["flow_logs"]) == 2
        assert len((await client.page("?limit=1")).json["flow_logs"]) == 1
        await client.control(
            "POST", "/routers", [{"project_id": PROJECT, "id": some_id(number)} for number in range(3)]
        )
        assert len((await client.call("GET", "instances")).json["instances"]) == 2
        assert (await client.control("PATCH", "/settings", {"page_max": 2000})).status == 200
        assert (await page(client)).ids == ids[:4]
