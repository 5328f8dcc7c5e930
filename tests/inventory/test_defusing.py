import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from batcher.policy.defusing import defuse, undefuse


@pytest.mark.parametrize(
    ("cell", "defused"),
    [
        ("=1+1", "'=1+1"),
        ("+49 30 1", "'+49 30 1"),
        ("-5", "'-5"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ("'=1", "''=1"),
        ("''-", "'''-"),
        ("", ""),
        ("plain", "plain"),
        ("a=b", "a=b"),
        ("'quoted'", "'quoted'"),
        (" =1", " =1"),
        ("\n=1", "'\n=1"),
        ("\uff1d1", "'\uff1d1"),
        ("\uff0b1", "'\uff0b1"),
        ("\uff0d1", "'\uff0d1"),
        ("'\uff20x", "''\uff20x"),
    ],
)
def test_what_a_spreadsheet_would_run_gets_an_apostrophe(cell: str, defused: str) -> None:
    assert defuse(cell) == defused
    assert undefuse(defused) == cell


@given(st.text("'=+-@\t\r\na \uff1d\uff20") | st.text())
@example("'")
def test_undefusing_gives_back_what_was_defused(cell: str) -> None:
    assert undefuse(defuse(cell)) == cell
    assert defuse(cell)[:1] not in {"=", "+", "-", "@", "\t", "\r", "\n", "\uff1d"}


@given(st.text("'=a"))
def test_a_cell_that_was_never_defused_is_left_alone(cell: str) -> None:
    if not cell.startswith("'") or defuse(cell) == cell:
        assert undefuse(cell) == cell
