"""The promise of `tests.fuzz`, held in every run of the tests: all seeds, and a few random inputs of each reader."""

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.readers import MODULES, reader


@pytest.mark.parametrize("name", MODULES)
def test_what_somebody_would_send_on_purpose_breaks_no_reader(name: str) -> None:
    found = reader(name)
    for seed in found.seeds:
        try:
            found.check(seed)
        except Exception as error:
            raise AssertionError(f"{name} of {seed[:200]!r}: {type(error).__name__}: {str(error)[:300]}") from error


@pytest.mark.parametrize("name", MODULES)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(seed=st.integers(0, 1 << 32), tail=st.binary(max_size=40))
def test_what_is_damaged_at_random_breaks_no_reader(name: str, seed: int, tail: bytes) -> None:
    found = reader(name)
    chance = random.Random(seed)
    data = bytearray(chance.choice([each for each in found.seeds if len(each) < 5_000]))
    for _ in range(chance.randrange(4)):
        at = chance.randrange(len(data) + 1)
        word = chance.choice(found.tokens).encode("utf-8", "surrogatepass")
        data[at : at + chance.randrange(3)] = chance.choice([word, tail[:4], b"", chance.choice(found.seeds)[:50]])
    found.check(bytes(data) + tail)
