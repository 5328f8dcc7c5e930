"""`latest` and `summary.json` while a run works, after it was killed, and of a retry."""

import getpass
import hashlib
import json
import signal
import socket
from pathlib import Path
from typing import Any

from batcher.version import __version__
from tests.e2e.clouds import cloud
from tests.e2e.commands import EMULATOR_KEYS, batcher, report_rows, summary, working
from tests.e2e.inventories import some_rows, write_rows
from tests.e2e.schemas import faults


async def schema(folder: Path) -> dict[str, Any]:
    return dict(json.loads((await batcher(folder, "schema", "summary")).out))


async def test_a_killed_night_is_not_shown_as_yesterdays(tmp_path: Path) -> None:
    first = write_rows(tmp_path / "first.csv", some_rows(2))
    second = write_rows(tmp_path / "second.csv", some_rows(40))
    rules = await schema(tmp_path)
    async with cloud() as sky:
        words = ("--endpoint", sky.url, "--no-progress")
        assert (await batcher(tmp_path, "run", str(first), *words, extra=EMULATOR_KEYS)).code == 0
        yesterday = summary(tmp_path)
        assert (yesterday["state"], yesterday["exit_code"]) == ("finished", 0)

        async with working(tmp_path, "run", str(second), *words, "-v", "--rate", "5/s", extra=EMULATOR_KEYS) as run:
            await run.until("row.settled", times=2)
            now = summary(tmp_path)
            assert (now["state"], now["exit_code"], now["ended_at"]) == ("running", None, None)
            assert now["run_id"] != yesterday["run_id"]
            assert now["process"]["pid"] == run.process.pid
            assert faults(now, rules) == []
            beside = await batcher(tmp_path, "report", now["run_id"], "--output", "json")
            assert json.loads(beside.out)["state"] == "running"
            run.send(signal.SIGKILL)
            await run.end()

        assert (await batcher(tmp_path, "report")).code == 0
        killed = summary(tmp_path)
        assert (killed["state"], killed["exit_code"], killed["run_id"]) == ("killed", None, now["run_id"])
        assert killed["rows"]["by_outcome"]["exists"] == 2
        assert faults(killed, rules) == []

        assert (await batcher(tmp_path, "report", yesterday["run_id"])).code == 0
        assert summary(tmp_path)["run_id"] == now["run_id"], "an older run's report leaves `latest` where it was"
        assert (await batcher(tmp_path, "resume", *words, "--rate", "200/s", extra=EMULATOR_KEYS)).code == 0
        assert (summary(tmp_path)["state"], summary(tmp_path)["exit_code"]) == ("finished", 0)


async def test_a_report_says_who_made_it_and_what_its_files_hold(tmp_path: Path) -> None:
    inventory = write_rows(tmp_path / "routers.csv", some_rows(3))
    words = ("run", str(inventory), "--emulator", "--rate", "200/s", "--proxy", "none")
    ended = await batcher(tmp_path, *words, extra={"MY_SECRET": str(inventory)})
    assert ended.code == 0, ended.err
    found = summary(tmp_path)
    assert found["process"]["version"] == __version__
    assert found["process"]["host"] == socket.gethostname()
    assert found["process"]["user"] == getpass.getuser()
    assert found["process"]["command"] == "batcher run *** --emulator --rate 200/s --proxy none"
    assert found["rows"]["share_done"] == 1.0
    assert found["rows"]["of_parent"] is None
    folder = tmp_path / "reports" / "latest"
    assert set(found["sha256"]) == set(found["files"]) - {"summary.json"}
    for name, digest in found["sha256"].items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest


async def test_a_retry_keeps_the_row_numbers_of_the_inventory(tmp_path: Path) -> None:
    rows = some_rows(5)
    inventory = write_rows(tmp_path / "routers.csv", rows)
    async with cloud() as sky:
        words = ("--endpoint", sky.url, "--no-progress", "--rate", "200/s")
        places = [{name: row[name] for name in ("project_id", "er_id", "resource_id")} for row in (rows[1], rows[3])]
        await sky.control("POST", "fates", [{**place, "state": "failed"} for place in places])
        ended = await batcher(tmp_path, "run", str(inventory), *words, extra=EMULATOR_KEYS)
        assert ended.code == 3, ended.err
        ended = await batcher(tmp_path, "retry", *words, extra=EMULATOR_KEYS)
        assert "2 of the 5 rows of run" in ended.out
        assert [row["row"] for row in report_rows(tmp_path)] == ["2", "4"]
        assert [row["line"] for row in report_rows(tmp_path)] == ["3", "5"]
        assert (summary(tmp_path)["rows"]["total"], summary(tmp_path)["rows"]["of_parent"]) == (2, 5)
