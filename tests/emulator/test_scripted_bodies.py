"""Scripted answers with bodies of any kind."""

import base64
import io
from typing import Any

import pytest
from yarl import URL

from tests.emulator.client import Client


async def raw(client: Client) -> tuple[int, str, bytes]:
    """Status, content type and bytes of the answer to a listing of routers."""
    url = URL(f"{client.url}{client.base}/instances")
    async with client.session.get(url, data=io.BytesIO(), headers={"X-Auth-Token": "ticket"}) as answer:
        return answer.status, answer.headers["Content-Type"], await answer.read()


@pytest.mark.parametrize(
    ("given", "content_type", "content"),
    [
        (
            {"body": '{"code": "A", "message": "caf\u00e9"}'},
            "application/json",
            b'{"code": "A", "message": "caf\xc3\xa9"}',
        ),
        ({"body": ""}, "application/json", b""),
        ({"body": "[]", "content_type": "text/plain; charset=utf-8"}, "text/plain; charset=utf-8", b"[]"),
        ({"body": "<html/>", "headers": {"content-type": "text/html"}}, "text/html", b"<html/>"),
        ({"body_base64": base64.b64encode(b"\xff\x00\xfe").decode()}, "application/json", b"\xff\x00\xfe"),
        ({"body_base64": ""}, "application/json", b""),
    ],
)
async def test_a_scripted_body_is_sent_as_it_is(
    client: Client, given: dict[str, Any], content_type: str, content: bytes
) -> None:
    await client.script({"operation": "routers", "fault": "status", "status": 403, **given})
    assert await raw(client) == (403, content_type, content)


async def test_a_scripted_body_may_take_the_place_of_a_success_that_happened(client: Client) -> None:
    await client.script({"operation": "create", "fault": "status_after", "status": 202, "body": "{}"})
    assert ((reply := await client.create()).status, reply.json) == (202, {})
    assert (await client.statistics())["created_total"] == 1


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"body": "", "body_base64": ""}, "exclude each other"),
        ({"body": "{}", "code": "X.1"}, "`code` and `message`"),
        ({"body_base64": "", "message": "no"}, "`code` and `message`"),
        ({"body": "{}", "fault": "hang", "status": None}, "`body` goes with"),
        ({"content_type": "text/html"}, "`content_type` goes with"),
        ({"body": "", "content_type": "a/b", "headers": {"CONTENT-TYPE": "a/b"}}, "`content_type` and a header"),
        ({"body_base64": "%%%"}, "no base64"),
        ({"body": "\ud800"}, "half a character"),
        ({"body": "{}", "status": 204}, "status 204 has no body"),
        ({"body": {}}, "`body` has a value of the wrong kind"),
        ({"body": "", "content_type": "a\r\nb: c"}, "no header may hold"),
        ({"headers": {"a b": "c"}}, "no header may hold"),
        ({"headers": {"Retry-After": "1\r\nX: y"}}, "no header may hold"),
    ],
)
async def test_a_script_that_contradicts_itself_is_refused(client: Client, given: dict[str, Any], said: str) -> None:
    rule = {"operation": "routers", "fault": "status", "status": 403, **given}
    reply = await client.control(
        "PUT", "/faults/script", [{name: value for name, value in rule.items() if value is not None}]
    )
    assert reply.status == 400
    assert said in reply.json["error"]
