"""What `undo` does with a thing that stands at a row's place: one pure decision.

Deleting cannot be taken back, so the evidence is held tight. A thing is the run's if an answer of the provider has told
the run's own request its id (`policy.evidence`), or if the provider dates it into a time in which this run alone was
sending that very row. What was changed since it was made is kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from batcher.model import Outcome, Remote
from batcher.policy.evidence import Maker
from batcher.policy.found import AVAILABLE, FAILED, LEAVING

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
    remote: Remote, differences: Sequence[str], *, maker: Maker, has_id: bool, is_shared: bool, force: bool
) -> Removal:
    """What to do with `remote`, which has the id that the run knows if it knows one (`has_id`).

    `maker` is who made it. `is_shared`: another run may have sent the same in that time. `force`: whatever was changed
    since; with an id that is known, also what nobody knows the maker of.
    """
    if message := _against(maker, has_id=has_id, is_shared=is_shared, force=force):
        return Removal(Act.KEEP, Outcome.EXISTS, f"{message}: it is kept")
    if remote.state in LEAVING:
        return Removal(Act.WAIT)
    if differences and not has_id:
        message = f"no answer has told its id, and it is not as it was sent ({'; '.join(differences)}): it is kept"
        return Removal(Act.KEEP, Outcome.EXISTS, message)
    if differences and not force:
        message = f"it was changed since: {'; '.join(differences)}; `--force` deletes it all the same"
        return Removal(Act.KEEP, Outcome.DRIFTED, message)
    return Removal(Act.DELETE if remote.state in DELETABLE else Act.WAIT)


def _against(maker: Maker, *, has_id: bool, is_shared: bool, force: bool) -> str:
    """What speaks against a thing being the run's, or empty."""
    match maker:
        case Maker.OTHER:
            return "it was made when this run was not sending the row"
        case Maker.UNKNOWN:
            return "" if force and has_id else "nobody knows whether this run has made it"
        case Maker.RUN | Maker.UNSURE:
            return "another run may have made it" if is_shared and not has_id else ""
