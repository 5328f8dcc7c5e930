"""`batcher status`: how each run stands, as somebody finds it in the morning."""

import json
import re
import signal
from pathlib import Path

from tests.e2e.clouds import Cloud, cloud
from tests.e2e.commands import batcher
from tests.e2e.inventories import some_rows, write_rows
from tests.e2e.undos import run_id, undo

WISHES = some_rows(6)
HEADER = ["run", "kind", "inventory", "started", "(UTC)", "took", "state", "done", "failed", "left", "exit", "next"]


async def table(folder: Path, *words: str) -> list[list[str]]:
    """The cells of what it shows, without the header."""
    ended = await batcher(folder, "status", *words)
    assert ended.code == 0, ended.err
    header, *lines = ended.out.splitlines()
    assert header.split() == HEADER
    return [re.split(r"\s{2,}", line) for line in lines]


async def one(folder: Path, run: str = "latest") -> dict[str, object]:
    ended = await batcher(folder, "status", run, "--output", "json")
    assert ended.code == 0, ended.err
    found: dict[str, object] = json.loads(ended.out)
    return found


async def a_run(sky: Cloud, folder: Path) -> str:
    ended = await sky.run(folder, "run", str(write_rows(folder / "routers.csv", WISHES)))
    assert ended.code == 0, ended.err
    return run_id(folder)


async def test_a_run_at_work_is_running_a_killed_one_is_killed_and_both_are_told_apart(tmp_path: Path) -> None:
    inventory = write_rows(tmp_path / "routers.csv", WISHES)
    async with cloud() as sky:
        async with sky.slowly(tmp_path, "run", str(inventory), rate="20/min") as run:
            await run.until("kind=create")
            ((_, kind, name, _, took, state, _, failed, _, code, *command),) = await table(tmp_path)
            assert (kind, name, state, failed, code) == ("run", "routers.csv", "running", "0", "-")
            assert took.endswith("s")
            assert command == ["batcher ctl status"]
            run.process.send_signal(signal.SIGKILL)
            await run.end()
        ((short, _, _, _, took, state, _, failed, _, code, command_line),) = await table(tmp_path)
        assert (took, state, failed, code) == ("-", "killed", "0", "-")
        assert command_line == f"batcher resume {short} --endpoint {sky.url}"
        ended = await sky.run(tmp_path, "resume", short)
        assert ended.code == 0, ended.err
        ((_, _, _, _, _, state, done, failed, left, code, command_line),) = await table(tmp_path)
        assert (state, done, failed, left, code, command_line) == ("done", "6 of 6", "0", "0", "0", "-")


async def test_a_run_that_was_stopped_says_by_what_and_one_that_was_undone_by_which(tmp_path: Path) -> None:
    inventory = write_rows(tmp_path / "routers.csv", WISHES)
    async with cloud() as sky:
        async with sky.slowly(tmp_path, "run", str(inventory), rate="20/min") as run:
            await run.until("kind=create")
            run.process.terminate()
            await run.end()
        found = await one(tmp_path)
        assert (found["standing"], found["cause"]) == ("stopped", "BATCHER.Terminated")
        assert (await sky.run(tmp_path, "resume", "latest")).code == 0
        await undo(sky, tmp_path, "latest")
        after, before = await table(tmp_path)
        assert (after[1], after[5]) == ("undo", "done")
        assert (before[1], before[5]) == ("run", f"undone: by {after[0]}")


async def test_a_run_with_failures_offers_what_can_help_until_that_was_done(tmp_path: Path) -> None:
    inventory = write_rows(tmp_path / "routers.csv", WISHES)
    refused = {"operation": "create", "fault": "status", "status": 400, "code": "ER.0099", "times": 1}
    async with cloud() as sky:
        await sky.script(refused)
        assert (await sky.run(tmp_path, "run", str(inventory))).code == 3
        ((short, *_, state, done, failed, left, code, command),) = await table(tmp_path)
        assert (state, done, failed, left, code) == ("done with failures", "5 of 6", "1", "0", "3")
        assert command == f"batcher status {short}"
        detail = await batcher(tmp_path, *command.split()[1:])
        assert f"--code ER.0099 --endpoint {sky.url}` (1 row)" in detail.out.splitlines()[-1]
        assert (await sky.run(tmp_path, "retry")).code == 0
        retry, first = await table(tmp_path)
        assert (retry[1], retry[-1]) == ("retry", "-")
        assert first[-1] == f"batcher status {first[0]}"


async def test_runs_are_named_by_a_beginning_of_their_id_and_more_are_counted(tmp_path: Path) -> None:
    async with cloud() as sky:
        first = await a_run(sky, tmp_path)
        newest = await a_run(sky, tmp_path)
        assert len(await table(tmp_path)) == 2
        ended = await batcher(tmp_path, "status", "--limit", "1")
        assert ended.out.splitlines()[-1] == "1 older run is not shown: `--all` shows every run"
        assert len(await table(tmp_path, "--all")) == 2
        assert (await one(tmp_path, first))["run_id"] == first
        assert (await one(tmp_path, "latest"))["run_id"] == newest
        ended = await batcher(tmp_path, "report", newest[:-1])
        assert (ended.code, newest in ended.out) == (0, True)
        ended = await batcher(tmp_path, "status", "2")
        assert ended.code == 2
        assert f"`2` is the beginning of 2 runs: `{newest}`, `{first}`" in ended.err
        ended = await batcher(tmp_path, "resume", "9")
        assert (ended.code, "the ledger holds no run `9`" in ended.err) == (2, True)


async def test_after_a_kill_only_about_a_second_of_work_is_in_doubt(tmp_path: Path) -> None:
    inventory = write_rows(tmp_path / "routers.csv", some_rows(200))
    async with cloud() as sky:
        async with sky.slowly(tmp_path, "run", str(inventory), rate="10/s") as run:
            await run.until("kind=create", times=12)
            rows = (await one(tmp_path))["rows"]
            assert isinstance(rows, dict)
            assert rows.keys() <= {"created", "unverified", "skipped"}  # what a live process has claimed only waits
            run.process.send_signal(signal.SIGKILL)
            await run.end()
        found = (await one(tmp_path))["rows"]
        assert isinstance(found, dict)
        assert found.get("in_doubt", 0) <= 20


async def test_a_night_that_a_later_inventory_has_superseded_is_gone_on_with_only_by_name(tmp_path: Path) -> None:
    """Rows that were taken out since would be made."""
    rows = some_rows(12)
    inventory = write_rows(tmp_path / "routers.csv", rows)
    async with cloud() as sky:
        async with sky.slowly(tmp_path, "run", str(inventory), rate="20/min") as run:
            await run.until("kind=create")
            run.process.terminate()
            await run.end()
        old = (await one(tmp_path))["run_id"]
        write_rows(inventory, rows[:8])
        assert (await sky.run(tmp_path, "run", str(inventory))).code == 0
        made = await sky.creates()
        refused = await sky.run(tmp_path, "resume")
        assert refused.code == 2
        assert f"run `{old}` is unfinished, and a later `routers.csv` has superseded it" in refused.err
        assert f"`batcher resume {old}` goes on with it all the same" in refused.err
        assert await sky.creates() == made
        _, before = await table(tmp_path)
        assert (before[5].partition(":")[0], before[-1]) == ("superseded", "-")
        assert (await sky.run(tmp_path, "resume", "--superseded")).code == 0
        assert (await sky.statistics())["created_total"] == 12
