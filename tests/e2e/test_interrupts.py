"""A run that is stopped, softly, at once or by force, and what goes on beside it and after it."""

import asyncio
import json
import signal
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from tests.e2e.clouds import assert_created_once, cloud
from tests.e2e.commands import batcher, column, report_rows, side_by_side, start, summary, write_settings
from tests.e2e.inventories import some_rows, write_inventory, write_rows

ROWS = 10
SHORT = "[cloud]\nconnect_timeout_s = 1\nanswer_timeout_s = 1\n"


async def test_the_first_signal_settles_what_is_in_flight(tmp_path: Path) -> None:
    await side_by_side(
        (
            stopped_and_resumed(tmp_path / "int", signal.SIGINT, 130, "BATCHER.Interrupted"),
            stopped_and_resumed(tmp_path / "term", signal.SIGTERM, 143, "BATCHER.Terminated"),
        )
    )


async def stopped_and_resumed(folder: Path, number: signal.Signals, code: int, name: str) -> None:
    """Stop a run in its middle, and go on with it."""
    folder.mkdir()
    inventory = write_rows(folder / "routers.csv", some_rows(ROWS))
    async with cloud(latency_s=0.4) as sky:
        async with sky.slowly(folder, "run", str(inventory)) as run:
            await run.until("kind=create", times=2)
            await sky.until_creates(3)
            run.send(number)
            ended = await run.end()
        assert ended.code == code, ended.err
        assert "batcher: stopping" in ended.err
        outcomes = column(folder, "outcome")
        done = outcomes.count("created")
        assert done == await sky.creates() >= 3
        assert outcomes == ["created"] * done + ["skipped"] * (ROWS - done)
        assert set(column(folder, "error_code")) == {"", name}
        assert (summary(folder)["state"], summary(folder)["exit_code"]) == ("open", code)
        assert len(report_rows(folder, "pending.csv")) == ROWS - done
        assert "resume" in ended.out

        ended = await sky.run(folder, "resume")
        assert ended.code == 0, ended.err
        assert column(folder, "outcome") == ["created"] * ROWS
        assert (summary(folder)["state"], summary(folder)["stop_code"]) == ("finished", None)
        assert_created_once(await sky.statistics(), ROWS)
        assert await sky.creates() == ROWS


async def test_an_answer_that_hangs_holds_up_a_soft_stop_for_its_timeout_only(tmp_path: Path) -> None:
    write_settings(tmp_path, SHORT)
    inventory = write_rows(tmp_path / "routers.csv", some_rows(ROWS))
    async with cloud() as sky:
        await sky.script({"operation": "create", "fault": "hang", "skip": 2, "times": None})
        async with sky.slowly(tmp_path, "run", str(inventory)) as run:
            await sky.until_creates(3)
            run.send(signal.SIGINT)
            ended = await run.end()
        assert ended.code == 130, ended.err
        outcomes = column(tmp_path, "outcome")
        assert outcomes[:3] == ["created", "created", "in_doubt"]
        assert len(outcomes) == ROWS
        assert set(outcomes[3:]) <= {"in_doubt", "skipped"}

        await sky.script()
        ended = await sky.run(tmp_path, "resume")
        assert ended.code == 0, ended.err
        assert column(tmp_path, "outcome") == ["created"] * ROWS
        assert_created_once(await sky.statistics(), ROWS)


async def test_the_second_signal_ends_at_once_though_an_answer_hangs(tmp_path: Path) -> None:
    inventory = write_rows(tmp_path / "routers.csv", some_rows(ROWS))
    async with cloud() as sky:
        await sky.script({"operation": "create", "fault": "hang", "skip": 2, "times": None})
        async with sky.slowly(tmp_path, "run", str(inventory)) as run:
            await sky.until_creates(3)
            run.send(signal.SIGTERM)
            await run.until("batcher: stopping")
            run.send(signal.SIGINT)
            ended = await run.end()
        assert ended.code == 143, ended.err
        assert "stopped at once" in ended.err
        assert "resume" in ended.err
        assert ended.out == ""

        written = await batcher(tmp_path, "report")
        assert written.code == 0, written.err
        outcomes = column(tmp_path, "outcome")
        assert len(outcomes) == ROWS
        assert outcomes[:3] == ["created", "created", "in_doubt"]

        await sky.script()
        ended = await sky.run(tmp_path, "resume")
        assert ended.code == 0, ended.err
        assert column(tmp_path, "outcome") == ["created"] * ROWS
        assert_created_once(await sky.statistics(), ROWS)


async def test_a_ledger_has_one_run_at_work_and_a_dead_one_lets_go(tmp_path: Path) -> None:
    inventory = write_rows(tmp_path / "routers.csv", some_rows(ROWS))
    async with cloud() as sky:
        async with sky.slowly(tmp_path, "run", str(inventory), rate="2/s") as run:
            await run.until("kind=create", times=2)
            for command in (["run", str(inventory)], ["resume"], ["retry"]):
                other = await sky.run(tmp_path, *command)
                assert other.code == 6, other.err
                assert f"process {run.process.pid} " in other.err
                assert "hint: " in other.err
                assert other.out == ""

            listed = await batcher(tmp_path, "status", "--output", "json")
            (found,) = json.loads(listed.out)
            assert (listed.code, found["state"]) == (0, "open")
            assert sum(found["rows"].values()) == ROWS
            written = await batcher(tmp_path, "report", "--output", "json")
            assert written.code == 0, written.err
            assert json.loads(written.out)["rows"]["total"] == len(report_rows(tmp_path)) == ROWS
            assert run.process.returncode is None

            run.process.kill()
            assert (await run.end()).code == -signal.SIGKILL
        ended = await sky.run(tmp_path, "run", str(inventory))
        assert ended.code == 0, ended.err
        assert "(continued)" in ended.out
        assert column(tmp_path, "outcome") == ["created"] * ROWS
        assert column(tmp_path, "run_id") == [found["run_id"]] * ROWS
        assert_created_once(await sky.statistics(), ROWS)


async def test_a_signal_while_planning_leaves_nothing_behind(tmp_path: Path) -> None:
    inventory = write_inventory(tmp_path / "routers.csv", 8_000)
    async with cloud() as sky:
        async with sky.slowly(tmp_path, "run", str(inventory)) as run:
            await until_planning(tmp_path / "reports" / "ledger.db")
            run.send(signal.SIGINT)
            ended = await run.end()
        assert ended.code == 130, ended.err
        assert "nothing was sent" in ended.err
        assert (await sky.statistics())["calls"] == {}
    listed = await batcher(tmp_path, "status", "--output", "json")
    assert json.loads(listed.out) == []


async def test_half_a_plan_is_nothing_to_resume_or_report(tmp_path: Path) -> None:
    inventory = write_inventory(tmp_path / "routers.csv", 8_000)
    async with cloud() as sky:
        async with sky.slowly(tmp_path, "run", str(inventory)) as run:
            await until_planning(tmp_path / "reports" / "ledger.db")
            run.process.kill()
            await run.end()
        (found,) = json.loads((await batcher(tmp_path, "status", "--output", "json")).out)
        assert found["state"] == "planning"
        ends = [
            await batcher(tmp_path, "report", found["run_id"]),
            await sky.run(tmp_path, "retry", found["run_id"]),
            await sky.run(tmp_path, "resume", found["run_id"]),
        ]
        assert [ended.code for ended in ends] == [2, 2, 2], "".join(ended.out for ended in ends)
        assert (await sky.statistics())["calls"] == {}


async def test_a_lane_that_waits_out_a_limit_is_stopped_at_once(tmp_path: Path) -> None:
    inventory = write_rows(tmp_path / "routers.csv", some_rows(3))
    async with cloud() as sky:
        await sky.script({"operation": "create", "fault": "status", "status": 429, "skip": 1})
        async with sky.slowly(tmp_path, "run", str(inventory)) as run:
            assert "pause_s=6" in await run.until("lane.paused")  # a minute: no window was named
            run.send(signal.SIGTERM)
            ended = await run.end()
        assert ended.code == 143, ended.err
        assert column(tmp_path, "outcome") == ["created", "skipped", "skipped"]
        assert column(tmp_path, "attempts") == ["1", "1", "0"]
        assert (await sky.run(tmp_path, "resume")).code == 0
        assert_created_once(await sky.statistics(), 3)


async def test_a_run_that_waits_for_what_is_pending_is_stopped_at_once(tmp_path: Path) -> None:
    inventory = write_rows(tmp_path / "routers.csv", some_rows(3))
    async with cloud(pending_s=3600) as sky:
        async with sky.slowly(tmp_path, "run", str(inventory), rate="200/s") as run:
            await run.until("row.accepted", times=3)
            run.send(signal.SIGINT)
            ended = await run.end()
        assert ended.code == 130, ended.err
        assert column(tmp_path, "outcome") == ["unverified"] * 3
        await sky.control("POST", "clock", {"advance_s": 3600})
        assert (await sky.run(tmp_path, "resume")).code == 0
        assert column(tmp_path, "outcome") == ["created"] * 3
        assert_created_once(await sky.statistics(), 3)


async def test_an_interrupt_while_standard_input_is_read_is_no_fault(tmp_path: Path) -> None:
    process = await start(tmp_path, "run", "-", "--input-format", "csv", "--emulator", stdin=True)
    assert process.stdin is not None
    try:
        process.stdin.write(b"er_id," * 100_000)
        await process.stdin.drain()  # more than a pipe holds: it is being read
        while process.returncode is None:
            process.send_signal(signal.SIGINT)
            with suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), timeout=0.3)
        assert process.stderr is not None
        said = (await process.stderr.read()).decode()
        assert "Traceback" not in said
        assert process.returncode == 130
    finally:
        if process.returncode is None:
            process.kill()
        process.stdin.close()
        await process.wait()


async def until_planning(ledger: Path) -> None:
    """Wait until rows have been planned; each look takes its turn among the tasks of the loop."""
    while True:
        with suppress(sqlite3.Error), closing(sqlite3.connect(f"{ledger.as_uri()}?mode=ro", uri=True)) as database:
            if database.execute("SELECT count(*) FROM row_count").fetchone() != (0,):
                return
        await asyncio.sleep(0)
