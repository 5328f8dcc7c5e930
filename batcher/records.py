"""Runs and their rows as the ledger knows them: what reports are drawn from."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from batcher.model import LaneKey, Outcome, RowState, RunId, RunState


class Site(NamedTuple):
    """Where the calls of a lane go, and whose they are. Empty: not known, and then never held against another.

    `er`, `iam` and `lts` are base URLs as `cloud.endpoints` writes them, so that equal ones are equal texts. `tenant`
    is the lane's project where that is the credentials' own: named by them, or looked up with them.
    """

    er: str = ""
    iam: str = ""
    lts: str = ""
    tenant: str = ""


class RunSite(NamedTuple):
    """A site of a run, which all its lanes of an account and a region share that have it."""

    account: str
    region: str
    site: Site


class RowRecord(NamedTuple):
    """A row as the ledger knows it: what the report is drawn from. `outcome` None: not settled.

    A tuple: a report makes one for every row, and this costs a fifth.
    """

    row_no: int
    line: int
    lane: LaneKey | None
    spec: str | None
    carried: str
    state: RowState
    outcome: Outcome | None
    token: str | None
    generation: int
    attempts: int
    remote_id: str | None
    remote_state: str | None
    remote_enabled: bool | None
    http_status: int | None
    error_code: str
    error_message: str
    request_id: str
    first_sent_at: float | None
    settled_at: float | None
    duration_ms: int | None
    trouble_code: str = ""
    trouble_message: str = ""
    """Of a planned row: why its lane left it, where that had trouble of its own."""


class EndingCount(NamedTuple):
    """So many rows of a run ended so. `code`: of settled rows their own, of planned ones their lane's trouble."""

    state: RowState
    outcome: Outcome | None
    code: str
    rows: int
    first_row_no: int


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run as the ledger knows it. `settings` and `columns` are as they were when it was planned.

    `columns` are the inventory's own headers in order, as pairs (original, canonical or original).
    `counts` has an entry for each (state, outcome or "") that occurs; `calls` for each (kind, result).
    `stop_code` is `BATCHER.<Name>` of what ended the last sitting early, or empty; `stop_message` what was said.
    `changes` are what somebody has changed while it worked: (time, action, value), in order.
    """

    run_id: RunId
    parent: RunId | None
    state: RunState
    operation: str
    inventory_name: str
    inventory_sha256: str
    fingerprint: str
    columns: tuple[tuple[str, str], ...]
    settings: Mapping[str, object]
    started_at: float
    ended_at: float | None
    stop_code: str
    stop_message: str
    exit_code: int | None
    counts: Mapping[tuple[RowState, str], int]
    calls: Mapping[tuple[str, str], int]
    rates: Mapping[str, object]
    changes: tuple[tuple[float, str, str], ...] = ()


class Ending(NamedTuple):
    """How a row ended, open ones as what they amount to; `code` is empty where there is nothing to explain."""

    outcome: Outcome
    code: str


class Difference(NamedTuple):
    """So many rows, by natural key, ended in one run so and in another so (None: it has no such row).

    `asks_otherwise`: the two inventories ask for the same flow log, but not alike.
    """

    before: Ending | None
    after: Ending | None
    asks_otherwise: bool
    rows: int


class ChangedRow(NamedTuple):
    """A row that two runs have and that did not end alike in both, or is asked for otherwise; `spec` is the later."""

    line_before: int
    line_after: int
    before: Ending | None
    after: Ending | None
    spec: str


@dataclass(frozen=True, slots=True)
class Twin:
    """A planned row whose natural key an earlier row of the inventory has already (`first_*`)."""

    row_no: int
    lane_no: int
    spec: str
    first_line: int
    first_spec: str


@dataclass(frozen=True, slots=True)
class ScopeLoad:
    """What is open in one scope of a lane."""

    scope: str
    planned: int
    claimed: int
    accepted: int
