"""Hand-made HTTP servers on loopback: each does exactly one thing to a request, be it never so rude."""

import asyncio
import base64
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from ssl import SSLContext
from struct import pack
from urllib.parse import urlsplit

from batcher.cloud.proxy import Proxies
from batcher.cloud.transport import Transport, open_transport

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter, "Seen"], Awaitable[None]]


@dataclass
class Request:
    line: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Seen:
    """What the server saw: every request, and how many connections were made."""

    url: str = ""
    requests: list[Request] = field(default_factory=list)
    connections: int = 0


async def read_request(reader: asyncio.StreamReader, seen: Seen) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    line, *rest = head.rstrip("\r\n").split("\r\n")
    headers = dict(header.split(": ", 1) for header in rest)
    body = await reader.readexactly(int(headers.get("Content-Length", "0")))
    request = Request(line, headers, body)
    seen.requests.append(request)
    return request


def http(status: int, body: bytes = b"", *headers: str, length: int | None = None) -> bytes:
    """An answer; `length` lies about the body's."""
    lines = [f"HTTP/1.1 {status} Some", f"Content-Length: {len(body) if length is None else length}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def answering(*answers: bytes, linger: bool = True) -> Handler:
    """Give each request of a connection the next answer; then wait for the client to close, or close."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: Seen) -> None:
        for answer in answers:
            await read_request(reader, seen)
            writer.write(answer)
            await writer.drain()
        if linger:
            await reader.read()

    return handle


def tunnelling(target: str, credentials: str | None = None) -> Handler:
    """A proxy: every tunnel, whatever host it is asked for, ends at the URL `target`.

    With `credentials` (`user:password`) a request without them gets a 407.
    """

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: Seen) -> None:
        request = await read_request(reader, seen)
        wanted = credentials and f"Basic {base64.b64encode(credentials.encode()).decode()}"
        if wanted and request.headers.get("Proxy-Authorization") != wanted:
            writer.write(http(407, b"<p>who are you?", 'Proxy-Authenticate: Basic realm="r"'))
            await writer.drain()
            return
        far = urlsplit(target)
        far_reader, far_writer = await asyncio.open_connection(far.hostname, far.port)
        try:
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            async with asyncio.TaskGroup() as group:
                group.create_task(_pump(reader, far_writer))
                group.create_task(_pump(far_reader, writer))
        finally:
            far_writer.close()

    return handle


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()


def unused_port() -> int:
    """A port of 127.0.0.1 on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST instead of FIN."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, pack("ii", 1, 0))
    writer.transport.abort()


@asynccontextmanager
async def serving(handler: Handler, tls: SSLContext | None = None, host: str = "127.0.0.1") -> AsyncIterator[Seen]:
    """A server on a free port of `host`, which must be loopback."""
    seen = Seen()
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.connections += 1
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await handler(reader, writer, seen)
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass
        finally:
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(connected, host, 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    seen.url = f"{'https' if tls else 'http'}://{host}:{port}"
    try:
        yield seen
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def transport(
    *,
    connections_max: int = 4,
    connect_s: float = 5.0,
    answer_s: float = 5.0,
    bytes_max: int = 1 << 20,
    ca_file: Path | None = None,
    proxies: Proxies | None = None,
) -> AsyncIterator[Transport]:
    async with open_transport(
        connections_max=connections_max,
        connect_timeout_s=connect_s,
        answer_timeout_s=answer_s,
        answer_bytes_max=bytes_max,
        ca_file=ca_file,
        proxies=proxies,
    ) as opened:
        yield opened
