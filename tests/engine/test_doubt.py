"""What a row is called when an attempt may have worked and the next answers speak of something else."""

from pathlib import Path
from typing import Any

import pytest

from batcher.ledger.open import open_ledger
from batcher.model import Applied, Kind, Outcome, Refused, RowState, Settlement, Stops
from batcher.records import RowRecord
from tests.engine.rig import SILENCE, THERE, Cloud, Thing, lost, rig, virtual
from tests.ledger.book import T0, claimed, lease_of, open_run, row, write

BEING_OPERATED = Refused(Kind.TRANSIENT, Stops.ROW, "ER.04004003", "being operated", 400, definitive=True)
QUOTA = Refused(Kind.PERMANENT, Stops.LANE, "ER.04009008", "insufficient quota", 400, definitive=True)
USED_UP = Refused(Kind.PERMANENT, Stops.SUBJECT, "ER.04009008", "insufficient quota", 400, definitive=True)
WRONG = Refused(Kind.PERMANENT, Stops.ROW, "ER.04009005", "invalid parameters", 400, definitive=True)
MADE = Applied("fl-1", "available", enabled=True, as_wished=True, http_status=202, request_id="", created_at=THERE)


async def worked(
    place: Path, cloud: Cloud, rows: int = 1, *, before: Settlement | None = None, died: dict[str, Any] | None = None
) -> list[RowRecord]:
    """A run of so many rows, worked against the provider; the first may have a history in the run.

    `died`: whoever claimed it then died (`Rig.dead`).
    """
    async with rig(place, cloud) as work:
        await work.plan(rows=rows)
        if died is not None:
            await work.dead(**died)
        if before is not None:
            await work.history(before)
        return await work.work(verify_s_max=0.0)


SENT = {"sent": THERE - 300.0, "silent": THERE - 240.0}
"""A row that a process has sent five minutes ago, on record, before it died."""
UNSENT = {"sent": None, "silent": THERE - 240.0}


@virtual
async def test_a_refusal_after_silence_is_looked_up_before_it_is_believed(tmp_path: Path) -> None:
    cloud = Cloud([SILENCE, BEING_OPERATED, WRONG])
    (line,) = await worked(tmp_path, cloud)
    assert cloud.calls == ["create 0", "create 0", "create 0", "list"]
    assert (line.outcome, line.error_code) == (Outcome.IN_DOUBT, "ER.04009005"), "one look proves nothing"


@virtual
async def test_a_row_in_doubt_stays_so_when_its_lane_is_stopped(tmp_path: Path) -> None:
    (line,) = await worked(tmp_path, Cloud([SILENCE, BEING_OPERATED, QUOTA]))
    assert line.state is RowState.CLAIMED


@virtual
async def test_what_silence_made_is_found_after_a_refusal(tmp_path: Path) -> None:
    (line,) = await worked(tmp_path, Cloud([lost, BEING_OPERATED, WRONG]))
    assert (line.outcome, line.remote_id) == (Outcome.CREATED, "fl-1")


@virtual
async def test_a_row_of_a_dead_process_that_is_pending_is_not_sent_again(tmp_path: Path) -> None:
    cloud = Cloud(things=[Thing("fl-1", THERE - 299.0, state="pending")])
    (line,) = await worked(tmp_path, cloud, died=SENT)
    assert cloud.calls == ["list"]
    assert (line.state, line.generation, line.remote_id) == (RowState.ACCEPTED, 0, "fl-1")


@virtual
async def test_what_was_refused_to_a_dead_process_is_asked_again_under_another_token(tmp_path: Path) -> None:
    """The provider repeats its refusal to the old token, though the quota was raised since; two looks show nothing."""
    cloud = Cloud([USED_UP, MADE])
    (line,) = await worked(tmp_path, cloud, died=SENT)
    assert cloud.calls[:5] == ["list", "create 0", "list", "list", "create 1"]
    assert (line.state, line.generation) == (RowState.ACCEPTED, 1), "the answer is dated before this send"


@virtual
async def test_a_row_of_a_dead_process_is_looked_up_again_after_silence(tmp_path: Path) -> None:
    cloud = Cloud([SILENCE, QUOTA])
    (line,) = await worked(tmp_path, cloud, died=SENT)
    assert cloud.calls == ["list", "create 0", "create 0"]
    assert line.state is RowState.CLAIMED


@pytest.mark.parametrize(("died_at", "asked"), [(T0, [1]), (T0 - 3600, [0])])
@virtual
async def test_who_goes_on_soon_looks_up_only_what_is_in_doubt(
    tmp_path: Path, died_at: float, asked: list[int]
) -> None:
    """A million rows are not listed again before the first of them is sent."""
    cloud = Cloud([MADE] * 25)
    lines = await worked(tmp_path, cloud, rows=25, died={**UNSENT, "at": died_at})
    assert cloud.asked == asked
    assert {line.outcome for line in lines} == {Outcome.CREATED}


@virtual
async def test_a_row_that_was_refused_for_good_is_looked_up_before_it_fails(tmp_path: Path) -> None:
    for number, (things, outcome) in enumerate([([Thing("fl-1", THERE - 9000)], Outcome.EXISTS), ([], Outcome.FAILED)]):
        (tmp_path / str(number)).mkdir()
        (line,) = await worked(tmp_path / str(number), Cloud([WRONG], things))
        assert line.outcome is outcome


@virtual
async def test_what_a_listing_shows_pending_has_not_vanished(tmp_path: Path) -> None:
    taken = Settlement(1, RowState.CLAIMED, RowState.ACCEPTED, attempts=1, remote_id="fl-1", remote_state="pending")
    cloud = Cloud(things=[Thing("fl-1", THERE - 300.0, state="pending")])
    (line,) = await worked(tmp_path, cloud, before=taken)
    assert cloud.calls == ["list"]
    assert (line.state, line.generation, line.remote_id) == (RowState.ACCEPTED, 0, "fl-1")


@virtual
async def test_a_spent_token_stays_spent_when_its_row_is_put_back_unsent(tmp_path: Path) -> None:
    async with open_ledger(str(tmp_path / "ledger.db")) as ledger:
        lease = await lease_of(ledger, await open_run(ledger, "night", [row(1)]), now=T0)
        for spent in (True, False):
            await claimed(ledger, lease, now=T0)
            await write(ledger, lease, Settlement(1, RowState.CLAIMED, RowState.PLANNED, spent=spent))
        (again,) = await claimed(ledger, lease, now=T0)
        assert again.due_generation == 1


@virtual
async def test_rows_that_were_skipped_unsent_are_not_in_doubt_later(tmp_path: Path) -> None:
    async with open_ledger(str(tmp_path / "ledger.db")) as ledger:
        run_id = await open_run(ledger, "night", [row(1)])
        lease = await lease_of(ledger, run_id, now=T0)
        await claimed(ledger, lease, now=T0)
        skipped = Settlement(1, RowState.CLAIMED, RowState.SETTLED, Outcome.SKIPPED, settled_at=T0)
        await write(ledger, lease, skipped)
        await ledger.reopen(run_id)
        (again,) = await claimed(ledger, lease, now=T0 + 9)
        assert again.used_at is None


@virtual
async def test_a_lane_that_cannot_be_reached_is_given_up_at_its_first_listing(tmp_path: Path) -> None:
    cloud = Cloud(is_reachable=False)
    lines = await worked(tmp_path, cloud, rows=25)
    assert cloud.calls == ["list"] * 3
    assert {line.state for line in lines} == {RowState.PLANNED}
