"""What a person at a terminal sees of each lane while a run works."""

from batcher.events import LanePaused, PaceSet, RowAccepted, RowRetried, RowSettled, RunStarted, RunSteered
from batcher.model import LaneKey, Outcome, RunId, Window
from batcher.policy.pace import Source
from batcher.telemetry.lanes import HEADER, LaneBoard

NORTH, SOUTH, WEST = (LaneKey("default", region, "a1" * 16) for region in ("cn-north-4", "cn-south-1", "cn-west-3"))


def board_of(*rows: tuple[LaneKey, int]) -> LaneBoard:
    """The lanes of a run that begins, each with so many rows to do."""
    board = LaneBoard()
    total = sum(count for _, count in rows)
    board.take(RunStarted(RunId("r"), total, total, continued=False, rate="5/s", lanes=rows), 0.0)
    return board


def settled(lane: LaneKey, row_no: int, outcome: Outcome = Outcome.CREATED) -> RowSettled:
    """A row that is done."""
    return RowSettled(lane, row_no, row_no + 1, outcome, "", 1)


def test_each_lane_says_how_far_it_is_and_where_its_pace_comes_from() -> None:
    board = board_of((SOUTH, 3), (NORTH, 1200), (WEST, 1))
    board.take(PaceSet(NORTH, Window(5, 1.0), Source.GIVEN), 0.0)
    board.take(PaceSet(SOUTH, Window(20, 60.0), Source.NAMED), 0.0)
    board.take(settled(NORTH, 1), 0.0)
    board.take(settled(NORTH, 2, Outcome.FAILED), 0.0)
    assert board.table(1.0, 10) == [
        HEADER,
        ("default/cn-north-4/a1a1a1a1", "2 of 1,200", "1", "5/s given", ""),
        ("default/cn-south-1/a1a1a1a1", "0 of 3", "0", "20/min named by the provider", ""),
        ("default/cn-west-3/a1a1a1a1", "0 of 1", "0", "not begun", ""),
    ]
    board.take(PaceSet(NORTH, Window(14, 10.0), Source.FOUND), 0.0)
    assert board.table(1.0, 10)[1][3] == "14/10s found"


def test_rows_that_are_tried_again_are_counted_by_their_cause_until_they_are_through() -> None:
    board = board_of((NORTH, 9))
    for row_no, code in ((1, "HTTP503"), (2, "HTTP503"), (3, "Timeout"), (1, "HTTP503")):
        board.take(RowRetried(NORTH, row_no, code, 1, 2.0), 0.0)
    assert board.table(0.0, 10)[1][-1] == "retrying 2 (HTTP503), 1 (Timeout)"
    board.take(RowAccepted(NORTH, 1), 0.0)
    board.take(settled(NORTH, 3), 0.0)
    assert board.table(0.0, 10)[1][-1] == "retrying 1 (HTTP503)"


def test_a_lane_that_is_silent_says_for_how_long_and_why() -> None:
    board = board_of((NORTH, 9))
    board.take(LanePaused(NORTH, 30.0, None, "APIGW.0308"), 10.0)
    assert board.table(25.0, 10)[1][-1] == "silent for 15 s: APIGW.0308"
    assert board.table(41.0, 10)[1][-1] == ""
    board.take(RunSteered("pause", ""), 50.0)
    assert board.table(50.0, 10)[1][-1] == "paused"


def test_where_there_is_little_room_lanes_in_trouble_come_first_and_the_rest_is_counted() -> None:
    lanes = [LaneKey("default", "cn-north-4", f"{number:032}") for number in range(100)]
    board = board_of(*((lane, 5) for lane in lanes))
    board.take(RowRetried(lanes[77], 1, "HTTP503", 1, 2.0), 0.0)
    table = board.table(0.0, 5)
    assert len(table) == 5
    assert table[1][-1] == "retrying 1 (HTTP503)"
    assert table[-1][0] == "and 97 more"


def test_lanes_that_are_done_are_not_shown() -> None:
    board = board_of((NORTH, 1), (SOUTH, 1))
    board.take(settled(NORTH, 1), 0.0)
    assert [line[0] for line in board.table(0.0, 9)[1:]] == ["default/cn-south-1/a1a1a1a1"]
    board.take(settled(SOUTH, 2), 0.0)
    assert board.table(0.0, 9) == []
