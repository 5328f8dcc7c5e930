"""One call, one fault of the network: each row has its own, and what the tool then says is what the cloud has.

The front stands between `batcher` as a process and an emulated cloud. The cloud is the judge: each flow log was made
once, under one token, and each id in the report is that of the row's own flow log.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.e2e.clouds import Cloud, assert_created_once, cloud
from tests.e2e.commands import EMULATOR_KEYS, Ended, batcher, column, report_rows, summary, write_settings
from tests.e2e.fronts import Fault, Front, always, front, once_each
from tests.e2e.inventories import row, some_rows, write_rows
from tests.e2e.network_faults import DONE, NEVER, ODD

Row = Mapping[str, str]

SETTINGS = (
    "[cloud]\nconnect_timeout_s = 0.5\nanswer_timeout_s = 0.5\n"
    "[run]\nattempts_max = 3\nbackoff_base_s = 0.01\nbackoff_cap_s = 0.02\nconcurrency = 64\n"
)
PATIENT = SETTINGS.replace("answer_timeout_s = 0.5", "answer_timeout_s = 8")
"""Where attempts are counted: a busy machine must not make one more of a slow answer."""
FAULTS = {**NEVER, **DONE, **ODD}


async def through(before: Front, folder: Path, *words: str, rate: str = "200/s") -> Ended:
    """A command that knows the front for the cloud."""
    told = ("--endpoint", before.url, "--rate", rate, "--no-progress")
    ended = await batcher(folder, *words, *told, extra=EMULATOR_KEYS)
    assert "Traceback" not in ended.err, ended.err
    return ended


async def assert_report_is_true(folder: Path, sky: Cloud, wishes: Sequence[Row]) -> None:
    """Every row is in the report, in order; every id in it is that of the row's own flow log."""
    lines = report_rows(folder)
    assert [line["resource_id"] for line in lines] == [wish["resource_id"] for wish in wishes]
    there = {}
    for wish in {wish["er_id"]: wish for wish in wishes}.values():
        there.update({log["resource_id"]: log["id"] for log in await sky.flow_logs(wish)})
    for line in lines:
        if line["outcome"] in ("created", "exists", "updated", "unverified"):
            assert line["flow_log_id"] == there.get(line["resource_id"]), line
        if line["outcome"] == "failed":
            assert line["resource_id"] not in there, line


@pytest.mark.timeout(60)
async def test_a_fault_in_one_call_to_create_costs_a_row_no_more_than_another_call(tmp_path: Path) -> None:
    write_settings(tmp_path, PATIENT.replace("answer_timeout_s = 8", "answer_timeout_s = 4"))
    inventory = write_rows(tmp_path / "routers.csv", wishes := some_rows(len(FAULTS)))
    subjects = [wish["resource_id"] for wish in wishes]
    async with cloud() as sky, front(sky.url) as before:
        before.plan = once_each("create", dict(zip(subjects, FAULTS.values(), strict=True)))
        ended = await through(before, tmp_path, "run", str(inventory), "--reconcile", "never")
        assert ended.code == 0, ended.err
        assert column(tmp_path, "outcome") == ["created"] * len(FAULTS)
        attempts = dict(zip(FAULTS, column(tmp_path, "attempts"), strict=True))
        assert {attempts[name] for name in ODD} == {"1"}
        assert {attempts[name] for name in FAULTS if name not in ODD} <= {"2", "3"}  # a busy machine may take too long
        assert_created_once(await sky.statistics(), len(FAULTS))
        await assert_report_is_true(tmp_path, sky, wishes)


@pytest.mark.timeout(60)
async def test_creates_that_never_get_an_answer_are_looked_up_and_settled_by_the_same_command(tmp_path: Path) -> None:
    """What was done is `created`, for the listing shows it; what never came is `in_doubt`, and made later."""
    write_settings(tmp_path, SETTINGS)
    faults = {**NEVER, **DONE}
    inventory = write_rows(tmp_path / "routers.csv", wishes := some_rows(2 * len(faults)))
    by_subject: dict[str, Fault] = {
        wish["resource_id"]: fault for wish, fault in zip(wishes[::2], faults.values(), strict=True)
    }
    async with cloud() as sky, front(sky.url) as before:
        before.plan = lambda call: by_subject.get(call.subject) if call.kind == "create" else None
        ended = await through(before, tmp_path, "run", str(inventory), "--reconcile", "never")
        assert ended.code == 3, ended.err
        expected = {name: "in_doubt" if name in NEVER else "created" for name in faults}
        outcomes = column(tmp_path, "outcome")
        assert dict(zip(faults, outcomes[::2], strict=True)) == expected
        assert outcomes[1::2] == ["created"] * len(faults)
        await assert_report_is_true(tmp_path, sky, wishes)

        before.plan = lambda _: None
        ended = await through(before, tmp_path, "run", str(inventory))
        assert ended.code == 0, ended.err
        assert set(column(tmp_path, "outcome")) == {"created", "exists"}
        await assert_report_is_true(tmp_path, sky, wishes)
        assert_created_once(await sky.statistics(), len(wishes))


@pytest.mark.timeout(60)
async def test_a_fault_in_one_call_to_list_hides_nothing(tmp_path: Path) -> None:
    """A row on each router: one has its flow log, which must be found, and one must not be taken to have it."""
    write_settings(tmp_path, SETTINGS)
    faults = [*FAULTS.values()]
    wishes = [row(number, routers=len(faults), projects=6) for number in range(len(faults))]
    inventory = write_rows(tmp_path / "routers.csv", wishes)
    plan = {wish["er_id"]: fault for wish, fault in zip(wishes, faults, strict=True)}
    async with cloud() as sky, front(sky.url) as before:
        there = await sky.seed(*wishes[::2])
        for words, code in ((("plan", str(inventory), "--check"), 3), (("run", str(inventory)), 0)):
            before.plan = once_each("list", plan)
            ended = await through(before, tmp_path, *words, "--reconcile", "always")
            assert ended.code == code, (words, ended.out, ended.err)
            assert words[0] == "run" or f"{len(there)} there as wished" in ended.out
        assert column(tmp_path, "outcome")[::2] == ["exists"] * len(there)
        assert column(tmp_path, "flow_log_id")[::2] == there
        assert column(tmp_path, "outcome")[1::2] == ["created"] * (len(wishes) - len(there))
        await assert_report_is_true(tmp_path, sky, wishes)
        assert (await sky.statistics())["calls"]["create"] == len(wishes) - len(there)
        assert_created_once(await sky.statistics(), len(wishes) - len(there))


@pytest.mark.timeout(60)
async def test_a_fault_in_one_call_to_change_or_delete_is_waited_out(tmp_path: Path) -> None:
    """A change is made and seen, a delete is sent until it is known to be done, and nothing else goes."""
    write_settings(tmp_path, SETTINGS)
    wishes = some_rows(len(FAULTS) + 1)
    inventory = write_rows(tmp_path / "routers.csv", wishes[:-1])
    async with cloud() as sky, front(sky.url) as before:
        kept = await sky.seed(wishes[-1])
        ended = await through(before, tmp_path, "run", str(inventory))
        assert ended.code == 0, ended.err
        run = str(summary(tmp_path)["run_id"])
        plan = dict(zip(ids := column(tmp_path, "flow_log_id"), FAULTS.values(), strict=True))

        renamed = [{**wish, "name": f"{wish['name']}-2"} for wish in wishes[:-1]]
        before.plan = once_each("update", plan)
        ended = await through(before, tmp_path, "run", str(write_rows(inventory, renamed)), "--fix-drift")
        assert ended.code == 0, ended.err
        assert column(tmp_path, "outcome") == ["updated"] * len(FAULTS)
        names = {log["id"]: log["name"] for log in await sky.flow_logs(wishes[0])}
        assert [names[each] for each in ids] == [wish["name"] for wish in renamed]

        before.plan = once_each("delete", plan)
        ended = await through(before, tmp_path, "undo", run, "--yes", "--force")
        assert ended.code == 0, ended.err
        assert column(tmp_path, "outcome") == ["deleted"] * len(FAULTS)
        assert [log["id"] for log in await sky.flow_logs(wishes[0])] == kept
        assert_created_once(await sky.statistics(), len(FAULTS))


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", ["half-open", "two lengths"])
async def test_a_fault_in_every_call_ends_in_time_and_costs_no_row(tmp_path: Path, name: str) -> None:
    """Also the look-ups fail, so that nothing is known; nothing is said to be, and the same command does the rest."""
    write_settings(tmp_path, f"{SETTINGS}retry_time_s = 2\n")
    inventory = write_rows(tmp_path / "routers.csv", wishes := some_rows(6))
    async with cloud() as sky, front(sky.url, always("list create quotas", FAULTS[name])) as before:
        ended = await through(before, tmp_path, "run", str(inventory), "--reconcile", "never")
        assert ended.code in (3, 5), ended.err
        assert set(column(tmp_path, "outcome")) <= {"in_doubt", "skipped"}
        await assert_report_is_true(tmp_path, sky, wishes)

        before.plan = lambda _: None
        ended = await through(before, tmp_path, "run", str(inventory))
        assert ended.code == 0, ended.err
        assert set(column(tmp_path, "outcome")) <= {"created", "exists"}
        await assert_report_is_true(tmp_path, sky, wishes)
        assert_created_once(await sky.statistics(), len(wishes))
