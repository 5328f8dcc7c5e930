"""An undo that is killed, refused, cut off or lied to: it deletes what is the run's, loses no row, and has an end."""

import json
import signal
from collections import Counter
from pathlib import Path

import pytest

from tests.e2e.clouds import Cloud, cloud
from tests.e2e.commands import EMULATOR_KEYS, batcher, column, report_rows, side_by_side, summary, write_settings
from tests.e2e.inventories import some_rows, write_rows
from tests.e2e.undos import QUICK, deletes, ids, made, rewrite, run_id, undo

pytestmark = pytest.mark.timeout(60)
"""Most of them kill, wait and go on: whole jobs, of up to seventeen seconds on a busy machine."""

WISHES = some_rows(6)
MANY = some_rows(300, routers=3, projects=2)


async def newest(folder: Path) -> str:
    """The newest run, whether it has a report or not."""
    return str(json.loads((await batcher(folder, "status", "--output", "json")).out)[0]["run_id"])


async def until_deletes(sky: Cloud, count: int) -> None:
    """Wait until it has seen so many deletes; each look is a call that takes its turn."""
    while await deletes(sky) < count:
        pass


@pytest.mark.timeout(60)
async def test_a_run_that_was_killed_half_way_leaves_nothing_of_its_own(tmp_path: Path) -> None:
    """300 rows in two projects: 100 were there, some answers were lost, some still hang when the run is killed."""
    write_settings(tmp_path, f"{QUICK}listing_lag_s = 1\n")
    inventory = write_rows(tmp_path / "routers.csv", MANY)
    async with cloud() as sky:
        seeded = await sky.seed(*MANY[::3])
        await sky.control("PATCH", "settings", {"faults": {"lost_after": 0.15}})
        await sky.script({"operation": "create", "fault": "hang", "skip": 60, "times": None})
        async with sky.slowly(tmp_path, "run", str(inventory), rate="200/s") as work:
            await sky.until_creates(66)
            work.process.kill()
            await work.end()
        await sky.script()
        there = await ids(sky, MANY)
        assert 40 < sum(map(bool, there)) - len(seeded) < 100

        ended = await undo(sky, tmp_path, await newest(tmp_path))
        assert ended.code == 0, ended.out
        assert [each for each in await ids(sky, MANY) if each] == seeded
        assert await ids(sky, MANY[::3]) == seeded
        rows = {row["line"]: row for row in report_rows(tmp_path)}
        gone = {line for line, row in rows.items() if row["outcome"] == "deleted"}
        assert gone == {str(n + 2) for n, each in enumerate(there) if each and n % 3}
        assert {row["outcome"] for row in rows.values()} <= {"deleted", "absent"}
        assert await deletes(sky) == len(gone)


@pytest.mark.timeout(60)
async def test_an_undo_that_was_killed_is_gone_on_with(tmp_path: Path) -> None:
    await side_by_side(killed_and_gone_on_with(tmp_path / command, command) for command in ("undo", "resume"))


async def killed_and_gone_on_with(tmp_path: Path, command: str) -> None:
    """Kill an undo among its deletes, go on with it by this command, and make everything anew."""
    tmp_path.mkdir()
    async with cloud() as sky:
        seeded = await sky.seed(*MANY[:100])
        run = await made(sky, tmp_path, MANY)
        await sky.script({"operation": "delete", "fault": "hang", "skip": 40, "times": 8})
        async with sky.slowly(tmp_path, "undo", run, "--yes", rate="200/s") as work:
            await until_deletes(sky, 70)
            work.process.kill()
            await work.end()
        await sky.script()
        left = sum(map(bool, await ids(sky, MANY))) - 100
        assert 0 < left < 160
        ended = await sky.run(tmp_path, *(("undo", run, "--yes") if command == "undo" else ("resume",)))
        assert ended.code == 0, ended.err
        assert "(continued)" in ended.out
        assert await ids(sky, MANY) == [*seeded, *[""] * 200]
        outcomes = Counter(column(tmp_path, "outcome"))
        assert sum(outcomes.values()) == 200
        assert set(outcomes) == {"deleted", "absent"}
        assert outcomes["deleted"] >= left
        ended = await sky.run(tmp_path, "run", "routers.csv")
        assert ended.code == 0, ended.err
        assert Counter(column(tmp_path, "outcome")) == {"exists": 100, "created": 200}


async def test_an_undo_that_is_interrupted_ends_softly_and_is_gone_on_with(tmp_path: Path) -> None:
    async with cloud(latency_s=0.2) as sky:
        run = await made(sky, tmp_path, WISHES)
        async with sky.slowly(tmp_path, "undo", run, "--yes", rate="5/s") as work:
            await until_deletes(sky, 2)
            work.send(signal.SIGINT)
            ended = await work.end()
        assert ended.code == 130, ended.err
        outcomes = Counter(column(tmp_path, "outcome"))
        assert outcomes["unverified"] + outcomes["deleted"] == await deletes(sky)
        assert outcomes["skipped"] == 6 - await deletes(sky)
        ended = await sky.run(tmp_path, "resume")
        assert ended.code == 0, ended.err
        assert column(tmp_path, "outcome") == ["deleted"] * 6
        assert await ids(sky, WISHES) == [""] * 6


async def test_a_delete_is_tried_again_where_that_can_help(tmp_path: Path) -> None:
    """Each row has its own trouble; one was deleted by somebody in between, and that is as good."""
    limit = "The throttling threshold has been reached: policy user over ratelimit,limit:20,time:1 second"
    async with cloud() as sky:
        run = await made(sky, tmp_path, WISHES)
        troubles: list[dict[str, object]] = [
            {"fault": "status", "status": 503},
            {"fault": "error_after"},
            {"fault": "lost_before"},
            {"fault": "lost_after"},
            {"fault": "status", "status": 429, "code": "APIGW.0308", "message": limit},
            {"fault": "status", "status": 400, "code": "ER.04008501", "message": "does not exist"},
        ]
        there = await ids(sky, WISHES)
        await sky.script(
            *(
                {"operation": "delete", "match": {"flow_log_id": each}, **trouble}
                for each, trouble in zip(there, troubles, strict=True)
            )
        )
        ended = await undo(sky, tmp_path, run)
        assert ended.code == 0, ended.err
        assert column(tmp_path, "outcome") == ["deleted"] * 6
        assert column(tmp_path, "attempts") == ["2", "2", "2", "2", "1", "1"]
        assert await ids(sky, WISHES) == [*[""] * 5, there[5]]


async def test_what_the_provider_will_not_delete_is_failed_and_no_retry_makes_it(tmp_path: Path) -> None:
    async with cloud() as sky:
        run = await made(sky, tmp_path, WISHES, "--max-failures", "0")
        there = await ids(sky, WISHES)
        no = {"operation": "delete", "fault": "status", "times": None}
        await sky.script(
            {**no, "match": {"flow_log_id": there[0]}, "status": 403, "code": "ER.04030001", "message": "not this one"},
            {**no, "match": {"flow_log_id": there[1]}, "status": 500},
        )
        ended = await undo(sky, tmp_path, run)
        assert ended.code == 3, ended.err
        assert column(tmp_path, "outcome") == ["failed"] * 2 + ["deleted"] * 4
        rows = report_rows(tmp_path)
        assert [(row["http_status"], row["attempts"]) for row in rows[:2]] == [("403", "1"), ("500", "2")]
        assert (rows[0]["error_code"], rows[0]["error_message"]) == ("ER.04030001", "not this one")
        assert f"undo {run}" in ended.out
        assert await deletes(sky) == 1 + 2 + 4

        await sky.script()
        for words in (("retry",), ("retry", run_id(tmp_path))):
            ended = await sky.run(tmp_path, *words)
            assert ended.code == 2, ended.out
        assert f"`batcher undo {run}` tries that again" in ended.err
        ended = await undo(sky, tmp_path, run)
        assert ended.code == 0, ended.err
        assert column(tmp_path, "outcome") == ["deleted"] * 2 + ["absent"] * 4
        assert await ids(sky, WISHES) == [""] * 6


@pytest.mark.parametrize("operation", ["list", "delete"])
async def test_a_router_that_is_refused_is_left_alone_and_gone_on_with_later(tmp_path: Path, operation: str) -> None:
    wishes = some_rows(40)
    async with cloud() as sky:
        run = await made(sky, tmp_path, wishes)
        no = {"fault": "status", "status": 404, "code": "ER.04041001", "message": "no such router", "times": None}
        await sky.script({"operation": operation, **no})
        ended = await undo(sky, tmp_path, run, "--concurrency", "4")
        assert ended.code == 3, ended.err
        assert set(column(tmp_path, "outcome")) == {"skipped"}
        assert set(column(tmp_path, "error_code")) == {"BATCHER.RouterStopped"}
        assert await deletes(sky) == (0 if operation == "list" else 4)
        await sky.script()
        assert "" not in await ids(sky, wishes)
        words = ("resume",) if operation == "list" else ("undo", run, "--yes")
        ended = await sky.run(tmp_path, *words)
        assert ended.code == 0, ended.err
        assert "(continued)" in ended.out
        assert column(tmp_path, "outcome") == ["deleted"] * 40
        assert await ids(sky, wishes) == [""] * 40


async def test_access_that_is_refused_on_the_way_ends_it_and_resume_goes_on(tmp_path: Path) -> None:
    async with cloud() as sky:
        run = await made(sky, tmp_path, WISHES)
        no = {"operation": "delete", "fault": "status", "status": 403, "code": "APIGW.0302", "times": None}
        await sky.script({**no, "skip": 2})
        ended = await undo(sky, tmp_path, run, "--concurrency", "1")
        assert ended.code == 7, ended.err
        assert Counter(column(tmp_path, "outcome")) == {"unverified": 2, "skipped": 4}
        assert await deletes(sky) == 3
        await sky.script()
        ended = await sky.run(tmp_path, "resume")
        assert ended.code == 0, ended.err
        assert column(tmp_path, "outcome") == ["deleted"] * 6


async def test_a_dead_network_ends_it_and_nothing_is_said_to_be_gone(tmp_path: Path) -> None:
    async with cloud() as sky:
        run = await made(sky, tmp_path, some_rows(60, routers=30))
    words = ("undo", run, "--yes", "--endpoint", sky.url, "--no-progress")
    ended = await batcher(tmp_path, *words, extra=EMULATOR_KEYS)
    assert ended.code == 7, ended.err
    assert set(column(tmp_path, "error_code")) == {"BATCHER.Unreachable"}
    assert summary(tmp_path)["calls"]["total"] <= 2


@pytest.mark.timeout(60)
async def test_what_a_listing_does_not_show_is_not_said_to_be_gone(tmp_path: Path) -> None:
    lies = ("page_short", "page_empty", "page_repeated", "marker_gone", "marker_left")
    await side_by_side(lied_to(tmp_path / lie, lie) for lie in lies)


async def lied_to(tmp_path: Path, lie: str) -> None:
    """Take back 30 rows by pages of 10: the count shrinks under the reading, and its second or third page lies."""
    tmp_path.mkdir()
    async with cloud(page_max=10) as sky:
        run = await made(sky, tmp_path, some_rows(30))
        await sky.script({"operation": "list", "fault": lie, "skip": 2 if lie == "page_short" else 1})
        ended = await undo(sky, tmp_path, run)
        assert ended.code == 0, ended.err
        assert column(tmp_path, "outcome") == ["deleted"] * 30
        assert (await sky.statistics())["flow_logs"] == 0
        assert await deletes(sky) == 30


async def test_a_listing_that_cannot_be_read_is_told_row_by_row(tmp_path: Path) -> None:
    async with cloud() as sky:
        run = await made(sky, tmp_path, WISHES)
        await sky.script({"operation": "list", "fault": "status", "status": 500, "times": None})
        ended = await undo(sky, tmp_path, run)
        assert ended.code == 3, ended.err
        assert set(column(tmp_path, "outcome")) == {"skipped"}
        assert set(column(tmp_path, "error_code")) == {"BATCHER.ListingIncomplete"}
        assert "resume" in ended.out


async def test_what_is_pending_or_deleting_is_waited_for(tmp_path: Path) -> None:
    write_settings(tmp_path, f"{QUICK}listing_lag_s = 1\n")
    places = [{name: wish[name] for name in ("project_id", "er_id", "resource_id")} for wish in WISHES]
    async with cloud(deleting_s=0.5) as sky:
        await sky.control("POST", "fates", [{**places[0], "state": "pending"}])
        run = await made(sky, tmp_path, WISHES, "--no-verify")
        async with sky.slowly(tmp_path, "undo", run, "--yes", rate="200/s") as work:
            await work.until("kind=list", times=2)
            assert (await ids(sky, WISHES))[0]
            await sky.control("POST", "fates", [{**places[0], "state": "available"}])
            ended = await work.end()
        assert ended.code == 0, ended.err
        assert column(tmp_path, "outcome") == ["deleted"] * 6
        assert await ids(sky, WISHES) == [""] * 6
        assert await deletes(sky) == 6


async def test_waiting_has_an_end_and_resume_goes_on(tmp_path: Path) -> None:
    places = [{name: wish[name] for name in ("project_id", "er_id", "resource_id")} for wish in WISHES]
    async with cloud(deleting_s=3600) as sky:
        await sky.control("POST", "fates", [{**places[0], "state": "pending"}])
        run = await made(sky, tmp_path, WISHES, "--no-verify", settings=f"{QUICK}verify_time_s = 1\n")
        ended = await undo(sky, tmp_path, run)
        assert ended.code == 5, ended.err
        assert column(tmp_path, "outcome") == ["skipped"] + ["unverified"] * 5
        assert "resume" in ended.out
        await sky.control("POST", "fates", [{**places[0], "state": "available"}])
        await sky.control("PATCH", "settings", {"deleting_s": 0})
        await sky.control("POST", "clock", {"advance_s": 3600})
        ended = await sky.run(tmp_path, "resume")
        assert ended.code == 0, ended.err
        assert column(tmp_path, "outcome") == ["deleted"] * 6


async def test_an_undo_that_died_over_its_plan_has_undone_nothing(tmp_path: Path) -> None:
    async with cloud() as sky:
        run = await made(sky, tmp_path, WISHES)
        assert (await undo(sky, tmp_path, run)).code == 0
        rewrite(tmp_path, "UPDATE run SET state = 'planning' WHERE operation = 'undo'")
        ended = await sky.run(tmp_path, "resume", run)
        assert ended.code == 0, ended.err
        ended = await undo(sky, tmp_path, run)
        assert ended.code == 0, ended.err
        listed = await batcher(tmp_path, "status", "--output", "json")
        assert [found["state"] for found in json.loads(listed.out)] == ["finished", "finished"]
