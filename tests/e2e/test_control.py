"""`batcher ctl` against batches at work: real processes, the real socket, and what the cloud saw of it."""

import asyncio
import json
import re
import signal
import stat
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import batcher as library
from batcher.emulator.throttle import Throttle
from tests.e2e.clouds import Cloud, assert_created_once, cloud
from tests.e2e.commands import Ended, Working, batcher, column, report_rows, side_by_side, summary, working
from tests.e2e.inventories import row, some_project, some_rows, write_inventory, write_rows
from tests.e2e.test_interrupts import until_planning

LOOKS = 200
"""So often a paused run is looked at: together as long as some tens of calls would take."""


def session(folder: Path) -> library.Session:
    """Who asks a batch that works in a folder."""
    return library.Session(settings=library.Settings.model_validate({"report": {"directory": str(folder / "reports")}}))


def socket_of(folder: Path) -> Path:
    return folder / "reports" / "ledger.db.sock"


async def ctl(folder: Path, *words: str) -> Ended:
    return await batcher(folder, "ctl", *words)


async def asked(folder: Path, *words: str) -> dict[str, Any]:
    """What a batch answers, as a program reads it."""
    ended = await ctl(folder, *words, "--output", "json")
    assert (ended.code, ended.err) == (0, ""), ended.err
    return dict(json.loads(ended.out))


async def until_quiet(folder: Path) -> library.LiveStatus:
    """The status of a paused batch once nothing is in flight."""
    while True:
        status = await library.live_status(session(folder))
        if not sum(lane.in_flight for lane in status.lanes):
            return status


def journal(folder: Path) -> list[tuple[str, str | None]]:
    """The changes that the summary tells of."""
    return [(change["action"], change["value"]) for change in summary(folder)["changes"]]


@asynccontextmanager
async def at_work(
    sky: Cloud, folder: Path, rows: list[dict[str, str]], *words: str, rate: str = "50/s"
) -> AsyncIterator[Working]:
    """A run of these rows that has made its first call."""
    inventory = write_rows(folder / "routers.csv", rows)
    async with sky.slowly(folder, "run", str(inventory), *words, rate=rate) as run:
        await run.until("call.made")
        yield run


async def calls(sky: Cloud) -> int:
    return sum((await sky.statistics())["calls"].values())


async def test_the_status_of_a_batch_is_told_to_people_and_programs(tmp_path: Path) -> None:
    rows = [row(number, routers=4, projects=2) for number in range(400)]
    async with cloud() as sky, at_work(sky, tmp_path, rows, "--for", "1h", rate="20/s") as run:
        await sky.until_creates(10)
        assert (await ctl(tmp_path, "pause")).code == 0
        quiet = await until_quiet(tmp_path)
        found = await asked(tmp_path, "status")
        made = (await sky.statistics())["created_total"]
        assert found["rows"] == {"total": 400, "open": 400 - made, "by_outcome": {"created": made}}
        assert found["calls"]["by_kind"]["create"] == made
        assert found["calls"]["total"] == await calls(sky) == sum(quiet.calls.values())
        assert (found["state"], found["stop_code"], found["operation"]) == ("paused", None, "flow_log")
        assert (found["pid"], found["rate"]) == (run.process.pid, "20/s")
        assert found["since"] < found["paused_since"] < found["deadline"]
        lanes = {lane["project_id"]: lane for lane in found["lanes"]}
        assert set(lanes) == {some_project(0), some_project(1)}
        for lane in lanes.values():
            assert (lane["region"], lane["account"]) == ("cn-north-4", "default")
            assert (lane["rate"], lane["learnt"], lane["silent_s"], lane["in_flight"]) == ("20/s", None, 0, 0)
            assert 10 < lane["writes_per_s"] == lane["reads_per_s"] < 20
        assert sum(lane["calls"] for lane in lanes.values()) == found["calls"]["total"]

        text = await ctl(tmp_path, "status")
        assert (text.code, text.err) == (0, "")
        assert text.out.startswith(f"run {found['run_id']} (flow_log), in process {run.process.pid} since 20")
        assert f"paused since {found['paused_since']}; `batcher ctl continue` goes on" in text.out
        assert f"{made:,} created; {400 - made:,} of 400 open" in text.out
        assert f"deadline  {found['deadline']}" in text.out
        assert text.out.count("20/s in force") == 2
        run.process.kill()


async def test_the_socket_is_its_owners_alone_and_gone_afterwards(tmp_path: Path) -> None:
    async with cloud() as sky, at_work(sky, tmp_path, some_rows(60), rate="10/s") as run:
        path = socket_of(tmp_path)
        assert stat.S_ISSOCK(path.lstat().st_mode)
        assert stat.S_IMODE(path.lstat().st_mode) == 0o600
        hidden = {each.name for each in path.parent.iterdir() if each.name.startswith(".")}
        assert hidden == set()
        run.send(signal.SIGTERM)
        assert (await run.end()).code == 143
        assert not path.exists()


async def test_a_faster_rate_is_taken_up_at_once_by_who_waits_under_a_slow_one(tmp_path: Path) -> None:
    async with cloud() as sky:
        async with at_work(sky, tmp_path, some_rows(30), rate="2/min") as run:  # a quarter of an hour
            found = await asked(tmp_path, "rate", "200/s")
            assert found["rate"] == found["lanes"][0]["rate"] == "200/s"
            ended = await run.end()
        assert ended.code == 0, ended.err
        assert_created_once(await sky.statistics(), 30)
    assert journal(tmp_path) == [("rate", "200/s")]
    assert "run.steered action=rate value=200/s" in ended.err


async def test_a_slower_rate_holds_for_every_call_from_then_on(tmp_path: Path) -> None:
    async with cloud(throttle=Throttle(1000, 1.0)) as sky:
        async with at_work(sky, tmp_path, some_rows(600), rate="200/s") as run:
            await sky.until_creates(50)
            await library.set_rate("5/s", session(tmp_path))
            before, began = await calls(sky), time.monotonic()
            await sky.until_creates(before + 8)
            after, lasted_s = await calls(sky), time.monotonic() - began
            assert after - before <= 5 * lasted_s + 2
            await asked(tmp_path, "rate", "200/s")
            assert (await run.end()).code == 0
        assert_created_once(await sky.statistics(), 600)
    assert journal(tmp_path) == [("rate", "5/s"), ("rate", "200/s")]


@pytest.mark.timeout(60)
async def test_no_rate_exceeds_a_limit_that_the_provider_has_named(tmp_path: Path) -> None:
    async with cloud(throttle=Throttle(20, 2.0)) as sky:
        inventory = write_rows(tmp_path / "first.csv", some_rows(40))
        assert (await sky.run(tmp_path, "run", str(inventory))).code == 0
        named = (await sky.statistics())["arrivals_over_limit"]
        assert named >= 1
        later = [row(number, routers=1, projects=1) for number in range(40, 80)]
        async with at_work(sky, tmp_path, later, rate="2/s") as run:
            for rate in ("500/s", "auto"):
                found = await asked(tmp_path, "rate", rate)
                (lane,) = found["lanes"]
                assert (found["rate"], lane["rate"], lane["learnt"]) == (rate, "20/2s", "20/2s")
                assert lane["writes_per_s"] < 10
            assert (await run.end()).code == 0
        assert (await sky.statistics())["arrivals_over_limit"] == named
        assert_created_once(await sky.statistics(), 80)


async def test_a_paused_batch_calls_nobody_until_it_is_told_to_continue(tmp_path: Path) -> None:
    async with cloud() as sky:
        async with at_work(sky, tmp_path, some_rows(150), rate="100/s") as run:
            await sky.until_creates(20)
            paused = await library.pause_run(session(tmp_path))
            assert paused.state == "paused"
            await until_quiet(tmp_path)
            before = await calls(sky)
            for _ in range(LOOKS):
                assert (await library.live_status(session(tmp_path))).state == "paused"
            assert (await library.pause_run(session(tmp_path))).paused_since == paused.paused_since
            assert await calls(sky) == before
            assert run.process.returncode is None
            assert (await asked(tmp_path, "continue"))["state"] == "working"
            ended = await run.end()
        assert ended.code == 0, ended.err
        assert_created_once(await sky.statistics(), 150)
        assert await sky.creates() == 150
    assert column(tmp_path, "outcome") == ["created"] * 150
    assert set(column(tmp_path, "attempts")) == {"1"}
    assert journal(tmp_path) == [("pause", None), ("continue", None)]


@pytest.mark.timeout(60)
async def test_a_paused_batch_can_be_stopped_drained_and_runs_out_of_time(tmp_path: Path) -> None:
    async with cloud() as sky:
        await side_by_side(
            (
                paused_and_ended(sky, tmp_path / "term", 0, 143, "BATCHER.Terminated"),
                paused_and_ended(sky, tmp_path / "drain", 1, 5, "BATCHER.Drained"),
                paused_and_ended(sky, tmp_path / "time", 2, 5, "BATCHER.Deadline", "--for", "8s"),
            )
        )
        assert_created_once(await sky.statistics(), 3 * 60)


async def paused_and_ended(sky: Cloud, folder: Path, number: int, code: int, name: str, *words: str) -> None:
    """Pause a batch, let it be ended as `name` says, and go on with it to the end."""
    folder.mkdir()
    rows = [{**each, "er_id": row(number)["er_id"]} for each in some_rows(60)]
    rows = [{**each, "resource_id": row(at + 1000 * number)["resource_id"]} for at, each in enumerate(rows)]
    async with at_work(sky, folder, rows, *words, rate="10/s") as run:
        await library.pause_run(session(folder))
        if code == 143:
            run.send(signal.SIGTERM)
        elif not words:
            assert (await library.drain_run(session(folder))).state == "draining"
        ended = await run.end()
    assert ended.code == code, ended.err
    assert (summary(folder)["stop_code"], summary(folder)["state"]) == (name, "open")
    assert {"skipped"} <= set(column(folder, "outcome")) <= {"skipped", "created"}
    assert not socket_of(folder).exists()
    ended = await sky.run(folder, "resume")
    assert ended.code == 0, ended.err
    assert column(folder, "outcome") == ["created"] * 60


@pytest.mark.timeout(60)
async def test_a_drained_batch_reports_and_is_gone_on_with_exactly_once(tmp_path: Path) -> None:
    async with cloud(latency_s=0.2) as sky:
        async with at_work(sky, tmp_path, some_rows(300), rate="20/s") as run:
            await sky.until_creates(5)
            drained = await ctl(tmp_path, "drain")
            assert drained.code == 0, drained.err
            assert "draining: it takes no more rows" in drained.out
            ended = await run.end()
        assert ended.code == 5, ended.err
        done = column(tmp_path, "outcome").count("created")
        assert done == await sky.creates() >= 5
        assert column(tmp_path, "outcome").count("skipped") == 300 - done > 0
        assert set(column(tmp_path, "error_code")) == {"", "BATCHER.Drained"}
        assert f"stopped: BATCHER.Drained ({300 - done} rows are left)" in ended.out
        assert re.search(rf"next: `batcher resume \S+ .*` \({300 - done} rows\)", ended.out)
        found = summary(tmp_path)
        assert (found["exit_code"], found["state"], found["stop_code"]) == (5, "open", "BATCHER.Drained")
        assert journal(tmp_path) == [("drain", None)]
        assert len(report_rows(tmp_path, "pending.csv")) == 300 - done

        ended = await sky.run(tmp_path, "resume")
        assert ended.code == 0, ended.err
        assert column(tmp_path, "outcome") == ["created"] * 300
        assert_created_once(await sky.statistics(), 300)
        assert await sky.creates() == 300


async def test_every_change_is_in_the_ledger_and_shown(tmp_path: Path) -> None:
    async with cloud() as sky, at_work(sky, tmp_path, some_rows(200), rate="10/s") as run:
        mine = session(tmp_path)
        await library.set_rate("40/s", mine)
        for act in (library.pause_run, library.pause_run, library.live_status):
            await act(mine)
        await library.set_rate("auto", mine)
        await library.continue_run(mine)
        wanted = [("rate", "40/s"), ("pause", None), ("rate", "auto"), ("continue", None)]
        run_id = (await library.live_status(mine)).run_id
        beside = json.loads((await batcher(tmp_path, "status", run_id, "--output", "json")).out)
        assert [(change["action"], change["value"]) for change in beside["changes"]] == wanted
        times = [change["at"] for change in beside["changes"]]
        assert times == sorted(times)
        text = (await batcher(tmp_path, "status", run_id)).out
        assert f"changes: {times[0]} rate 40/s; {times[1]} pause; " in text
        await library.drain_run(mine)
        assert (await run.end()).code == 5
        assert journal(tmp_path) == [*wanted, ("drain", None)]
        (record,) = await library.list_runs(mine)
        assert [(action, value or None) for _, action, value in record.changes] == [*wanted, ("drain", None)]


async def test_a_batch_that_was_killed_leaves_a_socket_that_answers_nobody_and_is_replaced(tmp_path: Path) -> None:
    async with cloud() as sky:
        async with at_work(sky, tmp_path, some_rows(60), rate="10/s") as run:
            run.process.kill()
            await run.end()
        assert socket_of(tmp_path).is_socket()
        ended = await ctl(tmp_path, "status")
        assert (ended.code, ended.out) == (2, "")
        assert "no batch works the ledger" in ended.err
        async with sky.slowly(tmp_path, "resume", rate="10/s") as run:
            await run.until("call.made")
            assert stat.S_IMODE(socket_of(tmp_path).lstat().st_mode) == 0o600
            found = await library.set_rate("200/s", session(tmp_path))
            assert found.pid == run.process.pid
            assert (await run.end()).code == 0
        assert_created_once(await sky.statistics(), 60)
    assert not socket_of(tmp_path).exists()


@pytest.mark.timeout(40)
async def test_clients_of_all_kinds_do_a_batch_no_harm(tmp_path: Path) -> None:
    async with cloud() as sky:
        async with at_work(sky, tmp_path, some_rows(200), rate="10/s") as run:
            path = socket_of(tmp_path)
            silent = [await asyncio.open_unix_connection(path) for _ in range(4)]
            for text in (b"rubbish\n", b"\xff\x00\n", b"{" * 5000, b'{"action": "rate", "rate": "0/s"}\n'):
                reader, writer = await asyncio.open_unix_connection(path)
                writer.write(text)
                answer = json.loads(await reader.readline())
                assert answer["ok"] is False
                assert "Traceback" not in answer["error"]
                writer.transport.abort()
            statuses = await asyncio.gather(*(library.live_status(session(tmp_path)) for _ in range(30)))
            assert len({status.run_id for status in statuses}) == 1
            for reader, writer in silent:
                assert b"no request came in 5 s" in await reader.readline()
                writer.close()
            await asked(tmp_path, "rate", "200/s")
            ended = await run.end()
        assert ended.code == 0, ended.err
        assert "Traceback" not in ended.err
        assert "warning" not in ended.err
        assert_created_once(await sky.statistics(), 200)
    assert journal(tmp_path) == [("rate", "200/s")]


async def test_a_ledger_far_down_has_its_socket_beside_it(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["folder-" + "x" * 60] * 4)
    words = ("--ledger", str(deep / "ledger.db"))
    async with cloud() as sky:
        async with at_work(sky, tmp_path, some_rows(60), *words, rate="10/s") as run:
            assert (deep / "ledger.db.sock").is_socket()
            found = await asked(tmp_path, "rate", "200/s", *words)
            assert found["pid"] == run.process.pid
            ended = await run.end()
        assert ended.code == 0, ended.err
        assert "warning" not in ended.err
    assert not (deep / "ledger.db.sock").exists()


async def test_a_batch_that_cannot_open_its_socket_says_so_once_and_works(tmp_path: Path) -> None:
    socket_of(tmp_path).mkdir(parents=True)
    inventory = write_rows(tmp_path / "routers.csv", some_rows(20))
    async with cloud() as sky:
        async with sky.slowly(tmp_path, "run", str(inventory), rate="20/s") as run:
            await run.until("call.made")
            run.send(signal.SIGSTOP)
            refused = await ctl(tmp_path, "status")
            run.send(signal.SIGCONT)
            ended = await run.end()
        assert ended.code == 0, ended.err
        assert_created_once(await sky.statistics(), 20)
    assert ended.err.count(f"batcher: warning: no live control of this run: its socket `{socket_of(tmp_path)}`") == 1
    assert refused.code == 2
    assert f"is worked by process {run.process.pid} on " in refused.err
    assert "hint: " in refused.err


async def test_without_a_batch_there_is_nobody_to_ask(tmp_path: Path) -> None:
    empty = await ctl(tmp_path, "status")
    assert list(tmp_path.iterdir()) == []
    inventory = write_rows(tmp_path / "routers.csv", some_rows(1))
    assert (await batcher(tmp_path, "run", str(inventory), "--emulator", "--rate", "200/s")).code == 0
    ends = await side_by_side(
        ctl(tmp_path, *words.split()) for words in ("status", "rate 5/s", "drain --emulator", "pause --output json")
    )
    assert json.loads(ends[-1].out)["exit_code"] == 2
    for ended in (empty, *ends):
        assert ended.code == 2
        assert re.search(r"batcher: no batch works the ledger `reports/\w+\.db` now\nhint: ", ended.err)


WRONG = {
    "rate": "`ctl rate` needs a rate",
    "rate fast": "`fast` is no rate",
    "rate 0/s": "`0/s` is no rate",
    "pause 5/s": "`ctl pause` takes no value",
    "halt": "ACTION `halt` is not one of",
}


async def test_words_that_make_no_sense_change_nothing(tmp_path: Path) -> None:
    async with cloud() as sky, at_work(sky, tmp_path, some_rows(400), rate="10/s") as run:
        for ended, said in zip(
            await side_by_side(ctl(tmp_path, *words.split()) for words in WRONG), WRONG.values(), strict=True
        ):
            assert (ended.code, ended.out) == (2, "")
            assert said in ended.err
        assert (await library.drain_run(session(tmp_path))).rate == "10/s"
        await run.end()
    assert journal(tmp_path) == [("drain", None)]


async def test_a_run_that_is_still_being_planned_is_said_to_be(tmp_path: Path) -> None:
    inventory = write_inventory(tmp_path / "routers.csv", 8_000)
    async with cloud() as sky, sky.slowly(tmp_path, "run", str(inventory)) as run:
        await until_planning(tmp_path / "reports" / "ledger.db")
        run.send(signal.SIGSTOP)
        ended = await ctl(tmp_path, "pause")
        run.process.kill()
        await run.end()
        assert (ended.code, ended.out) == (2, "")
        assert f"the run of process {run.process.pid} on " in ended.err
        assert "is still being planned, and nothing of it was sent" in ended.err
        assert (await sky.statistics())["calls"] == {}


@pytest.mark.timeout(60)
async def test_retry_undo_and_a_rehearsal_are_controlled_alike(tmp_path: Path) -> None:
    rows = some_rows(40)
    async with cloud() as sky:
        no = {"operation": "create", "fault": "status", "status": 400, "code": "ER.04009005", "message": "no"}
        await sky.script({**no, "times": None})
        inventory = write_rows(tmp_path / "routers.csv", rows)
        assert (await sky.run(tmp_path, "run", str(inventory))).code == 3
        await sky.script()
        async with sky.slowly(tmp_path, "retry", rate="10/s") as run:
            await run.until("kind=create")
            assert (await asked(tmp_path, "rate", "200/s"))["operation"] == "flow_log"
            assert (await run.end()).code == 0
        made = summary(tmp_path)["run_id"]
        async with sky.slowly(tmp_path, "undo", made, "--yes", rate="10/s") as run:
            await run.until("kind=delete")
            assert (await asked(tmp_path, "pause"))["operation"] == "undo"
            status = await until_quiet(tmp_path)
            before = await calls(sky)
            for _ in range(LOOKS):
                await library.live_status(session(tmp_path))
            assert await calls(sky) == before
            assert status.calls["delete"] < 40
            await asked(tmp_path, "rate", "200/s")
            await asked(tmp_path, "continue")
            assert (await run.end()).code == 0
        assert column(tmp_path, "outcome") == ["deleted"] * 40
        assert (await sky.flow_logs(rows[0])) == []
        assert journal(tmp_path) == [("pause", None), ("rate", "200/s"), ("continue", None)]

    words = ("run", str(inventory), "--emulator", "--rate", "10/s", "--no-progress", "-vv")
    async with working(tmp_path, *words) as run:
        await run.until("call.made")
        assert (await asked(tmp_path, "drain", "--emulator"))["state"] == "draining"
        assert (await run.end()).code == 5


@pytest.mark.timeout(60)
async def test_progress_shows_what_was_changed(tmp_path: Path) -> None:
    inventory = write_rows(tmp_path / "routers.csv", some_rows(3000))
    async with working(tmp_path, "run", str(inventory), "--emulator", "--rate", "10/s") as run:
        await run.until("rows to do")
        while not (tmp_path / "reports" / "rehearsal.db.sock").exists():
            await asyncio.sleep(0)
        for words, shown in (("rate 100/s", "(100/s)"), ("pause", "; paused"), ("drain", "BATCHER.Drained")):
            await asked(tmp_path, *words.split(), "--emulator")
            await run.until(shown)
        ended = await run.end()
    assert ended.code == 5, ended.err
    assert "stopped: BATCHER.Drained" in ended.out
