"""The throttle: windows per project, the message, and what statistics say of both."""

import pytest

from batcher.emulator.server import Throttle
from batcher.emulator.throttle import Windows, threshold_message, worst_window
from tests.emulator.client import Client, Clock, body, talking


@pytest.mark.parametrize(
    ("throttle", "window"),
    [
        (Throttle(200, 1), "limit:200,time:1 second"),
        (Throttle(10, 60), "limit:10,time:1 minute"),
        (Throttle(5, 10), "limit:5,time:10 second"),
        (Throttle(5, 0.5), "limit:5,time:0.5 second"),
        (Throttle(7, 1.5), "limit:7,time:1.5 second"),
        (None, "limit:200,time:1 second"),
    ],
)
def test_the_message_names_the_window(throttle: Throttle | None, window: str) -> None:
    beginning = "The throttling threshold has been reached: policy user over ratelimit,"
    assert threshold_message(throttle) == beginning + window


@pytest.mark.parametrize(("calls", "period_s"), [(0, 1), (-1, 1), (1, 0), (1, -1), (1, float("inf"))])
def test_a_throttle_that_makes_no_sense_is_refused(calls: int, period_s: float) -> None:
    with pytest.raises(ValueError, match="throttle"):
        Throttle(calls, period_s)


@pytest.mark.parametrize(
    ("times", "admitted"),
    [
        ([0, 0.1, 0.9], [True, True, False]),
        ([0, 0.5, 1.0, 1.5], [True, True, True, True]),
        ([0, 0.5, 0.999, 1.0], [True, True, False, False]),  # the refused one counts, 0.5 still does
        ([0, 0, 0, 0.5, 1.4, 2.5], [True, True, False, False, True, True]),
    ],
)
def test_two_calls_a_second_by_hand(times: list[float], admitted: list[bool]) -> None:
    windows = Windows(Throttle(2, 1))
    assert [windows.admit("p", at) for at in times] == admitted


@pytest.mark.parametrize(
    ("times", "calls"),
    [([], 0), ([5.0], 1), ([0, 1, 2], 1), ([0, 0.5, 1, 1.4], 3), ([0, 0, 0.2, 3, 3.1], 3)],
)
def test_the_worst_window_by_hand(times: list[float], calls: int) -> None:
    assert worst_window(times, 1.0) == calls


async def test_a_full_window_refuses_until_the_client_keeps_quiet() -> None:
    clock = Clock()
    async with talking(throttle=Throttle(3, 60), now=clock) as client:
        for number in range(3):
            assert (await client.create(body(number))).status == 202
        refused = await client.create(body(3))
        assert refused.refused == (429, "APIGW.0308")
        assert refused.json["error_msg"].endswith("limit:3,time:1 minute")
        assert refused.json["request_id"] == refused.headers["X-Request-Id"]
        clock.at += 59
        assert (await client.create(body(3))).status == 429
        clock.at += 2  # of the window's three places one is taken by the call that was refused 2 s ago
        assert (await client.create(body(3))).status == 202
        assert (await client.create(body(4))).status == 202
        assert (await client.create(body(5))).status == 429
        clock.at += 60
        assert (await client.create(body(5))).status == 202
        found = await client.statistics()
        assert found["throttled"] == found["arrivals_over_limit"] == 3
        assert found["worst_window"] == {"calls": 5, "period_s": 60}


async def test_each_project_has_its_own_window() -> None:
    async with talking(throttle=Throttle(1, 3600)) as client:
        other = Client(client.emulator, client.session, project="e" * 32)
        assert (await client.create()).status == 202
        assert (await client.create()).status == 429
        assert (await other.create()).status == 202
        assert (await client.statistics())["worst_window"]["calls"] == 2


async def test_the_throttle_comes_before_authentication_and_covers_all_operations() -> None:
    async with talking(throttle=Throttle(1, 3600)) as client:
        assert (await client.call("GET", "instances")).status == 200
        path = f"{client.base}/quotas"
        assert (await client.send("GET", path)).refused == (429, "APIGW.0308")


async def test_a_throttle_set_at_run_time_counts_the_calls_before_it(client: Client) -> None:
    await client.created(1)
    reply = await client.control("PATCH", "/settings", {"throttle": {"calls": 2, "period_s": 3600}})
    assert reply.json["throttle"] == {"calls": 2, "period_s": 3600}
    await client.created(2)
    assert (await client.create(body(3))).status == 429
    await client.control("PATCH", "/settings", {"throttle": None})
    await client.created(3)
