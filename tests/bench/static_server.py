"""A server that answers at once and always the same: what is measured beside it is the client alone.

`python -m tests.bench.static_server` prints its port and serves until its input ends.
"""

import asyncio
import json
import sys

_LOG = {"id": "b216bc1d-5963-41a7-89f9-779a5128c5ac", "state": "available", "enabled": True}
_CREATED = json.dumps({"flow_log": _LOG, "request_id": "915a14a6-867b-4af7-83d1-70efceb146f9"}).encode()
_EMPTY = json.dumps({"flow_logs": [], "page_info": {"current_count": 0}, "total_count": 0, "request_id": "r"}).encode()


def _answer(status: str, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


_POST = _answer("202 Accepted", _CREATED)
_GET = _answer("200 OK", _EMPTY)


class Static(asyncio.Protocol):
    """Reads requests by their Content-Length and nothing else."""

    def __init__(self) -> None:
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].lower()
            at = head.find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self._buffer) < end + 4 + length:
                return
            self._transport.write(_POST if head.startswith(b"post") else _GET)
            self._buffer = self._buffer[end + 4 + length :]


async def _main() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Static, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_main())
