"""Plans held to their runs in some of the many worlds that `python -m tests.agreement` lives through."""

from collections import Counter

import pytest

from batcher.forecast import Forecast, LaneForecast, ScopeForecast
from batcher.model import LaneKey, Outcome, Quota, RowState, Window
from batcher.policy.prospect import Prospect
from batcher.records import RowRecord
from tests.agreement.judge import disagreements
from tests.agreement.live import lived
from tests.report.world import record

WORLDS = 48
SLICES = 3
LANE = LaneKey("default", "cn-north-4", "0" * 32)


@pytest.mark.parametrize("first", range(SLICES))
def test_what_a_plan_says_is_what_the_run_does_and_reports(first: int) -> None:
    said = Counter[Prospect]()
    for seed in range(first, WORLDS, SLICES):
        world = lived(seed)
        assert world.wrong == []
        said += world.said
    usual = {Prospect.CREATE, Prospect.EXISTS, Prospect.PENDING, Prospect.FAILED, Prospect.DRIFTED}
    assert set(said) >= usual


# --- the judge --------------------------------------------------------------------------------------


def forecast(rows: dict[Prospect, int], *, quota: int = -1) -> Forecast:
    """A plan of one router that says this."""
    scope = ScopeForecast(LANE, "router", 0, Counter(rows))
    to_create = rows.get(Prospect.CREATE, 0)
    lane = LaneForecast(LANE, {}, Window(10, 1.0), None, Quota(quota, 0), to_create)
    return Forecast(
        inventory_name="", inventory_sha256="", fingerprint="", target="", made_at=0.0, fix_drift=False,
        scopes=[scope], lanes=[lane], time_s=0.0, findings=[], warnings=[], survey_calls={}, sites=[],
        stop_code="", stop_message="", stop_advice="",
    )  # fmt: skip


def ran(line: int, outcome: Outcome | None, remote_id: str | None = None) -> RowRecord:
    """A row that was run."""
    state = RowState.ACCEPTED if outcome is None else RowState.SETTLED
    return record(line - 1, outcome, state=state, remote_id=remote_id)


CREATED, EXISTS = ran(2, Outcome.CREATED, remote_id="a"), ran(3, Outcome.EXISTS, remote_id="b")
FAILED, SKIPPED = ran(3, Outcome.FAILED), ran(3, Outcome.SKIPPED)
CHANGES = [{"line": 2, "change": "create"}]


@pytest.mark.parametrize(
    ("rows", "is_checked", "quota", "is_fine"),
    [
        ([CREATED, EXISTS], True, -1, True),
        ([CREATED, CREATED], True, -1, False),
        ([CREATED, FAILED], True, -1, False),
        ([ran(2, Outcome.EXISTS, remote_id="a"), EXISTS], False, 0, False),
        ([ran(2, Outcome.SKIPPED), EXISTS], False, 0, True),
        ([CREATED, EXISTS], False, 0, False),
        ([CREATED, ran(3, None)], False, -1, False),
    ],
)
def test_the_judge_finds_a_run_that_did_something_else(
    rows: list[RowRecord], is_checked: bool, quota: int, is_fine: bool
) -> None:
    plan = forecast({Prospect.CREATE: 1, Prospect.EXISTS: 1}, quota=quota)
    wrong = disagreements(plan, CHANGES, rows, is_checked=is_checked, was_pending=frozenset())
    assert (wrong == []) is is_fine


def test_the_judge_takes_a_row_that_a_plain_run_has_sent_in_vain_for_one_that_cannot_be_made() -> None:
    plan = forecast({Prospect.CREATE: 1, Prospect.SKIPPED: 1})
    for row, is_checked, is_fine in ((FAILED, False, True), (FAILED, True, False), (SKIPPED, True, True)):
        wrong = disagreements(plan, CHANGES, [CREATED, row], is_checked=is_checked, was_pending=frozenset())
        assert (wrong == []) is is_fine
