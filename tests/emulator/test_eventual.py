"""A service that is eventual: listings that lag, tombstones, forgotten tokens, twins, and dates of another clock."""

from calendar import timegm
from pathlib import Path
from time import strptime

import pytest

from tests.emulator.client import PROJECT, ROUTER, Client, Clock, body, key, some_id, talking


async def listed(client: Client) -> dict[str, str]:
    """The states of the flow logs that a listing shows, by name; it counts as many as it shows."""
    page = (await client.page()).json
    assert page["total_count"] == len(page["flow_logs"])
    return {log["name"]: log["state"] for log in page["flow_logs"]}


async def delete(client: Client, flow_log_id: str) -> None:
    assert (await client.call("DELETE", f"{ROUTER}/flow-logs/{flow_log_id}")).status == 202


def made_at(flow_log: dict[str, str]) -> int:
    return timegm(strptime(flow_log["created_at"], "%Y-%m-%dT%H:%M:%SZ"))


async def test_a_listing_shows_late_what_was_made_and_its_id_shows_it_at_once() -> None:
    clock = Clock()
    async with talking(listing_lag_s=9, now=clock) as client:
        first = await client.created(1)
        clock.at += 5
        await client.created(2)
        assert await listed(client) == {}
        assert (await client.show(first)).flow_log["state"] == "available"
        assert (await client.create(body(1))).refused == (400, "ER.04008503")
        clock.at += 4
        assert await listed(client) == {"log-1": "available"}
        assert (await client.page(f"?resource_id={some_id(2)}")).json["flow_logs"] == []
        clock.at += 5
        assert await listed(client) == {"log-1": "available", "log-2": "available"}


async def test_a_listing_shows_for_long_what_was_deleted_and_its_id_does_not() -> None:
    clock = Clock()
    async with talking(delete_lag_s=9, now=clock) as client:
        first = await client.created(1)
        await delete(client, first)
        assert await listed(client) == {"log-1": "available"}
        assert (await client.show(first)).status == 404
        assert (await client.call("DELETE", f"{ROUTER}/flow-logs/{first}")).refused == (400, "ER.04008501")
        clock.at += 8
        second = await client.created(1, name="again")
        assert await listed(client) == {"log-1": "available", "again": "available"}
        clock.at += 1
        assert await listed(client) == {"again": "available"}
        quotas = (await client.call("GET", "quotas?type=flow_log")).json["quotas"]
        assert (quotas[0]["used"], (await client.show(second)).status) == (1, 200)


async def test_what_was_deleted_is_listed_in_its_last_state() -> None:
    clock = Clock()
    async with talking(deleting_s=5, delete_lag_s=9, pending_s=2, now=clock) as client:
        waiting = await client.created(1)
        await client.control("DELETE", f"/flow-logs/{waiting}")
        leaving = await client.created(2)
        clock.at += 2
        await delete(client, leaving)
        clock.at += 5
        assert (await client.show(leaving)).status == 404
        assert await listed(client) == {"log-1": "pending", "log-2": "deleting"}
        clock.at += 8
        assert await listed(client) == {"log-2": "deleting"}
        clock.at += 1
        assert await listed(client) == {}


async def test_tombstones_stay_in_listings_and_count_for_nothing(tmp_path: Path) -> None:
    clock, path = Clock(), tmp_path / "state.db"
    async with talking(tombstones=True, delete_lag_s=3, quota=1, now=clock, state_path=path) as client:
        first = await client.created(1)
        await delete(client, first)
        assert await listed(client) == {"log-1": "available"}
        clock.at += 3
        assert await listed(client) == {"log-1": "deleted"}
        assert (await client.show(first)).status == 404
        clock.at += 600
        assert (await client.statistics())["flow_logs"] == 0
    async with talking(tombstones=True, quota=1, now=clock, state_path=path) as client:
        assert await listed(client) == {"log-1": "deleted"}
        await client.control("PATCH", "/settings", {"tombstones": False})
        assert await listed(client) == {}


async def test_a_listing_that_lags_is_paged_to_its_own_end() -> None:
    clock = Clock()
    async with talking(listing_lag_s=5, delete_lag_s=5, tombstones=True, page_max=2, now=clock) as client:
        ids = [await client.created(number) for number in range(1, 6)]
        clock.at += 5
        await client.created(6)
        await delete(client, ids[0])
        seen, marker = [], ""
        while marker is not None:
            page = (await client.page(f"?limit=2{marker and f'&marker={marker}'}")).json
            seen += [log["id"] for log in page["flow_logs"]]
            assert page["total_count"] == 5
            marker = page["page_info"]["next_marker"]
        assert seen == sorted(ids)


async def test_where_nothing_is_unique_a_second_flow_log_stands_at_one_place() -> None:
    async with talking(unique=False) as client:
        ids = {await client.created(1), await client.created(1)}
        assert {log["id"] for log in (await client.page()).json["flow_logs"]} == ids
        assert (await client.statistics())["keys_created_twice"] == [key(1)]
        seed = {**body(1)["flow_log"], "project_id": PROJECT, "er_id": ROUTER}  # type: ignore[dict-item]
        assert (await client.control("POST", "/flow-logs", [seed])).status == 200
        await client.control("PATCH", "/settings", {"unique": True})
        assert (await client.create(body(1))).refused == (400, "ER.04008503")
        assert (await client.control("POST", "/flow-logs", [seed])).status == 409


async def test_forgotten_tokens_make_a_new_call_of_a_repeated_one() -> None:
    async with talking(unique=False) as client:
        first = (await client.create(token="t")).flow_log["id"]
        assert (await client.create(token="t")).flow_log["id"] == first
        assert (await client.control("DELETE", "/tokens")).json == {"forgotten": 1}
        second = (await client.create(token="t")).flow_log["id"]
        assert second != first
        assert (await client.create(token="t")).flow_log["id"] == second
        await client.control("PATCH", "/settings", {"unique": True})
        await client.control("DELETE", "/tokens")
        assert (await client.create(token="t")).refused == (400, "ER.04008503")


async def test_a_service_without_a_memory_for_tokens_still_reads_them() -> None:
    async with talking(remember_tokens=False, unique=False) as client:
        first, second = [(await client.create(token="t")) for _ in range(2)]
        assert first.flow_log["id"] != second.flow_log["id"]
        assert second.headers["X-Client-Token"] == "t"
        assert (await client.create(token="x" * 65)).refused == (400, "ER.04009005")
        assert (await client.control("DELETE", "/tokens")).json == {"forgotten": 0}


async def test_the_life_of_tokens_can_be_cut_short_while_it_runs() -> None:
    clock = Clock()
    async with talking(now=clock) as client:
        await client.create(token="t")
        clock.at += 11
        assert (await client.create(token="t")).status == 202
        await client.control("PATCH", "/settings", {"token_lifetime_s": 10})
        assert (await client.create(token="t")).refused == (400, "ER.04009005")


@pytest.mark.parametrize("shift_s", [-600, 600])
async def test_what_is_made_bears_the_date_of_another_clock(shift_s: int) -> None:
    clock = Clock()
    async with talking(date_shift_s=shift_s, now=clock) as client:
        made = (await client.create(token="t")).flow_log
        path = f"{ROUTER}/flow-logs/{made['id']}"
        shown = [
            made,
            (await client.create(token="t")).flow_log,
            (await client.show(made["id"])).flow_log,
            (await client.call("PUT", path, {"name": "log-1"})).flow_log,
            (await client.page()).json["flow_logs"][0],
        ]
        assert {made_at(flow_log) for flow_log in shown} == {clock.at + shift_s}
        await client.control("PATCH", "/settings", {"date_shift_s": 0})
        assert made_at((await client.show(made["id"])).flow_log) == clock.at
