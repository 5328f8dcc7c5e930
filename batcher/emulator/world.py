"""What operations act on, and the checks that they share."""

from collections.abc import Mapping
from dataclasses import dataclass

from batcher.emulator import answers, bodies, inventory
from batcher.emulator.answers import Answer, refusal
from batcher.emulator.calls import Call
from batcher.emulator.faults import Kind
from batcher.emulator.settings import EmulatorSettings
from batcher.emulator.state import State

OPENNESS: Mapping[str, object] = {"open_world": True}
"""Beside a list in an answer: a create takes what the list lacks, too. No member of the provider's."""


@dataclass(frozen=True, slots=True)
class World:
    """The state and the settings of one moment; `now` is the emulator's clock in Unix seconds.

    `lie` is the fault of a listing that says something else than what is there (`lies.py`).
    """

    state: State
    settings: EmulatorSettings
    now: float
    lie: Kind | None = None

    @property
    def date_shift_s(self) -> float:
        """What turns a time of `now` into one of the gateway's clock, which dates answers, and `date_shift_s`."""
        return self.settings.clock_skew_s + self.settings.date_shift_s - self.state.offset_s


def invalid(message: str) -> Answer:
    """The refusal of a call whose parameters are wrong."""
    return refusal(400, answers.INVALID, f"Invalid parameters: {message}.")


def router_fault(world: World, call: Call) -> Answer | None:
    """Why this call cannot use its router: the id is none, or the world is closed and the router unknown."""
    if not bodies.is_id(call.er_id):
        return invalid("`er_id` must be a UUID")
    if world.settings.open_world or inventory.router_state(world.state, call.project_id, call.er_id) is not None:
        return None
    return refusal(404, answers.NO_ROUTER, f"The enterprise router {call.er_id} does not exist.")
