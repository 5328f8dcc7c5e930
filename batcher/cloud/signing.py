"""SDK-HMAC-SHA256, the provider's request signature, held to the official SDK by six recorded vectors.

    canonical      = METHOD \\n path/ \\n query \\n (name:value \\n)* \\n names;joined \\n hex(sha256(body))
    string to sign = algorithm \\n date \\n hex(sha256(canonical))
    signature      = hex(hmac_sha256(secret key, string to sign))

Names are lower-case and sorted, values trimmed. The path of the canonical form ends with `/`, the one on the
wire need not. What is signed is what the caller passes as headers, plus `host`, `x-sdk-date` and, for temporary
keys, `x-security-token`; `User-Agent` stays out because proxies rewrite it, and a changed one would void the
signature. A signature is good for 15 minutes around its date, so sign when sending, not when queueing.
(huaweicloudsdkcore 3.1.219 `signer/signer.py`; "Signing requests", api-sign-provide01, 2025-10-20.)
"""

import hashlib
import hmac
import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from urllib.parse import quote, unquote

from batcher.cloud.credentials import Credentials

ALGORITHM = "SDK-HMAC-SHA256"

_EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()
_UNRESERVED = "~"


def canonical_path(path: str) -> str:
    """The path as it goes on the wire and is signed: every part percent-encoded once, `/` kept."""
    return "/".join(quote(part, safe=_UNRESERVED) for part in unquote(path).split("/"))


def canonical_query(pairs: Sequence[tuple[str, str]]) -> str:
    """The query as it goes on the wire and is signed: percent-encoded, by key and then by value."""
    return "&".join(f"{quote(key, safe=_UNRESERVED)}={quote(value, safe=_UNRESERVED)}" for key, value in sorted(pairs))


def sign(
    credentials: Credentials,
    *,
    method: str,
    host: str,
    path: str,
    query: str,
    headers: Mapping[str, str],
    body: bytes,
    at: float,
) -> dict[str, str]:
    """All headers to send: `headers` and `Host`, and what proves who sends them.

    With a key pair every one of `headers` is signed, under the date `at`; with an `auth_token` nothing is, and
    the token goes as `X-Auth-Token`. `path` and `query` are in canonical form and must be sent as they are,
    and so must `body`. `host` includes a port that is not the scheme's own.
    """
    signed = {**headers, "Host": host}
    if credentials.auth_token:
        signed["X-Auth-Token"] = credentials.auth_token
        return signed
    date = _date(int(at))
    signed["X-Sdk-Date"] = date
    if credentials.security_token:
        signed["X-Security-Token"] = credentials.security_token
    order, names = _order(tuple(signed))
    lines = "".join([f"{lower}:{signed[name].strip()}\n" for lower, name in order])
    digest = hashlib.sha256(body).hexdigest() if body else _EMPTY_SHA256
    slash = "" if path.endswith("/") else "/"
    canonical = f"{method}\n{path}{slash}\n{query}\n{lines}\n{names}\n{digest}"
    hashed = hashlib.sha256(canonical.encode()).hexdigest()
    text = f"{ALGORITHM}\n{date}\n{hashed}".encode("ascii")
    keyed = _keyed(credentials.secret_key).copy()
    keyed.update(text)
    signed["Authorization"] = (
        f"{ALGORITHM} Access={credentials.access_key}, SignedHeaders={names}, Signature={keyed.hexdigest()}"
    )
    return signed


@lru_cache(maxsize=64)
def _order(names: tuple[str, ...]) -> tuple[tuple[tuple[str, str], ...], str]:
    """Names as they are signed: (lower-case, as given) in order, and joined; a handful of sets occurs."""
    order = tuple(sorted((name.lower(), name) for name in names))
    return order, ";".join(lower for lower, _ in order)


@lru_cache(maxsize=64)
def _keyed(secret_key: str) -> hmac.HMAC:
    """An HMAC that has taken in the key: to copy it costs a third of making it, 4 % of a request."""
    return hmac.new(secret_key.encode(), digestmod="sha256")


@lru_cache(maxsize=4)
def _date(second: int) -> str:
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(second))
