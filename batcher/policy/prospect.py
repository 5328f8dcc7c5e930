"""What a run would make of a row, and what that would cost: the pure half of `plan`.

A row's prospect follows from what a survey has made of it: what is there already is settled, what would be created is
still planned. Absence is only believed of a scope that was listed whole; rows of any other have no prospect.

Costs are lower bounds: no call is refused or lost, and each accepted row is final when it is first looked at.
"""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from batcher.model import Outcome, RowState, Window
from batcher.policy.found import AVAILABLE
from batcher.policy.pace import pace_of
from batcher.policy.verdict import OwnCode


class Prospect(StrEnum):
    """What a run would make of a row."""

    CREATE = "create"
    UPDATE = "update"
    EXISTS = "exists"
    PENDING = "pending"
    DRIFTED = "drifted"
    FAILED = "failed"
    SKIPPED = "skipped"
    INVALID = "invalid"
    CONFLICT = "conflict"
    DUPLICATE = "duplicate"
    UNKNOWN = "unknown"


PROSPECTS: dict[Prospect, str] = {
    Prospect.CREATE: "to create",
    Prospect.UPDATE: "drifted, to be put right",
    Prospect.EXISTS: "there as wished",
    Prospect.PENDING: "there, not final yet",
    Prospect.DRIFTED: "there, but otherwise than wished",
    Prospect.FAILED: "cannot be made",
    Prospect.SKIPPED: "cannot be made now",
    Prospect.INVALID: "invalid",
    Prospect.CONFLICT: "in conflict with an earlier row",
    Prospect.DUPLICATE: "duplicate",
    Prospect.UNKNOWN: "unknown: what is there could not be read",
}
"""Every prospect in a reader's words, in the order in which they are shown."""

CHANGES = frozenset({Prospect.CREATE, Prospect.UPDATE})
"""The prospects for which a run makes a call that changes something."""
AS_WISHED = frozenset({Prospect.EXISTS, Prospect.DUPLICATE})
"""The prospects that need nothing from anybody."""
CANNOT_BE = frozenset({Prospect.FAILED, Prospect.SKIPPED, Prospect.INVALID, Prospect.CONFLICT})
"""The prospects of rows that a run would not make, as things stand."""

_SETTLED = {
    Outcome.EXISTS: Prospect.EXISTS,
    Outcome.FAILED: Prospect.FAILED,
    Outcome.SKIPPED: Prospect.SKIPPED,
    Outcome.DUPLICATE: Prospect.DUPLICATE,
}


def prospect_of(
    state: RowState,
    outcome: Outcome | None,
    code: str,
    remote_state: str | None,
    *,
    is_listed: bool,
    is_refused: bool,
    fix_drift: bool,
) -> Prospect:
    """What a run would make of a row that was surveyed.

    `is_listed`: the row's scope was read whole; `is_refused`: the provider refused it as a whole.
    """
    if outcome is Outcome.DRIFTED:
        return Prospect.UPDATE if fix_drift and remote_state == AVAILABLE else Prospect.DRIFTED
    if outcome is Outcome.INVALID:
        return Prospect.CONFLICT if code == OwnCode.CONFLICT else Prospect.INVALID
    if state is RowState.SETTLED and outcome is not None:
        return _SETTLED.get(outcome, Prospect.EXISTS)
    if state is RowState.ACCEPTED:
        return Prospect.PENDING
    if is_refused:
        return Prospect.SKIPPED
    return Prospect.CREATE if is_listed else Prospect.UNKNOWN


def finding_calls(
    *, there: int, things: int, is_checked: bool, is_first: bool, page_items_max: int, look_up_items_max: int
) -> Counter[str]:
    """The calls, at least, that it takes to find `there` rows of a scope that is not listed first and has `things`.

    `is_checked`: preflight checks find rows that cannot be made, and have it listed before any send. `is_first`: one
    row goes ahead, and if one exists the scope is listed; else each row that exists is looked up.
    """
    if is_checked:
        return Counter(list=pages_of(things, page_items_max))
    if not there:
        return Counter()
    if is_first:
        return Counter(create=1, list=pages_of(things, page_items_max))
    return Counter(create=there, list=pages_of(there, look_up_items_max))


def pages_of(things: int, page_items_max: int) -> int:
    """How many calls it takes to list so many things."""
    return max(1, math.ceil(things / page_items_max))


@dataclass(frozen=True, slots=True)
class LaneCost:
    """The calls of one lane, the limit that they are made under, and how many of its rows are worked side by side."""

    calls: int
    window: Window
    rows: int = 1


def duration_s(costs: Iterable[LaneCost], *, lanes_max: int, rows_max: int) -> float:
    """How long the lanes take at their pace, with so many of them, and so many of their rows, side by side."""
    times = [(max(0, cost.calls - 1) / pace_of(cost.window).rate_per_s, cost.rows) for cost in costs]
    return max(
        max((time_s for time_s, _ in times), default=0.0),
        sum(time_s for time_s, _ in times) / lanes_max,
        sum(time_s * rows for time_s, rows in times) / rows_max,
    )


def nights_of(time_s: float, night_s: float) -> int:
    """How many nights of `night_s` so much time fills; at least one."""
    return max(1, math.ceil(time_s / night_s))


def refused_by_quota(limit: int, used: int, wanted: int) -> int:
    """How many of the `wanted` the quota leaves no room for; -1 is no limit."""
    return 0 if limit < 0 else max(0, wanted - max(0, limit - used))
