"""A provider that answers at once and keeps what was made, with no limits and no checks: large loads are held to it.

    python -m tests.bench.keeping_server ROWS ROUTERS

prints its port and serves until its input ends. The routers and attachments that it lists are those of so many rows of
`tests.e2e.inventories.row`, the same in every project. Beside the API it has a control path:

| call | answer |
|---|---|
| `GET /_wait?create=5` | once so many calls of a kind have come since the last reset |
| `GET /_seen` | when the first call of each kind came (`time.monotonic`), and how many came |
| `GET /_reset` | from now on these count anew |
| `GET /_refuse` and `GET /_accept` | creates are refused for good, or taken again |
"""

import asyncio
import json
import sys
import time
from bisect import bisect_right
from collections import Counter
from urllib.parse import parse_qs, urlsplit

from tests.e2e.inventories import some_uuid

PAGE = 2000
LOGS = {
    "log_groups": [{"log_group_id": some_uuid("group")}],
    "log_streams": [{"log_stream_id": some_uuid("stream")}],
}
PARTS = ("name", "resource_id", "log_group_id", "log_stream_id")
KEPT = (*PARTS, "created_at")
REFUSED = {"error_code": "ER.04009005", "error_msg": "not valid", "request_id": "r"}
EXISTS = {"error_code": "ER.04008503", "error_msg": "it exists", "request_id": "r"}


class Router:
    """The flow logs of one router, in the order of their ids."""

    def __init__(self) -> None:
        self.logs: dict[str, tuple[str, ...]] = {}
        self.ids: list[str] = []
        self.by_place: dict[tuple[str, ...], str] = {}


class World:
    """All that is kept, and what has come."""

    def __init__(self, rows: int, routers: int) -> None:
        self.routers: dict[tuple[str, str], Router] = {}
        self.by_token: dict[str, str] = {}
        self.made = 0
        self.refusing = False
        self.seen: Counter[str] = Counter()
        self.first: dict[str, float] = {}
        self.waiting: list[tuple[str, int, asyncio.Transport]] = []
        self.rows = rows
        self.instances = {some_uuid(f"router {number}"): number for number in range(routers)}
        self._second, self._text = 0, ""

    def now(self) -> str:
        """The provider's time, one text for all that is made in a second."""
        second = int(time.time())
        if second != self._second:
            self._second, self._text = second, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(second))
        return self._text

    def note(self, kind: str) -> None:
        """A call has come."""
        self.seen[kind] += 1
        if kind not in self.first:
            self.first[kind] = time.monotonic()
        for waiting in [each for each in self.waiting if self.seen[each[0]] >= each[1]]:
            self.waiting.remove(waiting)
            waiting[2].write(answer(200, {}))


def answer(status: int, body: object) -> bytes:
    """An answer on the wire."""
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = f"HTTP/1.1 {status} x\r\nContent-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n"
    return head.encode() + text


def _log(log_id: str, parts: tuple[str, ...]) -> str:
    """A flow log as JSON; nothing in it needs an escape."""
    members = ",".join(f'"{name}":"{value}"' for name, value in zip(KEPT, parts, strict=True))
    return f'{{"id":"{log_id}","state":"available","enabled":true,"resource_type":"attachment",{members}}}'


def create(world: World, place: tuple[str, str], token: str, body: bytes) -> bytes:
    """Make a flow log, or say what stands in the way."""
    world.note("create")
    if world.refusing:
        return answer(400, REFUSED)
    wish = json.loads(body)["flow_log"]
    parts = *(wish[name] for name in PARTS), world.now()
    router = world.routers.setdefault(place, Router())
    log_id = world.by_token.get(token)
    if log_id is None:
        if parts[1:4] in router.by_place:
            return answer(400, EXISTS)
        world.made += 1
        log_id = f"{world.made:08x}-0000-4000-8000-000000000000"
        world.by_token[token] = log_id
        router.by_place[parts[1:4]] = log_id
        router.logs[log_id] = parts
        router.ids.append(log_id)
    return answer(202, f'{{"flow_log":{_log(log_id, parts)},"request_id":"r"}}'.encode())


def remove(world: World, place: tuple[str, str], log_id: str) -> bytes:
    """Delete a flow log; it is gone at once."""
    world.note("delete")
    router = world.routers.get(place, Router())
    parts = router.logs.pop(log_id, None)
    if parts is not None:
        del router.by_place[parts[1:4]]
    return answer(202, {})


def listed(world: World, place: tuple[str, str], query: dict[str, list[str]]) -> bytes:
    """A page of a router's flow logs."""
    world.note("list")
    router = world.routers.get(place, Router())
    limit, wanted = int(query.get("limit", ["2000"])[0]), frozenset(query.get("resource_id", ()))
    shown: list[str] = []
    last = ""
    for at in range(bisect_right(router.ids, query.get("marker", [""])[0]), len(router.ids)):
        last = router.ids[at]
        parts = router.logs.get(last)
        if parts is not None and (not wanted or parts[1] in wanted):
            shown.append(_log(last, parts))
            if len(shown) == limit:
                break
    total = sum(parts[1] in wanted for parts in router.logs.values()) if wanted else len(router.logs)
    info = json.dumps({"next_marker": last} if len(shown) == limit else {})
    text = f'{{"flow_logs":[{",".join(shown)}],"page_info":{info},"total_count":{total},"request_id":"r"}}'
    return answer(200, text.encode())


def found(member: str, ids: list[str], query: dict[str, list[str]]) -> bytes:
    """A page of routers or attachments."""
    start = bisect_right(ids, query.get("marker", [""])[0])
    shown = ids[start : start + PAGE]
    items = [
        {"id": each, "name": "n", "state": "available", "resource_id": each, "resource_type": "vpc"} for each in shown
    ]
    info = {"next_marker": shown[-1]} if len(shown) == PAGE else {}
    return answer(200, {member: items, "page_info": info, "total_count": len(ids), "request_id": "r"})


def attachments_of(world: World, er_id: str) -> list[str]:
    """A router's attachments."""
    numbers = range(world.instances[er_id], world.rows, len(world.instances))
    return sorted(some_uuid(f"attachment {number}") for number in numbers)


class Kept(asyncio.Protocol):
    """Reads requests by their Content-Length."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._buffer = b""
        self._last: tuple[str, list[str]] = "", []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].decode("latin-1")
            lines = head.split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
            size = end + 4 + int(headers.get("content-length", "0"))
            if len(self._buffer) < size:
                return
            body, self._buffer = self._buffer[end + 4 : size], self._buffer[size:]
            method, target, _ = lines[0].split(" ", 2)
            reply = self._control(target) if target.startswith("/_") else self._call(method, target, headers, body)
            if reply:
                self._transport.write(reply)

    def _control(self, target: str) -> bytes:
        world, url = self._world, urlsplit(target)
        if url.path == "/_wait":
            ((kind, (count,)),) = parse_qs(url.query).items()
            if world.seen[kind] < int(count):
                world.waiting.append((kind, int(count), self._transport))
                return b""
        elif url.path == "/_reset":
            world.seen.clear()
            world.first.clear()
        elif url.path in ("/_refuse", "/_accept"):
            world.refusing = url.path == "/_refuse"
        return answer(200, {"first": world.first, "seen": world.seen, "made": world.made})

    def _call(self, method: str, target: str, headers: dict[str, str], body: bytes) -> bytes:
        world, url = self._world, urlsplit(target)
        parts = url.path.split("/")  # "", v3, project, enterprise-router, router, flow-logs, id
        world.note("call")
        if parts[-1] == "quotas":
            world.note("quota")
            quota = {"quota_key": "flow_log", "quota_limit": -1, "used": world.made}
            return answer(200, {"quotas": [quota], "request_id": "r"})
        if parts[1] == "v2":
            return answer(200, LOGS)
        query = parse_qs(url.query)
        if parts[4] == "instances":
            return found("instances", sorted(world.instances), query)
        if parts[5] == "attachments":
            if self._last[0] != parts[4]:
                self._last = parts[4], attachments_of(world, parts[4])
            return found("attachments", self._last[1], query)
        place = parts[2], parts[4]
        if method == "POST":
            return create(world, place, headers["x-client-token"], body)
        return remove(world, place, parts[6]) if method == "DELETE" else listed(world, place, query)


async def _main(rows: int, routers: int) -> None:
    loop = asyncio.get_running_loop()
    world = World(rows, routers)
    server = await loop.create_server(lambda: Kept(world), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_main(*(int(word) for word in sys.argv[1:])))
