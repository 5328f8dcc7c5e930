"""When a run has failed too often to go on by itself.

A tolerance is a number of rows, or a share of the rows that were decided so far. A share says little of a few, so it
counts from a sample on: SAMPLE_ROWS rows, and where a share was asked for in a smaller run a fifth of its rows. What
is for the operator to mend elsewhere is no failure here: quota, credentials, what was not attempted, invalid rows.
"""

import re
from dataclasses import dataclass

from batcher.model import Outcome
from batcher.policy.breaker import QUOTA_CODE

SAMPLE_ROWS = 1000
SAMPLE_ROWS_MIN = 20
DEFAULT = "50%"

_UNDECIDED = frozenset({Outcome.SKIPPED, Outcome.INVALID, Outcome.DUPLICATE})
_FAILURES = frozenset({Outcome.FAILED, Outcome.IN_DOUBT})


@dataclass(frozen=True, slots=True)
class Tolerance:
    """At most `rows` failures, or at most `share` (0..1) of at least `sample` decided rows."""

    rows: int | None = None
    share: float | None = None
    sample: int = SAMPLE_ROWS


def parse_tolerance(text: str) -> Tolerance:
    """`50` or `10%` as a tolerance. Raises `ValueError` that says what is expected."""
    match = re.fullmatch(r"\s*(\d{1,9}|\d{1,3}(?:\.\d{1,3})?\s*%)\s*", text, re.ASCII)
    if match is None:
        raise ValueError(f"`{text}` is no tolerance: write a number of rows or a share, such as `50` or `10%`")
    if not match[1].endswith("%"):
        return Tolerance(rows=int(match[1]))
    share = float(match[1].rstrip("% ")) / 100.0
    if share > 1.0:
        raise ValueError(f"`{text}` is more than all rows")
    return Tolerance(share=share)


def tolerance_of(text: str | None, rows: int) -> Tolerance:
    """The tolerance of a run of so many rows; None: nobody has asked for one."""
    if text is None:
        return parse_tolerance(DEFAULT)
    asked = parse_tolerance(text)
    if asked.share is None:
        return asked
    return Tolerance(share=asked.share, sample=min(SAMPLE_ROWS, max(SAMPLE_ROWS_MIN, rows // 5)))


@dataclass(slots=True)
class FailureCount:
    """The rows of a run that were decided, and those of them that failed."""

    decided: int = 0
    failed: int = 0

    def note(self, outcome: Outcome, code: str, rows: int = 1) -> None:
        """Count rows of an outcome."""
        if outcome in _UNDECIDED or (outcome is Outcome.FAILED and code == QUOTA_CODE):
            return
        self.decided += rows
        self.failed += rows * (outcome in _FAILURES)

    def exceeds(self, tolerance: Tolerance) -> bool:
        """Whether more failed than is tolerated."""
        if tolerance.rows is not None:
            return self.failed > tolerance.rows
        share = tolerance.share if tolerance.share is not None else 1.0
        return self.decided >= tolerance.sample and self.failed > share * self.decided


GONE_SAMPLE_ROWS = 20
"""Rows of the last run from which on a share of them says something, where nobody has asked for one."""


def too_many_gone(known: int, gone: int, asked: str | None) -> bool:
    """Whether an inventory lacks more of the rows that its last run knew than may be gone; None: nobody has asked.

    By then it is rather an export that broke off than a change that somebody has made.
    """
    tolerance = parse_tolerance(DEFAULT if asked is None else asked)
    if tolerance.share is None:
        return gone > (tolerance.rows or 0)
    return gone > tolerance.share * known and (asked is not None or known >= GONE_SAMPLE_ROWS)
