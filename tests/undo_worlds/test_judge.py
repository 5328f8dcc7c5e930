"""The judge of undo worlds finds what is wrong: a run and its undo are right, and wrong once others have made it."""

import csv
import time
from pathlib import Path
from typing import Any

from batcher import app
from batcher.emulator.settings import EmulatorSettings
from batcher.sitting import RunResult
from tests.e2e.inventories import some_rows, write_rows
from tests.undo_worlds.judge import judge_deletes, judge_run, judge_undo
from tests.undo_worlds.witness import Witness, watched
from tests.undo_worlds.world import Ledger

KEYS = {"A1": "secret", "A2": "secret", "B1": "secret", "C1": "secret"}
WISHES = some_rows(3)


def _ledger(name: str, witness: Witness, folder: Path) -> tuple[Ledger, str]:
    """A ledger of its own in a folder, and its inventory."""
    (folder / name).mkdir()
    run = {"rate": "100/s", "listing_lag_s": 1.0, "reconcile": "never"}
    values: dict[str, dict[str, Any]] = {"cloud": {"endpoint": witness.url}, "run": run}
    return Ledger(name, folder / name, values), str(write_rows(folder / name / "routers.csv", WISHES))


def _rows(result: RunResult) -> list[dict[str, str]]:
    with (result.publication.directory / "report.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


async def test_what_another_has_made_is_found(tmp_path: Path) -> None:
    async with watched(EmulatorSettings(keys=KEYS)) as witness:
        ledger, path = _ledger("A", witness, tmp_path)
        made = await app.run_inventory(path, ledger.session("A1"))
        run, rows = made.run.run_id, _rows(made)
        assert [row["outcome"] for row in rows] == ["created"] * 3
        assert judge_run(witness, run, rows, {"A1": run}).faults == []
        assert len(judge_run(witness, run, rows, {"A1": "another"}).untrue_created) == 3

        undone = await app.undo_run(run, ledger.session("A2"))
        assert [row["outcome"] for row in _rows(undone)] == ["deleted"] * 3
        right = judge_deletes(witness, {"A1": run}, {"A2": run})
        assert (right.faults, right.deleted) == ([], 3)
        assert len(judge_deletes(witness, {"A1": "another"}, {"A2": run}).not_own) == 3
        assert len(judge_deletes(witness, {"A1": run}, {}).not_own) == 3


async def test_what_is_called_gone_and_stands_is_found_with_and_without_its_id(tmp_path: Path) -> None:
    async with watched(EmulatorSettings(keys=KEYS)) as witness:
        ledger, path = _ledger("A", witness, tmp_path)
        made = await app.run_inventory(path, ledger.session("A1"))
        run = made.run.run_id
        gone = [{**row, "outcome": "absent"} for row in _rows(made)]
        assert len(judge_undo(witness, run, gone, {"A1": run}).untrue_absences) == 3
        nameless = [{**row, "flow_log_id": ""} for row in gone]
        assert len(judge_undo(witness, run, nameless, {"A1": run}).untrue_absences) == 3
        assert judge_undo(witness, run, nameless, {"A1": "another"}).faults == []


async def test_what_another_ledger_made_within_the_second_is_counted_and_what_it_made_before_is_a_fault(
    tmp_path: Path,
) -> None:
    began = time.time()
    async with watched(EmulatorSettings(keys=KEYS, now=lambda: began)) as witness:
        other, other_path = _ledger("B", witness, tmp_path)
        await app.run_inventory(other_path, other.session("B1"))
        for name, later_s, within in (("A", 0, 3), ("C", 5, 0)):
            await witness.control("POST", "clock", {"advance_s": later_s})
            ledger, path = _ledger(name, witness, tmp_path)
            made = await app.run_inventory(path, ledger.session(f"{name}1"))
            claimed = [{**row, "outcome": "created"} for row in _rows(made)]
            verdict = judge_run(witness, made.run.run_id, claimed, {f"{name}1": made.run.run_id, "B1": "another"})
            assert (verdict.created_within, len(verdict.untrue_created)) == (within, 3 - within)
