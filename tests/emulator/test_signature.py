"""Who may call: the official SDK's vectors, and what the gateway refuses."""

import json
import time
from calendar import timegm
from pathlib import Path
from typing import Any

import pytest
from multidict import CIMultiDict

from batcher.emulator.signature import fault_of
from tests.emulator.client import ROUTER, Client, body, sdk_date, signed, talking

VECTORS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parent.parent / "vectors" / "signing.json").read_text(encoding="utf-8")
)
VECTORS_AT = timegm((2024, 4, 19, 0, 0, 0))
NAMES = [vector["name"] for vector in VECTORS]


def verdict(
    vector: dict[str, Any], headers: dict[str, str] | None = None, *, content: bytes | None = None, skew_s: float = 0
) -> str | None:
    method, target, _ = vector["request_line"].split(" ")
    sent = CIMultiDict(header.split(": ", 1) for header in vector["headers"])
    sent.update(headers or {})
    return fault_of(
        method,
        target,
        sent,
        vector["body"].encode() if content is None else content,
        keys={"AKEXAMPLE": "SKEXAMPLE"},
        auth_tokens=(),
        now=VECTORS_AT + skew_s,
    )


@pytest.mark.parametrize("vector", VECTORS, ids=NAMES)
def test_what_the_official_sdk_signs_is_accepted(vector: dict[str, Any]) -> None:
    assert verdict(vector) is None


@pytest.mark.parametrize("vector", VECTORS, ids=NAMES)
def test_one_flipped_byte_of_the_body_is_refused(vector: dict[str, Any]) -> None:
    content = bytearray(vector["body"].encode() or b" ")
    content[len(content) // 2] ^= 1
    assert "verify aksk signature fail" in (verdict(vector, content=bytes(content)) or "")


@pytest.mark.parametrize("vector", VECTORS, ids=NAMES)
def test_each_signed_header_is_covered(vector: dict[str, Any]) -> None:
    authorization = next(header for header in vector["headers"] if header.startswith("Authorization"))
    names = authorization.split("SignedHeaders=")[1].split(",")[0].split(";")
    assert {"host", "x-sdk-date"} <= set(names)
    for name in set(names) - {"x-sdk-date"}:
        assert "verify aksk signature fail" in (verdict(vector, {name: "other"}) or "")
    assert verdict(vector, {"X-Sdk-Date": "20240419T000001Z"}) is not None
    assert verdict(vector, {"X-Unsigned": "other"}) is None


@pytest.mark.parametrize(("skew_s", "accepted"), [(900, True), (-900, True), (901, False), (-901, False)])
def test_a_date_may_be_15_minutes_off(skew_s: float, accepted: bool) -> None:
    assert (verdict(VECTORS[0], skew_s=skew_s) is None) is accepted


def test_paths_and_queries_are_compared_in_one_encoding() -> None:
    vector = next(vector for vector in VECTORS if vector["name"].startswith("V4"))
    line = vector["request_line"]
    turned = line.replace("resource_id=a&resource_id=b", "resource_id=b&resource_id=%61")
    assert turned != line
    assert verdict({**vector, "request_line": turned}) is None
    assert verdict({**vector, "request_line": line.replace("limit=2000", "limit=200")}) is not None


async def test_a_signed_call_is_served_and_an_altered_one_is_not(client: Client) -> None:
    path = f"{client.base}/{ROUTER}/flow-logs"
    content = json.dumps(body(1)).encode()
    headers = signed("POST", path, client.url.removeprefix("http://"), content)
    reply = await client.send("POST", path, content.replace(b"log-1", b"log-2"), headers)
    assert reply.refused == (401, "APIGW.0301")
    assert reply.json["error_msg"] == ("Incorrect IAM authentication information: verify aksk signature fail")
    assert (await client.send("POST", path, content, headers)).status == 202


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"secret": "wrong"}, "verify aksk signature fail"),
        ({"date": sdk_date(time.time() - 3600)}, "15 minutes"),
        ({"date": "yesterday"}, "15 minutes"),
        ({"date": "20241341T000000Z"}, "15 minutes"),
    ],
)
async def test_wrong_signatures_on_the_wire(client: Client, changes: dict[str, str], message: str) -> None:
    path = f"{client.base}/instances"
    headers = signed("GET", path, client.url.removeprefix("http://"), b"", **changes)
    reply = await client.send("GET", path, b"", headers)
    assert reply.refused == (401, "APIGW.0301")
    assert message in reply.json["error_msg"]


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({}, "x-auth-token not found"),
        ({"X-Auth-Token": "forged"}, "decrypt token fail"),
        ({"Authorization": "Basic abc"}, "malformed"),
        (
            {"Authorization": f"SDK-HMAC-SHA256 Access=NOBODY, SignedHeaders=host, Signature={'0' * 64}"},
            "ak not exist",
        ),
        (
            {"Authorization": f"SDK-HMAC-SHA256 Access=EMULATORAK, SignedHeaders=host, Signature={'0' * 64}"},
            "a signed header is missing",
        ),
    ],
)
async def test_calls_without_a_usable_signature(client: Client, headers: dict[str, str], message: str) -> None:
    reply = await client.send("GET", f"{client.base}/instances", b"", headers)
    assert reply.refused == (401, "APIGW.0301")
    assert message in reply.json["error_msg"]


async def test_a_token_does_instead_of_a_signature(client: Client) -> None:
    headers = {"X-Auth-Token": "ticket"}
    assert (await client.send("GET", f"{client.base}/instances", b"", headers)).status == 200


async def test_moving_the_emulators_clock_does_not_outdate_signatures(client: Client) -> None:
    await client.control("POST", "/clock", {"advance_s": 86_400})
    assert (await client.call("GET", "instances")).status == 200


async def test_unknown_paths_and_methods_are_not_published(client: Client) -> None:
    for method, tail in (("GET", "nothing"), ("PATCH", f"{ROUTER}/flow-logs"), ("POST", "instances")):
        assert (await client.call(method, tail)).refused == (404, "APIGW.0101")
    assert (await client.send("GET", "/v3/x")).refused == (401, "APIGW.0301")


async def test_a_body_above_12_mib_is_refused() -> None:
    async with talking() as client:
        path = f"{client.base}/{ROUTER}/flow-logs"
        reply = await client.send("POST", path, b" " * (12 * 1024 * 1024 + 1), {"X-Auth-Token": "ticket"})
        assert reply.refused == (413, "APIGW.0201")
