"""The asker's end of a run's control socket."""

import asyncio
import socket
from contextlib import suppress
from pathlib import Path

import anyio

from batcher.control.socket_file import connect
from batcher.errors import ConfigError, ControlError
from batcher.policy.control import ANSWER_BYTES_MAX, Denial, LiveStatus, Request, parse_answer, request_line

ANSWER_S_MAX = 30.0
"""For the whole exchange: a run answers at once, unless its disk is slow or many ask."""
POLL_S = 0.05
"""How often a socket before which too many wait is tried again."""


async def ask(path: Path, request: Request, *, answer_s_max: float = ANSWER_S_MAX) -> LiveStatus | None:
    """The run at this socket after what is asked for; None: nobody listens there.

    Raises `ConfigError` for a socket that this user may not use, and `ControlError` where it was not done, or nobody
    knows. May be repeated.
    """
    try:
        with anyio.fail_after(answer_s_max), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.setblocking(False)
            while True:
                try:
                    connect(connection, path)
                    break
                except BlockingIOError:
                    await anyio.sleep(POLL_S)
            line = await _exchange(connection, request_line(request))
    except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
        return None
    except PermissionError:
        raise ConfigError(
            f"the socket `{path}` belongs to another user", hint="only the user of the batch and root may ask it"
        ) from None
    except TimeoutError:
        raise ControlError(f"the batch did not answer at `{path}` in {answer_s_max:g} s", hint=_LOOK) from None
    except OSError as error:
        raise ControlError(f"the batch cannot be asked at `{path}`: {error.strerror or error}", hint=_LOOK) from error
    return _read(line, path)


async def _exchange(connection: socket.socket, line: bytes) -> bytes:
    """The line that comes back for one that is sent; what there is of it if the other end goes."""
    loop = asyncio.get_running_loop()
    answer = b""
    with suppress(BrokenPipeError):  # it may have answered before it went
        await loop.sock_sendall(connection, line)
    with suppress(ConnectionResetError):
        while not answer.endswith(b"\n") and len(answer) < ANSWER_BYTES_MAX:
            block = await loop.sock_recv(connection, 65_536)
            if not block:
                break
            answer += block
    return answer


def _read(line: bytes, path: Path) -> LiveStatus:
    if not line:
        raise ControlError(f"the batch at `{path}` ended before it answered", hint=_LOOK)
    try:
        answer = parse_answer(line)
    except ValueError as error:
        raise ControlError(f"what answered at `{path}` is no batch of this version: {error}", hint=_LOOK) from None
    if isinstance(answer, Denial):
        raise ControlError(answer.error, hint=answer.hint)
    return answer


_LOOK = "`batcher status` shows what the ledger has, changes of a run included"
