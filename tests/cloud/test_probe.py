"""The probe of `doctor` on real sockets: how far one gets, and what it says where it ends."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from batcher.cloud.probe import Probe, probe
from batcher.cloud.proxy import Proxy
from batcher.errors import ConfigError
from tests.cloud.servers import Handler, Seen, answering, http, reset, serving, tunnelling, unused_port
from tests.cloud.tls import AUTHORITY, EXPIRED, PEM, SIGNED, SIGNED_UNTIL, server_context

NOW = 1_800_000_000.0
DAY_S = 86_400.0
CLOUD = "https://er.cloud.invalid"


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    path = tmp_path / "authority.pem"
    path.write_text(AUTHORITY, encoding="ascii")
    return path


async def _quiet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: Seen) -> None:
    """Record what a client says, which should be nothing."""
    if said := await reader.read():
        seen.requests.append(said)  # type: ignore[arg-type] # only ever compared with nothing


async def _close_at_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: Seen) -> None:
    writer.close()


async def _reset_at_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: Seen) -> None:
    await reader.read(1)
    reset(writer)


async def _speak_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: Seen) -> None:
    writer.write(b"220 smtp.example.com ESMTP\r\n")
    await reader.read()


@asynccontextmanager
async def _tls(tmp_path: Path, pem: str) -> AsyncIterator[Seen]:
    async with serving(_quiet, server_context(tmp_path, pem)) as seen:
        yield seen


async def _probe(url: str, ca_file: Path | None = None, proxy: Proxy | None = None, now: float = NOW) -> Probe:
    return await probe(url, timeout_s=5.0, ca_file=ca_file, now=now, proxy=proxy)


async def test_a_good_endpoint_tells_its_tls_and_its_certificate(tmp_path: Path, authority: Path) -> None:
    async with _tls(tmp_path, SIGNED) as seen:
        found = await _probe(f"{seen.url}/", authority)
    assert (found.host, found.port) == ("127.0.0.1", int(seen.url.rpartition(":")[2]))
    assert found.addresses == ("127.0.0.1",)
    assert found.tls_version == "TLSv1.3"
    assert (found.certificate_subject, found.certificate_until) == ("er.cloud.invalid", SIGNED_UNTIL)
    assert (found.failure, found.advice) == ("", "")
    assert 0.0 < found.elapsed_s < 5.0
    assert (seen.connections, seen.requests) == (1, [])


@pytest.mark.parametrize(
    ("left_days", "advice"),
    [(14.0, ""), (13.9, "the certificate ends in 13 days"), (0.5, "the certificate ends in 0 days")],
)
async def test_a_certificate_that_ends_soon_is_told(
    tmp_path: Path, authority: Path, left_days: float, advice: str
) -> None:
    async with _tls(tmp_path, SIGNED) as seen:
        found = await _probe(seen.url, authority, now=SIGNED_UNTIL - left_days * DAY_S)
    assert (found.failure, found.advice) == ("", advice)


@pytest.mark.parametrize(
    ("pem", "trusted", "host", "reason", "advice"),
    [
        (PEM, False, "127.0.0.1", "self-signed certificate", "`cloud.ca_file`"),
        (SIGNED, False, "127.0.0.1", "unable to get local issuer certificate", "`cloud.ca_file`"),
        (EXPIRED, True, "127.0.0.1", "certificate has expired", "clock"),
        (SIGNED, True, "127.0.0.2", "IP address mismatch", "as its certificate names it"),
    ],
    ids=["self-signed", "private authority", "expired", "another host"],
)
async def test_a_refused_certificate_says_why_and_what_to_do(
    tmp_path: Path, authority: Path, pem: str, trusted: bool, host: str, reason: str, advice: str
) -> None:
    async with serving(_quiet, server_context(tmp_path, pem), host) as seen:
        found = await _probe(seen.url, authority if trusted else None)
    assert found.failure.startswith("the certificate was refused: ")
    assert reason in found.failure.replace("self signed", "self-signed")
    assert advice in found.advice
    assert (found.addresses, found.tls_version, found.certificate_until) == ((host,), None, None)


async def test_a_closed_port_has_no_connection() -> None:
    port = unused_port()
    found = await _probe(f"https://127.0.0.1:{port}")
    assert (found.port, found.addresses) == (port, ("127.0.0.1",))
    assert found.failure == "no connection: Connection refused"
    assert "check the endpoint" in found.advice


async def test_a_name_that_does_not_exist_is_not_resolved() -> None:
    found = await _probe("https://er.nowhere.invalid")
    assert (found.host, found.port, found.addresses) == ("er.nowhere.invalid", 443, ())
    assert found.failure.startswith("the name cannot be resolved: ")
    assert "name service" in found.advice


async def test_a_name_that_cannot_exist_is_not_resolved() -> None:
    found = await _probe(f"https://{'x' * 64}.invalid")
    assert found.failure.startswith("the name cannot be resolved: ")


async def test_plain_http_on_loopback_has_no_tls() -> None:
    async with serving(_quiet) as seen:
        found = await _probe(seen.url)
    assert (found.failure, found.tls_version, found.certificate_subject) == ("", None, None)
    assert (seen.connections, seen.requests) == (1, [])


@pytest.mark.parametrize("url", ["http://er.example.com", "https://me:hush@er.example.com", "https://a/b", ""])
async def test_what_is_no_endpoint_is_refused(url: str) -> None:
    with pytest.raises(ConfigError):
        await _probe(url)


async def test_a_ca_file_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"missing\.pem"):
        await _probe("https://127.0.0.1:1", tmp_path / "missing.pem")


@pytest.mark.parametrize("handler", [_close_at_once, _reset_at_once, _speak_first])
async def test_what_does_not_speak_tls_fails_the_handshake(handler: Handler) -> None:
    async with serving(handler) as seen:
        found = await _probe(seen.url.replace("http:", "https:"))
    assert found.failure.startswith("the TLS handshake failed: ")
    assert not found.failure.endswith(": ")
    assert "speaks TLS" in found.advice


async def test_an_older_tls_is_told_by_its_version(tmp_path: Path, authority: Path) -> None:
    context = server_context(tmp_path, SIGNED)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    async with serving(_quiet, context) as seen:
        assert (await _probe(seen.url, authority)).tls_version == "TLSv1.2"


async def test_a_handshake_that_hangs_ends_in_time() -> None:
    async with serving(_quiet) as seen:
        found = await probe(seen.url.replace("http:", "https:"), timeout_s=0.2, ca_file=None, now=NOW)
    assert found.failure == "the TLS handshake failed: not within 0.2 s"
    assert 0.2 <= found.elapsed_s < 3.0


@pytest.mark.parametrize("proxy_tls", [False, True])
async def test_the_way_through_a_proxy_is_told(tmp_path: Path, authority: Path, proxy_tls: bool) -> None:
    context = server_context(tmp_path, SIGNED) if proxy_tls else None
    async with _tls(tmp_path, SIGNED) as cloud, serving(tunnelling(cloud.url, "me:hush"), context) as proxy:
        found = await _probe(CLOUD, authority, Proxy(proxy.url, "me", "hush"))
    assert (found.failure, found.host, found.port) == ("", "er.cloud.invalid", 443)
    assert (found.addresses, found.certificate_subject) == (("127.0.0.1",), "er.cloud.invalid")
    assert proxy.requests[0].line == "CONNECT er.cloud.invalid:443 HTTP/1.1"
    assert cloud.requests == []


@pytest.mark.parametrize(
    ("answer", "failure", "advice"),
    [
        (http(407), "the proxy gives no tunnel: it wants a user name", "`HTTPS_PROXY="),
        (http(403), "the proxy gives no tunnel: status 403", "`NO_PROXY`"),
        (b"220 smtp.example.com\r\n\r\n", "the proxy gives no tunnel: the answer is not HTTP", "`NO_PROXY`"),
        (b"x" * 100_000, "the proxy gives no tunnel: the answer is not HTTP", "`NO_PROXY`"),
        (b"", "the proxy gives no tunnel: the connection was closed", "`NO_PROXY`"),
    ],
)
async def test_a_proxy_that_gives_no_tunnel_is_told(answer: bytes, failure: str, advice: str) -> None:
    async with serving(answering(answer, linger=False)) as proxy:
        found = await _probe(CLOUD, None, Proxy(proxy.url, "me", "hush"))
    assert found.failure.startswith(failure)
    assert advice in found.advice
    assert "hush" not in repr(found)


async def test_a_proxy_that_is_not_there_is_told_apart() -> None:
    closed = await _probe(CLOUD, None, Proxy(f"http://127.0.0.1:{unused_port()}"))
    unknown = await _probe(CLOUD, None, Proxy("http://proxy.nowhere.invalid:3128"))
    assert closed.failure == "no connection to the proxy: Connection refused"
    assert unknown.failure.startswith("the name of the proxy cannot be resolved: ")
    assert "check the proxy" in closed.advice
    assert "check the proxy" in unknown.advice


async def test_a_proxys_own_certificate_is_told_apart(tmp_path: Path) -> None:
    async with _tls(tmp_path, PEM) as proxy:
        found = await _probe(CLOUD, None, Proxy(proxy.url))
    assert found.failure.startswith("the certificate of the proxy was refused: ")
