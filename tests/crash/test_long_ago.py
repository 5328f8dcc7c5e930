"""A row that was sent and made by a sitting that died, and that was refused for now long after."""

import time
from pathlib import Path

import pytest

from tests.crash.scenes import SETTINGS, Scene, Sort, lines_of
from tests.crash.traces import runs_of
from tests.e2e.clouds import cloud
from tests.e2e.commands import column, write_settings
from tests.e2e.inventories import write_rows
from tests.e2e.undos import ids, rewrite, undo

pytestmark = pytest.mark.timeout(180)
AGO_S = 600.0
BUSY = {"operation": "create", "fault": "status", "status": 400, "code": "ER.04008502"}


async def test_what_was_made_under_a_token_before_is_taken_back_with_the_run(tmp_path: Path) -> None:
    """The first sitting dies ten minutes ago; the next one is refused for now, and keeps the token: it is in doubt."""
    lines = lines_of([Sort.PLAIN])
    wishes = [line.cells for line in lines]
    write_settings(tmp_path, SETTINGS)
    write_rows(tmp_path / "routers.csv", wishes)
    behind_s = AGO_S
    async with cloud(now=lambda: time.time() - behind_s) as sky:
        stage = Scene(tmp_path, lines, sky, tmp_path / "no state")
        await stage.dies("answer.before", *stage.run("--reconcile", "always"))
        rewrite(tmp_path, f"UPDATE row SET intent_at = intent_at - {AGO_S}")
        behind_s = 0.0
        await sky.script({"operation": "list", "fault": "page_empty"}, BUSY)  # else that would find it
        code, err = await stage.ends(*stage.words("resume"))
        assert (code, column(tmp_path, "outcome"), column(tmp_path, "generation")) == (0, ["created"], ["0"]), err

        assert (await undo(sky, tmp_path, runs_of(stage.ledger)[0].id)).code == 0
        assert column(tmp_path, "outcome") == ["deleted"]
        assert await ids(sky, wishes) == [""]
