"""Whose a flow log is: one pure decision, made from the provider's own dates.

A token tells nothing of its sender: two ledgers with one inventory send the same, and the provider answers the second
with what the first has made. So a run has made a flow log only if the provider dates it into a time in which that very
row was being sent. All times here are the provider's (`cloud.skew`), so no clock of ours can be wrong.

What the dates cannot tell, and what follows:

- Dates are in whole seconds. What somebody else made in the second before a row's own send may count as the run's.
- Where the provider's time is not yet known to a part of a second, the answer may be `UNSURE`: it is asked again once
  more answers have come.
- A flow log without a date, one dated into the future, or a send of which the time is not known: `UNKNOWN`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from batcher.model import ClaimedRow, LedgerRow

MARGIN_S: Final = 0.2
"""How far apart the clocks of the provider's gateway, whose `Date` we know, and of its service may be."""
NARROW_S: Final = 0.25
"""The provider's time is known well enough if it is known to this much: more answers would hardly change anything."""
ROUNDING_S: Final = 0.001
"""Of sums of times since 1970 in floating point."""
FUTURE_S: Final = 5.0
"""A flow log that is dated further ahead of the provider's own time is dated by another clock."""


class Maker(StrEnum):
    """Who made a flow log."""

    RUN = "run"
    OTHER = "other"
    UNSURE = "unsure"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Sending:
    """A time in which a run was sending a row: it began between `earliest` and `latest`, and was over at `until`.

    `until` None: it is not over.
    """

    earliest: float
    latest: float
    until: float | None = None

    def may_cover(self, created_at: float) -> bool:
        """Whether what was made at `created_at`, a date of whole seconds or a finer one, may have been made in it."""
        return _end_of(created_at) > self.earliest - MARGIN_S and self._is_not_later(created_at)

    def surely_covers(self, created_at: float) -> bool:
        """As `may_cover`, as far as it can be known better."""
        is_narrow = self.latest - self.earliest <= NARROW_S
        return self.may_cover(created_at) and (is_narrow or _end_of(created_at) >= self.latest - ROUNDING_S)

    def _is_not_later(self, created_at: float) -> bool:
        return self.until is None or created_at <= self.until + MARGIN_S


def _end_of(created_at: float) -> float:
    """When a moment that was cut to `created_at` is over."""
    return created_at + 1.0 if created_at.is_integer() else created_at + ROUNDING_S


def times_before(row: ClaimedRow | LedgerRow) -> tuple[tuple[float, float], ...]:
    """From when to when each process was sending a row of which a send is on record."""
    if row.sent_there is None or row.told_there is None:
        return row.sent_before
    return (*row.sent_before, (row.sent_there, row.told_there))


def sendings_before(row: ClaimedRow | LedgerRow, answer_s: float) -> list[Sending]:
    """The same, each until its last request was surely answered or lost: `answer_s` later."""
    return [Sending(first, first, last + answer_s) for first, last in times_before(row)]


def maker_of(created_at: float | None, sendings: Sequence[Sending], *, now_there: float | None = None) -> Maker:
    """Who made a flow log that is dated `created_at`; `sendings` are all of which the time is known.

    `now_there` is the provider's time now, at the latest (None: not known).
    """
    if created_at is None or not sendings or (now_there is not None and created_at > now_there + FUTURE_S):
        return Maker.UNKNOWN
    if any(sending.surely_covers(created_at) for sending in sendings):
        return Maker.RUN
    return Maker.UNSURE if any(sending.may_cover(created_at) for sending in sendings) else Maker.OTHER
