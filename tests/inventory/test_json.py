import json
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batcher.errors import InventoryError
from batcher.model import RawRow
from tests.inventory.reading import columns, faults, fields, read, refusal

ROWS = [{"er_id": "e1", "Owner": "ann"}, {"er_id": "e2", "ticket": "T-1"}]


@pytest.mark.parametrize(
    ("input_format", "text"),
    [
        ("json", json.dumps(ROWS)),
        ("json", json.dumps(ROWS, indent=2)),
        ("json", json.dumps({"page": {"ids": [1, [2]], "more": {}}, "total": 2, "rows": ROWS, "end": None})),
        ("jsonl", "\n".join(json.dumps(row) for row in ROWS)),
        ("jsonl", "\n \r\n".join(json.dumps(row) for row in ROWS) + "\n\n"),
    ],
)
def test_every_form_gives_the_same_rows(input_format: str, text: str) -> None:
    assert fields(text.encode(), input_format) == ROWS
    assert columns(text.encode(), input_format) == (
        ("er_id", "er_id"),
        ("Owner", "Owner"),
        ("ticket", "ticket"),
    )


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ('"x"', "x"),
        ('" x "', " x "),
        ("true", "true"),
        ("false", "false"),
        ("1", "1"),
        ("12345678901234567890123", "12345678901234567890123"),
        ("1.50", "1.50"),
        ("-0.25", "-0.25"),
        ("1e400", "1e400"),
        ("1e5", "1e5"),
        ("123e4567", "123e4567"),
        ("-0.0", "-0.0"),
        ("1E+00", "1E+00"),
        ("1e99999999999999999999", "1e99999999999999999999"),
        ("1" * 5_000, "1" * 5_000),
        ('"' + "1" * 5_000 + '"', "1" * 5_000),
        ("[" + "7" * 5_000 + ", 1.0]", "[" + "7" * 5_000 + ",1.0]"),
        ('[1, 2.50, "a b", null, true, {}, []]', '[1,2.50,"a b",null,true,{},[]]'),
        (
            '{"b": {"c": [ ]}, "a": "\\u00e9\\n\\"", "d": [[1], {"e": 2}]}',
            '{"b":{"c":[]},"a":"é\\n\\"","d":[[1],{"e":2}]}',
        ),
        (r'"\ud83d\ude00 \\ud800 \\\\"', "😀 \\ud800 \\\\"),
    ],
)
def test_a_value_becomes_text(written: str, text: str) -> None:
    data = f'{{"own": {written}, "er_id": "e"}}'.encode()
    assert fields(b"[" + data + b"]", "json") == [{"own": text, "er_id": "e"}]
    assert fields(data, "jsonl") == [{"own": text, "er_id": "e"}]


HUGE = ("-" + "8" * 5_000, "1e+" + "9" * 20, "1.5E-" + "9" * 20, "-1." + "3" * 5_000, "6" * 150_000)
PIECE_BYTES = 64 * 1024


@pytest.mark.parametrize("number", HUGE, ids=lambda number: number[:6])
@pytest.mark.parametrize(("before", "after"), [("[", "]"), ('{"rows": [', "]}")])
def test_a_number_that_python_cannot_hold_is_kept_wherever_a_piece_ends(number: str, before: str, after: str) -> None:
    begin, own = before + '{"er_id": "', '", "own": '
    numbers_begin_at = [PIECE_BYTES - at for at in (*range(25), len(number) - 1, len(number))]
    for place in (at for at in numbers_begin_at if at > len(begin + own)):
        er_id = "e" * (place - len(begin + own))
        data = f"{begin}{er_id}{own}{number}}}{after}".encode()
        assert fields(data, "json") == [{"er_id": er_id, "own": number}]


@pytest.mark.parametrize("value", ["7" * 3_000_000, '"' + "f" * 3_000_000 + '"', '"' + "g" * 3_000_000 + '"'])
def test_a_value_that_no_item_holds_is_refused(value: str) -> None:
    assert "a JSON value longer than 1048576 characters" in refusal(f'[{{"own": {value}}}]'.encode(), "json")


def test_null_and_empty_text_are_absent() -> None:
    assert fields(b'[{"er_id": null, "name": "  ", "own": "", "more": " "}]', "json") == [{"more": " "}]


def test_keys_are_matched_like_headers() -> None:
    data = b'[{" ER_ID ": " e1 ", "Attachment": "r1", " Cost Centre ": " 4 "}, {"er_id": "e2"}]'
    assert fields(data, "json", resource_id="attachment") == [
        {"er_id": "e1", "resource_id": "r1", "Cost Centre": " 4 "},
        {"er_id": "e2"},
    ]
    assert columns(data, "json", resource_id="attachment") == (
        ("ER_ID", "er_id"),
        ("Attachment", "resource_id"),
        ("Cost Centre", "Cost Centre"),
    )


def test_an_apostrophe_in_json_is_an_apostrophe() -> None:
    assert fields(b'[{"name": "\'=x"}]', "json") == [{"name": "'=x"}]


@pytest.mark.parametrize(
    ("item", "column", "value", "rule"),
    [
        ("12", "", "12", "is not a JSON object"),
        ('"text"', "", '"text"', "is not a JSON object"),
        ("null", "", "null", "is not a JSON object"),
        ("[1, [2]]", "", "[1,[2]]", "is not a JSON object"),
        ('{"name": "a", "name": "b"}', "name", "b", "is given twice in one item"),
        ('{"name": "a", " Name": null}', "name", "", "is given twice in one item, as `name` and ` Name`"),
        ('{"name": {"first": "a"}}', "name", '{"first":"a"}', "is a nested value where text is needed"),
        ('{" ": "x"}', "", "x", "stands under an empty name"),
        (r'{"own": "a\u0000b"}', "own", "a\ufffdb", "holds a NUL character or half a surrogate pair"),
        (r'{"own": "\ud800\u0041"}', "own", "\ufffdA", "holds a NUL character or half a surrogate pair"),
        (r'{"own": "\udc00"}', "own", "\ufffd", "holds a NUL character or half a surrogate pair"),
    ],
)
def test_a_badly_formed_item_is_a_fault_of_its_row(item: str, column: str, value: str, rule: str) -> None:
    good = '{"er_id": "e"}'
    assert faults(f"[{good},\n\n{item},\n{good}]".encode(), "json") == [(3, column, value, rule)]
    assert faults(f"{good}\n\n{item}\n{good}".encode(), "jsonl") == [(3, column, value, rule)]


def test_the_fields_of_a_faulty_item_are_still_given() -> None:
    data = rb'[{"name": "a", "NAME": "b", "own": [1], "": 1, "x": "\ud800", "y": "z"}]'
    assert [row.fields for row in read(data, "json")] == [{"name": "a", "own": "[1]", "x": "\ufffd", "y": "z"}]


def test_an_item_has_the_line_of_its_opening_brace() -> None:
    data = b'[\n\n{"er_id":\n "e3"},{"er_id": "e4"},\r\n 5, {\r\n"er_id": "e5"\r}\n\n]\n'
    assert [row.line for row in read(data, "json")] == [3, 4, 5, 5]
    assert [row.line for row in read(b'\n{"a": 1}\n\r\n{"a": 2}', "jsonl")] == [2, 4]


def test_one_long_line_of_items_is_read_in_pieces() -> None:
    rows = [{"er_id": f"e{at}", "own": "\\" * (at % 7) + "😀é\n" * (at % 5)} for at in range(5_000)]
    expected = [{key: value for key, value in row.items() if value} for row in rows]
    assert fields(json.dumps(rows).encode(), "json") == expected
    assert fields(json.dumps({"rows": rows}, ensure_ascii=False).encode(), "json") == expected


@pytest.mark.parametrize("form", ["json", "jsonl"])
def test_numbers_are_kept_as_they_are_written_wherever_a_piece_ends(form: str) -> None:
    """Over the bounds of what is read at a time, beside texts that look like numbers."""
    numbers = ("0", "-1", "1.0", "1e5", "-2.50E-07", "9" * 60)
    rows = [
        {"er_id": f'"{at}, 1e5" \\', "own": numbers[at % 6], "list": f"[1,{numbers[(at + 1) % 6]}]"}
        for at in range(9_000)
    ]
    items = [
        json.dumps({"er_id": row["er_id"], "own": 0, "list": 1}).replace('"own": 0', f'"own": {row["own"]}')[:-2]
        + f"{row['list']}}}"
        for row in rows
    ]
    text = "\n".join(items) if form == "jsonl" else f"[{', '.join(items)}]"
    assert fields(text.encode(), form) == rows


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'[{"a": 1},\n {"a": tru}]', "`stdin:2`: broken JSON at byte offset 21 ("),
        (b'{"rows": [{"a": "\xc3\xa9"},\n\n {"a": NaN}]}', "`stdin:3`: broken JSON at byte offset 31 ("),
        (b'\xef\xbb\xbf[{"a": -Infinity}]', "`stdin:1`: broken JSON at byte offset 11 ("),
        (b'[{"a": 1}\n {"a": 2}]\n', "`stdin:2`: broken JSON at byte offset 11 ("),
        (b'[{"a": "x\ny"}]\n', "`stdin:1`: broken JSON at byte offset 9 ("),
        (b'[{"a": 1},\n{"a": 2},\n', "`stdin:2`: broken JSON at byte offset 21 ("),
        (b'[{"a": 1}]\n\n]\n', "`stdin:3`: broken JSON at byte offset 12 (parse error: trailing garbage)"),
        (b'{"a": 1}\n', "`stdin:1`: the object holds no array of rows; its members are `a`"),
        (b'{"a": [1],\n "b": {"c": []},\n "d": []}', "`stdin:3`: the object holds more than one array: `a`, `d`"),
        (b"\n17\n", "`stdin:2`: the JSON is neither an array nor an object with one"),
    ],
)
def test_broken_json_is_refused_with_line_and_byte(data: bytes, message: str) -> None:
    assert f"cannot read {message}" in refusal(data, "json")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'{"a": 1}\n{"a": 2,}\n{"a": 3}\n', "`stdin:2`: broken JSON at byte offset 17 ("),
        (b'{"a": 1}\n{"a": 2\n}\n', "`stdin:2`: the value that starts here does not end on this line"),
        (b'{"a": 1}\n{"a": 2} {"a": 3}', "`stdin:2`: more than one JSON value on the line"),
        (b'{"a": 1}\n{"a"', "`stdin:2`: the value that starts here does not end on this line"),
        (b'{"a": 1}\nx', "`stdin:2`: broken JSON at byte offset 9 ("),
    ],
)
def test_broken_json_lines_are_refused_with_line_and_byte(data: bytes, message: str) -> None:
    assert f"cannot read {message}" in refusal(data, "jsonl")


@pytest.mark.parametrize(
    ("encoding", "offset"), [("gbk", 20), ("utf-16", 34), ("utf-16-le", 32), ("utf-16-be", 32), ("latin-1", 14)]
)
def test_the_byte_of_broken_json_is_known_in_any_encoding(encoding: str, offset: int) -> None:
    text = '[{"a": "流量日志"},\n+' if encoding != "latin-1" else '[{"a": "é"},\n ?'
    assert f"`stdin:2`: broken JSON at byte offset {offset} " in refusal(
        text.encode(encoding), "json", encoding=encoding
    )


def test_a_bad_byte_far_into_one_long_line_is_found() -> None:
    data = b"[" + b'{"a": "b", "c": "\\\\d"}, ' * 20_000
    assert f"`stdin:1`: broken JSON at byte offset {len(data)} " in refusal(data + b"?]", "json")


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufffd"), max_size=8)
VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab\n", max_size=2), inner, max_size=3),
    max_leaves=5,
)
KEY = st.sampled_from(["own", "Own", "more", "er", "ticket no"])
TABLE = st.lists(st.dictionaries(KEY, VALUE, max_size=4), min_size=1, max_size=4)


@settings(max_examples=50)
@given(table=TABLE, indent=st.sampled_from([None, 1]), ascii_only=st.booleans())
def test_any_table_reads_back(table: list[dict[str, object]], indent: int | None, ascii_only: bool) -> None:
    expected = [{key: text for key, value in row.items() if (text := _as_text(value))} for row in table]
    array = json.dumps(table, indent=indent, ensure_ascii=ascii_only)
    lines = "\n".join([json.dumps(row, ensure_ascii=ascii_only) for row in table])
    assert fields(array.encode(), "json") == expected
    assert fields(lines.encode(), "jsonl") == expected


def _as_text(value: object) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@pytest.mark.parametrize("input_format", ["json", "jsonl"])
@given(st.text(st.sampled_from('{}[]",:\\u0d8cntrue1-.e \n\r\t\0x'), max_size=40))
def test_no_text_at_all_crashes_the_reader(input_format: str, text: str) -> None:
    data = f"[{text}".encode() if input_format == "json" else text.encode()
    with suppress(InventoryError):
        assert all(isinstance(row, RawRow) for row in read(data, input_format))
