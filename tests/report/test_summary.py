"""What `summary.json` says of a run."""

import json
import shlex
from typing import Any

import pytest

from batcher.model import Outcome, RowState
from batcher.records import RowRecord, RunRecord
from batcher.report import summary as summary_module
from batcher.report.rows import RowProjection
from batcher.report.summary import TEXT_CHARS_MAX, Tally, summarize
from tests.report.world import OPERATION, ROUTER, RUN_ID, STARTED_AT, record, run_record, sample_run, spec, unsent


def summary_of(run: RunRecord, rows: list[RowRecord]) -> dict[str, Any]:
    projection = RowProjection(OPERATION, run)
    tally = Tally(projection.columns, "er_id")
    for row in rows:
        tally.add(projection.project(row))
    summary = summarize(run, tally, ["report.csv", "summary.json"])
    assert json.loads(json.dumps(summary)) == summary
    return summary


def test_rows_are_counted_by_outcome_and_open_rows_as_projected() -> None:
    rows = summary_of(*sample_run())["rows"]
    assert rows == {
        "total": 12,
        "of_parent": None,
        "done": 4,
        "share_done": 0.3333,
        "by_outcome": {
            "created": 1,
            "exists": 1,
            "drifted": 1,
            "updated": 1,
            "failed": 1,
            "in_doubt": 1,
            "unverified": 1,
            "invalid": 1,
            "duplicate": 1,
            "skipped": 3,
            "deleted": 0,
            "absent": 0,
        },
    }


def test_failures_are_grouped_by_scope_and_code_most_rows_first() -> None:
    other = "b54d66fa-4911-4030-90e1-5c2bf6ae6fe2"
    refused = {"error_code": "ER.04044001", "error_message": "no attachment"}
    rows = [
        record(1),
        record(2, Outcome.FAILED, **refused),
        record(3, Outcome.FAILED, spec=spec(3, er_id=other), **refused),
        record(4, Outcome.FAILED, spec=spec(4, er_id=other), error_code="ER.04044001", error_message="later"),
        record(5, Outcome.FAILED, error_code="ER.04009005"),
    ]
    failures = summary_of(run_record(), rows)["failures"]
    assert [(group["scope"], group["code"], group["count"]) for group in failures] == [
        (other, "ER.04044001", 2),
        (ROUTER, "ER.04044001", 1),
        (ROUTER, "ER.04009005", 1),
    ]
    assert failures[0]["example"] == {"row": 3, "line": 4, "message": "no attachment"}
    assert failures[0]["outcomes"] == {"failed": 2}
    assert failures[2]["example"]["message"] is None


ACCESS = {"stop_code": "BATCHER.AccessRefused"}
OPEN = {"state": RowState.PLANNED}
NEXT = [
    (record(1, Outcome.FAILED), {}, f"batcher retry {RUN_ID}"),
    (record(1, Outcome.IN_DOUBT), {}, f"batcher retry {RUN_ID}"),
    (record(1, Outcome.SKIPPED), {}, f"batcher resume {RUN_ID}"),
    (unsent(1, None, state=RowState.PLANNED), {}, f"batcher resume {RUN_ID}"),
    (record(1, None, state=RowState.CLAIMED), {}, f"batcher resume {RUN_ID}"),
    (record(1, None, state=RowState.ACCEPTED), {}, f"batcher resume {RUN_ID}"),
    (record(1, Outcome.DRIFTED), {}, "batcher run 'my routers.csv' --fix-drift"),
    (record(1, Outcome.INVALID), {}, "batcher validate 'my routers.csv'"),
    (record(1, Outcome.UNVERIFIED), {}, "batcher run 'my routers.csv'"),
    (unsent(1, None, state=RowState.PLANNED), ACCESS, f"batcher resume {RUN_ID}"),
]


@pytest.mark.parametrize(("row", "ended", "command"), NEXT)
def test_every_group_names_the_next_command(row: RowRecord, ended: dict[str, str], command: str) -> None:
    summary = summary_of(run_record(inventory_name="my routers.csv", **ended), [row])
    assert [group["next"] for group in summary["failures"]] == [command]


def test_an_inventorys_name_cannot_add_to_the_command() -> None:
    summary = summary_of(run_record(inventory_name="x; rm -rf ~"), [record(1, Outcome.INVALID)])
    assert shlex.split(summary["failures"][0]["next"]) == ["batcher", "validate", "x; rm -rf ~"]


def test_a_group_with_open_and_failed_rows_is_resumed_first() -> None:
    rows = [record(1, Outcome.FAILED, error_code="X"), record(2, Outcome.SKIPPED, error_code="X")]
    [group] = summary_of(run_record(), rows)["failures"]
    assert group["outcomes"] == {"failed": 1, "skipped": 1}
    assert group["next"] == f"batcher resume {RUN_ID}"


def test_many_groups_are_cut_to_the_largest_and_the_rest_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summary_module, "GROUPS_TALLIED_MAX", 4)
    monkeypatch.setattr(summary_module, "GROUPS_SHOWN_MAX", 2)
    routers = "aabbbcdefe"  # e and f come when four are known already
    rows = [record(at, Outcome.FAILED, spec=spec(at, er_id=er_id)) for at, er_id in enumerate(routers, 1)]
    summary = summary_of(run_record(), rows)
    assert [(group["scope"], group["count"]) for group in summary["failures"]] == [("b", 3), ("a", 2)]
    assert summary["failures_not_shown"] == {"rows": 5}
    assert summary["rows"]["total"] == 10


def test_long_texts_are_cut() -> None:
    row = record(1, Outcome.FAILED, error_message="m" * 10_000, error_code="c" * 10_000)
    [group] = summary_of(run_record(), [row])["failures"]
    assert len(group["example"]["message"]) == len(group["code"]) == TEXT_CHARS_MAX


def test_a_row_without_scope_or_code_is_grouped_all_the_same() -> None:
    [group] = summary_of(run_record(), [unsent(1, Outcome.INVALID, spec=None)])["failures"]
    assert (group["scope"], group["code"], group["count"]) == (None, None, 1)


def test_calls_are_counted_by_kind_and_result() -> None:
    assert summary_of(*sample_run())["calls"] == {
        "total": 14,
        "by_kind": {"create": {"202": 3, "404": 1, "timeout": 8}, "list": {"200": 2}},
    }


def test_a_run_without_an_end_has_no_duration() -> None:
    summary = summary_of(run_record(ended_at=None), [])
    assert (summary["ended_at"], summary["duration_s"], summary["stop_code"]) == (None, None, None)
    ended = summary_of(run_record(), [])
    assert (ended["started_at"], ended["ended_at"]) == ("2024-04-19T08:00:00.000Z", "2024-04-19T08:01:00.250Z")
    assert ended["duration_s"] == 60.25


@pytest.mark.parametrize(
    ("recorded", "rows", "code"),
    [
        (None, [record(1)], 0),
        (None, [record(1), record(2, Outcome.FAILED)], 3),
        (None, [record(1), unsent(2, None, state=RowState.PLANNED)], 5),
        (1, [record(1)], 1),
    ],
)
def test_the_exit_code_is_the_recorded_one_or_what_the_rows_amount_to(
    recorded: int | None, rows: list[RowRecord], code: int
) -> None:
    assert summary_of(run_record(exit_code=recorded), rows)["exit_code"] == code


def test_what_was_changed_while_it_worked_is_told_in_order() -> None:
    changes = ((STARTED_AT + 1.25, "rate", "5/s"), (STARTED_AT + 2, "drain", ""))
    assert summary_of(run_record(changes=changes), [])["changes"] == [
        {"at": "2024-04-19T08:00:01.250Z", "action": "rate", "value": "5/s"},
        {"at": "2024-04-19T08:00:02.000Z", "action": "drain", "value": None},
    ]
    assert summary_of(run_record(), [])["changes"] == []
