"""What a row is once the provider shows what stands at its place: pure decisions.

Whether the thing is the run's own or was made by somebody else is `policy.evidence`'s to say. A thing that is on its
way out counts as not seen, and so does one that this ledger has deleted: a listing may show it for a while yet.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from batcher.model import Outcome, Remote

AVAILABLE, FAILED, DELETED = "available", "failed", "deleted"
REMOTE_FAILED = (
    "the provider keeps it in state `failed`: `batcher retry --replace-failed` deletes it and creates it again"
)
NOT_FINAL = "BATCHER.Unverified"
"""The code of what somebody else made and is not final: it is followed like what the run made."""
STILL_NOT_FINAL = "it was there before, in state `%s`, and is not final yet: the next run looks at it again"
LEAVING = frozenset({"deleting", DELETED})


@dataclass(frozen=True, slots=True)
class Found:
    """The outcome (None: accepted and not final yet), and what to say about it."""

    outcome: Outcome | None
    code: str = ""
    message: str = ""


def standing_of(remotes: Sequence[Remote], *, known_id: str | None = None, deleted_id: str | None = None) -> Remote:
    """Which of the things at one place counts for a row: the one it knows, if that stays, else the one that does.

    `remotes` must not be empty. One that stays comes before one that failed, and that before one that is leaving.
    """
    return max(remotes, key=lambda remote: (_standing(remote, deleted_id), remote.remote_id == known_id))


def others_standing(remotes: Iterable[Remote], chosen: Remote, *, deleted_id: str | None = None) -> list[str]:
    """The ids of what stands at the place beside the thing that counts."""
    return sorted(r.remote_id for r in remotes if r.remote_id != chosen.remote_id and _standing(r, deleted_id))


def _standing(remote: Remote, deleted_id: str | None) -> int:
    if is_leaving(remote, deleted_id):
        return 0
    return 1 if remote.state == FAILED else 2


def is_leaving(remote: Remote, deleted_id: str | None = None) -> bool:
    """Whether a thing is deleted, or on its way there, as the provider or this ledger knows it."""
    return remote.state in LEAVING or remote.remote_id == deleted_id


def judge(remote: Remote, differences: Sequence[str], *, amend_due: bool, ours: bool) -> Found | None:
    """What the row is; None if the thing is leaving. `ours`: a request of this run made it.

    `amend_due`: it is not yet as wished, and a call of ours is to make it so.
    """
    if remote.state in LEAVING:
        return None
    if remote.state == FAILED:
        return Found(Outcome.FAILED, "BATCHER.RemoteFailed", REMOTE_FAILED)
    if ours and (amend_due or remote.state != AVAILABLE):
        return Found(None)
    if differences:
        return Found(Outcome.DRIFTED, "BATCHER.Drifted", "; ".join(differences))
    if remote.state != AVAILABLE:
        return Found(None, NOT_FINAL)
    return Found(Outcome.CREATED if ours else Outcome.EXISTS)
