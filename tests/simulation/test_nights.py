"""Thousands of nights: whatever happens, nothing is made twice, no outcome is lost, and the report is true."""

import os
import subprocess
import sys

import pytest

from tests.simulation.mutants import MUTANTS
from tests.simulation.simulate import failures, simulate

NIGHTS, NIGHTS_AT_ONCE = 2000, 50
NIGHTS_FOR_A_MUTANT = 200


@pytest.mark.timeout(150)
@pytest.mark.parametrize("first", range(0, NIGHTS, NIGHTS_AT_ONCE))
def test_nothing_is_made_twice_lost_or_untrue(first: int) -> None:
    nights = range(first, first + NIGHTS_AT_ONCE)
    wrong = [line for seed in nights for line in failures(seed)]
    assert not wrong, "\n" + "\n".join(wrong)


@pytest.mark.timeout(150)
@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_bug_that_was_put_in_on_purpose_is_found(mutant: str) -> None:
    with MUTANTS[mutant]():
        assert any(failures(seed) for seed in range(NIGHTS_FOR_A_MUTANT))


@pytest.mark.parametrize("seed", [3, 25, 42])
def test_a_night_is_the_same_at_every_run(seed: int) -> None:
    told = simulate(seed)
    assert simulate(seed) == told
    elsewhere = subprocess.run(
        [sys.executable, "-m", "tests.simulation", str(seed)],
        env={**os.environ, "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert elsewhere.stderr == ""
    assert elsewhere.stdout.splitlines()[-len(told.story) :] == told.story
