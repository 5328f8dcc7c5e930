"""The values of a report row."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batcher.model import Outcome, RowState
from batcher.policy.remarks import REMARK_COLUMNS
from batcher.policy.verdict import OWN_CODES
from batcher.records import RowRecord
from batcher.report.jsonl_report import JsonlLayout
from batcher.report.rows import ReportRow, RowProjection, utc_text
from tests.report.world import (
    GROUP,
    OPERATION,
    PROJECT,
    ROUTER,
    RUN_ID,
    STREAM,
    attachment,
    record,
    run_record,
    unsent,
)


def project(row: RowRecord, stop_code: str = "") -> dict[str, object]:
    projection = RowProjection(OPERATION, run_record(stop_code=stop_code))
    shown: dict[str, object] = json.loads(JsonlLayout(projection).line(projection.project(row)))
    del shown["user"]
    return shown


def test_the_columns_are_those_of_the_contract() -> None:
    contract = (
        "row, line, outcome, error_code, error_message, name, account, region, project_id, er_id, resource_id, "
        "log_group_id, log_stream_id, flow_log_id, flow_log_state, enabled, http_status, request_id, attempts, "
        "generation, token, first_sent_at, settled_at, duration_ms, run_id"
    )
    assert ", ".join(RowProjection(OPERATION, run_record()).columns) == contract


def test_a_created_row_shows_everything_that_is_known() -> None:
    assert project(record(3, generation=2)) == {
        "row": 3,
        "line": 4,
        "account": "default",
        "region": "eu-west-101",
        "project_id": PROJECT,
        "er_id": ROUTER,
        "resource_id": attachment(3),
        "log_group_id": GROUP,
        "log_stream_id": STREAM,
        "name": "flow-log-3",
        "outcome": "created",
        "flow_log_id": "d7f1c7d4-0000-4000-8000-000000000003",
        "flow_log_state": "available",
        "enabled": True,
        "http_status": 202,
        "error_code": None,
        "error_message": None,
        "request_id": "req-3",
        "attempts": 1,
        "generation": 2,
        "token": "0f5d3a10-0000-5000-8000-000000000003",
        "first_sent_at": "2024-04-19T08:00:01.500Z",
        "settled_at": "2024-04-19T08:00:02.750Z",
        "duration_ms": 1250,
        "run_id": RUN_ID,
    }


@pytest.mark.parametrize("outcome", Outcome)
def test_a_settled_row_shows_its_outcome_and_cause(outcome: Outcome) -> None:
    shown = project(record(1, outcome, error_code="ER.1", error_message="no"), stop_code="BATCHER.Interrupted")
    assert (shown["outcome"], shown["error_code"], shown["error_message"]) == (outcome.value, "ER.1", "no")


@pytest.mark.parametrize(
    ("state", "stop_code", "outcome", "code"),
    [
        (RowState.PLANNED, "", "skipped", "BATCHER.NotAttempted"),
        (RowState.PLANNED, "BATCHER.Terminated", "skipped", "BATCHER.Terminated"),
        (RowState.CLAIMED, "BATCHER.Terminated", "in_doubt", "BATCHER.InDoubt"),
        (RowState.ACCEPTED, "BATCHER.Terminated", "unverified", "BATCHER.Unverified"),
    ],
)
def test_an_open_row_shows_what_its_state_amounts_to(state: RowState, stop_code: str, outcome: str, code: str) -> None:
    shown = project(unsent(1, None, state=state), stop_code)
    assert (shown["outcome"], shown["error_code"], shown["error_message"]) == (outcome, code, OWN_CODES[code])


def test_an_open_row_keeps_what_the_provider_said_last() -> None:
    shown = project(record(1, None, state=RowState.CLAIMED, error_code="ER.05039006", error_message="try later"))
    assert shown["error_code"] == "BATCHER.InDoubt"
    assert str(shown["error_message"]).endswith(" (last answer: `ER.05039006` try later)")


def test_an_invalid_row_shows_its_fields_as_far_as_they_were_given() -> None:
    carried = json.dumps({"er_id": "=nonsense", "resource_id": "r", "Owner": "net", "log_group_id": ""})
    shown = project(unsent(9, Outcome.INVALID, spec=None, lane=None, token=None, carried=carried))
    assert (shown["er_id"], shown["resource_id"]) == ("=nonsense", "r")
    unknown = {"account", "region", "project_id", "log_group_id", "log_stream_id", "name", "token"}
    assert {name for name in unknown if shown[name] is not None} == set()


@pytest.mark.parametrize("enabled", [True, False, None])
def test_enabled_is_what_the_provider_shows_and_not_the_wish(enabled: bool | None) -> None:
    assert project(record(1, remote_enabled=enabled))["enabled"] is enabled


def test_a_duration_of_nothing_is_not_unknown() -> None:
    shown = project(record(1, duration_ms=0, attempts=0, first_sent_at=0.0))
    assert (shown["duration_ms"], shown["attempts"]) == (0, 0)
    assert shown["first_sent_at"] == "1970-01-01T00:00:00.000Z"


def users(*names: str) -> RowProjection:
    columns = (("er_id", "er_id"), *((name, name) for name in names))
    return RowProjection(OPERATION, run_record(columns=columns))


def test_the_users_columns_come_last_and_unread() -> None:
    projection = users("Owner", "Kosten stelle")
    row = projection.project(record(1, carried=json.dumps({"Owner": "  =Müller ", "Kosten stelle": ""})))
    assert projection.header[-3:] == ("run_id", "Owner", "Kosten stelle")
    assert row.user == ["  =Müller ", ""]
    assert projection.project(record(2, carried="{}")).user == [None, None]


def test_a_users_column_with_a_reports_name_is_told_apart() -> None:
    projection = users("outcome", "row", "user.row", "Outcome")
    assert projection.header[-4:] == ("user.outcome", "user.user.row", "user.row", "Outcome")
    assert len(set(projection.header)) == len(projection.header)
    row = projection.project(record(1, carried=json.dumps({"outcome": "mine", "row": "A7"})))
    assert row.user == ["mine", "A7", None, None]
    assert row.texts[0] == "1"


def test_a_renamed_column_is_not_the_users() -> None:
    projection = RowProjection(OPERATION, run_record(columns=(("AttachmentID", "resource_id"), ("Team", "Team"))))
    assert projection.user_names == ("Team",)
    assert projection.again_header == ("AttachmentID", "Team", *REMARK_COLUMNS)


def again(row: RowRecord, *columns: tuple[str, str]) -> list[str] | None:
    projected: ReportRow = RowProjection(OPERATION, run_record(columns=columns)).project(row)
    return projected.again


@pytest.mark.parametrize("outcome", Outcome)
def test_rows_that_are_not_done_can_be_run_again(outcome: Outcome) -> None:
    gone = {Outcome.DELETED, Outcome.ABSENT}
    done = outcome in {Outcome.CREATED, Outcome.EXISTS, Outcome.UPDATED, Outcome.DUPLICATE} | gone
    assert (again(record(1, outcome), ("er_id", "er_id")) is None) is done


def test_a_row_to_run_again_has_the_inventorys_columns_and_its_cause() -> None:
    row = record(4, Outcome.FAILED, carried='{"Owner": "net"}', error_code="ER.1", error_message="no")
    cells = again(row, ("Owner", "Owner"), ("AttachmentID", "resource_id"), ("er_id", "er_id"))
    assert cells == ["net", attachment(4), ROUTER, "failed", "ER.1", "no"]


def test_an_invalid_row_is_run_again_as_it_was_written() -> None:
    row = unsent(4, Outcome.INVALID, spec=None, lane=None, token=None, carried='{"er_id": "-x", "Owner": "net"}')
    assert again(row, ("er_id", "er_id"), ("name", "name"), ("Owner", "Owner")) == ["-x", "", "net", "invalid", "", ""]


@given(st.integers(min_value=0, max_value=4_000_000_000_000))
def test_times_are_utc_with_milliseconds(milliseconds: int) -> None:
    text = utc_text(milliseconds / 1000)
    moment = datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    assert len(text) == 24
    assert (moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1000 == pytest.approx(milliseconds, abs=0.01)
