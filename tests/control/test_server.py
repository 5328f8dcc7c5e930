"""The control socket over real connections: what clients may do to it, what it does to the run, and its file."""

import asyncio
import errno
import json
import os
import socket
import stat
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from batcher.control import socket_file
from batcher.control.client import ask
from batcher.control.server import CLIENTS_MAX, is_trusted, serve
from batcher.control.socket_file import ADDRESS_BYTES_MAX, BACKLOG, connect, socket_path
from batcher.errors import ConfigError, ControlError, LedgerError
from batcher.policy.control import REQUEST_BYTES_MAX, Action, LiveStatus, Request
from tests.policy.test_control import LANE, STATUS

ASK = Request(Action.STATUS)


@dataclass
class Batch:
    """Does what it is asked at once, unless it is told otherwise."""

    status: LiveStatus = STATUS
    raises: Exception | None = None
    asked: list[Request] = field(default_factory=list)
    warnings: list[tuple[str, str]] = field(default_factory=list)

    async def obey(self, request: Request) -> LiveStatus:
        self.asked.append(request)
        if self.raises is not None:
            raise self.raises
        return self.status

    def warn(self, message: str, hint: str) -> None:
        self.warnings.append((message, hint))


@asynccontextmanager
async def served(path: Path, batch: Batch | None = None, *, client_s_max: float = 5.0) -> AsyncIterator[Batch]:
    """A batch that can be asked at `path`, or has warned that it cannot."""
    batch = batch or Batch()

    async def work() -> None:
        await serve(path, batch.obey, batch.warn, client_s_max=client_s_max)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(work)
        await anyio.wait_all_tasks_blocked()
        yield batch
        tasks.cancel_scope.cancel()


async def said(path: Path, text: bytes, *, ends: bool = False) -> dict[str, Any]:
    """What comes back for these bytes, after which the client may end its writing; empty if nothing does."""
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        writer.write(text)
        if ends:
            writer.write_eof()
        line = await reader.readline()
        return dict(json.loads(line)) if line else {}
    finally:
        writer.close()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return socket_path(tmp_path / "ledger.db")


# --- what is asked --------------------------------------------------------------------------------------


async def test_a_request_is_done_and_answered(path: Path) -> None:
    async with served(path) as batch:
        assert await ask(path, Request(Action.PAUSE)) == STATUS
        assert await said(path, b'{"action": "drain"}\n') == json.loads(
            json.dumps({"ok": True, "status": {**vars_of(STATUS), "lanes": [vars_of(LANE)]}})
        )
    assert batch.asked == [Request(Action.PAUSE), Request(Action.DRAIN)]
    assert batch.warnings == []


def vars_of(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__dataclass_fields__}


GARBAGE = [
    b"\n",
    b"status\n",
    b"\x00\xff\xfe\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"[" * 4000 + b"\n",
    b'{"action": "stop"}\n',
]


async def test_garbage_is_answered_with_an_error_and_the_next_client_is_served(path: Path) -> None:
    async with served(path) as batch:
        for text in GARBAGE:
            answer = await said(path, text)
            assert answer["ok"] is False
            assert "`action`" in answer["error"] or "one line of JSON" in answer["error"]
        assert await ask(path, ASK) == STATUS
    assert batch.asked == [ASK]
    assert batch.warnings == []


@pytest.mark.parametrize("size", [REQUEST_BYTES_MAX + 1, 3_000_000])
async def test_a_line_without_end_is_not_read_to_its_end(path: Path, size: int) -> None:
    async with served(path) as batch:
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b"x" * size)
        answer = json.loads(await reader.readline())
        writer.transport.abort()
        assert (answer["ok"], answer["error"]) == (False, "a request has at most 4,096 bytes")
        assert await ask(path, ASK) == STATUS
    assert batch.asked == [ASK]


async def test_half_a_line_is_no_request_and_no_line_is_no_trouble(path: Path) -> None:
    async with served(path) as batch:
        answer = await said(path, b'{"action": "drain"}', ends=True)
        assert (answer["ok"], answer["error"]) == (False, "a request is one line of JSON")
        assert await said(path, b"", ends=True) == {}
        for _ in range(20):  # come and gone
            _, writer = await asyncio.open_unix_connection(path)
            writer.transport.abort()
        assert await ask(path, ASK) == STATUS
    assert batch.asked == [ASK]


async def test_clients_that_say_nothing_hold_nobody_up_for_long(path: Path) -> None:
    async with served(path, client_s_max=0.3) as batch:
        silent = [await asyncio.open_unix_connection(path) for _ in range(CLIENTS_MAX + 3)]
        assert await ask(path, ASK) == STATUS
        for reader, writer in silent:
            answer = json.loads(await reader.readline())
            assert (answer["ok"], answer["error"]) == (False, "no request came in 0.3 s")
            assert await reader.read() == b""
            writer.close()
    assert batch.asked == [ASK]


async def test_a_client_that_takes_no_answer_holds_nobody_up_for_long(path: Path) -> None:
    batch = Batch(replace(STATUS, lanes=(LANE,) * 20_000))  # more than a socket holds
    async with served(path, batch, client_s_max=0.3):
        greedy = [await asyncio.open_unix_connection(path, limit=2) for _ in range(CLIENTS_MAX)]
        for _, writer in greedy:
            writer.write(b'{"action": "status"}\n')
        while len(batch.asked) < CLIENTS_MAX:
            await anyio.sleep(0)
        batch.status = STATUS
        assert await ask(path, ASK) == STATUS
        for _, writer in greedy:
            writer.transport.abort()


async def test_two_clients_are_served_side_by_side(path: Path) -> None:
    async with served(path) as batch:
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b'{"action": ')
        assert await ask(path, ASK) == STATUS
        writer.write(b'"pause"}\n')
        assert json.loads(await reader.readline())["ok"] is True
        writer.close()
    assert batch.asked == [ASK, Request(Action.PAUSE)]


@pytest.mark.parametrize(
    ("raised", "error", "hint"),
    [
        (LedgerError("cannot write the ledger: disk full", hint="free space"), "nothing was changed: cannot", "free"),
        (ZeroDivisionError("division by zero"), "a fault in batcher itself: ZeroDivisionError", ""),
    ],
)
async def test_what_cannot_be_done_is_told_and_ends_nothing(
    path: Path, raised: Exception, error: str, hint: str
) -> None:
    batch = Batch(raises=raised)
    async with served(path, batch):
        with pytest.raises(ControlError, match=error) as refused:
            await ask(path, Request(Action.DRAIN))
        assert hint in refused.value.hint
        assert "Traceback" not in str(refused.value)
        batch.raises = None
        assert await ask(path, ASK) == STATUS
    assert batch.warnings == []


async def test_who_was_heard_is_answered_though_the_batch_ends(path: Path) -> None:
    begun, go_on = anyio.Event(), anyio.Event()
    answers: list[LiveStatus | None] = []

    class Slow(Batch):
        async def obey(self, request: Request) -> LiveStatus:
            begun.set()
            await go_on.wait()
            return await super().obey(request)

    async def client() -> None:
        answers.append(await ask(path, Request(Action.DRAIN)))

    async def end() -> None:
        await begun.wait()
        serving.cancel()
        go_on.set()

    batch = Slow()
    async with anyio.create_task_group() as tasks:
        with anyio.CancelScope() as serving:
            tasks.start_soon(client)
            tasks.start_soon(end)
            await serve(path, batch.obey, batch.warn)
    assert answers == [STATUS]
    assert not path.exists()


# --- who asks -------------------------------------------------------------------------------------------


def test_root_and_the_batchs_own_user_are_heard() -> None:
    heard = [(peer, own) for peer in (0, 1000, 1001) for own in (0, 1000) if is_trusted(peer, own)]
    assert heard == [(0, 0), (0, 1000), (1000, 1000)]
    assert is_trusted(None, 1000)


STRANGER = """
import os, socket, sys
os.setuid(65534)
with socket.socket(socket.AF_UNIX) as client:
    client.connect(sys.argv[1])
    try:
        client.sendall(b'{"action": "drain"}\\n')
    except BrokenPipeError:
        pass  # it was answered unheard
    print(client.makefile().readline())
"""


@pytest.mark.skipif(os.geteuid() != 0 or sys.platform != "linux", reason="only root can be another user")
async def test_another_user_is_not_heard_even_where_the_socket_lets_him_in() -> None:
    async with anyio.TemporaryDirectory() as name:
        path = socket_path(Path(name) / "ledger.db")
        path.parent.chmod(0o755)
        async with served(path) as batch:
            ended = await anyio.run_process([sys.executable, "-c", STRANGER, str(path)], check=False)
            assert b"PermissionError" in ended.stderr
            path.chmod(0o666)
            ended = await anyio.run_process([sys.executable, "-c", STRANGER, str(path)], check=False)
            answer = json.loads(ended.stdout)
            assert (answer["ok"], answer["error"]) == (False, "only the user of the batch and root may ask it")
        assert batch.asked == []


# --- the file -------------------------------------------------------------------------------------------


async def test_a_link_in_the_place_of_the_socket_is_not_followed() -> None:
    async with anyio.TemporaryDirectory() as name:
        path, elsewhere = socket_path(Path(name) / "ledger.db"), socket_path(Path(name) / "other.db")
        async with served(elsewhere) as other:
            path.symlink_to(elsewhere)
            with pytest.raises(ControlError, match="is a link"):
                await ask(path, ASK)
            async with served(path) as batch:
                assert [message for message, _ in batch.warnings]
        assert (other.asked, batch.asked) == ([], [])


async def test_a_link_in_the_place_where_the_socket_is_made_is_not_followed() -> None:
    async with anyio.TemporaryDirectory() as name:
        (precious := Path(name) / "precious").mkdir()
        (precious / "s").touch()
        path = socket_path(Path(name) / "ledger.db")
        path.with_name(f".{path.name}").symlink_to(precious)
        async with served(path) as batch:
            assert [message for message, _ in batch.warnings]
        assert (precious / "s").exists()


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
async def test_the_socket_is_its_owners_alone_from_the_first_moment_and_gone_at_the_end(
    path: Path, umask: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    moments: list[tuple[list[int], int]] = []
    rename: Callable[..., None] = os.rename

    def watched(source: str, target: str, **places: int) -> None:
        folders = [mode(each) for each in path.parent.iterdir()]
        moments.append((folders, stat.S_IMODE(os.stat(source, dir_fd=places["src_dir_fd"]).st_mode)))
        rename(source, target, **places)

    monkeypatch.setattr(os, "rename", watched)
    before = os.umask(umask)
    try:
        async with served(path):
            assert moments == [([0o700], 0o600)]  # made where nobody else comes in
            assert mode(path) == 0o600
            assert list(path.parent.iterdir()) == [path]
            assert os.umask(umask) == umask
    finally:
        os.umask(before)
    assert list(path.parent.iterdir()) == []


async def test_what_a_dead_process_left_is_replaced(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    workshop = path.with_name(f".{path.name}")
    workshop.mkdir()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(workshop / "s"))
    assert await ask(path, ASK) is None
    async with served(path):
        assert await ask(path, ASK) == STATUS
        assert mode(path) == 0o600
    assert list(path.parent.iterdir()) == []


async def test_the_socket_of_a_successor_is_left_alone(path: Path) -> None:
    async with served(path):
        path.unlink()
        with socket.socket(socket.AF_UNIX) as successor:
            successor.bind(str(path))
    assert path.is_socket()


@pytest.mark.parametrize("what", ["a file", "a folder", "no folder", "a folder in the way"])
async def test_a_socket_that_cannot_be_opened_is_one_warning(path: Path, what: str) -> None:
    if what == "a file":
        path.write_text("mine")
    elif what == "a folder":
        path.mkdir()
    elif what == "no folder":
        path = path.parent / "gone" / path.name
    else:
        (path.with_name(f".{path.name}") / "mine").mkdir(parents=True)
    async with served(path) as batch:
        ((message, hint),) = batch.warnings
        assert message.startswith(f"no live control of this run: its socket `{path}`: ")
        assert "`batcher ctl` cannot reach it" in hint
        assert await ask(path, ASK) is None
    assert what != "a file" or path.read_text() == "mine"
    assert "in the way" not in what or (path.with_name(f".{path.name}") / "mine").is_dir()


linux = pytest.mark.skipif(sys.platform != "linux", reason="open files have a short name on Linux only")


@linux
@pytest.mark.parametrize(("folders", "name"), [(["d" * 200] * 8, "ledger.db"), ([], "n" * 240), (["d" * 80], "l.db")])
async def test_a_path_of_any_length_will_do(tmp_path: Path, folders: list[str], name: str) -> None:
    path = socket_path(tmp_path.joinpath(*folders, name))
    path.parent.mkdir(parents=True, exist_ok=True)
    assert len(str(path)) > ADDRESS_BYTES_MAX
    assert await ask(path, ASK) is None
    async with served(path) as batch:
        assert batch.warnings == []
        assert await ask(path, ASK) == STATUS
        assert mode(path) == 0o600
    assert list(path.parent.iterdir()) == []


async def test_a_path_is_measured_in_bytes_and_fits_to_the_last(tmp_path: Path) -> None:
    room = ADDRESS_BYTES_MAX - len(str(tmp_path)) - len("/.sock")
    assert room > 10
    for name in ("x" * room, "x" * (room + 1), "é" * (room // 2), "é" * (room // 2 + 1)):
        path = socket_path(tmp_path / name)
        async with served(path) as batch:
            if sys.platform == "linux":
                assert batch.warnings == []
                assert await ask(path, ASK) == STATUS


async def test_a_path_that_is_too_long_where_files_have_no_short_name_is_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket_file, "OPEN_FILES", str(tmp_path / "no-proc"))
    path = socket_path(tmp_path / ("d" * 200) / "ledger.db")
    path.parent.mkdir()
    async with served(path) as batch:
        ((message, _),) = batch.warnings
        assert "the path is too long for a socket" in message
    assert list(path.parent.iterdir()) == []


async def test_a_folder_that_was_renamed_meanwhile_is_tidied_all_the_same(path: Path) -> None:
    folder = path.parent / "reports"
    folder.mkdir()
    async with served(folder / path.name):
        folder.rename(path.parent / "moved")
        assert await ask(path.parent / "moved" / path.name, ASK) == STATUS
    assert list((path.parent / "moved").iterdir()) == []


# --- who asks and what it finds -------------------------------------------------------------------------


async def test_nobody_there_is_no_error(path: Path) -> None:
    assert await ask(path, ASK) is None
    path.write_text("no socket")
    assert await ask(path, ASK) is None
    assert await ask(path / "below a file", ASK) is None


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"", "ended before it answered"),
        (b"hello\n", "is no batch of this version: it is no line of JSON"),
        (b'{"ok": true}\n', "is no batch of this version: it has no status"),
        (b'{"ok": true, "sta', "is no batch of this version"),
        (b'{"ok": false, "error": "not now", "hint": "later"}\n', "not now"),
    ],
)
async def test_an_answer_that_is_none_is_said_to_be_none(path: Path, answer: bytes, error: str) -> None:
    async def odd(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        writer.close()  # unread, what the client says comes back to it as a reset

    server = await asyncio.start_unix_server(odd, path)
    async with server:
        with pytest.raises(ControlError, match=error):
            await ask(path, ASK)


async def test_who_does_not_answer_is_not_waited_for(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.bind(str(path))
        deaf.listen(BACKLOG)
        with pytest.raises(ControlError, match="did not answer"):
            await ask(path, ASK, answer_s_max=0.2)


@linux
async def test_before_a_full_house_one_waits_for_a_place(path: Path) -> None:
    with ExitStack() as stack, socket.socket(socket.AF_UNIX) as full:
        full.bind(str(path))
        full.listen(0)
        while True:
            waiting = stack.enter_context(socket.socket(socket.AF_UNIX))
            waiting.setblocking(False)
            try:
                connect(waiting, path)
            except BlockingIOError:
                break
        with pytest.raises(ControlError, match="did not answer"):
            await ask(path, ASK, answer_s_max=0.2)


@pytest.mark.parametrize(
    ("number", "kind", "said_"),
    [(errno.EACCES, ConfigError, "another user"), (errno.EIO, ControlError, "cannot be asked")],
)
async def test_a_socket_that_may_not_be_used_is_told(
    path: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[Exception], said_: str
) -> None:
    def refuse(connection: socket.socket, path: Path) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("batcher.control.client.connect", refuse)
    with pytest.raises(kind, match=said_):
        await ask(path, ASK)
