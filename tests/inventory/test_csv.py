import csv
import io
from contextlib import suppress
from typing import Literal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from batcher.errors import InventoryError
from batcher.inventory.open import ReadOptions, open_inventory
from batcher.model import RawRow
from batcher.policy.defusing import defuse
from tests.inventory.reading import KNOWN, columns, faults, fields, read, refusal


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_each_delimiter_is_read_off_the_header(delimiter: str) -> None:
    text = "er_id,resource_id,Owner\ne1,r1,ann\n".replace(",", delimiter)
    assert fields(text.encode()) == [{"er_id": "e1", "resource_id": "r1", "Owner": "ann"}]


@pytest.mark.parametrize(
    ("header", "names"),
    [
        (b"er_id,a;b;c;d\n", ["er_id", "a;b;c;d"]),  # known columns outweigh a greater number
        (b"a;b,c;d\n", ["a", "b,c", "d"]),  # none is known: most columns
        (b'"er_id;x",name\n', ["er_id;x", "name"]),  # inside quotes it does not count
        (b'er_id;"a,b,c"\n', ["er_id", "a,b,c"]),
        (b"er_id\n", ["er_id"]),
        (b'"er\n id",name\n', ["er\n id", "name"]),  # a header over two lines
    ],
)
def test_the_delimiter_that_makes_most_sense_of_the_header_wins(header: bytes, names: list[str]) -> None:
    assert [original for original, _ in columns(header)] == names


def test_headers_are_trimmed_and_matched_without_regard_to_case() -> None:
    data = b" ER_ID ,Resource_Id,  Cost Centre \n e1 , r1 ,  42 \n"
    assert fields(data) == [{"er_id": "e1", "resource_id": "r1", "Cost Centre": "  42 "}]
    assert columns(data) == (("ER_ID", "er_id"), ("Resource_Id", "resource_id"), ("Cost Centre", "Cost Centre"))


def test_a_renamed_header_is_matched_like_any_other() -> None:
    data = b"Router, attachmentid\ne1,r1\n"
    assert fields(data, er_id="router", resource_id=" AttachmentID ") == [{"er_id": "e1", "resource_id": "r1"}]
    assert columns(data, er_id="router", resource_id="AttachmentID") == (
        ("Router", "er_id"),
        ("attachmentid", "resource_id"),
    )


def test_a_column_that_was_renamed_leaves_its_own_name_to_the_user() -> None:
    data = b"id,resource_id\n r1 , vpc \n"
    assert fields(data, resource_id="ID") == [{"resource_id": "r1", "resource_id (in the file)": " vpc "}]
    assert columns(data, resource_id="ID") == (
        ("id", "resource_id"),
        ("resource_id", "resource_id (in the file)"),
    )
    assert fields(b"resource_id\nr1\n", resource_id="Resource_ID") == [{"resource_id": "r1"}]


def test_two_columns_can_change_names() -> None:
    assert fields(b"name,description\nn,d\n", name="description", description="name") == [
        {"description": "n", "name": "d"}
    ]


def test_an_empty_cell_is_absent() -> None:
    assert fields(b"er_id,name,owner,ticket\ne1,  ,, \n") == [{"er_id": "e1", "ticket": " "}]


def test_lines_are_physical_lines() -> None:
    data = b'er_id,owner\r\n\r\ne3,"one\r\ntwo\nthree"\r\n   \r\ne7,x\ne8,"a ""quoted"" word"\ne9,"""\n"\re11,last'
    rows = read(data)
    assert [(row.line, row.fields["er_id"]) for row in rows] == [
        (3, "e3"),
        (7, "e7"),
        (8, "e8"),
        (9, "e9"),
        (11, "e11"),
    ]
    assert rows[0].fields["owner"] == "one\r\ntwo\nthree"
    assert rows[3].fields["owner"] == '"\n'


def test_blank_lines_before_the_header_count() -> None:
    assert [row.line for row in read(b"\n  \n\ner_id\ne5\n")] == [5]


def test_a_header_alone_is_an_inventory_without_rows() -> None:
    assert read(b"er_id,name") == []


def test_a_single_column_is_read_whole() -> None:
    assert fields(b'er_id\na;b\n"c,d"\n') == [{"er_id": "a;b"}, {"er_id": "c,d"}]
    assert faults(b"er_id\na,b\n") == [(2, "", "a,b", "has 2 cells where the header has 1")]


def test_a_row_of_another_width_is_a_fault_and_keeps_its_fields() -> None:
    data = b"er_id,name,owner\ne1,n1\ne2,n2,o2,x,y\ne3\n"
    assert faults(data) == [
        (2, "", "e1,n1", "has 2 cells where the header has 3"),
        (3, "", "e2,n2,o2,x,y", "has 5 cells where the header has 3"),
        (4, "", "e3", "has 1 cell where the header has 3"),
    ]
    assert [row.fields for row in read(data)] == [
        {"er_id": "e1", "name": "n1"},
        {"er_id": "e2", "name": "n2", "owner": "o2"},
        {"er_id": "e3"},
    ]


def test_a_column_without_a_header_must_be_empty() -> None:
    data = b"er_id,,name,\ne1,,n1,\ne2,stray,n2,  \n"
    assert faults(data) == [(3, "", "stray", "has `stray` in column 2, which has no header")]
    assert [row.fields for row in read(data)] == [{"er_id": "e1", "name": "n1"}, {"er_id": "e2", "name": "n2"}]
    assert columns(data) == (("er_id", "er_id"), ("name", "name"))


@pytest.mark.parametrize("nothing", [",,", ";;", " , ,", '"","",""', "\t\t", ",", "  "])
def test_a_row_of_nothing_is_a_blank_line(nothing: str) -> None:
    delimiter = next((each for each in ";\t" if each in nothing), ",")
    data = f"er_id,name,own\ne1,n1,o1\n{nothing}\ne2,n2,o2\n".replace(",", delimiter if delimiter != "," else ",")
    assert [(row.line, row.fields["er_id"]) for row in read(data.encode())] == [(2, "e1"), (4, "e2")]
    assert faults(data.encode()) == []


def test_a_first_column_of_numbers_without_a_header_is_an_index() -> None:
    data = b",er_id,name\n0,e1,n1\n1,e2,n2\n10,e3,n3\n"
    assert [row.fields for row in read(data)] == [{"er_id": f"e{at}", "name": f"n{at}"} for at in (1, 2, 3)]
    assert faults(data) == []
    assert faults(b",er_id,name\nx,e1,n1\n") == [(2, "", "x", "has `x` in column 1, which has no header")]


@pytest.mark.parametrize("delimiter", [";", ",", "\t", "|"])
def test_a_first_line_that_names_the_separator_is_taken_at_its_word(delimiter: str) -> None:
    data = f"sep={delimiter}\ner_id;name\ne1;n1\n".replace(";", delimiter)
    (row,) = read(data.encode())
    assert (row.line, row.fields) == (3, {"er_id": "e1", "name": "n1"})


def test_a_header_that_does_not_stand_at_the_top_is_told() -> None:
    data = b"Export of 2026-12-01\nby somebody\n\ner_id,name\ne1,n1\n"
    options = ReadOptions(input_format="csv", known=KNOWN, required=frozenset({"er_id"}))
    with pytest.raises(InventoryError) as refused, open_inventory("-", options, stdin=io.BytesIO(data)):
        pass
    assert refused.value.hint == "the header seems to be on line 4: remove the lines above it"


def test_a_nul_character_is_a_fault_of_its_row() -> None:
    data = b"er_id,name\ne1,a\0b\ne2,n2\n"
    assert faults(data) == [(2, "name", "a\ufffdb", "holds a NUL character")]
    assert [row.fields["name"] for row in read(data)] == ["a\ufffdb", "n2"]


def test_a_value_in_a_fault_is_shortened() -> None:
    ((_, _, value, _),) = faults(b"er_id,name\n" + b"x" * 300)
    assert value == "x" * 57 + "..."


def test_cells_that_a_report_defused_come_back_as_they_were() -> None:
    data = b"er_id,name,'@owner,note\ne1,'=n1,'-5,O'Brien\ne2,n2,'plain,''+x\n"
    assert fields(data) == [
        {"er_id": "e1", "name": "=n1", "@owner": "-5", "note": "O'Brien"},
        {"er_id": "e2", "name": "n2", "@owner": "'plain", "note": "'+x"},
    ]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'er_id,name\ne1,"n1\n', "`stdin:2`: the row that starts here is not valid CSV (unexpected end of data)"),
        (
            b'er_id,name\ne1,n1\ne2,"a\nb"x\n',
            "`stdin:3`: the row that starts here is not valid CSV (',' expected after '\"', noticed on line 4)",
        ),
        (b'"er_id"x,name\n', "`stdin:1`: the header is not valid CSV"),
        (b'\n\n"er_id\n', "`stdin:3`: the header is not valid CSV (unexpected end of data)"),
        (b"er_id,name,ER_ID\n", "`stdin:1`: the headers `er_id` and `ER_ID` both mean the column `er_id`"),
        (b"er_id,owner, owner\n", "`stdin:1`: the header has `owner` twice"),
        (b"\ne\0r\0_\0i\0d\0\n", "`stdin:2`: the header holds NUL characters"),
    ],
)
def test_what_is_not_csv_is_refused_with_its_line(data: bytes, message: str) -> None:
    assert message in refusal(data)


def test_a_rename_must_fit_the_file_and_the_columns() -> None:
    data = b"Router,attachment\n"
    assert refusal(data, er_id="Gateway") == (
        "cannot read `stdin:1`: the header has no `Gateway`; it has `Router`, `attachment`"
    )
    assert "the headers `Router` and `ROUTER` both mean the column `er_id`" in refusal(
        b"Router,ROUTER\n", er_id="Router"
    )
    assert "header `router` is given to both `er_id` and `name`" in refusal(data, er_id="Router", name="router")
    assert "cannot rename: `colour` is not a column" in refusal(data, colour="Router")


CELL = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
TABLE = st.integers(2, 5).flatmap(lambda width: st.lists(st.lists(CELL, min_size=width, max_size=width), max_size=6))


# Before Python 3.13 the writer, left to itself, quotes only those line ends that it writes.
STYLE = st.sampled_from([("\r\n", csv.QUOTE_MINIMAL), ("\n", csv.QUOTE_ALL), ("\r", csv.QUOTE_ALL)])


@given(table=TABLE, delimiter=st.sampled_from(",;\t"), style=STYLE)
@example(table=[["a\rb\n", "'=x"]], delimiter=",", style=("\r", csv.QUOTE_ALL))
def test_any_table_that_csv_writes_reads_back(
    table: list[list[str]], delimiter: str, style: tuple[str, Literal[0, 1]]
) -> None:
    width = len(table[0]) if table else 2
    names = ["er_id", "own1", "own2", "own3", "own4"][:width]
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter, lineterminator=style[0], quoting=style[1])
    writer.writerows([names, *([defuse(cell) for cell in row] for row in table)])
    expected = [
        {name: text for name, cell in zip(names, row, strict=True) if (text := _as_read(name, cell))}
        for row in table
        if any(map(str.strip, row))
    ]
    rows = read(out.getvalue().encode())
    assert [row.fields for row in rows] == expected
    assert all(not row.faults for row in rows)


def _as_read(name: str, cell: str) -> str:
    return cell.strip() if name == "er_id" else cell


@given(st.binary(max_size=200))
def test_no_bytes_at_all_crash_the_reader(data: bytes) -> None:
    with suppress(InventoryError):
        assert all(isinstance(row, RawRow) for row in read(b"er_id,name\n" + data))
