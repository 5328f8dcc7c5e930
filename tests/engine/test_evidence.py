"""Whose a flow log is, from the provider's own dates: what a run claims, what it leaves to others, what it says."""

from pathlib import Path

import anyio
import pytest

from batcher.engine.settling import NOBODY_KNOWS, SOMEBODY_ELSE
from batcher.events import RowAccepted
from batcher.model import (
    Applied,
    ClaimedRow,
    ClockOffset,
    LaneKey,
    Outcome,
    Refused,
    RowState,
    RunId,
    Settlement,
    Window,
)
from tests.engine.rig import NIGHT, SILENCE, THERE, Cloud, Thing, lost, replay, rig, there, virtual
from tests.ledger.book import lease_of

OLD = Thing("fl-1", THERE - 600.0)
"""Made ten minutes before the run began."""


# --- an answer of success ---------------------------------------------------------------------------------


@virtual
async def test_what_is_dated_into_the_rows_own_send_is_created(tmp_path: Path) -> None:
    async with rig(tmp_path) as work:
        await work.plan()
        (line,) = await work.work()
        assert (line.outcome, line.remote_id, line.error_message) == (Outcome.CREATED, "fl-1", "")
        assert await work.plan_undo() == 1


@virtual
async def test_a_202_that_is_dated_before_the_rows_own_send_is_somebody_elses(tmp_path: Path) -> None:
    """Another ledger has sent the same token before: the provider answers with what it made then."""
    async with rig(tmp_path, Cloud([replay(OLD)], [OLD])) as work:
        await work.plan()
        (line,) = await work.work()
        assert (line.outcome, line.remote_id) == (Outcome.EXISTS, "fl-1")
        assert line.error_message == SOMEBODY_ELSE
        assert work.cloud.created == ["create 0"]
        assert await work.plan_undo() == 0  # an undo has nothing to do with it


@virtual
async def test_a_202_that_is_dated_before_the_send_and_that_nothing_shows_is_not_created(tmp_path: Path) -> None:
    hidden = Thing("fl-1", THERE - 600.0, is_listed=False)
    async with rig(tmp_path, Cloud([replay(hidden)], [hidden], shows=False)) as work:
        await work.plan()
        (line,) = await work.work(verify_s_max=60.0)
        assert (line.state, line.outcome, line.remote_id) == (RowState.ACCEPTED, None, "fl-1")
        assert work.cloud.created == ["create 0"]
        assert await work.plan_undo() == 0


@virtual
async def test_a_202_without_a_date_is_believed_and_its_maker_is_not_known(tmp_path: Path) -> None:
    dateless = Thing("fl-1", None)
    async with rig(tmp_path, Cloud([replay(dateless)], [dateless])) as work:
        await work.plan()
        (line,) = await work.work()
        assert line.outcome is Outcome.CREATED
        await work.plan_undo()
        (line,) = await work.undo()
        assert (line.outcome, line.error_code, work.cloud.deleted) == (Outcome.EXISTS, "BATCHER.Kept", [])


@pytest.mark.parametrize(
    ("made_s", "outcome", "undone"),
    [
        (-1.0, Outcome.EXISTS, []),  # the send is a quarter of a second into its own second
        (0.0, Outcome.CREATED, [Outcome.DELETED]),
        (3.0, Outcome.CREATED, [Outcome.DELETED]),  # clocks of the provider's that are apart
        (60.0, Outcome.CREATED, [Outcome.EXISTS]),  # dated by another clock: nobody knows, and an undo keeps it
    ],
)
@virtual
async def test_dates_are_whole_seconds_and_one_far_ahead_tells_nothing(
    tmp_path: Path, made_s: float, outcome: Outcome, undone: list[Outcome]
) -> None:
    thing = Thing("fl-1", THERE + made_s)
    async with rig(tmp_path, Cloud([replay(thing)], [thing])) as work:
        await work.plan()
        (line,) = await work.work()
        assert line.outcome is outcome
        assert await work.plan_undo() == len(undone)
        assert [line.outcome for line in await work.undo()] == undone
        assert work.cloud.deleted == (["fl-1"] if undone == [Outcome.DELETED] else [])


# --- the same second --------------------------------------------------------------------------------------


class Narrowing(Cloud):
    """A service whose time is known to half a second, until a third call has been answered."""

    def now_known(self) -> float:
        return 0.02 if len(self.calls) > 2 else 0.6


@pytest.mark.parametrize(("wait_s", "ago_s", "outcome"), [(0.0, 1, Outcome.EXISTS), (0.7, 0, Outcome.CREATED)])
@virtual
async def test_what_may_be_either_is_judged_again_once_the_time_there_is_known(
    tmp_path: Path, wait_s: float, ago_s: int, outcome: Outcome
) -> None:
    """The first send is 0.28 s into a second and its answer dated into the one before; or 0.98 s, and into the same."""

    def first(cloud: Cloud, row: ClaimedRow) -> Applied:
        cloud.things.append(Thing("fl-1", float(int(there() - 0.05) - ago_s)))
        return cloud.things[-1].taken()

    cloud = Narrowing([first])
    cloud.half_width_s = cloud.now_known
    async with rig(tmp_path, cloud) as work:
        await work.plan(rows=4)
        await anyio.sleep(wait_s)
        lines = await work.work(window=Window(2, 1.0), concurrency=1)
        assert [event.row_no for event in work.heard if isinstance(event, RowAccepted)] == [1]  # it was open till then
        assert [line.outcome for line in lines] == [outcome, *[Outcome.CREATED] * 3]
        assert await work.plan_undo() == (4 if outcome is Outcome.CREATED else 3)
        assert work.cloud.count("create") == 4


# --- a process that was killed ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made_s", "outcome", "message"),
    [
        (-60.0, Outcome.EXISTS, SOMEBODY_ELSE),
        (-2.0, Outcome.EXISTS, SOMEBODY_ELSE),
        (0.0, Outcome.CREATED, ""),
        (40.0, Outcome.CREATED, ""),
        (89.0, Outcome.CREATED, ""),  # its lease was over after 60 s, and an answer takes 30 s at most
        (95.0, Outcome.EXISTS, SOMEBODY_ELSE),
    ],
)
@virtual
async def test_what_a_killed_process_sent_is_its_own_if_it_is_dated_within_its_sending(
    tmp_path: Path, made_s: float, outcome: Outcome, message: str
) -> None:
    sent = THERE - 900.0
    async with rig(tmp_path, Cloud(things=[Thing("fl-1", sent + made_s)])) as work:
        await work.plan()
        await work.dead(sent=sent, silent=sent + 60.0)
        (line,) = await work.work()
        assert (line.outcome, line.error_message, line.remote_id) == (outcome, message, "fl-1")
        assert work.cloud.created == []
        assert await work.plan_undo() == (1 if outcome is Outcome.CREATED else 0)
        (line,) = await work.undo() if outcome is Outcome.CREATED else (line,)
        assert work.cloud.deleted == (["fl-1"] if outcome is Outcome.CREATED else [])


@pytest.mark.parametrize(
    ("made_s", "outcome"),
    [(-2.0, Outcome.EXISTS), (0.0, Outcome.CREATED), (85.0, Outcome.CREATED), (95.0, Outcome.EXISTS)],
)
@virtual
async def test_what_a_killed_process_made_is_its_own_when_its_token_is_answered_again(
    tmp_path: Path, made_s: float, outcome: Outcome
) -> None:
    """No listing shows it, so the row is sent again; the answer is dated into the first sending, or beside it."""
    sent = THERE - 900.0
    thing = Thing("fl-1", sent + made_s, is_listed=False)
    async with rig(tmp_path, Cloud([replay(thing)], [thing])) as work:
        await work.plan()
        await work.dead(sent=sent, silent=sent + 60.0)
        (line,) = await work.work()
        assert (line.outcome, line.remote_id, work.cloud.created) == (outcome, "fl-1", ["create 0"])
        assert await work.plan_undo() == (outcome is Outcome.CREATED)


@pytest.mark.parametrize("made_s", [-9000.0, -60.0, 30.0])
@virtual
async def test_of_what_no_send_is_on_record_nobody_knows_and_an_undo_keeps_it(tmp_path: Path, made_s: float) -> None:
    """It was claimed, and its claim's date is no evidence: neither of this machine's clock nor of the provider's."""
    async with rig(tmp_path, Cloud(things=[Thing("fl-1", THERE - 900.0 + made_s)])) as work:
        await work.plan()
        await work.dead(sent=None, silent=THERE - 840.0)
        (line,) = await work.work()
        assert (line.outcome, line.error_message) == (Outcome.EXISTS, NOBODY_KNOWS)
        assert work.cloud.created == []
        await work.plan_undo()
        await work.undo()
        assert work.cloud.deleted == []


class Shy(Cloud):
    """Its first answer is lost: only another tells what time it is there."""

    def clock_offset(self, lane: LaneKey) -> ClockOffset | None:
        return super().clock_offset(lane) if len(self.calls) > 1 else None


@virtual
async def test_a_first_send_at_a_time_not_known_is_on_record_before_the_next_one_leaves(tmp_path: Path) -> None:
    def killed(cloud: Cloud, row: ClaimedRow) -> Refused:
        raise RuntimeError

    async with rig(tmp_path, Shy([SILENCE, SILENCE, killed])) as work:
        await work.plan()
        with pytest.raises(ExceptionGroup):
            await work.work()
        (row,) = await work.ledger.recover(await lease_of(work.ledger, NIGHT, owner="heir"), after=0, limit=9)
        assert row.sent_there is not None
        for at, sent_there in zip(
            work.cloud.at, [*(first for first, _ in row.sent_before), row.sent_there], strict=False
        ):
            assert at - 0.1 < sent_there - THERE <= at


@virtual
async def test_a_killed_processs_row_that_is_not_there_goes_again_under_its_own_token(tmp_path: Path) -> None:
    """A listing may lag: under the same token the provider makes it once, however soon that is."""
    async with rig(tmp_path, Cloud(lag_s=60.0)) as work:
        await work.plan()
        await work.dead(sent=THERE - 5.0, silent=THERE - 1.0)
        (line,) = await work.work()
        assert (work.cloud.created, line.outcome, line.generation) == (["create 0"], Outcome.CREATED, 0)


@virtual
async def test_what_silence_made_is_the_runs_own_and_what_stood_before_is_not(tmp_path: Path) -> None:
    for number, (cloud, outcome) in enumerate(
        [(Cloud([lost, SILENCE, SILENCE]), Outcome.CREATED), (Cloud([SILENCE] * 3, [OLD]), Outcome.EXISTS)]
    ):
        place = tmp_path / str(number)
        place.mkdir()
        async with rig(place, cloud) as work:
            await work.plan()
            (line,) = await work.work()
            assert (line.outcome, line.remote_id) == (outcome, "fl-1")
            assert await work.plan_undo() == (outcome is Outcome.CREATED)


# --- what was taken, and another one in its place ----------------------------------------------------------


@virtual
async def test_of_what_was_taken_under_an_id_another_id_tells_nothing(tmp_path: Path) -> None:
    """Somebody else's stands there and is listed; the run's own is not yet: it is neither that one nor gone."""
    other = Thing("fl-other", THERE - 60.0)
    own = Thing("fl-own", THERE, state="pending", is_listed=False)
    async with rig(tmp_path, Cloud([replay(own)], [other, own], shows=False)) as work:
        await work.plan()
        (line,) = await work.work(verify_s_max=60.0)
        assert (line.state, line.remote_id, work.cloud.created) == (RowState.ACCEPTED, "fl-own", ["create 0"])


@pytest.mark.parametrize("listed_at_once", [True, False])
@virtual
async def test_two_standing_things_of_one_place_are_told(tmp_path: Path, listed_at_once: bool) -> None:
    """By the first reading, and by the look for a row in doubt."""
    things = [
        Thing("fl-1", THERE - 900.0),
        Thing("fl-2", THERE - 800.0),
        Thing("fl-3", THERE - 700.0, state="deleting"),
    ]
    async with rig(tmp_path, Cloud([SILENCE] * 3, things)) as work:
        await work.plan()
        (line,) = await work.work(reconcile="always" if listed_at_once else "never")
        assert line.outcome is Outcome.EXISTS
        other = "fl-2" if line.remote_id == "fl-1" else "fl-1"
        assert line.error_message == f"at the same place stands also `{other}`"
        assert work.heard.warnings == [f"line 2: at the same place stands also `{other}`"]


# --- what this ledger has deleted -------------------------------------------------------------------------


@virtual
async def test_what_this_ledger_has_deleted_is_leaving_however_long_it_is_listed(tmp_path: Path) -> None:
    """Made again the night after, while the listing shows the old one still as `available`."""
    async with rig(tmp_path, Cloud(delete_lag_s=9000.0)) as work:
        await work.plan()
        await work.work()
        await work.plan_undo()
        (line,) = await work.undo()
        assert (line.outcome, work.cloud.deleted) == (Outcome.DELETED, ["fl-1"])
        again = await work.plan(RunId("again"))
        (line,) = await work.work(again)
        assert (line.outcome, line.remote_id, line.generation) == (Outcome.CREATED, "fl-2", 1)


@virtual
async def test_an_accepted_row_that_was_made_before_a_kill_is_created_as_it_was_taken(tmp_path: Path) -> None:
    """Whether it was this run's was decided by its own answer, and is on record."""
    for number, (made, outcome) in enumerate([(True, Outcome.CREATED), (False, Outcome.EXISTS)]):
        place = tmp_path / str(number)
        place.mkdir()
        async with rig(place, Cloud(things=[Thing("fl-1", THERE - 3000.0)])) as work:
            await work.plan()
            taken = Settlement(1, RowState.CLAIMED, RowState.ACCEPTED, attempts=1, remote_id="fl-1", made=made)
            await work.history(taken)
            (line,) = await work.work()
            assert (line.outcome, line.remote_id) == (outcome, "fl-1")
