"""Answers that belong to another call: whatever stands in them, no row is settled by what another row was told.

A connection that goes out of step (a server or a gateway answers twice, or answers late) gives each call the answer of
one before it. `batcher` does not use a connection on which something came unasked, and compares what an answer says
with what was asked: the client token, the place of a flow log, its id.
"""

import asyncio
import re
from pathlib import Path

import pytest

from tests.cloud.servers import http
from tests.e2e.clouds import assert_created_once, cloud
from tests.e2e.commands import column, report_rows, write_settings
from tests.e2e.fronts import Exchange, Fault, always, front, once_each
from tests.e2e.inventories import row, some_rows, write_rows
from tests.e2e.network_faults import parts
from tests.e2e.test_network_faults import PATIENT, assert_report_is_true, through

LATER_S = 0.02
"""When the second answer comes: long before the next call, at the two calls a second of these tests."""
ONE_BY_ONE = PATIENT.replace("concurrency = 64", "concurrency = 1")


def without_token(answer: bytes) -> bytes:
    """An answer whose header tells nothing of whose it is."""
    return re.sub(rb"(?i)\r\nx-client-token: [^\r]+", b"", answer)


async def twice_at_once(exchange: Exchange) -> bool:
    """Two answers in one packet."""
    answer = await exchange.pass_on()
    return await exchange.say(answer + without_token(answer))


async def twice(exchange: Exchange) -> bool:
    """A second answer, a while after the first."""
    answer = await exchange.pass_on()
    await exchange.say(answer)
    await asyncio.sleep(LATER_S)
    return await exchange.say(without_token(answer))


async def refused_afterwards(exchange: Exchange) -> bool:
    """A refusal for good that nobody asked for, a while after the answer."""
    body = b'{"error_code":"ER.04044001","error_msg":"no such attachment","request_id":"r"}'
    await exchange.say(await exchange.pass_on())
    await asyncio.sleep(LATER_S)
    return await exchange.say(http(404, body))


@pytest.mark.timeout(60)
@pytest.mark.parametrize("fault", [twice_at_once, twice, refused_afterwards])
async def test_an_answer_that_nobody_asked_for_settles_no_row(tmp_path: Path, fault: Fault) -> None:
    """One call after the other on one connection, with a pause between: the next finds what was said in the pause."""
    write_settings(tmp_path, ONE_BY_ONE)
    inventory = write_rows(tmp_path / "routers.csv", wishes := some_rows(4))
    async with cloud() as sky, front(sky.url, always("create", fault)) as before:
        ended = await through(
            before, tmp_path, "run", str(inventory), "--reconcile", "never", "--no-verify", rate="2/s"
        )
        assert ended.code == 0, ended.err
        assert column(tmp_path, "outcome") == ["created"] * 4
        assert column(tmp_path, "attempts") == ["1"] * 4
        assert before.connections == 4
        await assert_report_is_true(tmp_path, sky, wishes)
        assert_created_once(await sky.statistics(), 4)


@pytest.mark.parametrize("names_its_token", [True, False])
@pytest.mark.timeout(60)
async def test_a_create_that_gets_the_answer_of_another_row_is_looked_up(tmp_path: Path, names_its_token: bool) -> None:
    """The first row is answered as it should be, and every later call with that same answer."""
    write_settings(tmp_path, PATIENT)
    inventory = write_rows(tmp_path / "routers.csv", wishes := some_rows(6))
    first: list[bytes] = []

    async def the_first_answer(exchange: Exchange) -> bool:
        answer = await exchange.pass_on()
        first[:] = first or [answer if names_its_token else without_token(answer)]
        return await exchange.say(first[0])

    async with cloud() as sky, front(sky.url, always("create", the_first_answer)) as before:
        ended = await through(before, tmp_path, "run", str(inventory), "--reconcile", "never", "--no-verify")
        assert ended.code == 0, ended.err
        assert column(tmp_path, "outcome") == ["created"] * 6
        assert sorted(column(tmp_path, "attempts")) == ["1", *["3"] * 5]
        await assert_report_is_true(tmp_path, sky, wishes)
        assert_created_once(await sky.statistics(), 6)


@pytest.mark.timeout(60)
async def test_a_row_is_in_doubt_if_another_rows_answer_is_all_there_is(tmp_path: Path) -> None:
    """The listing is cut off too: that the row was made is not known, and not said."""
    write_settings(tmp_path, PATIENT)
    inventory = write_rows(tmp_path / "routers.csv", wishes := some_rows(2))
    said: list[bytes] = []

    async def swapped(exchange: Exchange) -> bool:
        said.append(without_token(await exchange.pass_on()))
        while len(said) < 2:
            await asyncio.sleep(0)
        return await exchange.say(said[0] if exchange.call.subject.encode() in said[1] else said[1])

    async def torn(exchange: Exchange) -> bool:
        return False

    async with cloud() as sky, front(sky.url) as before:
        before.plan = lambda call: {"create": swapped, "list": torn}.get(call.kind)
        ended = await through(before, tmp_path, "run", str(inventory), "--reconcile", "never")
        assert ended.code == 3, ended.err
        lines = report_rows(tmp_path)
        assert [(line["outcome"], line["error_code"]) for line in lines] == [("in_doubt", "BATCHER.BadAnswer")] * 2
        assert all("another row's" in line["error_message"] for line in lines)
        assert [line["flow_log_id"] for line in lines] == [""] * 2

        before.plan = lambda _: None
        ended = await through(before, tmp_path, "run", str(inventory))
        assert ended.code == 0, ended.err
        await assert_report_is_true(tmp_path, sky, wishes)
        assert_created_once(await sky.statistics(), 2)


@pytest.mark.timeout(60)
async def test_a_create_under_another_name_is_judged_by_the_listing(tmp_path: Path) -> None:
    """It stands at the row's place, so it is the row's; what it is called is not taken from an answer that is odd."""
    write_settings(tmp_path, PATIENT)
    inventory = write_rows(tmp_path / "routers.csv", wishes := some_rows(2))

    async def renamed(exchange: Exchange) -> bool:
        answer = await exchange.pass_on()
        head, body = parts(answer.replace(b'"fl-', b'"fx-'))
        return await exchange.say(head + b"\r\n\r\n" + body)

    async with cloud() as sky, front(sky.url, once_each("create", {wishes[0]["resource_id"]: renamed})) as before:
        ended = await through(before, tmp_path, "run", str(inventory), "--reconcile", "never")
        assert ended.code == 0, ended.err
        assert column(tmp_path, "outcome") == ["created"] * 2
        assert before.calls["list"] == 1
        await assert_report_is_true(tmp_path, sky, wishes)


@pytest.mark.timeout(60)
async def test_a_listing_of_another_router_finds_no_row_and_proves_no_absence(tmp_path: Path) -> None:
    """Creates without an answer are looked up by attachment; the look-up is answered with another router's things."""
    write_settings(tmp_path, PATIENT)
    wishes = [row(number, routers=2, projects=1) for number in range(4)]
    inventory = write_rows(tmp_path / "routers.csv", wishes[::2])

    async def unanswered(exchange: Exchange) -> bool:
        await exchange.pass_on()
        return False

    async with cloud() as sky, front(sky.url) as before:
        await sky.seed(*wishes[1::2])
        elsewhere = await sky.flow_logs(wishes[1])

        async def another_routers(exchange: Exchange) -> bool:
            body = str({"flow_logs": elsewhere, "total_count": 2, "request_id": "r"}).replace("'", '"')
            return await exchange.say(http(200, body.replace("True", "true").encode()))

        before.plan = lambda call: {"create": unanswered, "list": another_routers}.get(call.kind)
        ended = await through(before, tmp_path, "run", str(inventory), "--reconcile", "never")
        assert ended.code == 3, ended.err
        assert column(tmp_path, "outcome") == ["in_doubt"] * 2
        assert all("could not be read to its end" in said for said in column(tmp_path, "error_message"))
        before.plan = lambda _: None
        ended = await through(before, tmp_path, "run", str(inventory))
        assert ended.code == 0, ended.err
        await assert_report_is_true(tmp_path, sky, wishes[::2])
        assert_created_once(await sky.statistics(), 2)


@pytest.mark.timeout(60)
async def test_a_change_or_a_delete_that_gets_anothers_answer_is_not_believed(tmp_path: Path) -> None:
    """Neither is done at the cloud: it is answered with a create's or another flow log's answer, once for each row."""
    write_settings(tmp_path, PATIENT)
    wishes = some_rows(3)
    inventory = write_rows(tmp_path / "routers.csv", wishes)

    async def anothers(exchange: Exchange) -> bool:
        status = b" 200 " if exchange.call.kind == "update" else b" 202 "
        ours = exchange.call.subject.encode()
        answer = next(each for each in before.answers["create"] if ours not in each)
        return await exchange.say(without_token(answer).replace(b" 202 ", status, 1))

    async with cloud() as sky, front(sky.url) as before:
        ended = await through(before, tmp_path, "run", str(inventory))
        assert ended.code == 0, ended.err
        ids = column(tmp_path, "flow_log_id")
        run = report_rows(tmp_path)[0]["run_id"]
        before.plan = once_each("update", dict.fromkeys(ids, anothers))
        renamed = [{**wish, "name": f"{wish['name']}-2"} for wish in wishes]
        ended = await through(before, tmp_path, "run", str(write_rows(inventory, renamed)), "--fix-drift")
        assert ended.code == 0, ended.err
        assert column(tmp_path, "outcome") == ["updated"] * 3
        assert {log["name"] for log in await sky.flow_logs(wishes[0])} == {wish["name"] for wish in renamed}

        before.plan = once_each("delete", dict.fromkeys(ids, anothers))
        ended = await through(before, tmp_path, "undo", run, "--yes", "--force", "--no-verify")
        assert ended.code == 0, ended.err
        assert column(tmp_path, "outcome") == ["deleted"] * 3
        assert await sky.flow_logs(wishes[0]) == []
