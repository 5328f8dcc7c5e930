"""The memory of the command does not grow with the inventory; `tests.bench.loads` shows the same at a million rows."""

import pytest

from tests.bench.loads import inventory, provider

GROWTH_MB_MAX = 10.0
"""The page cache of the ledger fills up, 4 MiB, and lists of 2,000 rows stay. Measured 7; with 32 MiB of cache 15."""


def peak_mb(rows: int) -> float:
    """The most memory of a whole run."""
    with provider("memory", rows, 1) as place:
        name = inventory(place, rows, routers=1, projects=1)
        step = place.work("run", rows, "run", name, "--no-progress")
        place.expect(rows, "created")
        return step.peak_mb


@pytest.mark.timeout(300)
def test_ten_times_as_many_rows_take_no_more_memory(capsys: pytest.CaptureFixture[str]) -> None:
    few, many = peak_mb(2_000), peak_mb(20_000)
    assert many - few < GROWTH_MB_MAX, capsys.readouterr().out
