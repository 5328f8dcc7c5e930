"""A client of the provider whose every answer is drawn from bytes, and what is asked of each call it makes."""

import asyncio
import json
import re
import time
from collections.abc import Awaitable, Mapping
from typing import TypeVar, cast
from urllib.parse import unquote, urlsplit

from multidict import CIMultiDict

from batcher.cloud.client import CloudClient
from batcher.cloud.credentials import Credentials
from batcher.cloud.endpoints import Endpoints, Service
from batcher.cloud.transport import Answer, NoAnswer, Transport
from batcher.model import LaneKey, Refused
from tests.fuzz.draw import Draw, can_be_shown, joined
from tests.fuzz.hostile import JSON_VALUES, WORDS

T = TypeVar("T")

NOW = 1_713_484_800.0
HOST = "er.example.com"
LANE = LaneKey("default", "cn-north-4", "566bf9d7c55a45f8d1a6e55e9b9b1325")
ROUTER = "5e6a0a2e-dd70-434d-81d7-7cffb7decc0c"
KEYS = Credentials("QQWWEERRTTYYUUIIOOPP", "hUsH/+secret==key9")
STATUSES = (200, 202, 204, 201, 301, 400, 401, 403, 404, 409, 429, 500, 503, 599)
NAMES = ("X-Request-Id", "Date", "Retry-After", "Location", "Content-Type", "X-IAM-Trace-Id")
CALLS_MAX = 40
"""An input has a few answers; then the last one comes again and again, and every loop must see that."""
URL_CHARS_MAX = 8_000
"""What servers take: a longer one is refused by all."""
_PATHS = (
    re.compile(rf"/v3/{LANE.project_id}/enterprise-router/[A-Za-z0-9_-]+(?:/[A-Za-z0-9_-]+){{0,3}}"),
    re.compile(r"/v3/projects"),
    re.compile(rf"/v2/{LANE.project_id}/groups(?:/[A-Za-z0-9-]+/streams)?"),
)
_PRINTABLE = re.compile(r"[\x20-\x7e]*")
_LOOP = asyncio.new_event_loop()


def run(work: Awaitable[T]) -> T:
    """The result of what makes calls."""

    async def waited() -> T:
        return await work

    return _LOOP.run_until_complete(waited())


class ScriptedTransport:
    """Answers in turn, then the last again; raises where a call goes where it may not."""

    def __init__(self, answers: list[Answer | NoAnswer]) -> None:
        self._answers = answers
        self.calls = 0

    async def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Answer | NoAnswer:
        """The next answer."""
        self.calls += 1
        assert self.calls <= CALLS_MAX, "it asks for ever"
        assert _PRINTABLE.fullmatch(method + url), url
        assert len(url) <= URL_CHARS_MAX, len(url)
        parts = urlsplit(url)
        assert (parts.scheme, parts.netloc, parts.fragment) == ("https", HOST, ""), url
        assert any(path.fullmatch(parts.path) for path in _PATHS), url
        assert " " not in url, url
        assert ".." not in unquote(parts.path), url
        for name, value in headers.items():
            assert _PRINTABLE.fullmatch(name + value), value
        body.decode("ascii")
        return self._answers[min(self.calls, len(self._answers)) - 1]


class _Keyring:
    async def of(self, account: str) -> Credentials:
        return KEYS

    async def renew(self, account: str, refused: Credentials) -> Credentials | None:
        return None


def client_of(draw: Draw) -> CloudClient:
    """A client whose answers are the blocks that are left."""
    answers: list[Answer | NoAnswer] = []
    while len(answers) < 5 and (block := draw.block() or (b"" if answers else b"\0")):
        answers.append(answer_of(Draw(block)))
    transport = cast("Transport", ScriptedTransport(answers))
    endpoints = Endpoints(everywhere=dict.fromkeys(Service, f"https://{HOST}"))
    return CloudClient(transport, signers=_Keyring(), endpoints=endpoints, now=lambda: NOW, steady=time.monotonic)


def answer_of(draw: Draw) -> Answer:
    """An answer: status, perhaps a header up to the end of its line, body."""
    status = STATUSES[draw.number(len(STATUSES))]
    headers: CIMultiDict[str] = CIMultiDict()
    rest = draw.rest
    for name in NAMES:
        start = f"{name}: ".encode()
        if rest.startswith(start):
            value, _, rest = rest.removeprefix(start).partition(b"\n")
            headers[name] = value.decode("utf-8", "surrogateescape")
    return Answer(status, headers, rest)


def is_sound_refusal(refused: Refused) -> None:
    """A refusal that can stand in a report and on a terminal."""
    for text, characters_max in zip(
        (refused.code, refused.message, refused.request_id, refused.advice), (64, 600, 128, 300), strict=True
    ):
        can_be_shown(text, characters_max)
    assert refused.code
    assert refused.message
    assert KEYS.secret_key not in refused.message
    assert refused.pause_s is None or 0.0 <= refused.pause_s <= 3600.0


def seeds_of(good: Mapping[str, object], status: int) -> list[bytes]:
    """A good answer, then ones with another value in the place of each scalar, list and object."""
    start = bytes((STATUSES.index(status),))
    text = json.dumps(good)
    found = [start + text.encode()]
    scalars = dict.fromkeys(re.findall(r'(?<=: )(?:"[^"]*"|\d+|true|null)', text))
    for value in scalars:
        found += [start + text.replace(value, other, 1).encode() for other in JSON_VALUES]
        found += [start + text.replace(value, json.dumps(word), 1).encode() for word in WORDS[::3]]
    for name in re.findall(r'"(\w+)": (?=[\[{])', text):
        cut = text.index(f'"{name}": ')
        found += [start + f'{text[:cut]}"{name}": {other}}}'.encode() for other in JSON_VALUES]
    found += [start + text.encode("utf-16"), start + b"\xef\xbb\xbf" + text.encode(), start + b"[" * 10_000]
    found += [joined(start + text.encode(), *found[1:4])]
    return found


TOKENS = (
    *NAMES,
    "Fri, 19 Apr 2024 00:00:30 GMT",
    "Fri, 31 Dec 9999 23:59:59 GMT",
    "page_info",
    "next_marker",
    "total_count",
    "error_code",
    "error_msg",
    "APIGW.0308",
    "limit:10,time:1 minute",
    "limit:10,time:1 ſecond",
    "ER.04041001",
    "\\ud800",
    "\\u202e",
    "true",
    "null",
)
