"""What must be true of a night, whatever happened in it. Each check returns what is wrong, a sentence each.

The judge believes the provider's own state and what it saw arrive; it knows nothing of how batcher decides. It looks
after every end of a process, however that ended.
"""

import csv
import json
from bisect import bisect
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from batcher.emulator.answers import BEING_OPERATED
from batcher.emulator.throttle import worst_window
from batcher.events import Event, RowAccepted, RowSettled, RunStarted
from batcher.model import UNDO, LaneKey, Outcome, RowState
from batcher.policy.pace import AUTO, parse_rate
from batcher.policy.verdict import DONE, project_outcome
from batcher.records import RowRecord, RunRecord
from tests.simulation.machine import Process
from tests.simulation.night import Night, Row
from tests.simulation.owners import UNRECORDED_S, Claimant, Thing, disowned, not_made
from tests.simulation.provider import Provider
from tests.simulation.seen import Send
from tests.simulation.sent import untold
from tests.virtual_time import EPOCH

PLACE = ("project_id", "er_id", "resource_id", "log_group_id", "log_stream_id")
"""The columns of a row that say where its flow log stands at its provider."""

TWINS = (Outcome.DUPLICATE, Outcome.INVALID)
"""What is sent for the same place is sent for another row."""


class Wished(NamedTuple):
    """What a row asks for."""

    region: str
    place: str
    """As `emulator.calls.Call.key` has it: project, router, attachment, group, stream."""
    name: str
    description: str
    enabled: bool


@dataclass(slots=True)
class Memory:
    """What the judge has seen of one ledger before: what is settled stays so. The rest is so even if that is lost."""

    settled: dict[tuple[str, int], tuple[str, str | None]] = field(default_factory=dict)
    began: dict[str, float] = field(default_factory=dict)
    """When each run was first there, in virtual time."""
    workers: dict[str, set[Process]] = field(default_factory=dict)
    """The processes that have worked each run: what another run has sent is none of its business."""
    parents: dict[str, str | None] = field(default_factory=dict)
    """Of each run the one that it retries or takes back."""
    sites: dict[str, Mapping[str, int]] = field(default_factory=dict)
    """Where each run was begun: the provider that served each region then."""


def things_of(provider: Provider) -> dict[str, list[Thing]]:
    """All flow logs by place, in the order in which they were made."""
    found: dict[str, list[Thing]] = {}
    skew_s = EPOCH + provider.ahead_s
    for (
        *place,
        id_,
        name,
        description,
        enabled,
        made_at,
        final_state,
        ready_at,
        token,
        gone_at,
    ) in provider.api.state.db.execute(
        "SELECT project_id, er_id, resource_id, log_group_id, log_stream_id, id, name, description, enabled,"
        " created_at, final_state, ready_at, token, coalesce(min(gone_at, deleted_at), gone_at, deleted_at)"
        " FROM flow_logs ORDER BY n"
    ):
        gone = None if gone_at is None else gone_at - skew_s
        thing = Thing(
            id_,
            name,
            description,
            bool(enabled),
            made_at - skew_s,
            final_state,
            ready_at - skew_s,
            is_live=gone is None,
            token=token,
            gone_at=gone,
        )
        found.setdefault("/".join(place), []).append(thing)
    return found


def place_of(row: Row) -> str:
    """Where the flow log of an inventory's row stands at its provider."""
    return "/".join(row[name] for name in PLACE)


def wished(spec: str) -> Wished:
    """A spec of the ledger, read back."""
    _, region, *place, name, description, enabled = json.loads(spec)
    return Wished(region, "/".join(place), name, description or "", enabled)


@dataclass(slots=True, kw_only=True)
class Case:
    """One run as it stands, beside what the providers have."""

    night: Night
    providers: Sequence[Provider]
    run: RunRecord
    rows: Sequence[RowRecord]
    memory: Memory
    machine: int
    covers: Callable[[float], bool]
    """Whether the ledger has on record what happened at a moment."""
    now: float

    @property
    def began(self) -> float:
        """When the run's first process did, in virtual time."""
        return self.memory.began[self.run.run_id]

    @property
    def workers(self) -> Collection[Process]:
        """The processes that have worked the run."""
        return self.memory.workers.get(self.run.run_id, ())

    @property
    def is_robbed(self) -> bool:
        """Whether two worked the ledger at a time, or a hanging one and another."""
        return any(sitting.robbed for sitting in self.night.sittings)

    def faults(self) -> Iterator[str]:
        """Every row that is not true."""
        things = [things_of(provider) for provider in self.providers]
        site = self.memory.sites[self.run.run_id]
        made: dict[str, int] = {}
        for row in self.rows:
            if row.spec is None:
                continue
            wish = wished(row.spec)
            outcome = project_outcome(row.state, row.outcome)
            there, provider = things[site[wish.region]].get(wish.place, []), self.providers[site[wish.region]]
            wrong = (
                self._undone(row, outcome, wish, there, provider)
                if self.run.operation == UNDO
                else self._done(row, outcome, wish, there, provider)
            )
            if self.run.operation != UNDO and not self.is_robbed and outcome not in TWINS:
                wrong = wrong or untold(row, provider.seen.creates.get(wish.place, ()), self.workers, self.covers)
            if outcome is Outcome.CREATED and made.setdefault(row.remote_id or "", row.row_no) != row.row_no:
                wrong = wrong or f"row {made[row.remote_id or '']} says so of the same flow log"
            if wrong:
                yield f"run {self.run.run_id}, row {row.row_no}, {outcome} {row.error_code}: {wrong}"

    def _done(self, row: RowRecord, outcome: Outcome, wish: Wished, there: Sequence[Thing], provider: Provider) -> str:
        mine = next((thing for thing in there if thing.id == row.remote_id), None)
        match outcome:
            case Outcome.CREATED:
                return self._created(wish, mine, provider)
            case Outcome.EXISTS | Outcome.UPDATED:
                return self._exists(row, outcome, wish, mine, provider)
            case Outcome.DRIFTED:
                differs = mine is not None and (mine.is_live or self._may_be_gone(mine, provider))
                differs = differs and mine is not None and not _is_as(mine, wish)
                # A change of ours, or of another machine's, may have come through after it was looked at.
                is_late = "not put right" in row.error_message and self.night.network.late_share > 0
                others = self.night.second_operator or self.is_robbed
                return "" if differs or is_late or others else f"there is {mine}"
            case Outcome.UNVERIFIED:
                return "" if mine is not None else "nothing with this id was ever there"
            case Outcome.FAILED:
                well = [thing for thing in there if thing.is_live and thing.final_state == "available"]
                if row.error_code == BEING_OPERATED:  # what another machine did meanwhile nobody has told it
                    well = [thing for thing in well if self._is_of_this_machine(thing, provider)]
                live = next((thing for thing in well if thing.token is not None and _is_as(thing, wish)), None)
                return "" if live is None else f"it is there: {live}"
            case Outcome.SKIPPED:
                return self._skipped(there, provider)
            case _:
                return ""

    def _created(self, wish: Wished, mine: Thing | None, provider: Provider) -> str:
        verifies = bool(self.night.run["verify"])
        if mine is None:
            return "nothing with this id was ever there"
        if why := not_made(mine, wish.place, provider, Claimant(self.workers, self.covers), self.night):
            return why
        if not mine.is_live:  # of two who had the same answer one may take it back
            return "" if self._may_be_gone(mine, provider) else "it is not there any more"
        if (mine.name, mine.description) != (wish.name, wish.description):
            return f"there is {mine}"
        if verifies and (mine.final_state != "available" or mine.ready_at > self.now):
            return f"it is not available: {mine}"
        return "" if not verifies or mine.enabled is wish.enabled else f"it is not as wished: {mine}"

    def _exists(self, row: RowRecord, outcome: Outcome, wish: Wished, mine: Thing | None, provider: Provider) -> str:
        if mine is None or not (mine.is_live or self._may_be_gone(mine, provider)) or not _is_as(mine, wish):
            return f"there is {mine}"
        if outcome is Outcome.UPDATED or self.is_robbed:
            return ""
        twins = (
            other for other in self.rows if other.row_no != row.row_no and other.spec and wished(other.spec) == wish
        )
        by = Claimant(self.workers, self.covers)
        return "" if any(twins) else disowned(mine, provider, by, self.night)

    def _is_of_this_machine(self, thing: Thing, provider: Provider) -> bool:
        maker = provider.seen.makers.get(thing.id)
        return maker is not None and maker.machine == self.machine

    def _may_be_gone(self, thing: Thing, provider: Provider) -> bool:
        """Whether a thing has gone by who need not have told this ledger."""
        removal = provider.seen.removals.get(thing.id)
        if removal is None:
            return False
        is_late = removal.at > removal.left_at + self.night.answer_timeout_s  # nobody waited for its answer any more
        return is_late or removal.machine != self.machine or not self.covers(removal.left_at)

    def _is_on_record(self, maker: Send) -> bool:
        """Whether the ledger has the answer to a create that told what it has made."""
        if maker.status != 202 or maker.heard_at is None:
            return False
        return self.covers(maker.heard_at) and maker.heard_at < maker.process.died_at - UNRECORDED_S

    def _skipped(self, there: Sequence[Thing], provider: Provider) -> str:
        for thing in there:
            maker = provider.seen.makers.get(thing.id)
            if thing.is_live and maker is not None and maker.process in self.workers and self.covers(maker.left_at):
                return f"the run has made {thing}"
        return ""

    def _undone(
        self, row: RowRecord, outcome: Outcome, wish: Wished, there: Sequence[Thing], provider: Provider
    ) -> str:
        mine = next((thing for thing in there if thing.id == row.remote_id), None)
        if outcome in (Outcome.DELETED, Outcome.ABSENT) and mine is not None and mine.is_live:
            return f"it is there: {mine}"
        parent = self.memory.workers.get(self.memory.parents[self.run.run_id] or "", ())
        for thing in there:
            maker = provider.seen.makers.get(thing.id)
            if not thing.is_live or maker is None or maker.process not in parent or not self.covers(maker.left_at):
                continue
            is_late = thing.made_at > maker.left_at + self.night.answer_timeout_s
            if outcome is Outcome.ABSENT and row.remote_id is None and not is_late:
                return f"it is there: {thing}"
            is_told = self._is_on_record(maker) and not self.is_robbed
            if outcome is Outcome.EXISTS and is_told and _is_as(thing, wish) and thing.id == row.remote_id:
                return f"it is kept, and the run has made it: {thing}"
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
        elif before != now and before[0] == Outcome.UNVERIFIED:
            fresh.append(row)  # what was found pending is looked at again by whoever goes on
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


def overrun(night: Night, provider: Provider, forgotten_at: Mapping[int, Sequence[float]]) -> Iterator[str]:
    """Windows with more calls than were asked for, by what left each machine.

    `forgotten_at`: by machine when its ledger was lost or became an older one, which knows of no call just before.
    """
    if any(sitting.robbed for sitting in night.sittings):
        return
    for (machine, _, project_id), times in provider.seen.sends.items():
        if night.rate_of(machine) == AUTO:
            continue
        window = parse_rate(night.rate_of(machine))
        allowed = max(1, window.calls - int(night.run["reserve"]))
        cuts = sorted(bisect(times, at) for at in forgotten_at.get(machine, ()))
        parts = [times[start:end] for start, end in pairwise([0, *cuts, len(times)])]
        worst = max(worst_window(part, window.period_s) for part in parts)
        if worst > allowed:
            yield f"machine {machine}, project {project_id[:6]}: {worst} calls in {window.period_s} s, asked {allowed}"


def unlearnt(night: Night, provider: Provider) -> Iterator[str]:
    """Windows with more calls than a limit that the provider had named to the process before."""
    if night.throttle is None:
        return
    for (*_, project_id), times in provider.seen.warned.items():
        worst = worst_window(times, night.throttle.period_s)
        if worst > night.throttle.calls:
            yield f"project {project_id[:6]}: {worst} calls in {night.throttle.period_s} s, told {night.throttle.calls}"


def astray(providers: Sequence[Provider], memory: Memory) -> Iterator[str]:
    """Calls that went elsewhere than where their run was begun."""
    for run_id, workers in memory.workers.items():
        allowed = set(memory.sites.get(run_id, {}).values())
        for number, provider in enumerate(providers):
            if allowed and number not in allowed and any(process in workers for process, _ in provider.seen.callers):
                yield f"run {run_id} was begun at {allowed}, and has called provider {number}"


def undone_by(memory: Memory, covers: Callable[[float], bool]) -> dict[Process, Claimant]:
    """For each process that took a run back who had worked that run."""
    found: dict[Process, Claimant] = {}
    for run_id, workers in memory.workers.items():
        parent = memory.parents.get(run_id)
        if parent is not None:
            claimant = Claimant(memory.workers.get(parent, ()), covers)
            found.update((process, claimant) for process in workers)
    return found


def lost(night: Night, providers: Sequence[Provider], site: Mapping[str, int]) -> Iterator[str]:
    """Rows of which nothing came, although nothing stood in their way at last; `site` is where they belong."""
    things = [things_of(provider) for provider in providers]
    hopeless = {row["resource_id"] for row in night.frozen} | {row["resource_id"] for row, _ in night.fates}
    for row in night.rows:
        place = place_of(row)
        if row["resource_id"] in hopeless or row["resource_id"] == "no-id":
            continue
        if not any(thing.is_live for thing in things[site[row["region"]]].get(place, [])):
            yield f"nothing stands at last for {row['name']} ({row['resource_id']})"


def names(values: Mapping[str, Any]) -> str:
    """Values for a story, on one line."""
    return ", ".join(f"{name}={value}" for name, value in values.items())
