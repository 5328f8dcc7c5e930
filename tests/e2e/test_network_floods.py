"""Answers without end: `batcher` reads no more than an answer of the API can have, and its memory stays small."""

import asyncio
import gzip
import sys
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path

import pytest

from tests.e2e.clouds import assert_created_once, cloud
from tests.e2e.commands import EMULATOR_KEYS, column, environment, write_settings
from tests.e2e.fronts import Exchange, Fault, front, once_each
from tests.e2e.inventories import row, some_rows, write_rows
from tests.e2e.test_network_faults import PATIENT, assert_report_is_true

GIB, MIB = 1 << 30, 1 << 20
READ_BYTES_MAX = 96 * MIB
"""What may be written to a client that stops at 16 MiB: the rest is in buffers of both systems."""
PEAK_KIB_MAX = 300 * 1024
"""A run without floods takes some 80 MiB, and each answer may have 16 MiB, and as much again to be put together."""

PEAK_OF = """
import atexit, pathlib, re, runpy
def note():
    status = pathlib.Path("/proc/self/status").read_text()
    pathlib.Path("peak").write_text(re.search(r"VmHWM:\\s+(\\d+) kB", status)[1])
atexit.register(note)
runpy.run_module("batcher", run_name="__main__")
"""

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKS = OK + b"Transfer-Encoding: chunked\r\n\r\n"


def flood(taken: list[int], head: bytes, piece: bytes, bytes_max: int = GIB) -> Fault:
    """The call is done, and then answered with `head` and `piece` after `piece`; `taken` gets what could be written."""

    async def fault(exchange: Exchange) -> bool:
        await exchange.pass_on()
        taken.append(await _pour(exchange.writer, head, repeat(piece, bytes_max // len(piece))))
        return False

    return fault


async def _pour(writer: asyncio.StreamWriter, head: bytes, pieces: Iterator[bytes]) -> int:
    sent = len(head)
    try:
        writer.write(head)
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            sent += len(piece)
    except ConnectionError:
        pass
    return sent


def body(text: bytes, *headers: str) -> Fault:
    """The call is done, and then answered with this."""
    lines = "".join(f"{header}\r\n" for header in headers).encode()

    async def fault(exchange: Exchange) -> bool:
        await exchange.pass_on()
        return await exchange.say(b"HTTP/1.1 202 A\r\nContent-Length: %d\r\n%s\r\n" % (len(text), lines) + text)

    return fault


def floods(taken: list[int]) -> dict[str, Fault]:
    """By name. What HTTP skips (an extension of a chunk, empty lines) is bounded by the time of an answer alone."""
    zeros = b"0" * MIB
    return {
        "1 GiB with a length": flood(taken, OK + b"Content-Length: %d\r\n\r\n" % GIB, zeros),
        "1 GiB in chunks": flood(taken, CHUNKS, b"100000\r\n" + zeros + b"\r\n"),
        "1 GiB until it is closed": flood(taken, OK + b"\r\n", zeros),
        "a gzip bomb": body(gzip.compress(b" " * (256 * MIB), 1), "Content-Encoding: gzip"),
        "a header of 100 MiB": flood(taken, OK + b"X-Long: ", zeros, 100 * MIB),
        "headers of 100 MiB": flood(taken, OK, b"X-More: more\r\n" * 8192, 100 * MIB),
        "a status line of 100 MiB": flood(taken, b"HTTP/1.1 200 ", zeros, 100 * MIB),
        "an extension of a chunk of 100 MiB": flood([], CHUNKS + b"3;x=", zeros, 100 * MIB),
        "trailers of 100 MiB": flood(taken, CHUNKS + b"2\r\n{}\r\n0\r\n", b"X-More: more\r\n" * 8192, 100 * MIB),
        "nothing but line ends": flood([], b"", b"\r\n" * 65536, 100 * MIB),
        "a number of 10 million digits": body(b'{"flow_log":{"id":"x"},"a":' + b"9" * 10_000_000 + b"}"),
        "brackets": body(b"[" * 10_000_000),
        "an object of a million members": body(b"{" + b",".join(b'"%d":1' % n for n in range(1_000_000)) + b"}"),
    }


async def peak_kib(folder: Path, *words: str) -> int:
    """The most memory that a command had, which ended well."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PEAK_OF, *words),
        cwd=folder,
        env=environment(folder, EMULATOR_KEYS),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await process.communicate()
    assert process.returncode == 0, said.decode()
    return int((folder / "peak").read_text(encoding="ascii"))


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process is read from /proc")
@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", ["create", "list"])
async def test_an_answer_without_end_costs_neither_memory_nor_a_row(tmp_path: Path, kind: str) -> None:
    write_settings(tmp_path, PATIENT)
    taken: list[int] = []
    faults = floods(taken)
    wishes = some_rows(len(faults))
    if kind == "list":
        wishes = [row(number, routers=len(faults), projects=1) for number in range(len(faults))]
    inventory = write_rows(tmp_path / "routers.csv", wishes)
    subjects = [wish["resource_id" if kind == "create" else "er_id"] for wish in wishes]
    mode = "never" if kind == "create" else "always"
    async with cloud() as sky, front(sky.url) as before:
        before.plan = once_each(kind, dict(zip(subjects, faults.values(), strict=True)))
        told = ("--endpoint", before.url, "--rate", "200/s", "--no-progress", "--reconcile", mode)
        assert await peak_kib(tmp_path, "run", str(inventory), *told) < PEAK_KIB_MAX
        assert len(taken) == 7
        assert max(taken) < READ_BYTES_MAX, taken
        assert column(tmp_path, "outcome") == ["created"] * len(faults)
        if kind == "create":
            assert set(column(tmp_path, "attempts")) <= {"2", "3"}  # a busy machine may take too long for one
        await assert_report_is_true(tmp_path, sky, wishes)
        assert_created_once(await sky.statistics(), len(faults))
