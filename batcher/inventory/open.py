"""Opens an inventory: finds its format, hashes it, and gives its rows as a stream.

What cannot be read twice (standard input, a pipe) is first copied to an unnamed temporary file, so that it
can be hashed, looked at and read in flat memory like any other file. It is read once while it comes, so that what can
never be an inventory ends the copy and does not fill the disk.
"""

import hashlib
import os
import stat
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self, cast

from batcher.errors import InventoryError
from batcher.inventory.columns import ColumnNames
from batcher.inventory.csv_source import CsvSource
from batcher.inventory.json_source import JsonSource
from batcher.inventory.text import READ_BYTES, Text
from batcher.model import RawRow
from batcher.policy.defusing import printable

STDIN = "-"
"""The path that means standard input."""
STDIN_NAME = "stdin"
"""How an inventory from there is called."""

FORMATS = ("csv", "json", "jsonl")

_FORMAT_BY_SUFFIX = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}

STREAM_BYTES_MAX = 4 << 30
"""Of standard input or a pipe: some ten million rows. What is longer may never end, and the copy takes disk."""

_ZIP_MAGIC = b"PK\x03\x04"
"""How a workbook of a spreadsheet begins: the likeliest wrong file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions:
    """How to read an inventory; the defaults suit a UTF-8 file with a telling name.

    `input_format` is one of `FORMATS`, or None to go by the name, then by the content. `encoding` is any
    Python text codec; a byte-order mark in the file outranks it. `rename` gives the header of a canonical
    column. `known` are the canonical names, in lower case; `required` those that a CSV header must have.
    """

    input_format: str | None = None
    encoding: str = "utf-8"
    rename: Mapping[str, str] = field(default_factory=dict)
    known: frozenset[str] = frozenset()
    required: frozenset[str] = frozenset()


class Inventory:
    """An open inventory: a `RowSource`, and a context manager that closes it.

    `name` is the file's base name or `stdin`, `sha256` that of the bytes as given (compressed, if they are),
    `input_format` one of `FORMATS`. Made by `open_inventory`.
    """

    def __init__(self, raw: BinaryIO, *, name: str, suffix: str, options: ReadOptions) -> None:
        self.name = name
        self._raw = raw
        self._opened = self._stamp()
        self.sha256 = _digest(raw)
        self._names = ColumnNames(known=options.known, rename=options.rename)
        self.input_format, self._source = _source(raw, name, suffix, options, self._names)

    @property
    def columns(self) -> tuple[tuple[str, str], ...]:
        """The columns as (name in the file, canonical or the same name), in order of first appearance.

        Whole once `rows` has ended; of a CSV at once.
        """
        return self._names.columns

    def rows(self) -> Iterator[RawRow]:
        """Yield every row in file order; may be called again when an earlier pass has ended.

        Raises `InventoryError` where the file as a whole cannot be read, or changed since it was opened.
        """
        yield from self._source.rows()
        if self._stamp() != self._opened:
            message = f"cannot trust `{self.name}`: it changed while it was being read"
            raise InventoryError(message, hint="start again once whatever writes it is done")

    def close(self) -> None:
        """Let go of the file. Repeatable."""
        self._raw.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _stamp(self) -> tuple[int, int]:
        """What shows that the file was written to: its size and time of change."""
        status = os.fstat(self._raw.fileno())
        return status.st_size, status.st_mtime_ns


def open_inventory(path: str, options: ReadOptions, *, stdin: BinaryIO | None = None) -> Inventory:
    """Open the inventory at `path`, or with `-` the one on `stdin` (that of the process by default).

    The file has been read once when this returns: its digest is known, and of a CSV the header. Raises
    `InventoryError`; its rows are not looked at yet.
    """
    if options.input_format not in (None, *FORMATS):
        message = f"cannot read the inventory: unknown format `{options.input_format}`"
        raise InventoryError(message, hint="--input-format csv, json or jsonl")
    if path == STDIN and options.input_format is None:
        message = "cannot tell the format of standard input"
        raise InventoryError(message, hint="add --input-format csv, json or jsonl")
    name = STDIN_NAME if path == STDIN else printable(Path(path).name)
    suffix = Path(name.lower().removesuffix(".gz")).suffix
    with ExitStack() as closing:
        try:
            if path == STDIN:
                raw = closing.enter_context(_spooled(stdin or sys.stdin.buffer, path, name, suffix, options))
            else:
                raw = closing.enter_context(_opened(path))
                if not stat.S_ISREG(os.fstat(raw.fileno()).st_mode):  # a device seeks, and may never end
                    with raw as pipe:
                        raw = closing.enter_context(_spooled(pipe, path, name, suffix, options))
            inventory = Inventory(raw, name=name, suffix=suffix, options=options)
        except OSError as exc:
            raise InventoryError(f"cannot read `{path}`: {(exc.strerror or str(exc)).lower()}") from exc
        closing.pop_all()
        return inventory


def _opened(path: str) -> BinaryIO:
    """The file."""
    if "\0" in path:
        raise InventoryError(f"cannot read `{path!r}`: no file name holds a NUL character")
    return Path(path).open("rb")


def _spooled(stream: BinaryIO, path: str, name: str, suffix: str, options: ReadOptions) -> BinaryIO:
    """A copy of what the stream still holds, in a temporary file without a name; read once as an inventory."""
    with ExitStack() as closing:
        spool = closing.enter_context(tempfile.TemporaryFile())
        arriving = _Arriving(stream, spool, path)
        names = ColumnNames(known=options.known, rename=options.rename)
        _, source = _source(cast("BinaryIO", arriving), name, suffix, options, names)
        for _ in source.rows():
            pass
        while arriving.read(READ_BYTES):
            pass
        spool.flush()
        closing.pop_all()
        return spool


class _Arriving:
    """What a stream has given so far, as a file that can be read from its start again; reading on takes more."""

    def __init__(self, stream: BinaryIO, spool: BinaryIO, path: str) -> None:
        self._stream = stream
        self._spool = spool
        self._path = path
        self._at = 0
        self._kept = 0

    def seek(self, offset: int) -> int:
        """Go to a place that was read before."""
        self._at = offset
        return offset

    def tell(self) -> int:
        """The place that is read next."""
        return self._at

    def read(self, size: int) -> bytes:
        """Up to `size` bytes; none at the end of the stream. Raises `InventoryError`."""
        try:
            if self._at == self._kept:
                self._take()
            self._spool.seek(self._at)
            found = self._spool.read(size)
        except OSError as exc:
            raise InventoryError(f"cannot read `{self._path}`: {(exc.strerror or str(exc)).lower()}") from exc
        self._at += len(found)
        return found

    def _take(self) -> None:
        block = self._stream.read(READ_BYTES)
        self._spool.seek(self._kept)
        self._spool.write(block)
        self._kept += len(block)
        if self._kept > STREAM_BYTES_MAX:
            message = f"cannot read `{self._path}`: more than {STREAM_BYTES_MAX:,} bytes came"
            raise InventoryError(message, hint="if all of it is an inventory, give it as a file, or in parts")


def _source(
    raw: BinaryIO, name: str, suffix: str, options: ReadOptions, names: ColumnNames
) -> tuple[str, CsvSource | JsonSource]:
    """The format of a file and its rows. Raises `InventoryError`."""
    raw.seek(0)
    if raw.read(len(_ZIP_MAGIC)) == _ZIP_MAGIC:
        hint = "save a spreadsheet as CSV; of other ZIP files give the file inside"
        raise InventoryError(f"cannot read `{name}`: it is a ZIP archive or a workbook", hint=hint)
    text = Text(raw, name=name, encoding=options.encoding)
    head = next((start for chunk in text.chunks() if (start := chunk.lstrip())), "")
    if not head:
        raise InventoryError(f"cannot read `{name}`: it is empty", hint="whatever wrote it may have failed")
    input_format = options.input_format or _FORMAT_BY_SUFFIX.get(suffix) or _sniffed(head)
    if input_format == "csv":
        return input_format, CsvSource(text, names, required=options.required)
    return input_format, JsonSource(text, names, one_a_line=input_format == "jsonl")


def _digest(raw: BinaryIO) -> str:
    """The SHA-256 of the whole file."""
    digest = hashlib.sha256()
    raw.seek(0)
    while block := raw.read(READ_BYTES):
        digest.update(block)
    return digest.hexdigest()


def _sniffed(head: str) -> str:
    """The format of a text by how it begins; `head` starts with its first visible character."""
    if head.startswith("["):
        return "json"
    if not head.startswith("{"):
        return "csv"
    first, _, rest = head.partition("\n")
    whole_line = first.rstrip().endswith("}")
    another = rest.lstrip().startswith("{")
    return "jsonl" if whole_line and (another or "[" not in first) else "json"
