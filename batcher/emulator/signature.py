"""Who may call: verification of SDK-HMAC-SHA256 signatures and of tokens, as the provider's gateway does it.

The signature covers the method, the path, the query, the headers that the client names (`host` and
`x-sdk-date` at least), and the exact bytes of the body (Huawei "API signing guide", 2025-10-20; algorithm
checked against the official Python SDK 3.1.219). Bodies that are declared unsigned are not accepted.
"""

import hashlib
import hmac
import re
from calendar import timegm
from collections.abc import Collection, Mapping
from functools import lru_cache
from urllib.parse import quote, unquote

SKEW_S_MAX = 15 * 60
"""How far `X-Sdk-Date` may lie from the gateway's clock (Huawei "API signing guide", 2025-10-20)."""

ALGORITHM = "SDK-HMAC-SHA256"
REQUIRED = frozenset({"host", "x-sdk-date"})
PREFIX = "Incorrect IAM authentication information: "
BAD_SIGNATURE = PREFIX + "verify aksk signature fail"

_AUTHORIZATION = re.compile(
    rf"{ALGORITHM} Access=(?P<access>[^,\s]+), ?SignedHeaders=(?P<signed>[^,\s]+),"
    r" ?Signature=(?P<hex>[0-9a-f]{64})"
)
_ACCESS = re.compile(r"\bAccess=([^,\s]{1,128})(?=[,\s]|$)")
_DATE = re.compile(r"(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z", re.ASCII)


def fault_of(
    method: str,
    target: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    keys: Mapping[str, str],
    auth_tokens: Collection[str],
    now: float,
) -> str | None:
    """The gateway's message for a call that is not authenticated, None for one that is.

    `target` is the request target as sent (path and query, still encoded), `headers` finds names in any case,
    `keys` maps access keys to secrets, `now` is in Unix seconds. An `X-Auth-Token` that is accepted makes a
    signature unnecessary.
    """
    token = headers.get("X-Auth-Token")
    if token is not None and token in auth_tokens:
        return None
    authorization = headers.get("Authorization")
    if authorization is None:
        return PREFIX + ("x-auth-token not found" if token is None else "decrypt token fail")
    return _signature_fault(authorization, method, target, headers, body, keys=keys, now=now)


def access_key_of(headers: Mapping[str, str]) -> str:
    """The access key that a call claims to be signed with, empty where there is none or it is no key."""
    named = _ACCESS.search(headers.get("Authorization", ""))
    return named[1] if named else ""


def _signature_fault(
    authorization: str,
    method: str,
    target: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    keys: Mapping[str, str],
    now: float,
) -> str | None:
    parts = _AUTHORIZATION.fullmatch(authorization)
    if parts is None:
        return BAD_SIGNATURE + ", Authorization header is malformed"
    if parts["access"] not in keys:
        return PREFIX + "Get secretKey failed,err:ak not exist"
    names = parts["signed"].split(";")
    if not REQUIRED.issubset(names) or any(name not in headers for name in names):
        return BAD_SIGNATURE + ", a signed header is missing"
    signed = {name: headers[name] for name in names}
    at = _seconds(signed["x-sdk-date"])
    if at is None or abs(at - now) > SKEW_S_MAX:
        return BAD_SIGNATURE + ", X-Sdk-Date is not within 15 minutes of the gateway's clock"
    expected = signature(method, target, signed, body, keys[parts["access"]])
    return None if hmac.compare_digest(expected, parts["hex"]) else BAD_SIGNATURE


def signature(method: str, target: str, signed: Mapping[str, str], body: bytes, secret: str) -> str:
    """The signature in hex over lower-case `signed` headers, which hold `x-sdk-date`."""
    path, _, query = target.partition("?")
    names = sorted(signed)
    lines = "".join(f"{name}:{signed[name].strip()}\n" for name in names)
    body_hash = hashlib.sha256(body).hexdigest()
    canonical = f"{method}\n{_path(path)}\n{_query(query)}\n{lines}\n{';'.join(names)}\n{body_hash}"
    digest = hashlib.sha256(_bytes(canonical)).hexdigest()
    return hmac.digest(_bytes(secret), _bytes(f"{ALGORITHM}\n{signed['x-sdk-date']}\n{digest}"), "sha256").hex()


@lru_cache(maxsize=1024)
def _path(path: str) -> str:
    encoded = "/".join(quote(part, safe="~") for part in unquote(path).split("/"))
    return encoded if encoded.endswith("/") else encoded + "/"


def _query(query: str) -> str:
    if not query:
        return ""
    pairs = [part.partition("=") for part in query.split("&") if part]
    decoded = sorted((unquote(name), unquote(value)) for name, _, value in pairs)
    return "&".join(f"{quote(name, safe='~')}={quote(value, safe='~')}" for name, value in decoded)


def _seconds(date: str) -> int | None:
    parts = _DATE.fullmatch(date)
    if parts is None:
        return None
    try:
        return timegm(tuple(map(int, parts.groups())))
    except ValueError:
        return None


def _bytes(text: str) -> bytes:
    # Header bytes that are not UTF-8 reach us as surrogates; they must hash as they came.
    return text.encode("utf-8", "surrogateescape")
