"""The transport against servers that answer, lie, stall and hang up, on real sockets."""

import asyncio
import gzip
import re
import socket
import zlib
from pathlib import Path

import pytest

from batcher import __version__
from batcher.cloud.transport import OTHER_ANSWER_BYTES_MAX, Answer, NoAnswer
from tests.cloud.servers import (
    Handler,
    Request,
    Seen,
    answering,
    http,
    read_request,
    reset,
    serving,
    transport,
    unused_port,
)

JSON = "Content-Type: application/json"
HEADERS = {"X-Client-Token": "t", "Content-Type": "application/json"}


async def _post(handler: Handler, **limits: float) -> Answer | NoAnswer:
    async with serving(handler) as seen, transport(**limits) as opened:  # type: ignore[arg-type]
        return await opened.send("POST", f"{seen.url}/x", HEADERS, b'{"a":1}')


async def test_exactly_our_headers_and_bytes_go_out() -> None:
    async with serving(answering(http(202, b"{}", JSON))) as seen, transport() as opened:
        answer = await opened.send("POST", f"{seen.url}/a%20b?c=%2A&c=%7E", HEADERS, b'{"a":1}')
    assert isinstance(answer, Answer)
    assert (answer.status, answer.body) == (202, b"{}")
    (request,) = seen.requests
    assert request.line == "POST /a%20b?c=%2A&c=%7E HTTP/1.1"
    assert request.body == b'{"a":1}'
    assert request.headers == {
        "Host": seen.url.removeprefix("http://"),
        "User-Agent": f"batcher/{__version__}",
        "Accept": "application/json",
        "Accept-Encoding": "gzip, deflate",
        "X-Client-Token": "t",
        "Content-Type": "application/json",
        "Content-Length": "7",
    }


async def test_a_user_agent_of_the_callers_takes_the_place_of_ours() -> None:
    async with serving(_raw_head) as seen, transport() as opened:
        await opened.send("POST", seen.url, {**HEADERS, "User-Agent": "batcher/7 (abc)"}, b"{}")
    (request,) = seen.requests
    assert re.findall(r"(?i)user-agent: (.*?)\r\n", request.line) == ["batcher/7 (abc)"]


async def _raw_head(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: Seen) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    seen.requests.append(Request(head, {}, b""))
    writer.write(http(200, b"{}"))
    await reader.read()


@pytest.mark.parametrize(("method", "length"), [("GET", None), ("POST", "0"), ("DELETE", "0"), ("PUT", "0")])
async def test_a_request_without_body(method: str, length: str | None) -> None:
    async with serving(answering(http(200))) as seen, transport() as opened:
        await opened.send(method, f"{seen.url}/x", {}, b"")
    assert seen.requests[0].headers.get("Content-Length") == length
    assert "Content-Type" not in seen.requests[0].headers


async def test_headers_are_found_in_any_case() -> None:
    answer = await _post(answering(http(200, b"{}", "x-REQUEST-id: r1")))
    assert isinstance(answer, Answer)
    assert answer.headers["X-Request-Id"] == "r1"


async def test_a_connection_is_kept_and_cookies_are_not() -> None:
    answers = [http(200, b"{}", "Set-Cookie: a=b; Path=/")] * 3
    async with serving(answering(*answers)) as seen, transport() as opened:
        for _ in answers:
            assert isinstance(await opened.send("POST", seen.url, HEADERS, b"{}"), Answer)
    assert seen.connections == 1
    assert all("Cookie" not in request.headers for request in seen.requests)


async def test_the_pool_is_bounded() -> None:
    async with serving(answering(*[http(200, b"{}")] * 20)) as seen, transport(connections_max=2) as opened:
        answers = await asyncio.gather(*(opened.send("POST", seen.url, HEADERS, b"{}") for _ in range(12)))
    assert all(isinstance(answer, Answer) for answer in answers)
    assert seen.connections == 2


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_an_answer_and_not_followed(status: int) -> None:
    async with serving(answering(http(status, b"", "Location: /elsewhere"))) as seen, transport() as opened:
        answer = await opened.send("POST", f"{seen.url}/x", HEADERS, b"{}")
    assert isinstance(answer, Answer)
    assert answer.status == status
    assert len(seen.requests) == 1


@pytest.mark.parametrize(("coding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
async def test_a_compressed_answer_is_unpacked(coding: str, pack: object) -> None:
    packed = pack(b'{"a":1}')  # type: ignore[operator]
    answer = await _post(answering(http(200, packed, f"Content-Encoding: {coding}")))
    assert isinstance(answer, Answer)
    assert answer.body == b'{"a":1}'


@pytest.mark.parametrize("coding", ["br", "zstd", "compress", "gzip, br"])
async def test_an_answer_in_an_encoding_that_was_not_asked_for_is_told_as_that(coding: str) -> None:
    answer = await _post(answering(http(202, b"\x0b\x02\x80{}\x03", JSON, f"Content-Encoding: {coding}")))
    assert isinstance(answer, NoAnswer)
    assert (answer.code, answer.sent) == ("BATCHER.BadAnswer", True)
    assert answer.message == f"the answer is in an encoding that was not asked for: {coding}"


async def test_a_refusal_in_such_an_encoding_keeps_its_status() -> None:
    answer = await _post(answering(http(403, b"\x1f\x9d", JSON, "Content-Encoding: compress")))
    assert isinstance(answer, Answer)
    assert (answer.status, answer.body) == (403, b"the answer is in an encoding that was not asked for: compress")


async def test_a_chunked_answer_of_many_pieces_is_whole() -> None:
    body = b"".join(b"3\r\n%03d\r\n" % number for number in range(1000)) + b"0\r\n\r\n"
    answer = await _post(answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body))
    assert isinstance(answer, Answer)
    assert answer.body == b"".join(b"%03d" % number for number in range(1000))


async def test_a_refused_connection_was_not_sent() -> None:
    async with transport() as opened:
        answer = await opened.send("POST", f"http://127.0.0.1:{unused_port()}/x", HEADERS, b"{}")
    assert isinstance(answer, NoAnswer)
    assert (answer.code, answer.sent, answer.fatal) == ("BATCHER.Unreachable", False, False)
    assert "127.0.0.1" in answer.message
    assert "check the endpoint" in answer.advice


async def test_an_unknown_host_was_not_sent() -> None:
    async with transport() as opened:
        answer = await opened.send("POST", "http://er.nowhere.invalid/x", HEADERS, b"{}")
    assert isinstance(answer, NoAnswer)
    assert (answer.code, answer.sent, answer.fatal) == ("BATCHER.Unreachable", False, False)
    assert "er.nowhere.invalid" in answer.message
    assert "check the region" in answer.advice


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/x", "http:///x", "/x"])
async def test_a_url_without_a_server_was_not_sent(url: str) -> None:
    async with transport() as opened:
        answer = await opened.send("POST", url, HEADERS, b"{}")
    assert isinstance(answer, NoAnswer)
    assert not answer.sent


async def test_no_connection_in_time_was_not_sent() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        try:
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex(("127.0.0.1", port))
            async with transport(connect_s=0.2) as opened:
                answer = await opened.send("POST", f"http://127.0.0.1:{port}/x", HEADERS, b"{}")
        finally:
            for filler in fillers:
                filler.close()
    assert answer == NoAnswer("BATCHER.Unreachable", "no connection within the time allowed", sent=False)


async def test_a_wait_for_a_free_connection_was_not_sent() -> None:
    async with serving(_silent) as seen, transport(connections_max=1, connect_s=0.2, answer_s=0.4) as opened:
        answers = await asyncio.gather(*(opened.send("POST", seen.url, HEADERS, b"{}") for _ in range(2)))
    assert [answer.sent for answer in answers if isinstance(answer, NoAnswer)] == [True, False]
    assert len(seen.requests) == 1


async def _silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: Seen) -> None:
    await read_request(reader, seen)
    await reader.read()


async def _reset_at_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: Seen) -> None:
    reset(writer)


async def _reset_unread(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: Seen) -> None:
    await reader.readexactly(5)
    reset(writer)


async def _reset_after_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: Seen) -> None:
    await read_request(reader, seen)
    reset(writer)


async def _reset_within_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: Seen) -> None:
    await read_request(reader, seen)
    writer.write(http(202, b'{"flow', length=200))
    await writer.drain()
    reset(writer)


async def _drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: Seen) -> None:
    await read_request(reader, seen)
    writer.write(http(202, length=10_000))
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.02)


LOST: dict[str, Handler] = {
    "reset at once": _reset_at_once,
    "reset before the request was read": _reset_unread,
    "reset after the request": _reset_after_request,
    "reset within the answer": _reset_within_answer,
    "closed after the request": answering(b"", linger=False),
    "closed within the head": answering(b"HTTP/1.1 202 Acc", linger=False),
    "closed within the headers": answering(b"HTTP/1.1 202 Accepted\r\nContent-Le", linger=False),
    "half an answer": answering(http(202, b'{"flow_log":', length=200), linger=False),
    "half a chunk": answering(b"HTTP/1.1 202 A\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{", linger=False),
    "half a gzip": answering(
        http(202, gzip.compress(b"x" * 999)[:-9], "Content-Encoding: gzip", length=999), linger=False
    ),
    "garbled gzip": answering(http(202, b"no gzip at all", "Content-Encoding: gzip")),
    "silence": _silent,
    "silence within the answer": answering(http(202, b'{"flow_log":', length=200)),
    "drip": _drip,
}


@pytest.mark.parametrize("handler", LOST.values(), ids=LOST)
async def test_a_lost_answer_may_have_been_sent(handler: Handler) -> None:
    answer = await _post(handler, connect_s=0.2, answer_s=0.2)
    assert isinstance(answer, NoAnswer)
    assert (answer.sent, answer.fatal) == (True, False)
    assert answer.code == "BATCHER.NoAnswer"
    assert answer.message
    assert answer.message.isprintable()


BAD: dict[str, Handler] = {
    "not HTTP": answering(b"220 smtp.example.com ESMTP\r\n\r\n"),
    "a header without end": answering(b"HTTP/1.1 202 A\r\nX-Long: " + b"x" * 100_000 + b"\r\n\r\n"),
    "more than was announced": answering(http(200, b'{"a":1}trailing', length=7)),
    "too long by its own word": answering(http(200, b"{}", length=(1 << 16) + 1)),
    "too long in chunks": answering(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        + b"1000\r\n"
        + b"x" * 4096
        + b"\r\n"
        + b"10000\r\n"
        + b"x" * 65536
        + b"\r\n"
    ),
    "too long once unpacked": answering(http(200, gzip.compress(b" " * (64 << 20)), "Content-Encoding: gzip")),
}


@pytest.mark.parametrize("handler", BAD.values(), ids=BAD)
async def test_an_unusable_answer_is_bad_and_may_have_been_sent(handler: Handler) -> None:
    answer = await _post(handler, bytes_max=1 << 16)
    assert isinstance(answer, NoAnswer)
    assert (answer.code, answer.sent, answer.fatal) == ("BATCHER.BadAnswer", True, False)


@pytest.mark.parametrize("is_counted", [True, False])
async def test_what_is_no_listing_is_answered_in_a_megabyte_at_most(*, is_counted: bool) -> None:
    body = b" " * (OTHER_ANSWER_BYTES_MAX + 1)
    whole = http(200, body)
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    answer = whole if is_counted else chunked
    for method in ("POST", "PUT", "DELETE", "GET"):
        async with serving(answering(answer)) as seen, transport(bytes_max=16 << 20) as opened:
            found = await opened.send(method, seen.url, HEADERS, b"")
        if method == "GET":
            assert isinstance(found, Answer)
        else:
            assert isinstance(found, NoAnswer)
            assert (found.code, found.sent) == ("BATCHER.BadAnswer", True)
            assert found.message == "the answer is larger than 1048576 bytes"


async def test_a_kept_connection_that_was_closed_may_have_been_sent() -> None:
    closing = asyncio.Event()

    async def close_on_second(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: Seen) -> None:
        await read_request(reader, seen)
        writer.write(http(200, b"{}"))
        await writer.drain()
        await read_request(reader, seen)
        closing.set()

    async with serving(close_on_second) as seen, transport() as opened:
        assert isinstance(await opened.send("POST", seen.url, HEADERS, b"{}"), Answer)
        lost = await opened.send("POST", seen.url, HEADERS, b"{}")
        assert closing.is_set()
        assert isinstance(lost, NoAnswer)
        assert (lost.code, lost.sent) == ("BATCHER.NoAnswer", True)
        again = await opened.send("POST", seen.url, HEADERS, b"{}")
    assert isinstance(again, Answer)
    assert len(seen.requests) == 3


async def test_a_post_is_never_repeated_by_itself() -> None:
    async with serving(answering(http(200, b"{}"), b"", linger=False)) as seen, transport() as opened:
        await opened.send("POST", seen.url, HEADERS, b"{}")
        await opened.send("POST", seen.url, HEADERS, b"{}")
    assert len(seen.requests) == 2


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_no_request_is_repeated_by_itself(method: str) -> None:
    async with serving(answering(http(200, b"{}"), b"", linger=False)) as seen, transport() as opened:
        await opened.send("GET", seen.url, {}, b"")
        lost = await opened.send(method, seen.url, {}, b"")
    assert isinstance(lost, NoAnswer)
    assert (lost.code, lost.sent) == ("BATCHER.NoAnswer", True)
    assert lost.message == "the connection was closed before an answer came"
    assert (len(seen.requests), seen.connections) == (2, 1)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "POST"])
async def test_a_reset_names_itself_whatever_the_method(method: str) -> None:
    async with serving(_reset_after_request) as seen, transport() as opened:
        lost = await opened.send(method, seen.url, {}, b"")
    assert isinstance(lost, NoAnswer)
    assert (lost.code, lost.sent, len(seen.requests)) == ("BATCHER.NoAnswer", True, 1)
    assert "reset" in lost.message


async def test_cancelling_goes_through_and_leaves_the_pool_usable() -> None:
    started = asyncio.Event()

    async def stall_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: Seen) -> None:
        await read_request(reader, seen)
        if len(seen.requests) == 1:
            started.set()
            await reader.read()
        writer.write(http(200, b"{}"))
        await reader.read()

    async with serving(stall_first) as seen, transport(connections_max=1) as opened:
        task = asyncio.create_task(opened.send("POST", seen.url, HEADERS, b"{}"))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert isinstance(await opened.send("POST", seen.url, HEADERS, b"{}"), Answer)


async def test_a_server_without_tls_was_not_sent_anything() -> None:
    async with serving(_silent) as seen, transport(connect_s=1.0) as opened:
        answer = await opened.send("POST", seen.url.replace("http:", "https:"), HEADERS, b"{}")
    assert isinstance(answer, NoAnswer)
    assert (answer.sent, seen.requests) == (False, [])


async def test_proxies_and_netrc_of_the_environment_are_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login someone password secret\n", encoding="ascii")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{unused_port()}")
    async with serving(answering(http(200, b"{}"))) as seen, transport() as opened:
        assert isinstance(await opened.send("POST", seen.url, HEADERS, b"{}"), Answer)
    assert "Authorization" not in seen.requests[0].headers
