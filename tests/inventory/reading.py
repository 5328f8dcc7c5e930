"""How the tests of this room read an inventory: bytes in, rows out, through the public door."""

import io
from pathlib import Path

import pytest

from batcher.errors import InventoryError
from batcher.inventory.open import ReadOptions, open_inventory
from batcher.model import RawRow

KNOWN = frozenset({"er_id", "resource_id", "name", "description", "enabled"})


def read(data: bytes, input_format: str = "csv", *, encoding: str = "utf-8", **rename: str) -> list[RawRow]:
    """All rows of these bytes, given on standard input."""
    options = ReadOptions(input_format=input_format, encoding=encoding, known=KNOWN, rename=rename)
    with open_inventory("-", options, stdin=io.BytesIO(data)) as inventory:
        return list(inventory.rows())


def fields(data: bytes, input_format: str = "csv", **rename: str) -> list[dict[str, str]]:
    """The fields of all rows of these bytes, none of which may have a fault."""
    rows = read(data, input_format, **rename)
    assert [row for row in rows if row.faults] == []
    return [dict(row.fields) for row in rows]


def columns(data: bytes, input_format: str = "csv", **rename: str) -> tuple[tuple[str, str], ...]:
    """The columns of these bytes once all rows are read."""
    options = ReadOptions(input_format=input_format, known=KNOWN, rename=rename)
    with open_inventory("-", options, stdin=io.BytesIO(data)) as inventory:
        for _ in inventory.rows():
            pass
        return inventory.columns


def faults(data: bytes, input_format: str = "csv") -> list[tuple[int, str, str, str]]:
    """The faults of all rows as (line, column, value, rule)."""
    rows = read(data, input_format)
    return [(row.line, fault.column, fault.value, fault.rule) for row in rows for fault in row.faults]


def refusal(data: bytes, input_format: str = "csv", *, encoding: str = "utf-8", **rename: str) -> str:
    """Why these bytes cannot be read as a whole."""
    with pytest.raises(InventoryError) as caught:
        read(data, input_format, encoding=encoding, **rename)
    return str(caught.value)


def refusal_of(path: Path | str, options: ReadOptions) -> str:
    """Why this file cannot be read as a whole, with the hint."""
    with pytest.raises(InventoryError) as caught, open_inventory(str(path), options) as inventory:
        list(inventory.rows())
    return f"{caught.value} hint: {caught.value.hint}"
