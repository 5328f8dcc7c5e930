"""What a run shows of its lanes on a terminal."""

import re
from pathlib import Path

from tests.e2e.clouds import cloud
from tests.e2e.inventories import some_project, some_rows, write_rows
from tests.e2e.undos import on_terminal


def screens(shown: str) -> list[str]:
    """What was shown, without colours and moves of the cursor, line by line."""
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown).replace("\r", "\n").splitlines()


async def test_a_run_shows_its_lanes_with_the_rows_that_are_tried_again_and_why(tmp_path: Path) -> None:
    inventory = write_rows(tmp_path / "routers.csv", some_rows(40, routers=2, projects=2))
    async with cloud() as sky:
        one = {"project_id": some_project(0)}
        await sky.script({"operation": "create", "match": one, "fault": "status", "status": 503, "times": 9})
        words = ("run", str(inventory), "--endpoint", sky.url, "--rate", "10/s")
        code, shown = await on_terminal(tmp_path, *words)
    assert code == 0, shown
    lines = screens(shown)
    lane = f"default/cn-north-4/{some_project(0)[:8]}"
    other = f"default/cn-north-4/{some_project(1)[:8]}"
    assert any(re.match(r"lane +done +failed +pace +now", line) for line in lines), shown
    assert any(line.startswith(lane) and "10/s given" in line and "retrying" in line for line in lines), shown
    assert any(line.startswith(other) and "of 20" in line for line in lines)
    assert not any(line.startswith(other) and "retrying" in line for line in lines)
