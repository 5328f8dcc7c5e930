"""What a person is told of how far a run is, and how long it will take."""

import io
import json

from batcher.events import CallMade, RowSettled, RunStarted, RunSteered
from batcher.model import LaneKey, Outcome, RunId
from batcher.telemetry.log import LogLines
from batcher.telemetry.progress import LineProgress
from batcher.telemetry.tally import ProgressTally

NORTH, SOUTH = (LaneKey("default", region, "0" * 32) for region in ("cn-north-4", "cn-south-1"))
STARTED = RunStarted(RunId("r1"), 1000, 1000, continued=False, rate="50/s")


def tally_of(seconds: int, rows_a_second: int, lanes: tuple[LaneKey, ...] = (NORTH,)) -> ProgressTally:
    """A run that has settled so many rows a second for so long."""
    tally = ProgressTally()
    tally.take(STARTED, 0.0)
    for second in range(seconds):
        for row in range(rows_a_second):
            lane = lanes[row % len(lanes)]
            tally.take(CallMade(lane, "create", "202"), float(second))
            tally.take(RowSettled(lane, row, row, Outcome.CREATED, "", 1), float(second))
    return tally


def test_the_time_left_is_that_of_the_last_ten_seconds() -> None:
    tally = tally_of(20, 10)
    for second in range(20, 40):  # now it is five times slower
        for row in range(2):
            tally.take(RowSettled(NORTH, row, row, Outcome.CREATED, "", 1), float(second))
    left = tally.remaining_s(40.0)
    assert left is not None
    assert 350 < left < 430
    assert 0.23 < tally.share < 0.25


def test_no_time_is_foretold_while_it_is_paused_or_ends() -> None:
    for action in ("pause", "drain"):
        tally = tally_of(20, 10)
        assert tally.remaining_s(20.0) is not None
        tally.take(RunSteered(action, ""), 20.0)
        assert tally.remaining_s(20.0) is None


def test_the_rate_is_told_with_the_projects_that_each_have_it() -> None:
    assert "(50/s)" in tally_of(5, 10).line(5.0)
    assert "(2 projects x 50/s)" in tally_of(5, 10, (NORTH, SOUTH)).line(5.0)


def test_a_line_carries_its_time() -> None:
    out = io.StringIO()
    LineProgress(out).emit(STARTED)
    first, at, rest = out.getvalue().split(" ", 2)
    assert (first, at.count(":"), rest) == ("batcher:", 2, "run r1 starts: 1,000 of 1,000 rows to do\n")


def test_a_log_line_is_json_where_that_is_asked_for() -> None:
    out = io.StringIO()
    log = LogLines(out, calls=True, as_json=True)
    log.emit(CallMade(NORTH, "create", "202"))
    log.emit(RowSettled(NORTH, 1, 2, Outcome.FAILED, "ER.1", 3))
    call, row = map(json.loads, out.getvalue().splitlines())
    assert (call["event"], call["lane"], call["result"]) == ("call.made", f"default/cn-north-4/{'0' * 32}", "202")
    assert (row["event"], row["row_no"], row["outcome"], row["attempts"]) == ("row.settled", 1, "failed", 3)
