"""What a provider saw, and what of it can never be right: apart from the state and the log that the emulator keeps.

It knows which request made which flow log, and which took it away. The judge believes this and nothing else; times are
virtual, whatever the clocks of machines and providers say.
"""

import math
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.simulation.machine import Process


@dataclass(eq=False, slots=True)
class Send:
    """A create that left a process, and what that heard of it."""

    process: Process
    machine: int
    token: str
    body: str
    left_at: float
    is_blind: bool
    """No answer of this provider had come to the process by then: it could not know the provider's time."""
    status: int | None = None
    heard_at: float | None = None
    dated_at: float = math.inf
    """When it left by its machine's clock; infinite where that was set so shortly before that nobody can say."""

    @property
    def is_open(self) -> bool:
        """Whether nothing that was heard says what came of it."""
        return self.status is None or self.status >= 500


class Removal(NamedTuple):
    """A delete that took a flow log away."""

    process: Process
    machine: int
    left_at: float
    at: float


@dataclass(slots=True)
class Seen:
    """What the provider saw."""

    sends: dict[tuple[int, str, str], list[float]] = field(default_factory=dict)
    """By machine, access key and project: when each call left."""
    creates: dict[str, list[Send]] = field(default_factory=dict)
    """By place: the creates that asked for a flow log there."""
    makers: dict[str, Send] = field(default_factory=dict)
    """By id of a flow log: what made it, if it was batcher."""
    removals: dict[str, Removal] = field(default_factory=dict)
    """By id of a flow log: the first delete that took it away."""
    callers: set[tuple[Process, str]] = field(default_factory=set)
    """Which processes called for which project."""
    warned: dict[tuple[Process, str, str], list[float]] = field(default_factory=dict)
    """By process, access key and project: when each call left after one was answered with the limit."""
    answered: set[Process] = field(default_factory=set)
    """Processes that have had an answer."""
    served: dict[Process, tuple[float, float]] = field(default_factory=dict)
    """Of the first call of a process, since its clock was set, that was not refused for its date: when it left, and
    was answered."""
    refused: set[str] = field(default_factory=set)
    """Tokens that were refused for good, and not only because the provider was busy."""
    looked_at: dict[tuple[int, str, str], float] = field(default_factory=dict)
    """By machine, project and router: when the last look at what stands there left that was answered."""
    too_soon: list[str] = field(default_factory=list)
    """Creates under a second token while an earlier one may stand, and nobody has looked since."""
    again: list[str] = field(default_factory=list)
    """Creates that ask, under another token, for what the same ledger has made, as it knows, and what stands."""
    tokens: dict[tuple[str, str], str] = field(default_factory=dict)
    """By place and body: the token under which that was asked for first."""
    strange: list[str] = field(default_factory=list)
    """First creates of a ledger under another token than any other ledger's for the same."""
    misdated: list[str] = field(default_factory=list)
    """Calls that were refused for their date after others had been dated rightly, and no clock was set since."""
