import errno
import gzip
import hashlib
import io
import os
import threading
from pathlib import Path
from typing import BinaryIO, cast

import pytest

from batcher.errors import InventoryError
from batcher.inventory.open import ReadOptions, open_inventory
from batcher.ports import RowSource
from tests.inventory.reading import KNOWN, refusal_of

OPTIONS = ReadOptions(known=KNOWN, required=frozenset({"er_id", "resource_id"}))
CSV = b"er_id,resource_id\ne1,r1\n"
JSON = b'[{"er_id": "e1", "resource_id": "r1"}]'
JSONL = b'{"er_id": "e1", "resource_id": "r1"}\n'
ROW = {"er_id": "e1", "resource_id": "r1"}


@pytest.mark.parametrize(
    ("name", "data", "input_format"),
    [
        ("a.csv", CSV, "csv"),
        ("a.CSV", CSV, "csv"),
        ("a.tsv", CSV.replace(b",", b"\t"), "csv"),
        ("a.txt", CSV, "csv"),
        ("a.json", JSON, "json"),
        ("a.jsonl", JSONL, "jsonl"),
        ("a.ndjson", JSONL, "jsonl"),
        ("noname", b"\n" + CSV, "csv"),
        ("noname", b"\xef\xbb\xbf \n" + JSON, "json"),
        ("noname", b'{\n"rows": ' + JSON + b"}", "json"),
        ("noname", b'{"rows": ' + JSON + b"}\n", "json"),
        ("noname.dat", JSONL, "jsonl"),
        ("noname.dat", JSONL.replace(b"}", b', "own": "[x]"}') * 2, "jsonl"),
        ("noname", b" " * 200_000 + JSON, "json"),
    ],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_the_format_is_found_by_name_then_by_content(
    tmp_path: Path, name: str, data: bytes, input_format: str, zipped: bool
) -> None:
    path = tmp_path / (f"{name}.gz" if zipped else name)
    path.write_bytes(gzip.compress(data) if zipped else data)
    with open_inventory(str(path), OPTIONS) as inventory:
        source: RowSource = inventory
        rows = [{key: row.fields[key] for key in ROW} for row in source.rows()]
        assert inventory.input_format == input_format
        assert (inventory.name, inventory.sha256) == (path.name, hashlib.sha256(path.read_bytes()).hexdigest())
    assert rows == [ROW] * len(rows)
    assert rows


def test_an_explicit_format_outranks_the_name(tmp_path: Path) -> None:
    path = tmp_path / "export.json"
    path.write_bytes(JSONL * 2)
    with open_inventory(str(path), ReadOptions(known=KNOWN, input_format="jsonl")) as inventory:
        assert [row.line for row in inventory.rows()] == [1, 2]
    path.write_bytes(JSONL)
    assert "add --input-format jsonl" in refusal_of(path, OPTIONS)


@pytest.mark.parametrize("between", ["\n", " ", "\n\n", ""])
def test_objects_one_after_another_are_read(tmp_path: Path, between: str) -> None:
    """As `jq '.[]'` writes a list."""
    path = tmp_path / "export.json"
    path.write_text(between.join(f'{{\n  "er_id": "{at}",\n  "own": {{"a": 1}}\n}}' for at in range(3)))
    with open_inventory(str(path), OPTIONS) as inventory:
        assert [row.fields["er_id"] for row in inventory.rows()] == ["0", "1", "2"]


def test_gzip_is_known_by_its_content_not_its_name(tmp_path: Path) -> None:
    (tmp_path / "plain.csv.gz").write_bytes(CSV)
    (tmp_path / "zipped.csv").write_bytes(gzip.compress(CSV[:9]) + gzip.compress(CSV[9:]))
    for name in ("plain.csv.gz", "zipped.csv"):
        with open_inventory(str(tmp_path / name), OPTIONS) as inventory:
            assert [row.fields for row in inventory.rows()] == [ROW]


def test_the_columns_of_a_csv_are_known_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(CSV)
    with open_inventory(str(tmp_path / "a.csv"), OPTIONS) as inventory:
        assert inventory.columns == (("er_id", "er_id"), ("resource_id", "resource_id"))


def test_rows_can_be_read_again_from_the_start(tmp_path: Path) -> None:
    for name, data in (("a.csv", CSV), ("a.json", JSON), ("a.jsonl", JSONL)):
        (tmp_path / name).write_bytes(gzip.compress(data))
        with open_inventory(str(tmp_path / name), OPTIONS) as inventory:
            assert list(inventory.rows()) == list(inventory.rows())


@pytest.mark.parametrize("data", [CSV, gzip.compress(CSV)], ids=["plain", "gzip"])
def test_standard_input_is_hashed_and_read(data: bytes) -> None:
    options = ReadOptions(known=KNOWN, input_format="csv")
    with open_inventory("-", options, stdin=io.BytesIO(data)) as inventory:
        assert (inventory.name, inventory.input_format) == ("stdin", "csv")
        assert inventory.sha256 == hashlib.sha256(data).hexdigest()
        assert [row.fields for row in inventory.rows()] == [ROW]


def test_the_format_of_standard_input_must_be_said() -> None:
    with pytest.raises(InventoryError, match="cannot tell the format of standard input") as caught:
        open_inventory("-", OPTIONS, stdin=io.BytesIO(CSV))
    assert "--input-format" in caught.value.hint


def test_a_pipe_with_a_name_is_read_like_a_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    writer = threading.Thread(target=(tmp_path / "pipe.csv").write_bytes, args=(CSV,))
    writer.start()
    with open_inventory(str(tmp_path / "pipe.csv"), OPTIONS) as inventory:
        assert [row.fields for row in inventory.rows()] == [ROW]
    writer.join()


def test_what_cannot_be_opened_is_named(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert refusal_of(tmp_path / "none.csv", OPTIONS) == (
        f"cannot read `{tmp_path}/none.csv`: no such file or directory hint: "
    )
    assert f"cannot read `{tmp_path}`: is a directory" in refusal_of(tmp_path, OPTIONS)
    assert f"cannot read `{tmp_path}/loop`: too many levels" in refusal_of(tmp_path / "loop", OPTIONS)
    assert "no file name holds a NUL" in refusal_of("a\0b.csv", OPTIONS)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_without_read_permission_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(CSV)
    (tmp_path / "a.csv").chmod(0)
    assert "a.csv`: permission denied" in refusal_of(tmp_path / "a.csv", OPTIONS)


@pytest.mark.parametrize("name", ["a.csv", "a.json", "a.jsonl", "a"])
@pytest.mark.parametrize("data", [b"", b" \n\r\n\t", b"\xef\xbb\xbf", gzip.compress(b"", mtime=0)])
def test_an_empty_file_is_refused(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    assert f"cannot read `{name}`: it is empty" in refusal_of(tmp_path / name, OPTIONS)


def test_a_workbook_is_recognised(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"PK\x03\x04\x14\0\6\0")
    assert "a workbook hint: save a spreadsheet as CSV" in refusal_of(tmp_path / "a.csv", OPTIONS)


def test_a_header_without_the_required_columns_says_what_it_has(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"\nER_ID,AttachmentID,owner\n")
    assert refusal_of(tmp_path / "a.csv", OPTIONS) == (
        "cannot read `a.csv:2`: the header has no column `resource_id`; it has `ER_ID`, `AttachmentID`, `owner`"
        " hint: say which header it is: --map resource_id=HEADER"
    )
    (tmp_path / "a.csv").write_bytes(b"er_id|resource_id\n")
    assert refusal_of(tmp_path / "a.csv", OPTIONS) == (
        "cannot read `a.csv:1`: the header has no column `er_id`, `resource_id`; it has `er_id|resource_id`"
        " hint: say which header it is: --map er_id=HEADER; columns are separated by comma, semicolon or tab"
    )


def test_an_unknown_format_is_refused(tmp_path: Path) -> None:
    assert "unknown format `xml`" in refusal_of(tmp_path / "a.csv", ReadOptions(input_format="xml"))


def test_a_file_that_changes_while_it_is_read_is_not_trusted(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(CSV)
    with open_inventory(str(path), OPTIONS) as inventory:
        rows = inventory.rows()
        next(rows)
        with path.open("ab") as file:
            file.write(b"e2,r2\n")
        with pytest.raises(InventoryError, match=r"cannot trust `a\.csv`: it changed while"):
            list(rows)


def test_a_file_is_closed_when_it_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"colour\n")
    descriptors = _open_files()
    for _ in range(3):
        refusal_of(tmp_path / "a.csv", OPTIONS)
    assert _open_files() == descriptors


def test_standard_input_that_fails_is_named() -> None:
    failing = io.BufferedReader(_FailsAtOnce())
    with pytest.raises(InventoryError, match="cannot read `-`: input/output error"):
        open_inventory("-", ReadOptions(input_format="csv"), stdin=cast("BinaryIO", failing))


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


class _FailsAtOnce(io.RawIOBase):
    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))
