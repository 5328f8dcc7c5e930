"""The main job at size, under every kind of lost answer, and killed: what the product promises first."""

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest

from batcher.emulator.server import EmulatorSettings, running
from tests.e2e.commands import EMULATOR_KEYS, RunningEmulator, batcher, emulator, report_rows, start, summary
from tests.e2e.inventories import write_inventory

ROWS = 10_000
FAULTS = {"lost_after": 0.05, "error_after": 0.05, "truncated_after": 0.02}
CALLS_A_ROW_MAX = 1.2


def assert_created_once(statistics: dict[str, Any], rows: int) -> None:
    """The emulated cloud's own view of the whole affair."""
    assert statistics["flow_logs"] == rows
    assert statistics["created_total"] == rows
    assert statistics["keys_created_twice"] == []
    assert statistics["keys_with_two_tokens"] == []
    assert sum(statistics["calls"].values()) <= rows * CALLS_A_ROW_MAX


def assert_report_is_whole(folder: Path, rows: int) -> None:
    """One line a row, in order, each `created`."""
    lines = report_rows(folder)
    assert [line["row"] for line in lines] == [str(number) for number in range(1, rows + 1)]
    assert [line["name"] for line in lines] == [f"fl-{number}" for number in range(rows)]
    assert {line["outcome"] for line in lines} == {"created"}
    assert len({line["flow_log_id"] for line in lines}) == rows
    assert report_rows(folder, "failed.csv") == []


@pytest.mark.timeout(400)
async def test_every_row_is_created_once_whatever_becomes_of_the_answers(tmp_path: Path) -> None:
    inventory = write_inventory(tmp_path / "routers.csv", ROWS)
    shares = [f"--{name.replace('_', '-')}={share}" for name, share in FAULTS.items()]
    async with emulator(tmp_path, "--throttle=200/s", "--pending=0.5", "--seed=1", *shares) as cloud:
        words = ("run", str(inventory), "--endpoint", cloud.url, "--rate", "200/s")
        ended = await batcher(tmp_path, *words, extra=EMULATOR_KEYS)
        assert ended.code == 0, ended.err
        statistics = await cloud.statistics()
        assert_created_once(statistics, ROWS)
        assert statistics["arrivals_over_limit"] == 0
        assert_report_is_whole(tmp_path, ROWS)
        calls = summary(tmp_path)["calls"]
        assert calls["by_kind"]["create"]["202"] == ROWS
        assert calls["total"] == sum(statistics["calls"].values())

        again = await batcher(tmp_path, *words, extra=EMULATOR_KEYS)
        assert again.code == 0, again.err
        after = await cloud.statistics()
        assert after["calls"]["create"] == statistics["calls"]["create"]
        assert {line["outcome"] for line in report_rows(tmp_path)} == {"exists"}


@pytest.mark.timeout(600)
async def test_a_run_killed_ten_times_ends_as_if_it_never_was(tmp_path: Path) -> None:
    inventory = write_inventory(tmp_path / "routers.csv", ROWS)
    extra = {f"BATCHER_EMULATOR_{name.upper()}": str(share) for name, share in FAULTS.items()}
    extra |= {"BATCHER_EMULATOR_THROTTLE": "200/s", "BATCHER_EMULATOR_PENDING_S": "0.5"}
    words = ["run", str(inventory), "--emulator", "--rate", "200/s", "--no-progress"]
    chance = random.Random(7)
    for _ in range(10):
        process = await start(tmp_path, *words, extra=extra)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(process.wait(), timeout=chance.uniform(0.3, 5.0))
        process.kill()
        await process.communicate()
        if await _has_run(tmp_path):
            words = ["resume", "--emulator", "--rate", "200/s", "--no-progress"]
    ended = await batcher(tmp_path, *words, extra=extra)
    assert ended.code == 0, ended.err
    assert_report_is_whole(tmp_path, ROWS)
    state = tmp_path / "reports" / "rehearsal.db.emulator"
    async with running(EmulatorSettings(state_path=state)) as cloud:
        assert_created_once(await RunningEmulator(cloud.url).statistics(), ROWS)


async def _has_run(folder: Path) -> bool:
    """Whether the plan was whole before the kill, so that `resume` has something to go on with."""
    listed = await batcher(folder, "status", "--emulator", "--output", "json")
    return listed.code == 0 and '"state": "open"' in listed.out
