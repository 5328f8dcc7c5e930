"""Keys of the metadata service: how it is asked, what of its answers is believed, and what is said of the rest."""

import time
import traceback
from datetime import UTC, datetime

import pytest

from batcher.cloud.credentials import Credentials
from batcher.cloud.metadata import METADATA_ENDPOINT, Metadata, check_metadata_endpoint, parse_keys
from batcher.errors import ConfigError, CredentialsError
from tests.cloud.metadata_server import NO_AGENCY, keys, metadata_service
from tests.cloud.servers import answering, http, serving, transport

TEN = datetime(2026, 11, 23, 10, tzinfo=UTC).timestamp()


async def test_keys_are_fetched_with_a_session_token() -> None:
    async with metadata_service() as (metadata, service):
        got = await metadata.fetch()
    assert got == Credentials("meta-ak", "meta-sk", "meta-sts", source="the ECS metadata service", expires_at=TEN)
    put, get = service.seen.requests
    assert put.line == "PUT /meta-data/latest/api/token HTTP/1.1"
    assert put.headers["X-Metadata-Token-Ttl-Seconds"] == "21600"
    assert get.line == "GET /openstack/latest/securitykey HTTP/1.1"
    assert get.headers["X-Metadata-Token"] == "session"


@pytest.mark.parametrize("status", [404, 405, 503])
async def test_an_older_service_without_session_tokens_is_asked_all_the_same(status: int) -> None:
    async with metadata_service(token_status=status, token=b"no such page") as (metadata, service):
        assert (await metadata.fetch()).access_key == "meta-ak"
    assert "X-Metadata-Token" not in service.seen.requests[1].headers


@pytest.mark.parametrize("status", [301, 400, 401, 403, 500])
async def test_another_refusal_of_the_session_token_is_final(status: int) -> None:
    async with metadata_service(token_status=status, token=b"hush") as (metadata, service):
        with pytest.raises(CredentialsError, match=rf"refused a session token \(HTTP {status}\)") as raised:
            await metadata.fetch()
    assert service.fetches == 0
    assert "hush" not in str(raised.value)


@pytest.mark.parametrize("status", [401, 404])
async def test_a_server_without_an_agency_is_told_so(status: int) -> None:
    async with metadata_service(keys_status=status, keys=NO_AGENCY) as (metadata, _):
        with pytest.raises(CredentialsError) as raised:
            await metadata.fetch()
    assert str(raised.value) == "the ECS metadata service: no agency is configured for this server"
    assert "agency" in raised.value.hint


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ({"keys_status": 500, "keys": keys("hush-ak")}, "refused the keys (HTTP 500)"),
        ({"keys_status": 302, "keys": keys("hush-ak")}, "refused the keys (HTTP 302)"),
        ({"keys": b"<html>hush</html>"}, "not understood"),
        ({"keys": b'["hush"]'}, "not understood"),
        ({"keys": b'{"credential": "hush"}'}, "not understood"),
        ({"keys": b""}, "not understood"),
        ({"keys": keys("hush-ak") + b" " * 70_000}, "not understood"),
        ({"keys": keys("hush-ak", access=None)}, "has no `access`"),
        ({"keys": keys("hush-ak", secret=" ")}, "has no `secret`"),
        ({"keys": keys("hush-ak", securitytoken=None)}, "has no `securitytoken`"),
        ({"keys": keys("hush-ak", securitytoken=7)}, "has no `securitytoken`"),
        ({"keys": keys("hush ak")}, "access` holds a character"),
        ({"keys": keys("hush-ak", securitytoken="hush\r\nX: y")}, "securitytoken` holds a character"),
        ({"token": b"hush\r\nX: y"}, "session token` holds a character"),
        ({"token": "hush\u00e9".encode()}, "session token` holds a character"),
    ],
)
async def test_an_answer_that_cannot_be_used_is_an_error_and_never_quoted(
    answers: dict[str, object], said: str
) -> None:
    async with metadata_service(**answers) as (metadata, _):
        with pytest.raises(CredentialsError) as raised:
            await metadata.fetch()
    assert said in str(raised.value)
    assert "hush" not in "".join(traceback.format_exception(raised.value)) + raised.value.hint


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-11-23T10:00:00.000000Z", TEN),
        ("2026-11-23T10:00:00Z", TEN),
        ("2026-11-23T10:00:00.500", TEN + 0.5),
        ("2026-11-23T18:00:00+08:00", TEN),
        ("soon", None),
        (None, None),
        (7, None),
    ],
)
def test_the_end_of_the_keys_is_read_as_utc_or_left_open(
    text: object, seconds: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setenv("TZ", "Asia/Shanghai")
        time.tzset()
        expires_at = parse_keys(keys(expires_at=text)).expires_at
    time.tzset()
    assert expires_at == seconds


async def test_nobody_there_is_no_answer() -> None:
    async with serving(answering(http(200))) as seen:
        url = seen.url
    async with transport() as opened:
        with pytest.raises(CredentialsError, match="the ECS metadata service: no answer: "):
            await Metadata(opened, url).fetch()


async def test_a_service_that_says_nothing_is_given_up() -> None:
    async with metadata_service() as (metadata, service), transport() as opened:
        service.open.clear()
        with pytest.raises(CredentialsError, match=r"no answer within 0\.05 s"):
            await Metadata(opened, service.seen.url, time_s_max=0.05).fetch()
        service.open.set()
        assert (await metadata.fetch()).access_key == "meta-ak"


@pytest.mark.parametrize(
    ("url", "base"),
    [
        (METADATA_ENDPOINT, "http://169.254.169.254"),
        (" http://169.254.169.254:80/ ", "http://169.254.169.254:80"),
        ("http://[fe80::a9fe:a9fe]", "http://[fe80::a9fe:a9fe]"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://localhost:8080/", "http://localhost:8080"),
        ("https://metadata.example.com", "https://metadata.example.com"),
    ],
)
def test_an_endpoint_is_scheme_host_and_port(url: str, base: str) -> None:
    assert check_metadata_endpoint(url) == base


@pytest.mark.parametrize(
    "url",
    [
        "http://10.0.0.1",
        "http://metadata.example.com",
        "http://169.254.169.254/openstack",
        "http://169.254.169.254?x=1",
        "http://169.254.169.254.example.com",
        "http://user:hush@169.254.169.254",
        "http://169.254.169.254:99999",
        "http://[169.254.169.254",
        "http://169.254",
        "ftp://169.254.169.254",
        "",
    ],
)
async def test_plain_http_goes_to_nothing_but_this_machine_and_its_host(url: str) -> None:
    async with transport() as opened:
        with pytest.raises(ConfigError) as raised:
            Metadata(opened, url)
    assert "hush" not in str(raised.value)
