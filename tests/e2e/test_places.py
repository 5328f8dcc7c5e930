"""A run belongs to its endpoints and its tenant: what leads elsewhere since is refused, or planned anew."""

import asyncio
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.clouds import Cloud, assert_created_once, cloud
from tests.e2e.commands import EMULATOR_KEYS, batcher, column, summary, working, write_settings
from tests.e2e.inventories import some_project, some_rows, write_rows
from tests.e2e.test_accounts import KEYS, pair, write_profile
from tests.e2e.undos import ids, run_id

REGION = "cn-north-4"
ROWS = some_rows(5)
QUICK = '[run]\nrate = "200/s"\nattempts_max = 2\nbackoff_base_s = 0.01\nbackoff_cap_s = 0.02\n'


@dataclass(frozen=True)
class Given:
    """How a command is told of an endpoint."""

    words: tuple[str, ...] = ()
    variables: Mapping[str, str] | None = None
    settings: str = ""


def given(way: str, url: str) -> Given:
    """A flag, a variable, a setting for all regions, or for one."""
    if way == "flag":
        return Given(("--endpoint", url))
    if way == "variable":
        return Given(variables={"BATCHER_CLOUD_ENDPOINT": url})
    if way == "setting":
        return Given(settings=f'[cloud]\nendpoint = "{url}"\n')
    return Given(settings=f'[cloud.regions.{REGION}]\ner = "{url}"\n')


WAYS = ("flag", "variable", "setting", "region")


async def command(folder: Path, place: Given, *words: str) -> tuple[int, str, str]:
    """Run a command that is told of an endpoint; code, stdout, stderr."""
    write_settings(folder, QUICK + place.settings)
    own = {**EMULATOR_KEYS, **(place.variables or {})}
    ended = await batcher(folder, *words, *place.words, "--no-progress", extra=own)
    assert "Traceback" not in ended.err
    return ended.code, ended.out, ended.err


async def calls(sky: Cloud) -> dict[str, int]:
    """What a cloud was asked so far."""
    return dict((await sky.statistics())["calls"])


async def killed_run(folder: Path, sky: Cloud, place: Given, wishes: list[dict[str, str]]) -> int:
    """Kill a run of these wishes when two of them were sent; how many are there."""
    write_settings(folder, place.settings)
    words = ("run", str(write_rows(folder / "routers.csv", wishes)), *place.words, "--rate", "5/s", "-vv")
    async with working(folder, *words, extra={**EMULATOR_KEYS, **(place.variables or {})}) as work:
        await sky.until_creates(2)
        work.process.kill()
        await work.process.wait()
    there = (await sky.statistics())["created_total"]
    assert 0 < there < len(wishes)
    return int(there)


def runs(folder: Path) -> list[tuple[str, str, str]]:
    """Each run of the ledger with its operation and state, oldest first."""
    with closing(sqlite3.connect(f"file:{folder / 'reports' / 'ledger.db'}?mode=ro", uri=True)) as ledger:
        return ledger.execute("SELECT run_id, operation, state FROM run ORDER BY run_no").fetchall()


@pytest.mark.parametrize("way", WAYS)
async def test_an_undo_that_is_led_to_another_cloud_is_refused_and_at_its_own_it_deletes(
    tmp_path: Path, way: str
) -> None:
    inventory = write_rows(tmp_path / "routers.csv", ROWS)
    async with cloud() as first, cloud() as second:
        assert (await command(tmp_path, given(way, first.url), "run", str(inventory)))[0] == 0
        run = run_id(tmp_path)
        before = await calls(first)
        for other in WAYS:
            code, out, err = await command(tmp_path, given(other, second.url), "undo", run, "--yes")
            assert (code, out) == (2, ""), err
            assert f"run `{run}` belongs to Enterprise Router at `{first.url}`" in err
            assert f"`{second.url}`" in err
            assert "hint: " in err
        assert (await calls(first), await calls(second)) == (before, {})
        assert [state for _, _, state in runs(tmp_path)] == ["finished"], "nothing of a refused undo stays"

        code, out, err = await command(tmp_path, Given(), "undo", run, "--yes")
        assert (code, await ids(first, ROWS)) == (0, [""] * 5), err
        assert (await calls(second)) == {}
        assert summary(tmp_path)["endpoints"][0]["er"] == first.url


@pytest.mark.parametrize("way", WAYS)
async def test_a_killed_run_is_not_gone_on_with_in_another_cloud(tmp_path: Path, way: str) -> None:
    """`resume` refuses; `run` plans anew for the cloud that it is led to, names the old run, and leaves it as it is."""
    async with cloud() as first, cloud() as second:
        there = await killed_run(tmp_path, first, given("region", first.url), ROWS)
        code, _, err = await command(tmp_path, given(way, second.url), "resume")
        ((run, _, _),) = runs(tmp_path)
        assert code == 2
        assert f"run `{run}` belongs to Enterprise Router at `{first.url}`" in err
        assert f"`{second.url}`" in err
        assert await calls(second) == {}

        code, out, err = await command(tmp_path, given(way, second.url), "run", "routers.csv")
        assert (code, column(tmp_path, "outcome")) == (0, ["created"] * 5), err
        assert f"`{run}` belongs to Enterprise Router at `{first.url}`" in err
        assert "the inventory is planned anew" in err
        assert "(continued)" not in out
        assert summary(tmp_path)["endpoints"] == [
            {"region": REGION, "er": second.url, "iam": second.url, "lts": second.url}
        ]
        assert_created_once(await second.statistics(), 5)
        assert (await first.statistics())["created_total"] == there

        code, out, err = await command(tmp_path, Given(), "resume", run)
        assert (code, [line for line in err.splitlines() if "says where calls and keys go" not in line]) == (0, [])
        assert "(continued): 5 created" in out
        assert_created_once(await first.statistics(), 5)
        assert [state for _, _, state in runs(tmp_path)] == ["finished", "finished"]


async def test_a_run_goes_on_with_the_unfinished_run_of_its_own_cloud(tmp_path: Path) -> None:
    """Two unfinished runs of one inventory: the newer one is of the other cloud."""
    async with cloud() as first, cloud() as second:
        await killed_run(tmp_path, first, given("flag", first.url), ROWS)
        await killed_run(tmp_path, second, given("flag", second.url), ROWS)
        code, out, err = await command(tmp_path, given("region", first.url), "run", "routers.csv")
        assert (code, [line for line in err.splitlines() if "says where calls and keys go" not in line]) == (0, [])
        assert f"run {runs(tmp_path)[0][0]} (continued): 5 created" in out
        assert_created_once(await first.statistics(), 5)


async def test_a_run_that_is_told_of_no_endpoint_goes_on_where_it_was_begun_and_says_so(tmp_path: Path) -> None:
    """Never at the provider's own host, which would see the keys of another cloud."""
    async with cloud() as sky:
        await killed_run(tmp_path, sky, given("variable", sky.url), ROWS)
        code, out, err = await command(tmp_path, Given(), "run", "routers.csv")
        assert code == 0, err
        assert "(continued): 5 created" in out
        assert "goes on at the endpoints that it was begun at" in err
        assert_created_once(await sky.statistics(), 5)


async def test_a_retry_that_is_led_to_another_cloud_is_refused_and_nothing_of_it_stays(tmp_path: Path) -> None:
    inventory = write_rows(tmp_path / "routers.csv", ROWS)
    async with cloud() as first, cloud() as second:
        await first.script({"operation": "create", "fault": "status", "status": 400, "code": "ER.04009005"})
        assert (await command(tmp_path, given("region", first.url), "run", str(inventory)))[0] == 3
        run = run_id(tmp_path)
        for way in WAYS:
            code, _, err = await command(tmp_path, given(way, second.url), "retry")
            assert code == 2
            assert f"run `{run}` belongs to Enterprise Router at `{first.url}`" in err
        assert await calls(second) == {}
        assert len(runs(tmp_path)) == 1

        await first.script()
        code, out, err = await command(tmp_path, given("setting", first.url), "retry")
        assert (code, [line for line in err.splitlines() if "says where calls and keys go" not in line]) == (0, [])
        assert "1 created" in out
        assert summary(tmp_path)["endpoints"][0]["er"] == first.url, "a copied lane keeps its place"
        code, _, err = await command(tmp_path, given("region", second.url), "undo", run_id(tmp_path), "--yes")
        assert code == 2
        assert await calls(second) == {}


async def test_a_plan_that_was_reviewed_for_one_cloud_is_not_done_in_another(tmp_path: Path) -> None:
    inventory = write_rows(tmp_path / "routers.csv", ROWS)
    async with cloud() as first, cloud() as second:
        await first.seed_ground(*ROWS)
        place = given("region", first.url)
        assert (await command(tmp_path, place, "plan", str(inventory), "--out", "plan.json"))[0] == 0
        code, _, err = await command(tmp_path, given("flag", second.url), "run", str(inventory), "--plan", "plan.json")
        assert code == 2
        assert f"at `{first.url}`" in err
        assert f"`{second.url}`" in err
        assert await calls(second) == {}
        words = ("run", str(inventory), "--plan", "plan.json")
        code, out, err = await command(tmp_path, given("flag", f"{first.url}/"), *words)
        assert code == 0, out + err
        assert_created_once(await first.statistics(), 5)


async def test_a_rehearsal_is_gone_on_with_and_taken_back_whatever_its_port(tmp_path: Path) -> None:
    inventory = write_rows(tmp_path / "routers.csv", some_rows(60))
    words = ("run", str(inventory), "--emulator", "--rate", "50/s", "-v")
    async with working(tmp_path, *words) as work:
        await work.until(" row.settled ", times=5)
        work.process.kill()
        await work.process.wait()
    ended = await batcher(tmp_path, "run", str(inventory), "--emulator", "--rate", "200/s", "--no-progress")
    assert (ended.code, ended.err) == (0, "")
    assert "(continued): 60 created" in ended.out
    assert summary(tmp_path)["endpoints"] == [{"region": REGION, **dict.fromkeys(("er", "iam", "lts"), "emulator")}]
    ended = await batcher(tmp_path, "undo", run_id(tmp_path), "--yes", "--emulator", "--rate", "200/s", "--no-progress")
    assert (ended.code, ended.err) == (0, "")
    assert "60 deleted" in ended.out


def homeless(account: str) -> list[dict[str, str]]:
    """Rows of an account that name no project."""
    return [{**{k: v for k, v in wish.items() if k != "project_id"}, "account": account} for wish in ROWS]


async def test_credentials_of_another_tenant_do_not_take_back_what_the_first_has_made(tmp_path: Path) -> None:
    """Rotated keys of the same tenant do, also where they name no project any more."""
    ours, theirs = some_project(1), some_project(2)
    inventory = write_rows(tmp_path / "routers.csv", homeless("north"))
    write_profile(tmp_path, north={**pair("AKNORTH"), "project_id": ours})
    async with cloud(keys=KEYS) as sky:
        ended = await batcher(tmp_path, *sky.words("run", str(inventory)))
        assert ended.code == 0, ended.err
        run = run_id(tmp_path)

        write_profile(tmp_path, north={**pair("AKSOUTH"), "project_id": theirs})
        before = await calls(sky)
        ended = await batcher(tmp_path, *sky.words("undo", run, "--yes"))
        assert ended.code == 2, ended.err
        assert f"belongs to the tenant of project `{ours}`" in ended.err
        assert f"name project `{theirs}`" in ended.err
        assert "AKNORTH" not in ended.err
        assert await calls(sky) == before

        for rotated in ({**pair("AKEAST"), "project_id": ours}, pair("AKEAST")):
            write_profile(tmp_path, north=rotated)
            ended = await batcher(tmp_path, *sky.words("undo", run, "--yes"))
            assert ended.code == 0, ended.err
        assert (await sky.statistics())["calls"]["delete"] == 5


async def test_a_run_under_another_tenant_is_planned_anew(tmp_path: Path) -> None:
    inventory = write_rows(tmp_path / "routers.csv", homeless("north"))
    write_profile(tmp_path, north={**pair("AKNORTH"), "project_id": some_project(1)})
    async with cloud(keys=KEYS) as sky:
        async with sky.slowly(tmp_path, "run", str(inventory), keys={}) as work:
            await sky.until_creates(2)
            work.process.kill()
            await work.process.wait()
        write_profile(tmp_path, north={**pair("AKSOUTH"), "project_id": some_project(2)})
        ended = await batcher(tmp_path, *sky.words("resume"))
        assert ended.code == 2, ended.err
        ended = await batcher(tmp_path, *sky.words("run", str(inventory)))
        assert ended.code == 0, ended.err
        assert "the inventory is planned anew" in ended.err
        assert column(tmp_path, "project_id") == [some_project(2)] * 5


async def test_two_accounts_are_told_apart(tmp_path: Path) -> None:
    """Each account has a tenant of its own; that of one says nothing of the other's."""
    inventory = write_rows(tmp_path / "routers.csv", [*homeless("north"), *homeless("south")])
    north, south = ({**pair(key), "project_id": some_project(n)} for n, key in enumerate(("AKNORTH", "AKSOUTH")))
    write_profile(tmp_path, north=north, south=south)
    async with cloud(keys=KEYS) as sky:
        ended = await batcher(tmp_path, *sky.words("run", str(inventory)))
        assert ended.code == 0, ended.err
        write_profile(tmp_path, north=north, south={**south, "project_id": some_project(7)})
        ended = await batcher(tmp_path, *sky.words("undo", run_id(tmp_path), "--yes"))
        assert ended.code == 2
        assert "account `south`" in ended.err
        write_profile(tmp_path, north=north, south=south)
        ended = await batcher(tmp_path, *sky.words("undo", run_id(tmp_path), "--yes"))
        assert ended.code == 0, ended.err
        assert column(tmp_path, "outcome") == ["deleted"] * 10


async def test_status_names_the_endpoints_of_a_run(tmp_path: Path) -> None:
    inventory = write_rows(tmp_path / "routers.csv", ROWS)
    async with cloud() as sky:
        await sky.run(tmp_path, "run", str(inventory))
        text, listed = await asyncio.gather(
            batcher(tmp_path, "status", run_id(tmp_path)), batcher(tmp_path, "status", "--output", "json")
        )
        assert f"endpoints: {REGION} {sky.url}" in text.out
        assert listed.code == 0
