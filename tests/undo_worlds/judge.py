"""Whether what was deleted, and what was told, is so: held against what the cloud has noted.

Two things no client can tell apart, and the papers say so. They are counted beside the faults:

- dates are in whole seconds: what somebody else made at most `SECOND_S` before a run's own first send of the place;
- what somebody else made while the run was sending that very row, and no answer had told it an id; also a row whose
  send was marked on the disk, and whose process was killed before it left.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.undo_worlds.witness import Made, Witness

SECOND_S = 2.5
"""A date is cut to the second (1 s), the provider's time is known from dates that are cut as well (1.3 s with the way
there), its clocks may differ (0.2 s), and a send is marked on a disk with much to do before it leaves (0.5 s).

The cloud's notes say when a send came. On a machine with much to do it was sent earlier: by `Witness.late_s` at most.
"""
ANSWER_S = 2.0
"""How long an answer is waited for in these worlds."""


@dataclass
class Verdict:
    """What was found in one world or in many."""

    deleted: int = 0
    created: int = 0
    gone: int = 0
    """Rows that were told `absent` or `deleted`."""
    within_second: int = 0
    """Deleted, and made by another within the second before the run's own send; `created_within` for those told so."""
    created_within: int = 0
    while_sending: int = 0
    not_own: list[str] = field(default_factory=list)
    untrue_absences: list[str] = field(default_factory=list)
    untrue_created: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def __iadd__(self, other: "Verdict") -> "Verdict":
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)
        return self

    @property
    def faults(self) -> list[str]:
        """Everything that is wrong."""
        return [*self.not_own, *self.untrue_absences, *self.untrue_created, *self.broken]


def judge_deletes(witness: Witness, runs: Mapping[str, str], undone: Mapping[str, str]) -> Verdict:
    """All that undos have deleted. `runs`: the run that each key made for; `undone`: the run that it took back."""
    verdict, made = Verdict(), witness.made()
    for flow_log_id, key in witness.deleted():
        if key in undone:
            verdict.deleted += 1
            run, thing = undone[key], made[flow_log_id]
            verdict.within_second += _within(witness, thing, run, runs, verdict, verdict.not_own, f"{key} deleted")
        elif key:
            verdict.not_own.append(f"{key}, which is no undo, deleted {flow_log_id}")
    return verdict


def judge_run(witness: Witness, run: str, rows: list[dict[str, str]], runs: Mapping[str, str]) -> Verdict:
    """The report of a run: what is `created` was made by its own requests."""
    verdict, made = Verdict(), witness.made()
    for row in rows:
        if row["outcome"] == "created":
            verdict.created += 1
            thing, what = made[row["flow_log_id"]], f"line {row['line']} is `created`"
            verdict.created_within += _within(witness, thing, run, runs, verdict, verdict.untrue_created, what)
    return verdict


def judge_undo(witness: Witness, run: str, rows: list[dict[str, str]], runs: Mapping[str, str]) -> Verdict:
    """The report of an undo: nothing stands that it calls gone."""
    verdict, made, standing = Verdict(), witness.made(), witness.standing()
    for row in rows:
        if row["outcome"] not in ("absent", "deleted"):
            continue
        verdict.gone += 1
        stands = [row["flow_log_id"]] if row["flow_log_id"] in standing else []
        if not row["flow_log_id"]:
            place = "/".join((row["project_id"], row["er_id"], row["resource_id"]))
            own = (each for each in made.values() if each.place == place and runs.get(each.key) == run)
            stands = [each.flow_log_id for each in own if each.flow_log_id in standing]
        for flow_log_id in stands:
            thing = made[flow_log_id]
            verdict.untrue_absences.append(
                f"undo of {run}: line {row['line']} is `{row['outcome']}` ({row['error_message']}), and"
                f" {flow_log_id}, made by `{thing.key}` at {thing.at:.2f}, stands"
            )
    return verdict


def _within(
    witness: Witness, thing: Made, run: str, runs: Mapping[str, str], verdict: Verdict, wrong: list[str], what: str
) -> bool:
    """Whether a thing that counted as the run's was made by another within the second; `wrong` gets what is wrong."""
    if runs.get(thing.key) == run:
        return False
    sends = [at for place, key, at in witness.asked() if place == thing.place and runs.get(key) == run]
    killed = [at for key, at in witness.killed if runs.get(key) == run]
    if sends and sends[0] - SECOND_S - witness.late_s <= thing.at <= sends[0]:
        return True
    times = [(sends[0], sends[-1])] if sends else []
    times += [(at - SECOND_S, at) for at in killed]
    if any(first <= thing.at <= last + ANSWER_S + SECOND_S for first, last in times):
        verdict.while_sending += 1
    else:
        told = ", ".join(f"{at - thing.at:+.2f}" for at in sends) or "none"
        wrong.append(
            f"{what}: {thing.flow_log_id}, which `{thing.key}` ({runs.get(thing.key, 'a stranger')}) made and not"
            f" {run}, whose own sends came {told} s after it, at most {witness.late_s:.2f} s late"
        )
    return False
