"""What only reads, behind a bad network: `discover`, `plan` and a run's preflight checks.

What they could read to its end they tell whole; what they could not, they do not make up.
"""

from pathlib import Path

import pytest

from tests.e2e.clouds import assert_created_once, cloud
from tests.e2e.commands import column, write_settings
from tests.e2e.fronts import always, front, once_each
from tests.e2e.inventories import row, write_rows
from tests.e2e.network_faults import DONE
from tests.e2e.test_discover import HERE, attachment, found, rows_of, seed
from tests.e2e.test_network_faults import FAULTS, SETTINGS, assert_report_is_true, through


@pytest.mark.timeout(60)
async def test_a_fault_in_one_call_to_each_router_hides_no_attachment(tmp_path: Path) -> None:
    """Each router has two attachments, and a fault of its own in the first call for them."""
    write_settings(tmp_path, SETTINGS)
    faults = [*FAULTS.values()][::4]
    items = [attachment(number, routers=len(faults)) for number in range(2 * len(faults))]
    plan = {item["er_id"]: fault for item, fault in zip(items, faults, strict=False)}
    async with cloud(open_world=False) as sky, front(sky.url) as before:
        await seed(sky, *items)
        before.plan = once_each("attachments", plan)
        ended = await found(sky, tmp_path, *HERE, "--endpoint", before.url)
        assert ended.code == 0, ended.err
        assert sorted(line["resource_id"] for line in rows_of(ended)) == sorted(item["id"] for item in items)

        write_settings(tmp_path, f"{SETTINGS}retry_time_s = 1\n")
        before.plan = always("attachments", DONE["half a body, closed"])
        ended = await found(sky, tmp_path, *HERE, "--endpoint", before.url)
        assert (ended.code, ended.out) == (7, "")


@pytest.mark.timeout(60)
async def test_a_preflight_check_fails_no_row_for_a_fault_of_the_network(tmp_path: Path) -> None:
    write_settings(tmp_path, SETTINGS)
    wishes = [row(number, routers=len(FAULTS), projects=6) for number in range(len(FAULTS))]
    inventory = write_rows(tmp_path / "routers.csv", wishes)
    plan = {wish["er_id"]: fault for wish, fault in zip(wishes, FAULTS.values(), strict=True)}
    async with cloud(open_world=False) as sky, front(sky.url) as before:
        await sky.seed_ground(*wishes)
        before.plan = once_each("attachments", plan)
        ended = await through(before, tmp_path, "run", str(inventory), "--preflight")
        assert ended.code == 0, ended.err
        assert column(tmp_path, "outcome") == ["created"] * len(wishes)
        await assert_report_is_true(tmp_path, sky, wishes)
        assert_created_once(await sky.statistics(), len(wishes))


async def test_a_quota_that_cannot_be_read_is_said_to_be_that(tmp_path: Path) -> None:
    """It is no reason for a plan or a run to fail."""
    write_settings(tmp_path, SETTINGS)
    inventory = write_rows(tmp_path / "routers.csv", wishes := [row(number, routers=1) for number in range(3)])
    async with cloud() as sky, front(sky.url, always("quotas", DONE["two lengths"])) as before:
        await sky.seed_ground(*wishes)
        ended = await through(before, tmp_path, "plan", str(inventory))
        assert ended.code == 0, ended.err
        assert "3 to create" in ended.out
        assert "not known: BATCHER.BadAnswer" in ended.out
        ended = await through(before, tmp_path, "run", str(inventory))
        assert ended.code == 0, ended.err
        await assert_report_is_true(tmp_path, sky, wishes)
