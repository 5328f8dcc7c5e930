"""Exit code 7: keys that are refused and endpoints that do not answer stop a run without hammering, and cost no row."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.clouds import assert_created_once, cloud
from tests.e2e.commands import EMULATOR_KEYS, batcher, column, emulator, report_rows, summary, write_settings
from tests.e2e.inventories import some_rows, write_rows

WRONG = {"HUAWEICLOUD_SDK_AK": "EMULATORAK", "HUAWEICLOUD_SDK_SK": "not-the-secret"}


async def test_a_wrong_secret_costs_one_call_and_no_row(tmp_path: Path) -> None:
    inventory = write_rows(tmp_path / "routers.csv", some_rows(30))
    async with emulator(tmp_path) as running:
        words = ("run", str(inventory), "--endpoint", running.url, "--rate", "200/s")
        ended = await batcher(tmp_path, *words, extra=WRONG)
        assert ended.code == 7, ended.err
        assert (await running.statistics())["answers"] == {"list": {"401": 1}}
        assert "APIGW.0301" in ended.err
        assert column(tmp_path, "outcome") == ["skipped"] * 30
        assert set(column(tmp_path, "error_code")) == {"BATCHER.AccessRefused"}
        assert set(column(tmp_path, "first_sent_at")) == {""}
        assert (summary(tmp_path)["exit_code"], summary(tmp_path)["state"]) == (7, "open")

        ended = await batcher(tmp_path, *words, "--reconcile", "never", extra=WRONG)
        assert ended.code == 7, ended.err
        assert (await running.statistics())["answers"]["create"] == {"401": 1}

        ended = await batcher(tmp_path, *words, extra=EMULATOR_KEYS)
        assert ended.code == 0, ended.err
        assert column(tmp_path, "outcome") == ["created"] * 30
        assert_created_once(await running.statistics(), 30)


async def test_a_wrong_secret_costs_one_call_whatever_the_lanes(tmp_path: Path) -> None:
    inventory = write_rows(tmp_path / "routers.csv", some_rows(30, routers=3, projects=3))
    async with cloud() as sky:
        ended = await batcher(tmp_path, *sky.words("run", str(inventory)), extra=WRONG)
        assert ended.code == 7, ended.err
        assert sum((await sky.statistics())["calls"].values()) == 1
        assert len(report_rows(tmp_path)) == 30


@contextmanager
def closed_port() -> Iterator[int]:
    """A loopback port that nobody listens on and nobody else gets."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield int(held.getsockname()[1])


async def test_an_endpoint_that_is_down_leaves_every_row_as_it_was(tmp_path: Path) -> None:
    write_settings(tmp_path, "[run]\nattempts_max = 2\nbackoff_base_s = 0.01\nbackoff_cap_s = 0.02\n")
    inventory = write_rows(tmp_path / "routers.csv", some_rows(6))
    with closed_port() as port:
        words = ("run", str(inventory), "--endpoint", f"http://127.0.0.1:{port}")
        ended = await batcher(tmp_path, *words, extra=EMULATOR_KEYS)
    assert ended.code == 7, ended.err
    assert f"127.0.0.1:{port}" in ended.err
    assert "no connection" in ended.err
    assert column(tmp_path, "outcome") == ["skipped"] * 6
    assert set(column(tmp_path, "error_code")) == {"BATCHER.Unreachable"}
    assert set(column(tmp_path, "first_sent_at")) == {""}
    assert "resume" in ended.out

    async with cloud(port=port) as sky:
        ended = await sky.run(tmp_path, "resume")
        assert ended.code == 0, ended.err
        assert column(tmp_path, "outcome") == ["created"] * 6
        assert set(column(tmp_path, "generation")) == {"0"}
        assert_created_once(await sky.statistics(), 6)


async def test_an_endpoint_that_goes_down_on_the_way_costs_no_row(tmp_path: Path) -> None:
    write_settings(tmp_path, "[run]\nattempts_max = 2\nbackoff_base_s = 0.01\nbackoff_cap_s = 0.02\nretry_time_s = 3\n")
    inventory = write_rows(tmp_path / "routers.csv", some_rows(12))
    state = tmp_path / "cloud.db"
    with closed_port() as port:
        pass
    async with cloud(state_path=state, port=port) as sky:
        run = sky.slowly(tmp_path, "run", str(inventory), rate="20/s")
        work = await run.__aenter__()
        await work.until("kind=create", times=4)
    ended = await work.end()
    await run.__aexit__(None, None, None)
    assert ended.code == 7, ended.err
    outcomes = column(tmp_path, "outcome")
    assert set(outcomes) <= {"created", "skipped", "in_doubt"}
    assert outcomes.count("created") >= 3

    async with cloud(state_path=state, port=port) as sky:
        ended = await sky.run(tmp_path, "resume")
        assert ended.code == 0, ended.err
        assert column(tmp_path, "outcome") == ["created"] * 12
        assert_created_once(await sky.statistics(), 12)


async def test_keys_from_a_profile_are_the_rows_own(tmp_path: Path) -> None:
    """Each account signs with its own section; one without any ends the command before a call."""
    profile = tmp_path / ".huaweicloud" / "credentials"
    profile.parent.mkdir()
    profile.write_text("[basic]\nak = EMULATORAK\nsk = EMULATORSK\n[ops]\nak = EMULATORAK\nsk = EMULATORSK\n")
    wishes = [*some_rows(2, account="default"), *({**wish, "account": "ops"} for wish in some_rows(4)[2:])]
    async with cloud() as sky:
        inventory = write_rows(tmp_path / "routers.csv", wishes)
        ended = await batcher(tmp_path, *sky.words("run", str(inventory)))
        assert ended.code == 0, ended.err
        assert column(tmp_path, "account") == ["default", "default", "ops", "ops"]

        calls = await sky.creates()
        inventory = write_rows(tmp_path / "others.csv", [*wishes, {**some_rows(5)[4], "account": "absent"}])
        ended = await batcher(tmp_path, *sky.words("run", str(inventory)))
        assert ended.code == 2, ended.out
        assert "`absent`" in ended.err
        assert await sky.creates() == calls
