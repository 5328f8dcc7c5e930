"""What the emulated API says: answers, error bodies and the encoding of both.

Error bodies have the shape of Enterprise Router and of its gateway, `{"error_code", "error_msg",
"request_id"}` (OTC api-ref, appendixes/error_codes, 2025-11-11; Huawei "API signing, error codes",
2025-10-20).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

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


@dataclass(frozen=True, slots=True)
class Answer:
    """A status with its content: an object (sent as JSON), text (sent as HTML, as proxies do), or nothing."""

    status: int
    content: Mapping[str, object] | str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


def refusal(status: int, code: str, message: str) -> Answer:
    """An error answer in the provider's shape."""
    return Answer(status, {"error_code": code, "error_msg": message})


def encoded(answer: Answer, request_id: str) -> tuple[bytes, dict[str, str]]:
    """The body bytes and the headers of an answer; `X-Request-Id` is on every one."""
    headers = {"X-Request-Id": request_id, **answer.headers}
    match answer.content:
        case None:
            return b"", headers
        case str() as text:
            return text.encode(), {"Content-Type": "text/html", **headers}
        case content:
            body = json.dumps({**content, "request_id": request_id}).encode()
            return body, {"Content-Type": "application/json", **headers}
