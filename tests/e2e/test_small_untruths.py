"""What the command line says of things that are not there, or are not what they seem."""

import json
import signal
from pathlib import Path

import pytest

from tests.e2e.clouds import cloud
from tests.e2e.commands import EMULATOR_KEYS, all_files, batcher, side_by_side, start, write_settings
from tests.e2e.inventories import some_rows, write_rows
from tests.storage.disks import small_disk

HEADER = b"er_id,resource_id,log_group_id,log_stream_id,region\n"


async def test_an_undo_of_a_run_that_created_nothing_is_refused_and_leaves_no_run(tmp_path: Path) -> None:
    inventory = write_rows(tmp_path / "routers.csv", some_rows(3))
    async with cloud() as sky:
        for _ in range(2):
            assert (await sky.run(tmp_path, "run", str(inventory))).code == 0
        ended = await sky.run(tmp_path, "undo", "latest", "--yes")
        assert ended.code == 2, ended.out
        assert "has created no flow log: there is nothing to take back" in ended.err
        listed = json.loads((await batcher(tmp_path, "status", "--output", "json")).out)
        assert [(run["kind"], run["standing"]) for run in listed] == [("run", "done"), ("run", "done")]


async def test_who_looks_for_a_run_makes_no_ledger(tmp_path: Path) -> None:
    async def tried(number: int, *words: str) -> None:
        (folder := tmp_path / str(number)).mkdir()
        ended = await batcher(folder, *words, extra=EMULATOR_KEYS)
        assert (ended.code, ended.out) == (2, ""), ended.err
        assert "there is no ledger at `reports/" in ended.err
        assert all_files(folder) == set()
        assert not (folder / "reports").exists()

    commands = ("resume", "retry", "undo latest --yes", "resume --emulator", "status", "report")
    await side_by_side(tried(number, *words.split()) for number, words in enumerate(commands))


@pytest.mark.timeout(60)
async def test_a_plan_that_a_full_disk_ended_is_no_run(tmp_path: Path) -> None:
    inventory = write_rows(tmp_path / "routers.csv", some_rows(3000))
    async with cloud() as sky:
        with small_disk(tmp_path / "disk") as disk:
            reports = ("--reports", str(disk.path / "reports"))
            disk.fill(free_bytes=1 << 20)
            ended = await sky.run(tmp_path, "run", str(inventory), *reports)
            assert ended.code == 1, ended.err
            assert "SQLITE_FULL" in ended.err
            disk.free()
            found = json.loads((await batcher(tmp_path, "status", *reports, "--output", "json")).out)
            assert all(run["rows"] == {} and run["left"] == 0 for run in found), found
            ended = await sky.run(tmp_path, "resume", *reports)
            assert (ended.code, "holds no unfinished run" in ended.err) == (2, True), ended.err
            listed = await batcher(tmp_path, "status", *reports)
            assert listed.out == "no runs yet\n"


async def test_one_rule_says_where_settings_are_looked_for(tmp_path: Path) -> None:
    (data := tmp_path / "data").mkdir()
    (bare := tmp_path / "bare").mkdir()
    for folder in (data, bare):
        write_rows(folder / "routers.csv", some_rows(1))
    here = write_settings(tmp_path, '[run]\nrate = "3/s"\n').name
    write_settings(data, '[run]\nrate = "4/s"\n')
    own = write_settings(bare, '[run]\nrate = "5/s"\n').rename(bare / "own.toml")
    cases = {
        "run data/routers.csv": ("data/batcher.toml  (found)", '"4/s"'),
        "run bare/routers.csv": (f"{here}  (found)", '"3/s"'),
        "plan bare/routers.csv": (f"{here}  (found)", '"3/s"'),
        "validate bare/routers.csv": (f"{here}  (found)", '"3/s"'),
        "status": (f"{here}  (found)", '"3/s"'),
        f"status --config {own}": (f"{own}  (--config)", '"5/s"'),
    }

    async def shown(words: str, file: str, rate: str) -> None:
        ended = await batcher(tmp_path, *words.split(), "--show-config")
        found = dict(line.split(" = ", 1) for line in ended.out.splitlines())
        assert found["settings file"] == file, words
        assert found["run.rate"].startswith(rate), words

    await side_by_side(shown(words, *expected) for words, expected in cases.items())
    said = await batcher(tmp_path, "validate", "bare/routers.csv", "-v")
    assert "batcher: settings file = batcher.toml  (found)" in said.err
    assert "settings file" not in (await batcher(tmp_path, "validate", "bare/routers.csv")).err


async def test_a_variable_that_is_no_setting_is_refused_with_the_near_name(tmp_path: Path) -> None:
    cases = {
        "BATCHER_RATE": "did you mean `BATCHER_RUN_RATE`?",
        "BATCHER_RNU_RATE": "did you mean `BATCHER_RUN_RATE`?",
        "BATCHER_REPORTS_DIRECTORY": "did you mean `BATCHER_REPORT_DIRECTORY`?",
        "batcher_run_rate": "did you mean `BATCHER_RUN_RATE`?",
    }

    async def refused(name: str, hint: str) -> None:
        ended = await batcher(tmp_path, "status", extra={name: "5/s"})
        assert ended.code == 2
        assert f"the variable `{name}` is no setting of batcher" in ended.err
        assert hint in ended.err

    await side_by_side(refused(name, hint) for name, hint in cases.items())
    own = {"BATCHER_TICKET": "a", "BATCHER_CREDENTIALS_AUTH_TOKEN_VARIABLE": "BATCHER_TICKET"}
    assert (await batcher(tmp_path, "validate", "--show-config", "x.csv", extra=own)).code == 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
async def test_the_first_signal_is_heard_while_standard_input_is_read(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    commands = ["run - --emulator", "plan - --emulator"]
    if number is signal.SIGINT:
        commands.append("validate -")

    async def stopped(*words: str) -> None:
        process = await start(tmp_path, *words, "-v", stdin=True)
        assert process.stdin is not None
        assert process.stderr is not None
        try:
            process.stdin.write(HEADER + b"x,x,x,x,x\n" * 40_000)  # more than a pipe holds: it is read by now
            await process.stdin.drain()
            process.send_signal(number)
            err = (await process.stderr.read()).decode()
            assert await process.wait() == code, err
            assert "stopped while planning; nothing was sent" in err or "batcher: interrupted" in err
        finally:
            if process.returncode is None:
                process.kill()
            process.stdin.close()

    await side_by_side(stopped(*words.split(), "--input-format", "csv") for words in commands)
