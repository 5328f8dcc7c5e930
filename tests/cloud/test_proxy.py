"""Proxies: which one counts for a URL, and requests through real ones on loopback."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from batcher.cloud.proxy import Proxies, Proxy, find_proxies
from batcher.cloud.transport import Answer, NoAnswer
from batcher.errors import ConfigError
from tests.cloud.servers import (
    Handler,
    Seen,
    answering,
    http,
    read_request,
    reset,
    serving,
    transport,
    tunnelling,
    unused_port,
)
from tests.cloud.tls import AUTHORITY, PEM, SIGNED, server_context

ER = "https://er.cn-north-4.myhuaweicloud.com/v3/x"
PLAIN = "http://er.cn-north-4.myhuaweicloud.com/v3/x"
A, B, C = "http://a.example.com:3128", "http://b.example.com:3128", "http://c.example.com:3128"
HEADERS = {"Content-Type": "application/json", "Authorization": "signed", "User-Agent": "batcher/7"}
CLOUD = "https://er.cloud.invalid"


@pytest.mark.parametrize(
    ("setting", "environment", "https", "plain"),
    [
        (None, {}, None, None),
        (None, {"HTTPS_PROXY": A}, A, None),
        (None, {"https_proxy": A}, A, None),
        (None, {"https_proxy": A, "HTTPS_PROXY": B}, A, None),
        (None, {"https_proxy": "", "HTTPS_PROXY": B}, None, None),
        (None, {"HTTP_PROXY": A}, None, A),
        (None, {"HTTP_PROXY": A, "HTTPS_PROXY": B}, B, A),
        (None, {"ALL_PROXY": A}, A, A),
        (None, {"all_proxy": A, "HTTPS_PROXY": B}, B, A),
        (A, {"HTTPS_PROXY": B, "HTTP_PROXY": C}, A, A),
        ("none", {"HTTPS_PROXY": B, "HTTP_PROXY": C}, None, None),
        (" None ", {"ALL_PROXY": C}, None, None),
        (None, {"HTTPS_PROXY": A, "NO_PROXY": "*"}, None, None),
        (A, {"NO_PROXY": "*"}, None, None),
    ],
)
def test_which_proxy_counts(
    setting: str | None, environment: dict[str, str], https: str | None, plain: str | None
) -> None:
    proxies = find_proxies(setting, environment)
    assert [proxy and proxy.url for proxy in (proxies.of(ER), proxies.of(PLAIN))] == [https, plain]


@pytest.mark.parametrize("variable", ["NO_PROXY", "no_proxy"])
@pytest.mark.parametrize("setting", [None, A])
@pytest.mark.parametrize(
    ("listed", "url", "direct"),
    [
        ("myhuaweicloud.com", ER, True),
        (".myhuaweicloud.com", ER, True),
        ("x, ER.cn-north-4.MyHuaweiCloud.com ,y", ER, True),
        ("huaweicloud.com", ER, False),
        ("er.example.com", ER, False),
        ("", ER, False),
        ("er.example.com:8443", "https://er.example.com:8443/x", True),
        ("er.example.com:8443", "https://er.example.com/x", False),
        ("10.1.2.3", "https://10.1.2.3/x", True),
        ("2001:db8::1", "https://[2001:db8::1]/x", True),
        ("[2001:db8::1]", "https://[2001:db8::1]:8443/x", True),
        ("2001:db8::1", "https://[2001:db8::2]/x", False),
    ],
)
def test_no_proxy_names_what_is_reached_directly(
    variable: str, setting: str | None, listed: str, url: str, direct: bool
) -> None:
    proxies = find_proxies(setting, {"HTTPS_PROXY": A, variable: listed})
    assert (proxies.of(url) is None) == direct


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8080/x",
        "https://127.8.8.8/x",
        "http://localhost/x",
        "http://[::1]:8080/x",
        "http://169.254.169.254/openstack/latest/securitykey",
        "http://[fe80::a]/x",
    ],
)
def test_nothing_on_this_machine_or_its_link_is_reached_through_a_proxy(url: str) -> None:
    assert find_proxies(A, {}).of(url) is None
    assert find_proxies(None, {"ALL_PROXY": A}).of(url) is None


@pytest.mark.parametrize(
    ("text", "proxy"),
    [
        ("proxy.example.com:3128", Proxy("http://proxy.example.com:3128")),
        ("HTTP://Proxy.Example.com/", Proxy("http://proxy.example.com")),
        ("https://proxy.example.com", Proxy("https://proxy.example.com")),
        ("http://[::1]:3128", Proxy("http://[::1]:3128")),
        ("http://me:hush@p:3128", Proxy("http://p:3128", "me", "hush")),
        ("me:hu%40sh%3A%2F@p:3128", Proxy("http://p:3128", "me", "hu@sh:/")),
        ("http://me@p:3128", Proxy("http://p:3128", "me")),
        ("http://:hush@p:3128", Proxy("http://p:3128", "", "hush")),
    ],
)
def test_what_a_proxys_url_says(text: str, proxy: Proxy) -> None:
    assert find_proxies(None, {"HTTPS_PROXY": text}).of(ER) == proxy


def test_a_proxy_shows_neither_user_name_nor_password() -> None:
    proxies = find_proxies(None, {"HTTPS_PROXY": "http://someone:hush@p:3128"})
    shown = f"{proxies!r} {proxies.of(ER)!r} {proxies.of(ER)}"
    assert "hush" not in shown
    assert "someone" not in shown
    assert "http://p:3128" in shown


@pytest.mark.parametrize("url", ["http://me:hush@p:3128", "http://hush@p:3128", "me:hush@p:3128", "http://:hush@p"])
def test_the_setting_may_hold_no_password(url: str) -> None:
    with pytest.raises(ConfigError, match="must not carry a user name or password") as raised:
        find_proxies(url, {})
    assert "hush" not in f"{raised.value} {raised.value.hint}"
    assert "`HTTPS_PROXY`" in raised.value.hint


@pytest.mark.parametrize("scheme", ["socks", "socks4", "socks5", "socks5h", "SOCKS5"])
def test_a_socks_proxy_is_refused_by_name(scheme: str) -> None:
    with pytest.raises(ConfigError, match="`ALL_PROXY` names a SOCKS proxy") as raised:
        find_proxies(None, {"all_proxy": f"{scheme}://me:hush@p:1080"})
    assert "http or https proxy" in raised.value.hint
    assert "hush" not in f"{raised.value} {raised.value.hint}"


@pytest.mark.parametrize(
    "text",
    [
        "ftp://me:hush@p",
        "http://me:hush@",
        "http://me:hush@p:port",
        "http://me:hu/sh-hush@p:3128",
        "http://me:1/hush@p:3128",
        "http://me:1#hush@p:3128",
        "http://me:1?hush@p:3128",
        "http://me:hush",
        "me:hush",
        "http://[hush",
        "http://a hush",
        "http://hush:x%3Ay@[::1",
        "http://a%3Ahush:x@p:3128",
    ],
)
def test_a_url_that_is_no_proxy_is_refused_without_being_shown(text: str) -> None:
    with pytest.raises(ConfigError, match="`HTTPS_PROXY`") as raised:
        find_proxies(None, {"HTTPS_PROXY": text})
    assert "hush" not in f"{raised.value} {raised.value.hint}"
    assert raised.value.__cause__ is None


@pytest.mark.parametrize("setting", ["", "ftp://p", "http://p/path", "socks5://p:1080"])
def test_a_setting_that_is_no_proxy_is_refused(setting: str) -> None:
    with pytest.raises(ConfigError, match=r"`cloud\.proxy`"):
        find_proxies(setting, {})


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    path = tmp_path / "authority.pem"
    path.write_text(AUTHORITY, encoding="ascii")
    return path


@asynccontextmanager
async def _cloud(tmp_path: Path, *, answers: int = 1, pem: str = SIGNED) -> AsyncIterator[Seen]:
    async with serving(answering(*[http(200, b"{}")] * answers), server_context(tmp_path, pem)) as seen:
        yield seen


def _through(url: str, user: str | None = None, password: str = "") -> Proxies:
    proxy = Proxy(url, user, password)
    return Proxies(proxy, proxy)


@pytest.mark.parametrize("user", [None, "me"])
async def test_an_https_request_goes_through_a_tunnel(tmp_path: Path, authority: Path, user: str | None) -> None:
    async with _cloud(tmp_path, answers=3) as cloud:
        handler = tunnelling(cloud.url, "me:hush é" if user else None)
        async with (
            serving(handler) as proxy,
            transport(ca_file=authority, proxies=_through(proxy.url, user, "hush é")) as opened,
        ):
            for _ in range(3):
                assert isinstance(await opened.send("POST", f"{CLOUD}/x", HEADERS, b"{}"), Answer)
    (request,) = proxy.requests
    assert request.line == "CONNECT er.cloud.invalid:443 HTTP/1.1"
    assert "Authorization" not in request.headers
    assert [seen.line for seen in cloud.requests] == ["POST /x HTTP/1.1"] * 3
    assert cloud.requests[0].headers["Host"] == "er.cloud.invalid"
    assert cloud.requests[0].headers["Authorization"] == "signed"
    assert cloud.requests[0].headers["User-Agent"] == "batcher/7"
    assert "Proxy-Authorization" not in cloud.requests[0].headers


async def test_the_proxy_itself_may_speak_tls(tmp_path: Path, authority: Path) -> None:
    context = server_context(tmp_path, SIGNED)
    async with (
        _cloud(tmp_path) as cloud,
        serving(tunnelling(cloud.url, "me:hush"), context) as proxy,
        transport(ca_file=authority, proxies=_through(proxy.url, "me", "hush")) as opened,
    ):
        assert isinstance(await opened.send("POST", f"{CLOUD}/x", HEADERS, b"{}"), Answer)
    assert proxy.url.startswith("https:")
    assert len(cloud.requests) == 1


async def test_a_plain_request_is_sent_to_the_proxy_whole() -> None:
    async with (
        serving(answering(http(200, b"{}"))) as proxy,
        transport(proxies=_through(proxy.url, "me", "hush")) as opened,
    ):
        assert isinstance(await opened.send("GET", "http://er.cloud.invalid/x", HEADERS, b""), Answer)
    assert proxy.requests[0].line == "GET http://er.cloud.invalid/x HTTP/1.1"
    assert proxy.requests[0].headers["Proxy-Authorization"] == "Basic bWU6aHVzaA=="
    assert proxy.requests[0].headers["Authorization"] == "signed"


async def test_what_no_proxy_names_and_loopback_are_reached_directly(tmp_path: Path, authority: Path) -> None:
    proxies = find_proxies(f"http://127.0.0.1:{unused_port()}", {"NO_PROXY": "nowhere.invalid"})
    async with _cloud(tmp_path) as cloud, transport(ca_file=authority, proxies=proxies) as opened:
        assert isinstance(await opened.send("POST", cloud.url, HEADERS, b"{}"), Answer)
        unresolved = await opened.send("POST", "https://er.nowhere.invalid/x", HEADERS, b"{}")
    assert isinstance(unresolved, NoAnswer)
    assert unresolved.message.startswith("the host name could not be resolved: er.nowhere.invalid")


@pytest.mark.parametrize("url", [f"{CLOUD}/x", "http://er.cloud.invalid/x"])
@pytest.mark.parametrize(("user", "password"), [(None, ""), ("me", "wrong-hush")])
async def test_a_proxy_that_does_not_know_us_stops_the_run(url: str, user: str | None, password: str) -> None:
    async with (
        serving(tunnelling("http://127.0.0.1:1", "me:hush")) as proxy,
        transport(proxies=_through(proxy.url, user, password)) as opened,
    ):
        answer = await opened.send("POST", url, HEADERS, b"{}")
    assert isinstance(answer, NoAnswer)
    assert (answer.code, answer.sent, answer.fatal) == ("BATCHER.Unreachable", False, True)
    assert proxy.url.removeprefix("http://") in answer.message
    assert "407" in answer.message
    assert "`HTTPS_PROXY=" in answer.advice
    assert "hush" not in repr(answer)


@pytest.mark.parametrize("status", [403, 500, 502, 503, 302])
async def test_a_tunnel_that_is_refused_was_not_sent(status: int) -> None:
    async with (
        serving(answering(http(status, b"<p>no hush"))) as proxy,
        transport(proxies=_through(proxy.url, "me", "hush")) as opened,
    ):
        answer = await opened.send("POST", f"{CLOUD}/x", HEADERS, b"{}")
    assert isinstance(answer, NoAnswer)
    assert (answer.code, answer.sent, answer.fatal) == ("BATCHER.Unreachable", False, False)
    assert f"status {status}" in answer.message
    assert "`NO_PROXY`" in answer.advice
    assert "hush" not in repr(answer)


@pytest.mark.parametrize("host", ["127.0.0.1", "proxy.nowhere.invalid"])
async def test_a_proxy_that_is_not_there_was_not_sent_anything(host: str) -> None:
    port = unused_port()
    async with transport(proxies=_through(f"http://{host}:{port}", "me", "hush")) as opened:
        answer = await opened.send("POST", f"{CLOUD}/x", HEADERS, b"{}")
    assert isinstance(answer, NoAnswer)
    assert (answer.code, answer.sent, answer.fatal) == ("BATCHER.Unreachable", False, False)
    assert f"{host}:{port}" in answer.message
    assert "check the proxy" in answer.advice
    assert "hush" not in repr(answer)


async def _silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: Seen) -> None:
    await read_request(reader, seen)
    await reader.read()


async def test_a_proxy_that_says_nothing_was_not_sent_anything() -> None:
    async with serving(_silent) as proxy, transport(connect_s=0.2, proxies=_through(proxy.url)) as opened:
        answer = await opened.send("POST", f"{CLOUD}/x", HEADERS, b"{}")
    assert isinstance(answer, NoAnswer)
    assert (answer.code, answer.sent) == ("BATCHER.Unreachable", False)


async def _reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: Seen) -> None:
    await read_request(reader, seen)
    reset(writer)


@pytest.mark.parametrize("handler", [_reset, answering(b"", linger=False), answering(b"220 smtp\r\n\r\n")])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_tunnel_that_breaks_is_no_answer(handler: Handler, method: str) -> None:
    async with serving(handler) as proxy, transport(proxies=_through(proxy.url, "me", "hush")) as opened:
        answer = await opened.send(method, f"{CLOUD}/x", HEADERS, b"")
    assert isinstance(answer, NoAnswer)
    assert "hush" not in repr(answer)
    assert len(proxy.requests) == 1


async def test_a_certificate_behind_a_proxy_is_verified(tmp_path: Path, authority: Path) -> None:
    async with (
        _cloud(tmp_path, pem=PEM) as cloud,
        serving(tunnelling(cloud.url)) as proxy,
        transport(ca_file=authority, proxies=_through(proxy.url)) as opened,
    ):
        answer = await opened.send("POST", f"{CLOUD}/x", HEADERS, b"{}")
    assert isinstance(answer, NoAnswer)
    assert (answer.code, answer.sent, answer.fatal) == ("BATCHER.Unreachable", False, True)
    assert "er.cloud.invalid" in answer.message
    assert cloud.requests == []
