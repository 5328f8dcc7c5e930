"""`summary.json`: what became of a run as a whole, tallied while its rows pass by.

Memory does not grow with the rows: at most `GROUPS_TALLIED_MAX` failure groups are told apart, each with
one example. Counts of a group that is shown are exact; rows of groups that are not shown are one number.

In step with `reports/README.md` (keys and example) and `policy.verdict` (exit code).
"""

import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from batcher.model import UNDO, Outcome, RowState, RunState
from batcher.policy.verdict import DONE, OwnCode, exit_code, project_outcome
from batcher.records import RunRecord, RunSite
from batcher.report.rows import ReportRow, utc_text

GROUPS_TALLIED_MAX = 10_000
"""Failure groups that are counted apart; a run with more has one cause that touches each scope."""
GROUPS_SHOWN_MAX = 1_000
"""Failure groups in the file, most rows first; nobody reads more, and programs have `report.jsonl`."""
TEXT_CHARS_MAX = 500
"""Longest scope, code or message in the file; the whole text stands in the report's row."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What the ledger knows of a run besides its record: the ledger's own id, where the run was planned for, and how
    many rows the run has whose rows it takes up.
    """

    ledger_id: str = ""
    sites: Sequence[RunSite] = ()
    parent_rows: int | None = None


NO_ORIGIN = Origin()
PROCESS = "process"
"""Among a run's settings: who works it, or did last."""
RUNNING, KILLED = "running", "killed"
STATES = (*(state.value for state in RunState), RUNNING, KILLED)
"""What `state` can be."""
SERVICES = ("er", "iam", "lts")
"""What has an endpoint in each region, in the words of `summary.json` and of plans."""
Advise = Callable[[int | None, str, str], str]
NEVER_AGAIN = frozenset({"ER.04008500", "ER.04009019", OwnCode.NOT_AN_ATTACHMENT})
"""What the provider does not offer there at all, and rows that have to be written otherwise: no retry helps."""


def no_advice(_status: int | None, _code: str, _message: str) -> str:
    """Nothing, whatever the error."""
    return ""


@dataclass(slots=True)
class FailureGroup:
    """The rows of one (scope, code) that are not done; `open_rows` of them the same run can still do."""

    row: int
    line: int
    message: str
    advice: str = ""
    count: int = 0
    open_rows: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)


class Tally:
    """Counts rows by outcome, and those that are not done by (scope, code).

    `columns` are those of the rows to come; the scope is what stands in `scope_column`. `advise` says what a
    person can do about an HTTP status (None: there was no answer), a code and its message, or nothing.
    """

    def __init__(self, columns: Sequence[str], scope_column: str, advise: Advise = no_advice) -> None:
        self.states: Counter[tuple[RowState, str]] = Counter()
        self.groups: dict[tuple[str, str], FailureGroup] = {}
        self.ungrouped_rows = 0
        self._row = columns.index("row")
        self._line = columns.index("line")
        self._scope = columns.index(scope_column)
        self._code = columns.index("error_code")
        self._message = columns.index("error_message")
        self._status = columns.index("http_status")
        self._advise = advise

    def add(self, row: ReportRow) -> None:
        """Count one row."""
        self.states[row.state, row.outcome] += 1
        if row.outcome in DONE:
            return
        group = self._group(row)
        if group is None:
            self.ungrouped_rows += 1
            return
        group.count += 1
        group.outcomes[row.outcome.value] += 1
        is_barred = row.texts[self._code] == OwnCode.PROJECT_UNKNOWN
        group.open_rows += row.state != RowState.SETTLED or (row.outcome == Outcome.SKIPPED and not is_barred)

    def take(self, run: RunRecord, *, works: bool) -> None:
        """Count all rows of a run by what the ledger has counted; what a process works on is not in doubt."""
        for (state, text), rows in run.counts.items():
            outcome = project_outcome(state, Outcome(text) if text else None)
            if works and state is RowState.CLAIMED:
                outcome = Outcome.SKIPPED
            self.states[state, outcome] += rows

    def done(self) -> int:
        """How many rows need nothing more."""
        return sum(rows for (_, outcome), rows in self.states.items() if outcome in DONE)

    def share_done(self) -> float | None:
        """How much of all that is, of 1; None where there is no row."""
        return round(self.done() / self.states.total(), 4) if self.states.total() else None

    def by_outcome(self) -> dict[str, int]:
        """Rows of every outcome, those without rows too."""
        counts = dict.fromkeys((outcome.value for outcome in Outcome), 0)
        for (_, outcome), rows in self.states.items():
            counts[outcome] += rows
        return counts

    def _group(self, row: ReportRow) -> FailureGroup | None:
        """The group of a row, a new one where there is room for it."""
        scope, code, message = (row.texts[at][:TEXT_CHARS_MAX] for at in (self._scope, self._code, self._message))
        group = self.groups.get((scope, code))
        if group is None and len(self.groups) < GROUPS_TALLIED_MAX:
            number, line = int(row.texts[self._row]), int(row.texts[self._line])
            status = row.texts[self._status]
            advice = self._advise(int(status) if status else None, code, message)
            group = self.groups[scope, code] = FailureGroup(number, line, message, advice)
        return group


def next_command(run: RunRecord, code: str, outcomes: Mapping[str, int], open_rows: int) -> str:
    """The shell command that goes on with rows of one code, once its cause is mended; empty where none helps."""
    inventory = shlex.quote(run.inventory_name)
    if open_rows:
        return command_for(run, f"resume {run.run_id}")
    if run.operation == UNDO:
        force = " --force" if outcomes.get(Outcome.DRIFTED) else ""
        return command_for(run, f"undo {run.parent}{force}")
    if code == OwnCode.REMOTE_FAILED:
        return command_for(run, f"retry {run.run_id} --replace-failed --code {code}")
    if outcomes.get(Outcome.FAILED) or outcomes.get(Outcome.IN_DOUBT):
        only = f" --code {shlex.quote(code)}" if code else ""
        return "" if code in NEVER_AGAIN else command_for(run, f"retry {run.run_id}{only}")
    if outcomes.get(Outcome.INVALID):
        return f"batcher validate {inventory}"
    fix = " --fix-drift" if outcomes.get(Outcome.DRIFTED) else ""
    return command_for(run, f"run {inventory}{fix}")


def command_for(run: RunRecord, words: str, *, calls: bool = True) -> str:
    """A command line on the same ledger and reports as `run`, and to the same place if it `calls`, for a shell."""
    options = ["--emulator"] if run.settings.get("target") == "emulator" else []
    for option, section, key, default in (
        ("--endpoint", "cloud", "endpoint", None),
        ("--ledger", "ledger", "path", None),
        ("--reports", "report", "directory", "reports"),
    ):
        values = run.settings.get(section)
        value = values.get(key) if isinstance(values, Mapping) else None
        if value is not None and value != default and (calls or section != "cloud"):
            options += [option, shlex.quote(str(value))]
    return " ".join(["batcher", words, *options])


def described_changes(changes: Iterable[tuple[float, str, str]]) -> list[dict[str, object]]:
    """What was changed of a run while it worked, for a reader."""
    return [{"at": utc_text(at), "action": action, "value": value or None} for at, action, value in changes]


def described_endpoints(sites: Iterable[RunSite]) -> list[dict[str, object]]:
    """The endpoints of each region, for a reader; null where one is not known."""
    endpoints = dict.fromkeys((region, *site[: len(SERVICES)]) for _, region, site in sites)
    return [
        {"region": region, **{name: url or None for name, url in zip(SERVICES, urls, strict=True)}}
        for region, *urls in endpoints
    ]


def state_of(run: RunRecord, *, works: bool) -> str:
    """What a run is at, one of `STATES`; `works`: a process is at it now. An end that nobody recorded is a kill."""
    if works:
        return RUNNING
    return KILLED if run.state is RunState.OPEN and run.ended_at is None else run.state.value


def summarize(
    run: RunRecord,
    tally: Tally,
    files: Sequence[str],
    origin: Origin = NO_ORIGIN,
    *,
    causes: Sequence[Mapping[str, object]] = (),
    digests: Mapping[str, str] | None = None,
    works: bool = False,
) -> dict[str, object]:
    """The contents of `summary.json`; `files` are the names written together with it, `digests` their SHA-256.

    `causes` are those of its rows that are not done, as `report.causes` describes them.

    `works`: a process is at the run now. A run that works or was killed has no exit code.
    """
    state = state_of(run, works=works)
    ranked = sorted(tally.groups.items(), key=lambda item: (-item[1].count, item[1].row))
    shown, hidden = ranked[:GROUPS_SHOWN_MAX], ranked[GROUPS_SHOWN_MAX:]
    judged = exit_code(tally.states, run.stop_code) if run.exit_code is None else run.exit_code
    settings = dict(run.settings)
    process = settings.pop(PROCESS, None)
    return {
        "run_id": run.run_id,
        "ledger_id": origin.ledger_id or None,
        "parent": run.parent,
        "operation": run.operation,
        "state": state,
        "process": process,
        "inventory": {"name": run.inventory_name, "sha256": run.inventory_sha256},
        "endpoints": described_endpoints(origin.sites),
        "settings": settings,
        "rows": {
            "total": tally.states.total(),
            "of_parent": origin.parent_rows,
            "done": tally.done(),
            "share_done": tally.share_done(),
            "by_outcome": tally.by_outcome(),
        },
        "causes": list(causes),
        "failures": [_failure(run, scope, code, group) for (scope, code), group in shown],
        "failures_not_shown": {"rows": tally.ungrouped_rows + sum(group.count for _, group in hidden)},
        "calls": {"total": sum(run.calls.values()), "by_kind": _calls_by_kind(run.calls)},
        "rates": dict(run.rates),
        "changes": described_changes(run.changes),
        "started_at": utc_text(run.started_at),
        "ended_at": None if run.ended_at is None else utc_text(run.ended_at),
        "duration_s": None if run.ended_at is None else round(run.ended_at - run.started_at, 3),
        "stop_code": run.stop_code or None,
        "stop_message": run.stop_message or None,
        "exit_code": None if state in (RUNNING, KILLED) else judged,
        "files": list(files),
        "sha256": dict(digests or {}),
    }


def _failure(run: RunRecord, scope: str, code: str, group: FailureGroup) -> dict[str, object]:
    return {
        "scope": scope or None,
        "code": code or None,
        "count": group.count,
        "outcomes": dict(sorted(group.outcomes.items())),
        "advice": group.advice or None,
        "example": {"row": group.row, "line": group.line, "message": group.message or None},
        "next": next_command(run, code, group.outcomes, group.open_rows) or None,
    }


def _calls_by_kind(calls: Mapping[tuple[str, str], int]) -> dict[str, dict[str, int]]:
    kinds: dict[str, dict[str, int]] = {}
    for (kind, result), count in sorted(calls.items()):
        kinds.setdefault(kind, {})[result] = count
    return kinds
