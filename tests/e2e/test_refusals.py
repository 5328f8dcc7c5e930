"""What the provider refuses: for a moment, for a row, for a router, for a project; and what each costs."""

from collections import Counter
from pathlib import Path

import pytest

from tests.e2e.clouds import assert_created_once, cloud
from tests.e2e.commands import column, report_rows, side_by_side, summary, write_settings
from tests.e2e.inventories import row, some_rows, write_rows

QUICK = "[run]\nbackoff_base_s = 0.01\nbackoff_cap_s = 0.02\n"
LIMIT = "The throttling threshold has been reached: policy user over ratelimit,limit:90,time:1 second"


def codes(folder: Path) -> Counter[tuple[str, str]]:
    """Rows of the newest report by outcome and code."""
    return Counter((line["outcome"], line["error_code"]) for line in report_rows(folder))


async def test_a_throttled_call_waits_and_goes_again(tmp_path: Path) -> None:
    wishes = some_rows(4)
    inventory = write_rows(tmp_path / "routers.csv", wishes)
    named, bare = ({"operation": "create", "match": {"resource_id": wish["resource_id"]}} for wish in wishes[1:3])
    async with cloud() as sky:
        await sky.script(
            {**named, "fault": "status", "status": 429, "code": "APIGW.0308", "message": LIMIT},
            {**bare, "fault": "status", "status": 429, "headers": {"Retry-After": "1"}},
        )
        async with sky.slowly(tmp_path, "run", str(inventory), rate="200/s") as run:
            ended = await run.end()
        assert ended.code == 0, ended.err
        pauses = [line for line in ended.err.splitlines() if "lane.paused" in line]
        assert {line.split("window=")[1].split()[0] for line in pauses} == {"90/s", "None"}
        assert all(1.0 <= float(line.split("pause_s=")[1].split()[0]) <= 1.1 for line in pauses)
        assert column(tmp_path, "outcome") == ["created"] * 4
        assert column(tmp_path, "attempts") == ["1", "2", "2", "1"]
        assert column(tmp_path, "generation") == ["0"] * 4
        found = summary(tmp_path)
        assert found["duration_s"] >= 1.0
        assert found["rates"]["asked"] == "200/s"
        assert found["rates"]["learnt"] == {f"default/cn-north-4/{wishes[0]['project_id']}": "90/s"}
        assert found["calls"]["by_kind"]["create"] == {"202": 4, "429": 2}
        assert_created_once(await sky.statistics(), 4)


async def test_a_row_refused_for_now_goes_again_under_new_tokens(tmp_path: Path) -> None:
    write_settings(tmp_path, QUICK)
    wishes = some_rows(3)
    inventory = write_rows(tmp_path / "routers.csv", wishes)
    busy = {"operation": "create", "fault": "status", "status": 400, "code": "ER.04008502", "times": 2}
    async with cloud() as sky:
        await sky.script({**busy, "match": {"resource_id": wishes[1]["resource_id"]}})
        ended = await sky.run(tmp_path, "run", str(inventory))
        assert ended.code == 0, ended.err
        assert column(tmp_path, "outcome") == ["created"] * 3
        assert column(tmp_path, "generation") == ["0", "2", "0"]
        assert column(tmp_path, "attempts") == ["1", "3", "1"]
        assert (await sky.statistics())["created_total"] == 3


async def test_a_row_refused_for_good_is_made_by_retry_once_its_cause_is_gone(tmp_path: Path) -> None:
    wishes = some_rows(3)
    inventory = write_rows(tmp_path / "routers.csv", wishes)
    async with cloud(open_world=False) as sky:
        await sky.seed_attachments(wishes[0], wishes[2])
        ended = await sky.run(tmp_path, "run", str(inventory))
        assert ended.code == 3, ended.err
        rows = report_rows(tmp_path)
        assert [line["outcome"] for line in rows] == ["created", "failed", "created"]
        assert (rows[1]["error_code"], rows[1]["http_status"], rows[1]["attempts"]) == ("ER.04044001", "404", "1")
        assert rows[1]["request_id"]
        (failure,) = summary(tmp_path)["failures"]
        assert (failure["scope"], failure["code"], failure["count"]) == (wishes[1]["er_id"], "ER.04044001", 1)
        assert failure["next"].startswith("batcher retry ")

        await sky.seed_attachments(wishes[1])
        ended = await sky.run(tmp_path, *failure["next"].split()[1:])
        assert ended.code == 0, ended.err
        (line,) = report_rows(tmp_path)
        assert (line["outcome"], line["generation"], line["line"]) == ("created", "1", "3")
        assert line["token"] != rows[1]["token"]
        assert line["owner"] == wishes[1]["owner"]

        ended = await sky.run(tmp_path, "run", str(inventory))
        assert ended.code == 0, ended.err
        assert column(tmp_path, "outcome") == ["exists"] * 3


@pytest.mark.parametrize("mode", ["never", "always"])
async def test_a_router_that_is_gone_stops_its_own_rows_only(tmp_path: Path, mode: str) -> None:
    wishes = some_rows(12, routers=2)
    inventory = write_rows(tmp_path / "routers.csv", wishes)
    gone = [wish for wish in wishes if wish["er_id"] == wishes[0]["er_id"]]
    async with cloud(open_world=False) as sky:
        await sky.seed_attachments(*(wish for wish in wishes if wish not in gone))
        ended = await sky.run(tmp_path, "run", str(inventory), "--reconcile", mode)
        assert ended.code == 3, ended.err
        refused = 1 if mode == "never" else 0
        assert codes(tmp_path) == +Counter(
            {
                ("created", ""): 6,
                ("failed", "ER.04041001"): refused,
                ("skipped", "BATCHER.RouterStopped"): 6 - refused,
            }
        )
        assert column(tmp_path, "outcome")[0] == ("failed" if refused else "skipped")
        assert all(
            "ER.04041001" in line["error_message"] for line in report_rows(tmp_path) if line["error_code"][0:1] == "B"
        )
        assert len(report_rows(tmp_path, "failed.csv")) + len(report_rows(tmp_path, "pending.csv")) == 6

        await sky.seed_attachments(*gone)
        ended = await sky.run(tmp_path, "resume")
        assert ended.code == (3 if refused else 0), ended.err
        assert codes(tmp_path) == +Counter({("created", ""): 12 - refused, ("failed", "ER.04041001"): refused})
        if refused:
            ended = await sky.run(tmp_path, "retry")
            assert ended.code == 0, ended.err
            assert column(tmp_path, "generation") == ["1"]
        assert (await sky.statistics())["created_total"] == 12


async def test_a_used_up_quota_stops_its_project_only(tmp_path: Path) -> None:
    full, roomy = some_rows(20), row(1, routers=2, projects=2)
    inventory = write_rows(tmp_path / "routers.csv", [*full, roomy])
    async with cloud(quota=5) as sky:
        ended = await sky.run(tmp_path, "run", str(inventory))
        assert ended.code == 3, ended.err
        found = codes(tmp_path)
        refused = found["failed", "ER.04009008"]
        assert 1 <= refused <= 6
        assert found == +Counter(
            {
                ("created", ""): 6,
                ("failed", "ER.04009008"): refused,
                ("skipped", "BATCHER.QuotaExhausted"): 15 - refused,
            }
        )
        assert column(tmp_path, "outcome")[-1] == "created"
        assert await sky.creates() == 6 + refused

        await sky.control("PATCH", "settings", {"quota": -1})
        resumed = await sky.run(tmp_path, "resume")
        assert resumed.code == 3, resumed.err
        retried = await sky.run(tmp_path, "retry")
        assert retried.code == 0, retried.err
        assert set(column(tmp_path, "generation")) == {"1"}
        assert_all_there(await sky.statistics(), 21)


def assert_all_there(statistics: dict[str, object], rows: int) -> None:
    """Each row once, under however many tokens."""
    assert statistics["created_total"] == rows
    assert statistics["keys_created_twice"] == []


async def test_a_flow_log_that_ends_failed_is_reported_as_that(tmp_path: Path) -> None:
    async def told(folder: Path, pending_s: float) -> None:
        folder.mkdir()
        inventory = write_rows(folder / "routers.csv", some_rows(3))
        async with cloud(failed_share=1.0, pending_s=pending_s) as sky:
            ended = await sky.run(folder, "run", str(inventory))
        assert ended.code == 3, ended.err
        assert codes(folder) == Counter({("failed", "BATCHER.RemoteFailed"): 3})
        assert column(folder, "flow_log_state") == ["failed"] * 3
        assert all(column(folder, "flow_log_id"))

    await side_by_side((told(tmp_path / "at-once", 0.0), told(tmp_path / "later", 0.5)))


async def test_what_is_pending_too_long_is_unverified_until_resume_sees_it(tmp_path: Path) -> None:
    write_settings(tmp_path, "[run]\nverify_time_s = 0.5\n")
    inventory = write_rows(tmp_path / "routers.csv", some_rows(3))
    async with cloud(pending_s=3600) as sky:
        ended = await sky.run(tmp_path, "run", str(inventory))
        assert ended.code == 5, ended.err
        assert codes(tmp_path) == Counter({("unverified", "BATCHER.Unverified"): 3})
        assert column(tmp_path, "flow_log_state") == ["pending"] * 3
        assert "resume" in ended.out
        ids = column(tmp_path, "flow_log_id")

        await sky.control("POST", "clock", {"advance_s": 3600})
        ended = await sky.run(tmp_path, "resume")
        assert ended.code == 0, ended.err
        assert column(tmp_path, "outcome") == ["created"] * 3
        assert column(tmp_path, "flow_log_id") == ids
        assert_created_once(await sky.statistics(), 3)


async def test_without_verification_the_answer_is_enough(tmp_path: Path) -> None:
    inventory = write_rows(tmp_path / "routers.csv", some_rows(3))
    async with cloud(pending_s=3600) as sky:
        ended = await sky.run(tmp_path, "run", str(inventory), "--no-verify")
        assert ended.code == 0, ended.err
        assert column(tmp_path, "outcome") == ["created"] * 3
        assert column(tmp_path, "flow_log_state") == ["pending"] * 3
        assert "list" not in (await sky.statistics())["calls"]


async def test_a_missing_permission_stops_the_run_at_its_first_call(tmp_path: Path) -> None:
    inventory = write_rows(tmp_path / "routers.csv", some_rows(5))
    async with cloud() as sky:
        rule = {"operation": "create", "fault": "status", "status": 403, "code": "APIGW.0302", "times": None}
        await sky.script(rule)
        ended = await sky.run(tmp_path, "run", str(inventory))
        assert ended.code == 7, ended.err
        assert summary(tmp_path)["stop_code"] == "BATCHER.AccessRefused"
        assert await sky.creates() == 1
        assert codes(tmp_path) == Counter({("skipped", "BATCHER.AccessRefused"): 5})
        await sky.script()
        ended = await sky.run(tmp_path, "resume")
        assert ended.code == 0, ended.err
        assert column(tmp_path, "outcome") == ["created"] * 5
        assert_created_once(await sky.statistics(), 5)
