"""Bytes to meaning and back: bodies as we send them, and whatever the other side may send in return.

Errors come in many shapes, from the service, from the gateway before it and from proxies that know neither:
JSON of five spellings, nested or flat, HTML, nothing at all. Reading one never raises. What is read is bounded,
printable and redacted before anyone else sees it, for the gateway's refusals of a signature quote the request
that was signed, with the access key in it ("Incorrect IAM authentication information", api-sign-0001).
"""

import html
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import lru_cache
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
_FORM_CHARACTERS_MAX = 28
"""A character of a secret is written with no more than these: four bytes, percent-encoded three times over."""
COUNT_MAX = 1 << 53
"""What every JSON reader takes for a whole number; no count of things comes near."""
RETRY_AFTER_S_MAX = 3600.0
WINDOW_S_MAX = 86400.0

_REDACTED = "***"
_USUAL_ID = re.compile(r"[0-9a-f-]{16,64}")
_REQUEST_IDS = ("X-Request-Id", "X-IAM-Trace-Id")
"""Of the gateway; of the identity service where it is called without one (api-sign-errorcode, iam_30_0001)."""
_CODE_KEYS = ("error_code", "errorCode", "code")
_MESSAGE_KEYS = ("error_msg", "errorMsg", "errorMessage", "message", "error_message")
_ENCODED = re.compile(rb"encoded_?authorization_?message", re.IGNORECASE)
_ENCODED_SHOWN = "(an encoded authorization message is in the answer)"

# What stands around a value: quotes as they are, escaped, or encoded; `:` or `=`. Every repetition in these patterns
# is bounded, and none can start inside the run that another start has to read: a hostile text costs linear time.
_QUOTE = r"(?:\\{0,3}[\"']|&quot;|&\#0?3[49];|%22|%27)?"
_IS = rf"{_QUOTE}\s{{0,9}}(?:[:=]|%3A|%3D)(?:\s|%20){{0,9}}{_QUOTE}"
_NAME = r"(?<![A-Za-z_-])"
_SECRETS = (
    # The gateway's own view of the request: everything after it is headers and signatures.
    re.compile(r"(canonical[ _-]?request\W{0,4}).*", re.IGNORECASE | re.DOTALL),
    re.compile(r"((?:SDK|V11)-(?:HMAC|ECDSA|SM2)-[A-Z0-9-]{1,32}[^A-Z0-9-]).*", re.IGNORECASE | re.DOTALL),
    # Its value may hold spaces: `Basic dXNl...`.
    re.compile(rf"({_NAME}(?:proxy-)?authorization{_IS})[^\s\"'|][^\"'|\r\n]*", re.IGNORECASE),
    re.compile(
        rf"({_NAME}(?:[a-z_-]{{0,24}}[_-])?(?:ak|sk|access(?=\s{{0,9}}(?:=|%3D)))"
        rf"|{_NAME}[a-z_-]{{0,24}}(?:token|secret|passw(?:or)?d|signature|credential|access[ _-]?key"
        rf"|secret[ _-]key|encoded_?authorization_?message)(?:[a-z_-]{{0,12}}| id))"
        rf"({_IS})[^\s|,;\"'}}]+",
        re.IGNORECASE,
    ),
    # The shape of an access key.
    re.compile(r"()(?<![A-Za-z0-9])(?=[A-Z]{0,19}[0-9])(?=[0-9]{0,19}[A-Z])[A-Z0-9]{20}(?![A-Za-z0-9])"),
    # The shape of a token of the identity service: a signed message (CMS) in base64.
    re.compile(r"()(?<![A-Za-z0-9+/])MII[A-Za-z0-9+/=_-]{80,}"),
)
_LIMIT = re.compile(
    r"limit\s*:\s*(\d{1,9})\s*,\s*time\s*:\s*(\d{1,9})\s*(millisecond|second|minute|hour|day)",
    re.IGNORECASE | re.ASCII,  # else a long s is an s, and a unit that nobody knows
)
_UNIT_S = {"millisecond": 0.001, "second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86400.0}
_PLAIN = re.compile(r"[A-Za-z0-9._~-]+")
"""Characters that nobody encodes (unreserved, RFC 3986, section 2.3)."""
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
    """The JSON object that a body holds, or None for anything else, be it valid JSON or not.

    Half a surrogate pair, which nothing else can hold, becomes a question mark.
    """
    try:
        value = from_json(body)  # a fifth of the time of `json.loads`, and as strict: UTF-8 only, whole surrogate pairs
    except ValueError:
        try:
            value = from_json(json.dumps(json.loads(body), ensure_ascii=False).encode("utf-8", "replace"))
        except (ValueError, RecursionError):
            return None
    return value if isinstance(value, dict) else None


def count_of(value: object) -> int | None:
    """A count that the other side gives; None for what is none."""
    return value if type(value) is int and 0 <= value <= COUNT_MAX else None


def parse_error(body: bytes, headers: Mapping[str, str], secrets: Sequence[str] = ()) -> ErrorBody:
    """What an answer says went wrong, whatever its shape: bounded, printable and redacted.

    An answer that is not understood has no code, and the head of its text for a message. An encoded authorization
    message is long and opaque, and is not shown. The request id is that of the header `X-Request-Id` or
    `X-IAM-Trace-Id`, else of the body. `secrets` are texts known to be secret.
    """
    is_whole = len(body) <= ERROR_BYTES_MAX
    value = parse_json_object(body) if is_whole else None
    code, message = _find_error(value, NESTING_MAX) if value is not None else ("", "")
    if not message and value is not None and _ENCODED.search(body):
        message = _ENCODED_SHOWN
    if message:
        message = shown(message, MESSAGE_CHARACTERS_MAX, secrets)
    else:
        # What is cut off may be the end of a secret, so the length of one before the cut is not shown.
        margin = 0 if is_whole else max(map(_written_max, secrets), default=0)
        text = redact(body[: ERROR_BYTES_MAX + margin].decode("utf-8", "replace"), secrets)
        message = _line(text[: max(len(text) - margin, 0)], TEXT_CHARACTERS_MAX)
    return ErrorBody(
        code=shown(code, CODE_CHARACTERS_MAX, secrets),
        message=message,
        request_id=request_id_of(headers, value, secrets),
    )


def request_id_of(headers: Mapping[str, str], value: Mapping[str, Any] | None, secrets: Sequence[str] = ()) -> str:
    """The provider's id of a request: the header's, which support asks for, else the body's, else empty."""
    found: object = next((headers[name] for name in _REQUEST_IDS if headers.get(name)), None)
    if not found and value is not None:
        found = value.get("request_id") or value.get("requestId")
    if not isinstance(found, str):
        return ""
    if _USUAL_ID.fullmatch(found) and not any(secret in found for secret in secrets):
        return found  # asked at every call: what follows takes ten times as long
    text = _line(redact(found, secrets), REQUEST_ID_CHARACTERS_MAX)
    return text if " " not in text else ""  # an id is one word; what is more may quote anything


def shown(text: str, characters_max: int, secrets: Sequence[str] = ()) -> str:
    """`text` as a person may see it: redacted, then one printable line of at most `characters_max`."""
    return _line(redact(text, secrets), characters_max)


def redact(text: str, secrets: Sequence[str] = ()) -> str:
    """`text` without `secrets`, nor what looks like a key, a signature or the request that was signed.

    Known secrets are found as they are, percent-encoded, and as JSON or HTML write them.
    """
    text = _without(text, secrets)
    for pattern in _SECRETS:
        text = pattern.sub(_blank, text)
    return text


def _without(text: str, secrets: Sequence[str]) -> str:
    known = _known(tuple(secrets))
    return text if known is None else known.sub(_REDACTED, text)


def _blank(found: re.Match[str]) -> str:
    return "".join(found.groups()) + _REDACTED


def _written_max(secret: str) -> int:
    """How long a secret can be when it is written out, in characters."""
    plain = sum(map(len, _PLAIN.findall(secret)))
    return plain + _FORM_CHARACTERS_MAX * (len(secret) - plain)


@lru_cache(maxsize=64)
def _known(secrets: tuple[str, ...]) -> re.Pattern[str] | None:
    """Any of the secrets, as it is or encoded, the longest first: one may be a part of another.

    Nothing in an encoded form is tried twice (atomic groups): who was sent a token can send half of it back, and
    with a choice at each of its characters the time would double with each.
    """
    forms = []
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        forms.append(re.escape(secret))
        if _PLAIN.fullmatch(secret) is None:
            forms.append("".join(map(_encoded, re.findall(r"\\+|[^\\]", secret))))
    return re.compile("|".join(forms)) if forms else None


def _encoded(part: str) -> str:
    """How a character of a secret, or a run of backslashes, may be written by one who encodes it or need not."""
    if _PLAIN.fullmatch(part):
        return re.escape(part)
    character = part[0]
    percent = "".join(f"%(?:25){{0,2}}{byte:02x}" for byte in character.encode("utf-8", "surrogatepass"))
    forms = {percent, rf"&\#0{{0,3}}{ord(character)};", rf"&\#x0{{0,3}}{ord(character):x};"}
    forms.add("".join(rf"\\{{1,4}}{unit}" for unit in _json_units(character)))
    if html.escape(character) != character:
        forms.add(html.escape(character))
    if character == "\\":
        return rf"(?>(?i:{'|'.join(sorted(forms))}){{{len(part)}}}|\\{{{len(part)},{4 * len(part)}}})"
    plain = r"(?:\s+|\+)" if character.isspace() else rf"\\{{0,4}}{re.escape(character)}"
    return rf"(?>(?i:{'|'.join(sorted(forms))})|{plain})"


def _json_units(character: str) -> list[str]:
    """What follows each backslash where JSON writes a character as code units: `u002b`, or a surrogate pair."""
    units = character.encode("utf-16-be", "surrogatepass")
    return [f"u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2)]


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


def _line(text: str, characters_max: int) -> str:
    """One line: white space as single spaces, what no terminal should get as `?`, and no longer than allowed."""
    line = " ".join(text.split())[:characters_max]
    return line if line.isprintable() else "".join(c if c.isprintable() else "?" for c in line)
