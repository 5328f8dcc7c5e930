"""The signature against six requests of the official SDK, recorded from the wire."""

import calendar
import json
import time
from pathlib import Path
from typing import Any

import pytest

from batcher.cloud.credentials import Credentials
from batcher.cloud.signing import canonical_path, canonical_query, sign

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "signing.json").read_text(encoding="utf-8"))
_ADDED = {"host", "x-sdk-date", "x-security-token"}


def _sign_vector(vector: dict[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
    """Sign as the vector's own list of signed headers says: (its headers, ours)."""
    theirs = dict(line.split(": ", 1) for line in vector["headers"])
    method, target, _ = vector["request_line"].split(" ")
    path, _, query = target.partition("?")
    names = theirs["Authorization"].split("SignedHeaders=")[1].split(",")[0].split(";")
    ours = sign(
        Credentials("AKEXAMPLE", "SKEXAMPLE", security_token=theirs.get("X-Security-Token", "")),
        method=method,
        host=theirs["Host"],
        path=path,
        query=query,
        headers={name: value for name, value in theirs.items() if name.lower() in set(names) - _ADDED},
        body=vector["body"].encode(),
        at=float(calendar.timegm(time.strptime(theirs["X-Sdk-Date"], "%Y%m%dT%H%M%SZ"))),
    )
    return theirs, ours


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["name"][:2] for vector in VECTORS])
def test_signature_equals_the_recorded_one(vector: dict[str, Any]) -> None:
    theirs, ours = _sign_vector(vector)
    assert ours["Authorization"] == theirs["Authorization"]
    assert {name: theirs[name] for name in ours} == ours


def test_there_are_six_vectors() -> None:
    assert len(VECTORS) == 6


def _signature(**change: Any) -> str:
    given: dict[str, Any] = {
        "method": "POST",
        "host": "er.cn-north-4.myhuaweicloud.com",
        "path": "/v3/p/enterprise-router/e/flow-logs",
        "query": "",
        "headers": {"X-Client-Token": "t", "Content-Type": "application/json"},
        "body": b"{}",
        "at": 1713484800.0,
    }
    return sign(Credentials("AK", "SK"), **(given | change))["Authorization"]


@pytest.mark.parametrize(
    "change",
    [
        {"method": "PUT"},
        {"host": "er.cn-north-9.myhuaweicloud.com"},
        {"path": "/v3/p/enterprise-router/f/flow-logs"},
        {"query": "limit=1"},
        {"headers": {"X-Client-Token": "u", "Content-Type": "application/json"}},
        {"body": b"{ }"},
        {"body": b""},
        {"at": 1713484801.0},
    ],
    ids=str,
)
def test_everything_signed_changes_the_signature(change: dict[str, Any]) -> None:
    assert _signature(**change) != _signature()


def test_order_and_case_of_the_headers_and_fractions_of_a_second_change_nothing() -> None:
    swapped = {"content-type": "  application/json ", "x-client-token": "t"}
    assert _signature(headers=swapped, at=1713484800.999) == _signature()


def test_an_auth_token_is_sent_unsigned() -> None:
    credentials = Credentials("", "", auth_token="TOKEN")
    headers = sign(
        credentials, method="GET", host="h", path="/", query="", headers={"X-Project-Id": "p"}, body=b"", at=0.0
    )
    assert headers == {"X-Project-Id": "p", "Host": "h", "X-Auth-Token": "TOKEN"}


@pytest.mark.parametrize(
    ("path", "wire"),
    [
        ("/v3/a b/%2F/x", "/v3/a%20b///x"),
        ("/v3/x/", "/v3/x/"),
        ("/v3/~._-*", "/v3/~._-%2A"),
        ("/v3/é", "/v3/%C3%A9"),
    ],
)
def test_paths(path: str, wire: str) -> None:
    assert canonical_path(path) == wire


def test_a_query_is_sorted_by_key_and_value_and_encoded() -> None:
    pairs = [("b", "2"), ("a", "1 ~*"), ("a", "0"), ("flag", "true"), ("l", "z"), ("l", "y")]
    assert canonical_query(pairs) == "a=0&a=1%20~%2A&b=2&flag=true&l=y&l=z"
