"""What a row of the ledger gives to each report, whatever texts stand in it."""

import csv
import io
import json
import re
from typing import Any

from batcher.inventory.columns import folded
from batcher.inventory.open import ReadOptions, open_inventory
from batcher.model import Outcome, RowState, RunState
from batcher.operations.flow_log import FlowLogs
from batcher.operations.flow_log_row import RowDefaults
from batcher.policy.defusing import harmless
from batcher.records import RowRecord
from batcher.report.csv_report import CsvLayout, csv_line
from batcher.report.jsonl_report import JsonlLayout
from batcher.report.rows import RowProjection
from batcher.report.summary import Tally, summarize
from tests.fuzz.draw import Draw, joined
from tests.fuzz.hostile import WORDS
from tests.report.world import record, run_record

OPERATION = FlowLogs(None, RowDefaults())
_LIKE_A_FORMULA = re.compile(r"[=+\-@\t\r\n＝＋－＠]")
MOVES_A_TERMINAL = re.compile(r"[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Control characters but those of lines and tabs, and those that turn the direction of writing."""

SEEDS = (
    *(joined(b"\0\0" + word.encode(), b"", *[word.encode()] * 8) for word in WORDS),
    *(joined(bytes((at, at)) + b"name", b"Owner", b"a,b", b'"', b"\r\n", b"x") for at in range(24)),
    joined(b"\0\0" + b"\xed\xa0\x80", b"\xff"),
)
TOKENS = (*WORDS, '"', ",", "\r\n", "'")


def check(data: bytes) -> None:
    """Lines that read back, that no spreadsheet runs and no terminal obeys."""
    draw = Draw(data)
    state, outcome = draw.one_of(tuple(RowState)), draw.one_of(tuple(Outcome))
    # What comes out of the ledger went in as UTF-8.
    texts = [draw.block().decode("utf-8", "replace") for _ in range(10)]
    own, value, name, description, *said = texts
    own = own.strip()
    run = run_record(
        columns=(("er_id", "er_id"), ("name", "name"), ("description", "description"), (own or "own", own or "own")),
        inventory_name=said[5] or "a.csv",
        state=RunState.OPEN,
        stop_code="BATCHER.Interrupted",
        stop_message=said[4],
    )
    columns: tuple[str, ...] = ("default", "r", "p", "er", "res", "group", "stream", name, description)
    spec = None if outcome is Outcome.INVALID else json.dumps([*columns, True])
    carried = {own or "own": value} | ({"name": name, "description": description} if spec is None else {})
    row = record(
        1,
        outcome if state is RowState.SETTLED else None,
        state=state,
        spec=spec,
        carried=json.dumps(carried),
        remote_id=said[0],
        remote_state=said[1],
        error_code=said[2],
        error_message=said[3],
        request_id=said[4],
    )
    _check_reports(run, row)


def _check_reports(run: Any, row: RowRecord) -> None:
    projection = RowProjection(OPERATION, run)
    projected = projection.project(row)
    lines = [CsvLayout(projection).header, CsvLayout(projection).line(projected), csv_line(projection.again_header)]
    lines += [] if projected.again is None else [csv_line(projected.again)]
    for line in lines:
        assert line.endswith("\n")
        assert not MOVES_A_TERMINAL.search(line), line
        (cells,) = csv.reader(io.StringIO(line, newline=""), strict=True)
        assert not [cell for cell in cells if _LIKE_A_FORMULA.match(cell)], cells
    said = JsonlLayout(projection).line(projected)
    assert said[:-1].isprintable(), said
    assert json.loads(said)["row"] == 1
    tally = Tally(projection.columns, "er_id")
    tally.add(projected)
    json.dumps(summarize(run, tally, ["report.csv"]), default=str)
    header = projection.again_header
    if (
        projected.again is not None
        and len({*map(folded, header)}) == len(header)
        and harmless(header[-1]) == header[-1]
    ):
        _check_again(projection, projected.again)


def _check_again(projection: RowProjection, again: list[str]) -> None:
    """A row of `failed.csv` is a row of an inventory, with the same values but for what no file should hold."""
    text = csv_line(projection.again_header) + csv_line(again)
    options = ReadOptions(input_format="csv", known=frozenset({"er_id", "name", "description"}))
    with open_inventory("-", options, stdin=io.BytesIO(text.encode())) as inventory:
        (row,) = inventory.rows()
    for name in ("name", "description"):
        cell = again[projection.again_header.index(name)]
        if not MOVES_A_TERMINAL.search(cell):
            assert row.fields.get(name, "") == cell.strip()
