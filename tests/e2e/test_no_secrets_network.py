"""No secret is written when the way to the provider fails: proxies, TLS, broken answers, signals, a full disk."""

import asyncio
import base64
import contextlib
import json
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.cloud.metadata_server import Service
from tests.cloud.servers import Handler, Seen, read_request, serving, tunnelling
from tests.cloud.tls import PEM, server_context
from tests.e2e import secrets
from tests.e2e.clouds import cloud
from tests.e2e.commands import Ended, batcher, environment, side_by_side, start, write_settings
from tests.e2e.inventories import some_rows, write_rows
from tests.e2e.secrets import AUTH_TOKEN, KEYS, PROXY, PROXY_PASSWORD, PROXY_USER, TOKEN, assert_none, leaks
from tests.e2e.test_access import closed_port
from tests.e2e.test_doctor import place

SETTINGS = (
    "[cloud]\nconnect_timeout_s = 2\nanswer_timeout_s = 2\n"
    "[run]\nattempts_max = 2\nbackoff_base_s = 0.01\nbackoff_cap_s = 0.02\nretry_time_s = 1\n"
)
CUT = 300
"""Characters of a transport's message: what stands there is shown in part, if it is shown."""
FAR = "https://er.cloud.invalid"

Outcome = tuple[list[int], list[str]]
"""Exit codes, and leaks."""


async def tried(folder: Path, endpoint: str, extra: Mapping[str, str], *, visit: bool = True) -> Outcome:
    """A run, and a doctor's visit if wanted, at highest verbosity, towards an endpoint."""
    folder.mkdir()
    write_settings(folder, SETTINGS)
    inventory = write_rows(folder / "routers.csv", some_rows(2))
    ended = [await batcher(folder, "run", str(inventory), "--endpoint", endpoint, "-vv", extra=extra)]
    if visit:
        words = ("doctor", *place(), "-vv", "--output", "json")
        ended.append(await batcher(folder, *words, "--endpoint", endpoint, extra=extra))
    return [command.code for command in ended], leaks(folder, *ended)


async def towards(folder: Path, handler: Handler, extra: Mapping[str, str], *, visit: bool = False) -> Outcome:
    """The same, to a server; a visit takes seconds where nothing is answered."""
    async with serving(handler) as seen:
        return await tried(folder, seen.url, extra, visit=visit)


async def through(folder: Path, handler: Handler) -> Outcome:
    """The same, through a proxy that the environment names with its password."""
    async with serving(handler) as seen:
        proxy = seen.url.replace("://", f"://{PROXY}@")
        outcome = await tried(folder, FAR, {**KEYS, "HTTPS_PROXY": proxy})
        assert seen.requests
        return outcome


def saying(*heads: str, line: str = "", body: str = "") -> Handler:
    """Answer with a status line of any kind, some headers and a body.

    `{echo}` is all that a request said of its sender, `{who}` the proxy's user and password alone.
    """

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: Seen) -> None:
        while True:
            request = await read_request(reader, seen)
            given = request.headers.get("Proxy-Authorization", "")
            plain = base64.b64decode(given.removeprefix("Basic ")).decode()
            told = "; ".join(f"{name}: {value}" for name, value in request.headers.items())
            lines = [text.replace("{echo}", told).replace("{who}", plain) for text in (line, *heads)]
            content = body.replace("{echo}", f"{plain} {told}").encode()
            writer.write("\r\n".join([*lines, f"Content-Length: {len(content)}"]).encode() + b"\r\n\r\n" + content)
            await writer.drain()

    return handle


async def test_a_proxy_that_fails_in_any_way_has_its_password_written_nowhere(tmp_path: Path) -> None:
    handlers = {
        "who": saying('Proxy-Authenticate: Basic realm="{echo}"', line="HTTP/1.1 407 {echo}", body="<p>{echo}"),
        "page": saying("Location: http://h.example/{echo}", line="HTTP/1.1 502 {who}", body="{echo}"),
        "moved": saying("Location: http://{who}@h.example/", line="HTTP/1.1 302 {who}"),
        "no http": saying(line="220 welcome {echo}"),
        "no http either": saying(line="220 welcome {who}"),
        "bad header": saying("no header at all {who}", line="HTTP/1.1 200 OK"),
        "nothing there": tunnelling("http://127.0.0.1:9", f"{PROXY_USER}:{PROXY_PASSWORD}"),
    }
    outcomes = await side_by_side(through(tmp_path / name, handler) for name, handler in handlers.items())
    with closed_port() as port:
        gone = {**KEYS, "HTTPS_PROXY": f"http://{PROXY}@127.0.0.1:{port}", "NO_PROXY": "h.example"}
        outcomes.append(await tried(tmp_path / "gone", FAR, gone))
    assert_none(found for _, leaked in outcomes for found in leaked)
    assert {codes[-1] for codes, _ in outcomes} == {7}


async def test_a_tunnel_to_the_wrong_certificate_and_a_working_one_tell_no_password(tmp_path: Path) -> None:
    """The certificate is signed by itself: nothing is sent; to a cloud on loopback no proxy is used."""
    async with serving(saying(line="HTTP/1.1 200 OK"), server_context(tmp_path, PEM)) as far:
        tunnel = tunnelling(far.url, f"{PROXY_USER}:{PROXY_PASSWORD}")
        outcomes = [await through(tmp_path / "tunnel", tunnel), await tried(tmp_path / "direct", far.url, KEYS)]
        assert far.requests == []
    assert_none(found for _, leaked in outcomes for found in leaked)
    assert [codes for codes, _ in outcomes] == [[7, 7]] * 2


async def test_an_answer_that_breaks_off_or_is_no_http_is_written_nowhere(tmp_path: Path) -> None:
    """Texts that quote the request, and a token just where a message is cut; an endpoint that is down."""
    cut = saying(line="220 " + "y" * (CUT - 96) + AUTH_TOKEN)
    broken = {
        "line": saying(line="220 {echo}"),
        "reason": saying("Content-Length: no {echo}", line="HTTP/1.1 503 {echo}", body="{echo}"),
        "header": saying("no header {echo}", line="HTTP/1.1 200 OK"),
        "chunks": saying("Transfer-Encoding: chunked", line="HTTP/1.1 200 OK", body="no chunk {echo}"),
        "encoding": saying("Content-Encoding: gzip", line="HTTP/1.1 200 OK", body="no gzip {echo}"),
    }
    cases = [towards(tmp_path / name, handler, KEYS) for name, handler in broken.items()]
    outcomes = await side_by_side([towards(tmp_path / "cut", cut, TOKEN, visit=True), *cases])
    with closed_port() as port:
        outcomes.append(await tried(tmp_path / "down", f"http://127.0.0.1:{port}", KEYS))
    assert_none(found for _, leaked in outcomes for found in leaked)
    assert {codes[0] for codes, _ in outcomes} == {5, 7}


async def test_a_metadata_service_that_answers_nonsense_is_not_quoted(tmp_path: Path) -> None:
    said = f"{secrets.META_ACCESS} {secrets.META_SECRET} {secrets.META_TOKEN} {secrets.SESSION_TOKEN}"
    parts = {"access": secrets.META_ACCESS, "secret": secrets.META_SECRET, "securitytoken": secrets.META_TOKEN}
    whole = json.dumps({"credential": parts}).encode()

    def service(**answers: object) -> Handler:
        made = Service(**{"token": secrets.SESSION_TOKEN.encode(), "keys": whole, **answers})  # type: ignore[arg-type]
        made.open.set()
        return made.handle

    async def asked(name: str, handler: Handler) -> tuple[int, list[str]]:
        folder = tmp_path / name
        folder.mkdir()
        async with serving(handler) as seen:
            extra = {"BATCHER_CREDENTIALS_METADATA": "true", "BATCHER_CREDENTIALS_METADATA_ENDPOINT": seen.url}
            ended = await batcher(folder, "doctor", *place(), "--endpoint", "http://127.0.0.1:9", "-vv", extra=extra)
            assert "metadata service" in ended.out
            return ended.code, leaks(folder, ended)

    handlers = {
        "text": service(keys=said.encode()),
        "half": service(keys=json.dumps({"credential": {**parts, "secret": None}}).encode()),
        "cut": service(keys=whole[:-9]),
        "unsafe": service(keys=json.dumps({"credential": {**parts, "access": f"{secrets.META_ACCESS}\x01"}}).encode()),
        "refused": service(keys=said.encode(), keys_status=403),
        "token": service(token=f"{said}\x01".encode()),
        "no token": service(token=said.encode(), token_status=500),
        "no http": saying(line=f"220 {said}"),
        "bad header": saying(f"no header {said}", line="HTTP/1.1 200 OK"),
    }
    outcomes = await side_by_side(asked(*case) for case in handlers.items())
    assert_none(found for _, leaked in outcomes for found in leaked)
    assert {code for code, _ in outcomes} == {7}


async def test_a_run_that_is_stopped_at_once_tells_no_secret_nor_does_its_command_line(tmp_path: Path) -> None:
    inventory = write_rows(tmp_path / "routers.csv", some_rows(8))
    async with cloud(keys={secrets.ACCESS: secrets.SECRET}, latency_s=0.4) as sky:
        async with sky.slowly(tmp_path, "run", str(inventory), keys=KEYS) as run:
            await run.until("kind=create", times=2)
            command_lines = b"".join(
                Path(f"/proc/{process}/cmdline").read_bytes()
                for process in (run.process.pid, *children(run.process.pid))
            )
            run.send(signal.SIGINT)
            await run.until("batcher: stopping")
            run.send(signal.SIGINT)
            ended = await run.end()
        assert ended.code == 130, ended.err
        assert b"batcher" in command_lines
        assert secrets.secrets_in(command_lines) == []
        assert_none(leaks(tmp_path, ended))
        resumed = await start(tmp_path, *sky.words("resume"), "-vv", extra=KEYS)
        resumed.kill()
        out, err = await resumed.communicate()
        assert_none(leaks(tmp_path, Ended(resumed.returncode or 0, out.decode(), err.decode())))


def children(process: int) -> list[str]:
    """The processes that a process has started and that are still there."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{process}/task/{process}/children").read_text(encoding="ascii").split()
    return []


async def test_a_fault_of_batcher_itself_prints_no_values(tmp_path: Path) -> None:
    """A part that is broken ends in a traceback: lines of code, and no secret."""
    write_settings(tmp_path, SETTINGS)
    inventory = write_rows(tmp_path / "routers.csv", some_rows(2))
    broken = {
        "import batcher.sitting as part; part.publish = None": ("run", str(inventory)),
        "import batcher.doctor as part; part.diagnose = None": ("doctor", "--region", "cn-north-4"),
    }
    async with cloud(keys={secrets.ACCESS: secrets.SECRET}) as sky:
        for breaks, words in broken.items():
            told = ("--endpoint", sky.url, "-vv", "--output", "json")
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", f"{breaks}; from batcher.__main__ import start; raise SystemExit(start())"),
                *(*words, *told),
                cwd=tmp_path,
                env=environment(tmp_path, KEYS),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            out, said = await process.communicate()
            ended = Ended(process.returncode or 0, out.decode(), said.decode())
            assert ended.code == 1, ended.err
            assert "Traceback" in ended.err
            assert_none(leaks(tmp_path, ended))
