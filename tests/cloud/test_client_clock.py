"""The client and the clocks of its endpoints: what a call is dated by, how often, and what time it is there."""

import time
from collections.abc import Callable
from contextlib import AsyncExitStack

import pytest

from batcher.cloud.client import CloudClient, Reply
from batcher.cloud.credentials import Credentials
from batcher.cloud.endpoints import Endpoints, Service
from batcher.cloud.keyring import FixedKeyring
from batcher.cloud.transport import Transport
from batcher.model import Kind, LaneKey, Refused, Stops
from tests.cloud.servers import Handler, Seen, answering, http, serving, transport
from tests.cloud.test_client import KEYS, LANE, NOW, OK, UNSIGNED, at

SOUTH = LaneKey("default", "cn-south-1", LANE.project_id)
LATE = "Fri, 19 Apr 2024 00:20:00 GMT"
"""The date of a server whose clock is 20 minutes ahead of `NOW`."""
EARLY = "Thu, 18 Apr 2024 23:30:00 GMT"
"""And of one whose clock is half an hour behind."""


def client_at(
    opened: Transport,
    endpoints: Endpoints,
    *,
    now: Callable[[], float] = lambda: NOW,
    steady: Callable[[], float] = time.monotonic,
    tell_skew: Callable[[str, float], None] | None = None,
) -> CloudClient:
    signers = FixedKeyring(KEYS)
    return CloudClient(opened, signers=signers, endpoints=endpoints, now=now, steady=steady, tell_skew=tell_skew)


def dates(seen: Seen) -> list[str]:
    return [request.headers["X-Sdk-Date"] for request in seen.requests]


def refused_at(date: str) -> bytes:
    return http(401, UNSIGNED, f"Date: {date}")


def taken_at(date: str) -> bytes:
    return http(200, b"{}", f"Date: {date}")


async def quotas(client: CloudClient, lane: LaneKey = LANE) -> Reply | Refused:
    return await client.call(lane, "GET", "/quotas", expected=OK)


async def test_a_call_that_is_refused_for_its_date_is_dated_by_the_servers_clock_from_then_on() -> None:
    told: list[tuple[str, float]] = []
    async with serving(answering(refused_at(LATE), taken_at(LATE))) as seen, transport() as opened:
        client = client_at(opened, at(seen.url), tell_skew=lambda host, skew_s: told.append((host, skew_s)))
        refused = await quotas(client)
        assert await quotas(client) == Reply(200, {}, "")
    assert isinstance(refused, Refused)
    assert (refused.kind, refused.stops, refused.mended) == (Kind.TRANSIENT, Stops.ROW, True)
    assert "1200 s behind" in refused.message
    assert dates(seen) == ["20240419T000000Z", "20240419T002000Z"]
    assert told == [(seen.url.removeprefix("http://"), -1200.0)]
    assert client.skew_s(Service.ER, "cn-north-4") == -1200.0


@pytest.mark.parametrize("second", [LATE, EARLY, "Fri, 19 Apr 2024 02:00:00 GMT"])
async def test_wrong_keys_at_a_wrong_clock_go_out_twice_whatever_the_server_says_of_the_time(second: str) -> None:
    answers = answering(refused_at(LATE), refused_at(second), refused_at(LATE), refused_at(EARLY))
    async with serving(answers) as seen, transport() as opened:
        client = client_at(opened, at(seen.url))
        answered = [await quotas(client) for _ in range(4)]
    kinds = [refused.kind for refused in answered if isinstance(refused, Refused)]
    assert kinds == [Kind.TRANSIENT, Kind.PERMANENT, Kind.PERMANENT, Kind.PERMANENT]
    assert dates(seen) == ["20240419T000000Z", "20240419T002000Z"]


async def test_after_a_success_the_clock_may_be_wrong_anew() -> None:
    """It was set meanwhile, here or there: that is news, and mended as the first time."""
    later = "Fri, 19 Apr 2024 01:00:00 GMT"
    answers = answering(refused_at(LATE), taken_at(LATE), refused_at(later), taken_at(later))
    async with serving(answers) as seen, transport() as opened:
        client = client_at(opened, at(seen.url))
        answered = [await quotas(client) for _ in range(4)]
    assert [isinstance(answer, Reply) for answer in answered] == [False, True, False, True]
    assert dates(seen) == ["20240419T000000Z", "20240419T002000Z", "20240419T002000Z", "20240419T010000Z"]


async def test_two_endpoints_have_clocks_of_their_own() -> None:
    """One is ahead, one is right, and both have answered: neither is dated by the other's clock."""
    async with AsyncExitStack() as stack:
        late, right = await two(stack, answering(refused_at(LATE), *[taken_at(LATE)] * 3), right_answers(4))
        client = client_at(await stack.enter_async_context(transport()), regions(late, right))
        assert await quotas(client, SOUTH) == Reply(200, {}, "")
        assert isinstance(await quotas(client), Refused)
        for _ in range(3):
            assert await quotas(client) == Reply(200, {}, "")
            assert await quotas(client, SOUTH) == Reply(200, {}, "")
        assert (client.skew_s(Service.ER, LANE.region), client.skew_s(Service.ER, SOUTH.region)) == (-1200.0, 0.0)
    assert dates(late) == ["20240419T000000Z", *["20240419T002000Z"] * 3]
    assert dates(right) == ["20240419T000000Z"] * 4


async def test_two_endpoints_that_are_both_wrong_are_each_corrected_once() -> None:
    """What the first has told of our clock is believed of the second, until that one tells better."""
    async with AsyncExitStack() as stack:
        late, early = await two(
            stack,
            answering(refused_at(LATE), *[taken_at(LATE)] * 2),
            answering(refused_at(EARLY), *[taken_at(EARLY)] * 2),
        )
        client = client_at(await stack.enter_async_context(transport()), regions(late, early))
        answered = [await quotas(client, lane) for _ in range(3) for lane in (LANE, SOUTH)]
    assert [isinstance(answer, Reply) for answer in answered] == [False, False, True, True, True, True]
    assert dates(late) == ["20240419T000000Z", *["20240419T002000Z"] * 2]
    assert dates(early) == ["20240419T002000Z", *["20240418T233000Z"] * 2]


async def test_a_clock_that_is_off_is_told_once_and_not_corrected_unasked() -> None:
    told: list[float] = []
    answer = taken_at("Thu, 18 Apr 2024 23:54:00 GMT")
    times = iter([NOW + 61 * call for call in range(3) for _ in range(2)])
    async with serving(answering(answer, answer, answer)) as seen, transport() as opened:
        client = client_at(
            opened, at(seen.url), now=lambda: next(times), tell_skew=lambda _, skew_s: told.append(skew_s)
        )
        for _ in range(3):
            await quotas(client)
    assert told == [360.0]
    assert [date[-7:] for date in dates(seen)] == ["000000Z", "000101Z", "000202Z"]


async def test_a_token_of_an_account_is_not_refused_for_a_date() -> None:
    """Nothing is signed with it: to send it again would be to show it again."""
    async with serving(answering(refused_at(LATE))) as seen, transport() as opened:
        signers = FixedKeyring(Credentials("", "", auth_token="TOK"))
        client = CloudClient(opened, signers=signers, endpoints=at(seen.url), now=lambda: NOW, steady=time.monotonic)
        answered = [await quotas(client) for _ in range(2)]
    assert [refused.kind for refused in answered if isinstance(refused, Refused)] == [Kind.PERMANENT] * 2
    assert len(seen.requests) == 1


async def test_what_time_it_is_there_is_known_to_the_time_that_the_answers_took() -> None:
    """Sent at 50 and here at 50.5 by the steady clock; the wall clock, two hours wrong, has no part in it."""
    times = iter([50.0, 50.5])
    async with AsyncExitStack() as stack:
        late, right = await two(stack, answering(taken_at(LATE)), answering())
        client = client_at(
            await stack.enter_async_context(transport()),
            regions(late, right),
            now=lambda: NOW + 7200,
            steady=lambda: next(times),
        )
        assert client.clock_offset(Service.ER, LANE.region) is None
        await quotas(client)
        offset = client.clock_offset(Service.ER, LANE.region)
        assert offset is not None
        assert (offset.low - NOW, offset.high - NOW) == (1200.0 - 50.5, 1201.0 - 50.0)
        assert client.clock_offset(Service.ER, SOUTH.region) is None


def right_answers(count: int) -> Handler:
    return answering(*[taken_at("Fri, 19 Apr 2024 00:00:00 GMT")] * count)


async def two(stack: AsyncExitStack, north: Handler, south: Handler) -> tuple[Seen, Seen]:
    """The servers of two regions."""
    return await stack.enter_async_context(serving(north)), await stack.enter_async_context(serving(south))


def regions(north: Seen, south: Seen) -> Endpoints:
    return Endpoints(by_region={lane.region: {Service.ER: seen.url} for lane, seen in ((LANE, north), (SOUTH, south))})
