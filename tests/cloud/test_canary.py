"""What is known of an account's credentials, over real sockets: who may call beside others, and who may not call."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from batcher.cloud.client import CloudClient, Reply
from batcher.cloud.credentials import Credentials
from batcher.cloud.endpoints import Endpoints, Service
from batcher.model import Kind, LaneKey, Refused, Stops
from tests.cloud.servers import Seen, http, read_request, serving, transport

LANES = [LaneKey("default", "cn-north-4", digit * 32) for digit in "abcd"]
GOOD, WRONG, NEW = (Credentials(name, "sk", source="test") for name in ("GOOD", "WRONG", "NEW"))
UNSIGNED = http(401, b'{"error_code":"APIGW.0301","error_msg":"verify aksk signature fail"}')
MISSING = http(400, b'{"error_code":"ER.04008501","error_msg":"no such flow log"}')


class Ring:
    """The credentials that an account has now; others may come after a refusal."""

    def __init__(self, now: Credentials, after: Credentials | None = None) -> None:
        self.now = now
        self.after = after

    async def of(self, account: str) -> Credentials:
        return self.now

    async def renew(self, account: str, refused: Credentials) -> Credentials | None:
        if self.after is None or self.now is self.after:
            return None if self.now == refused else self.now
        self.now = self.after
        return self.now


class Gateway:
    """Refuses `WRONG`, else gives the next of `answers`, then 200; sees how many calls it has at once."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = list(answers)
        self.keys: list[str] = []
        self.most_at_once = 0
        self._at_once = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: Seen) -> None:
        while not reader.at_eof():
            try:
                request = await read_request(reader, seen)
            except asyncio.IncompleteReadError:
                return
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            key = request.headers["Authorization"].split("Access=")[1].split(",")[0]
            self.keys.append(key)
            for _ in range(20):  # let whoever would call beside this one do so
                await asyncio.sleep(0)
            self._at_once -= 1
            answer = self.answers.pop(0) if self.answers else http(200, b"{}")
            writer.write(UNSIGNED if key == "WRONG" else answer)
            await writer.drain()


@asynccontextmanager
async def client_of(gateway: Gateway, ring: Ring) -> AsyncIterator[CloudClient]:
    async with serving(gateway) as seen, transport() as opened:
        endpoints = Endpoints(everywhere=dict.fromkeys(Service, seen.url))
        yield CloudClient(opened, signers=ring, endpoints=endpoints, now=lambda: 1713484800.0, steady=time.monotonic)


async def calls(client: CloudClient, count: int) -> list[Reply | Refused]:
    """So many calls at once, over all lanes."""
    jobs = (client.call(LANES[n % 4], "GET", "/quotas", expected=frozenset({200})) for n in range(count))
    return list(await asyncio.gather(*jobs))


async def test_a_wrong_key_goes_out_once_whoever_calls() -> None:
    gateway = Gateway()
    async with client_of(gateway, Ring(WRONG)) as client:
        answers = [*await calls(client, 20), *await calls(client, 3)]
        assert not client.is_trusted("default")
    assert gateway.keys == ["WRONG"]
    refused = [answer for answer in answers if isinstance(answer, Refused)]
    assert len(refused) == 23
    assert {(one.kind, one.stops, one.code) for one in refused} == {(Kind.PERMANENT, Stops.ACCOUNT, "APIGW.0301")}
    assert sorted(one.sent for one in refused) == [False] * 22 + [True]


async def test_after_one_answer_of_the_service_calls_go_side_by_side() -> None:
    gateway = Gateway()
    async with client_of(gateway, Ring(GOOD)) as client:
        await calls(client, 1)
        assert client.is_trusted("default")
        assert gateway.most_at_once == 1
        await calls(client, 12)
    assert gateway.most_at_once > 1


@pytest.mark.parametrize(
    ("answer", "proves"),
    [
        (http(200, b"{}"), True),
        (MISSING, True),
        (http(503, b"<html>"), False),
        (http(429, b'{"error_code":"APIGW.0308","error_msg":"slow down"}'), False),
        (http(404, b"<html>nobody here"), False),
        (http(403, b'{"error_code":"APIGW.0401","error_msg":"not from there"}'), False),
        (http(302), False),
    ],
)
async def test_only_the_services_own_answer_proves_a_key(answer: bytes, *, proves: bool) -> None:
    async with client_of(Gateway(answer), Ring(GOOD)) as client:
        await calls(client, 1)
        assert client.is_trusted("default") is proves


async def test_while_nothing_is_proven_one_call_is_made_at_a_time() -> None:
    gateway = Gateway(*[http(503)] * 8)
    async with client_of(gateway, Ring(GOOD)) as client:
        await calls(client, 8)
    assert (len(gateway.keys), gateway.most_at_once) == (8, 1)


async def test_keys_that_replace_proven_ones_start_alone() -> None:
    gateway, ring = Gateway(), Ring(GOOD)
    async with client_of(gateway, ring) as client:
        await calls(client, 2)
        ring.now = WRONG
        answers = await calls(client, 20)
    assert gateway.keys == ["GOOD", "GOOD", "WRONG"]
    assert all(isinstance(answer, Refused) and answer.stops is Stops.ACCOUNT for answer in answers)


async def test_keys_that_are_renewed_after_a_refusal_start_alone_and_then_serve_all() -> None:
    gateway = Gateway()
    async with client_of(gateway, Ring(WRONG, after=NEW)) as client:
        (mended,) = await calls(client, 1)
        assert isinstance(mended, Refused)
        assert (mended.kind, mended.stops, mended.mended) == (Kind.TRANSIENT, Stops.ROW, True)
        answers = await calls(client, 10)
    assert all(isinstance(answer, Reply) for answer in answers)
    assert gateway.keys == ["WRONG", *["NEW"] * 10]


async def test_accounts_do_not_wait_for_each_other() -> None:
    """One account's canary hangs; another's goes."""
    hangs, release = asyncio.Event(), asyncio.Event()

    class Slow(Gateway):
        async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: Seen) -> None:
            request = await read_request(reader, seen)
            if "/v3/" + "a" * 32 in request.line:
                hangs.set()
                await release.wait()
            writer.write(http(200, b"{}"))
            await writer.drain()

    async with client_of(Slow(), Ring(GOOD)) as client:
        slow = asyncio.ensure_future(client.call(LANES[0], "GET", "/quotas", expected=frozenset({200})))
        await hangs.wait()
        other = LaneKey("other", "cn-north-4", "b" * 32)
        assert isinstance(await client.call(other, "GET", "/quotas", expected=frozenset({200})), Reply)
        release.set()
        assert isinstance(await slow, Reply)
