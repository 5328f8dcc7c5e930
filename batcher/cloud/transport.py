"""Requests over HTTP/1.1: one exchange in, one value out, the only place that knows aiohttp's exceptions.

A call ends as an `Answer` (whole, of whatever status) or as `NoAnswer`. The one thing that matters about a
`NoAnswer` is whether the provider can have seen the request: `sent` is False only for what fails before the
first byte of it (name, route, connect, TLS, no free connection), and True for everything else, known or not.
Nothing is ever repeated: what aiohttp would do once for a GET, PUT or DELETE, where a kept-alive connection turns
out closed, is a call that no pace has allowed, under a signature already used (`_once`). And a kept-alive connection
on which something has come that nobody asked for is not used again: it would be read as the next request's answer.

Whether a request goes through a proxy is decided with its URL, once. To an https URL the proxy is a tunnel: what
it refuses was not sent. The environment is not read here, nor is `.netrc`, which would replace a signature.
"""

import inspect
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

import aiohttp
from aiohttp import (
    ClientConnectorCertificateError,
    ClientConnectorDNSError,
    ClientConnectorError,
    ClientError,
    ClientHandlerType,
    ClientHttpProxyError,
    ClientOSError,
    ClientPayloadError,
    ClientProxyConnectionError,
    ClientRequest,
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
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from yarl import URL

from batcher.cloud.proxy import Proxies
from batcher.cloud.trust import refusal, trusting
from batcher.errors import DependencyError
from batcher.version import __version__

if TYPE_CHECKING:
    from aiohttp.client_reqrep import ConnectionKey
    from aiohttp.tracing import Trace

AIOHTTP_TESTED = "3.14.5"
"""The version that batcher is tested with (`.ci/constraints.txt`)."""
ANSWER_BYTES_MAX = 16 << 20
"""A page of 2,000 flow logs is about 1.3 MB; ten times that is a lie or another service."""
OTHER_ANSWER_BYTES_MAX = 1 << 20
"""Of an answer to what is no GET: one flow log or an error, of which hundreds may come at a time."""
URLS_MAX = 1024
"""Parsed URLs kept, with their proxies: creates repeat one URL a router; a URL costs about 1 kB."""
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
"""What batcher calls itself, where a request's headers do not say it."""

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

    `fatal`: nothing can be sent there at all, because the other side's TLS certificate was refused or the proxy
    does not know us. `advice`: what the reader may do about it, or empty.
    """

    code: str
    message: str
    sent: bool
    fatal: bool = False
    advice: str = ""


class Transport(Protocol):
    """The way to the provider."""

    async def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Answer | NoAnswer:
        """Make one request with exactly this URL, these headers and these bytes; redirects are not followed.

        `url` must be percent-encoded already, and a body needs its `Content-Type`. Raises nothing for
        what the network or the other side does; cancelled, the request may or may not have been sent, and its
        connection is closed.
        """
        ...


class _Route(NamedTuple):
    """A URL, and the way to it."""

    url: URL
    proxy: URL | None = None
    tunnel_headers: dict[str, str] | None = None
    """For the proxy alone: to an https URL they go no farther than the request for a tunnel."""
    headers: Mapping[str, str] = {}
    """For the proxy of a plain http URL, which reads them from the request itself."""


def _route(proxies: Proxies | None, url: str) -> _Route:
    target = URL(url, encoded=True)
    proxy = proxies.of(url) if proxies is not None else None
    if proxy is None:
        return _Route(target)
    headers = {"Proxy-Authorization": proxy.authorization} if proxy.authorization else {}
    if target.scheme == "https":
        return _Route(target, URL(proxy.url), headers)
    return _Route(target, URL(proxy.url), None, headers)


class _LostError(ClientError):
    """A connection was lost, told by another name than those after which aiohttp repeats a request."""


async def _once(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
    """A middleware that keeps aiohttp from repeating a request.

    It repeats one of a repeatable method after the two errors caught here, and has no public switch for that
    (aiohttp 3.14 `client.py`).
    """
    try:
        return await handler(request)
    except (ClientOSError, ServerDisconnectedError) as error:
        raise _LostError from error


_ONCE = (_once,)


class _Connector(TCPConnector):
    """A pool that gives out no connection on which something was received since its last answer.

    aiohttp looks at that when a connection is given back, and not when it is taken again (3.14 `connector.py`).
    """

    async def _get(self, key: "ConnectionKey", traces: list["Trace"]) -> Connection | None:
        while (connection := await super()._get(key, traces)) is not None:
            if connection.protocol is None or not connection.protocol.should_close:
                return connection
            connection.close()
        return None


def check_aiohttp(
    connector: type = TCPConnector,
    session: type = ClientSession,
    connection: type = Connection,
    handler: type = ResponseHandler,
) -> None:
    """Raise `DependencyError` unless what `_Connector` and `_once` build upon is there.

    None of it is public. Where aiohttp moves it, what is built upon it would no longer be asked, and nothing would say
    so: a GET would be repeated, or a foreign answer believed. Looks at names only, some microseconds at import.
    """
    get, connect = getattr(connector, "_get", None), getattr(connector, "connect", None)
    code = getattr(get, "__code__", None)
    request = getattr(getattr(session, "_request", None), "__code__", None)
    parts = {
        "TCPConnector._get": inspect.iscoroutinefunction(get) and code is not None and code.co_argcount == 3,
        "TCPConnector.connect": "_get" in getattr(getattr(connect, "__code__", None), "co_names", ()),
        "Connection.protocol": isinstance(getattr(connection, "protocol", None), property),
        "ResponseHandler.should_close": isinstance(getattr(handler, "should_close", None), property),
        "ClientSession._request": request is not None
        and "middlewares" in request.co_varnames
        and {"build_client_middlewares", "ClientOSError", "ServerDisconnectedError"} <= set(request.co_names),
    }
    if changed := [name for name, is_as_known in parts.items() if not is_as_known]:
        raise DependencyError(
            f"aiohttp {aiohttp.__version__} is not as batcher needs it: `{'`, `'.join(changed)}` changed",
            hint=f"install the version that was tested: `pip install aiohttp=={AIOHTTP_TESTED}`",
        )


check_aiohttp()


class HttpTransport:
    """The `Transport` of real runs: a pool of connections, made by `open_transport` and usable while that is open."""

    def __init__(self, session: ClientSession, answer_bytes_max: int, proxies: Proxies | None = None) -> None:
        self._session = session
        self._answer_bytes_max = answer_bytes_max
        self._route = lru_cache(maxsize=URLS_MAX)(partial(_route, proxies))

    async def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Answer | NoAnswer:
        """Make one request."""
        route = self._route(url)
        bytes_max = self._answer_bytes_max if method == "GET" else min(self._answer_bytes_max, OTHER_ANSWER_BYTES_MAX)
        try:
            response = await self._session.request(
                method,
                route.url,
                headers={**headers, **route.headers} if route.headers else headers,
                data=body or None,
                allow_redirects=False,
                skip_auto_headers=None if body else _BODILESS_SKIPS,
                proxy=route.proxy,
                proxy_headers=route.tunnel_headers,
                middlewares=None if method == "POST" else _ONCE,
            )
            length = response.content_length
            if length is None or "Content-Encoding" in response.headers:
                content = await self._read(response, bytes_max)
            elif length <= bytes_max:
                # Gives the connection back, or closes it where this fails; `async with` costs 2 % of a request.
                content = await response.read()
            else:
                response.close()
                content = None
        except (ClientError, OSError, TimeoutError) as error:
            return _no_answer(error, route.proxy)
        if response.status == 407 and route.proxy is not None and route.url.scheme == "http":
            return _refused_by_proxy(407, route.proxy)
        if content is None:
            message = f"the answer is larger than {bytes_max} bytes"
            return NoAnswer(BAD_ANSWER, message, sent=True)
        encoding = response.headers.get("Content-Encoding", "").strip().lower()
        if encoding in _ENCODINGS:
            return Answer(response.status, response.headers, content)
        told = _text("the answer is in an encoding that was not asked for", encoding)
        if 200 <= response.status < 300:
            return NoAnswer(BAD_ANSWER, told, sent=True, advice=_ENCODING_ADVICE)
        return Answer(response.status, response.headers, told.encode())

    async def _read(self, response: ClientResponse, bytes_max: int) -> bytes | None:
        """A body of unknown size, or None where it is too large; the rest is then dropped with its connection."""
        size, chunks = 0, []
        async with response:
            while chunk := await response.content.readany():
                size += len(chunk)
                if size > bytes_max:
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
    ca_file: Path | None = None,
    proxies: Proxies | None = None,
) -> AsyncIterator[HttpTransport]:
    """A pool of at most `connections_max` kept-alive connections with verified TLS, closed on leaving.

    `connect_timeout_s` covers the wait for a free connection, the name, the connect, a proxy's tunnel and TLS; an
    exchange as a whole ends after the sum of both, however much of the answer has come by then.
    `ca_file` holds certificates that are trusted besides the system's; `ConfigError` is raised where it cannot be
    used. No proxies but those of `proxies` are used; `.netrc` and cookies never are.
    """
    connector = _Connector(
        limit=connections_max,
        ssl=trusting(ca_file),
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
        yield HttpTransport(session, answer_bytes_max, proxies)


class OpenTransport(Protocol):
    """What opens the way to the provider, as `open_transport` does."""

    def __call__(
        self,
        *,
        connections_max: int,
        connect_timeout_s: float,
        answer_timeout_s: float,
        ca_file: Path | None = None,
        proxies: Proxies | None = None,
    ) -> AbstractAsyncContextManager[Transport]:
        """A transport that is closed on leaving."""
        ...


_ENCODINGS = frozenset({"", "identity", "gzip", "deflate", "br", "zstd"})
"""What aiohttp has decoded where an answer has come of it; the last two only where their libraries are there."""
_ENCODING_ADVICE = "look what stands between: a proxy or gateway that encodes what nobody asked it to encode"
_PROXY_ADVICE = "check the proxy in `cloud.proxy` or `HTTPS_PROXY`"
_NAME_ADVICE = "check the region and the endpoint, and the name service of this machine"
_WAY_ADVICE = "check the endpoint and the way to it; `cloud.proxy` or `HTTPS_PROXY` names a proxy"

# In order, subclasses first: exception, code, what happened, whether the request may have been sent, what to do.
_CAUSES: tuple[tuple[type[Exception], str, str, bool, str], ...] = (
    (ClientConnectorCertificateError, UNREACHABLE, "the TLS certificate was refused", False, ""),
    (ClientSSLError, UNREACHABLE, "the TLS handshake failed", False, _WAY_ADVICE),
    (ClientConnectorDNSError, UNREACHABLE, "the host name could not be resolved", False, _NAME_ADVICE),
    (ClientProxyConnectionError, UNREACHABLE, "no connection to the proxy", False, _PROXY_ADVICE),
    (ClientConnectorError, UNREACHABLE, "no connection", False, _WAY_ADVICE),
    (ConnectionTimeoutError, UNREACHABLE, "no connection within the time allowed", False, ""),
    (InvalidURL, UNREACHABLE, "the URL cannot be used", False, ""),
    (NonHttpUrlClientError, UNREACHABLE, "the URL cannot be used", False, ""),
    (ClientResponseError, BAD_ANSWER, "the answer is not HTTP", True, ""),
    (ClientPayloadError, NO_ANSWER, "the answer was cut short or garbled", True, ""),
    (ServerDisconnectedError, NO_ANSWER, "the connection was closed before an answer came", True, ""),
    (TimeoutError, NO_ANSWER, "no answer within the time allowed", True, ""),
)


def _no_answer(error: BaseException | None, proxy: URL | None) -> NoAnswer:
    """Translate an exception. What is not known to come before the first byte counts as sent."""
    if isinstance(error, _LostError):
        error = error.__cause__
    if isinstance(error, ClientHttpProxyError) and proxy is not None:
        return _refused_by_proxy(error.status, proxy)
    if isinstance(error, ClientResponseError) and "decode content-encoding" in error.message:  # aiohttp's own words
        named = re.search(r"\((\w{1,20})\)", error.message)
        told = _text("the answer is in an encoding that was not asked for", named[1] if named else "")
        return NoAnswer(BAD_ANSWER, told, sent=True, advice=_ENCODING_ADVICE)
    of_proxy = isinstance(error, ClientConnectorError) and proxy is not None and error.host == proxy.host
    for cause, code, what, sent, advice in _CAUSES:
        if isinstance(error, cause):
            message = _text(what, _detail(error))
            if isinstance(error, ClientConnectorCertificateError):
                return NoAnswer(code, message, sent=sent, fatal=True, advice=refusal(error.certificate_error)[1])
            return NoAnswer(code, message, sent=sent, advice=_PROXY_ADVICE if of_proxy else advice)
    return NoAnswer(NO_ANSWER, _text("the connection was lost", _detail(error)), sent=True)


def _refused_by_proxy(status: int, proxy: URL) -> NoAnswer:
    """The proxy's own word, by its status alone: its text is for browsers."""
    name = f"{proxy.host}:{proxy.port}"
    if status == 407:
        message = f"the proxy {name} wants a user name and a password, or others (status 407)"
        advice = "put them into the variable: `HTTPS_PROXY=http://user:password@host:port`"
        return NoAnswer(UNREACHABLE, _text(message, ""), sent=False, fatal=True, advice=advice)
    advice = "ask whoever runs the proxy to let it through; `NO_PROXY` names hosts that are reached directly"
    return NoAnswer(UNREACHABLE, _text(f"the proxy {name} gave no way on: status {status}", ""), False, advice=advice)


def _detail(error: BaseException | None) -> str:
    """What the exception adds to its class; never its own text, which may hold URLs and memory addresses."""
    if isinstance(error, ClientConnectorCertificateError):
        return f"{error.host}:{error.port}: {refusal(error.certificate_error)[0]}"
    if isinstance(error, ClientConnectorError):
        said = error.os_error.strerror or str(error.os_error) or "closed by the other side"  # so a handshake ends
        return f"{error.host}:{error.port}: {said}"
    return error.strerror or "" if isinstance(error, OSError) else ""


def _text(what: str, detail: str) -> str:
    """One line of bounded length."""
    line = " ".join(detail.split())
    return (f"{what}: {line}" if line else what)[:MESSAGE_CHARACTERS_MAX]
