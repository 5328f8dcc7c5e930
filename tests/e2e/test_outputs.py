"""What goes to stdout, what to stderr, and that programs can read it."""

import asyncio
import json
import os
import pty
import re
import signal
import sys
from pathlib import Path
from typing import Any

from tests.e2e.clouds import cloud
from tests.e2e.commands import Ended, batcher, emulator, environment, report_rows, side_by_side, start, summary
from tests.e2e.inventories import some_rows, write_rows
from tests.e2e.schemas import faults

INPUTS = Path(__file__).parents[2] / "inputs"
RUN = ("--emulator", "--rate", "200/s")


async def schema(folder: Path, what: str) -> dict[str, Any]:
    """What `batcher schema` prints."""
    ended = await batcher(folder, "schema", what)
    assert (ended.code, ended.err) == (0, "")
    return dict(json.loads(ended.out))


async def test_json_is_one_document_that_fits_its_schema(tmp_path: Path) -> None:
    ended = await batcher(tmp_path, "run", str(INPUTS / "faulty.csv"), *RUN, "--output", "json")
    assert ended.code == 3, ended.err
    found = json.loads(ended.out)
    assert found == summary(tmp_path)
    assert faults(found, await schema(tmp_path, "summary")) == []
    assert found["exit_code"] == 3
    assert "starts: 8 of 24 rows" in ended.err
    assert "{" not in ended.err

    row_schema = await schema(tmp_path, "report")
    lines = (tmp_path / "reports" / "latest" / "report.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == found["rows"]["total"] == 24
    for line in lines:
        assert faults(json.loads(line), row_schema) == []


async def test_a_plan_is_one_document_that_fits_its_schema(tmp_path: Path) -> None:
    words = ("plan", str(INPUTS / "faulty.csv"), *RUN, "--output", "json", "--for", "6h", "--out", "plan.json")
    ended = await batcher(tmp_path, *words)
    assert ended.code == 3, ended.err
    found, plan_schema = json.loads(ended.out), await schema(tmp_path, "plan")
    assert faults(found, plan_schema) == []
    written = json.loads((tmp_path / "plan.json").read_text(encoding="utf-8"))
    assert {name: written[name] for name in found} == found
    assert [change["change"] for change in written["changes"]] == ["create"] * 8
    assert found["rows"]["create"] == 8


async def test_the_examples_fit_the_schema_of_an_inventory(tmp_path: Path) -> None:
    wish_schema = await schema(tmp_path, "inventory")
    for line in (INPUTS / "attachments.jsonl").read_text(encoding="utf-8").splitlines()[:5]:
        assert faults(json.loads(line), wish_schema) == []
    assert faults({"resource_id": "vpc-1"}, wish_schema) != []


async def test_status_and_report_tell_of_runs_in_both_forms(tmp_path: Path) -> None:
    first = write_rows(tmp_path / "first.csv", some_rows(2))
    second = write_rows(tmp_path / "second.csv", some_rows(3))
    for inventory in (first, second):
        assert (await batcher(tmp_path, "run", str(inventory), *RUN)).code == 0
    listed = await batcher(tmp_path, "status", "--emulator", "--output", "json")
    found = json.loads(listed.out)
    assert [item["inventory"] for item in found] == ["second.csv", "first.csv"]
    assert [item["rows"] for item in found] == [{"exists": 2, "created": 1}, {"created": 2}]
    oldest = found[1]["run_id"]
    one = await batcher(tmp_path, "status", oldest, "--emulator", "--output", "json")
    place = {"region": "cn-north-4", "er": "emulator", "iam": "emulator", "lts": "emulator"}
    assert json.loads(one.out) == {**found[1], "endpoints": [place], "causes": []}
    text, detail = await asyncio.gather(
        batcher(tmp_path, "status", "--emulator"), batcher(tmp_path, "status", oldest, "--emulator")
    )
    for line, item in zip(text.out.splitlines()[1:], found, strict=True):
        short, kind, name = line.split()[:3]
        assert item["run_id"].startswith(short)
        assert (kind, name) == (item["kind"], item["inventory"])
    assert "rows: created 2" in detail.out
    assert "calls: create 2" in detail.out

    report = tmp_path / "reports" / oldest
    before = {file.name: file.read_bytes() for file in report.iterdir()}
    for name in before:
        (report / name).unlink()
    written = await batcher(tmp_path, "report", oldest, "--emulator", "--output", "json")
    assert written.code == 0, written.err
    assert {file.name: file.read_bytes() for file in report.iterdir()} == before
    assert json.loads(written.out) == json.loads(before["summary.json"])
    text = await batcher(tmp_path, "report", "--emulator", "--format", "csv")
    assert [Path(line.removeprefix("report: ")).name for line in text.out.splitlines()] == [
        "report.csv",
        "failed.csv",
        "pending.csv",
        "report.jsonl",
        "summary.json",
    ]
    for ended in (listed, one, detail, written, text):
        assert (ended.code, ended.err) == (0, "")


async def test_talk_goes_to_stderr_and_as_much_as_was_asked_for(tmp_path: Path) -> None:
    inventory = write_rows(tmp_path / "routers.csv", some_rows(3))

    async def talk(number: int, *words: str) -> Ended:
        (folder := tmp_path / str(number)).mkdir()
        ended = await batcher(folder, "run", str(inventory), *RUN, *words)
        assert ended.code == 0, ended.err
        said = r"run \S+: 3 created; 3 calls\n(report: \S+\n){5}3 of 3 done \(100.0 %\) in \ds, 3 calls\n"
        assert re.fullmatch("" if "-q" in words else said, ended.out)
        return ended

    plain, quiet, without, verbose, very = await asyncio.gather(
        talk(0),
        talk(1, "-q"),
        talk(2, "--no-progress"),
        talk(3, "-v", "--no-progress"),
        talk(4, "-vv", "--no-progress"),
    )
    assert quiet.err == without.err == ""
    assert [line.split()[0] for line in plain.err.splitlines()] == ["batcher:"] * 2
    events = [line.split()[1] for line in verbose.err.splitlines()]
    assert events == ["run.started", "pace.set", *["row.settled"] * 3, "run.ended"]
    assert sorted(line.split()[1] for line in very.err.splitlines()) == sorted([*events, *["call.made"] * 3])
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z [a-z.]+ \w+=", line) for line in very.err.splitlines())
    assert "row_no=2 line=3 outcome=created" in verbose.err


async def test_a_terminal_shows_a_live_line_without_colour_if_so_asked(tmp_path: Path) -> None:
    inventory = write_rows(tmp_path / "routers.csv", some_rows(3))
    coloured = await on_a_terminal(tmp_path / "one", inventory, {"TERM": "xterm-256color"})
    plain = await on_a_terminal(tmp_path / "two", inventory, {"TERM": "xterm-256color", "NO_COLOR": "1"})
    for shown in (coloured, plain):
        bare = re.sub(rb"\x1b\[[0-9;]*m", b"", shown)
        assert b"[####################] 100.0%  3 of 3 rows; 3 created" in bare
        assert b"\x1b[?25h" in shown  # the cursor is shown again
        assert b"3 of 3 rows to do" in bare
    bold_at_most = {b"0", b"1"}
    assert not set(re.findall(rb"\x1b\[([0-9;]*)m", coloured)) <= bold_at_most
    assert set(re.findall(rb"\x1b\[([0-9;]*)m", plain)) <= bold_at_most


async def on_a_terminal(folder: Path, inventory: Path, extra: dict[str, str]) -> bytes:
    """What a run writes to stderr where that is a terminal."""
    folder.mkdir()
    ours, theirs = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "batcher", "run", str(inventory), *RUN),
        cwd=folder,
        env=environment(folder, extra),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=theirs,
    )
    os.close(theirs)
    out, _ = await process.communicate()
    shown = b""
    try:
        while block := os.read(ours, 65536):
            shown += block
    except OSError:  # how a terminal says that its other end is closed
        pass
    finally:
        os.close(ours)
    assert process.returncode == 0
    assert out.startswith(b"run ")
    return shown


async def test_the_emulator_serves_until_it_is_stopped_and_remembers(tmp_path: Path) -> None:
    inventory = write_rows(tmp_path / "routers.csv", some_rows(2))
    for outcome, number in (("created", signal.SIGINT), ("exists", signal.SIGTERM)):
        process = await start(tmp_path, "emulator", "--port", "0", "--state", "world.db")
        try:
            assert process.stdout is not None
            url = (await process.stdout.readline()).decode().removeprefix("endpoint: ").strip()
            said = (await process.stdout.readline()).decode()
            keys = dict(pair.split("=") for pair in said.removeprefix("keys: ").split())
            words = ("run", str(inventory), "--endpoint", url, "--rate", "200/s", "--ledger", f"{outcome}.db")
            ended = await batcher(tmp_path, *words, "--reconcile", "always", extra=keys)
            assert ended.code == 0, ended.err
            assert [row["outcome"] for row in report_rows(tmp_path)] == [outcome] * 2
        finally:
            process.send_signal(number)
            await process.communicate()
        assert process.returncode == 0


async def test_an_emulator_that_cannot_serve_says_why(tmp_path: Path) -> None:
    async with emulator(tmp_path, "--state", "world.db") as running:
        port = running.url.rpartition(":")[2]
        wrong = {
            f"--port {port}": f"cannot listen on port {port}",
            "--port 0 --state world.db": "another emulator may be using it",
            "--port 0 --host 0.0.0.0": "loopback",
            "--port 0 --throttle often": "is no rate",
            "--port 0 --lost-after 2": "share",
        }
        ends = await side_by_side(batcher(tmp_path, "emulator", *words.split()) for words in wrong)
    for ended, (words, said) in zip(ends, wrong.items(), strict=True):
        assert (ended.code, ended.out) == (2, ""), words
        assert said in ended.err


async def test_why_access_was_refused_is_said_without_progress_too(tmp_path: Path) -> None:
    inventory = write_rows(tmp_path / "routers.csv", some_rows(2))
    wrong = {"HUAWEICLOUD_SDK_AK": "EMULATORAK", "HUAWEICLOUD_SDK_SK": "not-the-secret"}
    async with cloud() as sky:
        ended = await batcher(tmp_path, *sky.words("run", str(inventory)), extra=wrong)
    assert ended.code == 7
    report = (tmp_path / "reports" / "latest" / "report.csv").read_text(encoding="utf-8")
    assert "APIGW.0301" in ended.out + ended.err + report


async def test_the_next_command_goes_to_the_endpoint_that_the_run_was_given(tmp_path: Path) -> None:
    """Without it, `resume` would take what was meant for a test endpoint to the provider itself."""
    inventory = write_rows(tmp_path / "routers.csv", some_rows(2))
    async with cloud(open_world=False) as sky:
        ended = await sky.run(tmp_path, "run", str(inventory))
        assert ended.code == 3, ended.err
        commands = [line for line in ended.out.splitlines() if line.startswith("hint: ")]
        commands += [failure["next"] for failure in summary(tmp_path)["failures"]]
    assert commands
    assert all(f"--endpoint {sky.url}" in command for command in commands), commands


async def test_a_log_that_cannot_be_written_does_not_stop_a_run(tmp_path: Path) -> None:
    inventory = write_rows(tmp_path / "routers.csv", some_rows(3))
    with Path("/dev/full").open("wb") as full:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "batcher", "run", str(inventory), *RUN, "-vv"),
            cwd=tmp_path,
            env=environment(tmp_path),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=full,
        )
        out, _ = await process.communicate()
    assert b"3 created" in out
    assert [row["outcome"] for row in report_rows(tmp_path)] == ["created"] * 3
