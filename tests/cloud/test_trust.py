"""Whose certificates the transport trusts: the system's, those of the CA file, and no one else's."""

import re
from pathlib import Path

import pytest

from batcher.cloud.transport import Answer, NoAnswer
from batcher.errors import ConfigError
from tests.cloud.servers import answering, http, serving, transport
from tests.cloud.tls import AUTHORITY, EXPIRED, PEM, SIGNED, server_context

HEADERS = {"Content-Type": "application/json"}


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    path = tmp_path / "authority.pem"
    path.write_text(f"Notes of the authority, of all sorts: é\n{AUTHORITY}", encoding="utf-8")
    return path


async def test_an_untrusted_certificate_is_fatal_and_nothing_was_sent(tmp_path: Path) -> None:
    async with serving(answering(http(200, b"{}")), server_context(tmp_path, PEM)) as seen, transport() as opened:
        answer = await opened.send("POST", seen.url, HEADERS, b"{}")
    assert isinstance(answer, NoAnswer)
    assert (answer.code, answer.sent, answer.fatal) == ("BATCHER.Unreachable", False, True)
    assert "self-signed certificate" in answer.message.replace("self signed", "self-signed")
    assert "`cloud.ca_file`" in answer.advice
    assert seen.requests == []


async def test_a_trusted_certificate_is_accepted_for_its_own_host_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = server_context(tmp_path, PEM)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "server.pem"))
    answers = answering(http(200, b"{}"))
    async with serving(answers, context) as own, serving(answers, context, "127.0.0.2") as other, transport() as opened:
        assert isinstance(await opened.send("POST", own.url, HEADERS, b"{}"), Answer)
        wrong = await opened.send("POST", other.url, HEADERS, b"{}")
    assert isinstance(wrong, NoAnswer)
    assert (wrong.sent, wrong.fatal, other.requests) == (False, True, [])
    assert "mismatch" in wrong.message
    assert "as its certificate names it" in wrong.advice


async def test_the_ca_file_makes_a_private_authority_trusted_and_no_other(tmp_path: Path, authority: Path) -> None:
    signed, strange = server_context(tmp_path, SIGNED), server_context(tmp_path, PEM)
    answers = answering(http(200, b"{}"))
    async with serving(answers, signed) as ours, serving(answers, strange) as other:
        async with transport(ca_file=authority) as opened:
            assert isinstance(await opened.send("POST", ours.url, HEADERS, b"{}"), Answer)
            refused = await opened.send("POST", other.url, HEADERS, b"{}")
        async with transport() as opened:
            unknown = await opened.send("POST", ours.url, HEADERS, b"{}")
    assert isinstance(refused, NoAnswer)
    assert isinstance(unknown, NoAnswer)
    assert (refused.fatal, unknown.fatal) == (True, True)
    assert "`cloud.ca_file`" in unknown.advice


async def test_the_ca_file_stands_beside_the_systems_roots(
    tmp_path: Path, authority: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = server_context(tmp_path, PEM)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "server.pem"))
    async with serving(answering(http(200, b"{}")), context) as seen, transport(ca_file=authority) as opened:
        assert isinstance(await opened.send("POST", seen.url, HEADERS, b"{}"), Answer)


async def test_an_expired_certificate_is_fatal_and_the_clock_is_named(tmp_path: Path, authority: Path) -> None:
    context = server_context(tmp_path, EXPIRED)
    async with serving(answering(http(200, b"{}")), context) as seen, transport(ca_file=authority) as opened:
        answer = await opened.send("POST", seen.url, HEADERS, b"{}")
    assert isinstance(answer, NoAnswer)
    assert (answer.fatal, "expired" in answer.message, "clock" in answer.advice) == (True, True, True)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "No such file"),
        (b"", "holds no certificate"),
        (b"garbage\n", "holds no certificate"),
        (b"-----BEGIN CERTIFICATE-----\nZ2FyYmFnZQ==\n-----END CERTIFICATE-----\n", "holds no certificate"),
    ],
)
async def test_a_ca_file_that_cannot_be_used_is_named(tmp_path: Path, content: bytes | None, why: str) -> None:
    path = tmp_path / "roots.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=why) as raised:
        async with transport(ca_file=path):
            pass
    assert str(path) in str(raised.value)
    assert "`cloud.ca_file`" in raised.value.hint


async def test_a_folder_is_no_ca_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=re.escape(str(tmp_path))):
        async with transport(ca_file=tmp_path):
            pass
