"""Lists without an end: they are given up in bounded time and memory, and settle nothing."""

from pathlib import Path

import pytest

from batcher.discovery import ROUTERS_MAX
from batcher.operations import ground
from batcher.policy.paging import ITEMS_MAX, REMEMBERED_MAX
from tests.e2e.inventories import some_rows, some_uuid, write_rows
from tests.hostile.endless import ITEMS, ROUTER, Endless, endless
from tests.hostile.measured import Measured, measured

pytestmark = pytest.mark.timeout(120)

KEYS = {"HUAWEICLOUD_SDK_AK": "AK", "HUAWEICLOUD_SDK_SK": "SK"}
USUAL_MIB = 70
"""The peak of a command that reads a short list, or less."""
PLACE = {
    "REGION": "cn-north-4",
    "PROJECT_ID": "0" * 32,
    "LOG_GROUP_ID": some_uuid("g"),
    "LOG_STREAM_ID": some_uuid("s"),
}
DEFAULTS = {f"BATCHER_DEFAULTS_{name}": value for name, value in PLACE.items()}


def run(folder: Path, world: Endless, *words: str) -> Measured:
    words = (*words, "--endpoint", world.url, "--rate", "100000/s")
    return measured(folder, *words, extra={**KEYS, **(DEFAULTS if words[0] == "discover" else {})})


@pytest.mark.parametrize("pad", [0, 4000])
def test_lists_in_no_order_are_given_up_by_a_plan_which_believes_nothing_of_them(tmp_path: Path, pad: int) -> None:
    write_rows(tmp_path / "rows.csv", some_rows(30))
    with endless("flow_logs", "attachments", is_ordered=False, pad=pad) as world:
        ended = run(tmp_path, world, "plan", "rows.csv")
    said = " ".join((ended.out + ended.err).split())
    assert f"the listing did not end after {REMEMBERED_MAX + ITEMS:,} items" in said
    assert f"were not checked: the list did not end after {REMEMBERED_MAX + ITEMS:,}" in said
    assert "30 unknown: what is there could not be read" in said
    assert max(world.pages.values()) == REMEMBERED_MAX // ITEMS + 1
    assert ended.peak_mib < USUAL_MIB + 50


def test_attachments_in_order_are_given_up_at_what_a_check_can_keep(tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.csv", some_rows(30))
    with endless("attachments", is_ordered=True) as world:
        ended = run(tmp_path, world, "plan", "rows.csv")
    assert f"were not checked: the list did not end after {ground.ATTACHMENTS_MAX:,}" in ended.err
    assert world.pages["attachments"] == ground.ATTACHMENTS_MAX // ITEMS
    assert ended.peak_mib < USUAL_MIB + 150


@pytest.mark.parametrize(("is_ordered", "count"), [(False, REMEMBERED_MAX + ITEMS), (True, ROUTERS_MAX)])
def test_routers_are_given_up_by_discover(tmp_path: Path, *, is_ordered: bool, count: int) -> None:
    with endless("instances", is_ordered=is_ordered) as world:
        ended = run(tmp_path, world, "discover", "--er-id", ROUTER)
    assert ended.err.startswith(f"batcher: the list of routers did not end after {count:,}\n")
    assert (ended.out, world.pages["instances"]) == ("", count // ITEMS)
    assert ended.peak_mib < USUAL_MIB + 20


def test_attachments_are_given_up_by_discover_which_writes_nothing_then(tmp_path: Path) -> None:
    with endless("attachments", is_ordered=False) as world:
        ended = run(tmp_path, world, "discover")
    count = REMEMBERED_MAX + ITEMS
    assert f"the attachments of router `{ROUTER}` did not end after {count:,}\n" in ended.err
    assert (ended.out, world.pages["attachments"]) == ("", count // ITEMS)
    assert ended.peak_mib < USUAL_MIB + 30


def test_a_million_flow_logs_are_the_most_that_discover_compares_with(tmp_path: Path) -> None:
    with endless("flow_logs", is_ordered=True) as world:
        ended = run(tmp_path, world, "discover", "--missing")
    assert f"the flow logs of router `{ROUTER}` did not end after {ITEMS_MAX:,}\n" in ended.err
    assert (ended.out, world.pages["flow_logs"]) == ("", ITEMS_MAX // ITEMS)
    assert ended.peak_mib < USUAL_MIB + 180
