"""No text that anyone may print, log or store holds a secret."""

import logging
import traceback
from pathlib import Path

import pytest

from batcher.cloud.credentials import Credentials, load_credentials
from batcher.errors import CredentialsError
from batcher.model import Refused
from tests.cloud.servers import answering, http
from tests.cloud.test_client import BODY, CREATED, LANE, TAIL, TOKEN, client_of

AK, SK, STS, TOK = "HUSHACCESSKEY0000001", "hush-secret", "hush-sts/+==", "hush-token"
SECRETS = (AK, SK, STS, TOK)
KEYS = Credentials(AK, SK, STS, source="[basic] in file")


def _assert_clean(text: str) -> None:
    assert [secret for secret in SECRETS if secret in text] == []
    assert "hush" not in text.lower()


@pytest.mark.parametrize("credentials", [KEYS, Credentials("", "", auth_token=TOK, source="HW_AUTH_TOKEN")])
def test_credentials_show_only_their_source(credentials: Credentials) -> None:
    for text in (repr(credentials), str(credentials), f"{credentials}", f"{[credentials]}", f"{credentials!a:>9}"):
        _assert_clean(text)
        assert credentials.source in text


def test_their_secrets_are_listed_for_redaction() -> None:
    assert KEYS.secrets() == (AK, SK, STS)
    assert Credentials("", "", auth_token=TOK).secrets() == (TOK,)


@pytest.mark.parametrize(
    "message",
    [
        f"verify aksk signature fail, canonicalRequest:POST|/v3|host:h|x-security-token:{STS}||{AK}",
        f"Get secretKey failed,ak:{AK},err:ak not exist",
        f"Authorization: SDK-HMAC-SHA256 Access={AK}, SignedHeaders=host, Signature=0",
        f"you sent {SK} and {STS} and {AK}",
        "x" * 490 + STS,
        AK + "x" * 600,
    ],
)
@pytest.mark.parametrize(
    "form", ['{{"error_code":"APIGW.0301","error_msg":"{}"}}', "<html>{}</html>", '{{"error_code":"{}"}}']
)
async def test_a_refusal_that_echoes_the_request_is_clean(message: str, form: str) -> None:
    async with client_of(answering(http(401, form.format(message).encode())), KEYS) as (client, _):
        refused = await client.call(LANE, "POST", TAIL, body=BODY, token=TOKEN, expected=CREATED)
    assert isinstance(refused, Refused)
    _assert_clean(repr(refused))


async def test_nothing_is_logged_and_no_answer_is_clean(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        async with client_of(answering(b"junk " + AK.encode() + b"\r\n\r\n"), KEYS) as (client, _):
            refused = await client.call(LANE, "POST", TAIL, body=BODY, expected=CREATED)
    _assert_clean(repr(refused))
    _assert_clean(caplog.text)


def test_a_traceback_of_a_credentials_error_is_clean(tmp_path: Path) -> None:
    path = tmp_path / "credentials"
    path.write_text(f"[basic]\n{SK}\n", encoding="utf-8")
    with pytest.raises(CredentialsError) as raised:
        load_credentials("default", {"HUAWEICLOUD_SDK_CREDENTIALS_FILE": str(path)}, tmp_path)
    _assert_clean("".join(traceback.format_exception(raised.value)))
