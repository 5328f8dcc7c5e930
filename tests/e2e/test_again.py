"""The same inventory again, another one of the same name, and one in every form that is read."""

import codecs
import csv
import gzip
import io
import json
from collections.abc import Sequence
from pathlib import Path

from tests.e2e.clouds import assert_created_once, cloud
from tests.e2e.commands import EMULATOR_KEYS, batcher, column, report_rows, side_by_side, summary, write_settings
from tests.e2e.inventories import some_rows, write_rows
from tests.e2e.test_access import closed_port

Row = dict[str, str]
ROWS = [{**wish, "description": "日志"} for wish in some_rows(4, routers=2, projects=2)]
FATE = ("flow_log_id", "request_id", "first_sent_at", "settled_at", "duration_ms", "run_id", "line", "http_status")
"""What may differ from run to run."""


async def test_a_changed_inventory_says_what_changed(tmp_path: Path) -> None:
    wishes = some_rows(5)
    inventory = write_rows(tmp_path / "routers.csv", wishes[:4])
    async with cloud() as sky:
        first = await sky.run(tmp_path, "run", str(inventory))
        assert "since the last inventory" not in first.out
        write_rows(inventory, [{**wishes[0], "name": "renamed"}, *wishes[2:]])
        ended = await sky.run(tmp_path, "run", str(inventory))
        assert ended.code == 3, ended.err
        assert "since the last inventory of this name: 1 new, 1 changed, 1 gone" in ended.out
        assert column(tmp_path, "outcome") == ["drifted", "exists", "exists", "created"]
        assert report_rows(tmp_path)[0]["error_message"] == "name: wished `renamed`, there is `fl-0`"
        statistics = await sky.statistics()
        assert (statistics["created_total"], statistics["keys_created_twice"]) == (5, [])


async def test_an_unfinished_run_goes_on_and_a_finished_one_does_not(tmp_path: Path) -> None:
    inventory = write_rows(tmp_path / "routers.csv", some_rows(6))
    async with cloud() as sky:
        async with sky.slowly(tmp_path, "run", str(inventory)) as run:
            await run.until("kind=create", times=2)
            run.process.terminate()
            assert (await run.end()).code == 143
        begun = summary(tmp_path)["run_id"]
        ended = await sky.run(tmp_path, "run", str(inventory))
        assert ended.code == 0, ended.err
        assert (summary(tmp_path)["run_id"], column(tmp_path, "outcome")) == (begun, ["created"] * 6)
        ended = await sky.run(tmp_path, "run", str(inventory))
        assert ended.code == 0, ended.err
        assert summary(tmp_path)["run_id"] != begun
        assert column(tmp_path, "outcome") == ["exists"] * 6
        assert_created_once(await sky.statistics(), 6)
        assert await sky.creates() == 6


async def test_another_ledger_finds_what_stands_though_its_tokens_have_ended(tmp_path: Path) -> None:
    """A night later, from another machine: the provider takes the tokens for wrong by then."""
    inventory = write_rows(tmp_path / "routers.csv", some_rows(3))
    async with cloud() as sky:
        assert (await sky.run(tmp_path, "run", str(inventory))).code == 0
        await sky.control("POST", "clock", {"advance_s": 9 * 3600})
        ended = await sky.run(tmp_path, "run", str(inventory), "--ledger", "another.db", "--reconcile", "never")
        assert ended.code == 0, ended.out
        assert set(column(tmp_path, "outcome")) <= {"exists", "created"}  # for this machine no time has passed
        assert_created_once(await sky.statistics(), 3)


def as_csv(rows: Sequence[Row], delimiter: str = ",") -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def as_lines(rows: Sequence[Row]) -> str:
    return "".join(json.dumps(wish) + "\n" for wish in rows)


def renamed(rows: Sequence[Row], old: str, new: str) -> list[Row]:
    return [{new if name == old else name: value for name, value in wish.items()} for wish in rows]


def without(rows: Sequence[Row], *names: str) -> list[Row]:
    return [{name: value for name, value in wish.items() if name not in names} for wish in rows]


DEFAULTS = f"""
[defaults]
region = "{ROWS[0]["region"]}"
log_group_id = "{ROWS[0]["log_group_id"]}"
log_stream_id = "{ROWS[0]["log_stream_id"]}"
description = "日志"
"""
FORMS: dict[str, tuple[str, bytes, list[str]]] = {
    "plain": ("routers.csv", as_csv(ROWS).encode(), []),
    "tabs with a mark": ("routers.tsv", codecs.BOM_UTF8 + as_csv(ROWS, "\t").encode(), []),
    "gzip": ("routers.csv.gz", gzip.compress(as_csv(ROWS).encode()), []),
    "gbk": ("routers.csv", as_csv(ROWS).encode("gbk"), ["--encoding", "gbk"]),
    "array": ("routers.json", json.dumps(ROWS).encode(), []),
    "lines": ("routers.jsonl", as_lines(ROWS).encode(), []),
    "map": (
        "routers.csv",
        as_csv(renamed(ROWS, "resource_id", " AttachmentID")).encode(),
        ["--map", "resource_id=attachmentid"],
    ),
    "defaults": (
        "routers.csv",
        as_csv(without(ROWS, "region", "log_group_id", "log_stream_id", "description")).encode(),
        [],
    ),
    "stdin csv": ("-", as_csv(ROWS).encode(), ["--input-format", "csv"]),
    "stdin lines": ("-", gzip.compress(as_lines(ROWS).encode()), ["--input-format", "jsonl"]),
}


def told(rows: Sequence[Row]) -> list[Row]:
    """What must be equal, whatever the form."""
    return [{name: value for name, value in line.items() if name not in FATE} for line in rows]


async def run_form(folder: Path, form: str) -> list[Row]:
    """Run the inventory in one form in a folder and a cloud of its own; the report's rows."""
    name, content, words = FORMS[form]
    folder.mkdir()
    if name != "-":
        (folder / name).write_bytes(content)
    if form == "defaults":
        write_settings(folder, DEFAULTS)
    async with cloud() as sky:
        command = sky.words("run", name, *words)
        ended = await batcher(folder, *command, extra=EMULATOR_KEYS, stdin=content if name == "-" else None)
        assert ended.code == 0, f"{form}: {ended.err}"
        assert {log["description"] for log in await sky.flow_logs(ROWS[0])} == {"日志"}
    assert summary(folder)["inventory"]["name"] == ("stdin" if name == "-" else name)
    return told(report_rows(folder))


async def test_every_form_of_an_inventory_gives_the_same_rows(tmp_path: Path) -> None:
    found = await side_by_side(run_form(tmp_path / form, form) for form in FORMS)
    for form, rows in zip(FORMS, found, strict=True):
        assert rows == found[0], form
    assert [line["outcome"] for line in found[0]] == ["created"] * 4
    assert [line["owner"] for line in found[0]] == [wish["owner"] for wish in ROWS]


async def test_standard_input_needs_its_format(tmp_path: Path) -> None:
    ended = await batcher(tmp_path, "run", "-", "--emulator", stdin=as_csv(ROWS).encode())
    assert ended.code == 2
    assert "--input-format" in ended.err


async def test_a_retry_that_was_stopped_goes_on_where_it_was_sent(tmp_path: Path) -> None:
    """The keys are not shown to an endpoint that `retry` is given now; without one it goes on where it was begun."""
    write_settings(tmp_path, "[run]\nattempts_max = 2\nbackoff_base_s = 0.01\nbackoff_cap_s = 0.02\n")
    inventory = write_rows(tmp_path / "routers.csv", some_rows(3))
    async with cloud() as first:
        refused = {"fault": "status", "status": 400, "code": "ER.04009005", "times": None}
        await first.script({"operation": "create", **refused})
        assert (await first.run(tmp_path, "run", str(inventory))).code == 3
        assert (await first.run(tmp_path, "retry")).code == 3
        before = await first.statistics()
        with closed_port() as port:
            elsewhere = ("retry", "--endpoint", f"http://127.0.0.1:{port}")
            ended = await batcher(tmp_path, *elsewhere, extra=EMULATOR_KEYS)
            assert ended.code == 2, ended.err
            assert f"127.0.0.1:{port}" in ended.err
            assert first.url in ended.err
        assert (await first.statistics())["calls"] == before["calls"]
        await first.script()
        ended = await batcher(tmp_path, "retry", extra=EMULATOR_KEYS)
        assert ended.code == 0, ended.err
        assert "3 created" in ended.out
