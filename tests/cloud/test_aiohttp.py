"""What batcher overrides of aiohttp is still there, and a version in which it is not ends the command."""

import sys
from pathlib import Path
from subprocess import run

import pytest
from aiohttp import ClientSession, TCPConnector
from aiohttp.connector import Connection

from batcher.cloud.transport import AIOHTTP_TESTED, check_aiohttp
from batcher.errors import DependencyError
from tests.e2e.commands import environment


class SyncGet(TCPConnector):
    def _get(self, key: object, traces: object) -> None:  # type: ignore[override]
        pass


class OtherGet(TCPConnector):
    async def _get(self, key: object) -> None:  # type: ignore[override]
        pass


class NoGet:
    async def connect(self, key: object) -> None:
        await self._get(key)  # type: ignore[attr-defined]


class Unasked(TCPConnector):
    async def connect(self, *_: object) -> Connection:
        raise NotImplementedError


class NoProtocol:
    protocol = None


class NoRetry:
    async def _request(self, method: str, url: str, *, middlewares: object = None) -> None:
        pass


def test_the_installed_version_has_it() -> None:
    check_aiohttp()


@pytest.mark.parametrize(
    ("parts", "named"),
    [
        ((SyncGet,), "TCPConnector._get"),
        ((OtherGet,), "TCPConnector._get"),
        ((NoGet,), "TCPConnector._get"),
        ((Unasked,), "TCPConnector.connect"),
        ((object,), "TCPConnector._get`, `TCPConnector.connect"),
        ((TCPConnector, NoRetry), "ClientSession._request"),
        ((TCPConnector, object), "ClientSession._request"),
        ((TCPConnector, ClientSession, NoProtocol), "Connection.protocol"),
        ((TCPConnector, ClientSession, Connection, object), "ResponseHandler.should_close"),
    ],
)
def test_what_is_gone_is_named(parts: tuple[type, ...], named: str) -> None:
    with pytest.raises(DependencyError) as raised:
        check_aiohttp(*parts)
    assert f"`{named}` changed" in str(raised.value)


def test_a_command_ends_before_it_sends_with_the_version_and_the_remedy(tmp_path: Path) -> None:
    code = (
        "import sys, aiohttp, aiohttp.client_proto as proto; from batcher.cli.main import main;"
        " aiohttp.__version__ = '3.99.0'; del proto.ResponseHandler.should_close; sys.exit(main())"
    )
    words = ("run", "rows.csv", "--emulator")
    command = [sys.executable, "-c", code, *words]
    ended = run(command, cwd=tmp_path, env=environment(tmp_path), capture_output=True, check=False)
    assert ended.stderr.decode().splitlines() == [
        "batcher: aiohttp 3.99.0 is not as batcher needs it: `ResponseHandler.should_close` changed",
        f"hint: install the version that was tested: `pip install aiohttp=={AIOHTTP_TESTED}`",
    ]
    assert (ended.returncode, ended.stdout) == (2, b"")
