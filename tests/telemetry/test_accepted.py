"""What a progress display says of rows that the provider took: how many wait, whatever becomes of the others."""

from batcher.events import RowAccepted, RowSettled, RunStarted
from batcher.model import LaneKey, Outcome, RunId
from batcher.telemetry.tally import ProgressTally

LANE = LaneKey("default", "cn-north-4", "p")


def settled(row_no: int, outcome: Outcome, *, was_accepted: bool) -> RowSettled:
    return RowSettled(LANE, row_no, row_no + 1, outcome, "", 1, was_accepted=was_accepted)


def test_what_waits_is_what_was_accepted_and_not_settled_since() -> None:
    tally = ProgressTally()
    tally.take(RunStarted(RunId("a"), 10, 10, continued=False, rate="10/s"), 0.0)
    for row_no in range(1, 7):
        tally.take(RowAccepted(LANE, row_no), 1.0)
    assert "6 accepted, not yet final" in tally.line(2.0)
    tally.take(settled(1, Outcome.CREATED, was_accepted=True), 3.0)
    tally.take(settled(2, Outcome.FAILED, was_accepted=True), 3.0)
    tally.take(settled(3, Outcome.DRIFTED, was_accepted=True), 3.0)
    tally.take(settled(7, Outcome.CREATED, was_accepted=False), 3.0)  # available at once
    assert "4 of 10 rows" in tally.line(4.0)
    assert "3 accepted, not yet final" in tally.line(4.0)


def test_what_an_earlier_sitting_has_left_accepted_waits_too() -> None:
    tally = ProgressTally()
    tally.take(RunStarted(RunId("a"), 10, 8, continued=True, rate="10/s", accepted=5), 0.0)
    assert "5 accepted, not yet final" in tally.line(1.0)
    for row_no in range(1, 6):
        tally.take(settled(row_no, Outcome.CREATED, was_accepted=True), 2.0)
    assert "accepted" not in tally.line(3.0)
