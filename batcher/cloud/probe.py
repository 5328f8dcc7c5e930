"""How far one gets towards an endpoint: name, connection, tunnel, TLS. For `doctor`; no request is made, no key shown.

Streams of asyncio instead of the transport's pool: the pool tells what failed, but not what was there before.
"""

import asyncio
import os
import socket
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from batcher.cloud.endpoints import bracketed, check_endpoint
from batcher.cloud.proxy import Proxy
from batcher.cloud.trust import refusal, trusting

CERTIFICATE_DAYS_MIN = 14
"""A certificate that ends sooner is worth a word: a run of a million rows may take days, a renewal as long."""
CLOSE_S = 0.5
"""For the other side's farewell, which changes nothing any more."""
ADDRESSES_MAX = 8
"""Addresses told; a name that has more is spread widely, and more would tell no one anything."""
FAILURE_CHARACTERS_MAX = 300
DAY_S = 86_400.0

_RESOLVE = "the name cannot be resolved"
_CONNECT = "no connection"
_TLS = "the TLS handshake failed"
_TUNNEL = "the proxy gives no tunnel"
_OF_PROXY = {
    _RESOLVE: "the name of the proxy cannot be resolved",
    _CONNECT: "no connection to the proxy",
    _TLS: "the TLS handshake with the proxy failed",
}
_ADVICE = {
    _RESOLVE: "check the region and the endpoint, and the name service of this machine",
    _CONNECT: "check the endpoint and the way to it; `cloud.proxy` or `HTTPS_PROXY` names a proxy",
    _TLS: "check that the endpoint speaks TLS, and what stands between it and this machine",
    _TUNNEL: "ask whoever runs the proxy to let it through; `NO_PROXY` names hosts that are reached directly",
    **dict.fromkeys(_OF_PROXY.values(), "check the proxy in `cloud.proxy` or `HTTPS_PROXY`"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """What was found on the way to `host` and `port`; `failure` says where it ended, and is empty where it did not.

    `addresses` are those of the host, or of the proxy that was asked instead. `tls_version` and what follows are
    None without TLS. `certificate_until` is in seconds since 1970. `advice` may come without a failure.
    """

    host: str
    port: int
    addresses: tuple[str, ...]
    tls_version: str | None
    certificate_until: float | None
    certificate_subject: str | None
    failure: str
    advice: str
    elapsed_s: float


async def probe(url: str, *, timeout_s: float, ca_file: Path | None, now: float, proxy: Proxy | None = None) -> Probe:
    """Go towards `url` as a request would, through `proxy` if given, and close the connection.

    `timeout_s` covers the whole way; `now` is the wall clock, which tells what is left of the certificate. Raises
    `ConfigError` for a URL that is no endpoint (plain http is for loopback only) and for a CA file that cannot be
    used, and nothing for what the network or the other side does. Cancelled, the connection is dropped.
    """
    parts = urlsplit(check_endpoint(url))
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    way = _Way(trusting(ca_file), proxy)
    clock = asyncio.get_running_loop().time
    started_s = clock()
    failure = advice = ""
    try:
        async with asyncio.timeout(timeout_s):
            await way.go(host, port, tls=parts.scheme == "https")
    except TimeoutError:
        failure, advice = f"{way.step}: not within {timeout_s:g} s", _ADVICE[way.step]
    except ssl.SSLCertVerificationError as error:
        reason, advice = refusal(error)
        failure = f"the certificate{' of the proxy' if way.step in _OF_PROXY.values() else ''} was refused: {reason}"
    except _TunnelError as error:
        failure, advice = f"{way.step}: {error}", error.advice or _ADVICE[way.step]
    except (OSError, EOFError, UnicodeError) as error:
        failure, advice = f"{way.step}: {_reason(error)}", _ADVICE[way.step]
    finally:
        elapsed_s = clock() - started_s
        await way.close()
    return Probe(
        host=host,
        port=port,
        addresses=way.addresses,
        tls_version=way.tls_version,
        certificate_until=way.until,
        certificate_subject=way.subject,
        failure=" ".join(failure.split())[:FAILURE_CHARACTERS_MAX],
        advice=advice or _ends_soon(way.until, now),
        elapsed_s=elapsed_s,
    )


class _TunnelError(Exception):
    """The proxy's refusal, in the reader's words."""

    def __init__(self, message: str, advice: str = "") -> None:
        super().__init__(message)
        self.advice = advice


class _Way:
    """One connection as it grows, and what was learnt of it so far; `step` says what would have failed."""

    def __init__(self, trust: ssl.SSLContext, proxy: Proxy | None) -> None:
        self.step = _RESOLVE
        self.addresses: tuple[str, ...] = ()
        self.tls_version: str | None = None
        self.until: float | None = None
        self.subject: str | None = None
        self._trust = trust
        self._proxy = proxy
        self._writer: asyncio.StreamWriter | None = None
        self._whole = False

    async def go(self, host: str, port: int, *, tls: bool) -> None:
        if self._proxy is None:
            _, writer = await self._connect(host, port, {})
        else:
            writer = await self._tunnel(self._proxy, host, port)
        if tls:
            self.step = _TLS
            await writer.start_tls(self._trust, server_hostname=host)
            self._learn(writer.get_extra_info("ssl_object"))
        self._whole = True

    async def close(self) -> None:
        """Say goodbye where there is someone to say it to; after a failed handshake there is not."""
        if self._writer is None:
            return
        if self._whole:
            self._writer.close()
            with suppress(OSError):  # a TimeoutError is one
                async with asyncio.timeout(CLOSE_S):
                    await self._writer.wait_closed()
        self._writer.transport.abort()

    async def _connect(
        self, host: str, port: int, names: dict[str, str]
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """`names`: other words for the steps."""
        self.step = names.get(_RESOLVE, _RESOLVE)
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        self.addresses = tuple(dict.fromkeys(str(address[0]) for *_, address in found))[:ADDRESSES_MAX]
        self.step = names.get(_CONNECT, _CONNECT)
        reader, self._writer = await asyncio.open_connection(host, port, happy_eyeballs_delay=0.25)
        return reader, self._writer

    async def _tunnel(self, proxy: Proxy, host: str, port: int) -> asyncio.StreamWriter:
        parts = urlsplit(proxy.url)
        tls = parts.scheme == "https"
        near = parts.hostname or ""
        reader, writer = await self._connect(near, parts.port or (443 if tls else 80), _OF_PROXY)
        if tls:
            self.step = _OF_PROXY[_TLS]
            await writer.start_tls(self._trust, server_hostname=near)
        self.step = _TUNNEL
        target = f"{bracketed(host)}:{port}"
        secret = f"Proxy-Authorization: {proxy.authorization}\r\n" if proxy.authorization else ""
        writer.write(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{secret}\r\n".encode("ascii"))
        await writer.drain()
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            raise _TunnelError("the answer is not HTTP") from None
        version, _, rest = head.partition(b"\r\n")[0].decode("latin-1").partition(" ")
        status = rest[:3]
        if not version.startswith("HTTP/1.") or not status.isdecimal():
            raise _TunnelError("the answer is not HTTP")
        if status == "407":
            raise _TunnelError(
                "it wants a user name and a password, or others (status 407)",
                "put them into the variable: `HTTPS_PROXY=http://user:password@host:port`",
            )
        if status != "200":
            raise _TunnelError(f"status {status}")
        return writer

    def _learn(self, tls: ssl.SSLObject) -> None:
        self.tls_version = tls.version()
        certificate = tls.getpeercert() or {}
        until = certificate.get("notAfter")
        self.until = ssl.cert_time_to_seconds(until) if isinstance(until, str) else None
        self.subject = _subject(certificate)


def _subject(certificate: Mapping[str, object]) -> str | None:
    """The common name of a certificate, or its first other name (as `ssl.SSLSocket.getpeercert` gives them)."""
    parts = certificate.get("subject")
    names = [value for part in parts for key, value in part if key == "commonName"] if isinstance(parts, tuple) else []
    others = certificate.get("subjectAltName")
    names += [value for _, value in others] if isinstance(others, tuple) else []
    return str(names[0]) if names else None


def _reason(error: Exception) -> str:
    if isinstance(error, EOFError):
        return "the connection was closed"
    if isinstance(error, ssl.SSLError):
        return (error.reason or "").replace("_", " ").lower() or "not TLS"
    if isinstance(error, socket.gaierror):
        return error.strerror or "no answer"
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)  # asyncio's own text repeats the address
    return str(error) or "the connection was closed"


def _ends_soon(until: float | None, now: float) -> str:
    if until is None or until - now >= CERTIFICATE_DAYS_MIN * DAY_S:
        return ""
    return f"the certificate ends in {max(0, int((until - now) / DAY_S))} days"
