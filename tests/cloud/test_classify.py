"""Every documented (status, code), what it must mean, written by hand from the provider's tables."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batcher.cloud.classify import classify
from batcher.cloud.error_table import (
    BAD_ANSWER,
    REDIRECTED,
    STOPS_WORDS,
    TABLE,
    THROTTLED,
    fold_code,
    merged,
    user_verdict,
)
from batcher.errors import ConfigError
from batcher.model import Kind, Stops

# The documented ones. Status, codes (of the gateway: its digits, tried under each prefix): kind, stops; `d` definitive,
# `a` ambiguous.
DOCUMENTED = """
400 ER.04008503 exists row -
400 ER.04008502,ER.04004003,ER.04001003 transient row d
400 ER.04008500,ER.04008501,ER.04009005,ER.04009009,ER.04009011 permanent row d
400 ER.04009008 permanent subject d
400 ER.04009019 permanent lane d
400 ER.04009012 permanent account d
400 ER.04009013 permanent scope d
404 ER.04041001 permanent scope d
404 ER.04044001 permanent row d
503 ER.05039006 transient row a
400 ER.04001104,ER.04001105,ER.04001106,ER.04002002,ER.04002003,ER.04003002,ER.04003003 permanent row d
400 ER.04004002,ER.04004004,ER.04004101,ER.04004102,ER.04005003 permanent row d
400 ER.04006002,ER.04006103,ER.04006104,ER.04006105,ER.04006106 permanent row d
404 ER.04042001,ER.04043001,ER.04045001,ER.04046001 permanent row d
409 ER.04091002,ER.04095002,ER.04095104,ER.04095105 permanent row d
404 0101,0103 permanent run -
400 0104,0105,0602,0607 permanent run -
400 0106,0201 permanent row -
413 0201 permanent row -
414 0201 permanent row -
494 0201 permanent row -
401 0301,0303,0305,0307,0311 permanent account -
403 0302,0304,0306,0401,0402,0404,0801,0802 permanent account -
403 0310 permanent lane -
405 0501,0502 permanent account -
407 - permanent run -
429 0308 throttled row -
500 0103,0104,0105,0201,0601,0605,0606,0608,0609,0611,0612,0705 transient row a
502 0201,0202,0610 transient row a
503 0613 transient row a
504 0201,0203 transient row a
"""

# What no document lists, by the rules.
OTHERS = """
500 ER.05001001,ER.04008503,ER.04009008 transient row a
403 ER.04039001 permanent row d
403 ER.04009008 permanent subject d
409 ER.04008503 exists row -
400 ER.04041001 permanent scope d
400 ER.05038001,ER.05039006,ER.04088001 transient row a
400 ER.04298001 throttled row -
400 ER.04018001 permanent account -
400 ER.04048001,ER.02008001,ER.0400,ER.04095002 permanent row d
403 PDP.0001 permanent row d
403 -,403 permanent row -
400 - permanent row -
404 - permanent row -
405 - permanent row -
406 - permanent row -
409 -,409 permanent row -
401 -,401,ER.04009005,9999 permanent account -
403 9999 permanent account -
400 9999 permanent row -
403 0308 throttled row -
429 -,ER.04009008,9999 throttled row -
408 -,0201,ER.04009005 transient row a
500 - transient row a
501 - transient row a
502 -,502 transient row a
503 -,9999 transient row a
504 - transient row a
599 - transient row a
200 -,ER.04009008 transient row a
202 - transient row a
699 - transient row a
301 - permanent run -
302 -,0301 permanent run -
307 ER.04009008 permanent run -
"""


def _rows(text: str) -> list[tuple[int, str, Kind, Stops, str]]:
    rows = []
    for line in text.strip().splitlines():
        status, codes, kind, stops, marks = line.split()
        for code in codes.split(","):
            is_gateway = len(code) == 4 and code.isdigit()
            spelt = [f"{prefix}.{code}" for prefix in ("APIGW", "APIG", "APIC")] if is_gateway else [code.strip("-")]
            rows += [(int(status), each, Kind(kind), Stops(stops), marks) for each in spelt]
    return rows


DOCUMENTED_ROWS = _rows(DOCUMENTED)
ROWS = DOCUMENTED_ROWS + _rows(OTHERS)


@pytest.mark.parametrize(("status", "code", "kind", "stops", "marks"), ROWS, ids=[f"{row[0]} {row[1]}" for row in ROWS])
def test_an_error_means_what_the_documents_say(status: int, code: str, kind: Kind, stops: Stops, marks: str) -> None:
    verdict = classify(status, code)
    assert (verdict.kind, verdict.stops) == (kind, stops)
    assert (verdict.ambiguous, verdict.definitive) == (marks == "a", marks == "d")


def test_the_table_holds_every_documented_error_and_nothing_else() -> None:
    assert set(TABLE) == {(status, fold_code(code)) for status, code, *_ in DOCUMENTED_ROWS}


def test_every_verdict_says_what_can_be_done_in_one_plain_line() -> None:
    for status, code, *_ in ROWS:
        advice = classify(status, code).advice
        assert advice[0].islower(), (status, code)
        assert advice.isprintable()
        assert not advice.endswith(".")
        assert "|" not in advice, "it stands in a table of the README"
        assert advice.count("`") % 2 == 0


def test_the_verdicts_that_are_recognised_by_identity() -> None:
    assert classify(200, "") is BAD_ANSWER
    assert classify(302, "") is REDIRECTED
    assert classify(429, "") is THROTTLED


@given(
    status=st.integers(min_value=-1, max_value=1000),
    code=st.text() | st.from_regex(r"(ER|APIGW|APIG|APIC)\.\d{1,9}", fullmatch=True),
)
def test_every_pair_has_a_verdict_that_makes_sense(status: int, code: str) -> None:
    verdict = classify(status, code)
    assert not (verdict.ambiguous and verdict.definitive)
    assert verdict.ambiguous <= (verdict.kind is Kind.TRANSIENT)
    assert verdict.definitive <= (400 <= status < 500)
    assert verdict.kind is Kind.PERMANENT or verdict.stops is Stops.ROW, "the retry law repeats rows only"
    if 500 <= status < 600:
        assert (verdict.kind, verdict.stops, verdict.ambiguous) == (Kind.TRANSIENT, Stops.ROW, True)
    if status in {401, 429}:
        assert (verdict.stops is Stops.ACCOUNT, verdict.kind is Kind.THROTTLED) == (status == 401, status == 429)


def test_only_gateway_codes_are_folded() -> None:
    codes = ["APIGW.0308", "APIG.0308", "APIC.0308", "APIX.0308", "ER.04008503", "XAPIG.0308", ""]
    assert [fold_code(code) for code in codes] == [*["APIGW.0308"] * 3, "APIX.0308", "ER.04008503", "XAPIG.0308", ""]


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "ER.04009005"),
        (503, "ER.05039006"),
        (500, ""),
        (429, "APIGW.0308"),
        (429, ""),
        (302, ""),
        (401, ""),
        (403, "APIGW.0302"),
        (403, "APIGW.0308"),
        (418, "TEA.1"),
        (408, ""),
        (401, "ER.04009005"),
    ],
)
def test_a_users_entry_wins_over_every_rule(status: int, code: str) -> None:
    mine = user_verdict(status, code, kind="permanent", stops="run", advice="ask Ann")
    table = merged({(status, code.replace("APIGW.", "APIC.")): mine})
    assert classify(status, code.replace("APIGW.", "APIG."), table) is mine
    others = [row for row in ROWS if (row[0], fold_code(row[1])) != (status, code)]
    changed = [(at, of) for at, of, *_ in others if classify(at, of, table) is mine]
    # The empty code also stands for a bare number; a service code is found under any 4xx.
    assert all(of == str(at) or (of == code and of.startswith("ER.")) for at, of in changed)


def test_an_entry_without_a_code_is_for_answers_without_one() -> None:
    mine = user_verdict(418, "", kind="transient", stops="row")
    table = merged({(418, ""): mine})
    assert [classify(418, code, table) is mine for code in ("", "418", "1001", "APIGW.0301", "ER.04009005")] == [
        *[True] * 3,
        *[False] * 2,
    ]
    number = user_verdict(418, "1001", kind="permanent", stops="run")
    assert classify(418, "1001", merged({(418, ""): mine, (418, "1001"): number})) is number


# status, code, kind: ambiguous, definitive
DEFAULTS = """
400 ER.1      permanent  - d
400 ER.1      transient  - d
400 -         permanent  - -
403 PDP.1     permanent  - d
400 ER.1      exists     - -
400 ER.1      throttled  - -
400 APIG.0999 permanent  - -
400 APIC.0999 transient  - -
407 -         permanent  - -
429 ER.1      permanent  - -
408 ER.1      transient  a -
302 -         permanent  - -
302 X.1       transient  - -
100 -         transient  a -
500 ER.1      permanent  a -
503 -         transient  a -
503 -         throttled  a -
599 APIGW.1   exists     a -
"""


@pytest.mark.parametrize("case", DEFAULTS.strip().splitlines())
def test_what_an_entry_does_not_say_is_taken_with_care(case: str) -> None:
    status, code, kind, ambiguous, definitive = case.split()
    verdict = user_verdict(int(status), code.strip("-"), kind=kind, stops="row")
    assert (verdict.ambiguous, verdict.definitive) == (ambiguous == "a", definitive == "d")


def test_what_an_entry_says_holds() -> None:
    unsure = user_verdict(400, "X.1", kind="permanent", stops="account", ambiguous=True, advice="ask Ann")
    kept = user_verdict(400, "X.1", kind="transient", stops="row", definitive=False)
    spent = user_verdict(400, "APIGW.1", kind="permanent", stops="row", definitive=True)
    assert [(v.ambiguous, v.definitive) for v in (unsure, kept, spent)] == [
        (True, False),
        (False, False),
        (False, True),
    ]
    assert (unsure.stops, unsure.advice) == (Stops.ACCOUNT, "ask Ann")


@pytest.mark.parametrize("stops", ["account", "run"])
def test_a_refused_key_may_have_advice_of_the_users_own(stops: str) -> None:
    verdict = user_verdict(401, "APIGW.0301", kind="permanent", stops=stops, advice="ask Bob")
    assert (verdict.kind, verdict.definitive, verdict.advice) == (Kind.PERMANENT, False, "ask Bob")


def test_the_words_of_users_cover_all_that_can_stop() -> None:
    assert set(STOPS_WORDS.values()) == set(Stops)
    for word, stops in STOPS_WORDS.items():
        assert user_verdict(400, "X.1", kind="permanent", stops=word).stops is stops


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"status": 99}, "`status`"),
        ({"status": 600}, "`status`"),
        ({"status": -400}, "`status`"),
        ({"status": 200}, "`status`"),
        ({"status": 299}, "`status`"),
        ({"kind": "fatal"}, "`kind` cannot be `fatal`"),
        ({"kind": ""}, "`kind`"),
        ({"stops": "lane"}, "`stops` cannot be `lane`"),
        ({"stops": ""}, "`stops`"),
        ({"kind": "transient", "stops": "router"}, "cannot stop the router"),
        ({"kind": "throttled", "stops": "project"}, "cannot stop the project"),
        ({"kind": "exists", "stops": "run"}, "cannot stop the run"),
        ({"ambiguous": True, "definitive": True}, "exclude each other"),
        ({"kind": "exists", "definitive": True}, "exclude each other"),
        ({"kind": "throttled", "definitive": True}, "exclude each other"),
        ({"status": 500, "ambiguous": False}, "may stand there"),
        ({"status": 503, "definitive": True}, "may stand there"),
        ({"status": 408, "kind": "transient", "ambiguous": False}, "may stand there"),
        ({"status": 401}, "never sent again"),
        ({"status": 401, "kind": "transient"}, "never sent again"),
        ({"status": 401, "kind": "exists"}, "never sent again"),
        ({"status": 401, "stops": "account", "definitive": True}, "never sent again"),
        ({"code": "x" * 65}, "no answer has this code"),
        ({"code": " X.1"}, "no answer has this code"),
        ({"code": "X\x00"}, "no answer has this code"),
        ({"advice": "two\nlines"}, "`advice`"),
        ({"advice": "x" * 301}, "`advice`"),
    ],
    ids=str,
)
def test_an_entry_that_makes_no_sense_is_refused_by_name(change: dict[str, Any], said: str) -> None:
    given: dict[str, Any] = {"status": 400, "code": "X.1", "kind": "permanent", "stops": "row", **change}
    with pytest.raises(ConfigError) as raised:
        user_verdict(given.pop("status"), given.pop("code"), **given)
    assert said in str(raised.value)
    assert "of `cloud.errors`" in str(raised.value)
