"""What the provider took and then did not make: reported as such, and settled by the next sitting."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import aiohttp

from tests.e2e.clouds import TICKET, Cloud, assert_created_once, cloud
from tests.e2e.commands import EMULATOR_KEYS, Ended, batcher, column, report_rows, summary, write_settings
from tests.e2e.inventories import some_rows, write_rows

Row = dict[str, str]
ROUTERS = 3
WISHES = some_rows(300, routers=ROUTERS)
FAIL, WAIT, REST = WISHES[:100], WISHES[100:200], WISHES[200:]
PENDING_S = 0.2
VERIFY_S = 1.5
POLLS_MAX = 4
"""Far more readings of a router than `VERIFY_S` has time for, and far fewer than its rows."""


async def decide(sky: Cloud, wishes: Sequence[Row], state: str) -> None:
    """What becomes of what is, or will be, on these rows' attachments."""
    places = [{name: wish[name] for name in ("project_id", "er_id", "resource_id")} for wish in wishes]
    await sky.control("POST", "fates", [{**place, "state": state} for place in places])


async def delete_failed(sky: Cloud) -> None:
    """Do what the report advises."""
    for wish in WISHES[:ROUTERS]:
        for log in await sky.flow_logs(wish):
            if log["state"] == "failed":
                await sky.control("DELETE", f"flow-logs/{log['id']}")


async def delete(sky: Cloud, wish: Row, flow_log_id: str) -> None:
    """Somebody deletes it by the API."""
    url = f"{sky.url}/v3/{wish['project_id']}/enterprise-router/{wish['er_id']}/flow-logs/{flow_log_id}"
    async with aiohttp.ClientSession() as session, session.delete(url, headers={"X-Auth-Token": TICKET}) as response:
        assert response.status == 202, await response.text()


async def run(sky: Cloud, folder: Path, *words: str) -> Ended:
    ended = await batcher(folder, *sky.words(*words, rate="2000/s"), extra=EMULATOR_KEYS)
    assert "Traceback" not in ended.err, ended.err
    return ended


async def test_failed_and_pending_rows_are_reported_as_such_and_resume_settles_the_rest(tmp_path: Path) -> None:
    write_settings(tmp_path, f"[run]\nverify_time_s = {VERIFY_S}\n")
    inventory = write_rows(tmp_path / "routers.csv", WISHES)
    async with cloud(pending_s=PENDING_S) as sky:
        await decide(sky, FAIL, "failed")
        await decide(sky, WAIT, "pending")
        ended = await run(sky, tmp_path, "run", str(inventory))
        assert ended.code == 5, ended.err
        assert column(tmp_path, "outcome") == ["failed"] * 100 + ["unverified"] * 100 + ["created"] * 100
        rows = report_rows(tmp_path)
        assert [row["flow_log_state"] for row in rows[::100]] == ["failed", "pending", "available"]
        assert [{row["error_code"] for row in rows[at : at + 100]} for at in (0, 100, 200)] == [
            {"BATCHER.RemoteFailed"},
            {"BATCHER.Unverified"},
            {""},
        ]
        assert all("`batcher retry --replace-failed`" in row["error_message"] for row in rows[:100])
        assert len({row["flow_log_id"] for row in rows} - {""}) == 300
        assert "batcher resume" in ended.out
        calls = (await sky.statistics())["calls"]
        assert set(calls) == {"create", "list"}
        assert calls["list"] <= ROUTERS * (1 + POLLS_MAX)

        await decide(sky, WAIT, "available")
        ended = await run(sky, tmp_path, "resume")
        assert ended.code == 3, ended.err
        assert column(tmp_path, "outcome") == ["failed"] * 100 + ["created"] * 200
        assert "batcher retry" in ended.out
        again = (await sky.statistics())["calls"]
        assert again["create"] == 300
        assert again["list"] - calls["list"] <= ROUTERS * (1 + POLLS_MAX)
        assert_created_once(await sky.statistics(), 300)


async def test_what_was_pending_and_failed_in_the_end_is_reported_by_resume(tmp_path: Path) -> None:
    write_settings(tmp_path, "[run]\nverify_time_s = 0.1\n")
    inventory = write_rows(tmp_path / "routers.csv", wishes := some_rows(4))
    async with cloud() as sky:
        await decide(sky, wishes, "pending")
        ended = await run(sky, tmp_path, "run", str(inventory))
        assert ended.code == 5, ended.err
        assert column(tmp_path, "outcome") == ["unverified"] * 4

        await decide(sky, wishes[:2], "failed")
        ended = await run(sky, tmp_path, "resume")
        assert ended.code == 5, ended.err
        assert column(tmp_path, "outcome") == ["failed"] * 2 + ["unverified"] * 2

        await decide(sky, wishes[2:], "available")
        ended = await run(sky, tmp_path, "resume")
        assert ended.code == 3, ended.err
        assert column(tmp_path, "outcome") == ["failed"] * 2 + ["created"] * 2
        assert_created_once(await sky.statistics(), 4)


async def test_failed_rows_alone_are_faulty_and_a_retry_makes_them_once_they_were_deleted(tmp_path: Path) -> None:
    inventory = write_rows(tmp_path / "routers.csv", FAIL + REST)
    async with cloud(pending_s=PENDING_S) as sky:
        await decide(sky, FAIL, "failed")
        ended = await run(sky, tmp_path, "run", str(inventory))
        assert ended.code == 3, ended.err
        assert column(tmp_path, "outcome") == ["failed"] * 100 + ["created"] * 100
        assert summary(tmp_path)["state"] == "finished"

        ended = await run(sky, tmp_path, "retry")
        assert ended.code == 3, ended.err
        assert Counter(column(tmp_path, "error_code")) == {"BATCHER.RemoteFailed": 100}
        assert_created_once(await sky.statistics(), 200)

        await decide(sky, FAIL, "available")
        await delete_failed(sky)
        ended = await run(sky, tmp_path, "retry")
        assert ended.code == 0, ended.err
        assert column(tmp_path, "outcome") == ["created"] * 100
        statistics = await sky.statistics()
        assert (statistics["created_total"], statistics["flow_logs"]) == (300, 200)
        assert statistics["keys_created_twice"] == []


async def test_a_retry_before_it_is_gone_spoils_nothing(tmp_path: Path) -> None:
    """Who deletes as advised and retries at once meets it `deleting`, and need only retry again."""
    inventory = write_rows(tmp_path / "routers.csv", wishes := some_rows(2))
    async with cloud(deleting_s=60) as sky:
        await decide(sky, wishes[:1], "failed")
        assert (await run(sky, tmp_path, "run", str(inventory))).code == 3
        await decide(sky, wishes[:1], "available")
        await delete(sky, wishes[0], report_rows(tmp_path)[0]["flow_log_id"])
        ended = await run(sky, tmp_path, "retry")
        assert ended.code == 3, ended.err
        assert column(tmp_path, "outcome")[0] in {"failed", "in_doubt"}
        assert "the listing does not show it" not in column(tmp_path, "error_message")[0]

        await sky.control("POST", "clock", {"advance_s": 60})
        ended = await run(sky, tmp_path, "retry")
        assert ended.code == 0, ended.out + ended.err
        assert column(tmp_path, "outcome") == ["created"]
        assert (await sky.statistics())["keys_created_twice"] == []
        assert {log["state"] for log in await sky.flow_logs(wishes[0])} == {"available"}


async def test_failed_at_once_is_failed_without_waiting(tmp_path: Path) -> None:
    """The answer to the create itself says so."""
    inventory = write_rows(tmp_path / "routers.csv", wishes := some_rows(2))
    async with cloud() as sky:
        await decide(sky, wishes[:1], "failed")
        ended = await run(sky, tmp_path, "run", str(inventory))
        assert ended.code == 3, ended.err
        assert column(tmp_path, "outcome") == ["failed", "created"]
        row = report_rows(tmp_path)[0]
        assert (row["error_code"], row["flow_log_state"]) == ("BATCHER.RemoteFailed", "failed")
        assert "`batcher retry --replace-failed`" in row["error_message"]
        assert_created_once(await sky.statistics(), 2)
