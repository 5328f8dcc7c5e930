"""What a header or a key means: batcher's own column, or one of the user's; and limits on both kinds.

Names are compared trimmed and without regard to case; a letter of another script that would fold into an ASCII
one, such as the long s or the Kelvin sign, stays what it is. A column that batcher knows goes by its canonical
name, one of the user's by its name as first written, trimmed. Where a column was renamed, a header that has
the column's own name is one of the user's, like the VPC's `resource_id` in the provider's lists of attachments;
it goes by `resource_id (in the file)`, so that the two stay apart.
"""

from collections.abc import Collection, Iterable, Mapping

from batcher.errors import InventoryError
from batcher.model import Fault
from batcher.policy.defusing import harmless
from batcher.policy.remarks import REMARK_COLUMNS

COLUMNS_MAX = 1_000
"""Most columns of a file: far beyond any real inventory, and the names must fit in memory."""

VALUE_CHARS_SHOWN = 60
"""How much of a value a fault shows: enough to find it, little enough for a line of a report."""

UNFIT = "a name holds a control character or one that turns the direction of text"
UNFIT_HINT = "rename that column in the file"

NAMES_SHOWN = 30
"""How many column names a message lists before it only counts them."""

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
        self._meanings = {folded(canonical): canonical for canonical in self.known}
        self._seen: dict[str, str] = {}
        self._by_spelling: dict[str, str] = {}
        self._unfit = False
        for canonical in self.rename:
            self._meanings[folded(canonical)] = f"{canonical} (in the file)"
        for canonical, header in self.rename.items():
            self._add_rename(canonical, header)

    @property
    def columns(self) -> tuple[tuple[str, str], ...]:
        """The columns seen so far as (name in the file, canonical or the same name)."""
        return tuple((original, name) for name, original in self._seen.items() if name and name not in REMARK_COLUMNS)

    def meaning(self, header: str) -> str:
        """The canonical name of a known column, else the trimmed header itself."""
        trimmed = header.strip()
        return self._meanings.get(folded(trimmed), trimmed)

    @property
    def overfull(self) -> bool:
        """Whether more than `COLUMNS_MAX` columns have been seen: the file cannot be read."""
        return len(self._seen) > COLUMNS_MAX

    @property
    def unfit(self) -> bool:
        """Whether a name was seen that holds what a terminal would obey: reports could not tell it from another."""
        return self._unfit

    def see(self, header: str) -> str:
        """The same as `meaning`, and count the column as seen; the caller minds `overfull` and `unfit`."""
        name = self._by_spelling.get(header)
        if name is not None:
            return name
        name = self.meaning(header)
        self._seen.setdefault(name, header.strip())
        self._unfit = self._unfit or harmless(name) != name
        if len(self._by_spelling) < _SPELLINGS_KEPT:
            self._by_spelling[header] = name
        return name

    def _add_rename(self, canonical: str, header: str) -> None:
        if canonical not in self.known:
            message = f"cannot rename: `{canonical}` is not a column of an inventory"
            raise InventoryError(message, hint=f"the columns are {listed(sorted(self.known))}")
        other = self._meanings.get(folded(header), canonical)
        if other != canonical and folded(self.rename.get(other, "")) == folded(header):
            message = f"cannot rename: header `{header}` is given to both `{other}` and `{canonical}`"
            raise InventoryError(message, hint="give each column a header of its own")
        self._meanings[folded(header)] = canonical


def folded(name: str) -> str:
    """A name as names are compared."""
    fold = name.casefold()
    return name if fold.isascii() and not name.isascii() else fold


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
