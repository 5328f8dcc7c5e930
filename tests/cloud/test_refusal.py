"""What an answer that is no success becomes, by the shape of its body; and what no answer becomes."""

from collections.abc import Mapping
from typing import Any

import pytest

from batcher.cloud.error_table import TABLE, merged, user_verdict
from batcher.cloud.refusal import bad_answer, refusal_of, unanswered
from batcher.cloud.transport import BAD_ANSWER, NO_ANSWER, UNREACHABLE, Answer, NoAnswer
from batcher.model import Kind, Refused, Stops, Window

NOW = 1713484800.0  # Fri, 19 Apr 2024 00:00:00 GMT


def refused_by(status: int, body: str | bytes = b"", headers: Mapping[str, str] | None = None) -> Refused:
    body = body.encode() if isinstance(body, str) else body
    return refusal_of(Answer(status, headers or {}, body), now=NOW, secrets=("hush",))


# Section 4.1 of the facts: HTTP status, body; the code shown, the message, the request id.
SHAPES: dict[str, tuple[int, str | bytes, str, str, str]] = {
    "service": (
        400,
        '{"error_code":"ER.04009005","error_msg":"bad name","request_id":"r"}',
        "ER.04009005",
        "bad name",
        "r",
    ),
    "gateway": (404, '{"error_msg":"no API","error_code":"APIGW.0101"}', "APIGW.0101", "no API", ""),
    "nested": (
        403,
        '{"error":{"error_code":"PDP.0001","error_msg":"denied"},"request_id":"r"}',
        "PDP.0001",
        "denied",
        "r",
    ),
    "nested, EPS": (400, '{"error":{"code":"EPS.0004","message":"no"}}', "EPS.0004", "no", ""),
    "camel": (400, '{"errorCode":"X.1","errorMsg":"m"}', "X.1", "m", ""),
    "CCE": (400, '{"errorCode":"CCE.01400001","errorMessage":"m"}', "CCE.01400001", "m", ""),
    "VPC": (400, '{"code":"VPC.0001","message":"m"}', "VPC.0001", "m", ""),
    "keystone": (
        401,
        '{"error":{"code":401,"message":"The request you have made requires authentication.","title":"Unauthorized"}}',
        "HTTP.401",
        "The request you have made requires authentication.",
        "",
    ),
    "encoded": (
        403,
        '{"error_code":"PDP.0001","error_msg":"denied","encoded_authorization_message":"zzz"}',
        "PDP.0001",
        "denied",
        "",
    ),
    "HTML": (502, "<html>\n<title>502 Bad Gateway</title>", "HTTP.502", "<html> <title>502 Bad Gateway</title>", ""),
    "empty": (503, "", "HTTP.503", "the answer (HTTP 503) has no message", ""),
    "list": (400, '["ER.04009005"]', "HTTP.400", '["ER.04009005"]', ""),
    "bad UTF-8": (500, b"\xff\xfe oops", "HTTP.500", "\ufffd\ufffd oops", ""),
    "bad UTF-8 in JSON": (
        400,
        b'{"error_code":"ER.04009005\xff"}',
        "HTTP.400",
        '{"error_code":"ER.04009005\ufffd"}',
        "",
    ),
    "blank": (500, " \r\n\t", "HTTP.500", "the answer (HTTP 500) has no message", ""),
    "with a byte order mark": (
        400,
        b'\xef\xbb\xbf{"error_code":"ER.04009005","error_msg":"m"}',
        "ER.04009005",
        "m",
        "",
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_refusal_in_every_shape_of_body(shape: str) -> None:
    status, body, code, message, request_id = SHAPES[shape]
    refused = refused_by(status, body)
    assert (refused.code, refused.message, refused.request_id) == (code, message, request_id)
    assert (refused.http_status, refused.sent) == (status, True)


def test_a_refusal_carries_all_that_is_known() -> None:
    body = '{"error_code":"ER.04009008","error_msg":"no quota left","request_id":"body"}'
    assert refused_by(400, body, {"X-Request-Id": "head", "Retry-After": "5"}) == Refused(
        kind=Kind.PERMANENT,
        stops=Stops.SUBJECT,
        code="ER.04009008",
        message="no quota left",
        http_status=400,
        request_id="head",
        definitive=True,
        advice=TABLE[400, "ER.04009008"].advice,
    )


def test_throttling_carries_the_window_and_the_wait() -> None:
    message = "policy user over ratelimit,limit:10,time:1 minute"
    body = f'{{"error_code":"APIG.0308","error_msg":"{message}"}}'
    refused = refused_by(429, body, {"Retry-After": "Fri, 19 Apr 2024 00:00:30 GMT"})
    assert (refused.kind, refused.stops, refused.code) == (Kind.THROTTLED, Stops.ROW, "APIG.0308")
    assert (refused.pause_s, refused.window, refused.message) == (30.0, Window(10, 60.0), message)


def test_a_window_in_another_refusal_is_no_limit_of_ours() -> None:
    refused = refused_by(500, '{"error_code":"X","error_msg":"limit:10,time:1 minute"}', {"Retry-After": "7"})
    assert (refused.kind, refused.window, refused.pause_s) == (Kind.TRANSIENT, None, 7.0)


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("https://login.example.com/?next=x", "redirected to `login.example.com`"),
        ("http://10.0.0.1:8080", "redirected to `10.0.0.1:8080`"),
        ("https://hush.example.com/", "the answer (HTTP 302) has no message"),
        ("/elsewhere", "the answer (HTTP 302) has no message"),
        ("", "the answer (HTTP 302) has no message"),
    ],
)
def test_a_redirect_stops_the_run_and_names_where_it_leads(location: str, message: str) -> None:
    refused = refused_by(302, b"", {"Location": location})
    assert (refused.kind, refused.stops, refused.code) == (Kind.PERMANENT, Stops.RUN, "BATCHER.Redirected")
    assert refused.message == message


@pytest.mark.parametrize("status", [200, 202, 204, 299, 600, 999])
def test_a_success_that_was_not_asked_for_may_have_worked(status: int) -> None:
    refused = refused_by(status, '{"flow_logs":[]}')
    assert (refused.kind, refused.stops, refused.code) == (Kind.TRANSIENT, Stops.ROW, "BATCHER.BadAnswer")
    assert (refused.ambiguous, refused.definitive) == (True, False)
    assert refused.advice


def test_no_text_of_a_refusal_holds_a_known_secret() -> None:
    body = '{"error_code":"hush.1","error_msg":"you sent hush","request_id":"hush"}'
    for headers in ({}, {"X-Request-Id": "hush"}, {"X-IAM-Trace-Id": "a hush b"}):
        assert "hush" not in repr(refused_by(400, body, headers))


def test_a_users_entry_decides_and_its_advice_is_told() -> None:
    table = merged(
        {
            (403, "APIGW.0306"): user_verdict(403, "APIGW.0306", kind="permanent", stops="project", advice="ask Ann"),
            (503, ""): user_verdict(503, "", kind="throttled", stops="row", advice="it is full"),
            (302, ""): user_verdict(302, "", kind="transient", stops="row"),
        }
    )

    def answered(status: int, body: bytes) -> Refused:
        return refusal_of(Answer(status, {"Retry-After": "9"}, body), now=NOW, secrets=(), table=table)

    denied = answered(403, b'{"error_code":"APIG.0306","error_msg":"m"}')
    assert (denied.stops, denied.code, denied.advice) == (Stops.LANE, "APIG.0306", "ask Ann")
    full = answered(503, b"limit:5,time:1 second")
    assert (full.kind, full.ambiguous, full.window, full.pause_s) == (Kind.THROTTLED, True, Window(5, 1.0), 9.0)
    moved = answered(302, b"")
    assert (moved.kind, moved.code) == (Kind.TRANSIENT, "BATCHER.Redirected")


@pytest.mark.parametrize(
    ("answer", "expected", "advice"),
    [
        (NoAnswer(UNREACHABLE, "no connection: h:1: refused", sent=False), {"sent": False}, "check the network"),
        (NoAnswer(NO_ANSWER, "no answer", sent=True), {"ambiguous": True}, "nothing: it is tried again"),
        (NoAnswer(BAD_ANSWER, "the answer is not HTTP: \x1b[31m", sent=True), {"ambiguous": True}, "the endpoint"),
        (
            NoAnswer(UNREACHABLE, "the TLS certificate was refused", sent=False, fatal=True),
            {"sent": False, "kind": Kind.PERMANENT, "stops": Stops.RUN},
            "check the endpoint: its certificate",
        ),
    ],
)
def test_no_answer_means_only_that_it_may_have_been_done(
    answer: NoAnswer, expected: dict[str, Any], advice: str
) -> None:
    refused = unanswered(answer, ("hush",))
    assert refused == Refused(
        **{
            "kind": Kind.TRANSIENT,
            "stops": Stops.ROW,
            "code": answer.code,
            "message": answer.message.replace("\x1b", "?"),
            "advice": refused.advice,
            **expected,
        }
    )
    assert refused.advice.startswith(advice)


def test_no_answer_tells_no_secret() -> None:
    assert unanswered(NoAnswer(BAD_ANSWER, "not HTTP: hush", sent=True), ("hush",)).message == "not HTTP: ***"


def test_a_reply_that_lacks_what_was_asked_for() -> None:
    refused = bad_answer(202, "r", "no flow log in the answer")
    assert (refused.kind, refused.stops, refused.code) == (Kind.TRANSIENT, Stops.ROW, "BATCHER.BadAnswer")
    assert (refused.http_status, refused.request_id, refused.ambiguous) == (202, "r", True)
    assert (refused.message, refused.definitive) == ("no flow log in the answer", False)
    assert "check the endpoint" in refused.advice
