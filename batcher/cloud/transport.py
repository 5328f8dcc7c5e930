"""Requests over HTTP/1.1: one exchange in, one value out, the only place that knows aiohttp's exceptions.

A call ends as an `Answer` (whole, of whatever status) or as `NoAnswer`. The one thing that matters about a
`NoAnswer` is whether the provider can have seen the request: `sent` is False only for what fails before the
first byte of it (name, route, connect, TLS, no free connection), and True for everything else, known or not.
Nothing is repeated for a POST; aiohttp itself repeats a GET, PUT or DELETE once where a kept-alive connection
turns out closed.
"""

import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import NamedTuple

from aiohttp import (
    ClientConnectorCertificateError,
    ClientConnectorDNSError,
    ClientConnectorError,
    ClientError,
    ClientPayloadError,
    ClientResponse,
    ClientResponseError,
    ClientSession,
    ClientSSLError,
    ClientTimeout,
    ConnectionTimeoutError,
    DummyCookieJar,
    InvalidURL,
    NonHttpUrlClientError,
    ServerDisconnectedError,
    TCPConnector,
)
from yarl import URL

from batcher.version import __version__

ANSWER_BYTES_MAX = 16 << 20
"""A page of 2,000 flow logs is about 1.3 MB; ten times that is a lie or another service."""
URLS_MAX = 1024
"""Parsed URLs kept: creates repeat one URL a router; a URL costs about 1 kB."""
KEEPALIVE_S = 15.0
"""Idle connections are dropped before the usual 60 s of a gateway, so that few turn out closed."""
DNS_S = 60
"""How long a resolved name is believed: a provider moves its gateways by DNS."""
CEIL_S = 3600.0
"""Time limits below this are kept to the millisecond instead of being rounded up to whole seconds."""
MESSAGE_CHARACTERS_MAX = 300

_BODILESS_SKIPS = ("Content-Type",)
"""aiohttp types even a body that is not there; only asked where it matters, for it costs 3 % of a request."""

USER_AGENT = f"batcher/{__version__}"

NO_ANSWER = "BATCHER.NoAnswer"
UNREACHABLE = "BATCHER.Unreachable"
BAD_ANSWER = "BATCHER.BadAnswer"


class Answer(NamedTuple):
    """What came back, whole and decompressed; `headers` are looked up in any case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """No usable answer came. `sent` False: the request cannot have reached the provider.

    `fatal`: the other side's TLS certificate was refused, so nothing may be sent there at all.
    """

    code: str
    message: str
    sent: bool
    fatal: bool = False


class Transport:
    """A pool of connections. Made by `open_transport`, and usable while that is open."""

    def __init__(self, session: ClientSession, answer_bytes_max: int) -> None:
        self._session = session
        self._answer_bytes_max = answer_bytes_max
        self._url = lru_cache(maxsize=URLS_MAX)(partial(URL, encoded=True))

    async def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Answer | NoAnswer:
        """Make one request with exactly this URL, these headers and these bytes; redirects are not followed.

        `url` must be percent-encoded already, and a body needs its `Content-Type`. Raises nothing for
        what the network or the other side does; cancelled, the request may or may not have been sent, and its
        connection is closed.
        """
        try:
            response = await self._session.request(
                method,
                self._url(url),
                headers=headers,
                data=body or None,
                allow_redirects=False,
                skip_auto_headers=None if body else _BODILESS_SKIPS,
            )
            length = response.content_length
            if length is None or "Content-Encoding" in response.headers:
                content = await self._read(response)
            elif length <= self._answer_bytes_max:
                # Gives the connection back, or closes it where this fails; `async with` costs 2 % of a request.
                content = await response.read()
            else:
                response.close()
                content = None
        except (ClientError, OSError, TimeoutError) as error:
            return _no_answer(error)
        if content is None:
            message = f"the answer is larger than {self._answer_bytes_max} bytes"
            return NoAnswer(BAD_ANSWER, message, sent=True)
        return Answer(response.status, response.headers, content)

    async def _read(self, response: ClientResponse) -> bytes | None:
        """A body of unknown size, or None where it is too large; the rest is then dropped with its connection."""
        size, chunks = 0, []
        async with response:
            while chunk := await response.content.readany():
                size += len(chunk)
                if size > self._answer_bytes_max:
                    response.close()
                    return None
                chunks.append(chunk)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)


@asynccontextmanager
async def open_transport(
    *,
    connections_max: int,
    connect_timeout_s: float,
    answer_timeout_s: float,
    answer_bytes_max: int = ANSWER_BYTES_MAX,
) -> AsyncIterator[Transport]:
    """A pool of at most `connections_max` kept-alive connections with verified TLS, closed on leaving.

    `connect_timeout_s` covers the wait for a free connection, the name, the connect and TLS; an exchange as a
    whole ends after the sum of both, however much of the answer has come by then.
    Proxies, `.netrc` and cookies are not used.
    """
    connector = TCPConnector(
        limit=connections_max,
        ssl=ssl.create_default_context(),
        keepalive_timeout=KEEPALIVE_S,
        ttl_dns_cache=DNS_S,
    )
    timeout = ClientTimeout(
        total=connect_timeout_s + answer_timeout_s, connect=connect_timeout_s, ceil_threshold=CEIL_S
    )
    # The three headers that aiohttp would else choose itself: given, they cost less than `skip_auto_headers`.
    headers = {"User-Agent": USER_AGENT, "Accept": "application/json", "Accept-Encoding": "gzip, deflate"}
    async with ClientSession(
        connector=connector,
        timeout=timeout,
        headers=headers,
        cookie_jar=DummyCookieJar(),
        trust_env=False,
    ) as session:
        yield Transport(session, answer_bytes_max)


# In order, subclasses first: exception, code, what happened, and whether the request may have been sent.
_CAUSES: tuple[tuple[type[Exception], str, str, bool], ...] = (
    (ClientConnectorCertificateError, UNREACHABLE, "the TLS certificate was refused", False),
    (ClientSSLError, UNREACHABLE, "the TLS handshake failed", False),
    (ClientConnectorDNSError, UNREACHABLE, "the host name could not be resolved", False),
    (ClientConnectorError, UNREACHABLE, "no connection", False),
    (ConnectionTimeoutError, UNREACHABLE, "no connection within the time allowed", False),
    (InvalidURL, UNREACHABLE, "the URL cannot be used", False),
    (NonHttpUrlClientError, UNREACHABLE, "the URL cannot be used", False),
    (ClientResponseError, BAD_ANSWER, "the answer is not HTTP", True),
    (ClientPayloadError, NO_ANSWER, "the answer was cut short or garbled", True),
    (ServerDisconnectedError, NO_ANSWER, "the connection was closed before an answer came", True),
    (TimeoutError, NO_ANSWER, "no answer within the time allowed", True),
)


def _no_answer(error: Exception) -> NoAnswer:
    """Translate an exception. What is not known to come before the first byte counts as sent."""
    fatal = isinstance(error, ClientConnectorCertificateError)
    for cause, code, what, sent in _CAUSES:
        if isinstance(error, cause):
            return NoAnswer(code, _text(what, _detail(error)), sent=sent, fatal=fatal)
    return NoAnswer(NO_ANSWER, _text("the connection was lost", _detail(error)), sent=True)


def _detail(error: Exception) -> str:
    """What the exception adds to its class; never its own text, which may hold URLs and memory addresses."""
    if isinstance(error, ClientConnectorCertificateError):
        reason = getattr(error.certificate_error, "verify_message", "") or "it is not valid"
        return f"{error.host}:{error.port}: {reason}"
    if isinstance(error, ClientConnectorError):
        return f"{error.host}:{error.port}: {error.os_error.strerror or error.os_error}"
    if isinstance(error, ClientResponseError):
        return error.message
    return error.strerror or "" if isinstance(error, OSError) else ""


def _text(what: str, detail: str) -> str:
    """One line of bounded length."""
    line = " ".join(detail.split())
    return f"{what}: {line}"[:MESSAGE_CHARACTERS_MAX] if line else what
