"""Why rows of a run are not done: by code first, for what one can do about a code is done once, wherever the rows are.

What may live here: causes as the ledger counts them, with an example each, and what helps. `summary.json`, the end of a
run, `batcher status RUN` and programs are all told the same.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from batcher.model import Outcome, RowState, RunId
from batcher.policy.verdict import DONE, OWN_CODES, THAT_REGION, OwnCode, open_cause, project_outcome
from batcher.records import EndingCount, RowRecord, RunRecord
from batcher.report.rows import RowProjection, SpecReader
from batcher.report.summary import Advise, next_command

CAUSES_MAX = 100
"""Causes that are told, most rows first; nobody reads more, and a provider may have any number of codes."""


class RunReader(Protocol):
    """The part of `Ledger` that a report is drawn from."""

    async def endings(self, run_id: RunId) -> list[EndingCount]:
        """How many rows of a run ended so, and which is the first."""
        ...

    async def records(self, run_id: RunId, after: int, limit: int) -> list[RowRecord]:
        """The next `limit` rows after `row_no`, in inventory order."""
        ...


@dataclass(frozen=True, slots=True)
class Cause:
    """So many rows are not done because of `code`; the example is the first of them.

    `meaning` says what the code means, `advice` what one can do about it, `next` which command helps then; each may be
    empty.
    """

    code: str
    rows: int
    outcomes: Mapping[str, int]
    meaning: str
    row: int
    line: int
    name: str
    message: str
    advice: str
    next: str


async def causes_of(
    ledger: RunReader, operation: SpecReader, run: RunRecord, advise: Advise, *, works: bool = False
) -> list[Cause]:
    """The causes of a run's rows that are not done, most rows first. Raises what the ledger raises.

    `works`: a process is at the run, so its open rows have none.
    """
    counted = [
        each
        for each in await ledger.endings(run.run_id)
        if _outcome(each) not in DONE and not (works and each.state is not RowState.SETTLED)
    ]
    by_code: dict[str, list[EndingCount]] = {}
    for each in counted:
        code = each.code or (open_cause(each.state, run.stop_code)[0] if each.state is not RowState.SETTLED else "")
        by_code.setdefault(code, []).append(each)
    ranked = sorted(by_code.items(), key=lambda item: (-_rows(item[1]), item[0]))[:CAUSES_MAX]
    projection = RowProjection(operation, run)
    causes = []
    for code, endings in ranked:
        first = min(each.first_row_no for each in endings)
        record = (await ledger.records(run.run_id, first - 1, 1))[0]
        example = dict(zip(projection.columns, projection.project(record).texts, strict=True))
        causes.append(_cause(run, code, endings, example=example, advise=advise))
    return causes


def described_cause(cause: Cause) -> dict[str, object]:
    """A cause for a reader of JSON."""
    return {
        "code": cause.code or None,
        "count": cause.rows,
        "outcomes": dict(sorted(cause.outcomes.items())),
        "meaning": cause.meaning or None,
        "advice": cause.advice or None,
        "example": {
            "row": cause.row,
            "line": cause.line,
            "name": cause.name or None,
            "message": cause.message or None,
        },
        "next": cause.next or None,
    }


def _cause(
    run: RunRecord, code: str, endings: Sequence[EndingCount], *, example: Mapping[str, str], advise: Advise
) -> Cause:
    outcomes: Counter[str] = Counter()
    for each in endings:
        outcomes[str(_outcome(each))] += each.rows
    is_barred = code == OwnCode.PROJECT_UNKNOWN
    again = [each for each in endings if each.state is not RowState.SETTLED or _outcome(each) is Outcome.SKIPPED]
    open_rows = 0 if is_barred else _rows(again)
    status, message = example["http_status"], example["error_message"]
    advice = advise(int(status) if status else None, code, message)
    return Cause(
        code=code,
        rows=_rows(endings),
        outcomes=outcomes,
        meaning=OWN_CODES.get(code, message),
        row=int(example["row"]),
        line=int(example["line"]),
        name=example["name"],
        message=message,
        advice=advice.replace(THAT_REGION, f"region `{example['region']}`{_host(message)}"),
        next=next_command(run, code, outcomes, open_rows),
    )


def _host(message: str) -> str:
    """The host and port that a message names, in brackets; empty where it names none."""
    named = re.search(r"[\w.-]+:\d{1,5}(?=:)", message)
    return f" ({named[0]})" if named else ""


def _outcome(ending: EndingCount) -> Outcome:
    return project_outcome(ending.state, ending.outcome)


def _rows(endings: Sequence[EndingCount]) -> int:
    return sum(each.rows for each in endings)
