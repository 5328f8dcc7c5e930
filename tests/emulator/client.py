"""A small client of the API for these tests, with a signer of its own, and bodies to send."""

import hashlib
import hmac
import io
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from multidict import CIMultiDictProxy
from yarl import URL

from batcher.emulator.server import Emulator, EmulatorSettings, running

PROJECT = "0605767a9980d5762fbcc00b3537e757"
ROUTER = "a43c55e9-4911-4030-90e1-5c2bf6ae6fe2"
GROUP = "0139393c-eeb2-49f0-bbd4-c5faec6b1497"
STREAM = "d22c3b44-2f71-470f-83f3-96a8af6956ad"


def some_id(number: int) -> str:
    """An id in the shape that the API wants."""
    return f"00000000-0000-4000-8000-{number:012x}"


def body(number: int = 1, **changes: object) -> dict[str, object]:
    """The body of a create; each number has its own attachment."""
    fields: dict[str, object] = {
        "name": f"log-{number}",
        "description": f"flow log {number}",
        "resource_type": "attachment",
        "resource_id": some_id(number),
        "log_group_id": GROUP,
        "log_stream_id": STREAM,
        "log_store_type": "LTS",
    }
    fields.update(changes)
    return {"flow_log": {name: value for name, value in fields.items() if value is not None}}


def key(number: int) -> str:
    """The natural key of `body(number)` as statistics show it."""
    return f"{PROJECT}/{ROUTER}/{some_id(number)}/{GROUP}/{STREAM}"


def sdk_date(at: float) -> str:
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(at))


def signed(
    method: str,
    path: str,
    host: str,
    content: bytes,
    *,
    access: str = "EMULATORAK",
    secret: str = "EMULATORSK",
    date: str | None = None,
    query: str = "",
) -> dict[str, str]:
    """The headers that sign a call whose path and query need no encoding and no sorting."""
    date = date or sdk_date(time.time())
    body_hash = hashlib.sha256(content).hexdigest()
    canonical = f"{method}\n{path}/\n{query}\nhost:{host}\nx-sdk-date:{date}\n\nhost;x-sdk-date\n{body_hash}"
    text = f"SDK-HMAC-SHA256\n{date}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    signature = hmac.new(secret.encode(), text.encode(), "sha256").hexdigest()
    authorization = f"SDK-HMAC-SHA256 Access={access}, SignedHeaders=host;x-sdk-date, Signature={signature}"
    return {"X-Sdk-Date": date, "Authorization": authorization}


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer; `json` is None where there is no body."""

    status: int
    headers: CIMultiDictProxy[str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text) if self.text else None

    @property
    def flow_log(self) -> dict[str, Any]:
        found: dict[str, Any] = self.json["flow_log"]
        return found

    @property
    def refused(self) -> tuple[int, str]:
        """Status and error code."""
        return self.status, self.json["error_code"]


class Client:
    """Calls one emulator; signs what has no query, and sends `auth_token` with the rest."""

    def __init__(self, emulator: Emulator, session: aiohttp.ClientSession, *, project: str = PROJECT) -> None:
        self.emulator = emulator
        self.url = emulator.url
        self.session = session
        self.base = f"/v3/{project}/enterprise-router"

    async def send(self, method: str, path: str, content: bytes = b"", headers: dict[str, str] | None = None) -> Reply:
        url = URL(self.url + path, encoded=True)
        async with self.session.request(method, url, data=io.BytesIO(content), headers=headers) as answer:
            return Reply(answer.status, answer.headers, await answer.text())

    async def call(
        self, method: str, tail: str, document: object = None, headers: dict[str, str] | None = None
    ) -> Reply:
        content = b"" if document is None else json.dumps(document).encode()
        path = f"{self.base}/{tail}"
        if "?" in path:
            own = {"X-Auth-Token": "ticket"}
        else:
            own = signed(method, path, self.url.removeprefix("http://"), content)
        return await self.send(method, path, content, {**own, **(headers or {})})

    async def ask(self, path: str, query: str = "", *, headers: dict[str, str] | None = None, **key: Any) -> Reply:
        """A signed GET of a whole path; `key` is an `access` key and its `secret`, or a `date`."""
        own = signed("GET", path, self.url.removeprefix("http://"), b"", query=query, **key)
        return await self.send("GET", f"{path}?{query}" if query else path, headers={**own, **(headers or {})})

    async def create(self, document: object = None, *, token: str | None = None, router: str = ROUTER) -> Reply:
        headers = {} if token is None else {"X-Client-Token": token}
        return await self.call("POST", f"{router}/flow-logs", document or body(), headers)

    async def show(self, flow_log_id: str) -> Reply:
        return await self.call("GET", f"{ROUTER}/flow-logs/{flow_log_id}")

    async def page(self, query: str = "", router: str = ROUTER) -> Reply:
        return await self.call("GET", f"{router}/flow-logs{query}")

    async def control(self, method: str, path: str, document: object = None, **headers: str) -> Reply:
        content = b"" if document is None else json.dumps(document).encode()
        return await self.send(method, f"/_emulator{path}", content, headers)

    async def script(self, *rules: dict[str, object]) -> None:
        reply = await self.control("PUT", "/faults/script", list(rules))
        assert reply.status == 200, reply.text

    async def statistics(self) -> dict[str, Any]:
        found: dict[str, Any] = (await self.control("GET", "/statistics")).json
        return found

    async def created(self, number: int = 1, **changes: object) -> str:
        """Create a flow log and return its id."""
        reply = await self.create(body(number, **changes))
        assert reply.status == 202, reply.text
        return str(reply.flow_log["id"])


class Clock:
    """A time that moves by hand; it starts at the real one, so that signatures are in time."""

    def __init__(self) -> None:
        self.at = float(int(time.time()))

    def __call__(self) -> float:
        return self.at


@asynccontextmanager
async def talking(**changes: Any) -> AsyncIterator[Client]:
    """A client of a fresh emulator with these settings."""
    settings = EmulatorSettings(**{"auth_tokens": frozenset({"ticket"}), **changes})
    async with running(settings) as emulator, aiohttp.ClientSession() as session:
        yield Client(emulator, session)
