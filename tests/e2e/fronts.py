"""A front on loopback between `batcher` and an emulated cloud: it does to calls what networks and gateways do.

A front reads each call whole and asks its plan for a fault. A fault gets the exchange, in which it can pass the call on
(the cloud then has done it, whatever is answered), say any bytes, and wait for the client to leave. It returns whether
the connection goes on. Calls without a fault are passed on as they are.
"""

import asyncio
import re
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ssl import SSLContext
from urllib.parse import urlsplit

from tests.cloud.servers import Request, Seen, read_request, reset, serving

Fault = Callable[["Exchange"], Awaitable[bool]]
Plan = Callable[["Call"], Fault | None]

HEAD_END = b"\r\n\r\n"


@dataclass(frozen=True)
class Call:
    """A call as it came: its kind, and what it is about (attachment, flow log or router)."""

    kind: str
    subject: str
    raw: bytes


@dataclass
class Exchange:
    """One call, and both sides of its way."""

    call: Call
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    front: "Front"
    upstream: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]

    async def pass_on(self) -> bytes:
        """Have the cloud do it; its whole answer."""
        if not self.upstream:
            target = urlsplit(self.front.target)
            self.upstream.append(await asyncio.open_connection(target.hostname, target.port))
        reader, writer = self.upstream[0]
        writer.write(self.call.raw)
        head = await reader.readuntil(HEAD_END)
        length = re.search(rb"(?i)content-length: (\d+)", head)
        answer = head + await reader.readexactly(int(length[1]) if length else 0)
        self.front.answers[self.call.kind].append(answer)
        return answer

    async def say(self, *pieces: bytes) -> bool:
        """Write these, each in a packet of its own; the connection goes on."""
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
        return True

    async def until_left(self) -> bool:
        """Say nothing more until the client has left."""
        while await self.reader.read(65536):
            pass
        return False

    def reset(self) -> bool:
        """End the connection with a RST."""
        reset(self.writer)
        return False


@dataclass
class Front:
    """A running front; `plan` may be replaced at any time."""

    target: str
    plan: Plan
    url: str = ""
    calls: Counter[str] = field(default_factory=Counter)
    answers: dict[str, list[bytes]] = field(default_factory=lambda: defaultdict(list))
    """The cloud's answers by kind of call, in their order."""
    connections: int = 0

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: Seen) -> None:
        self.connections += 1
        upstream: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        try:
            while True:
                call = _call_of(await read_request(reader, seen))
                self.calls[call.kind] += 1
                fault = self.plan(call) or faithfully
                if not await fault(Exchange(call, reader, writer, self, upstream)):
                    return
        finally:
            for _, far in upstream:
                far.close()


async def faithfully(exchange: Exchange) -> bool:
    """Pass the call on, and the answer back."""
    return await exchange.say(await exchange.pass_on())


@asynccontextmanager
async def front(
    target: str, plan: Plan = lambda _: None, tls: SSLContext | None = None, host: str = "127.0.0.1"
) -> AsyncIterator[Front]:
    """A front before the cloud at the URL `target`."""
    made = Front(target, plan)
    async with serving(made.handle, tls, host) as seen:
        made.url = seen.url
        yield made


def once_each(kind: str, faults: Mapping[str, Fault]) -> Plan:
    """A fault for the first call of this kind on each of these subjects."""
    left = dict(faults)
    return lambda call: left.pop(call.subject, None) if call.kind == kind else None


def always(kinds: str, fault: Fault) -> Plan:
    """A fault for each call of these kinds, named in one text."""
    return lambda call: fault if call.kind in kinds.split() else None


def _call_of(request: Request) -> Call:
    method, target, _ = request.line.split(" ")
    path = urlsplit(target).path
    parts = path.partition("/enterprise-router/")[2].split("/")
    head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    raw = f"{request.line}\r\n{head}\r\n".encode("latin-1") + request.body
    if len(parts) < 2:
        return Call(parts[0], parts[0], raw)
    kinds = {("GET", 2): "list", ("POST", 2): "create", ("PUT", 3): "update", ("DELETE", 3): "delete"}
    kind = kinds.get((method, len(parts)), parts[-1]) if parts[1] == "flow-logs" else parts[1]
    found = re.search(rb'"resource_id":"([^"]+)"', request.body)
    subject = found[1].decode() if found and kind == "create" else parts[2] if len(parts) > 2 else parts[0]
    return Call(kind, subject, raw)
