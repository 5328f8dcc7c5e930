"""What a header or a key means: batcher's own column, or one of the user's; and limits on both kinds.

Names are compared trimmed and without regard to case. A column that batcher knows goes by its canonical
name, one of the user's by its name as first written, trimmed. Where a column was renamed, a header that has
the column's own name is one of the user's, like the VPC's `resource_id` in the provider's lists of attachments;
it goes by `resource_id (in the file)`, so that the two stay apart.
"""

from collections.abc import Collection, Iterable, Mapping

from batcher.errors import InventoryError
from batcher.model import Fault

COLUMNS_MAX = 1_000
"""Most columns of a file: far beyond any real inventory, and the names must fit in memory."""

VALUE_CHARS_SHOWN = 60
"""How much of a value a fault shows: enough to find it, little enough for a line of a report."""

NAMES_SHOWN = 30
"""How many column names a message lists before it only counts them."""

REPLACEMENT = "\ufffd"
"""Stands for a character that no report or database could hold; a row with one has a fault."""

_SPELLINGS_KEPT = 4 * COLUMNS_MAX
"""Spellings of keys that are remembered; others are worked out each time, so memory stays flat."""


class ColumnNames:
    """Finds the column behind a header; `columns` lists those seen, in order of first appearance.

    Raises `InventoryError` where `rename` (canonical name -> header) names an unknown column or one
    header for two columns.
    """

    def __init__(self, *, known: Collection[str], rename: Mapping[str, str]) -> None:
        self.known = frozenset(known)
        self.rename = {canonical.strip().lower(): header.strip() for canonical, header in rename.items()}
        self._meanings = {canonical.casefold(): canonical for canonical in self.known}
        self._seen: dict[str, str] = {}
        self._by_spelling: dict[str, str] = {}
        for canonical in self.rename:
            self._meanings[canonical.casefold()] = f"{canonical} (in the file)"
        for canonical, header in self.rename.items():
            self._add_rename(canonical, header)

    @property
    def columns(self) -> tuple[tuple[str, str], ...]:
        """The columns seen so far as (name in the file, canonical or the same name)."""
        return tuple((original, name) for name, original in self._seen.items() if name)

    def meaning(self, header: str) -> str:
        """The canonical name of a known column, else the trimmed header itself."""
        trimmed = header.strip()
        return self._meanings.get(trimmed.casefold(), trimmed)

    @property
    def overfull(self) -> bool:
        """Whether more than `COLUMNS_MAX` columns have been seen: the file cannot be read."""
        return len(self._seen) > COLUMNS_MAX

    def see(self, header: str) -> str:
        """The same as `meaning`, and count the column as seen; the caller minds `overfull`."""
        name = self._by_spelling.get(header)
        if name is not None:
            return name
        name = self.meaning(header)
        self._seen.setdefault(name, header.strip())
        if len(self._by_spelling) < _SPELLINGS_KEPT:
            self._by_spelling[header] = name
        return name

    def _add_rename(self, canonical: str, header: str) -> None:
        if canonical not in self.known:
            message = f"cannot rename: `{canonical}` is not a column of an inventory"
            raise InventoryError(message, hint=f"the columns are {listed(sorted(self.known))}")
        other = self._meanings.get(header.casefold(), canonical)
        if other != canonical and self.rename.get(other, "").casefold() == header.casefold():
            message = f"cannot rename: header `{header}` is given to both `{other}` and `{canonical}`"
            raise InventoryError(message, hint="give each column a header of its own")
        self._meanings[header.casefold()] = canonical


def listed(names: Iterable[str]) -> str:
    """Names for a message: quoted, shortened, and no more than `NAMES_SHOWN` of them."""
    quoted = [f"`{shortened(name)}`" for name in names]
    more = len(quoted) - NAMES_SHOWN
    return ", ".join(quoted[:NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")


def shortened(value: str) -> str:
    """A value as a fault shows it: its beginning, with a mark where something was left out."""
    return value if len(value) <= VALUE_CHARS_SHOWN else value[: VALUE_CHARS_SHOWN - 3] + "..."


def fault(column: str, value: str, rule: str) -> Fault:
    """A fault of the file's form, its value shortened."""
    return Fault(column=column, value=shortened(value), rule=rule)
