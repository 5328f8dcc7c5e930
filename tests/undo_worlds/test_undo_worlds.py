"""Undo worlds on real sockets, some of the many that `python -m tests.undo_worlds 500` lives through."""

from pathlib import Path

import pytest

from tests.undo_worlds.__main__ import live_all
from tests.undo_worlds.judge import Verdict

SEEDS = range(1, 26)
SLICES = 5
SCALE = 0.3
"""Worlds whose lags are short, so that nobody waits long for the tests."""


@pytest.mark.parametrize("first", range(SLICES))
async def test_an_undo_deletes_only_what_its_run_made_and_calls_gone_only_what_is(tmp_path: Path, first: int) -> None:
    found = Verdict()
    for world in await live_all(list(SEEDS[first::SLICES]), tmp_path, scale=SCALE):
        found += world.verdict
    assert found.faults == []
    assert found.deleted > 0
    assert found.gone > 0
