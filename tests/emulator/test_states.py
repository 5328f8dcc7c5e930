"""How flow logs end: as it was decided for their attachment, and on their way out."""

from pathlib import Path

from batcher.emulator.flow_logs import timestamp
from tests.emulator.client import GROUP, PROJECT, ROUTER, STREAM, Client, Clock, Reply, body, some_id, talking


async def decide(client: Client, *numbers: int, state: str, router: str = ROUTER) -> None:
    """Give the attachments of these numbers a fate."""
    place = {"project_id": PROJECT, "er_id": router, "state": state}
    reply = await client.control("POST", "/fates", [{**place, "resource_id": some_id(number)} for number in numbers])
    assert (reply.status, reply.json) == (200, {"fates": len(numbers)})


async def states(client: Client) -> dict[str, str]:
    """The states of a router's flow logs, by name."""
    return {log["name"]: log["state"] for log in (await client.page()).json["flow_logs"]}


async def delete(client: Client, flow_log_id: str) -> Reply:
    return await client.call("DELETE", f"{ROUTER}/flow-logs/{flow_log_id}")


async def test_flow_logs_end_as_decided_for_their_attachment() -> None:
    async with talking(pending_s=10) as client:
        await decide(client, 1, state="failed")
        await decide(client, 2, state="pending")
        await decide(client, 3, state="available")
        for number in range(1, 5):
            assert (await client.create(body(number))).flow_log["state"] == "pending"
        await client.control("POST", "/clock", {"advance_s": 10})
        ended = {"log-1": "failed", "log-2": "pending", "log-3": "available", "log-4": "available"}
        assert await states(client) == ended
        await client.control("POST", "/clock", {"advance_s": 9e8})
        assert await states(client) == ended


async def test_a_fate_is_for_one_attachment_of_one_router(client: Client) -> None:
    await decide(client, 1, state="failed", router=some_id(77))
    assert (await client.create(body(1))).flow_log["state"] == "available"
    assert (await client.create(body(1), router=some_id(77))).flow_log["state"] == "failed"
    assert (await client.create(body(1, log_stream_id=some_id(5)), router=some_id(77))).flow_log["state"] == "failed"


async def test_another_fate_changes_at_once_what_waits_for_it_and_nothing_else() -> None:
    async with talking(pending_s=10) as client:
        await decide(client, 1, 2, 3, state="pending")
        for number in range(1, 5):
            await client.created(number)
        await decide(client, 1, 4, state="available")
        await decide(client, 2, state="failed")
        assert await states(client) == {"log-1": "available", "log-2": "failed", "log-3": "pending", "log-4": "pending"}
        await decide(client, 1, 2, 3, state="pending")
        await client.control("POST", "/clock", {"advance_s": 10})
        waited = {"log-1": "available", "log-2": "failed", "log-3": "pending", "log-4": "available"}
        assert await states(client) == waited


async def test_a_fate_wins_over_the_share_that_fails_and_leaves_seeds_alone() -> None:
    async with talking(failed_share=1.0) as client:
        await decide(client, 1, state="available")
        await decide(client, 2, state="pending")
        seed = {"project_id": PROJECT, "er_id": ROUTER, "log_group_id": GROUP, "log_stream_id": STREAM}
        await client.control("POST", "/flow-logs", [{**seed, "name": "seed", "resource_id": some_id(2)}])
        assert (await client.create(body(1))).flow_log["state"] == "available"
        assert (await client.create(body(3))).flow_log["state"] == "failed"
        assert (await states(client))["seed"] == "available"


async def test_what_waits_for_its_fate_is_being_operated_and_a_token_shows_it_as_it_is(client: Client) -> None:
    await decide(client, 1, state="pending")
    made = (await client.create(token="t")).flow_log
    assert (await delete(client, made["id"])).refused == (400, "ER.04008502")
    await decide(client, 1, state="failed")
    assert (await client.create(token="t")).flow_log == {**made, "state": "failed"}
    assert (await delete(client, made["id"])).status == 202
    await client.created(1)
    assert await states(client) == {"log-1": "failed"}


async def test_fates_survive_a_restart_and_no_reset(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    async with talking(state_path=path) as client:
        await decide(client, 1, state="pending")
        await client.created(1)
        await decide(client, 2, state="failed")
    async with talking(state_path=path) as client:
        assert (await client.create(body(2))).flow_log["state"] == "failed"
        assert await states(client) == {"log-1": "pending", "log-2": "failed"}
        await decide(client, 1, state="available")
        assert (await states(client))["log-1"] == "available"
        await client.control("POST", "/reset")
        assert (await client.create(body(2))).flow_log["state"] == "available"


async def test_a_deleted_flow_log_is_deleting_until_it_is_gone() -> None:
    async with talking(deleting_s=30, quota=2, now=Clock()) as client:
        made = (await client.create(token="t")).flow_log
        await client.created(2)
        assert (await delete(client, made["id"])).status == 202
        assert (await client.show(made["id"])).flow_log == {**made, "state": "deleting"}
        assert await states(client) == {"log-1": "deleting", "log-2": "available"}
        assert (await client.create(token="t")).flow_log["state"] == "deleting"
        assert (await client.create(body(1), token="u")).refused == (400, "ER.04008503")
        assert (await client.create(body(3))).refused == (400, "ER.04009008")
        quotas = (await client.call("GET", "quotas?type=flow_log")).json["quotas"]
        assert quotas[0]["used"] == (await client.statistics())["flow_logs"] == 2
        path = f"{ROUTER}/flow-logs/{made['id']}"
        assert (await client.call("PUT", path, {"name": "x"})).refused == (400, "ER.04008502")
        assert (await client.call("POST", f"{path}/enable")).refused == (400, "ER.04008502")
        assert (await client.call("POST", f"{path}/disable")).refused == (400, "ER.04008502")

        await client.control("POST", "/clock", {"advance_s": 20})
        assert ((await delete(client, made["id"])).status, len(await states(client))) == (202, 2)
        await client.control("POST", "/clock", {"advance_s": 10})
        assert (await client.statistics())["flow_logs"] == 1
        assert (await client.show(made["id"])).status == 404
        assert (await delete(client, made["id"])).refused == (400, "ER.04008501")
        assert (await client.create(token="t")).flow_log["state"] == "deleted"
        assert await client.created(1) != made["id"]
        found = await client.statistics()
        assert (found["flow_logs"], found["created_total"], found["keys_created_twice"]) == (2, 3, [])


async def test_a_flow_log_that_failed_leaves_as_others_do_and_can_vanish_on_its_way() -> None:
    async with talking(deleting_s=30) as client:
        await decide(client, 1, state="failed")
        flow_log_id = await client.created(1)
        await delete(client, flow_log_id)
        assert await states(client) == {"log-1": "deleting"}
        assert (await client.control("DELETE", f"/flow-logs/{flow_log_id}")).status == 204
        assert await states(client) == {}
        await client.created(1)
        await client.control("POST", "/clock", {"advance_s": 60})
        assert (await client.statistics())["flow_logs"] == 1


async def test_calls_of_the_api_find_gone_what_had_its_time() -> None:
    clock = Clock()
    async with talking(deleting_s=30, quota=1, now=clock) as client:
        made = (await client.create()).flow_log
        clock.at += 5
        await delete(client, made["id"])
        deleting = (await client.show(made["id"])).flow_log
        assert (deleting["created_at"], deleting["updated_at"]) == (made["created_at"], timestamp(int(clock.at)))
        clock.at += 29
        assert await states(client) == {"log-1": "deleting"}
        clock.at += 1
        assert await states(client) == {}
        assert (await client.create()).status == 202


async def test_what_is_deleting_goes_in_its_time_after_a_restart_too(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    async with talking(state_path=path, deleting_s=30) as client:
        await delete(client, await client.created(1))
    async with talking(state_path=path) as client:
        assert await states(client) == {"log-1": "deleting"}
        await client.control("POST", "/clock", {"advance_s": 31})
        assert (await client.statistics())["flow_logs"] == 0
        assert await states(client) == {}


async def test_flow_logs_that_are_deleting_are_sorted_among_the_states() -> None:
    async with talking(deleting_s=30) as client:
        first = await client.created(1)
        await client.created(2)
        await decide(client, 3, state="failed")
        await client.created(3)
        await delete(client, first)
        logs = (await client.page("?sort_key=state&limit=2")).json["flow_logs"]
        assert [log["state"] for log in logs] == ["available", "deleting"]
