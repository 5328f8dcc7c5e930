"""Several accounts in one run: each has its own keys and its own canary, and is stopped alone."""

from collections import Counter
from pathlib import Path

import pytest

from tests.e2e.clouds import assert_created_once, cloud
from tests.e2e.commands import batcher, column, report_rows, summary
from tests.e2e.inventories import some_rows, write_rows

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
