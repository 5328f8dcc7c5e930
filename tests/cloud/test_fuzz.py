"""Ten thousand answers that nobody would send: none makes `refusal_of` raise, and none brings a secret through.

A secret is put into each body, and often into the headers, in one of the forms in which the other side may write it.
"""

import html
import json
import random
import re
from collections.abc import Callable, Mapping
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batcher.cloud.refusal import refusal_of
from batcher.cloud.transport import Answer
from batcher.model import Kind, Refused

NOW = 1713484800.0
SECRETS = ("QQWWEERRTTYYUUIIOOPP", "hUsH/+secret==key9", "STS.tok-en_" + "xYz0/" * 30)
# What is left of a secret when it was cut or found in part only.
_TRACE = re.compile("QQWWEERR|hUsH|secret==|xYz0/xYz0")

_FORMS: tuple[Callable[[str], str], ...] = (
    str,
    lambda secret: quote(secret, safe=""),
    quote,
    lambda secret: quote(secret, safe="").replace("%2F", "%2f").replace("%3D", "%3d").replace("%2B", "%2b"),
    lambda secret: json.dumps(secret)[1:-1].replace("/", "\\/"),
    lambda secret: html.escape(secret).replace("+", "&#43;"),
    lambda secret: secret.replace("=", "\\u003d").replace("+", "\\u002B"),
)

_REAL = (
    '{"error_code":"ER.04009005","error_msg":"Invalid name @","request_id":"@"}',
    '{"error_msg":"The API does not exist, @","error_code":"APIGW.0101","request_id":"9"}',
    '{"error":{"error_code":"APIG.0301","error_msg":"verify aksk signature fail, canonicalRequest:POST|/v3|@|"}}',
    '{"error":{"code":401,"message":"@ is not valid","title":"Unauthorized"}}',
    '{"errorCode":"CCE.01","errorMessage":"@"}',
    '{"code":"VPC.0001","message":"token @ token @"}',
    '{"error_code":"PDP.0001","error_msg":"no @","encoded_authorization_message":"@"}',
    '{"error_code":"@","requestId":"@@"}',
    '{"error_code":"APIGW.0308","error_msg":"policy user over ratelimit,limit:10,time:1 minute, user @"}',
    "<html><head><title>502 @ Bad Gateway</title></head><body>@</body></html>",
    "Get secretKey failed,ak:@,err:ak not exist",
    "Authorization: SDK-HMAC-SHA256 Access=@, SignedHeaders=host, Signature=@",
    '["@"]',
    '"@"',
    "@",
)
_JUNK = (
    b"\x00",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b"\\ud800",
    b"\x1b[31m",
    b"\xe2\x80\xae",
    b"{",
    b"}",
    b'"',
    b"\\",
    b"[[[[[[[[",
    b'{"error":' * 40,
    b"9" * 5000,
    b"1e999",
    b"-Infinity",
    b"NaN",
    b"null",
    b" " * 700,
    b"\xef\xbb\xbf",
    b"&quot;",
    b"%25",
    b"token:",
    b"\r\n\r\n",
)
_DATES = (
    "Fri, 19 Apr 2024 00:00:30 GMT",
    "Fri, 31 Feb 99999 99:99:99 GMT",
    "Mon, 1 Jan 0 0:0:0 -9999",
    "12",
    "-1",
    "1e9",
)


def _body(seed: int, tail: bytes) -> bytes:
    """A real answer with the secrets written into it, then damaged: far cheaper to draw than a tree of values."""
    chance = random.Random(seed)
    text = chance.choice(_REAL) if chance.random() < 0.9 else "@" * chance.randrange(4)
    while "@" in text:
        text = text.replace("@", chance.choice(_FORMS)(chance.choice(SECRETS)), 1)
    body = bytearray(text.encode())
    for _ in range(chance.choice((0, 0, 1, 2, 5))):
        # Between the secrets or in the midst of one: then it is one no more, and its parts are not looked for.
        at = chance.choice([place for place, byte in enumerate(body) if byte in b'{}[],:" <>'] or [0])
        body[at:at] = chance.choice(_JUNK)
    if chance.random() < 0.01:
        body += b" " * 70_000
    if chance.random() < 0.03:
        nested = chance.randrange(1, 3000)
        body[:] = b'{"a":' * nested + body + b"}" * nested
    return bytes(body) + tail


def _headers(seed: int, text: str) -> Mapping[str, str]:
    """Headers as odd as `text`, and some that mean something."""
    chance = random.Random(~seed)
    values = (text, *SECRETS, *_DATES, "application/json", "text/html", "", "a" * 9000, "\ud800\x00")
    names = ("Retry-After", "Date", "Content-Type", "X-Request-Id", "X-IAM-Trace-Id")
    headers = {name: chance.choice(values) for name in names if chance.random() < 0.5}
    return headers | {"Location": chance.choice(("", "https://a.example/x", f"http://{chance.choice(SECRETS)}/"))}


_STATUSES = st.integers(100, 599) | st.sampled_from([200, 202, 302, 400, 401, 403, 404, 408, 429, 500, 502, 503, 504])


@pytest.mark.timeout(60)
@settings(max_examples=2_000, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
@given(status=_STATUSES, seed=st.integers(0, 1 << 32), tail=st.binary(max_size=20), text=st.text(max_size=10))
def test_any_answer_becomes_a_refusal_that_can_be_shown(status: int, seed: int, tail: bytes, text: str) -> None:
    answer = Answer(status, _headers(seed, text), _body(seed, tail))
    refused = refusal_of(answer, now=NOW, secrets=SECRETS)
    _assert_showable(refused)
    assert refused.http_status == status
    assert refused.pause_s is None or 0.0 <= refused.pause_s <= 3600.0
    assert refused.window is None or (refused.kind is Kind.THROTTLED and refused.window.calls > 0)


@settings(max_examples=1_000, deadline=None, database=None)
@given(status=_STATUSES, body=st.binary(max_size=300), text=st.text(max_size=300))
def test_any_bytes_become_a_refusal_that_can_be_shown(status: int, body: bytes, text: str) -> None:
    _assert_showable(refusal_of(Answer(status, _headers(status, text), body), now=NOW, secrets=SECRETS))


def _assert_showable(refused: Refused) -> None:
    texts = (refused.code, refused.message, refused.request_id, refused.advice)
    for text, characters_max in zip(texts, (64, 500, 128, 300), strict=True):
        assert text.isprintable()
        assert len(text) <= characters_max
        assert not [secret for secret in SECRETS if secret in text]
        assert _TRACE.search(text) is None, text
    assert refused.code
    assert refused.message
