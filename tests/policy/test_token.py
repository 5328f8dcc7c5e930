"""Tokens: pinned by values that Python's own `uuid5` gave, and different whenever anything sent is different."""

import json
import uuid
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batcher.policy.token import NAMESPACE, SCHEME, derive_token

PLACE = (
    "0605767a9980d5762fbcc00b3537e757",
    "a43c55e9-4911-4030-90e1-5c2bf6ae6fe2",
    "flow-log",
    None,
    "attachment",
    "6f83b848-8331-4271-ac0c-ef94b7686402",
)

Part = str | bool | None

parts = st.lists(st.text(max_size=30) | st.booleans() | st.none(), min_size=1, max_size=12)
generations = st.integers(0, 1000)


def members(sent: Sequence[Part]) -> str:
    """The members of a compact JSON array, without its brackets."""
    return json.dumps(list(sent), separators=(",", ":"))[1:-1]


# A change here changes every token of every ledger: then `SCHEME` must grow.
@pytest.mark.parametrize(
    ("sent", "generation", "token"),
    [
        (PLACE, 0, "29609789-8f3c-55a4-a8d5-d681f1e5161e"),
        (PLACE, 1, "a4905e45-0476-56a0-acc5-c6061752f576"),
        (("caf\u00e9", True, False), 0, "edd853e5-94a8-59a7-ad16-1faad329435c"),
    ],
)
def test_the_scheme_is_pinned(sent: Sequence[Part], generation: int, token: str) -> None:
    assert derive_token(members(sent), generation) == token


def test_the_namespace_and_the_scheme_are_pinned() -> None:
    assert (str(NAMESPACE), SCHEME) == ("6d0f4b52-61a8-5b0e-9d53-0b1c7f1c2a9e", 1)


@given(parts, generations)
def test_a_token_is_the_standard_uuid5_of_its_canonical_text(sent: list[Part], generation: int) -> None:
    text = json.dumps([1, *sent, generation], separators=(",", ":"))
    assert derive_token(members(sent), generation) == str(uuid.uuid5(NAMESPACE, text))


@given(parts, generations)
def test_a_token_has_the_shape_that_the_provider_asks_for(sent: list[Part], generation: int) -> None:
    token = derive_token(members(sent), generation)
    parsed = uuid.UUID(token)
    assert len(token) == 36
    assert token == str(parsed)
    assert (parsed.version, parsed.variant) == (5, uuid.RFC_4122)


@given(parts, parts, generations, generations)
def test_another_wish_or_generation_gets_another_token(
    one: list[Part], other: list[Part], first: int, second: int
) -> None:
    same = (one, first) == (other, second)
    assert (derive_token(members(one), first) == derive_token(members(other), second)) == same


@given(parts, generations, st.data())
def test_any_one_changed_part_gives_another_token(sent: list[Part], generation: int, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(sent) - 1))
    other = data.draw((st.text(max_size=30) | st.booleans() | st.none()).filter(lambda part: part != sent[place]))
    changed = [*sent[:place], other, *sent[place + 1 :]]
    assert derive_token(members(changed), generation) != derive_token(members(sent), generation)
