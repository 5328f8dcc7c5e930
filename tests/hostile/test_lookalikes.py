"""Ids, words and names that only look like the ones they are taken for: refused, or carried as what they are."""

import json
import re

import pytest

from batcher.cloud.classify import classify
from batcher.cloud.refusal import refusal_of
from batcher.cloud.transport import Answer
from batcher.errors import InventoryError
from batcher.inventory.columns import ColumnNames
from batcher.model import Fault, Wish
from batcher.operations.flow_log import FlowLogs
from batcher.operations.flow_log_row import COLUMNS, RowDefaults
from batcher.policy.deadline import parse_clock
from batcher.policy.pace import parse_duration, parse_rate
from batcher.policy.threshold import parse_tolerance
from tests.fuzz.hostile import CONTROLS, FORMULAS, INVISIBLE, LOOKALIKES, MARKUP, PATHS
from tests.fuzz.inventories import PLACE
from tests.inventory.reading import fields, read, refusal

GOOD = {
    **PLACE,
    "account": "default",
    "resource_type": "attachment",
    "log_store_type": "LTS",
    "enabled": "true",
}
FREE = ("name", "description")
OPERATION = FlowLogs(None, RowDefaults())
SHIFTED = str.maketrans("0123456789abcdefABCDEF", "０１２３４５６７８９ａｂｃｄｅｆＡＢＣＤＥＦ")


def faults_of(found: object) -> list[Fault]:
    """The faults of a row that has some."""
    assert isinstance(found, tuple)
    faults = [each for each in found if isinstance(each, Fault)]
    assert faults
    assert len(faults) == len(found)
    return faults


def spoilt(value: str) -> list[str]:
    """A good value with something in it, before it, after it, or in the place of one of its characters."""
    words = [*CONTROLS, *INVISIBLE, *LOOKALIKES, *FORMULAS, *PATHS, *MARKUP, "\u0301", "\u00a0", "\u3000"]
    inside = [value[:3] + word + value[3:] for word in words]
    around = [value + word for word in words] + [word + value for word in words]
    swapped = [value[:at] + value[at].translate(SHIFTED) + value[at + 1 :] for at in range(len(value))]
    cyrillic = [value.replace("e", "е"), value.replace("a", "а"), value.replace("c", "с"), value.replace("s", "ſ")]
    others = [
        value.upper().replace("K", "\u212a"),
        value.replace("i", "ı"),
        value.upper().replace("I", "İ"),
        value + "\n",
    ]
    plain = {value, value.upper(), value.lower()}
    return [
        each for each in dict.fromkeys((*inside, *around, *swapped, *cyrillic, *others, *words)) if each not in plain
    ]


@pytest.mark.parametrize("column", GOOD)
def test_what_only_looks_like_an_id_or_a_word_is_refused_in_every_column(column: str) -> None:
    assert isinstance(OPERATION.parse(GOOD), Wish)
    taken = []
    for value in spoilt(GOOD[column]):
        found = OPERATION.parse({**GOOD, column: value})
        if isinstance(found, Wish):
            taken.append(value)
            continue
        faults = faults_of(found)
        assert {fault.column for fault in faults} == {column}
        assert all(fault.value.isprintable() and len(fault.value) <= 63 for fault in faults)
    # A region and an account are names of ASCII letters, digits and dashes, so some of these are names.
    assert [value for value in taken if not re.fullmatch(r"[0-9A-Za-z_.-]{1,64}", value)] == []
    assert column in ("region", "account", "enabled") or taken == []
    assert column != "enabled" or set(taken) <= {"1"}


@pytest.mark.parametrize("column", FREE)
def test_a_name_carries_anything_that_text_needs_and_nothing_that_a_terminal_obeys(column: str) -> None:
    for word in (*INVISIBLE[2:], *LOOKALIKES, *FORMULAS, *MARKUP, "流量", "e\u0301", "אב", "👩\u200d🚀", "a\tb\nc"):
        found = OPERATION.parse({**GOOD, column: f"x{word}"})
        assert isinstance(found, Wish), (word, found)
        assert found.spec.isascii()
        assert OPERATION.columns_of(found.spec)[column] == f"x{word}"
        assert OPERATION.parse(OPERATION.columns_of(found.spec)) == found
    for word in ("\0", "\x1b[31m", "\x9b31m", "\x7f", "\x85", "\b", "\u202e", "\u202a", "\u2066", "\u2069", "\ufffd"):
        shown = f"x\ufffd{word[1:]}y"
        assert OPERATION.parse({**GOOD, column: f"x{word}y"}) == (Fault(column, shown, UNFIT),)


UNFIT = "holds a control character, one that turns the direction of text, or one that was lost"


def test_a_name_that_a_template_makes_is_held_to_the_same_rule() -> None:
    for template in ("a\x1b[31m{er_id}", "\u202e{region}"):
        found = FlowLogs(None, RowDefaults(name_template=template)).parse(GOOD)
        assert [(fault.column, fault.rule) for fault in faults_of(found)] == [("name", UNFIT)]


@pytest.mark.parametrize("word", ["yeſ", "falſe", "ｔｒｕｅ", "１", "Yes\u200b", "tr\u0443e", "ＮＯ", "true\0"])
def test_a_word_for_on_or_off_that_only_looks_like_one_switches_nothing(word: str) -> None:
    found = OPERATION.parse({**GOOD, "enabled": word})
    assert faults_of(found)[0].rule.startswith("must be true, false, yes, no, 1 or 0")


@pytest.mark.parametrize(
    "header", ["reſource_id", "ｒesource_id", "resource\u200b_id", "reso\u0443rce_id", "resource＿id"]
)
def test_a_header_that_only_looks_like_a_column_is_one_of_the_users(header: str) -> None:
    names = ColumnNames(known=frozenset(COLUMNS), rename={})
    assert names.meaning(header) == header
    assert names.meaning(" RESOURCE_ID ") == "resource_id"
    assert fields(f"er_id,{header}\ne1,x\n".encode()) == [{"er_id": "e1", header: "x"}]
    item = json.dumps({"er_id": "e1", header: "x", "resource_id": "y"})
    assert fields(f"[{item}]".encode(), "json") == [{"er_id": "e1", header: "x", "resource_id": "y"}]


def test_names_of_other_scripts_are_still_compared_without_regard_to_case() -> None:
    names = ColumnNames(known=frozenset(COLUMNS), rename={"name": "Größe", "er_id": "ID"})
    assert names.meaning("GRÖSSE") == "name"
    assert names.meaning("größe") == "name"
    assert names.meaning("id") == "er_id"
    assert names.meaning("ıd") == "ıd"
    with pytest.raises(InventoryError, match="given to both"):
        ColumnNames(known=frozenset(COLUMNS), rename={"name": "Größe", "er_id": "GRÖSSE"})


@pytest.mark.parametrize(
    ("data", "form"),
    [
        (b"er_id,own\x1b[2J\ne,x\n", "csv"),
        ("er_id,\u202eown\ne,x\n".encode(), "csv"),
        (b'[{"er_id": "e"},\n{"own\\u001b[2J": 1}]', "json"),
        (b'{"er_id": "e"}\n{"own\\u202e": 1}\n', "jsonl"),
    ],
)
def test_a_name_of_a_column_that_a_terminal_obeys_is_refused(data: bytes, form: str) -> None:
    line = 1 if form == "csv" else 2
    said = "a name holds a control character or one that turns the direction of text"
    assert refusal(data, form) == f"cannot read `stdin:{line}`: {said}"


@pytest.mark.parametrize(
    "data",
    [b"name\nx,\0y\n", b'name,"O\n\0"\nx,y\n', b"name,\nx,\0y\n", b"\0\0name\nx\n"],
)
def test_a_nul_character_comes_through_nowhere(data: bytes) -> None:
    try:
        found = [*map(str, read(data))]
    except InventoryError as error:
        found = [str(error)]
    assert found
    assert not [text for text in found if "\0" in text or "\\x00" in text]


@pytest.mark.parametrize(
    "parse",
    [
        lambda: parse_rate("５/s"),
        lambda: parse_rate("5/ſ"),
        lambda: parse_rate("٣/min"),
        lambda: parse_duration("６h"),
        lambda: parse_clock("０６:００"),
        lambda: parse_tolerance("１０%"),
    ],
)
def test_digits_of_other_scripts_are_no_numbers_of_a_setting(parse: object) -> None:
    assert callable(parse)
    with pytest.raises(ValueError, match="write"):
        parse()


@pytest.mark.parametrize(
    "text", ["limit:10,time:1 ſecond", "limit:１０,time:1 minute", "limit:10,time:1 mınute", "LIMIT"]
)
def test_a_limit_that_only_looks_like_one_is_not_learnt(text: str) -> None:
    body = json.dumps({"error_code": "APIGW.0308", "error_msg": text}, ensure_ascii=False).encode()
    refused = refusal_of(Answer(429, {}, body), now=0.0, secrets=())
    assert (refused.code, refused.window, refused.message) == ("APIGW.0308", None, text)


def test_a_code_of_other_digits_is_not_a_bare_number() -> None:
    assert classify(400, "４０４") == classify(400, "SOME.CODE")
    assert classify(400, "404") == classify(400, "")
