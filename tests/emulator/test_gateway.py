"""The gateway in front of all services: its clock, and how it counts refused keys."""

import time
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime

import pytest

from tests.emulator.client import ROUTER, Client, Clock, Reply, sdk_date, talking

HOUR_S = 3600.0


def date_of(reply: Reply) -> float:
    """The `Date` header in Unix seconds."""
    return parsedate_to_datetime(reply.headers["Date"]).timestamp()


@pytest.mark.parametrize("skew_s", [HOUR_S, -HOUR_S])
async def test_a_gateway_with_another_clock_refuses_a_client_and_shows_its_time(skew_s: float) -> None:
    async with talking(clock_skew_s=skew_s) as client:
        refused = await client.ask("/v3/projects")
        assert refused.refused == (401, "APIGW.0301")
        assert "X-Sdk-Date" in refused.json["error_msg"]
        assert abs(date_of(refused) - time.time() - skew_s) < 5
        assert (await client.ask("/v3/projects", date=sdk_date(time.time() + skew_s))).status == 200


@pytest.mark.parametrize(("skew_s", "status"), [(895.0, 200), (-895.0, 200), (905.0, 401), (-905.0, 401)])
async def test_a_quarter_of_an_hour_is_forgiven(skew_s: float, status: int) -> None:
    async with talking(clock_skew_s=skew_s) as client:
        assert (await client.ask("/v3/projects")).status == status


async def test_the_gateways_clock_changes_while_it_runs_and_dates_flow_logs_too() -> None:
    clock = Clock()
    async with talking(now=clock) as client:
        assert date_of(await client.page()) == clock.at
        before = datetime.fromisoformat((await client.create()).flow_log["created_at"])
        assert (await client.control("PATCH", "/settings", {"clock_skew_s": 7})).json["clock_skew_s"] == 7
        reply = await client.create()
        assert reply.status == 400
        assert date_of(reply) == clock.at + 7
        (shown,) = (await client.page()).json["flow_logs"]
        assert {datetime.fromisoformat(shown[name]) - before for name in ("created_at", "updated_at")} == {
            timedelta(seconds=7)
        }


async def test_a_scripted_date_stands_alone(client: Client) -> None:
    date = "Sun, 06 Nov 1994 08:49:37 GMT"
    await client.script(
        {"operation": "list", "fault": "status", "status": 429, "code": "X.1", "headers": {"date": date}}
    )
    assert (await client.page()).headers.getall("Date") == [date]


async def test_refused_calls_are_counted_by_the_key_that_they_name() -> None:
    path = f"/v3/p/enterprise-router/{ROUTER}/flow-logs"
    async with talking(keys={"EMULATORAK": "EMULATORSK", "GOODAK": "GOODSK"}) as client:
        assert (await client.ask(path, access="GOODAK", secret="GOODSK")).status == 200
        assert (await client.ask(path, secret="wrong")).status == 401
        assert (await client.ask(path, secret="wrong")).status == 401
        assert (await client.ask(path, access="NOBODY")).status == 401
        assert (await client.send("GET", path)).status == 401
        assert (await client.send("GET", path, headers={"Authorization": "Basic abc"})).status == 401
        assert (await client.send("GET", path, headers={"X-Auth-Token": "wrong"})).status == 401
        await client.script({"operation": "list", "fault": "status", "status": 401, "code": "APIGW.0307"})
        assert (await client.ask(path, access="GOODAK", secret="GOODSK")).status == 401
        expected = {"": 2, "EMULATORAK": 2, "GOODAK": 1, "token": 1, "unknown": 1}
        assert (await client.statistics())["unauthorized_by_key"] == expected
        await client.control("POST", "/reset")
        assert (await client.statistics())["unauthorized_by_key"] == {}
