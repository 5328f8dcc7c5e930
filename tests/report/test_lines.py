"""How the formats write a row: CSV for spreadsheets, JSON Lines for programs."""

import csv
import io
import json

from hypothesis import given
from hypothesis import strategies as st

from batcher.model import Outcome
from batcher.policy.defusing import defuse, harmless, undefuse
from batcher.report.csv_report import CsvLayout, csv_line
from batcher.report.jsonl_report import JsonlLayout
from batcher.report.rows import RowProjection
from tests.report.world import OPERATION, record, run_record, spec

ODD_CHARACTERS = "=+-@'\t\r\n,;\"\\ \u2028é%{}x"
CELLS = st.lists(st.text(st.sampled_from(ODD_CHARACTERS) | st.characters(exclude_categories=["Cs"]), max_size=6))


def read_csv(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline="")))


@given(CELLS)
def test_a_csv_line_reads_back_as_its_defused_cells(cells: list[str]) -> None:
    line = csv_line(cells)
    assert line.endswith("\n")
    kept = [harmless(cell) for cell in cells]
    assert read_csv(line) == [[defuse(cell) for cell in kept]]
    assert [undefuse(cell) for cell in read_csv(line)[0]] == kept


def test_every_character_that_makes_a_formula_is_defused_in_every_place() -> None:
    for character in map(chr, range(0x250)):
        cells = [f"{character}1", "plain", f"'{character}1", f"{character}1"]
        assert read_csv(csv_line(cells)) == [[defuse(harmless(cell)) for cell in cells]]


def test_a_plain_line_has_no_quotes() -> None:
    assert (
        csv_line(["1", "", "a b", "Zürich", "2024-04-19T08:00:00.000Z"]) == "1,,a b,Zürich,2024-04-19T08:00:00.000Z\n"
    )


def test_a_lone_empty_cell_is_not_a_blank_line() -> None:
    assert csv_line([""]) == '""\n'


FORMULA = '=HYPERLINK("http://x","y")'


def hostile() -> tuple[RowProjection, list[str]]:
    """A run in which every text that others provide is a formula; the projection and the names of those."""
    names = ["account", "region", "project_id", "er_id", "resource_id", "log_group_id", "log_stream_id", "name"]
    projection = RowProjection(OPERATION, run_record(columns=(("er_id", "er_id"), ("@Owner", "@Owner"))))
    provided = ["flow_log_id", "flow_log_state", "error_code", "error_message", "request_id", "token", "'@Owner"]
    return projection, names + provided


def test_formulas_are_defused_in_every_column_and_header() -> None:
    projection, names = hostile()
    row = record(
        1,
        Outcome.FAILED,
        spec=spec(1, **dict.fromkeys(OPERATION.identity_columns, FORMULA)),
        carried=json.dumps({"@Owner": FORMULA}),
        remote_id=FORMULA,
        remote_state=FORMULA,
        error_code=FORMULA,
        error_message=FORMULA,
        request_id=FORMULA,
        token=FORMULA,
    )
    layout = CsvLayout(projection)
    header, cells = read_csv(layout.header + layout.line(projection.project(row)))
    shown = dict(zip(header, cells, strict=True))
    assert {name for name, cell in shown.items() if cell == f"'{FORMULA}"} == set(names)
    assert not [cell for cell in header + cells if cell[:1] in tuple("=+-@\t\r")]


def test_csv_writes_unknown_as_empty_and_booleans_as_an_inventory_does() -> None:
    projection = RowProjection(OPERATION, run_record())
    layout = CsvLayout(projection)
    for enabled, text in [(True, "true"), (False, "false"), (None, "")]:
        row = projection.project(record(1, remote_enabled=enabled, http_status=None))
        cells = dict(zip(projection.header, read_csv(layout.line(row))[0], strict=True))
        assert (cells["enabled"], cells["http_status"], cells["row"], cells["outcome"]) == (text, "", "1", "created")


def test_jsonl_is_typed() -> None:
    columns = (("er_id", "er_id"), ("row", "row"), ('10% "net"', '10% "net"'))
    projection = RowProjection(OPERATION, run_record(columns=columns))
    row = record(7, carried='{"row": "A7"}', remote_enabled=False, error_message="", duration_ms=0)
    line = JsonlLayout(projection).line(projection.project(row))
    shown = json.loads(line)
    assert line.endswith("}\n")
    assert tuple(shown) == (*projection.columns, "user")
    assert (shown["row"], shown["http_status"], shown["duration_ms"], shown["enabled"]) == (7, 202, 0, False)
    assert (shown["error_message"], shown["outcome"]) == (None, "created")
    assert shown["user"] == {"row": "A7", '10% "net"': None}


def test_jsonl_has_an_empty_user_object_where_there_are_no_such_columns() -> None:
    projection = RowProjection(OPERATION, run_record())
    row = projection.project(record(1, remote_enabled=None))
    shown = json.loads(JsonlLayout(projection).line(row))
    assert (shown["user"], shown["enabled"]) == ({}, None)


@given(st.text())
def test_jsonl_keeps_every_text_on_one_line(text: str) -> None:
    projection = RowProjection(OPERATION, run_record(columns=(("%s{}", "%s{}"),)))
    row = projection.project(record(1, error_message=text, carried=json.dumps({"%s{}": text})))
    line = JsonlLayout(projection).line(row)
    assert line.count("\n") == 1
    assert "\r" not in line
    shown = json.loads(line)
    assert shown["error_message"] == (text or None)
    assert shown["user"] == {"%s{}": text}
