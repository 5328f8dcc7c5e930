"""What was sent says so in the report: how often, when first, and what was answered last, over all invocations."""

from pathlib import Path

import pytest

from tests.e2e.clouds import Cloud, cloud
from tests.e2e.commands import batcher, report_rows, write_settings
from tests.e2e.inventories import some_rows, write_rows

WISHES = some_rows(3)
QUICK = "[cloud]\nanswer_timeout_s = 1\n[run]\nbackoff_base_s = 0.05\nbackoff_cap_s = 0.1\nattempts_max = 50\n"
BAD = [
    ({"fault": "lost_after"}, "in_doubt"),
    ({"fault": "status", "status": 503, "code": "ER.05039006"}, "in_doubt"),
]


async def sends(sky: Cloud) -> int:
    """How many creates have come to the service."""
    return int((await sky.statistics())["calls"].get("create", 0))


@pytest.mark.parametrize(("fault", "outcome"), BAD, ids=["answers lost", "service fails"])
async def test_a_soft_stop_puts_on_record_what_was_sent(tmp_path: Path, fault: dict[str, object], outcome: str) -> None:
    write_settings(tmp_path, QUICK)
    inventory = write_rows(tmp_path / "routers.csv", WISHES)
    async with cloud() as sky:
        await sky.script({"operation": "create", "times": None, **fault})
        async with sky.slowly(tmp_path, "run", str(inventory), rate="20/s") as run:
            await run.until("kind=create", times=9)
            run.process.terminate()
            await run.end()
        before, rows = await sends(sky), report_rows(tmp_path)
        assert {row["outcome"] for row in rows} <= {outcome, "skipped"}
        assert sum(int(row["attempts"]) for row in rows) == before
        for row in rows:
            assert bool(row["first_sent_at"]) == (row["attempts"] != "0")
            assert row["attempts"] == "0" or "last answer" in row["error_message"]
        first = [row["first_sent_at"] for row in rows]

        await sky.script()
        ended = await sky.run(tmp_path, "resume")
        assert ended.code == 0, ended.err
        after = report_rows(tmp_path)
        assert sum(int(row["attempts"]) for row in after) == await sends(sky)
        assert [row["first_sent_at"] for row in after if row["first_sent_at"] in first] == [at for at in first if at]


async def test_what_the_gateway_kept_was_not_sent(tmp_path: Path) -> None:
    inventory = write_rows(tmp_path / "routers.csv", WISHES)
    async with cloud() as sky:
        await sky.script({"operation": "create", "fault": "status", "status": 429, "code": "APIGW.0308", "times": None})
        async with sky.slowly(tmp_path, "run", str(inventory), rate="20/s") as run:
            await run.until("kind=create")
            run.process.terminate()
            await run.end()
        assert {(row["outcome"], row["attempts"], row["first_sent_at"]) for row in report_rows(tmp_path)} == {
            ("skipped", "0", "")
        }


async def test_after_a_kill_the_record_never_says_less_than_was_sent(tmp_path: Path) -> None:
    write_settings(tmp_path, QUICK)
    inventory = write_rows(tmp_path / "routers.csv", WISHES)
    async with cloud() as sky:
        await sky.script({"operation": "create", "fault": "lost_after", "times": None})
        async with sky.slowly(tmp_path, "run", str(inventory), rate="20/s") as run:
            await run.until("kind=create", times=9)
            run.process.kill()
            await run.end()
        assert (await batcher(tmp_path, "report")).code == 0
        rows = report_rows(tmp_path)
        assert sum(int(row["attempts"]) for row in rows) >= await sends(sky) >= 9
        assert all(row["first_sent_at"] for row in rows if row["attempts"] != "0")
