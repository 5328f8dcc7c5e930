"""What is held of an inventory of any format: rows that a ledger can keep, and wishes that survive `failed.csv`."""

import gzip
import io
import re

from batcher.errors import InventoryError
from batcher.inventory.open import ReadOptions, open_inventory
from batcher.model import RawRow, Wish
from batcher.operations.flow_log import FlowLogs
from batcher.operations.flow_log_row import COLUMNS, RowDefaults
from batcher.planning.record import plan_rows
from batcher.policy.defusing import defuse, harmless
from batcher.report.csv_report import csv_line
from tests.fuzz.draw import Draw, can_be_kept, is_sound

ENCODINGS = (
    "utf-8",
    "utf-16",
    "utf-16-le",
    "gbk",
    "gb18030",
    "utf-7",
    "latin-1",
    "utf-32",
    "shift_jis",
    "cp037",
    "idna",
)
MAPS: tuple[dict[str, str], ...] = (
    {},
    {"name": "Owner"},
    {"resource_id": "id"},
    {"er_id": "名称", "name": "er_id"},
    {"description": "ſ"},
    {"name": ""},
)
PLACE = {
    "er_id": "5e6a0a2e-dd70-434d-81d7-7cffb7decc0c",
    "resource_id": "6dbb8cb8-ef65-4d78-a6ad-41ef88c279d9",
    "log_group_id": "683447c1-0cc8-4f11-9d4e-abbd1fcfb980",
    "log_stream_id": "aed09b82-4ca8-4fc2-bfb6-37dd5bae2d26",
    "project_id": "566bf9d7c55a45f8d1a6e55e9b9b1325",
    "region": "cn-north-4",
}
OPERATION = FlowLogs(None, RowDefaults(values=PLACE))
"""Every cell has a default, so that a fuzzer reaches the rules of each column alone."""
_SPEC = re.compile(r"[\x20-\x7e]+")
_UNFIT = re.compile(r"[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufffd]")
_ID = re.compile(r"[0-9A-Za-z-]{1,64}")


def check_inventory(data: bytes, input_format: str) -> None:
    """Read the bytes behind two of choices: encoding and map, gzipped or not."""
    draw = Draw(data)
    encoding = draw.one_of(ENCODINGS)
    how = draw.number(len(MAPS) * 2)
    body = gzip.compress(draw.rest, 1) if how >= len(MAPS) else draw.rest
    options = ReadOptions(
        input_format=input_format, encoding=encoding, rename=MAPS[how % len(MAPS)], known=frozenset(COLUMNS)
    )
    try:
        with open_inventory("-", options, stdin=io.BytesIO(body)) as inventory:
            rows = list(inventory.rows())
            for original, name in inventory.columns:
                can_be_kept(original)
                can_be_kept(name)
                assert harmless(original) == original
    except InventoryError as error:
        is_sound(error, needs_hint=True)
        return
    for row in rows:
        _check_row(row)
    _check_plan(rows)


def _check_row(row: RawRow) -> None:
    assert row.line >= 1
    for name, value in row.fields.items():
        assert name, "a field without a name"
        assert value, "an empty value is absent"
        can_be_kept(name)
        can_be_kept(value)
    for fault in row.faults:
        assert len(fault.value) <= 60
        assert len(fault.rule) <= 300, fault.rule
        can_be_kept(fault.value)


def _check_plan(rows: list[RawRow]) -> None:
    wishes = []
    for planned in plan_rows(rows, OPERATION):
        can_be_kept(planned.carried)
        can_be_kept(planned.why)
        if planned.wish is not None:
            _check_wish(planned.wish)
            wishes.append(planned.wish)
    _check_failed_csv(wishes)


def _check_wish(wish: Wish) -> None:
    """What goes into URLs, headers and bodies is what its rule allows, in ASCII."""
    assert _SPEC.fullmatch(wish.spec), wish.spec
    columns = OPERATION.columns_of(wish.spec)
    for name in ("er_id", "resource_id", "log_group_id", "log_stream_id", "project_id"):
        assert _ID.fullmatch(columns[name]), columns[name]
    assert not _UNFIT.search(columns["name"] + columns["description"]), columns


def _check_failed_csv(wishes: list[Wish]) -> None:
    """Each wish comes back from a CSV of ours as the very same wish."""
    if not wishes:
        return
    known = OPERATION.known_columns
    lines = [csv_line(known)]
    lines += [csv_line([OPERATION.columns_of(wish.spec)[name] for name in known]) for wish in wishes]
    text = "".join(lines)
    assert defuse(text) == text
    options = ReadOptions(input_format="csv", known=frozenset(COLUMNS))
    with open_inventory("-", options, stdin=io.BytesIO(text.encode())) as inventory:
        again = [OPERATION.parse(row.fields) for row in inventory.rows()]
    assert again == wishes
