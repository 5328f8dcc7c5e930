"""Which token a later run sends a row with, when the provider no longer shows what an earlier run made."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from batcher.model import Outcome, RunId
from tests.engine.rig import rig, virtual
from tests.ledger.book import T0, claimed, end, lease_of, open_run, row, settled, token_of, write

DAY_S = 86_400.0


async def nights(place: Path, generations: Sequence[tuple[int, Outcome, bool]], *, last_after_s: float) -> list[str]:
    """Earlier runs that ended so: (generation, outcome, spent); then one that works against an empty cloud.

    Back come the tokens that it sent. It works at T0 + 60, so the last of the others was so long before that.
    """
    async with rig(place) as work:
        ledger = work.ledger
        now = T0 + 60 - last_after_s - DAY_S * (len(generations) - 1)
        for night, (generation, outcome, spent) in enumerate(generations):
            run_id = await open_run(ledger, f"night-{night}", [row(1)], started_at=now)
            lease = await lease_of(ledger, run_id, now=now)
            (line,) = await claimed(ledger, lease, now=now)
            if generation:
                line = replace(line, generation=generation, token=token_of("row-1", generation))
                await ledger.regenerate_rows(lease, [(line, now + 1)])
            remote_id = "fl-old" if outcome is Outcome.CREATED else None
            await write(ledger, lease, settled(1, outcome, spent=spent, remote_id=remote_id, settled_at=now + 2))
            await end(ledger, run_id)
            now += DAY_S
        (made,) = await work.work(await work.plan(RunId("tonight")))
        assert made.outcome is Outcome.CREATED
        return [token_of("row-1", int(call.removeprefix("create "))) for call in work.cloud.created]


CREATED, REFUSED = (Outcome.CREATED, False), (Outcome.FAILED, True)


@virtual
async def test_a_row_that_was_never_sent_goes_under_its_first_token(tmp_path: Path) -> None:
    assert await nights(tmp_path, [], last_after_s=DAY_S) == [token_of("row-1", 0)]


@pytest.mark.parametrize("last_after_s", [60.0, DAY_S])
@virtual
async def test_what_an_earlier_run_made_and_is_gone_is_made_under_the_next_token(
    tmp_path: Path, last_after_s: float
) -> None:
    assert await nights(tmp_path, [(0, *CREATED)], last_after_s=last_after_s) == [token_of("row-1", 1)]


@virtual
async def test_a_row_that_was_refused_for_good_goes_under_the_next_token(tmp_path: Path) -> None:
    assert await nights(tmp_path, [(0, *REFUSED)], last_after_s=DAY_S) == [token_of("row-1", 1)]


@pytest.mark.parametrize("last_after_s", [60.0, DAY_S])
@virtual
async def test_what_was_made_under_a_later_token_and_is_gone_is_made_under_the_next_one(
    tmp_path: Path, last_after_s: float
) -> None:
    """Night 1 is refused, night 2 creates under token 1, somebody deletes it: token 1 must not be sent again."""
    sent = await nights(tmp_path, [(0, *REFUSED), (1, *CREATED)], last_after_s=last_after_s)
    assert sent == [token_of("row-1", 2)]
