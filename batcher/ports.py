"""The Protocols between the rooms; each method says whether it may be repeated, what it raises, and what
cancellation does to it. Behaviour lives in the rooms, wiring in `app.py`.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Protocol, TypeVar

from batcher.events import Event
from batcher.model import (
    Applied,
    Barred,
    ClaimedRow,
    ClockOffset,
    Fault,
    LaneKey,
    Obstacle,
    Page,
    Quota,
    RawRow,
    Refused,
    Remote,
    Shown,
    Token,
    Wish,
)

T = TypeVar("T")


class Clock(Protocol):
    """Where time comes from."""

    def now(self) -> float:
        """Wall clock, seconds since the epoch: for records and for what other machines read."""
        ...

    def steady(self) -> float:
        """Seconds that only grow and count suspended time: for leases, pauses and back-off."""
        ...


class EventSink(Protocol):
    """Where the engine tells what happened; must return at once and never raise."""

    def emit(self, event: Event) -> None:
        """Take one event."""
        ...


class RowSource(Protocol):
    """An inventory that can be read once, as a stream."""

    @property
    def columns(self) -> tuple[tuple[str, str], ...]:
        """The headers as (original, canonical or original), in order; whole once `rows` has ended."""
        ...

    def rows(self) -> Iterator[RawRow]:
        """Yield every row in file order. Raises `InventoryError` where the file as a whole cannot be read."""
        ...


class Ask(Protocol):
    """The engine's way to make a call that is no row's send: at the lane's pace, and again where that may help."""

    async def __call__(self, kind: str, make: Callable[[], Awaitable[T | Refused]]) -> T | Refused | None:
        """The answer of a repeatable call, or its last refusal; None if the lane closed before there was either."""
        ...


class Ground(Protocol):
    """What the rows of a lane need to be there at the provider."""

    async def obstacles(self, scope: str, specs: Sequence[str]) -> list[Obstacle | None]:
        """What stands in the way of each of these rows of a scope; None where nothing does, as far as can be known.

        Reads, few of them if scopes are asked for one after the other; repeatable.
        """
        ...


class Operation(Protocol):
    """What is provisioned. Texts named `spec` are the operation's own and come back to it unread.

    `name` is recorded with a run; `known_columns` are all inventory columns that it reads, and
    `identity_columns` those that the report repeats, in the report's order.
    """

    name: str
    known_columns: tuple[str, ...]
    identity_columns: tuple[str, ...]

    async def prepare(self, rows: Sequence[Mapping[str, str]]) -> None:
        """Find out from the provider what `parse` needs for these rows and they leave open. Reads; repeatable.

        Raises `ConfigError` where it cannot be known; then no row may be planned. Where the provider refuses, the
        rows are `Barred`.
        """
        ...

    def parse(self, fields: Mapping[str, str]) -> Wish | Barred | tuple[Fault, ...]:
        """Hold a row to its rules: what it asks for, or every rule that it breaks. Pure, once prepared."""
        ...

    def token(self, spec: str, generation: int) -> Token:
        """The idempotency token of a generation: equal input, equal token, on every machine. Pure."""
        ...

    def columns_of(self, spec: str) -> Mapping[str, str]:
        """The known columns of a spec as an inventory would write them. Pure."""
        ...

    def differences(self, spec: str, remote: Remote) -> tuple[str, ...]:
        """What the provider has otherwise than wished, each named for a reader; empty if equal. Pure."""
        ...

    def needs_amending(self, spec: str, remote: Remote) -> bool:
        """Whether `amend` has a call to make before the thing is as wished. Pure."""
        ...

    def subject(self, spec: str) -> str:
        """What a row is about, and other rows of its scope may be too: for flow logs the attachment. Pure."""
        ...

    def is_trusted(self, lane: LaneKey) -> bool:
        """Whether calls of the lane's account can go side by side: the provider has accepted its credentials."""
        ...

    def clock_offset(self, lane: LaneKey) -> ClockOffset | None:
        """What to add to `Clock.steady` for the time at the lane's provider; None before its first answer."""
        ...

    def needs_update(self, spec: str, remote: Remote) -> bool:
        """Whether `update` has a call to make before the thing is as wished. Pure."""
        ...

    async def apply(self, lane: LaneKey, row: ClaimedRow) -> Applied | Refused:
        """Make the call that brings the thing into being: one request, safe to repeat with the same row.

        Raises nothing for what the provider or the network does. Cancelled, it leaves the row in doubt.
        """
        ...

    async def amend(self, lane: LaneKey, spec: str, remote: Remote) -> Applied | Refused:
        """Make the call that `needs_amending` asks for: one request, safe to repeat. Raises nothing."""
        ...

    async def update(self, lane: LaneKey, spec: str, remote: Remote) -> Applied | Refused:
        """Make the call that `needs_update` asks for: one request, safe to repeat. Raises nothing."""
        ...

    async def remove(self, lane: LaneKey, spec: str, remote: Remote) -> Applied | Refused:
        """Make the call that deletes a thing: one request, safe to repeat. Raises nothing."""
        ...

    async def show(self, lane: LaneKey, scope: str, remote_id: str) -> Shown | Refused:
        """The thing with an id, or that there is none. Reads; repeatable."""
        ...

    async def quota(self, lane: LaneKey) -> Quota | Refused:
        """How many things there may be in a lane, and are. Reads; repeatable."""
        ...

    def ground(self, lane: LaneKey, ask: "Ask", tell: Callable[[str, str], None]) -> "Ground":
        """What rows of a lane stand on. Calls go through `ask`; `tell(message, hint)` hears what cannot be checked."""
        ...

    async def page(
        self, lane: LaneKey, scope: str, marker: str | None, only: Sequence[str] = ()
    ) -> Page[Remote] | Refused:
        """List one page of what stands in a scope; `only` narrows it to rows' specs. Reads; repeatable."""
        ...
