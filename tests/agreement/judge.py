"""What a plan said, held to what the run then did: by class of rows, and by the rows that were to be changed.

A class is the plan's word for what a run makes of a row. Of what is created the plan cannot know the end; of what it
saw `pending` neither. In a plain run a row without ground is sent and refused, so `failed` and `skipped` are one class
there; so are they where the quota ends, and how many those are the plan has said.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from batcher.forecast import Forecast
from batcher.model import Outcome
from batcher.policy.prospect import Prospect
from batcher.policy.verdict import OwnCode
from batcher.records import RowRecord

NOT_MADE = "not made"
_WORDS: Mapping[Outcome, str] = {
    Outcome.CREATED: Prospect.CREATE,
    Outcome.EXISTS: Prospect.EXISTS,
    Outcome.UPDATED: Prospect.UPDATE,
    Outcome.DRIFTED: Prospect.DRIFTED,
    Outcome.DUPLICATE: Prospect.DUPLICATE,
    Outcome.UNVERIFIED: Prospect.PENDING,
    Outcome.FAILED: Prospect.FAILED,
    Outcome.SKIPPED: Prospect.SKIPPED,
}


def class_of(record: RowRecord, was_pending: frozenset[int]) -> str:
    """The class of a row that was run; `was_pending`: the lines of rows whose thing was `pending` before."""
    outcome = record.outcome
    if outcome is None:
        return f"open in state {record.state}"
    if record.line in was_pending and outcome is Outcome.EXISTS:
        return Prospect.PENDING
    if outcome is Outcome.INVALID:
        return Prospect.CONFLICT if record.error_code == OwnCode.CONFLICT else Prospect.INVALID
    return _WORDS.get(outcome, str(outcome))


def disagreements(
    forecast: Forecast,
    planned: Sequence[Mapping[str, object]],
    rows: Sequence[RowRecord],
    *,
    is_checked: bool,
    was_pending: frozenset[int],
) -> list[str]:
    """What a plan and its run say otherwise of one world. `planned` are the rows that the plan would change."""
    lines = {change["line"] for change in planned if change["change"] == Prospect.CREATE}
    refused = sum(lane.refused_by_quota for lane in forecast.lanes)
    said, done = Counter[str](), Counter[str]()
    for prospect, count in forecast.rows.items():
        said[prospect] += count
    created = []
    for record in rows:
        was_sent = record.line in lines and record.remote_id is not None
        name = Prospect.CREATE if was_sent else class_of(record, was_pending)
        done[name] += 1
        created += [record.line] * (name == Prospect.CREATE)
    if refused:
        said[Prospect.CREATE] -= refused
        said[NOT_MADE] += refused
    if refused or not is_checked:
        for counts in (said, done):
            counts[NOT_MADE] += counts.pop(Prospect.FAILED, 0) + counts.pop(Prospect.SKIPPED, 0)
    wrong = []
    if +said != +done:
        wrong.append(f"the plan says {_text(said)}; the run did {_text(done)}")
    if strange := sorted(set(created) - lines):
        wrong.append(f"created though not planned: lines {strange}")
    return wrong


def _text(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items()) if count)
