"""A provider that lies with every part of its answers: it never makes us call another place, hang, or break."""

import asyncio
import json
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import parse_qsl, urlsplit

import pytest

from batcher.cloud.client import CloudClient
from batcher.cloud.projects import list_projects
from batcher.model import Applied, ClaimedRow, NaturalKey, Page, Quota, Refused, Remote, Token
from batcher.operations.flow_log import FlowLogs
from batcher.operations.flow_log_answers import TEXT_CHARS_KEPT
from batcher.operations.flow_log_row import RowDefaults
from batcher.operations.surroundings import (
    LOG_THINGS_MAX,
    MARKER_CHARS_MAX,
    Ids,
    attachments_page,
    log_groups,
    routers_page,
    show_quota,
)
from batcher.policy.paging import Reading
from tests.cloud.servers import Seen, answering, http, read_request
from tests.cloud.test_client import LANE, ROUTER, client_of
from tests.fuzz.hostile import CONTROLS, INVISIBLE, JSON_VALUES, LOOKALIKES, PATHS

ATTACHMENT = "6dbb8cb8-ef65-4d78-a6ad-41ef88c279d9"
SPEC = f'["default","cn-north-4","{LANE.project_id}","{ROUTER}","{ATTACHMENT}","g","s","fl-1","about",true]'
ROW = ClaimedRow(1, 2, ROUTER, NaturalKey(b"k" * 16), SPEC, Token("0f5d3a10-0000-5000-8000-000000000001"), 0)
LOG = {"id": "a1", "resource_id": ATTACHMENT, "log_group_id": "g", "log_stream_id": "s", "state": "available"}
IDS = [*PATHS, *CONTROLS, *INVISIBLE, *LOOKALIKES[:4], "a1\n", "", "x" * 65, "a" * (1 << 20), "a1/../../v3/other"]
BYTES_MAX = 16 << 20
LOST = "\ufffd"


@asynccontextmanager
async def operation(*bodies: bytes, status: int = 200) -> AsyncIterator[tuple[FlowLogs, CloudClient, Seen]]:
    """Flow logs at a provider that gives these answers, each to one call."""
    answers = [http(status, body) for body in bodies]
    async with client_of(answering(*answers), bytes_max=BYTES_MAX) as (client, seen):
        yield FlowLogs(client, RowDefaults()), client, seen


def page(*logs: object, **more: object) -> bytes:
    return json.dumps({"flow_logs": logs, **more}).encode()


async def test_an_id_that_could_not_stand_in_a_path_is_no_id() -> None:
    bodies = [json.dumps({"flow_log": {**LOG, "id": value}}).encode() for value in IDS]
    async with operation(*bodies, status=202) as (flow_logs, _, _):
        for value in IDS:
            found = await flow_logs.apply(LANE, ROW)
            assert isinstance(found, Refused), value
            assert (found.code, found.ambiguous) == ("BATCHER.BadAnswer", True)
    pages = [page({**LOG, "id": value}) for value in IDS]
    lists = [json.dumps({"attachments": [{"id": value}]}).encode() for value in IDS]
    async with operation(*pages, *lists) as (flow_logs, client, _):
        for _ in IDS:
            assert isinstance(await flow_logs.page(LANE, ROUTER, None), Refused)
        for _ in IDS:
            assert isinstance(await attachments_page(client, LANE, ROUTER, None), Refused)


async def test_what_is_deleted_and_changed_later_has_a_path_of_ours() -> None:
    fields = {"name": None, "description": None}
    remote = Remote(NaturalKey(b"k" * 16), "../../other", "available", False, None, fields)
    async with operation(b"{}") as (flow_logs, _, seen):
        for call in (flow_logs.remove, flow_logs.update, flow_logs.amend):
            with pytest.raises(ValueError, match="not a path"):
                await call(LANE, SPEC, remote)
        assert seen.requests == []


async def test_a_marker_is_one_value_of_the_query_or_none() -> None:
    markers = ["m&limit=1&x=1", "m\r\nX-Evil: 1", "../../x?y#z", "m n", "=", "%26", "名", "\u202e"]
    async with operation(*[page(LOG) for _ in markers]) as (flow_logs, _, seen):
        for marker in markers:
            assert isinstance(await flow_logs.page(LANE, ROUTER, marker), Page)
        for marker, request in zip(markers, seen.requests, strict=True):
            target = urlsplit(request.line.split(" ")[1])
            assert target.path == f"/v3/{LANE.project_id}/enterprise-router/{ROUTER}/flow-logs"
            query = dict(parse_qsl(target.query, keep_blank_values=True))
            assert query == {"limit": "2000", "marker": marker, "sort_dir": "asc", "sort_key": "id"}
            assert "X-Evil" not in request.headers


@pytest.mark.parametrize("marker", ["m" * (MARKER_CHARS_MAX + 1), "m" * (1 << 20)])
async def test_a_marker_that_is_too_long_for_a_url_ends_the_listing(marker: str) -> None:
    info = {"page_info": {"next_marker": marker}}
    routers = json.dumps({"instances": [{"id": "a"}], **info}).encode()
    async with operation(page(LOG, **info), routers) as (flow_logs, client, _):
        for found in (await flow_logs.page(LANE, ROUTER, None), await routers_page(client, LANE, None)):
            assert isinstance(found, Refused)
            assert found.message == "a listing whose marker is too long for a URL"


async def test_no_listing_goes_on_for_ever() -> None:
    """Each page names another marker and the same things, or a new thing and a marker that was used."""
    for same_things in (True, False):

        async def lie(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: Seen) -> None:
            while True:
                await read_request(reader, seen)
                number = len(seen.requests)
                name, marker = ("a1", f"m{number}") if same_things else (f"a{number}", f"m{number % 3}")  # noqa: B023
                body = page({**LOG, "id": name}, page_info={"next_marker": marker}, total_count=10**9)
                writer.write(http(200, body))

        async with client_of(lie) as (client, seen):
            reading: Reading[Remote] = Reading(lambda remote: remote.remote_id)
            while not reading.is_over:
                found = await FlowLogs(client, RowDefaults()).page(LANE, ROUTER, reading.marker)
                assert isinstance(found, Page)
                reading.take(found)
            assert not reading.is_whole
            assert len(seen.requests) <= 5


@pytest.mark.parametrize("value", JSON_VALUES)
async def test_a_value_of_another_kind_is_refused_or_left_out(value: str) -> None:
    log = json.dumps(LOG)
    members = [log.replace(json.dumps({name: LOG[name]})[1:-1], f'"{name}": {value}') for name in LOG]
    members += [log[:-1] + f', "{name}": {value}}}' for name in ("name", "description", "enabled", "created_at")]
    pages = [f'{{"flow_logs": [{member}], "total_count": {value}, "page_info": {value}}}' for member in members]
    pages += [f'{{"flow_logs": {value}}}', f'{{"flow_logs": [{value}]}}', value]
    async with operation(*[each.encode() for each in pages]) as (flow_logs, _, _):
        for _ in pages:
            found = await flow_logs.page(LANE, ROUTER, None)
            if isinstance(found, Refused):
                assert found.code == "BATCHER.BadAnswer"
                continue
            assert found.total is None or found.total >= 0
            for remote in found.items:
                said = [remote.state, *flow_logs.differences(SPEC, remote)]
                assert all(text.isprintable() and len(text) <= 700 for text in said)
    creates = [f'{{"flow_log": {member}}}' for member in (*members, value)]
    async with operation(*[each.encode() for each in creates], status=202) as (flow_logs, _, _):
        for _ in creates:
            made = await flow_logs.apply(LANE, ROW)
            assert isinstance(made, Refused) or (made.state.isprintable() and 0 < len(made.state) <= 64)


async def test_a_state_that_no_database_holds_is_no_lost_outcome() -> None:
    body = b'{"flow_log": {"id": "a1", "state": "\\ud800\\u001b[31m"}}'
    async with operation(body, status=202) as (flow_logs, _, _):
        made = await flow_logs.apply(LANE, ROW)
    assert isinstance(made, Applied)
    assert (made.remote_id, made.state) == ("a1", "??[31m")


async def test_a_list_of_log_groups_that_is_too_long_is_none_and_what_is_no_id_is_left_out() -> None:
    ids = [f"g{number}" for number in range(LOG_THINGS_MAX)]
    lists = [[*ids, *map(str, IDS)], [*ids, "one-more"], [*ids, *ids]]
    bodies = [json.dumps({"log_groups": [{"log_group_id": each} for each in found]}).encode() for found in lists]
    async with operation(*bodies) as (_, client, _):
        known = Ids(frozenset(ids), is_open=False)
        assert await log_groups(client, LANE) == known
        refused = await log_groups(client, LANE)
        assert isinstance(refused, Refused)
        assert refused.message == "a list of more than 10,000 `log_groups`"
        assert await log_groups(client, LANE) == known


async def test_counts_are_counts() -> None:
    quotas = ["true", "-1", "1.5", '"5"', "1e400", "9" * 4000, str(1 << 60), "null", "[]"]
    bodies = [f'{{"quotas": [{{"quota_key": "flow_log", "quota_limit": 7, "used": {used}}}]}}' for used in quotas]
    bodies += ['{"quotas": [{"quota_key": "flow_log", "quota_limit": -1, "used": 0}]}']
    async with operation(*[body.encode() for body in bodies]) as (_, client, _):
        for _ in quotas:
            assert isinstance(await show_quota(client, LANE), Refused)
        assert await show_quota(client, LANE) == Quota(-1, 0)


async def test_projects_are_ids_or_nothing() -> None:
    bodies = [json.dumps({"projects": [{"id": value}]}).encode() for value in (*IDS, LANE.project_id.upper(), None, 1)]
    named = json.dumps({"projects": [{"id": LANE.project_id, "name": "\x1b[2J"}]}).encode()
    async with operation(*bodies, named) as (_, client, _):
        for _ in bodies:
            assert isinstance(await list_projects(client, "default", "cn-north-4"), Refused)
        assert await list_projects(client, "default", "cn-north-4") == ((LANE.project_id, ""),)


@pytest.mark.parametrize("status", [202, 400])
async def test_sixteen_megabytes_of_message_are_a_few_hundred_characters(status: int) -> None:
    big = b'{"error_msg": "' + b"\\u001b[31m=x " * ((BYTES_MAX - 64) // 13) + b'", "error_code": "X.1"}'
    deep = b'{"flow_log":' * 1_000_000
    twice = b'{"flow_log": {"id": "a1"}, "flow_log": {"id": "../x"}}'
    page_of_html = b"<html><title>\x1b]0;x\x07</title>" + b"<p>" * 100_000
    bodies = [big, deep, twice, page_of_html, big + b"x" * 64]
    async with operation(*bodies, status=status) as (flow_logs, _, _):
        tracemalloc.start()
        try:
            found = [await flow_logs.apply(LANE, ROW) for _ in bodies]
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak < 8 * BYTES_MAX
    for each in found:
        assert isinstance(each, Refused)
        assert each.message.isprintable()
        assert len(each.message) <= 500


async def test_a_listing_keeps_little_of_what_it_is_shown() -> None:
    logs = [{**LOG, "id": f"a{at}", "name": "n" * 100_000, "description": "\x1b" * 100_000} for at in range(10)]
    async with operation(page(*logs)) as (flow_logs, _, _):
        found = await flow_logs.page(LANE, ROUTER, None)
    assert isinstance(found, Page)
    for remote in found.items:
        assert {len(str(remote.fields[name])) for name in ("name", "description")} == {TEXT_CHARS_KEPT}
        name, description = flow_logs.differences(SPEC, remote)
        assert name == f"name: wished `fl-1`, there is `{'n' * 300}...`"
        assert description == f"description: wished `about`, there is `{LOST * 300}...`"


async def test_headers_say_no_more_than_their_place_allows() -> None:
    body = b'{"error_code": "X.1", "error_msg": "no"}'
    heads = ["\x1b[31mX", "a b", "\xe2\x80\xae", "x" * 5_000, "=1+1", "../../x"]
    raw = [f"HTTP/1.1 400 \x1b[2J\r\nContent-Length: {len(body)}\r\nX-Request-Id: {head}\r\n\r\n" for head in heads]
    large = f"HTTP/1.1 400 No\r\nContent-Length: 2\r\nX-Request-Id: {'x' * (1 << 20)}\r\n\r\n{{}}".encode()
    for answer in (*[head.encode("latin-1") + body for head in raw], large):
        async with client_of(answering(answer)) as (client, _):
            found = await FlowLogs(client, RowDefaults()).apply(LANE, ROW)
        assert isinstance(found, Refused)
        assert found.request_id.isprintable()
        assert len(found.request_id) <= 128
        assert found.message.isprintable()
