"""What networks, proxies and gateways do to one call: faults for a front, by name and by what they leave behind."""

import asyncio
import gzip
import re

from tests.e2e.fronts import HEAD_END, Exchange, Fault, faithfully


def parts(answer: bytes) -> tuple[bytes, bytes]:
    """Head without its end, and body."""
    head, _, body = answer.partition(HEAD_END)
    return head, body


def with_length(answer: bytes, length: str) -> bytes:
    """The answer with another word on its length."""
    return re.sub(rb"(?i)content-length: \d+", length.encode(), answer, count=1)


def chunked(answer: bytes, *, size: str = "%x", end: bytes = b"0\r\n\r\n", length: str = "") -> bytes:
    """The answer in chunks of three bytes."""
    head, body = parts(with_length(answer, f"{length}Transfer-Encoding: chunked"))
    pieces = [body[at : at + 3] for at in range(0, len(body), 3)]
    return head + HEAD_END + b"".join((size % len(p)).encode() + b"\r\n" + p + b"\r\n" for p in pieces) + end


# --- the cloud never hears of it ---------------------------------------------------------------------


async def reset_unread(exchange: Exchange) -> bool:
    return exchange.reset()


async def closed_unread(exchange: Exchange) -> bool:
    return False


async def silent(exchange: Exchange) -> bool:
    return await exchange.until_left()


async def garbage(exchange: Exchange) -> bool:
    await exchange.say(bytes(range(256)) * 8)
    return False


async def another_protocol(exchange: Exchange) -> bool:
    await exchange.say(b"220 smtp.example.com ESMTP\r\n")
    return await exchange.until_left()


NEVER: dict[str, Fault] = {
    "reset before it was passed on": reset_unread,
    "closed before it was passed on": closed_unread,
    "half-open": silent,
    "garbage": garbage,
    "another protocol": another_protocol,
}
"""The call was not done; the client cannot know."""


# --- the cloud has done it, and the client cannot know -----------------------------------------------


def _after(change: object = None, *, stay: bool = True, cut: int | None = None) -> Fault:
    """Pass it on, answer with what `change` makes of the answer, cut off there; then `stay` or close."""

    async def fault(exchange: Exchange) -> bool:
        answer = await exchange.pass_on()
        await exchange.say(change(answer)[:cut] if callable(change) else answer[:cut])
        return await exchange.until_left() if stay else False

    return fault


def _changed(change: object) -> Fault:
    async def fault(exchange: Exchange) -> bool:
        assert callable(change)
        return await exchange.say(change(await exchange.pass_on()))

    return fault


async def reset_after(exchange: Exchange) -> bool:
    await exchange.pass_on()
    return exchange.reset()


async def drip(exchange: Exchange) -> bool:
    """A byte, and the next only after what is more than the client's whole time for an answer, one after the other."""
    head, body = parts(await exchange.pass_on())
    await exchange.say(head + HEAD_END)
    return await _slowly(exchange, body)


async def drip_of_headers(exchange: Exchange) -> bool:
    await exchange.pass_on()
    await exchange.say(b"HTTP/1.1 202 Accepted\r\n")
    return await _slowly(exchange, b"X-More: and more\r\n" * 1000)


async def _slowly(exchange: Exchange, text: bytes) -> bool:
    leaving = asyncio.ensure_future(exchange.until_left())
    for at in range(len(text)):
        exchange.writer.write(text[at : at + 1])
        if (await asyncio.wait({leaving}, timeout=0.05))[0]:
            break
    return await leaving


async def interim_for_ever(exchange: Exchange) -> bool:
    await exchange.pass_on()
    while True:  # until the client has left: then writing fails
        await exchange.say(b"HTTP/1.1 102 Processing\r\n\r\n" * 20)
        await asyncio.sleep(0.01)


DONE: dict[str, Fault] = {
    "reset after it was done": reset_after,
    "closed after it was done": _after(cut=0, stay=False),
    "silence after it was done": _after(cut=0),
    "half a head": _after(cut=40),
    "half a head, closed": _after(cut=40, stay=False),
    "half a body": _after(cut=-20),
    "half a body, closed": _after(cut=-20, stay=False),
    "a byte now and then": drip,
    "headers now and then": drip_of_headers,
    "1xx for ever": interim_for_ever,
    "too long a length": _after(lambda answer: with_length(answer, "Content-Length: 9999")),
    "too short a length": _after(lambda answer: with_length(answer, "Content-Length: 9")),
    "a negative length": _after(lambda answer: with_length(answer, "Content-Length: -5")),
    "a length that is no number": _after(lambda answer: with_length(answer, "Content-Length: 0x10")),
    "two lengths": _after(lambda answer: with_length(answer, "Content-Length: 10\r\nContent-Length: 20")),
    "a bad size of a chunk": _after(lambda answer: chunked(answer, size="z%x")),
    "a size of a chunk beyond all": _after(lambda answer: chunked(answer, size="fffffffffffffffff%x")),
    "a length and chunks": _after(lambda answer: chunked(answer, length="Content-Length: 7\r\n")),
    "chunks without end": _after(lambda answer: chunked(answer, end=b"")),
    "chunks without end, closed": _after(lambda answer: chunked(answer, end=b""), stay=False),
    "no head at all": _after(lambda answer: parts(answer)[1], stay=False),
    "gzip that is none": _after(lambda answer: answer.replace(HEAD_END, b"\r\nContent-Encoding: gzip\r\n\r\n", 1)),
    "another protocol from here": _after(
        lambda _: b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"
    ),
    "no content": _changed(lambda _: b"HTTP/1.1 204 No Content\r\n\r\n"),
    "another success": _changed(lambda answer: answer.replace(b" 202 ", b" 203 ", 1).replace(b" 200 ", b" 203 ", 1)),
}
"""The call was done, once; no usable answer says so."""


# --- odd, and an answer all the same -----------------------------------------------------------------


def _before(*interim: bytes) -> Fault:
    async def fault(exchange: Exchange) -> bool:
        return await exchange.say(*interim, await exchange.pass_on())

    return fault


async def byte_by_byte(exchange: Exchange) -> bool:
    answer = await exchange.pass_on()
    return await exchange.say(*(answer[at : at + 1] for at in range(len(answer))))


async def one_call_a_connection(exchange: Exchange) -> bool:
    await faithfully(exchange)
    return False


async def closing_by_its_word(exchange: Exchange) -> bool:
    answer = await exchange.pass_on()
    await exchange.say(answer.replace(HEAD_END, b"\r\nConnection: close\r\n\r\n", 1))
    return False


async def until_closed(exchange: Exchange) -> bool:
    head, body = parts(await exchange.pass_on())
    await exchange.say(re.sub(rb"(?i)\r\ncontent-length: \d+", b"", head) + HEAD_END + body)
    return False


def _packed(answer: bytes) -> bytes:
    head, body = parts(answer)
    packed = gzip.compress(body)
    return with_length(head, f"Content-Encoding: gzip\r\nContent-Length: {len(packed)}") + HEAD_END + packed


ODD: dict[str, Fault] = {
    "100 first": _before(b"HTTP/1.1 100 Continue\r\n\r\n"),
    "102 and 103 first": _before(b"HTTP/1.1 102 Processing\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n"),
    "byte by byte": byte_by_byte,
    "one call a connection": one_call_a_connection,
    "close, by its word": closing_by_its_word,
    "until it is closed": until_closed,
    "in chunks": _changed(chunked),
    "in chunks with a trailer": _changed(lambda answer: chunked(answer, end=b"0\r\nX-Trailer: t\r\n\r\n")),
    "packed": _changed(_packed),
}
"""Answers that HTTP allows: nothing is to be repeated."""
