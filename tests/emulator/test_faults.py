"""Faults: each kind on a real socket, scripts, and which call gets which."""

import asyncio
import json
import random
from typing import Any

import aiohttp
import pytest

from batcher.emulator.faults import drawn
from batcher.emulator.server import FaultShares
from tests.emulator.client import ROUTER, Client, body, some_id, talking

COMMITS = {
    "refused_before": False,
    "error_after": True,
    "lost_before": False,
    "lost_after": True,
    "truncated_after": True,
    "throttled": False,
    "delayed": True,
}
NOTICED: dict[str, Any] = {
    "refused_before": (503, "ER.05039006"),
    "error_after": (500, "APIGW.0611"),
    "lost_before": aiohttp.ServerDisconnectedError,
    "lost_after": aiohttp.ServerDisconnectedError,
    "truncated_after": aiohttp.ClientPayloadError,
    "throttled": (429, "APIGW.0308"),
    "delayed": 202,
}


async def noticed(client: Client, document: object = None) -> object:
    """What a client notices of one create: status and code, or the kind of its error."""
    try:
        reply = await client.create(document)
    except aiohttp.ClientConnectionResetError:
        return aiohttp.ServerDisconnectedError
    except aiohttp.ClientError as error:
        return type(error)
    return 202 if reply.status == 202 else reply.refused


@pytest.mark.parametrize("kind", COMMITS)
async def test_each_share_fault_on_the_wire(kind: str) -> None:
    shares: dict[str, Any] = {kind: 1.0}
    async with talking(faults=FaultShares(**shares, delay_s=0.05)) as client:
        started = asyncio.get_running_loop().time()
        assert await noticed(client) == NOTICED[kind]
        if kind == "delayed":
            assert asyncio.get_running_loop().time() - started >= 0.05
        found = await client.statistics()
        assert found["created_total"] == found["flow_logs"] == int(COMMITS[kind])
        answer = str(NOTICED[kind][0]) if isinstance(NOTICED[kind], tuple) else "dropped"
        assert found["answers"] == {"create": {"202" if kind == "delayed" else answer: 1}}
        assert (await client.page()).json["total_count"] == int(COMMITS[kind])


@pytest.mark.parametrize("kind", COMMITS)
async def test_each_share_fault_as_a_script_strikes_once(client: Client, kind: str) -> None:
    await client.script({"operation": "create", "fault": kind})
    assert await noticed(client) == NOTICED[kind]
    assert await noticed(client) == ((400, "ER.04008503") if COMMITS[kind] else 202)


async def test_a_scripted_status_does_nothing_and_carries_its_headers(client: Client) -> None:
    rule = {"operation": "create", "fault": "status", "status": 503, "code": "ER.05039006", "message": "later"}
    await client.script({**rule, "headers": {"Retry-After": "1"}})
    reply = await client.create()
    assert reply.refused == (503, "ER.05039006")
    assert reply.json["error_msg"] == "later"
    assert reply.headers["Retry-After"] == "1"
    assert reply.json["request_id"] == reply.headers["X-Request-Id"]
    assert (await client.page()).json["total_count"] == 0


async def test_a_scripted_status_after_is_answered_although_it_was_done(client: Client) -> None:
    await client.script({"operation": "create", "fault": "status_after", "status": 504, "code": "APIGW.0201"})
    assert (await client.create(token="t")).refused == (504, "APIGW.0201")
    assert (await client.create(token="t")).status == 202
    assert (await client.statistics())["created_total"] == 1


async def test_a_scripted_status_without_code_looks_like_a_proxys_page(client: Client) -> None:
    await client.script({"operation": "create", "fault": "status", "status": 502})
    reply = await client.create()
    assert reply.status == 502
    assert reply.headers["Content-Type"].startswith("text/html")
    assert reply.text.startswith("<html>")


async def test_a_hanging_call_is_done_and_never_answered(client: Client) -> None:
    await client.script({"operation": "create", "fault": "hang"})
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await client.create()
    assert (await client.page()).json["total_count"] == 1
    assert (await client.statistics())["answers"]["create"] == {"dropped": 1}


async def test_a_stop_ends_calls_that_hang_or_wait() -> None:
    loop = asyncio.get_running_loop()
    async with talking() as client:
        await client.script(
            {"operation": "create", "fault": "hang"},
            {"operation": "create", "fault": "delayed", "delay_s": 3600},
        )
        calls = [asyncio.create_task(noticed(client, body(number))) for number in range(2)]
        while (await client.statistics())["created_total"] < 2:
            pass
        started = loop.time()
    assert loop.time() - started < 5
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)


async def test_rules_match_skip_and_are_used_up_in_order(client: Client) -> None:
    match = {"resource_id": some_id(1)}
    fault = {"operation": "create", "fault": "status", "code": "X.1"}
    await client.script(
        {**fault, "match": match, "skip": 1, "times": 2, "status": 501},
        {**fault, "match": {**match, "name": "special"}, "status": 502},
        {**fault, "match": match, "times": None, "status": 503},
    )
    assert (await client.create(body(2))).status == 202
    special = body(1, name="special")
    # The first rule lets one pass, which the second takes; then the first strikes twice, and the third has the rest.
    statuses = [(await client.create(special)).status for _ in range(5)]
    assert statuses == [502, 501, 501, 503, 503]


async def test_rules_match_other_operations_by_path_query_and_token(client: Client) -> None:
    flow_log_id = await client.created(1)
    fault = {"fault": "status", "status": 418, "code": "X.1"}
    await client.script(
        {**fault, "operation": "show", "match": {"flow_log_id": flow_log_id, "er_id": ROUTER}},
        {**fault, "operation": "list", "match": {"marker": "m"}},
        {**fault, "operation": "create", "match": {"client_token": "t"}},
        {**fault, "operation": "delete", "match": {"project_id": "nobody"}},
    )
    assert (await client.page("?limit=1")).status == 200
    assert (await client.page("?limit=1&marker=m")).status == 418
    assert (await client.show(flow_log_id)).status == 418
    assert (await client.show(flow_log_id)).status == 200
    assert (await client.create(body(2), token="u")).status == 202
    assert (await client.create(body(3), token="t")).status == 418
    assert (await client.call("DELETE", f"{ROUTER}/flow-logs/{flow_log_id}")).status == 202


async def test_rules_match_what_is_there_at_all_and_what_is_not(client: Client) -> None:
    """The empty text stands for what is absent, a star for any other text."""
    fault = {"fault": "status", "status": 418, "code": "X.1", "times": None}
    await client.script(
        {**fault, "operation": "list", "match": {"marker": "*", "resource_id": ""}},
        {**fault, "operation": "create", "match": {"client_token": ""}},
    )
    statuses = [
        (await client.page(query)).status
        for query in ("", "?limit=1&marker=m", f"?limit=1&marker=m&resource_id={some_id(1)}", "?limit=1&marker=m")
    ]
    assert statuses == [200, 418, 200, 418]
    assert [(await client.create(token=token)).status for token in (None, "t")] == [418, 202]


async def test_shares_strike_only_the_operations_they_name() -> None:
    shares = FaultShares(refused_before=1.0, on=frozenset({"list", "delete"}))
    async with talking(faults=shares) as client:
        flow_log_id = await client.created(1)
        assert (await client.page()).status == 503
        assert (await client.call("DELETE", f"{ROUTER}/flow-logs/{flow_log_id}")).status == 503
        assert (await client.show(flow_log_id)).status == 200


async def test_which_call_fails_does_not_depend_on_the_order_of_calls() -> None:
    shares = FaultShares(refused_before=0.3, lost_after=0.2, truncated_after=0.1)

    async def outcomes(order: list[int], seed: int) -> dict[int, list[object]]:
        found: dict[int, list[object]] = {}
        async with talking(faults=shares, seed=seed) as client:
            for number in order:
                found.setdefault(number, []).append(await noticed(client, body(number)))
        return found

    numbers = [number for number in range(30) for _ in range(2)]
    shuffled = random.Random(7).sample(numbers, len(numbers))
    assert await outcomes(numbers, 1) == await outcomes(shuffled, 1)
    assert await outcomes(numbers, 1) != await outcomes(numbers, 2)


def test_shares_come_out_in_their_proportion() -> None:
    shares = FaultShares(refused_before=0.2, delayed=0.1)
    kinds = [drawn(shares, 3, f"create:{number}", 1) for number in range(10_000)]
    assert 1800 < kinds.count("refused_before") < 2200  # type: ignore[arg-type]  # a StrEnum equals its text
    assert 850 < kinds.count("delayed") < 1150  # type: ignore[arg-type]  # as above
    assert 6700 < kinds.count(None) < 7300


async def test_a_call_meets_its_second_draw_after_a_restart_too(tmp_path: Any) -> None:
    shares = FaultShares(refused_before=0.5)
    first: dict[int, int] = {}
    second: dict[int, int] = {}
    for statuses in (first, second):
        async with talking(state_path=tmp_path / "state", faults=shares) as client:
            for number in range(20):
                statuses[number] = (await client.create(body(number), token=some_id(number))).status
    async with talking(faults=shares) as client:
        for number in range(20):
            both = [(await client.create(body(number), token=some_id(number))).status for _ in range(2)]
            assert both == [first[number], second[number]]
    assert set(first.values()) == {202, 503}
    assert first != second


@pytest.mark.parametrize(
    "shares",
    [{"lost_after": -0.1}, {"lost_after": 0.6, "delayed": 0.5}, {"delay_s": -1}, {"on": frozenset({"fly"})}],
)
def test_shares_that_make_no_sense_are_refused(shares: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="faults"):
        FaultShares(**shares)


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"operation": "fly", "fault": "hang"}, "no operation `fly`"),
        ({"operation": "create", "fault": "explode"}, "no fault `explode`"),
        ({"operation": "create"}, "`fault` is missing"),
        ({"operation": "create", "fault": "status"}, "`status` goes with"),
        ({"operation": "create", "fault": "hang", "status": 500}, "`status` goes with"),
        ({"operation": "create", "fault": "status", "status": 99}, "200..599"),
        ({"operation": "create", "fault": "hang", "times": 0}, "`times`"),
        ({"operation": "create", "fault": "hang", "delay_s": -1}, "`delay_s`"),
        ({"operation": "create", "fault": "hang", "match": {"resource_id": 5}}, "texts"),
        ({"operation": "create", "fault": "hang", "often": 5}, "no field `often`"),
        ({"operation": "create", "fault": "hang", "skip": "1"}, "`skip`"),
        ({"operation": "create", "fault": "page_empty"}, "attachments, list, routers only"),
        ({"operation": "quotas", "fault": "marker_left"}, "attachments, list, routers only"),
        ({"operation": "list", "fault": "marker_gone", "match": {"marker": ""}}, "`match` wants none"),
        ({"operation": "list", "fault": "page_short", "status": 200}, "`status` goes with"),
        ("hang", "object"),
    ],
)
async def test_a_wrong_script_is_refused_and_the_old_one_stays(client: Client, rule: object, said: str) -> None:
    await client.script({"operation": "create", "fault": "refused_before"})
    reply = await client.control("PUT", "/faults/script", [rule])
    assert reply.status == 400
    assert said in reply.json["error"]
    assert (await client.create()).status == 503


async def test_latency_is_added_to_every_answer() -> None:
    loop = asyncio.get_running_loop()
    async with talking(latency_s=0.05) as client:
        started = loop.time()
        await client.created(1)
        await client.page()
        assert loop.time() - started >= 0.1


def test_this_file_knows_every_share() -> None:
    assert json.dumps(sorted(COMMITS)) == json.dumps(sorted(set(FaultShares.__dataclass_fields__) - {"delay_s", "on"}))
