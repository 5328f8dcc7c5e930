"""Hand-made HTTP servers on loopback: each does exactly one thing to a request, be it never so rude."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ssl import SSLContext
from struct import pack

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


def reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST instead of FIN."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, pack("ii", 1, 0))
    writer.transport.abort()


@asynccontextmanager
async def serving(handler: Handler, tls: SSLContext | None = None) -> AsyncIterator[Seen]:
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

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    seen.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
    try:
        yield seen
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def transport(
    *, connections_max: int = 4, connect_s: float = 5.0, answer_s: float = 5.0, bytes_max: int = 1 << 20
) -> AsyncIterator[Transport]:
    async with open_transport(
        connections_max=connections_max,
        connect_timeout_s=connect_s,
        answer_timeout_s=answer_s,
        answer_bytes_max=bytes_max,
    ) as opened:
        yield opened
