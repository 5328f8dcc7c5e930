"""Inventories that would fill memory, disk or the night: they end early, at a line, with a remedy."""

import gzip
import hashlib
import itertools
import tracemalloc
from pathlib import Path
from typing import BinaryIO, cast

import pytest

from batcher.errors import InventoryError
from batcher.inventory import open as inventory_open
from batcher.inventory.open import ReadOptions, open_inventory
from tests.hostile.measured import Measured, measured
from tests.inventory.reading import KNOWN, fields, read, refusal

MIB = 1 << 20
PEAK_MIB_MAX = 200
"""Twice what the command takes for a small file; an attack is a gigabyte."""
TAKEN_MAX = 16 * MIB
"""What may go into a pipe before the reader has seen enough: its limits are 1 MiB, and a pipe holds some more."""


def refused(ended: Measured, said: str) -> None:
    assert ended.code == 2, ended.err
    assert said in ended.err
    assert "\nhint: " in ended.err
    assert "Traceback" not in ended.err
    assert ended.peak_mib < PEAK_MIB_MAX


def bomb(inside: bytes, megabytes: int) -> bytes:
    """A gzip file of so many members that each unpack to a megabyte."""
    return gzip.compress(inside * (MIB // len(inside)), 9) * megabytes


@pytest.mark.parametrize(
    "inside", [b"\0", b" ", b"\n", b"x", b"e,r" + b"r" * 1020 + b"\n", b"[", b'{"a":1}' + b" " * 504 + b"\n"]
)
@pytest.mark.parametrize("suffix", ["csv", "json", "jsonl"])
def test_a_gzip_bomb_is_refused_after_a_moment(inside: bytes, suffix: str) -> None:
    said = refusal(bomb(inside, 64), suffix)
    assert "`stdin:" in said
    ways = ("unpacks to more than", "longer than", "nested deeper", "NUL", "broken JSON", "more than 1000", "no array")
    assert any(way in said for way in ways), said


@pytest.mark.timeout(60)
def test_a_megabyte_that_unpacks_to_a_gigabyte_costs_little_memory_and_ends_early(tmp_path: Path) -> None:
    header = gzip.compress(b"er_id,resource_id,log_group_id,log_stream_id,region\n")
    (tmp_path / "bomb.csv.gz").write_bytes(header + bomb(b"a,b,c,d," + b"e" * 1015 + b"\n", 1024))
    assert (tmp_path / "bomb.csv.gz").stat().st_size < 8 * MIB
    ended = measured(tmp_path, "validate", "bomb.csv.gz")
    refused(ended, "the gzip stream unpacks to more than 100 times its size")
    assert "`bomb.csv.gz:" in ended.err


def test_a_bomb_in_a_bomb_is_never_opened() -> None:
    assert "byte offset 1 (0x8b) is not valid utf-8" in refusal(gzip.compress(bomb(b"x", 1024)))


def test_an_inventory_that_shrinks_well_is_no_bomb() -> None:
    text = b"the same long description " * 20
    rows = b"".join(b"%s,%s\n" % (hashlib.md5(b"%d" % at).hexdigest().encode(), text) for at in range(10_000))
    data = gzip.compress(rows, 9)
    assert len(rows) > 5 * MIB
    assert 20 < len(rows) / len(data) < 100
    assert len(read(gzip.compress(b"er_id,description\n") + data)) == 10_000


class Endless:
    """A stream: a start, then the same for a gigabyte. `taken` is how much of it was read."""

    def __init__(self, start: bytes, again: bytes) -> None:
        self._start = start
        self._again = again
        self.taken = 0

    def read(self, size: int) -> bytes:
        assert self.taken < 1 << 30, "it reads on"
        self.taken += size
        start, self._start = self._start, b""
        return start or (self._again * (size // len(self._again) + 1))[:size]


ENDLESS = [
    ("csv", b"er_id,name\ne1,", b"x", "cannot read `stdin:2`: the line is longer than 1048576 characters"),
    ("csv", b"er_id", b"x", "cannot read `stdin:1`: the line is longer"),
    ("csv", b'er_id,name\ne1,n\ne2,"', b"x,y\n", "cannot read `stdin:3`: the row that starts here is"),
    ("csv", b'er_id,name\ne1,n\ne2,"x', b'","y\n', "cannot read `stdin:3`: the row that starts here is"),
    ("csv", b'"er_id', b"x\n", "cannot read `stdin:1`: the header is not valid CSV"),
    ("json", b'[\n{"name": "', b"x", "cannot read `stdin:2`: a JSON value longer than"),
    ("json", b'[{"n":1},\n{"name": [', b'"' + b"y" * 4092 + b'",\n', "cannot read `stdin:2`: a JSON value longer than"),
    ("json", b'{"note": "', b"x", "cannot read `stdin:1`: a JSON value longer than"),
    ("json", b"[", b"[", "cannot read `stdin:1`: JSON nested deeper than 64 levels"),
    ("json", b'[{"a":', b"1", "cannot read `stdin:1`: a JSON value longer than"),
    ("jsonl", b'{"er_id": "e1"}\n{"name": "', b"x", "cannot read `stdin:2`: the line is longer than"),
    ("jsonl", b'{"er_id": "e1"}\n', b'{"a":', "cannot read `stdin:2`: "),
]


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("form", "start", "again", "said"), ENDLESS)
def test_a_gigabyte_without_an_end_is_not_taken(form: str, start: bytes, again: bytes, said: str) -> None:
    stream = Endless(start, again)
    options = ReadOptions(input_format=form, known=KNOWN)
    tracemalloc.start()
    try:
        with (
            pytest.raises(InventoryError) as caught,
            open_inventory("-", options, stdin=cast("BinaryIO", stream)) as inventory,
        ):
            list(inventory.rows())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert said in str(caught.value)
    assert caught.value.hint
    assert stream.taken < TAKEN_MAX
    assert peak < 4 * TAKEN_MAX


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("form", "start", "again", "said"), [ENDLESS[5], ENDLESS[10]])
def test_a_pipe_of_a_gigabyte_ends_the_command_early(
    tmp_path: Path, form: str, start: bytes, again: bytes, said: str
) -> None:
    blocks = itertools.chain([start], itertools.repeat(again * MIB, 1024))
    ended = measured(tmp_path, "validate", "-", "--input-format", form, fed=blocks)
    refused(ended, said)
    assert ended.taken < TAKEN_MAX


def test_a_stream_that_never_ends_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inventory_open, "STREAM_BYTES_MAX", 100_000)
    assert len(read(b"er_id\n" + b"e\n" * 40_000)) == 40_000
    assert refusal(b"er_id\n" + b"e\n" * 80_000) == "cannot read `-`: more than 100,000 bytes came"


def test_a_pipe_is_read_once_as_it_comes_and_again_as_a_file() -> None:
    rows = b"".join(b'{"er_id": "e%d", "own": "%s"}\n' % (at, b"x" * 50) for at in range(5_000))
    assert [row["er_id"] for row in fields(gzip.compress(rows), "jsonl")] == [f"e{at}" for at in range(5_000)]


@pytest.mark.skipif(not Path("/dev/zero").is_char_device(), reason="no such device here")
@pytest.mark.parametrize("form", ["csv", "json", "jsonl"])
def test_a_device_that_never_ends_is_no_inventory(form: str) -> None:
    with pytest.raises(InventoryError) as caught:
        open_inventory("/dev/zero", ReadOptions(input_format=form, known=KNOWN))
    assert "cannot read `zero:1`: " in str(caught.value)


@pytest.mark.parametrize("count", [10_000, 100_000])
def test_ten_thousand_columns_are_too_many(count: int) -> None:
    names = [f"c{at}" for at in range(count)]
    header = ",".join(names).encode()
    line = refusal(header + b"\n" + header.replace(b"c", b"x"))
    assert line == "cannot read `stdin:1`: the header has more than 1000 columns"
    item = b"{" + b",".join(b'"%s":1' % name.encode() for name in names) + b"}"
    for data, form in ((b"[" + item + b"]", "json"), (item, "jsonl")):
        assert "more than 1000 " in refusal(data, form) or "longer than 1048576" in refusal(data, form)
