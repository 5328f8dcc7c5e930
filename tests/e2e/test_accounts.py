"""Several accounts in one run: each has its own keys and its own canary, and is stopped alone."""

from collections import Counter
from pathlib import Path

import pytest

from tests.e2e.clouds import assert_created_once, cloud
from tests.e2e.commands import batcher, column, report_rows, summary, write_settings
from tests.e2e.inventories import some_project, some_rows, write_rows

KEYS = {"AKNORTH": "secret-of-north", "AKSOUTH": "secret-of-south", "AKEAST": "secret-of-east"}


def write_profile(folder: Path, **sections: dict[str, str]) -> Path:
    """A profile file in the home `folder`."""
    path = folder / ".huaweicloud" / "credentials"
    path.parent.mkdir(exist_ok=True)
    lines = []
    for name, values in sections.items():
        lines += [f"[{name}]", *(f"{key} = {value}" for key, value in values.items())]
    path.write_text("\n".join(lines) + "\n")
    path.chmod(0o600)
    return path


def pair(access: str, secret: str = "") -> dict[str, str]:
    """A section's keys; the right secret unless another is given."""
    return {"ak": access, "sk": secret or KEYS[access]}


async def test_a_wrong_secret_costs_exactly_one_call_for_each_account_and_leaves_the_others_alone(
    tmp_path: Path,
) -> None:
    """Three accounts with four projects each; two have wrong secrets. More than five refusals would lock a key."""
    write_profile(tmp_path, north=pair("AKNORTH"), south=pair("AKSOUTH", "wrong"), east=pair("AKEAST", "wrong too"))
    wishes = [
        {**wish, "account": account, "resource_id": wish["resource_id"][:-1] + digit}
        for account, digit in (("north", "1"), ("south", "2"), ("east", "3"))
        for wish in some_rows(80, routers=8, projects=4)
    ]
    inventory = write_rows(tmp_path / "routers.csv", wishes)
    async with cloud(keys=KEYS) as sky:
        ended = await batcher(tmp_path, *sky.words("run", str(inventory)), "--concurrency", "32")
        assert ended.code == 7, ended.err
        statistics = await sky.statistics()
        assert statistics["unauthorized_by_key"] == {"AKSOUTH": 1, "AKEAST": 1}
        assert_created_once(statistics, 80)
        found = Counter((row["account"], row["outcome"], row["error_code"]) for row in report_rows(tmp_path))
        assert found == {
            ("north", "created", ""): 80,
            ("south", "skipped", "BATCHER.AccessRefused"): 80,
            ("east", "skipped", "BATCHER.AccessRefused"): 80,
        }
        assert "APIGW.0301" in ended.out
        assert "hint: check the keys" in ended.out
        assert summary(tmp_path)["state"] == "open"

        write_profile(tmp_path, north=pair("AKNORTH"), south=pair("AKSOUTH"), east=pair("AKEAST"))
        ended = await batcher(tmp_path, *sky.words("resume"))
        assert ended.code == 0, ended.err
        assert_created_once(await sky.statistics(), 240)


async def test_keys_that_are_renewed_in_the_file_while_a_run_works_are_taken_up(tmp_path: Path) -> None:
    """The file is replaced while the run goes on; the old keys are then refused, and nothing stops for it."""
    profile = write_profile(tmp_path, basic=pair("AKNORTH"))
    inventory = write_rows(tmp_path / "routers.csv", some_rows(40))
    async with cloud(keys=KEYS) as sky:
        async with sky.slowly(tmp_path, "run", str(inventory), rate="20/s", keys={}) as work:
            await work.until("kind=create", times=10)
            fresh = profile.with_name("fresh")
            fresh.write_text("[basic]\nak = AKSOUTH\nsk = secret-of-south\n")
            fresh.chmod(0o600)
            fresh.rename(profile)
            await sky.control("PATCH", "settings", {"keys": {"AKSOUTH": KEYS["AKSOUTH"]}})
            ended = await work.end()
        assert ended.code == 0, ended.err
        assert column(tmp_path, "outcome") == ["created"] * 40
        assert_created_once(await sky.statistics(), 40)


async def test_wrong_keys_that_are_taken_up_while_a_run_works_are_refused_once(tmp_path: Path) -> None:
    """Many calls of many lanes are in flight when the file gets a wrong secret: it goes out once all the same."""
    profile = write_profile(tmp_path, basic=pair("AKNORTH"))
    inventory = write_rows(tmp_path / "routers.csv", some_rows(800, routers=8, projects=4))
    async with cloud(keys=KEYS, latency_s=0.05) as sky:
        async with sky.slowly(tmp_path, "run", str(inventory), "--concurrency", "32", rate="100/s", keys={}) as work:
            await work.until("kind=create", times=60)
            fresh = profile.with_name("fresh")
            fresh.write_text("[basic]\nak = AKSOUTH\nsk = wrong\n")
            fresh.chmod(0o600)
            fresh.rename(profile)
            ended = await work.end()
        assert ended.code == 7, ended.err
        assert (await sky.statistics())["unauthorized_by_key"] == {"AKSOUTH": 1}
        assert set(column(tmp_path, "outcome")) == {"created", "skipped"}


async def test_a_wrong_secret_at_a_machine_with_a_wrong_clock_costs_two_calls_whatever_the_regions(
    tmp_path: Path,
) -> None:
    """One for the clock, one for the key; five would lock it."""
    write_profile(tmp_path, basic=pair("AKNORTH", "wrong"))
    regions = ("cn-north-4", "cn-south-1", "cn-east-3", "ap-southeast-1", "la-north-2", "af-south-1")
    wishes = [
        {**wish, "region": region, "project_id": some_project(number)}
        for number, region in enumerate(regions)
        for wish in some_rows(30)
    ]
    inventory = write_rows(tmp_path / "routers.csv", wishes)
    async with cloud(keys=KEYS, clock_skew_s=3600.0) as sky, cloud(keys=KEYS, clock_skew_s=3600.0) as other:
        urls = [sky.url if number % 2 else other.url for number in range(len(regions))]
        tables = [f'[cloud.regions.{region}]\ner = "{url}"\n' for region, url in zip(regions, urls, strict=True)]
        write_settings(tmp_path, "".join(tables))
        ended = await batcher(tmp_path, "run", str(inventory), "--rate", "200/s", "--no-progress")
        assert ended.code == 7, ended.err
        refused = [(await each.statistics())["unauthorized_by_key"].get("AKNORTH", 0) for each in (sky, other)]
        assert sum(refused) == 2


async def test_a_project_that_is_told_to_wait_first_does_not_hold_up_its_accounts_other_projects(
    tmp_path: Path,
) -> None:
    """The first call of the account is throttled, so its keys are not proven yet; another project proves them."""
    write_profile(tmp_path, basic=pair("AKNORTH"))
    waits, goes = some_project(1), some_project(2)
    wishes = [{**wish, "project_id": project} for project in (waits, goes) for wish in some_rows(5)]
    inventory = write_rows(tmp_path / "routers.csv", wishes)
    async with cloud(keys=KEYS) as sky:
        told = {"fault": "status", "status": 429, "code": "APIGW.0308", "headers": {"Retry-After": "3"}}
        await sky.script({"operation": "create", "match": {"project_id": waits}, **told})
        async with sky.slowly(tmp_path, "run", str(inventory), "--reconcile", "never", rate="50/s", keys={}) as work:
            await work.until("lane.paused")
            await work.until(f"row.settled lane=default/cn-north-4/{goes}", times=5)
            assert await sky.creates() == 6
            ended = await work.end()
        assert ended.code == 0, ended.err
        assert_created_once(await sky.statistics(), 10)


async def test_advice_of_the_users_own_for_a_refused_key_leaves_its_account_stopped(tmp_path: Path) -> None:
    write_profile(tmp_path, basic=pair("AKNORTH", "wrong"))
    entry = 'status = 401\ncode = "APIGW.0301"\nkind = "permanent"\nadvice = "call Bob"\n'
    write_settings(tmp_path, f"[[cloud.errors]]\n{entry}")
    inventory = write_rows(tmp_path / "routers.csv", some_rows(30))
    async with cloud(keys=KEYS) as sky:
        ended = await batcher(tmp_path, *sky.words("run", str(inventory)))
        assert ended.code == 7, ended.err
        assert "hint: call Bob" in ended.out
        assert (await sky.statistics())["unauthorized_by_key"] == {"AKNORTH": 1}
        write_settings(tmp_path, f'[[cloud.errors]]\n{entry}stops = "row"\n')
        ended = await batcher(tmp_path, *sky.words("resume"))
        assert ended.code == 2, ended.out
        assert "a refused key is never sent again" in ended.err


@pytest.mark.parametrize("form", ["keys", "token"])
async def test_a_flag_names_the_variable_that_holds_a_secret(tmp_path: Path, form: str) -> None:
    """First found wins: what a flag names comes before the usual variables."""
    inventory = write_rows(tmp_path / "routers.csv", some_rows(3))
    usual = {"HUAWEICLOUD_SDK_AK": "AKSOUTH", "HUAWEICLOUD_SDK_SK": "wrong"}
    flags: tuple[str, ...]
    if form == "keys":
        flags = ("--access-key-env", "MY_AK", "--secret-key-env", "MY_SK")
        named = {"MY_AK": "AKNORTH", "MY_SK": KEYS["AKNORTH"]}
    else:
        flags, named = ("--auth-token-env", "MY_TOKEN"), {"MY_TOKEN": "a-token-of-mine"}
    async with cloud(keys=KEYS, auth_tokens=frozenset({"a-token-of-mine"})) as sky:
        words = (*sky.words("run", str(inventory)), *flags)
        ended = await batcher(tmp_path, *words, extra={**usual, **named})
        assert ended.code == 0, ended.err
        ended = await batcher(tmp_path, *words, extra=usual)
        assert ended.code == 2, ended.out
        assert flags[1] in ended.err
