"""`batcher discover`: an inventory of what the cloud lists, whole or not at all, that `run` takes as it is."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.clouds import Cloud, assert_created_once, cloud
from tests.e2e.commands import EMULATOR_KEYS, Ended, batcher, column
from tests.e2e.inventories import row, some_project, some_uuid

PROJECT = some_project(0)
GROUP, STREAM = row(0)["log_group_id"], row(0)["log_stream_id"]
PLACE = ("--region", "cn-north-4", "--log-group-id", GROUP, "--log-stream-id", STREAM)
HERE = (*PLACE, "--project-id", PROJECT)


def attachment(number: int, routers: int = 3, **changes: str) -> dict[str, str]:
    """The n-th attachment of the project, as it is seeded."""
    router = some_uuid(f"router {number % routers}")
    return {"project_id": PROJECT, "er_id": router, "id": some_uuid(f"attachment {number}"), **changes}


async def seed(sky: Cloud, *items: dict[str, str]) -> None:
    """Make routers and attachments known."""
    routers = {item["er_id"]: {"project_id": PROJECT, "id": item["er_id"]} for item in items}
    await sky.control("POST", "routers", list(routers.values()))
    await sky.control("POST", "attachments", list(items))


async def found(sky: Cloud, folder: Path, *words: str) -> Ended:
    """What `discover` says of this cloud."""
    return await batcher(folder, "discover", "--endpoint", sky.url, "--rate", "500/s", *words, extra=EMULATOR_KEYS)


def rows_of(ended: Ended) -> list[dict[str, str]]:
    """The rows of a CSV on stdout."""
    return list(csv.DictReader(io.StringIO(ended.out)))


async def test_what_has_no_flow_log_is_found_and_created(tmp_path: Path) -> None:
    """Three routers, 300 attachments, 120 without a log: those and no others are created."""
    items = [attachment(number) for number in range(300)]
    logs = [
        {"project_id": PROJECT, "er_id": item["er_id"], "resource_id": item["id"], "name": f"fl-{number}"}
        | {"log_group_id": GROUP, "log_stream_id": STREAM}
        for number, item in enumerate(items)
        if number >= 120
    ]
    async with cloud(open_world=False) as sky:
        await seed(sky, *items)
        await sky.seed(*logs)
        ended = await found(sky, tmp_path, *HERE, "--missing")
        assert ended.code == 0, ended.err
        assert "120 rows of 300 attachments on 3 routers (0 not available, 180 with a flow log)" in ended.err
        assert sorted(line["resource_id"] for line in rows_of(ended)) == sorted(item["id"] for item in items[:120])
        words = sky.words("run", "-", "--input-format", "csv", "--allow-empty")
        ran = await batcher(tmp_path, *words, extra=EMULATOR_KEYS, stdin=ended.out.encode())
        assert ran.code == 0, ran.err
        assert column(tmp_path, "outcome") == ["created"] * 120
        assert_created_once(await sky.statistics(), 120)
        again = await found(sky, tmp_path, *HERE, "--missing")
        assert rows_of(again) == []
        nothing = await batcher(tmp_path, *words, extra=EMULATOR_KEYS, stdin=again.out.encode())
        assert nothing.code == 0, nothing.err


async def test_the_attachments_own_id_is_the_rows_and_the_rest_is_for_people(tmp_path: Path) -> None:
    vpc = some_uuid("vpc")
    odd: dict[str, Any] = {"name": "=HYPERLINK(1)\n", "resource_id": vpc, "resource_type": "vpc"}
    items = [attachment(0, **odd), attachment(3, state="pending"), attachment(1)]
    async with cloud(open_world=False) as sky:
        await seed(sky, *items)
        ended = await found(sky, tmp_path, *HERE)
        assert ended.code == 0, ended.err
        assert "1 not available" in ended.err
        lines = {line["resource_id"]: line for line in rows_of(ended)}
        assert set(lines) == {items[0]["id"], items[2]["id"]}
        assert lines[items[0]["id"]] == {
            "region": "cn-north-4",
            "project_id": PROJECT,
            "er_id": items[0]["er_id"],
            "resource_id": items[0]["id"],
            "log_group_id": GROUP,
            "log_stream_id": STREAM,
            "router_name": lines[items[0]["id"]]["router_name"],
            "attachment_name": "'=HYPERLINK(1) ",
            "attachment_type": "vpc",
            "attached_id": vpc,
        }
        one = await found(sky, tmp_path, *HERE, "--er-id", items[2]["er_id"])
        assert [line["resource_id"] for line in rows_of(one)] == [items[2]["id"]]
        none = await found(sky, tmp_path, *HERE, "--er-id", some_uuid("elsewhere"))
        assert (none.code, none.out) == (2, "")
        assert "no router" in none.err


@pytest.mark.parametrize("form", ["json", "jsonl"])
async def test_other_forms_hold_the_same_and_are_taken_too(tmp_path: Path, form: str) -> None:
    async with cloud(open_world=False) as sky:
        await sky.control("POST", "projects", [{"name": "cn-north-4", "id": PROJECT}])
        await seed(sky, *(attachment(number) for number in range(5)))
        ended = await found(sky, tmp_path, *PLACE, "--format", form)
        assert ended.code == 0, ended.err
        lines: list[dict[str, Any]] = (
            json.loads(ended.out) if form == "json" else [json.loads(line) for line in ended.out.splitlines()]
        )
        assert lines == rows_of(await found(sky, tmp_path, *HERE))
        words = ("validate", "-", "--input-format", form)
        checked = await batcher(tmp_path, *words, extra=EMULATOR_KEYS, stdin=ended.out.encode())
        assert checked.code == 0, checked.out
        empty = await found(sky, tmp_path, *PLACE, "--format", form, "--profile", "default", "--er-id", some_uuid("r"))
        assert empty.out == ""


async def test_many_pages_are_read_to_their_end(tmp_path: Path) -> None:
    async with cloud(open_world=False) as sky:
        await seed(sky, *(attachment(number, routers=1) for number in range(4321)))
        ended = await found(sky, tmp_path, *HERE, "-q")
        assert (ended.code, ended.err) == (0, "")
        assert len(rows_of(ended)) == 4321
        assert (await sky.statistics())["calls"] == {"routers": 1, "attachments": 3}


BAD_PAGES: dict[str, dict[str, object]] = {
    "a page that comes again": {
        "body": '{"attachments":[{"id":"a","state":"available"}],"page_info":{"next_marker":"a"}}'
    },
    "no list at all": {"body": "{}"},
    "an item without an id": {"body": '{"attachments":[{"state":"available"}]}'},
    "an id that is none": {"body": '{"attachments":[{"id":"../x"}]}'},
}


@pytest.mark.parametrize("name", BAD_PAGES)
async def test_a_list_that_cannot_be_read_to_its_end_is_no_inventory(tmp_path: Path, name: str) -> None:
    """A list that was cut short must not look like a small cloud: nothing at all is written."""
    async with cloud(open_world=False) as sky:
        await seed(sky, *(attachment(number) for number in range(6)))
        last = max(attachment(number)["er_id"] for number in range(3))
        rule = {"operation": "attachments", "fault": "status", "status": 200, "times": None, "match": {"er_id": last}}
        await sky.script({**rule, **BAD_PAGES[name]})
        ended = await found(sky, tmp_path, *HERE)
        assert (ended.code, ended.out) == (7, "")
        assert f"the attachments of router `{last}`" in ended.err


async def test_flow_logs_that_are_fewer_than_they_are_said_to_be_prove_no_absence(tmp_path: Path) -> None:
    async with cloud(open_world=False) as sky:
        await seed(sky, attachment(0))
        body = '{"flow_logs":[],"total_count":3,"page_info":{"next_marker":null}}'
        await sky.script({"operation": "list", "fault": "status", "status": 200, "body": body, "times": None})
        ended = await found(sky, tmp_path, *HERE, "--missing")
        assert (ended.code, ended.out) == (7, "")
        assert "0 of 3" in ended.err


async def test_a_refusal_writes_nothing_and_trouble_is_waited_out(tmp_path: Path) -> None:
    async with cloud(open_world=False) as sky:
        await seed(sky, attachment(0))
        await sky.script({"operation": "attachments", "fault": "status", "status": 503, "code": "ER.05039006"})
        assert len(rows_of(await found(sky, tmp_path, *HERE))) == 1
        wrong = {**EMULATOR_KEYS, "HUAWEICLOUD_SDK_SK": "wrong"}
        ended = await batcher(tmp_path, "discover", "--endpoint", sky.url, *HERE, extra=wrong)
        assert (ended.code, ended.out) == (7, "")
        assert "APIGW.0301" in ended.err
        assert (await sky.statistics())["unauthorized_by_key"] == {"EMULATORAK": 1}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (PLACE[2:], "`region`"),
        (PLACE[:2] + PLACE[4:], "--log-group-id"),
        (PLACE[:4], "--log-stream-id"),
        ((*PLACE, "--er-id", "er-1"), "er_id `er-1`"),
        ((*PLACE, "--rate", "fast"), "`run.rate`"),
    ],
)
async def test_what_is_not_said_is_asked_for(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    ended = await batcher(tmp_path, "discover", *words, extra=EMULATOR_KEYS)
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err
