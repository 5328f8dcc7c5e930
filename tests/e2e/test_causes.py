"""Why rows are not done: the cause and not the end, the same on every screen, and rows to act on by it."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.e2e.clouds import cloud
from tests.e2e.commands import EMULATOR_KEYS, batcher, dead_address, report_rows, summary, write_settings
from tests.e2e.inventories import some_rows, write_rows

BUSY = "[run]\nbackoff_base_s = 0.05\nbackoff_cap_s = 0.1\n"


def causes(folder: Path) -> dict[str, int]:
    return {cause["code"]: cause["count"] for cause in summary(folder)["causes"]}


def codes(folder: Path, name: str, value: str) -> Counter[str]:
    return Counter(row["error_code"] for row in report_rows(folder) if row[name] == value)


async def test_rows_of_a_dead_region_say_so_and_nothing_is_foretold_for_them(tmp_path: Path) -> None:
    with dead_address() as address:
        dead = f'{BUSY}[cloud.regions.dead-1]\ner = "http://{address}"\n'
        rows = [*some_rows(20), *some_rows(20, region="dead-1", er_id="11111111-2222-4333-8444-555555555555")]
        inventory = write_rows(tmp_path / "routers.csv", rows)
        async with cloud() as sky:
            write_settings(tmp_path, f'{dead}[cloud.regions.cn-north-4]\ner = "{sky.url}"\n')
            words = ("run", str(inventory), "--rate", "200/s", "--for", "3s", "--no-progress")
            ended = await batcher(tmp_path, *words, extra=EMULATOR_KEYS)
    assert ended.code == 5, ended.err
    assert codes(tmp_path, "region", "cn-north-4") == {"": 20}
    assert codes(tmp_path, "region", "dead-1") == {"BATCHER.Unreachable": 20}
    row = report_rows(tmp_path)[-1]
    assert "region `dead-1`" in row["error_message"]
    assert address in row["error_message"]
    assert "stopped: BATCHER.Deadline (20 rows are left, 20 of them where the provider does not answer" in ended.out
    assert "sitting" not in ended.out
    assert causes(tmp_path) == {"BATCHER.Unreachable": 20}
    assert f"do: check the endpoint of region `dead-1` ({address})" in ended.out


async def test_a_refused_account_and_a_dead_region_each_have_their_own_code(tmp_path: Path) -> None:
    profiles = tmp_path / "profiles"
    profiles.write_text("[good]\nak = EMULATORAK\nsk = EMULATORSK\n[bad]\nak = AKBAD\nsk = SKBAD\n")
    profiles.chmod(0o600)
    rows = [
        *some_rows(5, account="bad"),
        *some_rows(5, account="good", region="dead-1", er_id="11111111-2222-4333-8444-555555555555"),
        *some_rows(5, account="bad", project_id="f" * 32, er_id="21111111-2222-4333-8444-555555555555"),
    ]
    inventory = write_rows(tmp_path / "routers.csv", rows)
    with dead_address() as address:
        async with cloud() as sky:
            write_settings(
                tmp_path,
                f'{BUSY}[credentials]\nprofile_file = "{profiles}"\n[cloud.regions.dead-1]\ner = "http://{address}"\n'
                f'[cloud.regions.cn-north-4]\ner = "{sky.url}"\n',
            )
            words = ("run", str(inventory), "--rate", "200/s", "--for", "3s", "--no-progress")
            ended = await batcher(tmp_path, *words)
    assert codes(tmp_path, "account", "bad") == {"BATCHER.AccessRefused": 10}, ended.out
    assert codes(tmp_path, "account", "good") == {"BATCHER.Unreachable": 5}
    assert ended.out.count("do: ") == 2


async def test_the_end_of_a_run_says_why_and_status_says_the_same(tmp_path: Path) -> None:
    write_settings(tmp_path, BUSY)
    wishes = some_rows(30)
    wishes[3]["resource_id"] = "vpc-1"
    inventory = write_rows(tmp_path / "routers.csv", wishes)
    async with cloud() as sky:
        places = [{name: wish[name] for name in ("project_id", "er_id", "resource_id")} for wish in wishes]
        await sky.control("POST", "fates", [{**place, "state": "failed"} for place in places[10:15]])
        refusal = {"operation": "create", "fault": "status", "status": 404, "code": "ER.04044001"}
        await sky.script({**refusal, "times": 2})
        ended = await sky.run(tmp_path, "run", str(inventory))
        assert ended.code == 3, ended.err
        shown = ended.out.splitlines()
        block = shown[next(at for at, line in enumerate(shown) if " of 30 done (" in line) :]
        assert block[0].startswith("22 of 30 done (73.3 %) in ")
        heads = [line.split(": ")[:2] for line in block if " row" in line.split(":")[0] and not line.startswith("next")]
        assert heads == [
            ["5 rows", "BATCHER.RemoteFailed"],
            ["2 rows", "ER.04044001"],
            ["1 row", "BATCHER.Invalid"],
        ]
        assert f"  such as {inventory.name}:12 (fl-10)" in "\n".join(block)
        assert any("retry" in line and "--replace-failed" in line for line in block if line.startswith("next: "))
        status = await batcher(tmp_path, "status", "latest")
        assert status.out.splitlines()[-len(block) + 1 :] == block[1:]

        quiet = await sky.run(tmp_path, "run", str(inventory), "-q")
        assert quiet.code == 3
        assert " of 30 done (" in quiet.out.splitlines()[0]
        assert "BATCHER.Invalid" in quiet.out
        good = write_rows(tmp_path / "good.csv", some_rows(3, routers=1, er_id=wishes[0]["er_id"]))
        silent = await sky.run(tmp_path, "run", str(good), "-q")
        assert (silent.code, silent.out, silent.err) == (0, "", "")


async def test_rows_are_printed_and_taken_up_by_their_code(tmp_path: Path) -> None:
    write_settings(tmp_path, BUSY)
    wishes = some_rows(10)
    wishes[3]["resource_id"] = "vpc-1"
    inventory = write_rows(tmp_path / "routers.csv", wishes)
    async with cloud() as sky:
        refusal = {"operation": "create", "fault": "status", "status": 404, "code": "ER.04044001"}
        await sky.script({**refusal, "times": 2})
        assert (await sky.run(tmp_path, "run", str(inventory))).code == 3
        assert await printed(tmp_path, "--failed") == ["routers.csv:2", "routers.csv:3", "routers.csv:5"]
        assert await printed(tmp_path, "--failed", "--code", "ER.04044001") == ["routers.csv:2", "routers.csv:3"]
        assert await printed(tmp_path, "--outcome", "invalid") == ["routers.csv:5"]
        assert len(await printed(tmp_path, "--outcome", "created")) == 7
        as_json = await batcher(tmp_path, "report", "--code", "ER.04044001", "--output", "json")
        assert [json.loads(line)["line"] for line in as_json.out.splitlines()] == [2, 3]
        again = await sky.run(tmp_path, "retry", "--code", "ER.04044001")
        assert again.code == 0, again.out
        assert len(report_rows(tmp_path)) == 2


async def printed(folder: Path, *words: str) -> list[str]:
    """The places of the rows that a report prints."""
    ended = await batcher(folder, "report", "latest", *words)
    assert ended.code == 0, ended.err
    return [line.split(": ")[0] for line in ended.out.splitlines()]


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("BATCHER.Unreachable", ["meaning: no connection", "advice: check the endpoint"]),
        ("quotaexhausted", ["code: BATCHER.QuotaExhausted"]),
        ("ER.04009008", ["http_status: 400", "stops: attachment", "advice: delete unused flow logs"]),
    ],
)
async def test_a_code_is_explained(tmp_path: Path, word: str, says: Sequence[str]) -> None:
    ended = await batcher(tmp_path, "explain", word)
    assert ended.code == 0, ended.err
    for text in says:
        assert text in ended.out


async def test_a_code_that_nobody_knows_is_near_another(tmp_path: Path) -> None:
    ended = await batcher(tmp_path, "explain", "BATCHER.Unreachabel")
    assert ended.code == 2
    assert "did you mean `BATCHER.Unreachable`?" in ended.err


async def test_a_derived_code_carries_the_advice_of_its_cause(tmp_path: Path) -> None:
    inventory = write_rows(tmp_path / "routers.csv", some_rows(40))
    async with cloud(quota=5) as sky:
        ended = await sky.run(tmp_path, "run", str(inventory))
    advice = {cause["code"]: cause["advice"] for cause in summary(tmp_path)["causes"]}
    assert advice["BATCHER.QuotaExhausted"] == advice["ER.04009008"] != "", ended.out
