"""Reading what the other side says, in all its shapes, and writing what we say."""

import json
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batcher.cloud.wire import (
    ErrorBody,
    compact_json,
    parse_date,
    parse_error,
    parse_json_object,
    parse_retry_after,
    parse_window,
    redact,
)
from batcher.model import Window

NOW = 1795408759.0  # Mon, 23 Nov 2026 04:39:19 GMT


def test_json_is_compact_and_ascii() -> None:
    assert compact_json({"name": "café 流", "n": [1, None, True]}) == b'{"name":"caf\\u00e9 \\u6d41","n":[1,null,true]}'


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ('{"error_code":"ER.04009005","error_msg":"bad","request_id":"r"}', "ER.04009005", "bad"),
        ('{"error":{"error_code":"APIGW.0101","error_msg":"no API"}}', "APIGW.0101", "no API"),
        ('{"error":{"code":"EPS.0004","message":"no"}}', "EPS.0004", "no"),
        ('{"errorCode":"X.1","errorMsg":"m"}', "X.1", "m"),
        ('{"errorCode":"CCE.01","errorMessage":"m"}', "CCE.01", "m"),
        ('{"code":"VPC.0001","message":"m"}', "VPC.0001", "m"),
        ('{"error":{"code":401,"message":"The token is old","title":"Unauthorized"}}', "401", "The token is old"),
        ('{"error_code":"PDP.0001","error_msg":"denied","encoded_authorization_message":"zzz"}', "PDP.0001", "denied"),
        ('{"a":{"b":{"c":{"d":{"error_code":"DEEP","error_msg":"m"}}}}}', "DEEP", "m"),
        (
            '{"a":{"b":{"c":{"d":{"e":{"error_code":"TOO.DEEP"}}}}}}',
            "",
            '{"a":{"b":{"c":{"d":{"e":{"error_code":"TOO.DEEP"}}}}}}',
        ),
        ('{"message":"no code"}', "", "no code"),
        ('{"error_code":"X.1"}', "X.1", '{"error_code":"X.1"}'),
        ('{"error_code":null,"code":"Y","message":["m"]}', "Y", '{"error_code":null,"code":"Y","message":["m"]}'),
        ('["ER.04009005"]', "", '["ER.04009005"]'),
        ("<html>\n<h1>502\tBad Gateway</h1>", "", "<html> <h1>502 Bad Gateway</h1>"),
        ("", "", ""),
        ("{", "", "{"),
        ("bell \x07 and \x1b[31mred", "", "bell ? and ?[31mred"),
    ],
)
def test_errors_of_every_shape(body: str, code: str, message: str) -> None:
    assert parse_error(body.encode(), {}) == ErrorBody(code, message, "r" if '"r"' in body else "")


def test_bytes_that_are_no_text_are_shown_as_far_as_they_go() -> None:
    assert parse_error(b"\xff\xfe ok", {}).message == "\ufffd\ufffd ok"


@pytest.mark.parametrize(
    ("headers", "body", "request_id"),
    [
        ({"X-Request-Id": "h"}, b'{"request_id":"b"}', "h"),
        ({}, b'{"request_id":"b"}', "b"),
        ({}, b'{"requestId":"b"}', "b"),
        ({}, b'{"request_id":7}', ""),
        ({"X-Request-Id": "h" * 999}, b"", "h" * 128),
    ],
)
def test_the_request_id_is_the_headers_first(headers: Mapping[str, str], body: bytes, request_id: str) -> None:
    assert parse_error(body, headers).request_id == request_id


def test_code_and_message_are_bounded() -> None:
    error = parse_error(json.dumps({"error_code": "c" * 999, "error_msg": "m " * 999}).encode(), {})
    assert (len(error.code), len(error.message)) == (64, 500)
    assert len(parse_error(b"<html>" + b"x " * 999, {}).message) == 200
    assert parse_error(b'{"error_code":"X.1","pad":"' + b"x" * (1 << 16) + b'"}', {}).code == ""


CANONICAL = (
    "Incorrect IAM authentication information: verify aksk signature fail, canonicalRequest:"
    "POST|/v3/p/enterprise-router/e/flow-logs/||host:er.example.com|x-sdk-date:20261123T043919Z||host|e3b0"
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (CANONICAL, CANONICAL.partition("POST")[0] + "***"),
        (
            "SDK-HMAC-SHA256 Access=AKEXAMPLE, SignedHeaders=host, Signature=b46c7c",
            "SDK-HMAC-SHA256 ***",
        ),
        ("Get secretKey failed,ak:AKEXAMPLE,err:ak not exist", "Get secretKey failed,ak:***,err:ak not exist"),
        ("AK access failed to reach the limit,forbidden", "AK access failed to reach the limit,forbidden"),
        ("decrypt token fail", "decrypt token fail"),
        ('{"X-Auth-Token": "MIIabc", "a": 1}', '{"X-Auth-Token": "***", "a": 1}'),
        ("x-security-token:STS|host:h", "x-security-token:***|host:h"),
        ("key ABCDEFGHIJ0123456789 is frozen", "key *** is frozen"),
        ("the secret is hush", "the secret is ***"),
    ],
)
def test_messages_are_redacted(text: str, shown: str) -> None:
    assert redact(text, ("hush", "")) == shown


def test_an_ordinary_message_stays_as_it_is() -> None:
    text = (
        "Attachment 6f83b848-8331-4271-ac0c-ef94b7686402 of er a43c55e9 not found in 0605767a9980d5762fbcc00b3537e757"
    )
    assert redact(text) == text


@given(secret=st.text("ABCxyz0123-_/+=", min_size=4, max_size=300), before=st.text(max_size=600), as_json=st.booleans())
def test_a_known_secret_never_shows_not_even_in_part_at_the_end(secret: str, before: str, as_json: bool) -> None:
    text = f"{before} {secret} {secret}"
    body = compact_json({"error_code": "X", "error_msg": text}) if as_json else text.encode("utf-8", "replace")
    message = parse_error(body, {}, (secret,)).message
    tail = message.removesuffix("*").rstrip("*")
    assert secret not in message
    assert secret in before or not tail.endswith(f" {secret[:4]}")


@pytest.mark.parametrize(
    ("message", "window"),
    [
        (
            "The throttling threshold has been reached: policy user over ratelimit,limit:10,time:1 minute",
            Window(10, 60.0),
        ),
        ("policy api over ratelimit,limit:200,time:1 second", Window(200, 1.0)),
        ("policy ip over ratelimit, limit: 5, time: 2 hours", Window(5, 7200.0)),
        ("limit:1,time:500 millisecond", Window(1, 0.5)),
        ("LIMIT:7,TIME:1 Day", Window(7, 86400.0)),
        ("policy user over ratelimit,limit:60", None),
        ("limit:0,time:1 minute", None),
        ("limit:5,time:0 second", None),
        ("limit:5,time:2 day", None),
        ("limit:99999999999,time:1 second", None),
        ("limit:5,time:1 fortnight", None),
        ("", None),
    ],
)
def test_the_window_in_a_throttling_message(message: str, window: Window | None) -> None:
    assert parse_window(message) == window


@pytest.mark.parametrize(
    ("value", "wait_s"),
    [
        ("0", 0.0),
        ("7", 7.0),
        (" 1.5 ", 1.5),
        ("86400", 3600.0),
        ("999999999999", 3600.0),
        ("Mon, 23 Nov 2026 04:39:49 GMT", 30.0),
        ("Mon, 23 Nov 2026 04:00:00 GMT", 0.0),
        ("Mon, 23 Nov 2099 04:39:49 GMT", 3600.0),
        ("-1", None),
        ("soon", None),
        ("", None),
        ("٣", None),
    ],
)
def test_retry_after(value: str, wait_s: float | None) -> None:
    assert parse_retry_after({"Retry-After": value}, NOW) == wait_s


def test_no_retry_after() -> None:
    assert parse_retry_after({}, NOW) is None


_TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(
            st.sampled_from(["error", "error_code", "error_msg", "code", "message", "request_id", "errorCode"])
            | st.text(),
            inner,
        )
    ),
)


@given(
    body=st.binary(max_size=2000) | _TREES.map(lambda tree: json.dumps(tree).encode()),
    headers=st.dictionaries(st.sampled_from(["X-Request-Id", "Retry-After"]), st.text()),
)
def test_no_bytes_make_it_raise(body: bytes, headers: dict[str, str]) -> None:
    error = parse_error(body, headers)
    assert len(error.code) <= 64
    assert len(error.message) <= 500
    assert f"{error.code}{error.message}{error.request_id}".isprintable()
    parse_window(error.message)
    wait_s = parse_retry_after(headers, NOW)
    assert wait_s is None or 0 <= wait_s <= 3600


@given(st.text() | st.from_regex(r"[A-Z][a-z]{2}, \d{1,3} [A-Z][a-z]{2} \d{1,6} \d\d:\d\d:\d\d .{0,6}", fullmatch=True))
def test_no_text_makes_a_date_raise(text: str) -> None:
    parse_date(text)


def test_a_deeply_nested_body_is_not_an_object() -> None:
    assert parse_json_object(b'{"a":' * 100_000) is None
    assert parse_json_object(b"[" * 100_000) is None
    assert parse_error(b'{"a":' * 10_000, {}).code == ""
