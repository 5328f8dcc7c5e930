"""The public names, as a user's type checker and a user's program see them."""

import asyncio
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import anyio
import pytest

import batcher
from tests.e2e.commands import report_rows
from tests.e2e.inventories import some_rows, write_rows

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

REFUSED = {
    "batcher.Session(settings)": "call-arg",
    "batcher.Session(emulate=True)": "call-arg",
    'batcher.Session(settings={"run": {"rate": "5/s"}})': "arg-type",
    "session.emulator = False": "misc",
    "print(settings.run.speed)": "attr-defined",
    'await batcher.run_inventory("attachments.csv")': "call-arg",
    'await batcher.run_inventory(b"attachments.csv", session)': "arg-type",
    "await batcher.resume_run(session, session)": "arg-type",
    "await batcher.resume_run(None)": "call-arg",
    'await batcher.check_inventory("attachments.csv", session, lambda line: None)': "arg-type",
    'batcher.run_inventory("attachments.csv", session)': "unused-coroutine",
    "for run in await batcher.list_runs(session): run.stop_code = ''": "misc",
    "session.stop.request()": "call-arg",
    "await batcher.set_rate(5.0, session)": "arg-type",
    "(await batcher.live_status(session)).open_rows = 0": "misc",
    "print(batcher.Outcome.GONE)": "attr-defined",
}
"""Mistakes that a type checker must find, each with the code of its error."""


def checked(path: Path) -> dict[int, str]:
    """What mypy --strict says of a user's file: codes by line. The user has neither our settings nor our plugins."""
    options = ("--strict", "--no-error-summary", "--config-file", "", "--cache-dir", ".mypy_cache/api")
    ended = subprocess.run(
        [sys.executable, "-m", "mypy", *options, str(path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.stderr == ""
    found = re.findall(r"^(\S+?):(\d+): error: .*\[([a-z-]+)\]$", ended.stdout, re.MULTILINE)
    assert len(found) == ended.stdout.count(": error: ")
    assert all(Path(name).name == path.name for name, _, _ in found), ended.stdout
    return {int(line): code for _, line, code in found}


@pytest.mark.timeout(120)
def test_what_a_user_writes_is_well_typed() -> None:
    assert checked(HERE / "api.py") == {}


def checked_lines(folder: Path, lines: Sequence[str]) -> dict[str, str]:
    """The code that each line gets in a coroutine of a user's, or `nothing`."""
    head = ["import batcher", "settings = batcher.Settings()", "session = batcher.Session(settings=settings)"]
    body = ["async def mistakes() -> None:", *(f"    {line}" for line in lines)]
    (path := folder / "mistakes.py").write_text("\n".join([*head, *body, ""]), encoding="utf-8")
    found = checked(path)
    return {line: found.get(number, "nothing") for number, line in enumerate(lines, len(head) + 2)}


@pytest.mark.timeout(120)
def test_what_a_user_mistakes_is_found(tmp_path: Path) -> None:
    assert checked_lines(tmp_path, list(REFUSED)) == REFUSED


@pytest.mark.timeout(120)
def test_a_name_that_batcher_does_not_have_is_found(tmp_path: Path) -> None:
    line = 'await batcher.run_inventry("attachments.csv", session)'
    assert checked_lines(tmp_path, [line]) == {line: "attr-defined"}


def test_every_public_name_is_there_and_used_in_the_example() -> None:
    example = (HERE / "api.py").read_text(encoding="utf-8")
    for name in batcher.__all__:
        assert getattr(batcher, name) is not None
        assert f"batcher.{name}" in example
    assert set(batcher.__all__) <= set(dir(batcher))
    with pytest.raises(AttributeError, match="no attribute `run_inventry`"):
        getattr(batcher, "run_inventry")  # noqa: B009  # what a type checker would refuse


def a_session(folder: Path, **changes: object) -> batcher.Session:
    """A rehearsal whose files all lie in a folder."""
    values = {"run": {"rate": "200/s"}, "report": {"directory": str(folder / "reports")}, **changes}
    return batcher.Session(settings=batcher.Settings.model_validate(values), emulator=True)


@pytest.mark.parametrize("start", ["asyncio", "anyio"])
def test_a_program_runs_an_inventory(tmp_path: Path, start: str) -> None:
    inventory = write_rows(tmp_path / "routers.csv", some_rows(3))

    async def program() -> batcher.RunResult:
        return await batcher.run_inventory(str(inventory), a_session(tmp_path))

    result = asyncio.run(program()) if start == "asyncio" else anyio.run(program)
    assert (result.exit_code, result.continued, result.changes) == (0, False, None)
    assert {name: rows for name, rows in result.publication.counts.items() if rows} == {"created": 3}
    assert [row["outcome"] for row in report_rows(tmp_path)] == ["created"] * 3


async def test_a_program_can_check_stop_resume_and_look(tmp_path: Path) -> None:
    inventory = write_rows(tmp_path / "routers.csv", [*some_rows(8), {**some_rows(9)[8], "er_id": "none"}])
    told: list[tuple[int, str, str]] = []
    checked = await batcher.check_inventory(str(inventory), a_session(tmp_path), lambda *facts: told.append(facts))
    assert checked.counts == {"valid": 8, "invalid": 1, "duplicate": 0}
    assert [fact[:2] for fact in told] == [(10, "invalid")]

    class StopAtTheFirstCall:
        def emit(self, event: object) -> None:
            if type(event).__name__ == "CallMade":
                stop.request("BATCHER.Interrupted")

    stop = batcher.Stop()
    session = a_session(tmp_path)
    session = batcher.Session(settings=session.settings, emulator=True, stop=stop, sink=StopAtTheFirstCall())
    result = await batcher.run_inventory(str(inventory), session)
    assert result.exit_code == 130
    assert 1 <= result.publication.counts["created"] < 8

    result = await batcher.resume_run(None, a_session(tmp_path))
    assert (result.exit_code, result.continued) == (3, True)
    (run,) = await batcher.list_runs(a_session(tmp_path))
    assert run.run_id == result.run.run_id
    publication = await batcher.write_report(run.run_id, a_session(tmp_path))
    assert publication.counts == result.publication.counts
    with pytest.raises(batcher.BatcherError, match="no row that is `failed` or `in_doubt`"):
        await batcher.retry_run(run.run_id, a_session(tmp_path))
    with pytest.raises(batcher.BatcherError) as refused:
        await batcher.run_inventory(str(tmp_path / "absent.csv"), a_session(tmp_path))
    assert "absent.csv" in str(refused.value)


async def test_a_program_steers_its_own_batch(tmp_path: Path) -> None:
    inventory = write_rows(tmp_path / "routers.csv", some_rows(50))
    calling = anyio.Event()

    class FirstCall:
        def emit(self, event: object) -> None:
            if type(event).__name__ == "CallMade":
                calling.set()

    session = batcher.Session(
        settings=a_session(tmp_path, run={"rate": "10/s"}).settings, emulator=True, sink=FirstCall()
    )
    with pytest.raises(batcher.BatcherError, match="no batch works the ledger"):
        await batcher.live_status(session)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(batcher.run_inventory(str(inventory), session))
        await calling.wait()
        assert (await batcher.pause_run(session)).state == "paused"
        assert (await batcher.set_rate("200/s", session)).rate == "200/s"
        with pytest.raises(batcher.BatcherError, match="`fast` is no rate"):
            await batcher.set_rate("fast", session)
        assert (await batcher.continue_run(session)).state == "working"
        status = await batcher.drain_run(session)
        assert (status.state, status.stop_code) == ("draining", "BATCHER.Drained")
    result = task.result()
    assert (result.exit_code, result.run.stop_code) == (5, "BATCHER.Drained")
    changes = [(action, value) for _, action, value in result.run.changes]
    assert changes == [("pause", ""), ("rate", "200/s"), ("continue", ""), ("drain", "")]
