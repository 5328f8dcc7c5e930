"""The client end to end over a real socket: what goes out, and what each kind of answer becomes."""

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from batcher.cloud.client import CloudClient, Reply
from batcher.cloud.credentials import Credentials
from batcher.cloud.endpoints import Endpoints, Service
from batcher.cloud.keyring import FixedKeyring
from batcher.errors import CredentialsError
from batcher.model import Kind, LaneKey, Refused, Stops, Window
from tests.cloud.servers import Handler, Request, Seen, answering, http, reset, serving, transport

PROJECT = "0605767a9980d5762fbcc00b3537e757"
ROUTER = "a43c55e9-4911-4030-90e1-5c2bf6ae6fe2"
TAIL = f"/{ROUTER}/flow-logs"
LANE = LaneKey("default", "cn-north-4", PROJECT)
KEYS = Credentials("AKEXAMPLE", "SKEXAMPLE", source="test")
NOW = 1713484800.0
TOKEN = "46436810-d999-454c-bd85-e515fd258600"
BODY = b'{"flow_log":{"name":"caf\\u00e9"}}'
CREATED = frozenset({202})
OK = frozenset({200})


@asynccontextmanager
async def client_of(
    handler: Handler, credentials: Credentials = KEYS, **limits: Any
) -> AsyncIterator[tuple[CloudClient, Seen]]:
    async with serving(handler) as seen, transport(**limits) as opened:
        yield (
            CloudClient(
                opened,
                signers=FixedKeyring(credentials),
                endpoints=at(seen.url),
                now=lambda: NOW,
                steady=time.monotonic,
            ),
            seen,
        )


def at(url: str) -> Endpoints:
    """Every service there."""
    return Endpoints(everywhere=dict.fromkeys(Service, url))


async def create(answer: bytes, credentials: Credentials = KEYS) -> Reply | Refused:
    async with client_of(answering(answer), credentials) as (client, _):
        return await client.call(LANE, "POST", TAIL, body=BODY, token=TOKEN, expected=CREATED)


def expected_signature(request: Request) -> str:
    """The signature by the text of the protocol, from what arrived."""
    method, target, _ = request.line.split(" ")
    path, _, query = target.partition("?")
    headers = {name.lower(): value for name, value in request.headers.items()}
    names = headers["authorization"].split("SignedHeaders=")[1].split(",")[0]
    lines = "".join(f"{name}:{headers[name].strip()}\n" for name in names.split(";"))
    canonical = "\n".join([method, f"{path}/", query, lines, names, hashlib.sha256(request.body).hexdigest()])
    text = "\n".join(["SDK-HMAC-SHA256", headers["x-sdk-date"], hashlib.sha256(canonical.encode()).hexdigest()])
    signature = hmac.new(b"SKEXAMPLE", text.encode(), "sha256").hexdigest()
    return f"SDK-HMAC-SHA256 Access=AKEXAMPLE, SignedHeaders={names}, Signature={signature}"


async def test_a_create_as_it_goes_over_the_wire() -> None:
    answer = http(202, b'{"flow_log":{"id":"i"},"request_id":"body"}', "X-Request-Id: head")
    async with client_of(answering(answer)) as (client, seen):
        reply = await client.call(LANE, "POST", TAIL, body=BODY, token=TOKEN, expected=CREATED)
    assert reply == Reply(202, {"flow_log": {"id": "i"}, "request_id": "body"}, "head")
    (request,) = seen.requests
    assert request.line == f"POST /v3/{PROJECT}/enterprise-router{TAIL} HTTP/1.1"
    assert request.body == BODY
    assert request.headers["X-Sdk-Date"] == "20240419T000000Z"
    assert request.headers["X-Project-Id"] == PROJECT
    assert request.headers["X-Client-Token"] == TOKEN
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["Accept"] == "application/json"
    assert request.headers["Authorization"] == expected_signature(request)
    signed = "SignedHeaders=content-type;host;user-agent;x-client-token;x-project-id;x-sdk-date,"
    assert signed in request.headers["Authorization"]


async def test_a_listing_as_it_goes_over_the_wire() -> None:
    query = [("resource_id", "b"), ("limit", "2000"), ("resource_id", "a"), ("marker", "a b*~/")]
    async with client_of(answering(http(200, b'{"flow_logs":[]}'))) as (client, seen):
        reply = await client.call(LANE, "GET", TAIL, query=query, expected=OK)
    assert reply == Reply(200, {"flow_logs": []}, "")
    (request,) = seen.requests
    target = request.line.split(" ")[1]
    assert target.partition("?")[2] == "limit=2000&marker=a%20b%2A~%2F&resource_id=a&resource_id=b"
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["Authorization"] == expected_signature(request)


async def test_temporary_keys_and_tokens() -> None:
    temporary = Credentials("AKEXAMPLE", "SKEXAMPLE", security_token="STS")
    async with client_of(answering(http(202)), temporary) as (client, seen):
        assert await client.call(LANE, "POST", f"{TAIL}/x/enable", expected=CREATED) == Reply(202, {}, "")
    assert seen.requests[0].headers["X-Security-Token"] == "STS"
    assert "x-security-token," in seen.requests[0].headers["Authorization"]
    assert seen.requests[0].headers["Authorization"] == expected_signature(seen.requests[0])
    async with client_of(answering(http(204)), Credentials("", "", auth_token="TOK")) as (client, seen):
        assert await client.call(LANE, "DELETE", f"{TAIL}/x", expected=frozenset({204})) == Reply(204, {}, "")
    assert seen.requests[0].headers["X-Auth-Token"] == "TOK"
    assert "Authorization" not in seen.requests[0].headers


class Ring:
    """Credentials that change: the next of `keys` at each look, `others` when one was refused."""

    def __init__(self, *keys: Credentials, others: Credentials | None = None) -> None:
        self.keys = list(keys)
        self.others = others
        self.refused: list[Credentials] = []

    async def of(self, account: str) -> Credentials:
        return self.keys.pop(0)

    async def renew(self, account: str, refused: Credentials) -> Credentials | None:
        self.refused.append(refused)
        return self.others


async def test_renewed_credentials_and_the_time_of_sending_hold_at_once() -> None:
    keys = Ring(Credentials("OLD", "S"), Credentials("NEW", "S"))
    times = iter([NOW, NOW, NOW + 60, NOW + 60])
    async with serving(answering(http(200, b"{}"), http(200, b"{}"))) as seen, transport() as opened:
        client = CloudClient(
            opened, signers=keys, endpoints=at(seen.url), now=lambda: next(times), steady=time.monotonic
        )
        for _ in range(2):
            await client.call(LANE, "GET", "/quotas", expected=OK)
    sent = [(r.headers["X-Sdk-Date"], r.headers["Authorization"].split(",")[0]) for r in seen.requests]
    assert sent == [
        ("20240419T000000Z", "SDK-HMAC-SHA256 Access=OLD"),
        ("20240419T000100Z", "SDK-HMAC-SHA256 Access=NEW"),
    ]


UNSIGNED = b'{"error_code":"APIGW.0301","error_msg":"Incorrect IAM authentication information"}'


async def test_a_wrong_key_stops_its_account() -> None:
    refused = await create(http(401, UNSIGNED))
    assert isinstance(refused, Refused)
    assert (refused.kind, refused.stops, refused.code) == (Kind.PERMANENT, Stops.ACCOUNT, "APIGW.0301")
    assert "check the keys" in refused.advice


async def test_a_refused_key_that_was_renewed_at_its_source_is_no_reason_to_stop() -> None:
    ring = Ring(KEYS, others=Credentials("NEW", "S"))
    async with serving(answering(http(401, UNSIGNED))) as seen, transport() as opened:
        client = CloudClient(opened, signers=ring, endpoints=at(seen.url), now=lambda: NOW, steady=time.monotonic)
        refused = await client.call(LANE, "GET", "/quotas", expected=OK)
    assert isinstance(refused, Refused)
    assert (refused.kind, refused.stops, refused.ambiguous, refused.definitive) == (
        Kind.TRANSIENT,
        Stops.ROW,
        False,
        False,
    )
    assert refused.message.endswith("; the credentials were renewed at their source")
    assert ring.refused == [KEYS]


@pytest.mark.parametrize(
    "answer",
    [
        http(202, b"[]"),
        http(202, b'"text"'),
        http(202, b"<html>captive portal</html>"),
        http(202, b'{"flow_log":'),
        http(200, b'{"flow_log":{"id":"i"}}'),
        http(200),
        http(204),
    ],
)
async def test_a_success_that_is_not_the_one_expected_is_ambiguous(answer: bytes) -> None:
    refused = await create(answer)
    assert isinstance(refused, Refused)
    assert (refused.kind, refused.stops, refused.code) == (Kind.TRANSIENT, Stops.ROW, "BATCHER.BadAnswer")
    assert (refused.sent, refused.ambiguous, refused.definitive) == (True, True, False)
    assert refused.message


async def test_an_empty_body_is_a_reply_only_where_one_is_usual() -> None:
    async with client_of(answering(http(200))) as (client, _):
        assert isinstance(await client.call(LANE, "GET", TAIL, expected=OK), Refused)


async def test_a_refusal_carries_all_that_is_known() -> None:
    body = b'{"error_code":"ER.04009008","error_msg":"no quota left","request_id":"body"}'
    assert await create(http(400, body, "X-Request-Id: head", "Retry-After: 5")) == Refused(
        kind=Kind.PERMANENT,
        stops=Stops.SUBJECT,
        code="ER.04009008",
        message="no quota left",
        http_status=400,
        request_id="head",
        definitive=True,
        advice="delete unused flow logs, or ask for a larger quota, then run again",
    )


async def test_throttling_carries_the_window_and_the_wait() -> None:
    message = "policy user over ratelimit,limit:10,time:1 minute"
    body = json.dumps({"error_code": "APIG.0308", "error_msg": message}).encode()
    assert await create(http(429, body, "Retry-After: Fri, 19 Apr 2024 00:00:30 GMT")) == Refused(
        kind=Kind.THROTTLED,
        stops=Stops.ROW,
        code="APIG.0308",
        message=message,
        http_status=429,
        pause_s=30.0,
        window=Window(10, 60.0),
        advice="lower `--rate`; batcher waits, and keeps a limit that the refusal names",
    )


async def test_a_proxys_page_is_known_by_its_status() -> None:
    assert await create(http(502, b"<html>\n<title>502 Bad Gateway</title>", "Retry-After: 9")) == Refused(
        kind=Kind.TRANSIENT,
        stops=Stops.ROW,
        code="HTTP.502",
        message="<html> <title>502 Bad Gateway</title>",
        http_status=502,
        ambiguous=True,
        pause_s=9.0,
        advice="nothing: it is tried again under the same token",
    )


async def test_an_answer_without_a_word() -> None:
    refused = await create(http(503))
    assert isinstance(refused, Refused)
    assert (refused.code, refused.message) == ("HTTP.503", "the answer (HTTP 503) has no message")


async def test_a_redirect_stops_the_run_and_names_its_target() -> None:
    refused = await create(http(307, b"", "Location: https://login.example.com/?next=secret"))
    assert isinstance(refused, Refused)
    assert (refused.stops, refused.code) == (Stops.RUN, "BATCHER.Redirected")
    assert (refused.message, refused.ambiguous) == ("redirected to `login.example.com`", False)


async def _reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: Seen) -> None:
    reset(writer)


async def test_a_lost_answer_is_ambiguous() -> None:
    async with client_of(_reset) as (client, _):
        refused = await client.call(LANE, "POST", TAIL, body=BODY, token=TOKEN, expected=CREATED)
    assert isinstance(refused, Refused)
    assert (refused.kind, refused.stops, refused.code) == (Kind.TRANSIENT, Stops.ROW, "BATCHER.NoAnswer")
    assert (refused.sent, refused.ambiguous, refused.http_status) == (True, True, None)


async def test_a_provider_that_cannot_be_reached_was_not_sent_anything() -> None:
    async with serving(_reset) as seen:
        pass
    async with transport() as opened:
        client = CloudClient(
            opened, signers=FixedKeyring(KEYS), endpoints=at(seen.url), now=lambda: NOW, steady=time.monotonic
        )
        refused = await client.call(LANE, "POST", TAIL, body=BODY, expected=CREATED)
    assert isinstance(refused, Refused)
    assert (refused.kind, refused.stops, refused.code) == (Kind.TRANSIENT, Stops.ROW, "BATCHER.Unreachable")
    assert (refused.sent, refused.ambiguous) == (False, False)


@pytest.mark.parametrize(
    "tail",
    [
        "",
        "/",
        "flow-logs",
        "/a/",
        "/a//b",
        "/a/../b",
        "/..",
        "/.",
        "/a/./b",
        "/a?b=c",
        "/a#b",
        "/a%2F",
        "/a b",
        "/é",
        "/a\n",
    ],
)
async def test_a_tail_that_may_not_stand_in_a_url_is_a_fault_of_ours(tail: str) -> None:
    async with client_of(_reset) as (client, seen):
        with pytest.raises(ValueError, match="a path"):
            await client.call(LANE, "GET", tail, expected=OK)
    assert seen.connections == 0


@pytest.mark.parametrize("project_id", ["F" * 32, "f" * 31, "f" * 33, "../" + "f" * 29, "f" * 32 + "\n"])
async def test_so_is_a_project_id(project_id: str) -> None:
    async with client_of(_reset) as (client, _):
        with pytest.raises(ValueError, match="project id"):
            await client.call(LaneKey("default", "cn-north-4", project_id), "GET", "/quotas", expected=OK)


async def test_dots_within_a_name_are_names() -> None:
    async with client_of(answering(http(200, b"{}"))) as (client, seen):
        await client.call(LANE, "GET", "/a..b/.c/...", expected=OK)
    assert seen.requests[0].line.endswith("/enterprise-router/a..b/.c/... HTTP/1.1")


async def test_credentials_that_have_ended_stop_their_account_before_anything_is_sent() -> None:
    class Empty(Ring):
        async def of(self, account: str) -> Credentials:
            raise CredentialsError(f"no credentials for account `{account}`")

    async with serving(_reset) as seen, transport() as opened:
        client = CloudClient(opened, signers=Empty(), endpoints=at(seen.url), now=lambda: NOW, steady=time.monotonic)
        refused = await client.call(LANE, "GET", "/quotas", expected=OK)
    assert isinstance(refused, Refused)
    assert (refused.code, refused.stops, refused.sent) == ("BATCHER.NoCredentials", Stops.ACCOUNT, False)
    assert seen.connections == 0
