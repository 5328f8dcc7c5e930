"""What `undo` does with a thing that the listing shows under a row's natural key: one pure decision.

Deleting cannot be taken back, so the evidence is held tighter than where a row is only reported: a thing is the
run's if it has the id that the run knows and was made no earlier than the run's first possible send. A row that was
sent and never answered knows no id; then the time alone has to speak. What was changed since it was made is kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from batcher.model import Outcome, Remote
from batcher.policy.found import AVAILABLE, FAILED, LEAVING

MARGIN_S = 5.0
"""How much earlier than the first possible send a thing may seem to be made: dates are in whole seconds, and the
difference of the clocks is measured by such dates."""
DELETABLE = frozenset({AVAILABLE, FAILED})
"""The states in which the provider deletes a flow log ("Deleting a Flow Log", 2025-11-11), but `deleting`."""


class Act(StrEnum):
    """What is done with a thing now."""

    DELETE = "delete"
    WAIT = "wait"
    KEEP = "keep"


@dataclass(frozen=True, slots=True)
class Removal:
    """What to do; for one that is kept the row's outcome, and why."""

    act: Act
    outcome: Outcome | None = None
    message: str = ""


def judge_removal(
    remote: Remote, differences: Sequence[str], *, known_id: str | None, made_since: float | None, force: bool
) -> Removal:
    """What to do with `remote`.

    `known_id` is the id that the run knows, `made_since` the moment before which it can have made nothing.
    `force`: an id that is known suffices, whatever was changed since.
    """
    if known_id is not None and remote.remote_id != known_id:
        return Removal(Act.KEEP, Outcome.ABSENT, f"it is gone; another one, `{remote.remote_id}`, stands in its place")
    if not (force and known_id is not None) and not _is_in_time(remote, made_since):
        return Removal(Act.KEEP, Outcome.EXISTS, "it was made before this run, or nobody knows when: it is kept")
    if remote.state in LEAVING:
        return Removal(Act.WAIT)
    if differences and not force:
        message = f"it was changed since: {'; '.join(differences)}; `--force` deletes it all the same"
        return Removal(Act.KEEP, Outcome.DRIFTED, message)
    return Removal(Act.DELETE if remote.state in DELETABLE else Act.WAIT)


def _is_in_time(remote: Remote, made_since: float | None) -> bool:
    if remote.created_at is None or made_since is None:
        return False
    return remote.created_at >= made_since - MARGIN_S
