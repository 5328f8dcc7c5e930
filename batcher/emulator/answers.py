"""What the emulated APIs say: answers, error bodies and the encoding of both.

Error bodies of Enterprise Router and of the gateway are `{"error_code", "error_msg", "request_id"}` (OTC api-ref,
appendixes/error_codes, 2025-11-11; Huawei "API signing, error codes", 2025-10-20); LTS gives no `request_id` (LTS
"Error Codes", 2025-11); those of IAM are Keystone's, `{"error": {"code", "message", "title"}}` (IAM "Status Codes").
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from http import HTTPStatus
from wsgiref.handlers import format_date_time

INVALID = "ER.04009005"
DUPLICATE = "ER.04008503"
BEING_OPERATED = "ER.04008502"
NO_FLOW_LOG = "ER.04008501"
KIND_NOT_SUPPORTED = "ER.04008500"
QUOTA_USED_UP = "ER.04009008"
NO_QUOTA_TYPE = "ER.04009009"
FROZEN = "ER.04009011"
ROUTER_BUSY = "ER.04001003"
ATTACHMENT_BUSY = "ER.04004003"
NO_ROUTER = "ER.04041001"
NO_ATTACHMENT = "ER.04044001"
UNAVAILABLE = "ER.05039006"
THROTTLED = "APIGW.0308"
NOT_AUTHENTICATED = "APIGW.0301"
NOT_PUBLISHED = "APIGW.0101"
TOO_LARGE = "APIGW.0201"
LTS_INVALID = "LTS.0009"
LTS_INTERNAL = "LTS.0010"
NO_LOG_GROUP = "LTS.0201"


@dataclass(frozen=True, slots=True)
class Answer:
    """A status with its content: an object (sent as JSON), text (sent as HTML, as proxies do), bytes, or nothing.

    Bytes go out as they are, with `content_type`. An object gets a `request_id`, unless it is `bare`.
    """

    status: int
    content: Mapping[str, object] | str | bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    bare: bool = False
    content_type: str = "application/json"


def refusal(status: int, code: str, message: str) -> Answer:
    """An error answer in the shape of Enterprise Router and of the gateway."""
    return Answer(status, {"error_code": code, "error_msg": message})


def lts_refusal(status: int, code: str, message: str) -> Answer:
    """An error answer in the shape of LTS."""
    return Answer(status, {"error_code": code, "error_msg": message}, bare=True)


def iam_refusal(status: int, message: str) -> Answer:
    """An error answer in the shape of IAM, which is Keystone's: the code is the status, a number."""
    error = {"code": status, "message": message, "title": HTTPStatus(status).phrase}
    return Answer(status, {"error": error}, bare=True)


def encoded(answer: Answer, request_id: str, at: float) -> tuple[bytes, dict[str, str]]:
    """The body bytes and the headers of an answer that leaves at `at`, in Unix seconds by the gateway's clock.

    `X-Request-Id` and `Date` are on every one; what the answer itself says of a header comes first.
    """
    headers = {"X-Request-Id": request_id, "Date": _date(int(at))}
    match answer.content:
        case None:
            body = b""
        case bytes() as body:
            headers["Content-Type"] = answer.content_type
        case str() as text:
            body = text.encode()
            headers["Content-Type"] = "text/html"
        case content:
            body = json.dumps({**content, **({} if answer.bare else {"request_id": request_id})}).encode()
            headers["Content-Type"] = answer.content_type
    own = {name.lower() for name in answer.headers}
    return body, {name: text for name, text in headers.items() if name.lower() not in own} | dict(answer.headers)


@lru_cache(maxsize=16)
def _date(second: int) -> str:
    return format_date_time(second)
