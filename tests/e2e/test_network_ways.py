"""The way to the provider is wrong: by name, certificate, handshake or redirection. Nothing is sent there or elsewhere.

Each is met by the same command on the same inventory, and so is the right way at the end.
"""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.cloud.servers import Seen, answering, http, serving
from tests.cloud.tls import AUTHORITY, EXPIRED, PEM, SIGNED, server_context
from tests.e2e.clouds import Cloud, assert_created_once, cloud
from tests.e2e.commands import EMULATOR_KEYS, Ended, batcher, column, write_settings
from tests.e2e.fronts import Exchange, Fault, always, front
from tests.e2e.inventories import some_rows, write_rows
from tests.e2e.test_network_faults import SETTINGS, assert_report_is_true, through

WAYS = SETTINGS.replace("[run]", "ca_file = 'authority.pem'\n[run]\nretry_time_s = 1")
REDIRECTIONS = (
    ("elsewhere", 307, "create"),
    ("plain http", 308, "create"),
    ("elsewhere", 301, "list"),
    ("itself", 302, "list"),
)


async def run_at(folder: Path, url: str, *words: str) -> Ended:
    """The command, whatever the way."""
    ended = await batcher(folder, *words, "--endpoint", url, extra=EMULATOR_KEYS)
    assert "Traceback" not in ended.err, ended.err
    return ended


async def cut_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: Seen) -> None:
    """Take the client's side of the handshake, and no more."""
    await reader.read(100)


async def wrong_ways(stack: AsyncExitStack, folder: Path, sky: Cloud) -> dict[str, tuple[str, str]]:
    """By what is wrong: a URL, and what must be said of it."""

    async def behind(pem: str, host: str = "127.0.0.1") -> str:
        made = await stack.enter_async_context(front(sky.url, tls=server_context(folder, pem), host=host))
        return made.url

    cut = await stack.enter_async_context(serving(cut_off))
    return {
        "expired": (await behind(EXPIRED), "expired"),
        "signed by itself": (await behind(PEM), "certificate"),
        "another host's": (await behind(SIGNED, "127.0.0.2"), "mismatch"),
        "cut off": (cut.url.replace("http:", "https:"), "closed by the other side"),
        "no TLS": (sky.url.replace("http:", "https:"), "TLS handshake"),
        "no such name": ("https://er.nowhere.invalid", "could not be resolved"),
    }


@pytest.mark.timeout(60)
async def test_no_call_goes_over_a_way_that_proves_nothing_and_the_right_one_settles_all(tmp_path: Path) -> None:
    (tmp_path / "authority.pem").write_text(AUTHORITY, encoding="ascii")
    write_settings(tmp_path, WAYS)
    inventory = write_rows(tmp_path / "routers.csv", wishes := some_rows(4))
    async with cloud() as sky, AsyncExitStack() as stack:
        for name, (url, said) in (await wrong_ways(stack, tmp_path, sky)).items():
            ended = await run_at(tmp_path, url, "run", str(inventory), "--reconcile", "never")
            assert (ended.code, said in ended.out) == (7, True), (name, ended.code, ended.out)
            assert column(tmp_path, "outcome") == ["skipped"] * 4
            assert set(column(tmp_path, "first_sent_at")) == {""}
            for words in (("plan", str(inventory)), ("doctor", str(inventory))) if name == "expired" else ():
                ended = await run_at(tmp_path, url, *words)
                assert (ended.code, said in ended.err + ended.out) == (7, True), (words, ended.code, ended.err)
        assert (await sky.statistics())["calls"] == {}

        right = await stack.enter_async_context(front(sky.url, tls=server_context(tmp_path, SIGNED)))
        ended = await through(right, tmp_path, "run", str(inventory))
        assert ended.code == 0, ended.err
        assert column(tmp_path, "outcome") == ["created"] * 4
        assert set(column(tmp_path, "generation")) == {"0"}
        await assert_report_is_true(tmp_path, sky, wishes)
        assert_created_once(await sky.statistics(), 4)


@pytest.mark.timeout(60)
async def test_a_redirection_is_followed_nowhere_and_stops_the_run(tmp_path: Path) -> None:
    """To another host, in a circle, and from TLS to plain text: nobody there gets a signature to see."""
    (tmp_path / "authority.pem").write_text(AUTHORITY, encoding="ascii")
    write_settings(tmp_path, WAYS)
    inventory = write_rows(tmp_path / "routers.csv", wishes := some_rows(4))

    def to(status: int, url: str) -> Fault:
        async def redirect(exchange: Exchange) -> bool:
            return await exchange.say(http(status, b"", f"Location: {url}/v3/elsewhere?x=1"))

        return redirect

    tls = server_context(tmp_path, SIGNED)
    async with cloud() as sky, serving(answering(http(202, b"{}"))) as other, front(sky.url, tls=tls) as before:
        places = {"elsewhere": other.url, "itself": before.url, "plain http": before.url.replace("https:", "http:")}
        for name, status, kind in REDIRECTIONS:
            before.plan = always(kind, to(status, places[name]))
            calls = before.calls.total()
            mode = "never" if kind == "create" else "always"
            ended = await through(before, tmp_path, "run", str(inventory), "--reconcile", mode)
            assert (ended.code, "redirected to" in ended.out) == (7, True), (name, kind, ended.out)
            assert before.calls.total() == calls + 1
        assert (other.connections, (await sky.statistics())["calls"]) == (0, {})

        before.plan = lambda _: None
        ended = await through(before, tmp_path, "run", str(inventory))
        assert ended.code == 0, ended.err
        await assert_report_is_true(tmp_path, sky, wishes)
        assert_created_once(await sky.statistics(), 4)
