"""The example inventories are what `inputs/README.md` says."""

import uuid
from collections import Counter
from pathlib import Path

import pytest

from batcher.inventory.columns import COLUMNS_MAX
from batcher.inventory.csv_source import ROW_CHARS_MAX
from batcher.inventory.json_items import DEPTH_MAX, ITEM_CHARS_MAX
from batcher.inventory.open import ReadOptions, open_inventory
from batcher.inventory.text import LINE_CHARS_MAX
from batcher.model import RawRow

INPUTS = Path(__file__).parents[2] / "inputs"
REQUIRED = frozenset({"er_id", "resource_id", "log_group_id", "log_stream_id"})
KNOWN = REQUIRED | {
    "name",
    "description",
    "resource_type",
    "log_store_type",
    "enabled",
    "project_id",
    "region",
    "account",
}


def _rows(name: str) -> list[RawRow]:
    with open_inventory(str(INPUTS / name), ReadOptions(known=KNOWN, required=REQUIRED)) as inventory:
        return list(inventory.rows())


def test_the_three_formats_hold_the_same_two_hundred_rows() -> None:
    as_csv, as_json, as_lines = (_rows(name) for name in ("attachments.csv", "attachments.json", "attachments.jsonl"))
    assert len(as_csv) == 200
    assert [row.line for row in as_csv] == [row.line for row in as_json] == list(range(2, 202))
    assert [row.line for row in as_lines] == list(range(1, 201))
    assert [row.fields for row in as_csv] == [row.fields for row in as_json] == [row.fields for row in as_lines]
    assert not any(row.faults for row in as_csv + as_json + as_lines)


def test_the_rows_are_of_the_kind_that_the_table_of_examples_names() -> None:
    rows = [row.fields for row in _rows("attachments.csv")]
    different = {column: len({row.get(column) for row in rows}) for column in (*KNOWN, "owner", "ticket")}
    assert (different["er_id"], different["project_id"], different["region"]) == (3, 2, 1)
    assert different["resource_id"] == different["name"] == 200
    assert different["log_group_id"] == 4
    assert 1 < Counter(row["enabled"] for row in rows)["false"] < 20
    assert all(str(uuid.UUID(row[column])) == row[column] for row in rows for column in REQUIRED)
    assert {"owner", "ticket"} <= rows[1].keys()


def test_the_faulty_file_is_read_to_its_end() -> None:
    rows = _rows("faulty.csv")
    assert len(rows) == 24
    assert sum(row.fields.get("description", "").startswith("good") for row in rows) == 8 + 1
    assert [(row.line, row.faults[0].rule) for row in rows if row.faults] == [
        (14, "has 15 cells where the header has 13"),
        (15, "has 10 cells where the header has 13"),
    ]
    assert rows[15].fields == rows[14].fields
    assert [row.fields["owner"] for row in rows if row.fields.get("owner", "").startswith("=")] != []


@pytest.mark.parametrize("limit", [LINE_CHARS_MAX, ROW_CHARS_MAX, ITEM_CHARS_MAX, COLUMNS_MAX, DEPTH_MAX])
def test_the_readme_tells_every_limit(limit: int) -> None:
    assert f"| {limit:,} |" in (INPUTS / "README.md").read_text(encoding="utf-8")


def test_the_readme_names_every_column_and_file() -> None:
    text = (INPUTS / "README.md").read_text(encoding="utf-8")
    assert all(f"| `{column}` |" in text for column in KNOWN)
    assert all(f"| `{path.name}` |" in text for path in INPUTS.iterdir() if path.name != "README.md")
