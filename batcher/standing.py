"""How a run stands: whether it works, was killed or stopped, or is done; what is done of it, and what comes next.

Pure: the runs come from the ledger, who works it from its lock.
"""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from batcher.choice import is_unfinished, superseded_by, undone_by
from batcher.model import UNDO, Outcome, RowState, RunId, RunState
from batcher.policy.selection import selection_of
from batcher.policy.verdict import DONE, PENDING, project_outcome
from batcher.records import RunRecord
from batcher.report.summary import command_for

SHORT_CHARS_MIN = 15
"""Of an id: its day and second, which people can say to each other."""


class Standing(StrEnum):
    """What a run is at."""

    PLANNING = "planning"
    RUNNING = "running"
    KILLED = "killed"
    STOPPED = "stopped"
    DONE = "done"
    FAILURES = "done with failures"
    UNDONE = "undone"
    SUPERSEDED = "superseded"


@dataclass(frozen=True, slots=True)
class Stand:
    """A run for whoever looks in the morning. `took_s` is None where nobody knows when it ended.

    `done`, `failed` and `left` add up to `rows`: what needs nothing more, what somebody has to act on, and what was not
    attempted, or not seen to end. `cause` says what stopped it, or which run took it back.
    """

    run: RunRecord
    short: str
    kind: str
    standing: Standing
    cause: str
    took_s: float | None
    rows: int
    done: int
    failed: int
    left: int
    next: str


def stand_of(run: RunRecord, runs: Sequence[RunRecord], *, works: bool, now: float) -> Stand:
    """How a run stands. `runs` are all of its ledger; `works`: a process is at it now."""
    is_planned = works or run.state is not RunState.PLANNING
    by_outcome = outcomes_of(run, works=works)
    rows = sum(by_outcome.values())
    done = sum(count for outcome, count in by_outcome.items() if outcome in DONE)
    left = sum(
        count
        for (state, outcome), count in run.counts.items()
        if is_planned and (state is not RowState.SETTLED or outcome in PENDING)
    )
    standing, cause = _standing(run, runs, works=works, has_failures=rows > done)
    ended_at = now if standing is Standing.RUNNING else run.ended_at
    short = short_id(run, runs)
    return Stand(
        run=run,
        short=short,
        kind=_kind(run),
        standing=standing,
        cause=cause,
        took_s=None if ended_at is None else max(0.0, ended_at - run.started_at),
        rows=rows,
        done=done,
        failed=rows - done - left,
        left=left,
        next=_next(run, runs, standing, short, by_outcome),
    )


def outcomes_of(run: RunRecord, *, works: bool = False) -> dict[str, int]:
    """Rows of a run by outcome, open ones as what they amount to: while a process works them they are pending.

    A plan that was not completed has none: nothing of it was sent, and nothing of it can be gone on with.
    """
    found: dict[str, int] = {}
    if run.state is RunState.PLANNING and not works:
        return found
    for (state, outcome), count in run.counts.items():
        name = str(project_outcome(state, Outcome(outcome) if outcome else None))
        if works and state is RowState.CLAIMED:
            name = str(Outcome.SKIPPED)
        found[name] = found.get(name, 0) + count
    return {name: count for name, count in found.items() if count}


def short_id(run: RunRecord, runs: Sequence[RunRecord]) -> str:
    """The shortest beginning of a run's id, its second at least, that no other run's id begins with."""
    others = [each.run_id for each in runs if each.run_id != run.run_id]
    length = min(SHORT_CHARS_MIN, len(run.run_id))
    while length < len(run.run_id) and any(other.startswith(run.run_id[:length]) for other in others):
        length += 1
    return run.run_id[:length]


def working_run(runs: Sequence[RunRecord], owners: Mapping[RunId, str], owner: str) -> RunRecord | None:
    """Which of the runs the process that holds the ledger is at; `owners` names the last one at each run's lanes."""
    at_work = [run for run in runs if run.state is not RunState.FINISHED and run.ended_at is None]
    named = [run for run in at_work if owners.get(run.run_id) == owner]
    return next(iter(named or at_work), None)


def _kind(run: RunRecord) -> str:
    if run.operation == UNDO:
        return "undo" if selection_of(run.settings).is_all else "part undo"
    return "retry" if run.parent is not None else "run"


def _standing(run: RunRecord, runs: Sequence[RunRecord], *, works: bool, has_failures: bool) -> tuple[Standing, str]:
    if works:
        return (Standing.PLANNING if run.state is RunState.PLANNING else Standing.RUNNING), ""
    undo, later = undone_by(run, runs), superseded_by(run, runs) if is_unfinished(run) else None
    if (by := undo or later) is not None:
        return (Standing.UNDONE if undo else Standing.SUPERSEDED), f"by {short_id(by, runs)}"
    if run.state is RunState.PLANNING or (run.state is RunState.OPEN and run.ended_at is None):
        return Standing.KILLED, "while planning" if run.state is RunState.PLANNING else ""
    if run.stop_code:
        return Standing.STOPPED, run.stop_code
    if run.state is RunState.OPEN:
        return Standing.STOPPED, "rows are left"
    return (Standing.FAILURES if has_failures else Standing.DONE), ""


def _next(
    run: RunRecord, runs: Sequence[RunRecord], standing: Standing, short: str, by_outcome: Mapping[str, int]
) -> str:
    """The command that helps most, or empty."""
    is_faulty = bool(by_outcome.get(Outcome.FAILED) or by_outcome.get(Outcome.IN_DOUBT))
    words = ""
    if standing is Standing.RUNNING:
        return command_for(run, "ctl status", calls=False)
    if standing in (Standing.UNDONE, Standing.PLANNING, Standing.SUPERSEDED):
        return ""
    if run.state is RunState.PLANNING:
        words = f"run {shlex.quote(run.inventory_name)}"
    elif is_unfinished(run):
        words = f"resume {short}"
    elif is_faulty and run.operation == UNDO:
        words = f"undo {run.parent}"
    elif standing is Standing.FAILURES:
        return command_for(run, f"status {short}", calls=False)
    return command_for(run, words) if words else ""
