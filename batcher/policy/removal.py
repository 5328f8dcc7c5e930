"""What `undo` does with a thing that the listing shows under a row's natural key: one pure decision.

Deleting cannot be taken back, so the evidence is held tighter than where a row is only reported: a thing is the
run's if it has the id that the run knows and was made no earlier than the run's first possible send. A row that was
sent and never answered knows no id; then it must be as it was sent, and made while this run alone can have made it.
What was changed since it was made is kept.
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
class Making:
    """When a run can have made its thing: `since` its first possible send (None: it never sent it), until `until`.

    `others_since` is when another run may first have sent the same after it. The last two count where no answer
    has told the id.
    """

    since: float | None
    until: float | None = None
    others_since: float | None = None


@dataclass(frozen=True, slots=True)
class Removal:
    """What to do; for one that is kept the row's outcome, and why."""

    act: Act
    outcome: Outcome | None = None
    message: str = ""


def judge_removal(
    remote: Remote, differences: Sequence[str], *, known_id: str | None, making: Making, force: bool
) -> Removal:
    """What to do with `remote`.

    `known_id` is the id that the run knows. `force`: whatever was changed since; with an id that is known, also what
    has no date.
    """
    if known_id is not None and remote.remote_id != known_id:
        return Removal(Act.KEEP, Outcome.ABSENT, f"it is gone; another one, `{remote.remote_id}`, stands in its place")
    if message := _against(remote, known_id, making, force=force):
        return Removal(Act.KEEP, Outcome.EXISTS, f"{message}: it is kept")
    if remote.state in LEAVING:
        return Removal(Act.WAIT)
    if differences and known_id is None:
        message = f"no answer has told its id, and it is not as it was sent ({'; '.join(differences)}): it is kept"
        return Removal(Act.KEEP, Outcome.EXISTS, message)
    if differences and not force:
        message = f"it was changed since: {'; '.join(differences)}; `--force` deletes it all the same"
        return Removal(Act.KEEP, Outcome.DRIFTED, message)
    return Removal(Act.DELETE if remote.state in DELETABLE else Act.WAIT)


def _against(remote: Remote, known_id: str | None, making: Making, *, force: bool) -> str:
    """What its date says against it, or empty."""
    if making.since is None:
        return "this run has not sent it"
    if remote.created_at is None:
        return "" if force and known_id is not None else "nobody knows when it was made"
    if remote.created_at < making.since - MARGIN_S:
        return "it was made before this run"
    return "" if known_id is not None else _against_a_guess(remote.created_at, making)


def _against_a_guess(created_at: float, making: Making) -> str:
    """What speaks against a thing of which only the time says that the run has made it, or empty."""
    if making.until is not None and created_at > making.until + MARGIN_S:
        return "it was made after this run"
    if making.others_since is not None and created_at >= making.others_since - MARGIN_S:
        return "another run may have made it"
    return ""
