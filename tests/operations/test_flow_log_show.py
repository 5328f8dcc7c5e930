"""A flow log that is asked for by its id: what is there, what is said not to be, and what proves neither."""

from typing import Any

import pytest

from batcher.cloud.client import Reply
from batcher.model import Applied, Kind, Refused, Remote, Shown, Stops
from tests.operations.test_flow_log import LANE, listed, remote, scripted
from tests.operations.wishes import ROUTER, wish


def refusal(status: int | None, code: str, kind: Kind = Kind.PERMANENT) -> Refused:
    return Refused(kind, Stops.ROW, code, "no", http_status=status, request_id="req-1")


def found(**known: Any) -> Reply:
    return Reply(200, {"flow_log": listed(**known), "request_id": "req-1"}, "req-1")


async def shown_by(answer: Reply | Refused) -> Shown | Refused:
    operation, _ = scripted(answer)
    return await operation.show(LANE, ROUTER, "fl-1")


async def test_what_is_there_is_shown_as_a_listing_shows_it() -> None:
    operation, client = scripted(found())
    fields = {"name": "n", "description": None, "enabled": True}
    remote = Remote(wish().key, "fl-1", "available", True, 1_713_513_600.0, fields)
    assert await operation.show(LANE, ROUTER, "fl-1") == Shown(remote, 200)
    (call,) = client.calls
    assert (call.lane, call.method, call.tail) == (LANE, "GET", f"/{ROUTER}/flow-logs/fl-1")
    assert (call.body, call.token, list(call.query)) == (b"", None, [])


@pytest.mark.parametrize("state", ["pending", "available", "failed", "deleting", "deleted"])
async def test_a_state_is_told_and_not_judged(state: str) -> None:
    shown = await shown_by(found(state=state))
    assert isinstance(shown, Shown)
    assert shown.remote is not None
    assert shown.remote.state == state


# That there is none is said with 404 and a code of the service's own, or with that code and 400 ("Error Codes").
@pytest.mark.parametrize(
    ("status", "code"), [(400, "ER.04008501"), (404, "ER.04008501"), (404, "ER.04048001"), (404, "ER.04048501")]
)
async def test_that_there_is_none_is_said_by_the_service_itself(status: int, code: str) -> None:
    assert await shown_by(refusal(status, code)) == Shown(None, status)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (404, "HTTP.404"),  # a proxy's page
        (404, "APIGW.0101"),  # there is no such API
        (404, "ER.04041001"),  # there is no such router
        (404, "BATCHER.BadAnswer"),
        (400, "ER.04048001"),
        (400, "ER.04009005"),
        (403, "APIGW.0401"),
        (429, "APIGW.0308"),
        (503, "HTTP.503"),
        (None, "BATCHER.NoAnswer"),
    ],
)
async def test_a_404_of_another_kind_and_any_other_refusal_prove_nothing(status: int | None, code: str) -> None:
    refused = refusal(status, code, Kind.TRANSIENT)
    assert await shown_by(refused) == refused


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"flow_log": None},
        {"flow_log": []},
        {"flow_log": {}},
        {"flow_log": listed(id="fl-2")},
        {"flow_log": listed(id=None)},
        {"flow_log": listed(id="../fl-1")},
        {"flow_log": listed(state=None)},
        {"flow_log": listed(resource_id=7)},
        {"flow_logs": [listed()]},
    ],
)
async def test_another_flow_log_and_what_cannot_be_read_are_bad_answers(body: dict[str, Any]) -> None:
    refused = await shown_by(Reply(200, body, "req-1"))
    assert isinstance(refused, Refused)
    assert (refused.code, refused.request_id) == ("BATCHER.BadAnswer", "req-1")


async def test_what_is_not_there_any_more_is_as_good_as_deleted() -> None:
    for answer, is_gone in ((refusal(400, "ER.04008501"), True), (refusal(404, "APIGW.0101"), False)):
        operation, _ = scripted(answer)
        answered = await operation.remove(LANE, wish().spec, remote())
        gone = Applied("fl-1", "deleted", None, True, 400, "req-1")
        assert answered == (gone if is_gone else answer)
