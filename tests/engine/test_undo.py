"""Taking a run back from a provider that lists and deletes late, forgets dates, leaves tombstones, or is not alone."""

from pathlib import Path
from typing import Any

import anyio
import pytest

from batcher.engine.run import RunEngine
from batcher.engine.stop import Stop
from batcher.model import Applied, Outcome, RowState, RunId, Settlement
from batcher.records import RowRecord
from tests.engine.rig import LAG_S, SILENCE, THERE, UNDO, Cloud, Rig, Thing, lost, rig, steady, virtual
from tests.ledger.book import T0, claimed, end, lease_of, open_run, row, settled, write

DELETING = Applied("fl-1", "deleting", True, True, 202, "req")
"""It is taken, and nothing comes of it."""
LONG_AGO, NOW = THERE - 600.0, THERE
ANSWER_S = 30.0


def made(at: float = LONG_AGO, **known: Any) -> Settlement:
    """An answer has told the run's own request this id."""
    return settled(
        1, **{"remote_id": "fl-1", "http_status": 202, "made": True, "sent_there": at, "told_there": at + 1, **known}
    )


def in_doubt(at: float = LONG_AGO, **known: Any) -> Settlement:
    """It was sent then, and no answer came."""
    return settled(1, Outcome.IN_DOUBT, **{"sent_there": at, "told_there": at + 1, **known})


def log(remote_id: str = "fl-1", at: float | None = LONG_AGO + 0.5, **known: Any) -> Thing:
    return Thing(remote_id, at, **known)


async def planned(work: Rig, parent: Settlement) -> None:
    """An undo of a run whose only row has ended so."""
    lease = await lease_of(work.ledger, await work.plan())
    await claimed(work.ledger, lease)
    await write(work.ledger, lease, parent)
    await end(work.ledger, lease.run_id)
    assert await work.plan_undo() == 1


async def taken_back(place: Path, cloud: Cloud, parent: Settlement, **known: Any) -> RowRecord:
    """The row after one sitting of the undo."""
    async with rig(place, cloud) as work:
        await planned(work, parent)
        (record,) = await work.undo(answer_s_max=ANSWER_S, **known)
        return record


# --- a delete that takes its time -------------------------------------------------------------------------


@virtual
async def test_what_is_the_runs_own_is_deleted_and_followed_until_it_is_gone(tmp_path: Path) -> None:
    cloud = Cloud(things=[log()])
    record = await taken_back(tmp_path, cloud, made())
    assert (record.outcome, record.remote_id, record.remote_state) == (Outcome.DELETED, "fl-1", "deleted")
    assert (cloud.deleted, record.error_code, record.attempts) == (["fl-1"], "", 1)


@virtual
async def test_a_listing_that_still_shows_it_is_no_proof_that_it_stands(tmp_path: Path) -> None:
    """Its own 404 is believed at once, the listing only when it lacks it; and the delete is not sent again."""
    for shows in (True, False):
        place, began, cloud = tmp_path / str(shows), steady(), Cloud(things=[log()], delete_lag_s=50.0, shows=shows)
        place.mkdir()
        record = await taken_back(place, cloud, made())
        assert (record.outcome, record.remote_state, record.attempts) == (Outcome.DELETED, "deleted", 1)
        assert cloud.deleted == ["fl-1"]
        assert steady() - began < 5.0 if shows else 50.0 <= steady() - began < 70.0


@virtual
async def test_a_delete_that_did_nothing_is_sent_again_by_the_next_sitting(tmp_path: Path) -> None:
    cloud = Cloud(things=[log()], removes=[DELETING, DELETING])
    async with rig(tmp_path, cloud) as work:
        await planned(work, made())
        for sitting in (1, 2):
            began = steady()
            (record,) = await work.undo()
            assert (record.state, record.remote_id, record.attempts) == (RowState.ACCEPTED, "fl-1", sitting)
            assert cloud.deleted == ["fl-1"] * sitting
            assert 300 <= steady() - began < 340
        (record,) = await work.undo()
        assert (record.outcome, cloud.deleted) == (Outcome.DELETED, ["fl-1"] * 3)


@virtual
async def test_a_delete_that_was_given_up_and_has_worked_is_told_as_deleted(tmp_path: Path) -> None:
    cloud = Cloud(things=[log()], removes=[SILENCE] * 3)
    async with rig(tmp_path, cloud) as work:
        await planned(work, in_doubt())

        async def works(engine: RunEngine) -> None:
            await anyio.sleep(0.5)
            cloud.things[0].gone_at = THERE

        (record,) = await work.undo(meanwhile=works)
        assert (record.outcome, record.remote_id, record.attempts) == (Outcome.DELETED, "fl-1", 3)
        assert record.first_sent_at == pytest.approx(T0 + 60, abs=1.0)


@virtual
async def test_a_delete_that_was_given_up_and_has_not_worked_is_told_with_its_last_answer(tmp_path: Path) -> None:
    cloud = Cloud(things=[log()], removes=[SILENCE] * 3)
    record = await taken_back(tmp_path, cloud, made())
    assert (record.outcome, record.error_code, record.attempts) == (Outcome.FAILED, "BATCHER.NoAnswer", 3)
    assert (record.remote_id, record.remote_state) == ("fl-1", "available")
    assert 1 <= steady() < 2


@virtual
async def test_what_a_delete_without_an_answer_left_standing_is_not_made_a_second_time(tmp_path: Path) -> None:
    """The undo ends in doubt over it; the next run asks under the same token, whatever else may stand there."""
    cloud, stop = Cloud(removes=[SILENCE] * 3), Stop()
    async with rig(tmp_path, cloud) as work:
        cloud.answers = [lost, SILENCE, SILENCE]
        cloud.lag_s = 60.0
        await work.plan()
        (record,) = await work.work()
        assert (record.outcome, cloud.created) == (Outcome.IN_DOUBT, ["create 0"] * 3)
        await work.plan_undo()
        await anyio.sleep(600.0)

        async def interrupt(engine: RunEngine) -> None:
            while not cloud.deleted:
                await anyio.sleep(0.001)
            stop.request("BATCHER.Interrupted")

        (record,) = await work.undo(stop=stop, meanwhile=interrupt)
        assert (record.state, cloud.deleted) == (RowState.CLAIMED, ["fl-1"])
        (record,) = await work.work(await work.plan(RunId("later")), reconcile="never")
        assert (record.outcome, record.remote_id) == (Outcome.EXISTS, "fl-1")
        assert [thing.remote_id for thing in cloud.things if thing.stands] == ["fl-1"]
        assert "create 1" not in cloud.created


@virtual
async def test_what_is_pending_is_deleted_once_it_may_be(tmp_path: Path) -> None:
    """The provider deletes what is `available` or `failed`."""
    for state in ("available", "failed"):
        place, cloud = tmp_path / state, Cloud(things=[log(state="pending")])
        place.mkdir()
        async with rig(place, cloud) as work:
            await planned(work, made())

            async def ends(engine: RunEngine, cloud: Cloud = cloud, state: str = state) -> None:
                await anyio.sleep(100)
                assert cloud.deleted == []
                cloud.things[0].state = state

            (record,) = await work.undo(meanwhile=ends)
            assert (record.outcome, cloud.deleted) == (Outcome.DELETED, ["fl-1"])


@virtual
async def test_what_is_pending_for_ever_ends_the_wait_and_is_not_said_to_be_gone(tmp_path: Path) -> None:
    cloud = Cloud(things=[log(state="pending")])
    record = await taken_back(tmp_path, cloud, made(), verify_s_max=60.0)
    assert (record.outcome, record.state, cloud.deleted) == (None, RowState.PLANNED, [])
    assert 60 <= steady() < 90


# --- what is gone -----------------------------------------------------------------------------------------


@virtual
async def test_a_tombstone_is_gone_and_not_waited_for(tmp_path: Path) -> None:
    cloud = Cloud(things=[log(gone_at=NOW - 60.0)], leaves_tombstones=True)
    record = await taken_back(tmp_path, cloud, made())
    assert (record.outcome, cloud.deleted) == (Outcome.ABSENT, [])
    assert steady() < 5.0


@virtual
async def test_the_tombstone_of_another_says_nothing_of_what_is_not_listed_yet(tmp_path: Path) -> None:
    """No answer has told the row's id; what the run made shows only once the listing has caught up."""
    things = [log("theirs", gone_at=NOW - 60.0), log("own", NOW - 0.5)]
    cloud = Cloud(things=things, lag_s=50.0, leaves_tombstones=True)
    record = await taken_back(tmp_path, cloud, in_doubt(NOW - 1.0))
    assert (record.outcome, record.remote_id, cloud.deleted) == (Outcome.DELETED, "own", ["own"])


@virtual
async def test_a_delete_that_leaves_a_tombstone_has_worked(tmp_path: Path) -> None:
    cloud = Cloud(things=[log()], leaves_tombstones=True)
    record = await taken_back(tmp_path, cloud, made())
    assert (record.outcome, record.attempts, cloud.deleted) == (Outcome.DELETED, 1, ["fl-1"])
    assert steady() < 5.0


@virtual
async def test_what_is_old_and_not_listed_is_absent_at_once(tmp_path: Path) -> None:
    cloud = Cloud()
    record = await taken_back(tmp_path, cloud, made())
    assert (record.outcome, cloud.count("show"), cloud.count("list")) == (Outcome.ABSENT, 0, 1)


@virtual
async def test_what_is_young_and_not_listed_is_asked_for_by_its_id_and_deleted_by_it(tmp_path: Path) -> None:
    """An undo right after a run: the listing lags, and what was made stands."""
    cloud = Cloud(things=[log(at=NOW)], lag_s=60.0)
    record = await taken_back(tmp_path, cloud, made(NOW - 0.5))
    assert (record.outcome, record.remote_id, cloud.deleted) == (Outcome.DELETED, "fl-1", ["fl-1"])
    assert cloud.calls[:3] == ["list", "show fl-1", "delete fl-1"]


@virtual
async def test_what_is_young_and_whose_own_404_says_so_is_absent_at_once(tmp_path: Path) -> None:
    cloud = Cloud(things=[log(at=NOW - 5, gone_at=NOW - 2)])
    record = await taken_back(tmp_path, cloud, made(NOW - 5.5))
    assert (record.outcome, cloud.calls) == (Outcome.ABSENT, ["list", "show fl-1"])


@virtual
async def test_what_is_young_and_may_not_be_asked_for_is_waited_for(tmp_path: Path) -> None:
    """It shows within the lag, or is absent when that is over; never before."""
    cloud = Cloud(things=[log(at=NOW)], lag_s=60.0, shows=False)
    record = await taken_back(tmp_path, cloud, made(NOW - 0.5))
    assert (record.outcome, cloud.deleted) == (Outcome.DELETED, ["fl-1"])
    assert steady() >= 60.0
    (tmp_path / "gone").mkdir()
    began = steady()
    record = await taken_back(tmp_path / "gone", Cloud(shows=False), made(THERE + began - 0.5))
    assert record.outcome is Outcome.ABSENT
    assert LAG_S - 1.0 <= steady() - began < LAG_S + 20.0


@virtual
async def test_an_undo_that_ends_before_the_lag_is_over_leaves_its_rows_open(tmp_path: Path) -> None:
    record = await taken_back(tmp_path, Cloud(shows=False), made(NOW - 0.5), verify_s_max=30.0)
    assert (record.state, record.outcome) == (RowState.PLANNED, None)


@virtual
async def test_a_row_without_an_answer_is_waited_for_as_long_as_one_may_be_under_way_and_not_listed(
    tmp_path: Path,
) -> None:
    record = await taken_back(tmp_path, Cloud(), in_doubt(NOW - 10))
    assert (record.outcome, record.remote_id) == (Outcome.ABSENT, None)
    assert LAG_S - 10 <= steady() < LAG_S + ANSWER_S + 15.0
    (tmp_path / "late").mkdir()
    began = steady()
    cloud = Cloud(things=[log(at=THERE + began - 2)], lag_s=100.0)
    record = await taken_back(tmp_path / "late", cloud, in_doubt(THERE + began - 10))
    assert (record.outcome, cloud.deleted) == (Outcome.DELETED, ["fl-1"])


# --- whose it is ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made_s", "outcome"),
    [
        (-2.0, Outcome.EXISTS),
        (-60.0, Outcome.EXISTS),
        (0.5, Outcome.DELETED),
        (30.0, Outcome.DELETED),  # an answer takes 30 s at most
        (40.0, Outcome.EXISTS),
    ],
)
@virtual
async def test_without_an_answer_only_what_is_dated_into_the_sending_is_deleted(
    tmp_path: Path, made_s: float, outcome: Outcome
) -> None:
    cloud = Cloud(things=[log(at=LONG_AGO + made_s)])
    record = await taken_back(tmp_path, cloud, in_doubt())
    assert (record.outcome, cloud.deleted) == (outcome, ["fl-1"] if outcome is Outcome.DELETED else [])
    assert record.error_code == ("" if outcome is Outcome.DELETED else "BATCHER.Kept")


@pytest.mark.parametrize("at", [None, LONG_AGO + 0.5])
@virtual
async def test_what_has_no_date_and_what_has_no_send_on_record_are_kept(tmp_path: Path, at: float | None) -> None:
    cloud = Cloud(things=[log(at=at)])
    parent = in_doubt() if at is None else in_doubt(sent_there=None)
    record = await taken_back(tmp_path, cloud, parent)
    assert (record.outcome, record.error_code, cloud.deleted) == (Outcome.EXISTS, "BATCHER.Kept", [])
    assert record.error_message == "nobody knows whether this run has made it: it is kept"


@pytest.mark.parametrize(("has_id", "force"), [(True, True), (True, False), (False, True), (False, False)])
@virtual
async def test_what_nobody_knows_the_maker_of_is_deleted_by_force_and_by_its_id_alone(
    tmp_path: Path, has_id: bool, force: bool
) -> None:
    """Of a ledger from before makers were recorded, or a provider that does not date what it took."""
    cloud = Cloud(things=[log(at=None)])
    async with rig(tmp_path, cloud) as work:
        parent = made(made=None, sent_there=None) if has_id else in_doubt(sent_there=None)
        await planned(work, parent)
        (record,) = await work.undo(force=force)
        assert cloud.deleted == (["fl-1"] if has_id and force else [])
        assert record.outcome is (Outcome.DELETED if has_id and force else Outcome.EXISTS)


@pytest.mark.parametrize("force", [True, False])
@virtual
async def test_what_was_changed_since_is_kept_but_by_force(tmp_path: Path, force: bool) -> None:
    cloud = Cloud(things=[log(drift="name: wished `a`, there is `b`")])
    async with rig(tmp_path, cloud) as work:
        await planned(work, made())
        (record,) = await work.undo(force=force)
        assert record.outcome is (Outcome.DELETED if force else Outcome.DRIFTED)
        assert cloud.deleted == (["fl-1"] if force else [])


@virtual
async def test_of_two_things_in_a_rows_place_it_is_its_own_that_counts(tmp_path: Path) -> None:
    cloud = Cloud(things=[log("fl-0", at=NOW), log(), log("fl-2", at=NOW)])
    record = await taken_back(tmp_path, cloud, made())
    assert (record.outcome, record.remote_id, cloud.deleted) == (Outcome.DELETED, "fl-1", ["fl-1"])


@virtual
async def test_what_stands_beside_the_runs_own_is_told(tmp_path: Path) -> None:
    cloud = Cloud(things=[log(), log("fl-2", at=NOW - 900.0)])
    async with rig(tmp_path, cloud) as work:
        await planned(work, made())
        await work.undo()
        assert cloud.deleted == ["fl-1"]
        assert [warning.count("`fl-2`") for warning in work.heard.warnings] == [1]


@virtual
async def test_another_one_in_its_place_does_not_hide_that_it_is_gone(tmp_path: Path) -> None:
    """Somebody has deleted the run's own and made another: that one stays."""
    cloud = Cloud(things=[log(gone_at=NOW - 200.0), log("fl-2", at=NOW - 100.0)])
    record = await taken_back(tmp_path, cloud, made())
    assert (record.outcome, record.remote_id, cloud.deleted) == (Outcome.ABSENT, "fl-1", [])


@virtual
async def test_another_one_in_its_place_does_not_hide_that_it_is_there(tmp_path: Path) -> None:
    """The run's own is young and not listed yet."""
    cloud = Cloud(things=[log(at=NOW), log("fl-2", at=NOW - 900.0)], lag_s=60.0)
    record = await taken_back(tmp_path, cloud, made(NOW - 0.5))
    assert (record.outcome, record.remote_id, cloud.deleted) == (Outcome.DELETED, "fl-1", ["fl-1"])


@virtual
async def test_what_somebody_made_right_after_the_delete_does_not_hide_that_it_was_deleted(tmp_path: Path) -> None:
    cloud = Cloud(things=[log()])
    async with rig(tmp_path, cloud) as work:
        await planned(work, made())

        async def another(engine: RunEngine) -> None:
            await anyio.sleep(0.5)
            cloud.things.append(log("fl-2", at=NOW))

        (record,) = await work.undo(meanwhile=another)
        assert (record.outcome, record.remote_id, record.error_code) == (Outcome.DELETED, "fl-1", "")
        assert cloud.deleted == ["fl-1"]


@virtual
async def test_what_a_dead_sitting_had_claimed_still_knows_since_when_it_may_be_there(tmp_path: Path) -> None:
    """Though a later run has spent its token: that says nothing of when this one may have been made."""
    cloud = Cloud(things=[log()])
    async with rig(tmp_path, cloud) as work:
        await planned(work, in_doubt())
        other = await lease_of(work.ledger, await open_run(work.ledger, "later", [row(1)]), now=T0 + 100)
        await claimed(work.ledger, other, now=T0 + 100)
        await write(work.ledger, other, settled(1, Outcome.FAILED, http_status=400, spent=True, settled_at=T0 + 101))
        await end(work.ledger, other.run_id)
        await work.ledger.claim_these(await lease_of(work.ledger, UNDO), dict.fromkeys([1]), T0 + 50)
        (record,) = await work.undo()
        assert (record.outcome, record.remote_id, cloud.deleted) == (Outcome.DELETED, "fl-1", ["fl-1"])


@pytest.mark.parametrize(("rival_s", "outcome"), [(5.0, Outcome.EXISTS), (None, Outcome.DELETED)])
@virtual
async def test_what_another_run_may_have_made_in_the_same_time_is_kept(
    tmp_path: Path, rival_s: float | None, outcome: Outcome
) -> None:
    cloud = Cloud(things=[log(at=LONG_AGO + 10.0)])
    async with rig(tmp_path, cloud) as work:
        await planned(work, in_doubt())
        if rival_s is not None:
            rival = await lease_of(work.ledger, await open_run(work.ledger, RunId("rival"), [row(1)]))
            await claimed(work.ledger, rival)
            at = LONG_AGO + rival_s
            await write(work.ledger, rival, settled(1, Outcome.IN_DOUBT, sent_there=at, told_there=at))
        (record,) = await work.undo(answer_s_max=ANSWER_S)
        assert (record.outcome, cloud.deleted) == (outcome, ["fl-1"] if outcome is Outcome.DELETED else [])
