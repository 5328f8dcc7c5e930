"""What a row is once the listing shows the thing that it asks for: one pure decision.

Whether the thing is ours or was there already is decided by evidence: a row that may have been sent made what
appeared no earlier than its first possible send (less the skew of clocks); whatever is older was there
already. A thing that is on its way out counts as not seen.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from batcher.model import Outcome, Remote

SKEW_S_MAX = 300.0
"""How far our clock and the provider's may differ before a run warns (the gateway refuses above 900 s)."""
AVAILABLE, FAILED = "available", "failed"
LEAVING = frozenset({"deleting", "deleted"})


@dataclass(frozen=True, slots=True)
class Found:
    """The outcome (None: accepted and not final yet), and what to say about it."""

    outcome: Outcome | None
    code: str = ""
    message: str = ""


def better(one: Remote, other: Remote | None) -> Remote:
    """Which of two things with one natural key counts: one that stays, before one that failed or is on its way out."""
    return other if other is not None and _standing(other) >= _standing(one) else one


def _standing(remote: Remote) -> int:
    return 0 if remote.state in LEAVING else 1 if remote.state == FAILED else 2


def judge(
    remote: Remote, differences: Sequence[str], *, amend_due: bool, sent_since: float | None, accepted: bool
) -> Found | None:
    """What the row is; None if the thing is leaving. `sent_since`: when this run may first have sent the row.

    `accepted`: the provider took the row in this run, so the thing is ours without further evidence.
    `amend_due`: it is not yet as wished, and a call of ours is to make it so.
    """
    if remote.state in LEAVING:
        return None
    if remote.state == FAILED:
        advice = "the provider shows it in state `failed`: delete it, then `batcher retry`"
        return Found(Outcome.FAILED, "BATCHER.RemoteFailed", advice)
    ours = accepted or _is_ours(remote, sent_since)
    if ours and (amend_due or remote.state != AVAILABLE):
        return Found(None)
    if differences:
        return Found(Outcome.DRIFTED, "BATCHER.Drifted", "; ".join(differences))
    return Found(Outcome.CREATED if ours else Outcome.EXISTS)


def _is_ours(remote: Remote, sent_since: float | None) -> bool:
    if sent_since is None or remote.created_at is None:
        return False
    return remote.created_at >= sent_since - SKEW_S_MAX
