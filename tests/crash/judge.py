"""Whether what a run has told is so: its report beside its inventory, its ledger, and above all the cloud's memory."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.crash.scenes import NEVER_SENT, OUTCOMES, Line, Scene, Sort
from tests.crash.traces import Memory, Thing, drawn, half_files, ledger_faults, ledger_rows, memory_of, rows_of, runs_of

UNRECORDED = "this run may have made it"
"""Said of what a process that was killed may have made, whose send is on no record."""
LEDGER_COLUMNS = (
    *("row", "line", "outcome", "flow_log_id", "http_status", "error_code", "request_id"),
    *("attempts", "generation", "token"),
)
DONE = {"created", "exists", "updated", "duplicate", "deleted", "absent"}


@dataclass(frozen=True)
class Verdict:
    """What is wrong, a line each: things made twice or under two tokens, rows lost, rows that are not so."""

    duplicates: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    untrue: list[str] = field(default_factory=list)
    doubtful: int = 0
    """Rows that ended `in_doubt`: no fault, but less than one would like to know."""

    def __add__(self, other: "Verdict") -> "Verdict":
        return Verdict(
            self.duplicates + other.duplicates,
            self.lost + other.lost,
            self.untrue + other.untrue,
            self.doubtful + other.doubtful,
        )

    def assert_clean(self) -> None:
        """Nothing is wrong."""
        assert (self.duplicates, self.lost, self.untrue) == ([], [], [])


def duplicates(memory: Memory, lines: Sequence[Line]) -> list[str]:
    """Natural keys that a create took effect for twice, or that got a second token without reason."""
    there = {line.key for line in lines if line.sort in (Sort.THERE, Sort.DRIFTED)}
    counted = Counter(thing.key for thing in memory.things)
    faults = [f"{key} was made {count} times" for key, count in counted.items() if count > 1]
    faults += [f"{key} was made, and was there before" for key in there if counted[key] != 1]
    last: dict[str, tuple[str, int]] = {}
    for key, token, status in memory.creates:
        before = last.get(key)
        # Only a refusal for good spends a token: after silence, a 5xx or a 429 the same one has to come again.
        if before is not None and before[0] != token and not (400 <= before[1] < 500 and before[1] != 429):
            faults.append(f"{key} got a second token after status {before[1]}")
        last[key] = token, status
    return faults


def never_to_be_sent(memory: Memory, lines: Sequence[Line]) -> list[str]:
    """Creates of what no valid row asks for."""
    wished = {line.key for line in lines if line.sort not in NEVER_SENT}
    return [f"{key} was sent, and no valid row asks for it" for key in {key for key, _, _ in memory.creates} - wished]


def lost_rows(rows: Sequence[Mapping[str, str]], lines: Sequence[Line]) -> list[str]:
    """Rows of the inventory that a report lacks or has in another place."""
    owners, numbers = [row["owner"] for row in rows], [row["row"] for row in rows]
    if owners != [line.cells["owner"] for line in lines]:
        return [f"{len(lines)} rows were wished, and the report shows {owners}"]
    return [] if numbers == [str(n + 1) for n in range(len(lines))] else [f"the rows are numbered {numbers}"]


def untrue_rows(rows: Iterable[Mapping[str, str]], memory: Memory, lines: Sequence[Line], *, began: float) -> list[str]:
    """Rows of a run's report, written at any moment, of which the cloud remembers otherwise."""
    live, wished = memory.live(), {line.cells["owner"]: line for line in lines}
    faults = []
    for row in rows:
        line = wished[row["owner"]]
        if not _is_so(row, line, live.get(line.key), began):
            faults.append(f"{row['owner']} ({line.sort}) is no `{row['outcome']}`: there is {live.get(line.key)}")
    return faults


def _is_so(row: Mapping[str, str], line: Line, thing: Thing | None, began: float) -> bool:
    outcome, was_there = row["outcome"], thing is not None and thing.created_at < began
    if line.sort in NEVER_SENT or outcome in ("invalid", "duplicate"):
        return outcome == OUTCOMES[line.sort]
    is_as_wished = (
        thing is not None
        and (thing.name, thing.enabled) == (line.cells["name"], line.cells["enabled"] == "true")
        and (thing.id, thing.state) == (row["flow_log_id"], "available")
    )
    match outcome:
        case "created":
            return is_as_wished and not was_there
        case "exists" | "updated":
            return is_as_wished and (was_there or UNRECORDED in row["error_message"])
        case "drifted":
            return was_there and not is_as_wished
        case "failed":
            return thing is None or thing.final_state == "failed"
        case "skipped":
            return thing is None or was_there
        case "unverified":
            return thing is not None and thing.id == row["flow_log_id"]
        case _:
            return outcome == "in_doubt"


def untrue_undone(rows: Iterable[Mapping[str, str]], memory: Memory) -> list[str]:
    """Rows of an undo's report of which the cloud remembers otherwise."""
    by_id = {thing.id: thing for thing in memory.things}
    faults = []
    for row in rows:
        thing, outcome = by_id.get(row["flow_log_id"]), row["outcome"]
        if thing is None:
            is_so = outcome in ("absent", "in_doubt", "skipped")
        else:
            is_gone = {"deleted": True, "absent": True, "skipped": False, "exists": False, "drifted": False}
            is_so = is_gone.get(outcome, thing.is_gone) == thing.is_gone
        if not is_so:
            faults.append(f"{row['owner']} is no `{outcome}`: there is {thing}")
    return faults


async def after_a_kill(scene: Scene) -> Verdict:
    """What is wrong at a moment at which a process was killed."""
    memory, untrue, lost = memory_of(scene.state), ledger_faults(scene.ledger), list[str]()
    counts: dict[str, int] = {}
    for run in runs_of(scene.ledger) if not untrue else ():
        if run.state == "planning":
            continue
        rows = await drawn(scene.ledger, run.id)
        if not counts:  # what an older one has told was so then
            is_undo = run.operation == "undo"
            untrue += (
                untrue_undone(rows, memory) if is_undo else untrue_rows(rows, memory, scene.lines, began=run.began)
            )
        lost += lost_rows(rows, scene.lines) if run.parent is None else []
        counts[run.id] = len(rows)
    untrue += half_files(scene.folder / "reports", counts)
    untrue += never_to_be_sent(memory, scene.lines)
    return Verdict(duplicates(memory, scene.lines), lost, untrue)


async def at_the_end(scene: Scene, run_id: str, *, fix_drift: bool = False, unrecorded: bool = False) -> Verdict:
    """What is wrong with a run that is over, and with its report.

    `unrecorded`: some of its sends may be on no record, so that what it made may be `exists`.
    """
    told = await scene.sky.statistics()
    found = await after_a_kill(scene)
    report = scene.folder / "reports" / run_id
    rows = rows_of(report / "report.csv")
    twice = [f"{key} was created twice" for key in told["keys_created_twice"]]
    lost = [*lost_rows(rows, scene.lines), *_unsettled(scene.ledger, run_id)]
    untrue = untrue_rows(rows, memory_of(scene.state), scene.lines, began=_began(run_id, scene))
    untrue += beside_the_ledger(report, scene.ledger, run_id)
    doubtful = sum(row["outcome"] == "in_doubt" for row in rows)
    for row, line in zip(rows, scene.lines, strict=False):
        due = "updated" if fix_drift and line.sort is Sort.DRIFTED else OUTCOMES[line.sort]
        if unrecorded and UNRECORDED in row["error_message"]:
            continue
        # A repair that was killed half-way is found done, and `exists`.
        if row["outcome"] not in {due, "in_doubt", "exists" if due == "updated" else due}:
            untrue.append(f"{row['owner']} ({line.sort}) ended `{row['outcome']}`: {row['error_message']}")
    return found + Verdict(twice, lost, untrue, doubtful)


async def at_the_end_of_an_undo(scene: Scene, run_id: str, *, undone: str | None = None) -> Verdict:
    """What is wrong with an undo that is over: the rows that the run had made are to be gone, the rest is to stand.

    What the run `undone` may have made, by its report, and has no record of may stand too.
    """
    found, memory = await after_a_kill(scene), memory_of(scene.state)
    report = scene.folder / "reports" / run_id
    rows = rows_of(report / "report.csv")
    untrue = untrue_undone(rows, memory) + beside_the_ledger(report, scene.ledger, run_id)
    there = {line.key for line in scene.lines if line.sort in (Sort.THERE, Sort.DRIFTED)}
    may_stand = there | (set() if undone is None else _unrecorded(scene, undone))
    untrue += [f"{key} still stands" for key in memory.live().keys() - may_stand]
    lost = [f"{key} was there before, and is gone" for key in there - memory.live().keys()]
    return found + Verdict([], lost + _unsettled(scene.ledger, run_id), untrue)


def _unrecorded(scene: Scene, run_id: str) -> set[str]:
    """The keys of what a run may have made and has no record of."""
    rows = rows_of(scene.folder / "reports" / run_id / "report.csv")
    owners = {row["owner"] for row in rows if UNRECORDED in row["error_message"]}
    return {line.key for line in scene.lines if line.cells["owner"] in owners}


def _unsettled(ledger: Path, run_id: str) -> list[str]:
    state, rows = ledger_rows(ledger, run_id)
    faults = [f"row {row[0]} is {row[2]}" for row in rows if row[2] != "settled"]
    return faults if state == "finished" else [*faults, f"the run is {state}"]


def beside_the_ledger(report: Path, ledger: Path, run_id: str) -> list[str]:
    """Where a report, in any of its files, says something else than the ledger."""
    rows = rows_of(report / "report.csv")
    shown = [tuple(row[name] for name in LEDGER_COLUMNS) for row in rows]
    kept = [
        tuple("" if value is None else str(value) for place, value in enumerate(row) if place != 2)
        for row in ledger_rows(ledger, run_id)[1]
    ]
    typed = [json.loads(line) for line in (report / "report.jsonl").read_text(encoding="utf-8").splitlines()]
    summary = json.loads((report / "summary.json").read_text(encoding="utf-8"))
    outcomes = {name: number for name, number in summary["rows"]["by_outcome"].items() if number}
    left = sorted(row["owner"] for row in rows if row["outcome"] not in DONE)
    checks = {
        "report.csv is not the ledger": shown == kept,
        "report.jsonl is not report.csv": [(str(row["row"]), row["outcome"]) for row in typed]
        == [(row["row"], row["outcome"]) for row in rows],
        "summary.json counts otherwise": outcomes == Counter(row["outcome"] for row in rows),
        "failed.csv and pending.csv have other rows": left
        == sorted(row["owner"] for name in ("failed.csv", "pending.csv") for row in rows_of(report / name)),
    }
    return [f"{run_id}: {said}" for said, is_so in checks.items() if not is_so]


def _began(run_id: str, scene: Scene) -> float:
    """When a run began."""
    return next(run.began for run in runs_of(scene.ledger) if run.id == run_id)
