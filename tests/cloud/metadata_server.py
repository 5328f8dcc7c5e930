"""A metadata service on loopback, as an ECS server sees it; what it answers can be changed at any time."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from batcher.cloud.metadata import Metadata
from tests.cloud.servers import Seen, http, read_request, serving, transport

NO_AGENCY = b'{"error": {"message": "Please configure Cloud Service Agency first", "code": 401}}'


@dataclass
class Service:
    """What the service answers, and what it was asked; cleared, `open` holds back the keys."""

    keys: bytes = b""
    keys_status: int = 200
    token: bytes = b"session"
    token_status: int = 200
    seen: Seen = field(default_factory=Seen)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    open: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def fetches(self) -> int:
        """How often it was asked for keys."""
        return sum(request.line.startswith("GET ") for request in self.seen.requests)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: Seen) -> None:
        while True:
            request = await read_request(reader, seen)
            if request.line.startswith("PUT "):
                writer.write(http(self.token_status, self.token))
                continue
            self.asked.set()
            await self.open.wait()
            writer.write(http(self.keys_status, self.keys))


def keys(name: str = "meta-ak", **changed: object) -> bytes:
    """An answer with keys; a change of None leaves a member out."""
    values = {
        "access": name,
        "secret": name.replace("ak", "sk"),
        "securitytoken": "meta-sts",
        "expires_at": "2026-11-23T10:00:00.000000Z",
        **changed,
    }
    return json.dumps({"credential": {key: value for key, value in values.items() if value is not None}}).encode()


@asynccontextmanager
async def metadata_service(**answers: object) -> AsyncIterator[tuple[Metadata, Service]]:
    """A running service and its client."""
    service = Service(**({"keys": keys()} | answers))  # type: ignore[arg-type]
    service.open.set()
    async with serving(service.handle) as seen, transport() as opened:
        service.seen = seen
        yield Metadata(opened, seen.url), service
