"""Every documented (status, code), what it must mean, written by hand from the provider's tables."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batcher.cloud.classify import BAD_ANSWER, REDIRECTED, TABLE, THROTTLED, classify, fold_code
from batcher.model import Kind, Stops

# status, code: kind, stops, ambiguous, definitive
CASES = """
400 ER.04008503  exists     row    -          -
400 ER.04008502  transient  row    -          definitive
400 ER.04004003  transient  row    -          definitive
400 ER.04001003  transient  row    -          definitive
400 ER.04009008  permanent  lane   -          definitive
400 ER.04009019  permanent  lane   -          definitive
400 ER.04009013  permanent  scope  -          definitive
404 ER.04041001  permanent  scope  -          definitive
400 ER.04009012  permanent  run    -          definitive
400 ER.04009005  permanent  row    -          definitive
400 ER.04008500  permanent  row    -          definitive
400 ER.04008501  permanent  row    -          definitive
400 ER.04009009  permanent  row    -          definitive
400 ER.04009011  permanent  row    -          definitive
404 ER.04044001  permanent  row    -          definitive
400 ER.04095002  permanent  row    -          definitive
503 ER.05039006  transient  row    ambiguous  -
500 ER.05001001  transient  row    ambiguous  -
403 ER.04039001  permanent  row    -          definitive
403 ER.04009008  permanent  lane   -          definitive
409 ER.04008503  exists     row    -          -
400 ER.04041001  permanent  scope  -          definitive
400 ER.05038001  transient  row    ambiguous  -
400 ER.04298001  throttled  row    -          -
400 ER.04088001  transient  row    ambiguous  -
400 ER.04018001  permanent  run    -          -
400 ER.04048001  permanent  row    -          definitive
400 ER.02008001  permanent  row    -          definitive
400 ER.0400      permanent  row    -          definitive
500 ER.04008503  transient  row    ambiguous  -
500 ER.04009008  transient  row    ambiguous  -
403 PDP.0001     permanent  row    -          definitive
403 -            permanent  row    -          definitive
400 -            permanent  row    -          definitive
404 -            permanent  row    -          definitive
405 -            permanent  row    -          definitive
406 -            permanent  row    -          definitive
409 -            permanent  row    -          definitive
401 -            permanent  run    -          -
401 401          permanent  run    -          -
401 ER.04009005  permanent  run    -          -
401 APIGW.0301   permanent  run    -          -
401 APIG.0303    permanent  run    -          -
401 APIGW.0305   permanent  run    -          -
401 APIC.0307    permanent  run    -          -
401 APIGW.0311   permanent  run    -          -
401 APIGW.9999   permanent  run    -          -
403 APIGW.0302   permanent  run    -          -
403 APIGW.0304   permanent  run    -          -
403 APIGW.0306   permanent  run    -          -
403 APIGW.0310   permanent  lane   -          -
403 APIGW.0401   permanent  run    -          -
403 APIGW.0402   permanent  run    -          -
403 APIGW.0404   permanent  run    -          -
403 APIGW.0801   permanent  run    -          -
403 APIG.0802    permanent  run    -          -
403 APIGW.9999   permanent  run    -          -
404 APIGW.0101   permanent  run    -          -
404 APIC.0101    permanent  run    -          -
404 APIGW.0103   permanent  run    -          -
400 APIGW.0104   permanent  run    -          -
400 APIGW.0105   permanent  run    -          -
400 APIGW.0106   permanent  row    -          -
405 APIGW.0501   permanent  run    -          -
405 APIGW.0502   permanent  run    -          -
400 APIGW.0602   permanent  run    -          -
400 APIGW.0607   permanent  run    -          -
400 APIGW.0201   permanent  row    -          -
413 APIGW.0201   permanent  row    -          -
414 APIGW.0201   permanent  row    -          -
494 APIGW.0201   permanent  row    -          -
400 APIGW.9999   permanent  row    -          -
500 APIG.0201    transient  row    ambiguous  -
502 APIGW.0201   transient  row    ambiguous  -
502 APIG.0202    transient  row    ambiguous  -
504 APIGW.0201   transient  row    ambiguous  -
504 APIG.0203    transient  row    ambiguous  -
500 APIGW.0601   transient  row    ambiguous  -
500 APIGW.0705   transient  row    ambiguous  -
502 APIGW.0610   transient  row    ambiguous  -
503 APIGW.0613   transient  row    ambiguous  -
429 APIGW.0308   throttled  row    -          -
429 APIG.0308    throttled  row    -          -
403 APIGW.0308   throttled  row    -          -
429 -            throttled  row    -          -
429 ER.04009008  throttled  row    -          -
408 -            transient  row    ambiguous  -
408 APIGW.0201   transient  row    ambiguous  -
500 -            transient  row    ambiguous  -
501 -            transient  row    ambiguous  -
502 -            transient  row    ambiguous  -
503 -            transient  row    ambiguous  -
504 -            transient  row    ambiguous  -
599 -            transient  row    ambiguous  -
200 -            transient  row    ambiguous  -
202 -            transient  row    ambiguous  -
200 ER.04009008  transient  row    ambiguous  -
699 -            transient  row    ambiguous  -
301 -            permanent  run    -          -
302 -            permanent  run    -          -
307 ER.04009008  permanent  run    -          -
"""
ROWS = [line.split() for line in CASES.strip().splitlines()]


@pytest.mark.parametrize(
    ("status", "code", "kind", "stops", "ambiguous", "definitive"), ROWS, ids=[f"{row[0]} {row[1]}" for row in ROWS]
)
def test_the_table(status: str, code: str, kind: str, stops: str, ambiguous: str, definitive: str) -> None:
    verdict = classify(int(status), "" if code == "-" else code)
    assert (verdict.kind, verdict.stops) == (Kind(kind), Stops(stops))
    assert (verdict.ambiguous, verdict.definitive) == (ambiguous != "-", definitive != "-")


def test_every_entry_of_the_table_is_among_the_cases() -> None:
    seen = {(int(status), fold_code(code)) for status, code, *_ in ROWS}
    assert set(TABLE) <= seen


def test_every_entry_says_what_can_be_done_and_is_found_under_its_own_status() -> None:
    assert all(verdict.advice for verdict in TABLE.values())
    assert all(classify(status, code) is verdict for (status, code), verdict in TABLE.items())


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
    if 500 <= status < 600:
        assert (verdict.kind, verdict.stops, verdict.ambiguous) == (Kind.TRANSIENT, Stops.ROW, True)
    if status in {401, 429}:
        assert (verdict.stops is Stops.RUN, verdict.kind is Kind.THROTTLED) == (status == 401, status == 429)


def test_only_gateway_codes_are_folded() -> None:
    codes = ["APIGW.0308", "APIG.0308", "APIC.0308", "APIX.0308", "ER.04008503", "XAPIG.0308", ""]
    assert [fold_code(code) for code in codes] == [*["APIGW.0308"] * 3, "APIX.0308", "ER.04008503", "XAPIG.0308", ""]
