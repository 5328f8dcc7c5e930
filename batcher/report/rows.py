"""One row of a report: the values of its columns, as text, from what the ledger knows.

What may live here: the order and meaning of the columns, and their values as text. How a text is quoted is the
business of `csv_report` and `jsonl_report`. A million rows pass through `RowProjection.project`, so it reads
`carried` only where something in it is wanted, makes no dictionary, and turns a value into text once for all formats.

In step with `reports/README.md` (columns) and `policy.verdict` (rows that are not settled).
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple, Protocol

from batcher.model import Outcome, RowState
from batcher.policy.remarks import REMARK_COLUMNS
from batcher.policy.verdict import DONE, open_cause, project_outcome
from batcher.records import RowRecord, RunRecord

FIRST_COLUMNS = ("row", "line", "outcome", "error_code", "error_message", "name")
"""What one looks at first stands first."""
FATE_COLUMNS = (
    "flow_log_id",
    "flow_log_state",
    "enabled",
    "http_status",
    "request_id",
    "attempts",
    "generation",
    "token",
    "first_sent_at",
    "settled_at",
    "duration_ms",
    "run_id",
)
BARE_COLUMNS = frozenset({"row", "line", "enabled", "http_status", "attempts", "generation", "duration_ms"})
"""Those of them whose text is a number or a boolean."""
USER_PREFIX = "user."
"""Put before the name of a user's column that is also a report's."""

_BOOLEANS = {None: "", True: "true", False: "false"}


class SpecReader(Protocol):
    """The part of `Operation` that a report needs."""

    @property
    def known_columns(self) -> tuple[str, ...]:
        """All inventory columns that the operation reads."""
        ...

    @property
    def identity_columns(self) -> tuple[str, ...]:
        """Those that the report repeats, in the report's order."""
        ...

    def columns_of(self, spec: str) -> Mapping[str, str]:
        """The known columns of a spec as an inventory would write them. Pure."""
        ...

    def identity_of(self, spec: str) -> Sequence[str]:
        """Those of `identity_columns`, in their order; every row needs them, and few need the rest. Pure."""
        ...


class ReportRow(NamedTuple):
    """A row as every format sees it.

    `texts` stand in the order of `RowProjection.columns`, empty for what is unknown or not applicable; `user` in
    that of `RowProjection.user_names`, None for what is absent. `again` are the cells of the row under
    `RowProjection.again_header`, None for a row that needs no second run.
    """

    state: RowState
    outcome: Outcome
    texts: list[str]
    user: list[str | None]
    again: list[str] | None


def report_columns(identity_columns: tuple[str, ...]) -> tuple[str, ...]:
    """The report's own columns in order; the user's come after them."""
    return (*FIRST_COLUMNS, *(name for name in identity_columns if name != "name"), *FATE_COLUMNS)


_MILLISECONDS = tuple(f".{millisecond:03d}Z" for millisecond in range(1000))


@lru_cache(maxsize=4096)
def _second_text(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def utc_text(moment_s: float) -> str:
    """Seconds since the epoch as UTC ISO 8601 with milliseconds, `2024-04-19T08:00:00.000Z`."""
    second, millisecond = divmod(round(moment_s * 1000), 1000)
    return _second_text(second) + _MILLISECONDS[millisecond]


def _header_names(user_names: tuple[str, ...], columns: tuple[str, ...]) -> tuple[str, ...]:
    """The user's column names for one flat header, none of them equal to another column's."""
    taken = {*columns, *user_names}
    names = []
    for name in user_names:
        free = name
        if name in columns:
            while free in taken:
                free = USER_PREFIX + free
            taken.add(free)
        names.append(free)
    return tuple(names)


class RowProjection:
    """Turns the ledger's records of one run into report rows.

    `columns` are the report's own, `user_names` the user's as the inventory calls them, `header` both as a
    flat table names them, `again_header` the inventory's own columns, and what became of the row.
    """

    def __init__(self, operation: SpecReader, run: RunRecord) -> None:
        known = frozenset(operation.known_columns)
        users = [pair for pair in run.columns if pair[1] not in known]
        self.columns = report_columns(operation.identity_columns)
        self.user_names = tuple(original for original, _ in users)
        self.header = (*self.columns, *_header_names(self.user_names, self.columns))
        self.again_header = (*(original for original, _ in run.columns), *REMARK_COLUMNS)
        self._identity = operation.identity_columns
        self._name_at = self._identity.index("name")
        self._user_keys = tuple(key for _, key in users)
        self._inventory_keys = tuple(key for _, key in run.columns)
        self._identity_of = operation.identity_of
        self._columns_of = operation.columns_of
        self._run_id = str(run.run_id)
        self._stop_code = run.stop_code
        self._stop_message = run.stop_message

    def project(self, record: RowRecord) -> ReportRow:
        """What a report says of one row. Raises `ValueError` where the record is not what a ledger holds."""
        carried: Mapping[str, str] = {}
        if self._user_keys or record.spec is None:
            carried = json.loads(record.carried)
        if record.spec is None:
            identity: Sequence[str] = [carried.get(name, "") for name in self._identity]
        else:
            identity = self._identity_of(record.spec)
        outcome = project_outcome(record.state, record.outcome)
        code, message = record.error_code, record.error_message
        if record.state != RowState.SETTLED:
            code, message = self._cause(record)
        status, first_sent_at, settled_at = record.http_status, record.first_sent_at, record.settled_at
        at = self._name_at
        texts = [
            str(record.row_no),
            str(record.line),
            outcome,
            code,
            message,
            identity[at],
            *identity[:at],
            *identity[at + 1 :],
            record.remote_id or "",
            record.remote_state or "",
            _BOOLEANS[record.remote_enabled],
            "" if status is None else str(status),
            record.request_id,
            str(record.attempts),
            str(record.generation),
            record.token or "",
            "" if first_sent_at is None else utc_text(first_sent_at),
            "" if settled_at is None else utc_text(settled_at),
            "" if record.duration_ms is None else str(record.duration_ms),
            self._run_id,
        ]
        user = [carried.get(key) for key in self._user_keys]
        again = None if outcome in DONE else [*self._again(record, carried), outcome, code, message]
        return ReportRow(record.state, outcome, texts, user, again)

    def _cause(self, record: RowRecord) -> tuple[str, str]:
        """Why an open row is open, and what the provider said last, if it said anything."""
        code, message = open_cause(record.state, self._stop_code)
        if record.trouble_code:
            code, message = record.trouble_code, record.trouble_message
        elif record.state == RowState.PLANNED and self._stop_message:
            message += f" ({self._stop_message})"
        if record.error_code and record.error_code != code:
            message += f" (last answer: `{record.error_code}` {record.error_message}".rstrip() + ")"
        return code, message

    def _again(self, record: RowRecord, carried: Mapping[str, str]) -> list[str]:
        """The row in the inventory's own columns; an absent value is empty."""
        known = {} if record.spec is None else self._columns_of(record.spec)
        return [known.get(key) or carried.get(key) or "" for key in self._inventory_keys]
