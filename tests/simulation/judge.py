"""What must be true of a night, whatever happened in it. Each check returns what is wrong, a sentence each.

The judge believes the provider's own state and what it saw arrive; it knows nothing of how batcher decides. It looks
after every end of a process, however that ended.
"""

import csv
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from batcher.emulator.state import State
from batcher.emulator.throttle import worst_window
from batcher.events import Event, RowAccepted, RowSettled, RunStarted
from batcher.model import UNDO, LaneKey, Outcome, RowState
from batcher.policy.pace import parse_rate
from batcher.policy.verdict import DONE, project_outcome
from batcher.records import RowRecord, RunRecord
from tests.simulation.machine import Process
from tests.simulation.night import Night
from tests.simulation.provider import Provider
from tests.virtual_time import EPOCH

SKEW_S = 301.0
"""Within which batcher takes what appeared for its own work: clocks differ, and the provider's have whole seconds."""

Key = tuple[str, str, str, str, str]
"""Project, router, attachment, group, stream."""


class Thing(NamedTuple):
    """A flow log that is or was at the provider; `token` is the one that made it, None: not batcher's."""

    id: str
    name: str
    description: str
    enabled: bool
    created_at: float
    final_state: str
    ready_at: float
    is_live: bool
    token: str | None


class Wished(NamedTuple):
    """What a row asks for."""

    key: Key
    name: str
    description: str
    enabled: bool


@dataclass(slots=True)
class Memory:
    """What the judge has seen of one ledger before: what is settled stays so."""

    settled: dict[tuple[str, int], tuple[str, str | None]] = field(default_factory=dict)
    began: dict[str, float] = field(default_factory=dict)
    """When each run was first there, in virtual time."""
    workers: dict[str, set[Process]] = field(default_factory=dict)
    """The processes that have worked each run: what another run has sent is none of its business."""


def things_of(state: State) -> dict[Key, list[Thing]]:
    """All flow logs by natural key, in the order in which they were made."""
    found: dict[Key, list[Thing]] = {}
    for *key, id_, name, description, enabled, created_at, final_state, ready_at, is_live, token in state.db.execute(
        "SELECT project_id, er_id, resource_id, log_group_id, log_stream_id, id, name, description, enabled,"
        " created_at, final_state, ready_at, deleted_at IS NULL AND gone_at IS NULL,"
        " (SELECT token FROM tokens WHERE flow_log_n = n LIMIT 1) FROM flow_logs ORDER BY n"
    ):
        thing = Thing(id_, name, description, bool(enabled), created_at, final_state, ready_at, bool(is_live), token)
        found.setdefault(tuple(key), []).append(thing)
    return found


def wished(spec: str) -> Wished:
    """A spec of the ledger, read back."""
    _, _, project_id, er_id, resource_id, group_id, stream_id, name, description, enabled = json.loads(spec)
    return Wished((project_id, er_id, resource_id, group_id, stream_id), name, description or "", enabled)


@dataclass(slots=True)
class Case:
    """One run as it stands, beside what the provider has."""

    night: Night
    provider: Provider
    run: RunRecord
    rows: Sequence[RowRecord]
    began: float
    """In virtual time, when its first process did."""
    workers: Collection[Process]
    verifies: bool
    now: float

    def faults(self) -> Iterator[str]:
        """Every row that is not true."""
        things = things_of(self.provider.api.state)
        for row in self.rows:
            if row.spec is None:
                continue
            wish = wished(row.spec)
            outcome = project_outcome(row.state, row.outcome)
            wrong = (
                self._undone(row, outcome, wish, things)
                if self.run.operation == UNDO
                else self._done(row, outcome, wish, things.get(wish.key, []))
            )
            if wrong:
                yield f"run {self.run.run_id}, row {row.row_no}, {outcome} {row.error_code}: {wrong}"

    def _done(self, row: RowRecord, outcome: Outcome, wish: Wished, there: list[Thing]) -> str:
        mine = next((thing for thing in there if thing.id == row.remote_id), None)
        live = next((thing for thing in there if thing.is_live), None)
        match outcome:
            case Outcome.CREATED:
                return self._created(row, wish, mine)
            case Outcome.EXISTS | Outcome.UPDATED:
                return "" if mine is not None and mine.is_live and _is_as(mine, wish) else f"there is {mine}"
            case Outcome.DRIFTED:
                differs = mine is not None and mine.is_live and not _is_as(mine, wish)
                # A change of ours, or of another machine's, may have come through after it was looked at.
                is_late = "not put right" in row.error_message and self.night.network.late_share > 0
                others = self.night.second_operator or any(sitting.robbed for sitting in self.night.sittings)
                return "" if differs or is_late or others else f"there is {mine}"
            case Outcome.UNVERIFIED:
                return "" if mine is not None else "nothing with this id was ever there"
            case Outcome.FAILED:
                is_well = live is not None and live.token is not None and live.final_state == "available"
                return f"it is there: {live}" if is_well and live is not None and _is_as(live, wish) else ""
            case Outcome.SKIPPED:
                return self._skipped(row, live)
            case _:
                return ""

    def _created(self, row: RowRecord, wish: Wished, mine: Thing | None) -> str:
        if mine is None:
            return "nothing with this id was ever there"
        if mine.token is None:
            return f"somebody else made {mine}"
        was_accepted = row.http_status == 202  # a token of another operator's may have made it before
        if self.run.parent is None and not was_accepted and mine.created_at < EPOCH + self.began - SKEW_S:
            return f"it was made before the run: {mine}"
        if not mine.is_live:  # of two who had the same answer one may take it back
            return "" if self.night.second_operator else "it is not there any more"
        if (mine.name, mine.description) != (wish.name, wish.description):
            return f"there is {mine}"
        if self.verifies and (mine.final_state != "available" or mine.ready_at > self.now + EPOCH):
            return f"it is not available: {mine}"
        return "" if not self.verifies or mine.enabled is wish.enabled else f"it is not as wished: {mine}"

    def _skipped(self, row: RowRecord, live: Thing | None) -> str:
        if self.night.second_operator:
            return ""
        if live is not None and live.token is not None and live.created_at > EPOCH + self.began:
            return f"the run has made {live}"
        departures = self.provider.seen.departures
        sent_at = max((departures.get((worker, row.token or ""), -1.0) for worker in self.workers), default=-1.0)
        if row.state is RowState.PLANNED and row.first_sent_at is None and sent_at >= self.began:
            return f"it was sent at {sent_at:.3f}, and the ledger does not know"
        return ""

    def _undone(self, row: RowRecord, outcome: Outcome, wish: Wished, things: Mapping[Key, list[Thing]]) -> str:
        mine = next((thing for thing in things.get(wish.key, []) if thing.id == row.remote_id), None)
        if outcome is Outcome.DELETED and mine is not None and mine.is_live:
            return f"it is there: {mine}"
        if outcome is Outcome.ABSENT and any(thing.is_live and thing.token for thing in things.get(wish.key, [])):
            return "it is there"
        return ""


def _is_as(thing: Thing, wish: Wished) -> bool:
    return (thing.name, thing.description, thing.enabled) == (wish.name, wish.description, wish.enabled)


def changed(memory: Memory, run: RunRecord, rows: Sequence[RowRecord]) -> tuple[list[RowRecord], list[str]]:
    """The rows that are not settled or were not when the judge last looked, and those that were and are other now."""
    fresh, wrong = [], []
    for row in rows:
        place = (run.run_id, row.row_no)
        now = (str(row.outcome), row.remote_id)
        before = memory.settled.get(place)
        if before is None:
            fresh.append(row)
        elif before != now:
            wrong.append(f"run {run.run_id}, row {row.row_no}: was {before}, is {now}")
        if row.outcome is not None and row.outcome is not Outcome.SKIPPED:
            memory.settled[place] = now
    return fresh, wrong


def unheard(heard: Sequence[Event], rows: Sequence[RowRecord], run: RunRecord) -> Iterator[str]:
    """Outcomes that were told and are not in the ledger."""
    known = {row.row_no: row.outcome for row in rows}
    for event in heard:
        if isinstance(event, RowSettled) and (recorded := known.get(event.row_no)) != event.outcome:
            yield f"run {run.run_id}, row {event.row_no}: told as {event.outcome}, recorded as {recorded}"


def unfenced(one: Sequence[tuple[float, Event]], other: Sequence[tuple[float, Event]]) -> Iterator[str]:
    """Lanes in which a process settled something after another one had, which had taken the lane from it.

    Only if both worked one run: runs have leases of their own.
    """
    runs = [{event.run_id for _, event in told if isinstance(event, RunStarted)} for told in (one, other)]
    if runs[0] != runs[1]:
        return
    last: dict[LaneKey, list[int]] = {}
    for at, who, event in _in_order(one, other):
        if isinstance(event, RowSettled | RowAccepted):
            takers = last.setdefault(event.lane, [])
            if who in takers and takers[-1] != who:
                yield f"row {event.row_no} was settled at {at:.3f} by who had lost its lane"
            elif who not in takers:
                takers.append(who)


def _in_order(*all_told: Sequence[tuple[float, Event]]) -> list[tuple[float, int, Event]]:
    """What processes told, by time, and which of them it was."""
    return sorted(
        ((at, who, event) for who, told in enumerate(all_told) for at, event in told), key=lambda one: one[:2]
    )


def misreported(folder: Path, run: RunRecord, rows: Sequence[RowRecord], exit_code: int) -> Iterator[str]:
    """What the report and the exit code say otherwise than the ledger."""
    with (folder / run.run_id / "report.csv").open(newline="", encoding="utf-8-sig") as file:
        lines = list(csv.DictReader(file))
    said = [(line["row"], line["outcome"], line["flow_log_id"], line["token"]) for line in lines]
    known = [
        (str(row.row_no), str(project_outcome(row.state, row.outcome)), row.remote_id or "", row.token or "")
        for row in rows
    ]
    if said != known:
        yield f"run {run.run_id}: the report says {set(said) - set(known)}, the ledger {set(known) - set(said)}"
    is_done = all(row.state is RowState.SETTLED and row.outcome in DONE for row in rows)
    if (exit_code == 0) != is_done and exit_code in (0, 3, 5):
        yield f"run {run.run_id}: exit code {exit_code}, and done: {is_done}"
    if exit_code == 3 and any(row.state is not RowState.SETTLED for row in rows):
        yield f"run {run.run_id}: exit code 3, and rows are open"


def overrun(night: Night, provider: Provider) -> Iterator[str]:
    """Windows with more calls than were asked for, by what left each machine."""
    if not night.is_paced or any(sitting.robbed for sitting in night.sittings):
        return
    window = parse_rate(str(night.run["rate"]))
    allowed = max(1, window.calls - int(night.run["reserve"]))
    for (machine, project_id), times in provider.seen.sends.items():
        worst = worst_window(times, window.period_s)
        if worst > allowed:
            yield f"machine {machine}, project {project_id[:6]}: {worst} calls in {window.period_s} s, asked {allowed}"


def unlearnt(night: Night, provider: Provider) -> Iterator[str]:
    """Windows with more calls than a limit that the provider had named to the process before."""
    if night.throttle is None:
        return
    for (_, project_id), times in provider.seen.warned.items():
        worst = worst_window(times, night.throttle.period_s)
        if worst > night.throttle.calls:
            yield f"project {project_id[:6]}: {worst} calls in {night.throttle.period_s} s, told {night.throttle.calls}"


def undeserved(night: Night, provider: Provider) -> Iterator[str]:
    """What was there before anybody came and is not any more."""
    gone = provider.api.state.db.execute(
        "SELECT id FROM flow_logs WHERE n <= ? AND (deleted_at IS NOT NULL OR gone_at IS NOT NULL)", (len(night.there),)
    )
    for (id_,) in gone:
        yield f"flow log {id_} was there before, and was deleted"


def lost(night: Night, provider: Provider) -> Iterator[str]:
    """Rows of which nothing came, although nothing stood in their way at last."""
    things = things_of(provider.api.state)
    hopeless = {row["resource_id"] for row in night.frozen} | {row["resource_id"] for row, _ in night.fates}
    for row in night.rows:
        key = (row["project_id"], row["er_id"], row["resource_id"], row["log_group_id"], row["log_stream_id"])
        if row["resource_id"] in hopeless or row["resource_id"] == "no-id":
            continue
        if not any(thing.is_live for thing in things.get(key, [])):
            yield f"nothing stands at last for {row['name']} ({row['resource_id']})"


def names(values: Mapping[str, Any]) -> str:
    """Values for a story, on one line."""
    return ", ".join(f"{name}={value}" for name, value in values.items())
