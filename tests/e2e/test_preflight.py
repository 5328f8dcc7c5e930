"""`run --preflight`: what a row stands on is checked before it is sent, and what cannot be checked holds up nothing."""

import socket
from pathlib import Path

import pytest

from tests.e2e.clouds import Cloud, cloud
from tests.e2e.commands import EMULATOR_KEYS, batcher, calls_made, column, report_rows, says, summary, write_settings
from tests.e2e.inventories import row, some_rows, some_uuid, write_rows

SHORT = "[run]\nattempts_max = 2\nbackoff_base_s = 0.01\nbackoff_cap_s = 0.02\n"
VPC = some_uuid("vpc")


async def attach(sky: Cloud, wish: dict[str, str], **changes: str) -> None:
    """One attachment, changed."""
    place = {name: wish[name] for name in ("project_id", "er_id")}
    await sky.control("POST", "attachments", [{**place, "id": wish["resource_id"], **changes}])


async def denied(sky: Cloud, *operations: str, code: str = "APIGW.0302") -> None:
    """From now on these calls are refused."""
    no = {"fault": "status", "status": 403, "code": code, "message": "denied", "times": None}
    await sky.script(*({**no, "operation": operation} for operation in operations))


async def test_rows_without_ground_are_named_and_not_sent(tmp_path: Path) -> None:
    """The id of a VPC, an attachment that is missing, one that is pending, and a group and a stream that are."""
    wishes = some_rows(6)
    odd = [
        {**wishes[1], "resource_id": VPC},
        {**wishes[2], "resource_id": some_uuid("nowhere")},
        wishes[3],
        {**wishes[4], "log_group_id": some_uuid("other group")},
        {**wishes[5], "log_stream_id": some_uuid("other stream")},
    ]
    inventory = write_rows(tmp_path / "routers.csv", [wishes[0], *odd])
    async with cloud(open_world=False) as sky:
        await sky.seed_ground(*wishes)
        await attach(sky, wishes[1], resource_id=VPC)
        await attach(sky, wishes[3], state="pending")
        ended = await sky.run(tmp_path, "run", str(inventory), "--preflight", "--no-verify")
        assert ended.code == 3, ended.err
        lines = report_rows(tmp_path)
        assert [(line["outcome"], line["error_code"]) for line in lines] == [
            ("created", ""),
            ("failed", "BATCHER.NotAnAttachment"),
            ("failed", "BATCHER.NoAttachment"),
            ("skipped", "BATCHER.AttachmentNotReady"),
            ("failed", "BATCHER.NoLogGroup"),
            ("failed", "BATCHER.NoLogStream"),
        ]
        assert f"the attachment's is `{wishes[1]['resource_id']}`" in lines[1]["error_message"]
        assert f"no attachment `{some_uuid('nowhere')}`" in lines[2]["error_message"]
        assert "in state `pending`" in lines[3]["error_message"]
        assert f"no log group `{some_uuid('other group')}`" in lines[4]["error_message"]
        assert f"has no stream `{some_uuid('other stream')}`" in lines[5]["error_message"]
        assert [line["first_sent_at"] for line in lines[1:]] == [""] * 5
        checks = {"attachments": 1, "list": 1, "log_groups": 1, "log_streams": 1}
        assert calls_made(tmp_path) == {**checks, "create": 1}
        failed, waiting = (report_rows(tmp_path, name) for name in ("failed.csv", "pending.csv"))
        ids = [line["resource_id"] for line in odd]
        assert [line["resource_id"] for line in failed] == [*ids[:2], *ids[3:]]
        assert [line["resource_id"] for line in waiting] == ids[2:3]
        says(ended.out, "1 row: BATCHER.NotAnAttachment", "1 row: BATCHER.AttachmentNotReady", "next: `batcher resume")
        assert "--code BATCHER.NotAnAttachment" not in ended.out, "that row has to be written otherwise"

        await attach(sky, wishes[3], state="available")
        resumed = await sky.run(tmp_path, "resume")
        assert resumed.code == 3, resumed.err
        assert column(tmp_path, "outcome") == ["created", "failed", "failed", "created", "failed", "failed"]
        assert await sky.creates() == 2


async def test_an_attachment_that_is_still_pending_stays_skipped(tmp_path: Path) -> None:
    wishes = some_rows(2)
    inventory = write_rows(tmp_path / "routers.csv", wishes)
    async with cloud(open_world=False) as sky:
        await sky.seed_ground(*wishes)
        await attach(sky, wishes[1], state="pending")
        for words in (("run", str(inventory), "--preflight"), ("resume",)):
            ended = await sky.run(tmp_path, *words)
            assert (ended.code, column(tmp_path, "outcome")) == (3, ["created", "skipped"]), ended.err
            assert column(tmp_path, "error_code")[1] == "BATCHER.AttachmentNotReady"
        assert await sky.creates() == 1


async def test_without_the_option_nothing_is_checked(tmp_path: Path) -> None:
    wishes = some_rows(2)
    inventory = write_rows(tmp_path / "routers.csv", wishes)
    async with cloud(open_world=False) as sky:
        await sky.seed_ground(wishes[0])
        ended = await sky.run(tmp_path, "run", str(inventory))
        assert ended.code == 3, ended.err
        assert column(tmp_path, "error_code") == ["", "ER.04044001"]
        assert set((await sky.statistics())["calls"]) <= {"list", "create"}


async def test_what_is_there_already_needs_no_check(tmp_path: Path) -> None:
    wishes = some_rows(3)
    inventory = write_rows(tmp_path / "routers.csv", wishes)
    async with cloud(open_world=False) as sky:
        await sky.seed_ground(*wishes)
        await sky.seed(*wishes)
        ended = await sky.run(tmp_path, "run", str(inventory), "--preflight", "--reconcile", "always")
        assert ended.code == 0, ended.err
        assert column(tmp_path, "outcome") == ["exists"] * 3
        assert calls_made(tmp_path) == {"list": 1}


async def test_many_rows_on_many_routers_are_checked_with_few_calls(tmp_path: Path) -> None:
    """1,800 rows on three routers in two projects; one in nine names the VPC."""
    wishes = [row(number, routers=3, projects=2) for number in range(1800)]
    mistaken = [{**wish, "resource_id": some_uuid(f"vpc {n}")} if n % 9 == 0 else wish for n, wish in enumerate(wishes)]
    inventory = write_rows(tmp_path / "routers.csv", mistaken)
    async with cloud(open_world=False) as sky:
        await sky.seed_ground(*wishes)
        behind = [
            {"project_id": wish["project_id"], "er_id": wish["er_id"], "id": wish["resource_id"]}
            | {"resource_id": some_uuid(f"vpc {n}")}
            for n, wish in enumerate(wishes)
        ]
        await sky.control("POST", "attachments", behind)
        words = sky.words("run", str(inventory), "--preflight", "--no-verify", rate="2000/s")
        ended = await batcher(tmp_path, *words, extra=EMULATOR_KEYS)
        assert ended.code == 3, ended.err
        assert calls_made(tmp_path) == {"attachments": 3, "create": 1600, "list": 3, "log_groups": 2, "log_streams": 2}
        told = [line for line in report_rows(tmp_path) if line["error_code"] == "BATCHER.NotAnAttachment"]
        assert len(told) == 200
        right = {some_uuid(f"vpc {n}"): wish["resource_id"] for n, wish in enumerate(wishes)}
        assert all(line["error_message"].endswith(f"is `{right[line['resource_id']]}`") for line in told)


@pytest.mark.parametrize("code", ["APIGW.0302", "LTS.0403"])
async def test_checks_that_are_refused_are_told_and_hold_up_nothing(tmp_path: Path, code: str) -> None:
    wishes = some_rows(4, routers=2)
    inventory = write_rows(tmp_path / "routers.csv", wishes)
    async with cloud(open_world=False) as sky:
        await sky.seed_ground(*wishes)
        await denied(sky, "attachments", "log_groups", code=code)
        planned = await sky.run(tmp_path, "plan", str(inventory))
        assert planned.code == 0, planned.err
        says(planned.out, "4 to create", "warning  the log groups of project")

        ended = await sky.run(tmp_path, "run", str(inventory), "--preflight", "--no-verify")
        assert ended.code == 0, ended.err
        assert column(tmp_path, "outcome") == ["created"] * 4
        asked = ended.err.count("warning: the attachments of router ")
        assert asked == (1 if code == "APIGW.0302" else 2)
        says(ended.err, f"were not checked: {code}: denied", "warning: the log groups of project ")
        assert calls_made(tmp_path) == {"attachments": asked, "create": 4, "list": 2, "log_groups": 1}
        assert summary(tmp_path)["calls"]["by_kind"]["attachments"] == {"403": asked}


async def test_a_log_service_that_is_down_holds_up_nothing(tmp_path: Path) -> None:
    write_settings(tmp_path, SHORT)
    wishes = some_rows(3)
    inventory = write_rows(tmp_path / "routers.csv", [*wishes[:2], {**wishes[2], "resource_id": VPC}])
    async with cloud(open_world=False) as sky:
        await sky.seed_ground(*wishes)
        with socket.socket() as held:
            held.bind(("127.0.0.1", 0))
            down = f"http://127.0.0.1:{held.getsockname()[1]}"
            ended = await sky.run(tmp_path, "run", str(inventory), "--preflight", "--lts-endpoint", down)
            planned = await sky.run(tmp_path, "plan", str(inventory), "--lts-endpoint", down)
        assert ended.code == 3, ended.err
        assert column(tmp_path, "error_code") == ["", "", "BATCHER.NoAttachment"]
        says(ended.err, "were not checked: BATCHER.Unreachable: ")
        assert summary(tmp_path)["stop_code"] is None
        assert planned.code == 3, planned.err
        says(planned.out, "2 there as wished", "1 cannot be made")


async def test_keys_that_only_the_check_finds_refused_still_stop_the_run(tmp_path: Path) -> None:
    """A refused key is never tried again: five refusals lock it."""
    wishes = some_rows(4)
    inventory = write_rows(tmp_path / "routers.csv", wishes)
    async with cloud(open_world=False) as sky:
        await sky.seed_ground(*wishes)
        no = {"fault": "status", "status": 401, "code": "APIGW.0301", "message": "who?", "times": None}
        await sky.script({**no, "operation": "attachments"})
        ended = await sky.run(tmp_path, "run", str(inventory), "--preflight")
        assert ended.code == 7, ended.out
        assert column(tmp_path, "outcome") == ["skipped"] * 4
        assert (await sky.statistics())["calls"] == {"attachments": 1, "list": 1}


async def test_a_router_that_the_check_finds_gone_costs_no_create(tmp_path: Path) -> None:
    here, gone = some_rows(2), [{**wish, "er_id": some_uuid("gone")} for wish in some_rows(2)]
    inventory = write_rows(tmp_path / "routers.csv", [*gone, *here])
    async with cloud(open_world=False) as sky:
        await sky.seed_ground(*here)
        ended = await sky.run(tmp_path, "run", str(inventory), "--preflight")
        assert ended.code == 3, ended.err
        assert column(tmp_path, "outcome") == ["skipped"] * 2 + ["created"] * 2
        assert column(tmp_path, "error_code")[:2] == ["BATCHER.RouterStopped"] * 2
        assert await sky.creates() == 2


async def test_a_rehearsal_takes_any_ground(tmp_path: Path) -> None:
    inventory = write_rows(tmp_path / "routers.csv", some_rows(3))
    words = ("run", str(inventory), "--emulator", "--preflight", "--rate", "200/s", "--no-progress")
    ended = await batcher(tmp_path, *words)
    assert ended.code == 0, ended.err
    assert column(tmp_path, "outcome") == ["created"] * 3
