"""Rows of a JSON or JSON Lines inventory: items whose members are matched like the headers of a CSV."""

from collections.abc import Iterator

from batcher.inventory.columns import COLUMNS_MAX, UNFIT, UNFIT_HINT, ColumnNames, fault, shortened
from batcher.inventory.json_items import Item, JsonItems, Members, Nested
from batcher.inventory.text import Text, unreadable
from batcher.model import Fault, RawRow
from batcher.policy.defusing import REPLACEMENT


class JsonSource:
    """The rows of a JSON text that is not blank; with `one_a_line` each line is one object."""

    def __init__(self, text: Text, names: ColumnNames, *, one_a_line: bool) -> None:
        self._text = text
        self._names = names
        self._one_a_line = one_a_line

    def rows(self) -> Iterator[RawRow]:
        """Yield the rows from the first. Raises `InventoryError` where the text is not what it should be."""
        for item in JsonItems(self._text, one_a_line=self._one_a_line):
            if item.members is None:
                yield RawRow(item.line, {}, (fault("", item.instead, "is not a JSON object"),))
            else:
                yield self._row(item, item.members)

    def _row(self, item: Item, members: Members) -> RawRow:
        see, known = self._names.see, self._names.known
        fields: dict[str, str] = {}
        columns = []
        odd = item.cleaned
        for key, value in members:
            column = see(key)
            columns.append(column)
            if value is None:
                continue
            odd = odd or type(value) is Nested
            text = value.strip() if column in known else str(value)
            if text:
                fields.setdefault(column, text)
        if self._names.overfull:
            raise unreadable(self._text.name, item.line, f"more than {COLUMNS_MAX} columns down to this item")
        if self._names.unfit:
            raise unreadable(self._text.name, item.line, UNFIT, hint=UNFIT_HINT)
        if not odd and len(fields) == len(members) and "" not in fields:
            return RawRow(item.line, fields)
        faults = self._faults(columns, members, cleaned=item.cleaned)
        fields.pop("", None)
        return RawRow(item.line, fields, faults)

    def _faults(self, columns: list[str], members: Members, *, cleaned: bool) -> tuple[Fault, ...]:
        """What is wrong with the form of an item, member by member."""
        faults: list[Fault] = []
        earlier: dict[str, str] = {}
        for column, (key, value) in zip(columns, members, strict=True):
            text = value or ""
            if column in earlier:
                faults.append(fault(column, text, _given_twice(earlier[column], key)))
            elif not column and text:
                faults.append(fault("", text, "stands under an empty name"))
            elif type(value) is Nested and column in self._names.known:
                faults.append(fault(column, text, "is a nested value where text is needed"))
            if cleaned and REPLACEMENT in key + text:
                faults.append(fault(column, text, "holds a NUL character or half a surrogate pair"))
            earlier.setdefault(column, key)
        return tuple(faults)


def _given_twice(first: str, second: str) -> str:
    if first == second:
        return "is given twice in one item"
    return f"is given twice in one item, as `{shortened(first)}` and `{shortened(second)}`"
