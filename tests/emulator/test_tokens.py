"""Client tokens: what a repeated create gets."""

from tests.emulator.client import ROUTER, Client, body, some_id, talking


async def test_a_repeated_create_replays_the_first_answer(client: Client) -> None:
    first = await client.create(token="t")
    again = await client.create(token="t")
    assert (again.status, again.flow_log) == (202, first.flow_log)
    assert again.headers["X-Client-Token"] == "t"
    assert again.json["request_id"] != first.json["request_id"]
    assert (await client.statistics())["created_total"] == 1


async def test_the_order_of_fields_does_not_make_another_body(client: Client) -> None:
    fields = body()["flow_log"]
    assert isinstance(fields, dict)
    turned = {"flow_log": dict(reversed(fields.items()))}
    first = await client.create(token="t")
    assert (await client.create(turned, token="t")).flow_log["id"] == first.flow_log["id"]


async def test_a_replay_shows_the_flow_log_as_it_is_now() -> None:
    async with talking(pending_s=10) as client:
        assert (await client.create(token="t")).flow_log["state"] == "pending"
        await client.control("POST", "/clock", {"advance_s": 11})
        again = await client.create(token="t")
        assert again.flow_log["state"] == "available"
        await client.call("DELETE", f"{ROUTER}/flow-logs/{again.flow_log['id']}")
        assert (await client.create(token="t")).flow_log["state"] == "deleted"


async def test_a_refusal_is_replayed_even_when_its_cause_is_gone() -> None:
    async with talking(quota=0) as client:
        refused = await client.create(token="t")
        assert refused.refused == (400, "ER.04009008")
        await client.control("PATCH", "/settings", {"quota": -1})
        again = await client.create(token="t")
        assert again.refused == refused.refused
        assert again.json["error_msg"] == refused.json["error_msg"]
        assert (await client.create(token="another")).status == 202


async def test_a_token_with_other_parameters_is_refused(client: Client) -> None:
    await client.create(body(1), token="t")
    for reply in (
        await client.create(body(2), token="t"),
        await client.create(body(1, name="other"), token="t"),
        await client.create(body(1), token="t", router=some_id(4)),
    ):
        assert reply.refused == (400, "ER.04009005")
        assert "ECS document" in reply.json["error_msg"]
    assert (await client.create(body(1), token="t")).status == 202


async def test_a_token_belongs_to_its_project(client: Client) -> None:
    await client.create(body(1), token="t")
    other = Client.__new__(Client)
    other = Client(client.emulator, client.session, project="e" * 32)
    assert (await other.create(body(2), token="t")).status == 202


async def test_a_token_expires_with_the_clock() -> None:
    async with talking(token_lifetime_s=3600) as client:
        await client.create(token="t")
        await client.control("POST", "/clock", {"advance_s": 3590})
        assert (await client.create(token="t")).status == 202
        await client.control("POST", "/clock", {"advance_s": 3600})
        late = await client.create(token="t")
        assert late.refused == (400, "ER.04009005")
        assert "too long ago" in late.json["error_msg"]


async def test_server_errors_and_throttling_are_not_remembered(client: Client) -> None:
    await client.script(
        {"operation": "create", "fault": "refused_before"},
        {"operation": "create", "fault": "throttled"},
        {"operation": "create", "fault": "status", "status": 400, "code": "ER.04004003"},
    )
    statuses = [(await client.create(token="t")).status for _ in range(5)]
    assert statuses == [503, 429, 400, 202, 202]
    assert (await client.statistics())["created_total"] == 1


async def test_a_token_has_1_to_64_characters(client: Client) -> None:
    assert (await client.create(token="")).refused == (400, "ER.04009005")
    assert (await client.create(token="t" * 65)).refused == (400, "ER.04009005")
    assert (await client.create(token="t" * 64)).status == 202
