"""A small run to report on: records as a ledger gives them, an operation whose specs are JSON of its columns."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from batcher.model import LaneKey, Outcome, RowState, RunId, RunState
from batcher.records import EndingCount, RowRecord, RunRecord, RunSite, Site
from batcher.report.summary import PROCESS, Origin

RUN_ID = RunId("20240419-080000-1f0c")
PROJECT = "0605767a9980d5762fbcc00b3537e757"
ROUTER = "a43c55e9-4911-4030-90e1-5c2bf6ae6fe2"
GROUP = "b19dab4c-44b7-4a4c-8a8e-3d4f0a1a2b3c"
STREAM = "c29dab4c-44b7-4a4c-8a8e-3d4f0a1a2b3d"
LEDGER_ID = "5f0c41d2a7b3e896"
ORIGIN = Origin(
    LEDGER_ID,
    [
        RunSite("default", "eu-west-101", Site("https://er.eu.example.com", "https://iam.eu.example.com")),
    ],
)
STARTED_AT = 1_713_513_600.0  # 2024-04-19T08:00:00Z


class FakeOperation:
    """What a report asks of an operation."""

    known_columns: tuple[str, ...] = (
        "er_id",
        "resource_id",
        "log_group_id",
        "log_stream_id",
        "name",
        "description",
        "enabled",
        "project_id",
        "region",
        "account",
    )
    identity_columns: tuple[str, ...] = (
        "account",
        "region",
        "project_id",
        "er_id",
        "resource_id",
        "log_group_id",
        "log_stream_id",
        "name",
    )

    def columns_of(self, spec: str) -> Mapping[str, str]:
        columns: dict[str, str] = json.loads(spec)
        return columns

    def identity_of(self, spec: str) -> Sequence[str]:
        columns = self.columns_of(spec)
        return [columns[name] for name in self.identity_columns]


OPERATION = FakeOperation()


@dataclass
class FakeLedger:
    """The rows of one run, given page by page."""

    rows: Sequence[RowRecord] = ()
    pages: list[tuple[int, int]] = field(default_factory=list)

    async def records(self, run_id: RunId, after: int, limit: int) -> list[RowRecord]:
        self.pages.append((after, limit))
        return [row for row in self.rows if row.row_no > after][:limit]

    async def endings(self, run_id: RunId) -> list[EndingCount]:
        found: dict[tuple[RowState, Outcome | None, str], list[int]] = {}
        for row in self.rows:
            code = row.error_code if row.state is RowState.SETTLED else row.trouble_code
            found.setdefault((row.state, row.outcome, code), []).append(row.row_no)
        return [EndingCount(*ending, len(numbers), min(numbers)) for ending, numbers in found.items()]


def attachment(row_no: int) -> str:
    return f"6f83b848-8331-4271-ac0c-{row_no:012d}"


def spec(row_no: int, **columns: str) -> str:
    known = {
        "account": "default",
        "region": "eu-west-101",
        "project_id": PROJECT,
        "er_id": ROUTER,
        "resource_id": attachment(row_no),
        "log_group_id": GROUP,
        "log_stream_id": STREAM,
        "name": f"flow-log-{row_no}",
        "enabled": "true",
    }
    return json.dumps({**known, **columns})


def record(row_no: int, outcome: Outcome | None = Outcome.CREATED, **changes: Any) -> RowRecord:
    """A row as the ledger has it after it was created, or with `changes` after something else."""
    values: dict[str, Any] = {
        "row_no": row_no,
        "line": row_no + 1,
        "lane": LaneKey("default", "eu-west-101", PROJECT),
        "spec": spec(row_no),
        "carried": "{}",
        "state": RowState.SETTLED,
        "outcome": outcome,
        "token": f"0f5d3a10-0000-5000-8000-{row_no:012d}",
        "generation": 0,
        "attempts": 1,
        "remote_id": f"d7f1c7d4-0000-4000-8000-{row_no:012d}",
        "remote_state": "available",
        "remote_enabled": True,
        "http_status": 202,
        "error_code": "",
        "error_message": "",
        "request_id": f"req-{row_no}",
        "first_sent_at": STARTED_AT + 1.5,
        "settled_at": STARTED_AT + 2.75,
        "duration_ms": 1250,
    }
    return RowRecord(**{**values, **changes})


def unsent(row_no: int, outcome: Outcome | None, **changes: Any) -> RowRecord:
    """A row of which nothing was sent."""
    nothing: dict[str, Any] = {
        "attempts": 0,
        "remote_id": None,
        "remote_state": None,
        "remote_enabled": None,
        "http_status": None,
        "request_id": "",
        "first_sent_at": None,
        "settled_at": None,
        "duration_ms": None,
    }
    return record(row_no, outcome, **{**nothing, **changes})


def run_record(**changes: Any) -> RunRecord:
    values: dict[str, Any] = {
        "run_id": RUN_ID,
        "parent": None,
        "state": RunState.FINISHED,
        "operation": "flow-log",
        "inventory_name": "routers.csv",
        "inventory_sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "fingerprint": "f",
        "columns": (("er_id", "er_id"), ("resource_id", "resource_id"), ("Name", "name")),
        "settings": {"rate": "100/min", "verify": True},
        "started_at": STARTED_AT,
        "ended_at": STARTED_AT + 60.25,
        "stop_code": "",
        "stop_message": "",
        "exit_code": None,
        "counts": {},
        "calls": {},
        "rates": {},
    }
    return RunRecord(**{**values, **changes})


def sample_run() -> tuple[RunRecord, list[RowRecord]]:
    """A run that was interrupted, with a row of every outcome."""
    rows = [
        record(1),
        unsent(2, Outcome.EXISTS, remote_id="d7f1c7d4-0000-4000-8000-000000000002", remote_state="available"),
        unsent(3, Outcome.DUPLICATE, error_code="BATCHER.Duplicate", error_message="same as line 2"),
        unsent(
            4,
            Outcome.INVALID,
            spec=None,
            lane=None,
            token=None,
            carried=json.dumps({"er_id": ROUTER, "resource_id": "vpc-17", "Owner": "net"}),
            error_code="BATCHER.Invalid",
            error_message="`resource_id` `vpc-17`: not a UUID",
        ),
        unsent(5, Outcome.DRIFTED, error_code="BATCHER.Drifted", error_message="name: `old`, wished `flow-log-5`"),
        record(6, Outcome.UPDATED),
        record(
            7,
            Outcome.FAILED,
            remote_id=None,
            remote_state=None,
            remote_enabled=None,
            http_status=404,
            error_code="ER.04044001",
            error_message="attachment does not exist",
        ),
        record(
            8,
            Outcome.IN_DOUBT,
            remote_id=None,
            remote_state=None,
            remote_enabled=None,
            http_status=None,
            error_code="BATCHER.NoAnswer",
            error_message="no answer in 30 s",
            attempts=8,
        ),
        record(9, None, state=RowState.ACCEPTED, remote_state="pending", settled_at=None, duration_ms=None),
        unsent(10, Outcome.SKIPPED, error_code="BATCHER.RouterStopped", error_message="after ER.04041001 on line 8"),
        unsent(11, None, state=RowState.PLANNED),
        unsent(12, None, state=RowState.PLANNED),
    ]
    run = run_record(
        state=RunState.OPEN,
        stop_code="BATCHER.Interrupted",
        stop_message="",
        exit_code=130,
        columns=(("er_id", "er_id"), ("AttachmentID", "resource_id"), ("Owner", "Owner")),
        calls={("create", "202"): 3, ("create", "404"): 1, ("create", "timeout"): 8, ("list", "200"): 2},
        rates={"asked": "100/min", "learnt": "80/min", "achieved_per_s": 1.31},
    )
    return run, rows


def example_run() -> tuple[RunRecord, list[RowRecord]]:
    """The run whose summary `reports/README.md` shows."""
    refused: dict[str, Any] = {
        "remote_id": None,
        "remote_state": None,
        "remote_enabled": None,
        "http_status": 404,
        "error_code": "ER.04044001",
        "error_message": "attachment does not exist",
    }
    rows = [
        record(1),
        unsent(2, Outcome.EXISTS, remote_id="d7f1c7d4-0000-4000-8000-000000000002", remote_state="available"),
        record(3, Outcome.FAILED, **refused),
        record(4, Outcome.FAILED, **refused),
    ]
    words = ["batcher", "run", "routers.csv", "--rate", "100/min"]
    process = {"version": "0.1.0", "host": "ops-1", "user": "night", "pid": 4711, "command": " ".join(words)}
    run = run_record(
        exit_code=3,
        settings={"rate": "100/min", "verify": True, PROCESS: process},
        calls={("create", "202"): 1, ("create", "404"): 2, ("list", "200"): 2},
        rates={"asked": "100/min"},
        changes=((STARTED_AT + 20, "rate", "80/min"),),
    )
    return run, rows
