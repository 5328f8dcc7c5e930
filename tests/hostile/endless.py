"""A provider whose lists never end: each page is full and names a next one, in order or in none, and may be padded."""

import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from tests.e2e.inventories import some_uuid

ITEMS = 2000
ROUTER = some_uuid("router 0")


@dataclass
class Endless:
    """Which lists have no end, how they are ordered, and how many pages of each were given."""

    lists: frozenset[str]
    is_ordered: bool
    pad: int = 0
    pages: Counter[str] = field(default_factory=Counter)
    url: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, path: str) -> tuple[int, bytes]:
        """The answer to a GET of this path; nothing can be made here."""
        member = {"flow-logs": "flow_logs", "instances": "instances", "attachments": "attachments"}.get(
            path.rpartition("/")[2]
        )
        if member is None:
            return 404, b"{}"
        with self._lock:
            self.pages[member] += 1
            start = self.pages[member] * ITEMS
        if member not in self.lists:
            return 200, json.dumps({member: [{"id": ROUTER}] if member == "instances" else []}).encode()
        numbers = range(start, start + ITEMS) if self.is_ordered else range(10**8 - start, 10**8 - start - ITEMS, -1)
        text = "n" * self.pad
        items = [
            f'{{"id":"00000000-0000-4000-8000-{number:012d}","name":"{text}","state":"available",'
            f'"resource_id":"00000000-0000-4000-9000-{number:012d}","log_group_id":"g","log_stream_id":"s"}}'
            for number in numbers
        ]
        marker = f"00000000-0000-4000-8000-{numbers[-1]:012d}"
        return 200, f'{{"{member}":[{",".join(items)}],"page_info":{{"next_marker":"{marker}"}}}}'.encode()


@contextmanager
def endless(*lists: str, is_ordered: bool, pad: int = 0) -> Iterator[Endless]:
    """A server in threads of this process."""
    world = Endless(frozenset(lists), is_ordered, pad)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            status, body = world.answer(urlsplit(self.path).path)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    world.url = f"http://127.0.0.1:{server.server_port}"
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    serving.start()
    try:
        yield world
    finally:
        server.shutdown()
        serving.join()
        server.server_close()
