"""Limits that nobody has told, a service that fails for a while, a quota that ends, failures and time without end."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from batcher.emulator.throttle import Throttle
from tests.e2e.clouds import Cloud, assert_created_once, cloud
from tests.e2e.commands import EMULATOR_KEYS, Ended, batcher, column, report_rows, summary
from tests.e2e.inventories import row, some_project, some_rows, some_uuid, write_rows


async def run(sky: Cloud, folder: Path, *words: str, rate: str) -> Ended:
    """Run a command against this cloud at a rate."""
    return await batcher(folder, *sky.words(*words, rate=rate), extra=EMULATOR_KEYS)


async def refusals(sky: Cloud) -> int:
    """How many calls came over the limit."""
    return int((await sky.statistics())["arrivals_over_limit"])


@pytest.mark.timeout(240)
@pytest.mark.parametrize(("rate", "window", "rows"), [("50/s", Throttle(20, 6.0), 30), ("auto", Throttle(8, 6.0), 30)])
async def test_a_limit_that_nobody_told_is_learnt_by_one_refusal_and_kept_the_next_night(
    tmp_path: Path, rate: str, window: Throttle, rows: int
) -> None:
    first = write_rows(tmp_path / "first.csv", some_rows(rows))
    later = [row(number, routers=1, projects=1) for number in range(rows, rows + window.calls // 2)]
    second = write_rows(tmp_path / "second.csv", later)
    async with cloud(throttle=window) as sky:
        ended = await run(sky, tmp_path, "run", str(first), rate=rate)
        assert ended.code == 0, ended.err
        learnt_by = await refusals(sky)
        assert 1 <= learnt_by <= 4  # those that were in flight together
        assert set(summary(tmp_path)["rates"]["learnt"].values()) == {f"{window.calls}/6s"}

        ended = await run(sky, tmp_path, "run", str(second), rate=rate)
        assert ended.code == 0, ended.err
        assert await refusals(sky) == learnt_by
        assert set(column(tmp_path, "attempts")) == {"1"}
        assert_created_once(await sky.statistics(), rows + len(later))


@pytest.mark.timeout(60)
async def test_a_service_that_fails_for_a_while_is_left_in_peace_and_no_row_pays_for_it(tmp_path: Path) -> None:
    inventory = write_rows(tmp_path / "routers.csv", some_rows(300))
    async with cloud() as sky:
        async with sky.slowly(tmp_path, "run", str(inventory), rate="100/s") as work:
            await sky.until_creates(100)
            down = {"fault": "status", "status": 503, "times": None}
            await sky.script(*({"operation": operation, **down} for operation in ("create", "list", "quotas")))
            before = sum((await sky.statistics())["calls"].values())
            await work.until("lane.paused", times=3)  # it is noticed, and two probes fail
            during = sum((await sky.statistics())["calls"].values()) - before
            await sky.script()
            ended = await work.end()
        assert ended.code == 0, ended.err
        assert during <= 5 + 8 + 2  # until it was noticed, in flight then, and the probes
        assert column(tmp_path, "outcome") == ["created"] * 300
        assert_created_once(await sky.statistics(), 300)


@pytest.mark.timeout(60)
async def test_nine_projects_finish_while_the_tenth_is_dead(tmp_path: Path) -> None:
    (tmp_path / "batcher.toml").write_text("[cloud]\nanswer_timeout_s = 2\n", "utf-8")
    rows = [row(number, routers=10, projects=10) for number in range(400)]
    inventory = write_rows(tmp_path / "routers.csv", rows)
    async with cloud() as sky:
        dead = {"match": {"project_id": some_project(9)}, "fault": "hang", "times": None}
        await sky.script({"operation": "create", **dead}, {"operation": "list", **dead})
        ended = await run(sky, tmp_path, "run", str(inventory), "--for", "8s", rate="20/s")
        assert ended.code == 5, ended.err
        assert "BATCHER.Deadline" in ended.out
        outcomes = {(line["project_id"] == some_project(9), line["outcome"]) for line in report_rows(tmp_path)}
        assert (False, "created") in outcomes
        assert {outcome for is_dead, outcome in outcomes if not is_dead} == {"created"}
        await sky.script()
        ended = await run(sky, tmp_path, "resume", rate="200/s")
        assert ended.code == 0, ended.err
        assert_created_once(await sky.statistics(), 400)


@pytest.mark.timeout(60)
async def test_a_quota_that_ends_costs_a_handful_of_refusals_and_the_other_project_nothing(tmp_path: Path) -> None:
    rows = [row(number, routers=30, projects=2) for number in range(500)]
    inventory = write_rows(tmp_path / "routers.csv", rows)
    full = some_project(0)
    async with cloud(project_quotas={full: 20}) as sky:
        ended = await run(sky, tmp_path, "run", str(inventory), rate="200/s")
        assert ended.code == 3, ended.err
        found = Counter(
            (line["project_id"] == full, line["outcome"], line["error_code"]) for line in report_rows(tmp_path)
        )
        refused = found[True, "failed", "ER.04009008"]
        assert 3 <= refused <= 8
        assert found == Counter(
            {
                (False, "created", ""): 250,
                (True, "created", ""): 20,
                (True, "failed", "ER.04009008"): refused,
                (True, "skipped", "BATCHER.QuotaExhausted"): 230 - refused,
            }
        )
        groups = summary(tmp_path)["failures"]
        assert {group["code"] for group in groups} == {"ER.04009008", "BATCHER.QuotaExhausted"}
        assert sum(group["count"] for group in groups) == 230


async def test_a_quota_of_one_attachment_stops_that_attachment_only(tmp_path: Path) -> None:
    rows = some_rows(12)
    rows += [{**rows[0], "log_stream_id": some_uuid("another stream"), "name": "another"}]
    inventory = write_rows(tmp_path / "routers.csv", rows)
    async with cloud() as sky:
        no = {"operation": "create", "fault": "status", "status": 400, "code": "ER.04009008", "message": "no quota"}
        await sky.script({**no, "match": {"resource_id": rows[0]["resource_id"]}, "times": None})
        ended = await run(sky, tmp_path, "run", str(inventory), "--concurrency", "1", rate="200/s")
        assert ended.code == 3, ended.err
        assert column(tmp_path, "outcome") == ["failed", *["created"] * 11, "skipped"]
        assert column(tmp_path, "error_code")[-1] == "BATCHER.QuotaExhausted"
        assert await sky.creates() == 12


@pytest.mark.timeout(120)
async def test_too_many_failures_stop_the_run_and_a_wider_tolerance_finishes_it(tmp_path: Path) -> None:
    rows = some_rows(5000)
    inventory = write_rows(tmp_path / "routers.csv", rows)
    async with cloud(open_world=False) as sky:
        await sky.seed_attachments(*(wish for number, wish in enumerate(rows) if number % 5))
        ended = await run(sky, tmp_path, "run", str(inventory), "--max-failures", "10%", rate="2000/s")
        assert ended.code == 4, ended.err
        assert "BATCHER.TooManyFailures" in ended.out
        found = Counter(column(tmp_path, "outcome"))
        assert 200 <= found["failed"] <= 200 + 64
        assert found["failed"] + found["created"] <= 1000 + 64
        again = await run(sky, tmp_path, "resume", rate="2000/s")
        assert again.code == 4, again.err
        assert Counter(column(tmp_path, "outcome")) == found
        ended = await run(sky, tmp_path, "resume", "--max-failures", "100%", rate="2000/s")
        assert ended.code == 3, ended.err
        assert Counter(column(tmp_path, "outcome")) == {"created": 4000, "failed": 1000}


async def test_a_run_stops_when_its_time_is_over_and_says_how_much_is_left(tmp_path: Path) -> None:
    inventory = write_rows(tmp_path / "routers.csv", some_rows(100))
    async with cloud() as sky:
        ended = await run(sky, tmp_path, "run", str(inventory), "--for", "3s", rate="10/s")
        assert ended.code == 5, ended.err
        (said,) = [line for line in ended.out.splitlines() if line.startswith("stopped: ")]
        assert "rows are left" in said
        assert "more such sitting" in said
        found = Counter(column(tmp_path, "outcome"))
        assert set(found) == {"created", "skipped"}
        left = {line["error_code"] for line in report_rows(tmp_path) if line["outcome"] == "skipped"}
        assert left == {"BATCHER.Deadline"}
        ended = await run(sky, tmp_path, "run", str(inventory), "--for", "1h", rate="200/s")
        assert ended.code == 0, ended.err
        assert_created_once(await sky.statistics(), 100)


async def test_a_run_can_wait_for_another_that_holds_the_ledger(tmp_path: Path) -> None:
    one = write_rows(tmp_path / "one.csv", some_rows(20))
    two = write_rows(tmp_path / "two.csv", [row(number, routers=1, projects=1) for number in range(20, 30)])
    async with cloud() as sky:
        async with sky.slowly(tmp_path, "run", str(one), rate="3/s") as first:
            await first.until("kind=create")
            held = await run(sky, tmp_path, "run", str(two), rate="200/s")
            assert held.code == 6, held.err
            waited, ended = await asyncio.gather(
                run(sky, tmp_path, "run", str(two), "--wait-lock", rate="200/s"), first.end()
            )
        assert (waited.code, ended.code) == (0, 0), waited.err
        assert_created_once(await sky.statistics(), 30)


async def test_who_waits_for_the_ledger_does_not_wait_beyond_its_time(tmp_path: Path) -> None:
    inventory = write_rows(tmp_path / "one.csv", some_rows(40))
    async with cloud() as sky, sky.slowly(tmp_path, "run", str(inventory), rate="5/s") as first:
        await first.until("kind=create")
        words = ("run", str(inventory), "--wait-lock", "--for", "2s")
        assert (await run(sky, tmp_path, *words, rate="200/s")).code == 6


async def test_rows_that_the_service_cannot_bear_do_not_hold_up_the_others(tmp_path: Path) -> None:
    """Twenty in a row are answered with 500 whatever is tried; the service itself is well."""
    (tmp_path / "batcher.toml").write_text("[run]\nattempts_max = 3\nbackoff_cap_s = 0.1\n", "utf-8")
    rows = some_rows(60)
    inventory = write_rows(tmp_path / "routers.csv", rows)
    async with cloud() as sky:
        bad = {"operation": "create", "fault": "status", "status": 500, "times": None}
        await sky.script(*({**bad, "match": {"resource_id": wish["resource_id"]}} for wish in rows[20:40]))
        ended = await run(sky, tmp_path, "run", str(inventory), rate="200/s")
        assert ended.code == 3, ended.err
        assert column(tmp_path, "outcome") == ["created"] * 20 + ["in_doubt"] * 20 + ["created"] * 20
