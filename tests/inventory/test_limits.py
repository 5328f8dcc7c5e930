import gzip
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from batcher.inventory.open import ReadOptions, open_inventory
from tests.inventory.reading import KNOWN, fields, read, refusal

MIB = 1024 * 1024


def test_a_line_at_the_limit_is_read_and_one_beyond_is_not() -> None:
    row = ",".join(["x" * 100_000] * 10).encode()
    header = ",".join(f"c{at}" for at in range(10)).encode() + b"\n"
    assert len(read(header + row + b"\n")) == 1
    assert refusal(header + row + b"," + b"x" * 60_000) == (
        "cannot read `stdin:2`: the line is longer than 1048576 characters"
    )
    assert "`stdin:2`: the line is longer" in refusal(b'{"a": 1}\n{"a": "' + b"x" * MIB + b'"}', "jsonl")


def test_a_quote_that_is_never_closed_ends_at_the_limit_of_a_cell() -> None:
    assert "`stdin:3`: the row that starts here is not valid CSV (field larger than field limit" in refusal(
        b'er_id,own\ne1,x\ne2,"' + b"y,z\n" * 100_000
    )


def test_a_row_of_many_lines_is_bounded() -> None:
    data = b"er_id,own\ne1,x\n" + b'"a\n' + b'","\n'.join([b"y" * 99] * 12_000) + b'"\n'
    assert "`stdin:3`: the row that starts here is longer than 1048576 characters" in refusal(data)
    assert "`stdin:1`: the header is not valid CSV" in refusal(data[15:])


def test_columns_are_bounded() -> None:
    header = ",".join(f"c{at}" for at in range(1_000)).encode()
    assert read(header) == []
    assert refusal(header + b",more") == "cannot read `stdin:1`: the header has more than 1000 columns"
    items = b",\n".join(b'{"c%d": 1}' % at for at in range(1_001))
    assert refusal(b"[" + items + b"]", "json") == (
        "cannot read `stdin:1001`: more than 1000 columns down to this item"
    )
    members = b",".join(b'"a": %d' % at for at in range(1_001))
    assert "`stdin:1`: the item has more than 1000 members" in refusal(b"[{" + members + b"}]", "json")


def test_spellings_of_a_key_cost_no_memory_for_ever() -> None:
    data = b"[" + b",".join(b'{"%sname": 1}' % (b" " * at) for at in range(5_000)) + b"]"
    assert fields(data, "json") == [{"name": "1"}] * 5_000


def test_an_item_is_bounded() -> None:
    big = b'{"a": "' + b"x" * (MIB - 100_000) + b'"}'
    assert len(read(b"[" + big + b"," + big + b"]", "json")) == 2
    more = b'{"a":\n "' + b"x" * (MIB + 200_000) + b'"}'
    assert refusal(b"[" + big + b",\n" + more + b"]", "json") == (
        "cannot read `stdin:2`: a JSON value longer than 1048576 characters starts here"
    )
    many = b'{"a":\n [' + b"1, 2, 3,\n" * 130_000 + b"4]}"
    assert "`stdin:2`: a JSON value longer than" in refusal(b"[\n" + many + b"]", "json")
    aside = b'{"note":\n "' + b"x" * (MIB + 200_000) + b'", "rows": []}'
    assert "a JSON value longer than" in refusal(aside, "json")
    assert read(b"[" + (b" " * 999 + b"\n") * 3_000 + b"]", "json") == []


@pytest.mark.parametrize("depth", [65, 2_000, 100_000])
def test_depth_is_bounded(depth: int) -> None:
    assert "JSON nested deeper than 64 levels" in refusal(b'[{"a":\n' + b"[" * depth, "json")
    assert "JSON nested deeper than 64 levels" in refusal(b"[" + b"[" * depth, "json")
    assert "JSON nested deeper than 64 levels" in refusal(b'{"a":' * depth, "json")
    assert "JSON nested deeper than 64 levels" in refusal(b'{"a": ' + b'{"a":' * depth, "jsonl")


def test_depth_up_to_the_bound_is_read() -> None:
    nested = b"[" * 64 + b"]" * 64
    assert fields(b'[{"own": ' + nested + b"}]", "json") == [{"own": nested.decode()}]


def _csv(count: int) -> Iterator[bytes]:
    yield b"er_id,own\n"
    for at in range(count):
        yield b"e%d,some words and O'Brien\n" % at


def _json(count: int) -> Iterator[bytes]:
    yield b'{"total": 1, "rows": ['
    for at in range(count):
        yield b'%s{"er_id": "e%d", "own": [%d]}' % (b",\n" if at else b"", at, at)
    yield b"]}"


def _json_on_one_line(count: int) -> Iterator[bytes]:
    return (part.replace(b"\n", b"") for part in _json(count))


def _jsonl(count: int) -> Iterator[bytes]:
    return (b'{"er_id": "e%d", "own": null}\n' % at for at in range(count))


def _peak_bytes(path: Path, make: Callable[[int], Iterator[bytes]], count: int) -> int:
    with gzip.open(path, "wb", compresslevel=1) as file:
        for part in make(count):
            file.write(part)
    tracemalloc.start()
    try:
        with open_inventory(str(path), ReadOptions(known=KNOWN)) as inventory:
            assert sum(1 for _ in inventory.rows()) == count
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("name", "make"), [("a.csv", _csv), ("a.json", _json), ("b.json", _json_on_one_line), ("a.jsonl", _jsonl)]
)
def test_memory_does_not_grow_with_the_rows(tmp_path: Path, name: str, make: Callable[[int], Iterator[bytes]]) -> None:
    few, many = (_peak_bytes(tmp_path / name, make, count) for count in (6_000, 24_000))
    assert many - few < 4 * 18_000  # not even a pointer for each row more
