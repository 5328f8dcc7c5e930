"""What is absent, while a listing may lag: when a row goes again, under which token, and when it does not."""

from pathlib import Path

import anyio
import pytest

from batcher.engine.run import RunEngine
from batcher.engine.settling import SOMEBODY_ELSE
from batcher.model import Kind, Outcome, Refused, RowState, RunId, Settlement, Stops
from batcher.policy.retry import RetryBudget
from tests.engine.rig import (
    EXISTS,
    LAG_S,
    SILENCE,
    THERE,
    UNREACHABLE,
    Cloud,
    Say,
    Thing,
    lost,
    replay,
    rig,
    steady,
    virtual,
)

AGAIN = RunId("again")
SLOW = RetryBudget(attempts_max=3, backoff_s_base=4.0, backoff_s_cap=4.0)
"""The second send comes some seconds after the first."""
GONE = Thing("fl-old", THERE - 600.0, gone_at=THERE - 300.0)
"""What the token has made ten minutes ago, and somebody has deleted since."""
FOR_LONG = Refused(Kind.THROTTLED, Stops.ROW, "APIGW.0308", "slow down", 429, pause_s=200.0)
BUSY = Refused(Kind.TRANSIENT, Stops.ROW, "ER.05000000", "try again", 503)


# --- what was taken and is not there ----------------------------------------------------------------------


@virtual
async def test_what_its_own_404_tells_to_be_gone_is_made_under_the_next_token_in_the_same_run(tmp_path: Path) -> None:
    async with rig(tmp_path, Cloud([replay(GONE)], [GONE])) as work:
        await work.plan()
        (line,) = await work.work()
        assert (line.outcome, line.generation, line.remote_id) == (Outcome.CREATED, 1, "fl-2")
        assert work.cloud.calls[:4] == ["create 0", "list", "show fl-old", "create 1"]
        assert work.cloud.at[3] < 10.0
        assert await work.plan_undo() == 1


@virtual
async def test_where_show_is_refused_two_whole_listings_that_lie_apart_tell_it(tmp_path: Path) -> None:
    async with rig(tmp_path, Cloud([replay(GONE)], [GONE], shows=False)) as work:
        await work.plan()
        (line,) = await work.work()
        assert (line.outcome, line.generation, line.remote_id) == (Outcome.CREATED, 1, "fl-2")
        listed = [at for at, call in zip(work.cloud.at, work.cloud.calls, strict=True) if call == "list"]
        sent_again = work.cloud.at[work.cloud.calls.index("create 1")]
        assert LAG_S <= sent_again - listed[0] < LAG_S + 20.0
        assert work.cloud.created == ["create 0", "create 1"]


@virtual
async def test_one_listing_proves_nothing_and_nor_do_two_that_are_close(tmp_path: Path) -> None:
    async with rig(tmp_path, Cloud([replay(GONE)], [GONE], shows=False)) as work:
        await work.plan()
        (line,) = await work.work(verify_s_max=LAG_S - 20.0)
        assert work.cloud.count("list") > 2
        assert (line.state, line.generation, line.remote_id) == (RowState.ACCEPTED, 0, "fl-old")
        (line,) = await work.work(verify_s_max=LAG_S - 20.0)  # another sitting begins anew
        assert (line.state, line.generation, work.cloud.created) == (RowState.ACCEPTED, 0, ["create 0"])


@virtual
async def test_what_lags_is_followed_until_it_is_listed_or_shown(tmp_path: Path) -> None:
    for shows in (True, False):
        place = tmp_path / str(shows)
        place.mkdir()
        async with rig(place, Cloud(lag_s=90.0, state="pending", shows=shows)) as work:
            await work.plan()

            async def available(engine: RunEngine, cloud: Cloud = work.cloud) -> None:
                await anyio.sleep(30)
                cloud.things[0].state = "available"

            (line,) = await work.work(meanwhile=available)
            assert (line.outcome, line.generation, work.cloud.created) == (Outcome.CREATED, 0, ["create 0"])


@virtual
async def test_what_was_taken_before_a_stop_is_not_gone_because_a_listing_lags(tmp_path: Path) -> None:
    """Ten rows were accepted, the process was asked to stop, and the next one goes on while nothing is listed yet."""
    async with rig(tmp_path, Cloud(lag_s=25.0, shows=False)) as work:
        await work.plan(rows=10)
        lines = await work.work(verify_s_max=0.0, verify=True)
        assert {line.outcome for line in lines} == {Outcome.CREATED}  # by answers that say `available`
        assert work.cloud.created == ["create 0"] * 10
    (tmp_path / "pending").mkdir()
    async with rig(tmp_path / "pending", Cloud(lag_s=25.0, state="pending", shows=False)) as work:
        await work.plan(rows=10)
        lines = await work.work(verify_s_max=0.0)
        assert {line.state for line in lines} == {RowState.ACCEPTED}
        for thing in work.cloud.things:
            thing.state = "available"
        lines = await work.work()
        assert {(line.outcome, line.generation) for line in lines} == {(Outcome.CREATED, 0)}
        assert work.cloud.created == ["create 0"] * 10


@virtual
async def test_a_tombstone_is_gone(tmp_path: Path) -> None:
    async with rig(tmp_path, Cloud([replay(GONE)], [GONE], leaves_tombstones=True)) as work:
        await work.plan()
        (line,) = await work.work()
        assert (line.outcome, line.generation) == (Outcome.CREATED, 1)
        assert work.cloud.calls[:4] == ["create 0", "list", "show fl-old", "create 1"]


@virtual
async def test_what_vanishes_again_and_again_is_not_made_for_ever(tmp_path: Path) -> None:
    def vanishes(cloud: Cloud, row: object) -> object:
        cloud.things.append(Thing(f"fl-{len(cloud.things)}", THERE - 600.0, gone_at=THERE))
        return cloud.things[-1].taken()

    async with rig(tmp_path, Cloud([vanishes] * 9)) as work:  # type: ignore[list-item]
        await work.plan()
        (line,) = await work.work()
        assert work.cloud.created == ["create 0", "create 1", "create 2"]
        assert line.outcome is None


# --- what an earlier run knew -----------------------------------------------------------------------------


@pytest.mark.parametrize("shows", [True, False])
@virtual
async def test_what_an_earlier_run_knew_is_not_gone_because_one_listing_lacks_it(tmp_path: Path, shows: bool) -> None:
    """Made a minute ago by the run before: it stands, and the listing lags."""
    async with rig(tmp_path, Cloud(lag_s=60.0, shows=shows)) as work:
        await work.plan()
        await work.work()
        again = await work.plan(AGAIN)
        (line,) = await work.work(again)
        assert (line.outcome, line.remote_id, line.generation) == (Outcome.EXISTS, "fl-1", 0)
        assert work.cloud.created == ["create 0"]


@pytest.mark.parametrize("shows", [True, False])
@virtual
async def test_what_an_earlier_run_knew_and_is_gone_is_made_under_the_next_token(tmp_path: Path, shows: bool) -> None:
    """At once where its own id is not known any more, else once a second listing lacks it."""
    async with rig(tmp_path, Cloud(shows=shows)) as work:
        await work.plan()
        await work.work()
        work.cloud.things[0].gone_at = THERE
        began = steady()
        (line,) = await work.work(await work.plan(AGAIN))
        assert (line.outcome, line.remote_id, line.generation) == (Outcome.CREATED, "fl-2", 1)
        sent = work.cloud.at[work.cloud.calls.index("create 1")] - began
        assert sent < 5.0 if shows else LAG_S <= sent < LAG_S + 5.0


# --- a token that ran out ---------------------------------------------------------------------------------


async def paused(engine: RunEngine) -> None:
    """An operator's pause of five minutes, right after the first send."""
    await anyio.sleep(0.5)
    engine.pause()
    await anyio.sleep(300)
    engine.resume_calls()


@pytest.mark.parametrize(
    ("first", "by_operator"),
    [([FOR_LONG], False), ([SILENCE, FOR_LONG], False), ([BUSY], True)],
    ids=["throttled", "in doubt and throttled", "paused"],
)
@virtual
async def test_a_token_that_ran_out_while_a_pause_lasted_is_looked_up_before_it_is_sent(
    tmp_path: Path, first: list[Say], by_operator: bool
) -> None:
    """Else a provider that has forgotten the token would make a second one; here nothing was made."""
    async with rig(tmp_path, Cloud(list(first))) as work:
        await work.plan()
        budget, meanwhile = (SLOW, paused) if by_operator else (RetryBudget(), None)
        (line,) = await work.work(token_lifetime_s=100.0, budget=budget, meanwhile=meanwhile)
        assert work.cloud.created == [*["create 0"] * len(first), "create 1"]
        between = work.cloud.calls[len(first) : work.cloud.calls.index("create 1")]
        assert between == ["list", "list"]
        looks = [at for at, call in zip(work.cloud.at, work.cloud.calls, strict=True) if call == "list"]
        assert looks[1] - looks[0] >= LAG_S
        assert (line.outcome, line.generation) == (Outcome.CREATED, 1)


@virtual
async def test_what_silence_made_before_the_pause_is_found_after_it_and_not_made_twice(tmp_path: Path) -> None:
    async with rig(tmp_path, Cloud([lost, FOR_LONG], lag_s=250.0)) as work:
        await work.plan()
        (line,) = await work.work(token_lifetime_s=100.0)
        assert work.cloud.created == ["create 0", "create 0"]
        assert (line.outcome, line.remote_id, line.generation) == (Outcome.CREATED, "fl-1", 0)
        assert await work.plan_undo() == 1


# --- what is said to exist and is not listed --------------------------------------------------------------


@virtual
async def test_what_is_refused_as_existing_is_looked_for_until_it_is_listed(tmp_path: Path) -> None:
    """Somebody made it half a minute before: the listing lags by a minute."""
    async with rig(tmp_path, Cloud([EXISTS], [Thing("fl-1", THERE - 30.0)], lag_s=60.0)) as work:
        await work.plan()
        (line,) = await work.work()
        assert (line.outcome, line.remote_id, work.cloud.created) == (Outcome.EXISTS, "fl-1", ["create 0"])
        assert 30.0 <= steady() < 50.0
        assert work.cloud.count("list") <= 10


@virtual
async def test_what_is_refused_as_existing_and_never_listed_is_given_up_when_the_lag_is_over(tmp_path: Path) -> None:
    async with rig(tmp_path, Cloud([EXISTS])) as work:
        await work.plan()
        (line,) = await work.work()
        assert (line.outcome, line.error_code) == (Outcome.FAILED, EXISTS.code)
        assert line.error_message.endswith("the listing does not show it")
        assert LAG_S <= steady() < LAG_S + 5.0
        assert 5 <= work.cloud.count("list") <= 15


@virtual
async def test_what_is_refused_as_existing_and_was_made_by_a_lost_answer_is_the_runs_own(tmp_path: Path) -> None:
    async with rig(tmp_path, Cloud([lost, EXISTS], lag_s=60.0)) as work:
        await work.plan()
        (line,) = await work.work()
        assert (line.outcome, line.remote_id, line.error_message) == (Outcome.CREATED, "fl-1", "")
        assert await work.plan_undo() == 1


@virtual
async def test_what_is_refused_as_existing_after_a_wait_is_somebody_elses_if_it_is_dated_so(tmp_path: Path) -> None:
    async with rig(tmp_path, Cloud([SILENCE, EXISTS], [Thing("fl-1", THERE - 30.0)], lag_s=60.0)) as work:
        await work.plan()
        (line,) = await work.work()
        assert (line.outcome, line.error_message) == (Outcome.EXISTS, SOMEBODY_ELSE)


@virtual
async def test_a_listing_that_cannot_be_read_makes_nothing_absent(tmp_path: Path) -> None:
    """A row that is expired stays in doubt; one that was taken stays taken."""
    async with rig(tmp_path, Cloud([SILENCE, FOR_LONG])) as work:
        await work.plan()

        async def cut_off(engine: RunEngine) -> None:
            await anyio.sleep(100)
            work.cloud.is_reachable = False

        (line,) = await work.work(token_lifetime_s=100.0, meanwhile=cut_off)
        assert work.cloud.created == ["create 0", "create 0"]
        assert line.outcome in {Outcome.IN_DOUBT, None}
        assert line.generation == 0
    (tmp_path / "taken").mkdir()
    async with rig(tmp_path / "taken", Cloud(is_reachable=False)) as work:
        await work.plan()
        await work.history(Settlement(1, RowState.CLAIMED, RowState.ACCEPTED, attempts=1, remote_id="fl-1"))
        (line,) = await work.work()
        assert (line.state, line.generation, line.remote_id) == (RowState.ACCEPTED, 0, "fl-1")
        assert UNREACHABLE.code in {event.code for event in work.heard if hasattr(event, "code")}
