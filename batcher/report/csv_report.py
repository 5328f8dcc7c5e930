r"""Lines of `report.csv` and `failed.csv`.

Comma, UTF-8 without a byte-order mark, quotes where RFC 4180 asks for them, lines ended by `\n` (what line
tools expect; spreadsheets and CSV readers take it too). Cells that a spreadsheet would take for a formula
are defused, headers too; the inventory's CSV reader takes that back. What a terminal would obey is replaced: `cat` is
how most reports are looked at. Unknown values are empty cells.
"""

import csv
import re
from collections.abc import Sequence
from typing import Final

from batcher.policy.defusing import defuse, harmless
from batcher.report.rows import ReportRow, RowProjection

_LINE_END: Final = "\r\n"
"""What the csv writer is told, so that it quotes both characters in a cell on every Python version."""

_MAY_BE_FORMULA: Final = re.compile(r",['=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
"""A sieve over a whole line for the cells that `defuse` changes; a false hit costs time only."""


class _Line:
    """Keeps the one line that the csv writer hands over."""

    text: str = ""

    def write(self, text: str) -> None:
        self.text = text


def csv_line(texts: Sequence[str]) -> str:
    r"""The texts, harmless and defused, as the cells of one CSV line, `\n` included.

    Most lines hold nothing to quote or defuse; joining those takes a third of the csv writer's time.
    """
    line = "," + ",".join(texts)
    if not line.isprintable():
        texts = [harmless(text) for text in texts]
        line = "," + ",".join(texts)
    if _MAY_BE_FORMULA.search(line):
        return _written_line([defuse(text) for text in texts])
    if '"' in line or "\n" in line or "\r" in line or line.count(",") != len(texts) or line == ",":
        return _written_line(texts)
    return line[1:] + "\n"


def _written_line(texts: Sequence[str]) -> str:
    """The cells as the csv writer quotes them."""
    line = _Line()
    csv.writer(line, lineterminator=_LINE_END).writerow(texts)
    return line.text.removesuffix(_LINE_END) + "\n"


class CsvLayout:
    """The shape of `report.csv`, made once for a run."""

    def __init__(self, projection: RowProjection) -> None:
        self.header = csv_line(projection.header)

    def line(self, row: ReportRow) -> str:
        r"""The row as one line, `\n` included."""
        return csv_line([*row.texts, *[text or "" for text in row.user]])
