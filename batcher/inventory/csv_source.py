"""Rows of a CSV inventory.

The delimiter is read off the header: the header is parsed with each candidate, and the one wins that gives
the most columns batcher knows, then the most columns. Quoting is strict, since a quote that was guessed
wrong would move values into other columns. Cells that a report of ours defused (`policy.defusing`) are
taken back to what they were, headers included.
"""

import csv
import itertools
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from batcher.errors import InventoryError
from batcher.inventory.columns import COLUMNS_MAX, UNFIT, UNFIT_HINT, ColumnNames, fault, folded, listed, shortened
from batcher.inventory.text import Text, unreadable
from batcher.model import Fault, RawRow
from batcher.policy.defusing import REPLACEMENT, undefuse
from batcher.policy.remarks import REMARK_COLUMNS

DELIMITERS = (",", ";", "\t")

_INDEX = re.compile(r"[0-9]{1,18}")
"""A cell of a first column without a header: the rows' numbers, as data frames are written."""
_SEPARATOR = re.compile(r"sep=(.)", re.IGNORECASE)
"""A spreadsheet's own first line, which says what separates cells."""
HEADER_LINES_LOOKED_AT = 50
"""How far down a header is looked for that does not stand at the top, to say where it seems to be."""

ROW_CHARS_MAX = 1024 * 1024
"""Longest row, over all its lines: a quote that is never closed must not swallow the file into memory.

The csv module's own limit of 131,072 characters holds for one cell.
"""


@dataclass(frozen=True, slots=True)
class _Header:
    """The header as it was read: its names, the delimiter, and the physical lines down to its end."""

    names: tuple[str, ...]
    delimiter: str
    line: int
    lines: int


class CsvSource:
    """The rows of a CSV text that is not blank.

    Raises `InventoryError` where the header is missing or malformed, holds a column twice, or lacks one
    that is `required` or renamed.
    """

    def __init__(self, text: Text, names: ColumnNames, *, required: Collection[str]) -> None:
        self._text = text
        self._names = names
        self._header = _read_header(text, names)
        _check_header(text, self._header, names, required)
        self._columns = tuple(names.see(header) if header else "" for header in self._header.names)
        if names.unfit:
            raise unreadable(text.name, self._header.line, UNFIT, hint=UNFIT_HINT)
        self._remarks = tuple(at for at, name in enumerate(self._columns) if name in REMARK_COLUMNS)
        ours = {*names.known, *REMARK_COLUMNS, ""}
        self._users = tuple((at, name) for at, name in enumerate(self._columns) if name not in ours)

    def rows(self) -> Iterator[RawRow]:
        """Yield the rows from the first. Raises `InventoryError` at a broken quote or an overlong row."""
        header = self._header
        feed = _Feed(self._text, skip=header.lines)
        reader = csv.reader(feed, delimiter=header.delimiter, strict=True)
        width, columns, users = len(header.names), self._columns, self._users
        nameless = "" in columns
        try:
            for row in reader:
                line, feed.line = feed.line, header.lines + reader.line_num + 1
                odd, feed.odd, feed.chars = feed.odd, False, 0
                if not any(map(str.strip, row)):
                    continue  # a blank line, or the cells that a spreadsheet leaves of a cleared row
                faults: tuple[Fault, ...] = ()
                if odd or nameless or len(row) != width:
                    faults = self._mend(row)
                for at in self._remarks:
                    row[at] = ""
                # What is ours is trimmed, what is the user's is not: most columns are ours.
                fields = dict(zip(columns, map(str.strip, row), strict=True))
                for at, column in users:
                    fields[column] = row[at]
                if "" in fields.values():
                    fields = {column: cell for column, cell in fields.items() if cell}
                yield RawRow(line, fields, faults)
        except csv.Error as exc:
            noticed = header.lines + reader.line_num
            place = "" if noticed == feed.line else f", noticed on line {noticed}"
            problem = f"the row that starts here is not valid CSV ({exc}{place})"
            raise unreadable(self._text.name, feed.line, problem, hint="look for an unpaired quote") from exc

    def _mend(self, row: list[str]) -> tuple[Fault, ...]:
        """Undo defusing and bring into shape, in place, what is at fault; the faults of the row's form."""
        faults = []
        width = len(self._columns)
        if len(row) != width:
            shape = f"has {_cells(len(row))} where the header has {width}"
            faults.append(fault("", self._header.delimiter.join(row).replace("\0", REPLACEMENT), shape))
            row[:] = row[:width] + [""] * (width - len(row))
        for at, (cell, column) in enumerate(zip(row, self._columns, strict=True)):
            if "\0" in cell:
                row[at] = cell.replace("\0", REPLACEMENT)
                faults.append(fault(column, row[at], "holds a NUL character"))
            if column:
                row[at] = undefuse(row[at])
            elif cell.strip():
                if at or not _INDEX.fullmatch(cell.strip()):
                    shape = f"has `{shortened(row[at])}` in column {at + 1}, which has no header"
                    faults.append(fault("", row[at], shape))
                row[at] = ""
            else:
                row[at] = ""
        return tuple(faults)


class _Feed:
    """Hands lines to the csv reader and watches what the reader does not: length, NUL, apostrophes.

    Whoever takes the rows says when one has ended: `line` is where the row that is being read starts, `chars` its
    length so far, and `odd` whether it needs a closer look.
    """

    def __init__(self, text: Text, *, skip: int) -> None:
        self.line = skip + 1
        self.chars = 0
        self.odd = False
        self._name = text.name
        self._lines = itertools.islice(text.lines(), skip, None)

    def __iter__(self) -> Iterator[str]:
        for line in self._lines:
            self.chars += len(line)
            if self.chars > ROW_CHARS_MAX:
                problem = f"the row that starts here is longer than {ROW_CHARS_MAX} characters"
                raise unreadable(self._name, self.line, problem, hint="look for a quote that is never closed")
            if "'" in line or "\0" in line:
                self.odd = True
            yield line


def _read_header(text: Text, names: ColumnNames) -> _Header:
    lines = text.lines()
    numbered = ((at, line) for at, line in enumerate(lines) if line.strip())
    blank, first = next(numbered)
    separator = _SEPARATOR.fullmatch(first.strip(" \r\n"))
    if separator is not None:
        blank, first = next(numbered, (blank, first))
    if "\0" in first:
        raise _holds_nul(text.name, blank + 1)
    taken, candidates, problem = [first], [], ""
    for delimiter in DELIMITERS if separator is None else separator[1]:
        reader = csv.reader(_replayed(taken, lines), delimiter=delimiter, strict=True)
        try:
            cells = tuple(undefuse(cell).strip() for cell in next(reader))
        except csv.Error as exc:
            problem = str(exc)
            continue
        candidates.append(_Header(cells, delimiter, blank + 1, blank + reader.line_num))
    if not candidates:
        problem = f"the header is not valid CSV ({problem})"
        raise unreadable(text.name, blank + 1, problem, hint="look for an unpaired quote")

    def fitness(header: _Header) -> tuple[int, int]:
        return len({names.meaning(cell) for cell in header.names} & names.known), len(header.names)

    found = max(candidates, key=fitness)
    if any("\0" in cell for cell in found.names):
        raise _holds_nul(text.name, found.line)
    return found


def _holds_nul(name: str, line: int) -> InventoryError:
    hint = "the file may be UTF-16 without a byte-order mark: --encoding utf-16-le"
    return unreadable(name, line, "the header holds NUL characters", hint=hint)


def _replayed(taken: list[str], lines: Iterator[str]) -> Iterator[str]:
    """The lines `taken`, then more from `lines`, which are kept there; ends early at `ROW_CHARS_MAX`."""
    chars = 0
    for at in itertools.count():
        if at == len(taken):
            taken.extend(itertools.islice(lines, 1))
        if at == len(taken) or chars > ROW_CHARS_MAX:
            return
        chars += len(taken[at])
        yield taken[at]


def _check_header(text: Text, header: _Header, names: ColumnNames, required: Collection[str]) -> None:
    """Raise `InventoryError` unless the header has every column it must have, and none twice."""
    name, present = text.name, [cell for cell in header.names if cell]
    if len(header.names) > COLUMNS_MAX:
        raise unreadable(name, header.line, f"the header has more than {COLUMNS_MAX} columns", hint="remove some")
    unmatched = _unmatched(names.rename.values(), present)
    if unmatched:
        problem = f"the header has no {listed(unmatched)}; it has {listed(present)}"
        raise unreadable(name, header.line, problem, hint="--map COLUMN=HEADER must name a header of the file")
    first: dict[str, str] = {}
    for cell in present:
        column = names.meaning(cell)
        if column in first:
            raise _named_twice(name, header, column, first[column], cell)
        first[column] = cell
    missing = [column for column in sorted(required) if column not in first]
    if missing:
        is_known = {names.meaning(cell) for cell in present} & names.known
        header_line = None if len(is_known) > 1 else _header_below(text, header, names)
        problem = f"the header has no column {listed(missing)}; it has {listed(present)}"
        hint = f"say which header it is: --map {missing[0]}=HEADER"
        if header_line is not None:
            hint = f"the header seems to be on line {header_line}: remove the lines above it"
        elif len(header.names) == 1:
            hint += "; columns are separated by comma, semicolon or tab"
        raise unreadable(name, header.line, problem, hint=hint)


def _header_below(text: Text, header: _Header, names: ColumnNames) -> int | None:
    """The line on which the header seems to be that does not stand at the top; None where none does."""
    lines = itertools.islice(text.lines(), header.lines, HEADER_LINES_LOOKED_AT)
    for at, line in enumerate(lines, header.lines + 1):
        for delimiter in DELIMITERS:
            cells = {names.meaning(undefuse(cell).strip('"')) for cell in line.split(delimiter)}
            if len(cells & names.known) > 1:
                return at
    return None


def _unmatched(wanted: Iterable[str], present: Iterable[str]) -> list[str]:
    there = {folded(cell) for cell in present}
    return [header for header in wanted if folded(header) not in there]


def _named_twice(name: str, header: _Header, column: str, first: str, second: str) -> InventoryError:
    if first == second == column:
        problem = f"the header has `{shortened(column)}` twice"
    else:
        both = f"`{shortened(first)}` and `{shortened(second)}`"
        problem = f"the headers {both} both mean the column `{shortened(column)}`"
    return unreadable(name, header.line, problem, hint="rename or remove one of them in the file")


def _cells(count: int) -> str:
    return "1 cell" if count == 1 else f"{count} cells"
