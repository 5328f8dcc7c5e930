"""The run's end of its control socket.

The protocol: a client connects to the Unix socket `<ledger>.sock`, writes one request, a line of JSON, and reads one
answer, a line of JSON; then the connection is closed. `policy.control` says what may stand in them. Only this user and
root are heard. A client has `CLIENT_S_MAX` for its request and as long to take its answer. `CLIENTS_MAX` are served
side by side, the next ones wait; a line that is too long, late or no request is answered with an error.

What goes wrong here is a warning at most, and never the run's fault.
"""

import asyncio
import os
import socket
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import anyio

from batcher.control.socket_file import listening
from batcher.errors import BatcherError
from batcher.policy.control import REQUEST_BYTES_MAX, LiveStatus, Request, denial_line, parse_request, status_line

CLIENTS_MAX = 8
"""More operators than that do not type at one moment; each holds some kilobytes."""
CLIENT_S_MAX = 5.0
"""A program writes its line at once; a person with `socat` needs some seconds."""
BREATH_S = 1.0
"""Before another client is let in where the system has no room for one (open files)."""

Obey = Callable[[Request], Awaitable[LiveStatus]]
Warn = Callable[[str, str], None]


async def serve(path: Path, obey: Obey, warn: Warn, *, client_s_max: float = CLIENT_S_MAX) -> None:
    """Serve at `path` until cancelled; a request that was read is still answered then.

    `obey` does what is asked for, and raises `BatcherError` where it cannot. Raises nothing: `warn(message, hint)`
    hears once why nothing can be asked of this run.
    """
    try:
        with listening(path) as listener:
            await _Desk(obey, client_s_max).serve(listener)
    except Exception as error:  # noqa: BLE001  # a run is not to end, whatever ails its control socket
        why = (error.strerror if isinstance(error, OSError) else None) or f"{type(error).__name__}: {error}"
        warn(f"no live control of this run: its socket `{path}`: {why}", "`batcher ctl` cannot reach it; signals do")


class _Desk:
    """Where clients are heard."""

    def __init__(self, obey: Obey, client_s_max: float) -> None:
        self._obey = obey
        self._client_s_max = client_s_max
        self._seats = anyio.Semaphore(CLIENTS_MAX)

    async def serve(self, listener: socket.socket) -> None:
        """Hear whoever comes."""
        loop = asyncio.get_running_loop()
        async with anyio.create_task_group() as clients:
            while True:
                await self._seats.acquire()
                try:
                    connection, _ = await loop.sock_accept(listener)
                except OSError:
                    self._seats.release()
                    await anyio.sleep(BREATH_S)
                    continue
                clients.start_soon(self._hear, connection)

    async def _hear(self, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        try:
            with connection, suppress(OSError):  # who asked may have gone
                answer = await self._request(connection)
                if answer is None:
                    return
                with anyio.CancelScope(shield=True):  # what is recorded is also done
                    line = await answer()
                with anyio.move_on_after(self._client_s_max):
                    await loop.sock_sendall(connection, line)
        finally:
            self._seats.release()

    async def _request(self, connection: socket.socket) -> Callable[[], Awaitable[bytes]] | None:
        """What gives the answer to a client's line; None: it has said nothing."""
        if not is_trusted(peer_uid(connection), os.geteuid()):
            return partial(_deny, "only the user of the batch and root may ask it")
        line = await self._line(connection)
        if line is None:
            return partial(_deny, f"no request came in {self._client_s_max:g} s")
        if not line:
            return None
        try:
            request = parse_request(line)
        except ValueError as error:
            return partial(_deny, str(error))
        return partial(self._do, request)

    async def _line(self, connection: socket.socket) -> bytes | None:
        """What a client writes, to the end of its line or of its writing, or more than is allowed; None: too late."""
        loop = asyncio.get_running_loop()
        line = b""
        with anyio.move_on_after(self._client_s_max):
            while b"\n" not in line and len(line) <= REQUEST_BYTES_MAX:
                block = await loop.sock_recv(connection, REQUEST_BYTES_MAX + 1)
                if not block:
                    break
                line += block
            return line
        return None

    async def _do(self, request: Request) -> bytes:
        try:
            return status_line(await self._obey(request))
        except BatcherError as error:
            return denial_line(f"nothing was changed: {error}", error.hint)
        except Exception as error:  # noqa: BLE001  # the client hears of it, the run goes on
            return denial_line(f"a fault in batcher itself: {type(error).__name__}: {error}")


async def _deny(why: str) -> bytes:
    return denial_line(why)


def peer_uid(connection: socket.socket) -> int | None:
    """The user at the other end of a connection; None where the system does not tell."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return None
    _, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, option, struct.calcsize("3i")))
    return int(uid)


def is_trusted(peer: int | None, own: int) -> bool:
    """Whether a user may ask: our own and root; where nobody is told, the socket's mode has kept others out."""
    return peer is None or peer in (0, own)
