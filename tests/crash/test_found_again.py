"""A row that was sent and not answered, whose flow log the next sitting finds before it is final."""

from pathlib import Path

import pytest

from tests.crash.judge import at_the_end
from tests.crash.scenes import Sort, lines_of, scene
from tests.crash.traces import runs_of

pytestmark = pytest.mark.timeout(180)


async def test_what_is_found_pending_or_not_yet_switched_off_is_the_runs_own_and_is_not_sent_again(
    tmp_path: Path,
) -> None:
    """Killed over the answers to the first two; as other rows are left, the router is listed before more is sent."""
    lines = lines_of([Sort.PLAIN, Sort.SWITCHED_OFF, *[Sort.PLAIN] * 10], routers=1)
    async with scene(tmp_path, lines, "--latency=0.05") as stage:
        await stage.decide(lines[0], "pending")
        await stage.dies("answer.before:2", *stage.run("--reconcile", "always", "--concurrency", "2"))
        for state, code in (("pending", 5), ("available", 0)):
            await stage.decide(lines[0], state)
            assert (await stage.ends(*stage.words("resume")))[0] == code
        told = await stage.sky.statistics()
        assert (told["keys_with_two_tokens"], told["calls"]["create"]) == ([], 12)
        (await at_the_end(stage, runs_of(stage.ledger)[0].id)).assert_clean()
