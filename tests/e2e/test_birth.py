"""What a process is given at birth: streams, signals, a home, descriptors. Whatever is missing, the work is done."""

import os
import pwd
import shlex
import signal
import sys
from pathlib import Path

import pytest

from batcher.cli.main import main
from tests.e2e.clouds import assert_created_once, cloud
from tests.e2e.commands import (
    EMULATOR_KEYS,
    Ended,
    Working,
    column,
    ended_by,
    report_rows,
    shell,
    summary,
    write_settings,
)
from tests.e2e.inventories import some_rows, write_inventory, write_rows

ROWS = 10


@pytest.mark.parametrize("streams", ["2>&-", ">&- 2>&-", "<&- >&- 2>&-", "2>/dev/full", ">/dev/full 2>/dev/full"])
async def test_a_run_needs_no_stream(tmp_path: Path, streams: str) -> None:
    inventory = write_rows(tmp_path / "routers.csv", some_rows(3))
    ended = await in_shell(tmp_path, f"run {inventory} --emulator --rate 200/s -v", streams)
    assert (ended.code, ended.err) == (0, "")
    assert column(tmp_path, "outcome") == ["created"] * 3


async def test_a_result_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    inventory = write_rows(tmp_path / "routers.csv", some_rows(3))
    ended = await in_shell(tmp_path, f"run {inventory} --emulator --rate 200/s", ">/dev/full")
    assert ended.code == 0, "what the run did is not undone by a full disk elsewhere"
    assert "cannot write to standard output: No space left on device" in ended.err
    assert "reports/" in ended.err
    for words in ("status --emulator", "status --emulator --output json", f"validate {inventory}", "schema inventory"):
        ended = await in_shell(tmp_path, words, ">/dev/full")
        assert ended.code == 1, words
        assert ended.err.startswith("batcher: cannot write to standard output"), ended.err
        assert "Traceback" not in ended.err


async def test_a_reader_that_has_seen_enough_is_no_fault(tmp_path: Path) -> None:
    inventory = write_rows(tmp_path / "routers.csv", some_rows(3))
    ended = await in_shell(tmp_path, f"run {inventory} --emulator --rate 200/s", "| true; exit ${PIPESTATUS[0]}")
    assert ended.code == 0, ended.err
    assert "Traceback" not in ended.err


def test_who_has_no_home_and_no_name_rehearses_as_anybody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As the arbitrary user of a container."""

    def nobody_knows(number: int) -> pwd.struct_passwd:
        raise KeyError(number)

    monkeypatch.setattr(pwd, "getpwuid", nobody_knows)
    for name in ("HOME", *EMULATOR_KEYS):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("BATCHER_CREDENTIALS_METADATA", "false")
    monkeypatch.chdir(tmp_path)
    inventory = str(write_rows(tmp_path / "routers.csv", some_rows(2)))
    for words in (("validate", inventory), ("plan", inventory, "--emulator"), ("run", inventory, "--emulator", "-q")):
        assert main(words) == 0, capsys.readouterr().err
    for words in (("status", "--emulator"), ("report", "--emulator"), ("retry", "--emulator")):
        assert main(words) in (0, 2)
    capsys.readouterr()
    assert main(("run", inventory, "--endpoint", "http://127.0.0.1:9")) == 2
    assert "no credentials for account `default`" in capsys.readouterr().err


async def test_a_terminal_that_goes_stops_softly(tmp_path: Path) -> None:
    inventory = write_rows(tmp_path / "routers.csv", some_rows(ROWS))
    async with cloud() as sky:
        async with sky.slowly(tmp_path, "run", str(inventory)) as run:
            await sky.until_creates(3)
            run.send(signal.SIGHUP)
            ended = await run.end()
        assert ended.code == 129, ended.err
        done = column(tmp_path, "outcome").count("created")
        assert column(tmp_path, "outcome") == ["created"] * done + ["skipped"] * (ROWS - done)
        assert set(column(tmp_path, "error_code")) == {"", "BATCHER.HungUp"}
        assert (await sky.run(tmp_path, "resume")).code == 0
        assert_created_once(await sky.statistics(), ROWS)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT])
async def test_what_the_parent_has_ignored_stays_ignored(tmp_path: Path, number: signal.Signals) -> None:
    """As under `nohup`, and for a job that a script has put in the background."""
    inventory = write_rows(tmp_path / "routers.csv", some_rows(ROWS))
    async with cloud() as sky:
        words = sky.words("run", str(inventory), rate="50/s")
        run = await shell(tmp_path, f"trap '' {number.name[3:]}; exec {command(*words)}")
        await sky.until_creates(3)
        run.send_signal(number)
        ended = await ended_by(run)
    assert ended.code == 0, ended.err
    assert column(tmp_path, "outcome") == ["created"] * ROWS


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
async def test_a_signal_ends_what_is_only_reading(tmp_path: Path, number: signal.Signals, code: int) -> None:
    os.mkfifo(tmp_path / "slow.csv")
    reading = Working(await shell(tmp_path, f"exec {command('validate', 'slow.csv')}"))
    with (tmp_path / "slow.csv").open("w"):  # it opens once the command reads
        reading.send(number)
        ended = await reading.end()
    assert ended.code == code
    assert len(ended.err.splitlines()) == 1, ended.err


async def test_a_stop_waits_for_answers_no_longer_than_its_time(tmp_path: Path) -> None:
    """An answer may take half a minute; who sends SIGTERM kills after ten seconds. What is given up is in doubt."""
    write_settings(tmp_path, "[run]\nstop_time_s = 0.2\n\n[cloud]\nanswer_timeout_s = 600\n")
    inventory = write_rows(tmp_path / "routers.csv", some_rows(ROWS))
    async with cloud() as sky:
        await sky.script({"operation": "create", "fault": "hang", "skip": 2, "times": None})
        async with sky.slowly(tmp_path, "run", str(inventory)) as run:
            await sky.until_creates(4)
            run.send(signal.SIGTERM)
            ended = await run.end()
        assert ended.code == 143, ended.err
        rows = report_rows(tmp_path)
        assert [row["outcome"] for row in rows[:4]] == ["created", "created", "in_doubt", "in_doubt"]
        assert [row["attempts"] for row in rows[:4]] == ["1"] * 4
        assert {row["outcome"] for row in rows[5:]} == {"skipped"}
        assert summary(tmp_path)["stop_code"] == "BATCHER.Terminated"
        await sky.script()
        assert (await sky.run(tmp_path, "resume")).code == 0
        assert_created_once(await sky.statistics(), ROWS)


async def test_few_descriptors_make_a_run_slower_and_no_less(tmp_path: Path) -> None:
    inventory = write_inventory(tmp_path / "routers.csv", 240, routers=240, projects=120)
    async with cloud(latency_s=0.05) as sky:
        words = sky.words("run", str(inventory), rate="20/s")
        ended = await ended_by(await shell(tmp_path, f"ulimit -n 100; exec {command(*words)}"))
        assert ended.code == 0, ended.err
        assert column(tmp_path, "outcome") == ["created"] * 240
        assert_created_once(await sky.statistics(), 240)


async def test_it_is_a_module_of_python_too(tmp_path: Path) -> None:
    ended = await ended_by(await shell(tmp_path, f"exec {command('--version')}"))
    assert ended.out.startswith("batcher "), ended.err


def command(*words: str) -> str:
    """A command line for a shell."""
    return shlex.join((sys.executable, "-m", "batcher", *words))


async def in_shell(folder: Path, words: str, streams: str) -> Ended:
    """Run a command with these redirections to its end."""
    return await ended_by(await shell(folder, f"{command()} {words} {streams}"))
