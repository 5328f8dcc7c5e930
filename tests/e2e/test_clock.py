"""A machine whose clock is wrong: told, and corrected only where the provider refuses for it."""

from pathlib import Path

from tests.e2e.clouds import assert_created_once, cloud
from tests.e2e.commands import column, write_settings
from tests.e2e.inventories import some_rows, write_rows


async def test_a_clock_that_is_an_hour_off_costs_one_refused_call_and_a_warning(tmp_path: Path) -> None:
    inventory = write_rows(tmp_path / "routers.csv", some_rows(30, routers=3, projects=3))
    async with cloud(clock_skew_s=3600.0) as sky:
        ended = await sky.run(tmp_path, "run", str(inventory))
        assert ended.code == 0, ended.err
        statistics = await sky.statistics()
        assert statistics["unauthorized_by_key"] == {"EMULATORAK": 1}
        assert_created_once(statistics, 30)
        assert set(column(tmp_path, "outcome")) == {"created"}
        assert ended.err.count("warning: the clock of this machine is") == 1
        assert " behind that of " in ended.err


async def test_a_clock_that_is_a_little_off_is_only_told(tmp_path: Path) -> None:
    inventory = write_rows(tmp_path / "routers.csv", some_rows(5))
    async with cloud(clock_skew_s=-400.0) as sky:
        ended = await sky.run(tmp_path, "run", str(inventory))
        assert ended.code == 0, ended.err
        assert (await sky.statistics())["unauthorized_by_key"] == {}
        assert ended.err.count("warning: the clock of this machine is") == 1
        quiet = await sky.run(tmp_path, "run", str(inventory), "-q")
        assert quiet.err == ""


async def test_a_call_that_was_refused_for_its_date_costs_its_row_no_attempt(tmp_path: Path) -> None:
    write_settings(tmp_path, "[run]\nattempts_max = 1\n")
    inventory = write_rows(tmp_path / "routers.csv", some_rows(5))
    async with cloud(clock_skew_s=-3600.0) as sky:
        ended = await sky.run(tmp_path, "run", str(inventory), "--reconcile", "never")
        assert ended.code == 0, ended.err
        assert set(column(tmp_path, "outcome")) == {"created"}
        assert sorted(column(tmp_path, "attempts")) == ["1", "1", "1", "1", "2"]
