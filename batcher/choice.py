"""Which run a command means, and what its other runs say of it."""

from collections.abc import Callable, Sequence

from batcher.errors import RunNotFoundError
from batcher.inventory.open import STDIN_NAME
from batcher.ledger_port import Ledger
from batcher.model import UNDO, Outcome, RowState, RunState
from batcher.policy.selection import selection_of
from batcher.records import RunRecord

LATEST = "latest"
"""How the newest run is named, as its folder of reports is."""
NAMED_MAX = 5
"""Runs that a message names."""


async def choose(ledger: Ledger, run_id: str | None, fits: Callable[[RunRecord], bool], what: str) -> RunRecord:
    """The run that is named so, or the newest that `fits`. Raises `RunNotFoundError`; `what` is what was looked for."""
    if run_id is not None:
        run = named_run(await ledger.runs(), run_id)
        if run.state is RunState.PLANNING:
            raise RunNotFoundError(
                f"run `{run_id}` has no whole plan, and nothing of it was sent", hint="run its inventory again"
            )
        return run
    for run in await ledger.runs():
        if fits(run):
            return run
    raise RunNotFoundError(f"the ledger holds no {what}", hint="`batcher status` lists the runs")


def named_run(runs: Sequence[RunRecord], name: str) -> RunRecord:
    """The run that a person means: by its id, by a beginning of it that no other has, or `latest`.

    `runs` are those of the ledger, newest first. Raises `RunNotFoundError`.
    """
    if name == LATEST and runs:
        return runs[0]
    found = [run for run in runs if run.run_id == name] or [run for run in runs if name and run.run_id.startswith(name)]
    if len(found) == 1:
        return found[0]
    if not found:
        raise RunNotFoundError(f"the ledger holds no run `{name}`", hint="`batcher status` lists the runs")
    shown = ", ".join(f"`{run.run_id}`" for run in found[:NAMED_MAX])
    more = f" and {len(found) - NAMED_MAX:,} more" if len(found) > NAMED_MAX else ""
    raise RunNotFoundError(f"`{name}` is the beginning of {len(found):,} runs: {shown}{more}", hint="write more of it")


def is_unfinished(run: RunRecord) -> bool:
    """Whether rows are left that another invocation takes up."""
    left = (Outcome.SKIPPED, Outcome.UNVERIFIED)
    return run.state is RunState.OPEN or any(run.counts.get((RowState.SETTLED, outcome), 0) for outcome in left)


def has_retryable(run: RunRecord) -> bool:
    """Whether a retry of it has rows."""
    return any(run.counts.get((RowState.SETTLED, outcome), 0) for outcome in (Outcome.FAILED, Outcome.IN_DOUBT))


def undone_by(run: RunRecord, runs: Sequence[RunRecord]) -> RunRecord | None:
    """The run that takes this one back whole, if there is one; one that died over its plan has done nothing."""
    undos = (each for each in runs if each.parent == run.run_id and each.operation == UNDO)
    undos = (each for each in undos if selection_of(each.settings).is_all)
    return next((each for each in undos if each.state is not RunState.PLANNING), None)


def superseded_by(run: RunRecord, runs: Sequence[RunRecord]) -> RunRecord | None:
    """The newest run of a later inventory of the same name, if there is one: what an unfinished run still has to do may
    not be wished any more. `runs` are those of the ledger, newest first.
    """
    if run.parent is not None or run.operation == UNDO or run.inventory_name == STDIN_NAME:
        return None
    newer = (each for each in runs if each.started_at > run.started_at and each.inventory_name == run.inventory_name)
    newer = (each for each in newer if each.parent is None and each.state is not RunState.PLANNING)
    return next((each for each in newer if each.inventory_sha256 != run.inventory_sha256), None)


def predecessor_of(run: RunRecord, runs: Sequence[RunRecord]) -> RunRecord | None:
    """The last run of an inventory of the same name, which a new one is compared with; no retry and no undo.

    `runs` are those of the ledger before it, newest first.
    """
    earlier = (each for each in runs if each.inventory_name == run.inventory_name and each.parent is None)
    before = next(earlier, None)
    return before if before is not None and before.state is not RunState.PLANNING else None


def goes_on(run: RunRecord, runs: Sequence[RunRecord]) -> bool:
    """Whether work is left in a run, and it was not taken back."""
    return run.state is RunState.OPEN and undone_by(run, runs) is None


def check_not_undone(run: RunRecord, runs: Sequence[RunRecord]) -> None:
    """Raise for a run that was taken back: to go on with it would make anew what is gone."""
    undo = undone_by(run, runs)
    if undo is not None:
        raise RunNotFoundError(
            f"run `{run.run_id}` was taken back by `{undo.run_id}`", hint="run its inventory again for a new one"
        )
