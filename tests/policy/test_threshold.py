"""When a run has failed too often, worked out by hand."""

import pytest

from batcher.model import Outcome
from batcher.policy.threshold import FailureCount, Tolerance, parse_tolerance, tolerance_of


@pytest.mark.parametrize(
    ("text", "tolerance"),
    [
        ("0", Tolerance(rows=0)),
        (" 50 ", Tolerance(rows=50)),
        ("10%", Tolerance(share=0.1)),
        ("0.5 %", Tolerance(share=0.005)),
        ("100%", Tolerance(share=1.0)),
    ],
)
def test_a_tolerance_is_rows_or_a_share(text: str, tolerance: Tolerance) -> None:
    assert parse_tolerance(text) == tolerance


@pytest.mark.parametrize("text", ["", "-1", "101%", "ten", "1.5", "%", "5 percent"])
def test_what_is_no_tolerance_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"`50` or `10%`|more than all"):
        parse_tolerance(text)


@pytest.mark.parametrize(
    ("text", "rows", "sample"),
    [
        (None, 100, 1000),
        (None, 10**6, 1000),
        ("10%", 10**6, 1000),
        ("10%", 5000, 1000),
        ("10%", 500, 100),
        ("10%", 9, 20),
    ],
)
def test_a_share_counts_from_a_sample_on(text: str | None, rows: int, sample: int) -> None:
    assert tolerance_of(text, rows).sample == sample


@pytest.mark.parametrize(
    ("decided", "failed", "text", "rows", "exceeds"),
    [
        (999, 999, None, 5000, False),  # too few to judge
        (1000, 500, None, 5000, False),  # half, and not more
        (1000, 501, None, 5000, True),
        (1000, 100, "10%", 5000, False),
        (1000, 101, "10%", 5000, True),
        (4501, 451, "10%", 5000, True),
        (20, 20, "100%", 20, False),
        (5, 0, "0", 5000, False),
        (5, 1, "0", 5000, True),
        (5, 3, "3", 5000, False),
        (5, 4, "3", 5000, True),
    ],
)
def test_more_than_is_tolerated(decided: int, failed: int, text: str | None, rows: int, *, exceeds: bool) -> None:
    assert FailureCount(decided, failed).exceeds(tolerance_of(text, rows)) is exceeds


@pytest.mark.parametrize(
    ("outcome", "code", "counted"),
    [
        (Outcome.CREATED, "", (1, 0)),
        (Outcome.EXISTS, "", (1, 0)),
        (Outcome.DRIFTED, "BATCHER.Drifted", (1, 0)),
        (Outcome.UNVERIFIED, "", (1, 0)),
        (Outcome.FAILED, "ER.04009005", (1, 1)),
        (Outcome.IN_DOUBT, "BATCHER.NoAnswer", (1, 1)),
        (Outcome.FAILED, "ER.04009008", (0, 0)),  # quota
        (Outcome.SKIPPED, "BATCHER.RouterStopped", (0, 0)),
        (Outcome.INVALID, "BATCHER.Invalid", (0, 0)),
        (Outcome.DUPLICATE, "BATCHER.Duplicate", (0, 0)),
    ],
)
def test_what_counts(outcome: Outcome, code: str, counted: tuple[int, int]) -> None:
    count = FailureCount()
    count.note(outcome, code)
    assert (count.decided, count.failed) == counted
