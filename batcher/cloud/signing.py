"""SDK-HMAC-SHA256, the provider's request signature, held to the official SDK by six recorded vectors.

    canonical      = METHOD \\n path/ \\n query \\n (name:value \\n)* \\n names;joined \\n hex(sha256(body))
    string to sign = algorithm \\n date \\n hex(sha256(canonical))
    signature      = hex(hmac_sha256(secret key, string to sign))

Names are lower-case and sorted, values trimmed. The path of the canonical form ends with `/`, the one on the
wire need not. What is signed is what the caller passes as headers, plus `host`, `x-sdk-date` and, for temporary
keys, `x-security-token`: the set that the official SDK signs, `User-Agent` among it, so a proxy that opens TLS
and rewrites that header voids ours as it voids the SDK's. A signature is good for 15 minutes around its date, so
sign when sending, not when queueing.
(huaweicloudsdkcore 3.1.219 `signer/signer.py`; "Signing requests", api-sign-provide01, 2025-10-20.)
"""

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from urllib.parse import quote, unquote

from batcher.cloud.credentials import Credentials

ALGORITHM = "SDK-HMAC-SHA256"

_EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()
_BLOCK_BYTES = 64  # of SHA-256
_UNRESERVED = "~"
_CLIENT_TOKEN, _DATE, _AUTHORIZATION = "X-Client-Token", "X-Sdk-Date", "Authorization"


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
    return Form(credentials, method=method, host=host, path=path, query=query, headers=headers).sign(body, at)


class Form:
    """A request laid out for signing: of calls that differ in client token, body and date only, the rest is done once.

    Arguments as for `sign`; `headers` are those that stay the same. Laid out anew for each call, a signature
    takes twice as long.
    """

    __slots__ = ("_authorization", "_canonical", "_headers", "_hmac", "_is_signed")

    def __init__(
        self,
        credentials: Credentials,
        *,
        method: str,
        host: str,
        path: str,
        query: str,
        headers: Mapping[str, str],
        with_client_token: bool = False,
    ) -> None:
        """`with_client_token`: each call brings its `X-Client-Token`, which is signed too."""
        same = {**headers, "Host": host}
        if credentials.auth_token:
            same["X-Auth-Token"] = credentials.auth_token
        elif credentials.security_token:
            same["X-Security-Token"] = credentials.security_token
        self._headers: dict[str, str] = dict(same)
        self._is_signed = not credentials.auth_token
        self._hmac = _hmac_sha256(credentials.secret_key)
        lines = {name.lower(): value.strip().replace("%", "%%") for name, value in same.items()}
        if with_client_token:
            lines["x-client-token"] = "%s"
        lines["x-sdk-date"] = "%s"  # sorts after the client token, so `sign` fills both in this order
        names = ";".join(sorted(lines))
        self._authorization = f"{ALGORITHM} Access={credentials.access_key}, SignedHeaders={names}, Signature="
        slash = "" if path.endswith("/") else "/"
        start = f"{method}\n{path}{slash}\n{query}\n".replace("%", "%%")
        self._canonical = start + "".join(f"{name}:{lines[name]}\n" for name in sorted(lines)) + f"\n{names}\n%s"

    def sign(self, body: bytes, at: float, client_token: str | None = None) -> dict[str, str]:
        """All headers to send with `body` at time `at`; `client_token` where the form was made for one."""
        headers = self._headers.copy()
        if client_token is not None:
            headers[_CLIENT_TOKEN] = client_token
        if not self._is_signed:
            return headers
        date = _date(int(at))
        headers[_DATE] = date
        digest = hashlib.sha256(body).hexdigest() if body else _EMPTY_SHA256
        filled = (date, digest) if client_token is None else (client_token, date, digest)
        hashed = hashlib.sha256((self._canonical % filled).encode()).hexdigest()
        text = f"{ALGORITHM}\n{date}\n{hashed}".encode("ascii")
        headers[_AUTHORIZATION] = self._authorization + self._hmac(text)
        return headers


@lru_cache(maxsize=64)
def _hmac_sha256(secret_key: str) -> Callable[[bytes], str]:
    """HMAC-SHA256 (RFC 2104) under a key, as a function of the text, in hex.

    Both hashes have taken in the padded key already: half the time of `hmac`, which is 2 % of a request.
    """
    key = secret_key.encode()
    if len(key) > _BLOCK_BYTES:
        key = hashlib.sha256(key).digest()
    key = key.ljust(_BLOCK_BYTES, b"\0")
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in key))
    outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in key))

    def hexdigest(text: bytes) -> str:
        within, around = inner.copy(), outer.copy()
        within.update(text)
        around.update(within.digest())
        return around.hexdigest()

    return hexdigest


@lru_cache(maxsize=4)
def _date(second: int) -> str:
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(second))
