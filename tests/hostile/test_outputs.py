"""What a terminal would obey or a spreadsheet run is defused wherever batcher writes: files, streams, display."""

import asyncio
import csv
import io
import json
import os
import pty
import re
import sys
from pathlib import Path

import pytest

from tests.e2e.clouds import Cloud, cloud
from tests.e2e.commands import EMULATOR_KEYS, Ended, batcher, environment, report_rows, summary
from tests.e2e.inventories import row, write_rows
from tests.e2e.test_discover import HERE, attachment, seed

OBEYED = re.compile(r"[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""What no output holds: control characters but tabs and line ends, and those that turn the direction of text."""
RUN_BY_A_SPREADSHEET = re.compile(r"[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
ESCAPES = "\x1b[2J\x1b]0;owned\x07\x9b31m\u202egnp.exe"
NAMES = (
    "=cmd|' /C calc'!A0",
    "+1",
    "-2",
    "@x",
    "＝1＋1",
    "<script>alert(1)</script>",
    "a,b;c\"d'",
    "x'=y",
    "x\u200by",
    "名",
)
FILE_NAME = b"rows\x1b[31m\xff\xe2\x80\xaex.csv"


def rows() -> list[dict[str, str]]:
    """Rows whose names are formulas and markup, each with a column of the user's that holds escapes."""
    return [{**row(number, routers=1, projects=1), "name": name, "owner": ESCAPES} for number, name in enumerate(NAMES)]


def is_defused(text: str) -> None:
    found = OBEYED.search(text)
    assert found is None, text[max(0, found.start() - 80) : found.end() + 20]


def check_csv(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    is_defused(text)
    for cells in csv.reader(io.StringIO(text, newline=""), strict=True):
        assert not [cell for cell in cells if RUN_BY_A_SPREADSHEET.match(cell)], cells


async def refusing(sky: Cloud, *names: str) -> None:
    """Let creates of these rows be refused with a message full of escapes."""
    body = json.dumps({"error_code": f"ER.0400{ESCAPES}", "error_msg": f"=bad{ESCAPES}<script>", "request_id": ESCAPES})
    answer = {"operation": "create", "fault": "status", "status": 400, "body": body, "times": 1000}
    wishes = [each for each in rows() if each["name"] in names]
    await sky.script(*({**answer, "match": {"resource_id": wish["resource_id"]}} for wish in wishes))


@pytest.mark.timeout(180)
async def test_no_output_holds_what_a_terminal_obeys(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    inventory = os.fsencode(tmp_path / "in") + b"/" + FILE_NAME
    write_rows(tmp_path / "plain.csv", rows()).rename(os.fsdecode(inventory))
    path = os.fsdecode(inventory)
    async with cloud() as sky:
        await refusing(sky, *NAMES[:3])
        ended = await sky.run(tmp_path, "run", path, "-vv")
        assert ended.code == 3, ended.err
        report = tmp_path / "reports" / "latest"
        for name in ("report.csv", "failed.csv"):
            check_csv(report / name)
        for name in ("report.jsonl", "summary.json"):
            is_defused((report / name).read_text(encoding="utf-8"))
        lines = [json.loads(line) for line in (report / "report.jsonl").read_text(encoding="utf-8").splitlines()]
        assert [line["name"] for line in lines] == list(NAMES)
        assert {line["user"]["owner"] for line in lines} == {ESCAPES}, "JSON loses nothing"
        assert [line["outcome"] for line in lines] == ["failed"] * 3 + ["created"] * 7
        run_id = summary(tmp_path)["run_id"]
        said = [
            ended,
            await batcher(tmp_path, "status"),
            await batcher(tmp_path, "status", run_id),
            await batcher(tmp_path, "status", run_id, "--output", "json"),
            await batcher(tmp_path, "report", run_id, "--output", "json"),
            await sky.run(tmp_path, "plan", path, "--out", "plan.json"),
            await sky.run(tmp_path, "plan", path, "--output", "json"),
            await batcher(tmp_path, "run", f"{path}\x1b[31m.none", "--emulator"),
        ]
        for each in said:
            is_defused(each.out)
            is_defused(each.err)
            assert "Traceback" not in each.err
        is_defused((tmp_path / "plan.json").read_text(encoding="ascii"))
        await sky.script()
        await _failed_rows_run_again_as_they_were(sky, tmp_path, lines)


async def _failed_rows_run_again_as_they_were(sky: Cloud, folder: Path, lines: list[dict[str, str]]) -> None:
    failed = folder / "failed.csv"
    failed.write_bytes((folder / "reports" / "latest" / "failed.csv").read_bytes())
    ended = await sky.run(folder, "run", str(failed))
    assert ended.code == 0, ended.err
    again = report_rows(folder)
    known = ("er_id", "resource_id", "log_group_id", "log_stream_id", "region", "project_id")
    assert [[each[name] for name in known] for each in again] == [[line[name] for name in known] for line in lines[:3]]
    made = {log["resource_id"]: log["name"] for log in await sky.flow_logs(rows()[0])}
    assert made == {line["resource_id"]: line["name"] for line in lines}


@pytest.mark.timeout(60)
async def test_an_invalid_row_stays_invalid_when_failed_csv_is_run(tmp_path: Path) -> None:
    wishes = [{**row(0), "name": "a\x1b[31mb"}, {**row(1), "name": "a\u202eb"}, row(2)]
    inventory = write_rows(tmp_path / "routers.csv", wishes)
    text = await batcher(tmp_path, "validate", str(inventory))
    assert text.out.count("name `a�") == 2
    ended = await batcher(tmp_path, "run", str(inventory), "--emulator", "--rate", "200/s")
    assert ended.code == 3, ended.err
    failed = tmp_path / "failed.csv"
    failed.write_bytes((tmp_path / "reports" / "latest" / "failed.csv").read_bytes())
    check_csv(failed)
    again = await batcher(tmp_path, "validate", str(failed), "--output", "json")
    assert json.loads(again.out.splitlines()[-1])["rows"] == {"valid": 0, "invalid": 2, "duplicate": 0}
    for each in (text, ended, again):
        is_defused(each.out + each.err)


@pytest.mark.timeout(60)
async def test_the_display_on_a_terminal_is_ours_alone(tmp_path: Path) -> None:
    """What rich itself sends are escapes, too: so the attack's own ones are looked for."""
    inventory = write_rows(tmp_path / "routers.csv", rows()[:2])
    async with cloud() as sky:
        body = json.dumps({"error_code": "ER.04030001", "error_msg": f"no {ESCAPES}"})
        await sky.script({"operation": "create", "fault": "status", "status": 403, "body": body, "times": 1000})
        ours, theirs = pty.openpty()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "batcher", "run", str(inventory), "--endpoint", sky.url),
            cwd=tmp_path,
            env=environment(tmp_path, {**EMULATOR_KEYS, "TERM": "xterm"}),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        shown = await asyncio.to_thread(_all_of, ours)
        await process.wait()
    text = shown.decode()
    assert "run 20" in text
    for attack in ("\x1b[2J", "\x1b]0;", "owned\x07", "\x9b", "\u202e"):
        assert attack not in text


def _all_of(terminal: int) -> bytes:
    shown = b""
    try:
        while block := os.read(terminal, 65536):
            shown += block
    except OSError:  # how a terminal says that its other end is closed
        pass
    finally:
        os.close(terminal)
    return shown


@pytest.mark.timeout(60)
@pytest.mark.parametrize("form", ["csv", "json"])
async def test_an_inventory_that_is_discovered_holds_no_attack(tmp_path: Path, form: str) -> None:
    async with cloud(open_world=False) as sky:
        items = [attachment(number, routers=1, name=f"{name}{ESCAPES}") for number, name in enumerate(NAMES)]
        await seed(sky, *items)
        words = ("discover", "--endpoint", sky.url, "--rate", "500/s", *HERE, "--format", form)
        ended: Ended = await batcher(tmp_path, *words, extra=EMULATOR_KEYS)
        assert ended.code == 0, ended.err
        is_defused(ended.out + ended.err)
        path = tmp_path / f"found.{form}"
        path.write_text(ended.out, encoding="utf-8")
        if form == "csv":
            check_csv(path)
        checked = await batcher(tmp_path, "validate", str(path), "--endpoint", sky.url)
        assert (checked.code, checked.out) == (0, f"{path}: {len(NAMES)} valid, 0 invalid, 0 duplicate\n")


@pytest.mark.timeout(60)
async def test_a_stream_that_cannot_write_a_character_gets_its_number(tmp_path: Path) -> None:
    inventory = write_rows(tmp_path / "名.csv", [{**row(0), "name": "n" * 65, "owner": "名"}])
    words = ("validate", str(inventory))
    text = await batcher(tmp_path, *words, extra={"PYTHONIOENCODING": "ascii"})
    assert (text.code, text.err) == (3, "")
    assert "\\u540d.csv:2: invalid: name" in text.out
    lines = await batcher(tmp_path, *words, "--output", "json", extra={"PYTHONIOENCODING": "ascii"})
    assert json.loads(lines.out.splitlines()[-1])["inventory"] == "名.csv"
