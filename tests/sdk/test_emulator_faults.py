"""Scripted faults as the official SDK meets them: error bodies of every shape, and answers that never arrive whole.

What the SDK makes of each body is its own doing (huaweicloudsdkcore 3.1.219, `exceptions/exception_handler.py`).
"""

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from huaweicloudsdkcore.exceptions.exceptions import (
    ClientRequestException,
    ConnectionException,
    ServerResponseException,
    ServiceResponseException,
)
from huaweicloudsdkcore.retry.backoff_strategy import BackoffStrategies

from tests.emulator.client import some_id
from tests.emulator.official import Cloud, cloud, create_request

pytestmark = pytest.mark.filterwarnings("ignore:Unable to convert string to datetime:ImportWarning")

TOKEN = "46436810-d999-454c-bd85-e515fd258600"
DENIED = {"error_code": "ER.1", "error_msg": "denied"}
RAW = "what came, as it came"
"""Stands for a message that is the whole body, where the SDK finds no better one."""

# The body, then the code and the message that the SDK gives; None for the code is the status as text.
SHAPES: dict[str, tuple[object, object, str]] = {
    "flat": ({**DENIED, "request_id": "in-the-body"}, "ER.1", "denied"),
    "nested": ({"error": DENIED}, "ER.1", "denied"),
    "nested code and message": ({"error": {"code": "X.1", "message": "denied"}}, "X.1", "denied"),
    "camel": ({"errorCode": "CC.1", "errorMsg": "denied"}, "CC.1", "denied"),
    "container engine": ({"errorCode": "CCE.1", "errorMessage": "denied"}, None, RAW),
    "code and message": ({"code": "VPC.1", "message": "denied"}, "VPC.1", "denied"),
    "keystone": ({"error": {"code": 401, "message": "denied", "title": "Unauthorized"}}, 401, "denied"),
    "page": ("<html><body>502</body></html>", None, RAW),
    "empty": ("", None, RAW),
    "list": ([DENIED], None, RAW),
    "half": ('{"error_code": "ER.1"', None, RAW),
}


@pytest.fixture
def emulated() -> Iterator[Cloud]:
    with cloud() as found:
        yield found


def answered(emulated: Cloud, status: int, **answer: Any) -> Any:
    """What a create gives when the cloud answers so and does nothing."""
    emulated.script({"operation": "create", "fault": "status", "status": status, **answer})
    return emulated.client().create_flow_log(create_request())


@pytest.mark.parametrize("status", [400, 401, 403, 409, 500, 502])
@pytest.mark.parametrize("shape", SHAPES)
def test_an_error_body_of_each_shape(emulated: Cloud, shape: str, status: int) -> None:
    body, code, message = SHAPES[shape]
    text = body if isinstance(body, str) else json.dumps(body)
    with pytest.raises(ServiceResponseException) as caught:
        answered(emulated, status, body=text, headers={"X-Request-Id": "in-the-header"})
    error = caught.value
    assert type(error) is (ClientRequestException if status < 500 else ServerResponseException)
    assert error.status_code == status
    assert error.error_code == (str(status) if code is None else code)
    assert error.error_msg == (text if message == RAW else message)
    assert error.request_id == "in-the-header"
    assert error.encoded_auth_msg is None


def test_a_denial_keeps_its_encoded_message(emulated: Cloud) -> None:
    with pytest.raises(ClientRequestException) as caught:
        answered(emulated, 403, body=json.dumps({**DENIED, "encoded_authorization_message": "XYZ"}))
    assert (caught.value.error_code, caught.value.encoded_auth_msg) == ("ER.1", "XYZ")


def test_a_body_that_is_no_text_gives_the_status_as_code(emulated: Cloud) -> None:
    content = base64.b64encode(b"\xff\xfe{ broken \x80").decode()
    with pytest.raises(ServerResponseException) as caught:
        answered(emulated, 502, body_base64=content, content_type="text/html; charset=utf-8")
    assert caught.value.error_code == "502"
    assert "broken" in caught.value.error_msg


def test_an_error_of_the_cloud_itself_carries_one_request_id(emulated: Cloud) -> None:
    with pytest.raises(ServerResponseException) as caught:
        answered(emulated, 503, code="ER.05039006", message="later")
    error = caught.value
    assert (error.status_code, error.error_code, error.error_msg) == (503, "ER.05039006", "later")
    assert error.request_id


@pytest.mark.parametrize("status", [202, 200, 307])
@pytest.mark.parametrize("text", ["{}", "accepted"])
def test_the_sdk_takes_an_answer_without_flow_log_for_a_success(emulated: Cloud, status: int, text: str) -> None:
    answer = answered(emulated, status, body=text, headers={"Location": "/elsewhere"})
    assert (answer.status_code, answer.flow_log) == (status, None)
    assert emulated.statistics()["calls"] == {"create": 1}


@pytest.mark.parametrize(("fault", "made"), [("lost_before", 0), ("lost_after", 1)])
def test_a_lost_answer_is_a_connection_error(emulated: Cloud, fault: str, made: int) -> None:
    emulated.script({"operation": "create", "fault": fault})
    with pytest.raises(ConnectionException):
        emulated.client().create_flow_log(create_request())
    assert emulated.statistics()["created_total"] == made


def test_a_truncated_answer_escapes_as_an_error_of_the_transport(emulated: Cloud) -> None:
    emulated.script({"operation": "create", "fault": "truncated_after"})
    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="IncompleteRead"):
        emulated.client().create_flow_log(create_request())
    assert emulated.statistics()["created_total"] == 1


def test_no_answer_in_time_escapes_as_an_error_of_the_transport(emulated: Cloud) -> None:
    emulated.script({"operation": "create", "fault": "hang"})
    with pytest.raises(requests.exceptions.ReadTimeout):
        emulated.client(timeout=(5.0, 0.2)).create_flow_log(create_request())
    assert emulated.statistics()["created_total"] == 1


def test_the_sdks_repeated_create_with_its_token_makes_one_flow_log(emulated: Cloud) -> None:
    emulated.script({"operation": "create", "fault": "error_after", "times": 2})
    invoker = emulated.client().create_flow_log_invoker(create_request(token=TOKEN))
    strategy = BackoffStrategies.NONE
    answer = invoker.with_retry(lambda _, error: isinstance(error, ServerResponseException), 3, strategy).invoke()
    assert (answer.status_code, answer.flow_log.resource_id) == (202, some_id(1))
    found = emulated.statistics()
    assert found["answers"] == {"create": {"500": 2, "202": 1}}
    assert (found["created_total"], found["keys_with_two_tokens"]) == (1, [])
