"""`batcher diff`: what changed from one run to another."""

import json
from pathlib import Path

from tests.e2e.clouds import cloud
from tests.e2e.commands import batcher
from tests.e2e.inventories import some_rows, write_rows
from tests.e2e.undos import run_id

WISHES = some_rows(5)
REFUSED = {"operation": "create", "fault": "status", "status": 400, "code": "ER.0099", "times": 1}


async def test_rows_that_ended_otherwise_are_new_or_are_gone_are_counted_and_shown(tmp_path: Path) -> None:
    inventory = tmp_path / "routers.csv"
    async with cloud() as sky:
        await sky.script({**REFUSED, "match": {"resource_id": WISHES[1]["resource_id"]}})
        await sky.run(tmp_path, "run", str(write_rows(inventory, WISHES[:4])))
        first = run_id(tmp_path)
        later = [{**WISHES[0], "name": "renamed"}, *WISHES[1:3], WISHES[4]]
        await sky.run(tmp_path, "run", str(write_rows(inventory, later)))
        second = run_id(tmp_path)

    ended = await batcher(tmp_path, "diff", first, "latest", "--rows")
    assert ended.code == 0, ended.err
    assert ended.out.splitlines() == [
        f"before: run {first} of routers.csv",
        f"after: run {second} of routers.csv",
        "1 row: created -> drifted (BATCHER.Drifted), and the inventory asks for it otherwise",
        "1 row: created -> exists",
        "1 row: failed (ER.0099) -> created",
        "1 row: gone, was created",
        "1 row: new, created",
        "line 2 renamed: created -> drifted (BATCHER.Drifted)",
        f"line 3 {WISHES[1]['name']}: failed (ER.0099) -> created",
    ]
    typed = json.loads((await batcher(tmp_path, "diff", first, second, "--output", "json")).out)
    assert (typed["before"]["run_id"], typed["after"]["run_id"]) == (first, second)
    assert sum(each["rows"] for each in typed["rows"]) == 5
    assert typed["changed"] == []


async def test_a_run_is_not_compared_with_itself_nor_with_none(tmp_path: Path) -> None:
    async with cloud() as sky:
        await sky.run(tmp_path, "run", str(write_rows(tmp_path / "routers.csv", WISHES)))
    ended = await batcher(tmp_path, "diff", "latest", run_id(tmp_path))
    assert (ended.code, f"both are run `{run_id(tmp_path)}`" in ended.err) == (2, True)
    ended = await batcher(tmp_path, "diff", "latest", "1999")
    assert (ended.code, "holds no run `1999`" in ended.err) == (2, True)
