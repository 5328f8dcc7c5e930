"""Tokens: pinned by values that Python's own `uuid5` gave, and different whenever anything sent is different."""

import json
import uuid

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

parts = st.lists(st.text(max_size=30) | st.booleans() | st.none(), max_size=12)
generations = st.integers(0, 1000)


# A change here changes every token of every ledger: then `SCHEME` must grow.
@pytest.mark.parametrize(
    ("given_parts", "generation", "token"),
    [
        ((), 0, "8a432e19-92d4-586d-99a9-cc66c7e11278"),
        (PLACE, 0, "29609789-8f3c-55a4-a8d5-d681f1e5161e"),
        (PLACE, 1, "a4905e45-0476-56a0-acc5-c6061752f576"),
        (("caf\u00e9", True, False), 0, "edd853e5-94a8-59a7-ad16-1faad329435c"),
    ],
)
def test_the_scheme_is_pinned(given_parts: tuple[str | bool | None, ...], generation: int, token: str) -> None:
    assert derive_token(given_parts, generation) == token


def test_the_namespace_and_the_scheme_are_pinned() -> None:
    assert (str(NAMESPACE), SCHEME) == ("6d0f4b52-61a8-5b0e-9d53-0b1c7f1c2a9e", 1)


@given(parts, generations)
def test_a_token_is_the_standard_uuid5_of_its_canonical_text(sent: list[str | bool | None], generation: int) -> None:
    text = json.dumps([1, *sent, generation], separators=(",", ":"))
    assert derive_token(sent, generation) == str(uuid.uuid5(NAMESPACE, text))


@given(parts, generations)
def test_a_token_has_the_shape_that_the_provider_asks_for(sent: list[str | bool | None], generation: int) -> None:
    token = derive_token(sent, generation)
    parsed = uuid.UUID(token)
    assert len(token) == 36
    assert token == str(parsed)
    assert (parsed.version, parsed.variant) == (5, uuid.RFC_4122)


@given(parts, parts, generations, generations)
def test_another_wish_or_generation_gets_another_token(
    one: list[str | bool | None], other: list[str | bool | None], first: int, second: int
) -> None:
    # Compared as JSON, where `True` and `1` or `None` and "" differ.
    same = json.dumps([one, first]) == json.dumps([other, second])
    assert (derive_token(one, first) == derive_token(other, second)) == same


@given(parts.filter(bool), generations, st.data())
def test_any_one_changed_part_gives_another_token(
    sent: list[str | bool | None], generation: int, data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(sent) - 1))
    other = data.draw((st.text(max_size=30) | st.booleans() | st.none()).filter(lambda part: part is not sent[place]))
    changed = [*sent[:place], other, *sent[place + 1 :]]
    assert (derive_token(changed, generation) != derive_token(sent, generation)) == (changed != sent)
