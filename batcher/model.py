"""The values that travel between the rooms: frozen, slotted, without behaviour of their own.

No I/O and no pydantic here: whatever stands in these classes has been parsed at an edge.
Times are seconds since the epoch, UTC, as float; durations end in `_s` or `_ms`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Generic, NamedTuple, NewType, TypeVar

T = TypeVar("T")

RunId = NewType("RunId", str)
RUN_ID_PATTERN: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z.\-]{0,63}")
"""What a run may be called: it names a folder of reports, and stands in commands and on terminals."""
NaturalKey = NewType("NaturalKey", bytes)
"""16 bytes: a digest of what the provider takes for the identity of the thing."""
Token = NewType("Token", str)
"""The `X-Client-Token`: a lower-case UUID, 36 characters."""


class RowState(StrEnum):
    """How far a row has come; the legal moves are `policy.row_state.MOVES`."""

    PLANNED = "planned"
    CLAIMED = "claimed"
    ACCEPTED = "accepted"
    SETTLED = "settled"


UNDO = "undo"
"""The operation of a run that takes back what its parent has made; among its settings, how."""


class Outcome(StrEnum):
    """What became of a row, in the words of the report. The last two are of runs that take another one back."""

    CREATED = "created"
    EXISTS = "exists"
    DRIFTED = "drifted"
    UPDATED = "updated"
    FAILED = "failed"
    IN_DOUBT = "in_doubt"
    UNVERIFIED = "unverified"
    INVALID = "invalid"
    DUPLICATE = "duplicate"
    SKIPPED = "skipped"
    DELETED = "deleted"
    ABSENT = "absent"


class RunState(StrEnum):
    """`planning`: the plan is not whole; `open`: work is left; `finished`: every row is settled."""

    PLANNING = "planning"
    OPEN = "open"
    FINISHED = "finished"


class Kind(StrEnum):
    """First question about a refusal: can repeating the call help?"""

    TRANSIENT = "transient"
    """Yes, after a back-off; the same call may work."""
    THROTTLED = "throttled"
    """Yes, once the window is over; nothing was done, and it is not the row's fault."""
    EXISTS = "exists"
    """The thing is there already: look it up."""
    PERMANENT = "permanent"
    """No."""


class Stops(StrEnum):
    """Second question about a refusal: what stops because of it?"""

    ROW = "row"
    SUBJECT = "subject"
    """What the row is about, and other rows may be too: for flow logs the attachment."""
    SCOPE = "scope"
    LANE = "lane"
    ACCOUNT = "account"
    RUN = "run"


@dataclass(frozen=True, slots=True)
class Fault:
    """One broken rule of a row: the column (empty: the row as a whole), its value shortened, the rule."""

    column: str
    value: str
    rule: str


class RawRow(NamedTuple):
    """A row as the file has it: `line` is where it starts (1-based); every value is text.

    `fields` holds a value under the canonical name of each known column and under the trimmed original
    name of each column of the user's; an absent or null value has no entry. `faults` are those of the
    file's form (a cell too many, not an object). A tuple, as `Wish` and `PlanRow` are: planning makes one of each
    for every row, and this costs a third.
    """

    line: int
    fields: Mapping[str, str]
    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True, slots=True, order=True)
class LaneKey:
    """A quota domain: what shares one limit, one signer and one project."""

    account: str
    region: str
    project_id: str


class Wish(NamedTuple):
    """What a valid row asks for: where it is done, what it is, and the token of generation 0.

    `scope` is the part of a lane that one listing covers (for flow logs the router's id); `spec` is the
    operation's own canonical text, which `Operation.load` reads back.
    """

    lane: LaneKey
    scope: str
    key: NaturalKey
    token: Token
    spec: str


class Barred(NamedTuple):
    """A row that keeps its rules and cannot be planned: access to its account was refused before it was known whole."""

    message: str


class PlanRow(NamedTuple):
    """A row on its way into the ledger: a wish, or (with `wish` None) a row that will not be worked, and why.

    `carried` is a JSON object: the user's own columns; for a row without a wish, all its fields. `barred`: it is not
    the row's fault.
    """

    row_no: int
    line: int
    wish: Wish | None
    carried: str
    why: str = ""
    barred: bool = False


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work a lane until `until` (wall clock); a write under an older `epoch` is refused.

    `was_called`: a call may have been made in the lane's place before, in any run.
    """

    run_id: RunId
    lane_no: int
    lane: LaneKey
    owner: str
    epoch: int
    until: float
    was_called: bool = False


class ClockOffset(NamedTuple):
    """What to add to a clock of ours that only grows for the provider's time: from `low` to `high` seconds."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class ClaimedRow:
    """A row that one worker may send.

    `token` belongs to `generation`; where `due_generation` is higher, reusing it would be wrong and the
    next one must be recorded first. `used_at` is the earliest moment at which the token may have been sent
    before this claim, in any run, and `intent_at` the same for this run (None: never); `believed_id` the id
    under which an earlier run knew the thing to exist, `deleted_id` that of one which this ledger has deleted, and
    `leaving_id` that of one whose delete was sent, and that was not seen to be gone. `attempts` counts the sends on
    record; `sent_there` is the first of them that may have taken effect, in the provider's time, `told_there` when the
    last one left (None: none is on record, or its time is not known); `sent_before` has the same of processes before.
    """

    row_no: int
    line: int
    scope: str
    key: NaturalKey
    spec: str
    token: Token
    generation: int
    due_generation: int = 0
    used_at: float | None = None
    intent_at: float | None = None
    believed_id: str | None = None
    attempts: int = 0
    first_sent_at: float | None = None
    sent_there: float | None = None
    told_there: float | None = None
    sent_before: tuple[tuple[float, float], ...] = ()
    deleted_id: str | None = None
    leaving_id: str | None = None


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """A row of the ledger: enough to compare it with a listing and settle it.

    `intent_at`: the token may have been sent since then (None: it was not). `remote_id`: the id under which the run
    knows the thing; `made` whether a request of the run made it (None: not known). `sent_there` and `told_there` are
    the row's first send and what was last told of it, in the provider's time, and `sent_before` the same of processes
    before: nothing of the row was made at another time. `deleted_id`: a thing that this ledger has deleted, and a
    listing may show yet; `leaving_id`: one whose delete was sent and not seen to work; `known_id`: one it knew before.
    """

    row_no: int
    line: int
    state: RowState
    scope: str
    key: NaturalKey
    spec: str
    intent_at: float | None
    attempts: int
    http_status: int | None = None
    request_id: str = ""
    remote_id: str | None = None
    made: bool | None = None
    sent_there: float | None = None
    told_there: float | None = None
    sent_before: tuple[tuple[float, float], ...] = ()
    deleted_id: str | None = None
    leaving_id: str | None = None
    known_id: str | None = None


@dataclass(frozen=True, slots=True)
class Settlement:
    """What is now known of a row: its move from `expect` to `state` and, where settled, the outcome.

    `spent`: the token must not be used again, since its last use was refused for good. `intent_at` matters
    for a row that goes back to `planned`: since when its token may have been sent (None: it never was). `made`,
    `sent_there` and `told_there` are as in `LedgerRow`; the earliest send that is on record stays.
    """

    row_no: int
    expect: RowState
    state: RowState
    outcome: Outcome | None = None
    attempts: int = 0
    remote_id: str | None = None
    remote_state: str | None = None
    remote_enabled: bool | None = None
    http_status: int | None = None
    error_code: str = ""
    error_message: str = ""
    request_id: str = ""
    intent_at: float | None = None
    first_sent_at: float | None = None
    settled_at: float | None = None
    duration_ms: int | None = None
    spent: bool = False
    made: bool | None = None
    sent_there: float | None = None
    told_there: float | None = None


class Send(NamedTuple):
    """When a claimed row was sent, in the provider's time: that is put on record before a send leaves.

    `sent_there`: when the first left, at the earliest, that may have taken effect; `left_there`: the last one, at the
    latest (None: not known, or none may have). `before` has other such times. `attempts` counts all sends of the row,
    with one that is about to leave; `first_sent_at` is this machine's time.
    """

    lease: Lease
    row_no: int
    sent_there: float | None
    left_there: float | None
    before: tuple[tuple[float, float], ...] = ()
    attempts: int = 0
    first_sent_at: float | None = None


@dataclass(frozen=True, slots=True)
class Remote:
    """A thing as the provider shows it; `created_at` is the provider's time, `fields` are those that can drift."""

    key: NaturalKey
    remote_id: str
    state: str
    enabled: bool | None
    created_at: float | None
    fields: Mapping[str, str | bool | None]


class Shown(NamedTuple):
    """What the provider says of one id: the thing, or None where there is none."""

    remote: Remote | None
    http_status: int


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why a row would be refused, seen before it is sent. `passing`: it may go away by itself."""

    code: str
    message: str
    passing: bool = False


class Quota(NamedTuple):
    """How many things there may be (-1: as many as you like) and are; whose, the provider does not say."""

    limit: int
    used: int


@dataclass(frozen=True, slots=True)
class Window:
    """A rate limit: at most `calls` in any `period_s` seconds."""

    calls: int
    period_s: float


class CallClass(StrEnum):
    """What a limit is for: the provider counts by API, so what writes and what reads may be counted apart."""

    ALL = "all"
    READ = "read"
    WRITE = "write"


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit that the provider has named for calls of a lane, and when (wall clock)."""

    lane: LaneKey
    call_class: CallClass
    window: Window
    learnt_at: float


@dataclass(frozen=True, slots=True)
class Applied:
    """The call was accepted; the thing has this id and state now (`request_id` is the provider's).

    `as_wished` False: another call is still needed to make it what the row asks for. `created_at`: when the thing was
    made, in the provider's time, if the answer tells; a token that was used before is answered with what it made then.
    """

    remote_id: str
    state: str
    enabled: bool | None
    as_wished: bool
    http_status: int
    request_id: str
    created_at: float | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """The call did not succeed, as far as is known.

    `sent` False: it never reached the provider. `ambiguous`: it may have taken effect all the same.
    `definitive`: the provider's own refusal of this token, which it may repeat for ever.
    `pause_s`: how long the provider asked to wait; `window`: the limit that its message named.
    `mended`: its cause was removed since, so it is no attempt of anybody's. `advice`: what a person can do, or empty.
    """

    kind: Kind
    stops: Stops
    code: str
    message: str
    http_status: int | None = None
    request_id: str = ""
    sent: bool = True
    ambiguous: bool = False
    definitive: bool = False
    pause_s: float | None = None
    window: Window | None = None
    mended: bool = False
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a listing: `total` as the provider says, `limit` as asked. `is_open`: more is taken than it shows."""

    items: tuple[T, ...]
    next_marker: str | None
    total: int | None
    limit: int
    is_open: bool = False
