"""No exception of the doors to credentials, proxies and endpoints holds a secret: in itself, or in what led to it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from batcher.cloud.credentials import Credentials, load_credentials
from batcher.cloud.endpoints import check_endpoint
from batcher.cloud.keyring import Keyring
from batcher.cloud.metadata import parse_keys
from batcher.cloud.proxy import Proxy, find_proxies
from batcher.errors import BatcherError
from tests.e2e.secrets import (
    ACCESS,
    AUTH_TOKEN,
    META_ACCESS,
    META_SECRET,
    META_TOKEN,
    PROXY_PASSWORD,
    PROXY_USER,
    SECRET,
    SECURITY_TOKEN,
    assert_none,
    secrets_in,
)
from tests.e2e.test_no_secrets_settings import BROKEN, CREDENTIALS, PROFILES


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """An exception and all that led to it, suppressed or not."""
    if error is not None:
        yield error
        yield from chain(error.__cause__)
        yield from chain(error.__context__)


def held(error: BaseException) -> list[str]:
    """The secrets in the texts, arguments and notes of an exception and of what led to it."""
    texts = [
        text
        for one in chain(error)
        for text in (str(one), repr(one), repr(one.args), repr(vars(one)), *getattr(one, "__notes__", ()))
    ]
    return [leak for text in texts for leak in secrets_in(text.encode("utf-8", "replace"))]


def raised(call: Callable[[], object]) -> BatcherError:
    """What a call raises on purpose."""
    with pytest.raises(BatcherError) as caught:
        call()
    return caught.value


@pytest.mark.parametrize("name", PROFILES)
async def test_an_error_about_a_profile_file_holds_nothing_of_it(tmp_path: Path, name: str) -> None:
    path = tmp_path / ".huaweicloud" / "credentials"
    path.parent.mkdir()
    path.write_text(PROFILES[name], encoding="latin-1")
    assert_none(held(raised(lambda: load_credentials("default", {}, tmp_path))))
    with pytest.raises(BatcherError) as caught:
        await Keyring(environment={}, home=tmp_path).of("default")
    assert_none(held(caught.value))


@pytest.mark.parametrize("name", CREDENTIALS)
def test_an_error_about_a_variable_holds_nothing_of_it(tmp_path: Path, name: str) -> None:
    environment = CREDENTIALS[name].extra

    def opened() -> None:
        find_proxies(None, environment)
        load_credentials("default", environment, tmp_path)

    assert_none(held(raised(opened)))


@pytest.mark.parametrize("before", ["", "12/", "?", "#", "%zz/", "[", "x:y/"])
def test_an_error_about_an_endpoint_or_a_proxy_holds_nothing_of_it(before: str) -> None:
    assert_none(held(raised(lambda: check_endpoint(BROKEN.format(before)))))
    assert_none(held(raised(lambda: find_proxies(BROKEN.format(before), {}))))


@pytest.mark.parametrize("lost", ["access", "secret", "securitytoken", "}"])
def test_an_error_about_an_answer_of_the_metadata_service_holds_nothing_of_it(lost: str) -> None:
    body = (
        f'{{"credential": {{"access": "{META_ACCESS}", "secret": "{META_SECRET}", "securitytoken": "{META_TOKEN}"}}}}'
    )
    assert_none(held(raised(lambda: parse_keys(body.replace(lost, "x", 1).encode()))))


def test_what_holds_a_secret_does_not_show_it() -> None:
    """As a debugger, a log line or a traceback with values would."""
    credentials = Credentials(ACCESS, SECRET, SECURITY_TOKEN, AUTH_TOKEN, source="here")
    proxy = Proxy("http://127.0.0.1:1", PROXY_USER, PROXY_PASSWORD)
    for text in (f"{credentials}", f"{[credentials]!r}", f"{proxy}", f"{(proxy, credentials)!r}"):
        assert secrets_in(text.encode()) == []


def test_a_secret_in_what_led_to_an_error_is_found() -> None:
    def quiet() -> None:
        try:
            raise ValueError(SECRET)
        except ValueError:
            raise BatcherError("quiet") from None

    error = raised(quiet)
    assert secrets_in(str(error).encode()) == []
    assert held(error)
