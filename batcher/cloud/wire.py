"""Bytes to meaning and back: bodies as we send them, and whatever the other side may send in return.

Errors come in many shapes, from the service, from the gateway before it and from proxies that know neither:
JSON of five spellings, nested or flat, HTML, nothing at all. Reading one never raises. What is read is bounded,
printable and redacted before anyone else sees it, for the gateway's refusals of a signature quote the request
that was signed, with the access key in it ("Incorrect IAM authentication information", api-sign-0001).
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from pydantic_core import from_json

from batcher.model import Window

MESSAGE_CHARACTERS_MAX = 500
TEXT_CHARACTERS_MAX = 200
"""How much of an answer that is no JSON is shown: enough to know a proxy's page by its title."""
CODE_CHARACTERS_MAX = 64
REQUEST_ID_CHARACTERS_MAX = 128
ERROR_BYTES_MAX = 1 << 16
"""An error that says more than this says nothing; only its head is read, as text."""
NESTING_MAX = 4
RETRY_AFTER_S_MAX = 3600.0
WINDOW_S_MAX = 86400.0

_REDACTED = "***"
_REQUEST_ID = "X-Request-Id"
_CODE_KEYS = ("error_code", "errorCode", "code")
_MESSAGE_KEYS = ("error_msg", "errorMsg", "errorMessage", "message", "error_message")

_SECRETS = (
    # The gateway's own view of the request: everything after it is headers and signatures.
    re.compile(r"(canonical[ _-]?request\W{0,4}).*", re.IGNORECASE | re.DOTALL),
    re.compile(r"((?:SDK|V11)-HMAC-\w+\s).*", re.IGNORECASE | re.DOTALL),
    re.compile(
        r"(\b(?:ak|sk|access|access[ _-]?key(?:[ _-]?id)?|secret(?:[ _-]?(?:access[ _-]?)?key)?|signature|password"
        r"|authorization|(?:x-)?(?:auth|security|subject)[ _-]?token|token)[\"']?\s*[:=]\s*[\"']?)[^\s|,;\"'}]+",
        re.IGNORECASE,
    ),
    # The shape of an access key.
    re.compile(r"()\b(?=[A-Z]*[0-9])(?=[0-9]*[A-Z])[A-Z0-9]{20}\b"),
)
_LIMIT = re.compile(
    r"limit\s*:\s*(\d{1,9})\s*,\s*time\s*:\s*(\d{1,9})\s*(millisecond|second|minute|hour|day)", re.IGNORECASE
)
_UNIT_S = {"millisecond": 0.001, "second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86400.0}
_SECONDS = re.compile(r"\d{1,12}(?:\.\d{1,6})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class ErrorBody:
    """What an answer says went wrong; `code` is empty where it names none."""

    code: str
    message: str
    request_id: str


def compact_json(value: object) -> bytes:
    """JSON without spaces and in ASCII: the same bytes for the same value, wherever it is made."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode("ascii")


def parse_json_object(body: bytes) -> dict[str, Any] | None:
    """The JSON object that a body holds, or None for anything else, be it valid JSON or not."""
    try:
        value = from_json(body)  # a fifth of the time of `json.loads`, and as strict: UTF-8 only, whole surrogate pairs
    except ValueError:
        try:
            value = json.loads(body)
        except (ValueError, RecursionError):
            return None
    return value if isinstance(value, dict) else None


def parse_error(body: bytes, headers: Mapping[str, str], secrets: Sequence[str] = ()) -> ErrorBody:
    """What an answer says went wrong, whatever its shape: bounded, printable and redacted.

    An answer that is not understood has no code, and the head of its text for a message. The request id is
    that of the header `X-Request-Id`, else of the body. `secrets` are texts known to be secret.
    """
    value = parse_json_object(body) if len(body) <= ERROR_BYTES_MAX else None
    code, message = _find_error(value, NESTING_MAX) if value is not None else ("", "")
    request_id = request_id_of(headers, value)
    limit = MESSAGE_CHARACTERS_MAX
    if not message:
        message = body[:ERROR_BYTES_MAX].decode("utf-8", "replace")
        limit = TEXT_CHARACTERS_MAX
    return ErrorBody(
        code=_printable(redact(code, secrets))[:CODE_CHARACTERS_MAX],
        message=_printable(redact(message, secrets))[:limit],
        request_id=request_id,
    )


def request_id_of(headers: Mapping[str, str], value: Mapping[str, Any] | None) -> str:
    """The provider's id of a request: the header's, which support asks for, else the body's, else empty."""
    found: object = headers.get(_REQUEST_ID)
    if not found and value is not None:
        found = value.get("request_id") or value.get("requestId")
    return _printable(found)[:REQUEST_ID_CHARACTERS_MAX] if isinstance(found, str) else ""


def redact(text: str, secrets: Sequence[str] = ()) -> str:
    """`text` without `secrets`, nor what looks like a key, a signature or the request that was signed."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, _REDACTED)
    for pattern in _SECRETS:
        text = pattern.sub(rf"\g<1>{_REDACTED}", text)
    return text


def parse_window(message: str) -> Window | None:
    """The rate limit that a throttling message names (`limit:10,time:1 minute`); None if it names no whole one."""
    found = _LIMIT.search(message)
    if found is None:
        return None
    calls, period_s = int(found[1]), int(found[2]) * _UNIT_S[found[3].lower()]
    return Window(calls, period_s) if calls and 0 < period_s <= WINDOW_S_MAX else None


def parse_retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """How long the other side asks to wait, in seconds, at most an hour; None if it does not say.

    Both forms of RFC 9110, section 10.2.3; a date that is past asks for no wait.
    """
    text = headers.get("Retry-After", "").strip()
    if _SECONDS.fullmatch(text):
        return min(float(text), RETRY_AFTER_S_MAX)
    date = parse_date(text)
    return None if date is None else min(max(date - now, 0.0), RETRY_AFTER_S_MAX)


def parse_date(text: str) -> float | None:
    """The time that an HTTP date means, in seconds since the epoch; None if it is none."""
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _find_error(value: Mapping[str, Any], depth: int) -> tuple[str, str]:
    """Code and message: of this object, or of the first object inside it that has a code."""
    code = _first(value, _CODE_KEYS)
    message = _first(value, _MESSAGE_KEYS)
    if code or depth == 0:
        return code, message
    for inner in value.values():
        if isinstance(inner, dict):
            inner_code, inner_message = _find_error(inner, depth - 1)
            if inner_code:
                return inner_code, inner_message or message
            message = message or inner_message
    return "", message


def _first(value: Mapping[str, Any], keys: Sequence[str]) -> str:
    for key in keys:
        found = value.get(key)
        if isinstance(found, str) and found.strip():
            return found.strip()
        if isinstance(found, int) and not isinstance(found, bool):
            return str(found)[:CODE_CHARACTERS_MAX]
    return ""


def _printable(text: str) -> str:
    """One line: white space as single spaces, and what no terminal should get as `?`."""
    line = " ".join(text.split())
    return line if line.isprintable() else "".join(c if c.isprintable() else "?" for c in line)
