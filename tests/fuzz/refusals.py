"""What the provider, its gateway and proxies answer where they refuse: any status, headers and body."""

from batcher.cloud.refusal import refusal_of
from batcher.cloud.transport import Answer
from batcher.cloud.wire import parse_json_object
from tests.fuzz import provider
from tests.fuzz.draw import Draw
from tests.fuzz.hostile import JSON_VALUES, WORDS
from tests.fuzz.provider import KEYS, NOW, STATUSES, answer_of, is_sound_refusal

_BODIES = (
    '{"error_code":"ER.04009005","error_msg":"Invalid name","request_id":"1"}',
    '{"error_code":"APIGW.0308","error_msg":"policy user over ratelimit,limit:10,time:1 minute"}',
    '{"error_code":"APIGW.0308","error_msg":"limit:10,time:1 ſecond"}',
    '{"error_code":"APIGW.0308","error_msg":"limit:１０,time:１ minute"}',
    '{"error":{"code":401,"message":"x","title":"Unauthorized"}}',
    '{"error_code":"４０４","error_msg":"x"}',
    "<html><head><title>502 Bad Gateway</title></head></html>",
    f"Authorization: SDK-HMAC-SHA256 Access={KEYS.access_key}, Signature=x",
    '{"a":' * 3000,
    "canonicalRequest:" * 3000,
)
SEEDS = (
    *(bytes((at,)) + body.encode() for body in _BODIES for at in range(len(STATUSES))),
    *(b"\x05" + f'{{"error_code":{value},"error_msg":{value},"request_id":{value}}}'.encode() for value in JSON_VALUES),
    *(b"\x05" + f'{{"error_code":"{word}","error_msg":"{word}"}}'.encode() for word in WORDS),
    *(b"\x0aX-Request-Id: " + word.encode().replace(b"\n", b"") + b"\n" for word in WORDS),
    *(
        b"\x0aRetry-After: " + word + b"\n{}"
        for word in (b"1", b"-1", b"1e9", "１２".encode(), b"Fri, 31 Feb 99999 0:0:0")
    ),
    *(b"\x04Location: " + word + b"\n" for word in (b"http://x/", b"https://a\x1b[31m/", b"//x", b"javascript:x")),
)
TOKENS = (
    *provider.TOKENS,
    "encoded_authorization_message",
    "canonicalRequest",
    "Signature=",
    "MII",
    "&quot;",
    "%2F",
    "\\u003d",
)


def check(data: bytes) -> None:
    """A refusal that can be shown, whatever came."""
    drawn = answer_of(Draw(data))
    refused = refusal_of(drawn, now=NOW, secrets=KEYS.secrets())
    is_sound_refusal(refused)
    assert refused.window is None or refused.window.calls > 0
    found = parse_json_object(drawn.body)
    assert found is None or isinstance(found, dict)
    refusal_of(Answer(599, drawn.headers, drawn.body[::-1]), now=NOW, secrets=())
