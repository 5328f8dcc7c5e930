"""Whose a flow log is: what a run says and does about it, held against what the provider knows of its making.

A run's own is what a request of a process that worked the run has made. That is also allowed which nobody could tell
from it:

- what others made while a request of the run for the same was on its way, or may have been: its answer was lost, or its
  process died, perhaps before it left;
- the same so shortly before that whole seconds, in which providers date, hide it (`slack_s`).

And what is the run's own may be called `exists` where nobody could record when it was sent, or could still wait for it:
no answer had told its maker the provider's time, or it was on its way for longer than an answer is waited for.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from tests.simulation.machine import Process
from tests.simulation.night import Night
from tests.simulation.provider import ON_THE_WAY_S_MAX, Provider
from tests.simulation.seen import Send

WHOLE_SECONDS_S = 2.1
"""What hides in whole seconds: that in which a flow log is dated, and that by which a provider's time is known."""
CLOCKS_S = 0.5
"""How well a process may know when it has heard something, in the provider's time."""
CONNECT_S = 10.0
"""Besides the time for an answer, that for a connection."""
UNRECORDED_S = 0.05
"""What a process that died had heard is on record if it came so long before: group commit gathers 10 ms."""


class Thing(NamedTuple):
    """A flow log that is or was at a provider; `made_at` and `ready_at` are virtual times."""

    id: str
    name: str
    description: str
    enabled: bool
    made_at: float
    final_state: str
    ready_at: float
    is_live: bool
    token: str | None
    gone_at: float | None
    """Since when it is on its way out, or gone."""


def slack_s(night: Night) -> float:
    """How long before a request others may have made something that nobody can tell from what the request made."""
    network = night.network
    return WHOLE_SECONDS_S + network.way_s + network.spread_s + (network.late_s if network.late_share else 0.0)


class Claimant(NamedTuple):
    """Who says that a run has made something: its processes, and what their ledger has on record."""

    workers: Collection[Process]
    covers: Callable[[float], bool]


NOBODY = Claimant((), lambda _: True)


def is_excusable(thing: Thing, sends: Sequence[Send], by: Claimant, night: Night) -> bool:
    """Whether a run may take for its own what none of its requests made; `sends` are those for the same place."""
    slack, answer_s = slack_s(night), night.answer_timeout_s + CONNECT_S + ON_THE_WAY_S_MAX
    for worker in by.workers:
        if worker.died_at - slack <= thing.made_at <= worker.died_at + answer_s:
            return True
    for send in sends:
        if send.process not in by.workers:
            continue
        is_open = send.is_open or send.heard_at is None or not by.covers(send.heard_at)
        until = send.left_at + answer_s if is_open or send.heard_at is None else send.heard_at
        if send.left_at - slack <= thing.made_at <= until + CLOCKS_S:
            return True
    return False


def not_made(thing: Thing, place: str, provider: Provider, by: Claimant, night: Night) -> str:
    """Who made a thing that a run claims, or empty: the run did, or could not know better."""
    maker = provider.seen.makers.get(thing.id)
    if maker is not None and maker.process in by.workers:
        return ""
    if is_excusable(thing, provider.seen.creates.get(place, ()), by, night):
        return ""
    who = "somebody by hand" if maker is None else f"machine {maker.machine}, but no process of the run,"
    return f"{who} made it at {thing.made_at:.3f}"


def disowned(thing: Thing, provider: Provider, by: Claimant, night: Night) -> str:
    """What is wrong with a run that says of a thing that it stood there, or empty."""
    maker = provider.seen.makers.get(thing.id)
    if maker is None or maker.process not in by.workers or maker.is_blind or not by.covers(maker.left_at):
        return ""
    is_late = thing.made_at > maker.left_at + night.answer_timeout_s
    return "" if is_late else f"the run's own request of {maker.left_at:.3f} made it"


def stolen(
    providers: Sequence[Provider],
    things: Sequence[Mapping[str, Sequence[Thing]]],
    undone_by: Mapping[Process, Claimant],
    night: Night,
) -> Iterator[str]:
    """What was deleted and was not made by the run that was taken back.

    `undone_by`: for each process that took a run back who had worked that run.
    """
    for provider, places in zip(providers, things, strict=True):
        for place, found in places.items():
            for thing in found:
                if thing.is_live:
                    continue
                removal = provider.seen.removals.get(thing.id)
                if removal is None:
                    yield f"{thing.id} at {place} is gone, and nobody deleted it"
                elif why := not_made(thing, place, provider, undone_by.get(removal.process, NOBODY), night):
                    yield f"{thing.id} was deleted at {removal.at:.3f} by an undo of machine {removal.machine}: {why}"
