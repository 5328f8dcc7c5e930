"""What a gateway or a proxy may say back of a request: its headers, its signature, its keys, in any shape."""

import base64
import html
import json
from collections.abc import Iterator
from itertools import cycle
from typing import Any
from urllib.parse import quote

from tests.e2e.secrets import SIGNATURE

MESSAGE_END = 490
"""Where a message is about to be cut: what comes next is shown in part, if it is shown."""
BODY_END = (1 << 16) - 20
"""The same of a body that is read in part only."""


def texts(access: str, secret: str, temporary: str = "", token: str = "") -> list[str]:
    """Texts that quote a request and what it was signed with."""
    signed = f"SDK-HMAC-SHA256 Access={access}, SignedHeaders=host;x-sdk-date, Signature={SIGNATURE}"
    headers = {"Authorization": signed, "X-Security-Token": temporary, "X-Auth-Token": token}
    lines = [f"{name}: {value}" for name, value in headers.items() if value]
    request = (
        f"POST|/v3/p/enterprise-router/r/flow-logs||host:h|x-security-token:{temporary}|x-auth-token:{token}||e3b0"
    )
    bare = " and ".join(filter(None, (access, secret, temporary, token)))
    return [
        f"verify aksk signature fail: canonicalRequest: {request}|authorization: {signed}",
        f"{access}|{request}|authorization: {signed}|{token}",
        f"not known here: {bare}",
        f"Get secretKey failed,ak:{access},sk:{secret},token={token or temporary},err:ak not exist",
        "\r\n".join(lines),
        json.dumps({"headers": headers, "who": [access, secret]}),
        quote("&".join(lines) + f"&who={bare}", safe=""),
        html.escape(f"<pre>{bare}</pre>"),
        "x" * (MESSAGE_END - len(bare) // 2) + bare,
    ]


def bodies(text: str, code: str = "APIGW.0301") -> list[tuple[str, str]]:
    """A text in every shape of an error, with its content type."""
    kind = "application/json"
    return [
        (json.dumps({"error_code": code, "error_msg": text, "request_id": text}), kind),
        (json.dumps({"error": {"code": code, "message": text, "title": text}}), kind),
        (json.dumps({"errorCode": code, "errorMsg": text, "requestId": text}), kind),
        (json.dumps({"code": text, "message": "no"}), kind),
        (json.dumps({"error_code": code, "details": [text], "encoded_authorization_message": text}), kind),
        (f"<html><head><title>{text}</title></head><body>{text}</body></html>", "text/html"),
        ("x" * (BODY_END - len(text) // 2) + text, "text/plain"),
        (f'{{"error_code": "{code}", "error_msg": "{text}', kind),
    ]


def header_safe(text: str) -> str:
    """A text without what no header may hold."""
    return "".join(character for character in text if character.isprintable())


def rules(operation: str, statuses: tuple[int, ...], *said: str) -> Iterator[dict[str, Any]]:
    """A fault for each text and shape: the statuses in turn, the text in the body and in the headers too."""
    status = cycle(statuses)
    for text in said:
        for body, kind in bodies(text):
            headers = {"X-Request-Id": header_safe(text), "Location": f"https://h.example/{header_safe(text)}"}
            yield {
                "operation": operation,
                "fault": "status",
                "status": next(status),
                "body_base64": base64.b64encode(body.encode()).decode(),
                "content_type": kind,
                "headers": headers,
                "times": None,
            }
