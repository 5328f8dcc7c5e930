"""Reading what the other side says, in all its shapes, and writing what we say."""

import hashlib
import html
import json
import time
from collections.abc import Mapping
from urllib.parse import quote, quote_plus

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
        (
            '{"error_code":"PDP.0001","encoded_authorization_message":"zzz"}',
            "PDP.0001",
            "(an encoded authorization message is in the answer)",
        ),
        (
            '{"error":{"code":"PDP.1","encodedAuthorizationMessage":"zzz"}}',
            "PDP.1",
            "(an encoded authorization message is in the answer)",
        ),
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
        ({"X-IAM-Trace-Id": "t"}, b'{"request_id":"b"}', "t"),
        ({"X-IAM-Trace-Id": "t", "X-Request-Id": "h"}, b"", "h"),
        ({"X-IAM-Trace-Id": "t", "X-Request-Id": ""}, b"", "t"),
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
        ("key_ABCDEFGHIJ0123456789|ABCDEFGHIJ0123456780", "key_***|***"),
        ("Authorization: Basic dXNlcjpwYXNz\nnext: 1", "Authorization: ***\nnext: 1"),
        ("Proxy-Authorization=Bearer abc def|x", "Proxy-Authorization=***|x"),
        ("Authorization: SDK-ECDSA-P256-SHA256 Access=AK", "Authorization: ***"),
        ("V11-HMAC-SHA256|20261123T043919Z|e3b0", "V11-HMAC-SHA256|***"),
        ('{\\"ak\\":\\"AKEX\\",\\"a\\":1}', '{\\"ak\\":\\"***",\\"a\\":1}'),
        ("ak%3DAKEX&b", "ak%3D***"),
        ("{&quot;password&quot;: &quot;p;w&quot;}", "{&quot;password&quot;: &quot;***;w&quot;}"),
        ("HTTP_X_AUTH_TOKEN = MII", "HTTP_X_AUTH_TOKEN = ***"),
        ('"accessKeyId" : "AKEX", "secretAccessKey":"SKEX"', '"accessKeyId" : "***", "secretAccessKey":"***"'),
        ("access key: AKEX; secret key: SKEX", "access key: ***; secret key: ***"),
        ("access: denied, task: ask", "access: denied, task: ask"),
        ('"encoded_authorization_message":"zzz"', '"encoded_authorization_message":"***"'),
        ("token is MII" + "aB0/" * 30 + ".", "token is ***."),
        ("the secret is hush", "the secret is ***"),
    ],
)
def test_messages_are_redacted(text: str, shown: str) -> None:
    assert redact(text, ("hush", "")) == shown


SECRET = 'p+a/s=s"w\\o&r%d<\u00e9 \U0001f511'
FORMS = {
    "plain": SECRET,
    "percent-encoded": quote(SECRET, safe=""),
    "with its slash": quote(SECRET),
    "as a form": quote_plus(SECRET),
    "in lower case": "".join(c if c.isalnum() and c.isascii() else quote(c, safe="").lower() for c in SECRET),
    "encoded twice": quote(quote(SECRET, safe=""), safe=""),
    "JSON": json.dumps(SECRET)[1:-1],
    "JSON in UTF-8": json.dumps(SECRET, ensure_ascii=False)[1:-1],
    "JSON in JSON": json.dumps(json.dumps(SECRET)[1:-1])[1:-1],
    "JSON with escaped slashes": json.dumps(SECRET)[1:-1].replace("/", "\\/"),
    "JSON for HTML": SECRET.replace("\\", "\\u005c").replace("+", "\\u002b").replace("<", "\\u003C"),
    "HTML": html.escape(SECRET).replace("+", "&#43;").replace("=", "&#x3D;"),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_known_secret_is_found_however_it_is_written(form: str) -> None:
    text = FORMS[form]
    assert redact(f"you said {text}!", ("other", SECRET)) == "you said ***!"
    body = f"<p>you said {text}!</p>".encode()
    assert parse_error(body, {}, (SECRET,)).message == "<p>you said ***!</p>"


def test_of_two_secrets_the_longer_is_taken_whole() -> None:
    assert redact("abcdef abc", ("abc", "abcdef")) == "*** ***"


def test_a_request_id_holds_no_secret_either() -> None:
    assert parse_error(b"", {"X-Request-Id": "r-hush-1"}, ("hush",)).request_id == "r-***-1"
    assert parse_error(b'{"request_id":"' + b"x" * 126 + b'hush"}', {}, ("hush",)).request_id == "x" * 126 + "**"


def test_a_secret_cut_through_at_the_end_of_what_is_read_does_not_show() -> None:
    secret = "".join(hashlib.sha256(bytes([n])).hexdigest() for n in range(250))
    body = b"<p>" + secret.encode() * 9
    assert set(parse_error(body, {}, (secret,)).message) <= set("<p>*")
    page = b"<title>a long page</title>" + b"<br>" * (1 << 15)
    assert parse_error(page, {}, (secret,)).message.startswith("<title>a long page</title><br>")


# What each pattern is slow on, if anything: its own beginnings, without the end that it needs.
_HOSTILE = [
    "token",
    "-token",
    "token" + " " * 60,
    "tokentokentokentokenab ",
    "ak ",
    "SDK-HMAC-",
    "canonical request",
    "A0",
    "AAAAAAAAAAAAAAAAAAA0",
    "authorization ",
    "\\",
    "%25",
    "&#",
    "MII",
    "MII" + "a" * 79 + " ",
    " ",
    "AKEXAMPLE012345678",
    "sk/+=",
    "MII" + "ab+/" * 400,
    "MII" + "ab%2B/" * 200,
    "&%\\\\&" * 39,
    "&amp;%25\\\\\\\\&amp;" * 39,
    '{"a":',
    "\x00",
]


@pytest.mark.parametrize("unit", _HOSTILE)
def test_a_hostile_body_costs_no_more_than_in_proportion_to_its_size(unit: str) -> None:
    secrets = ("AKEXAMPLE0123456789A", "sk/+=secretsecret", "MII" + "ab+/" * 500, "&%\\\\&" * 40)

    def best_s(size: int) -> float:
        body = (unit * (size // len(unit) + 1)).encode()[:size]
        times = []
        for _ in range(3):
            began = time.process_time()
            parse_error(body, {}, secrets)
            times.append(time.process_time() - began)
        return min(times)

    # Sixteen times the size: a quadratic pattern would take 256 times as long.
    assert best_s(1 << 16) < 80 * best_s(1 << 12) + 0.01


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
