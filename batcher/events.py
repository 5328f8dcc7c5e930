"""What the engine tells the world while it works: facts, frozen, named by what happened."""

from dataclasses import dataclass

from batcher.model import LaneKey, Outcome, RunId, Window


@dataclass(frozen=True, slots=True)
class RunStarted:
    """A sitting of a run begins: `total` rows, of which `open_rows` are still to be done, at `rate`.

    `accepted` of these were taken in an earlier sitting. `lanes` says how many of them each lane has.
    """

    run_id: RunId
    total: int
    open_rows: int
    continued: bool
    rate: str
    accepted: int = 0
    lanes: tuple[tuple[LaneKey, int], ...] = ()


@dataclass(frozen=True, slots=True)
class PlanProgress:
    """So many inventory rows have been planned."""

    rows: int


@dataclass(frozen=True, slots=True)
class RowSettled:
    """A row's outcome is in the ledger. `was_accepted`: the provider had taken it before."""

    lane: LaneKey
    row_no: int
    line: int
    outcome: Outcome
    code: str
    attempts: int
    was_accepted: bool = False


@dataclass(frozen=True, slots=True)
class RowAccepted:
    """The provider took the row; its state is not final yet."""

    lane: LaneKey
    row_no: int


@dataclass(frozen=True, slots=True)
class CallMade:
    """One call to the provider ended; `result` is the HTTP status or what the network did."""

    lane: LaneKey
    kind: str
    result: str


@dataclass(frozen=True, slots=True)
class RowRetried:
    """A row will be sent again in `delay_s`, because of `code`."""

    lane: LaneKey
    row_no: int
    code: str
    attempts: int
    delay_s: float


@dataclass(frozen=True, slots=True)
class LanePaused:
    """A lane is silent for so long, because of `code`; `window` is the limit that the provider named, if it did."""

    lane: LaneKey
    pause_s: float
    window: Window | None
    code: str = ""


@dataclass(frozen=True, slots=True)
class PaceSet:
    """The calls of a lane are kept in `window` from now on; `source` is where that comes from: `policy.pace.Source`."""

    lane: LaneKey
    window: Window
    source: str


@dataclass(frozen=True, slots=True)
class ScopeStopped:
    """A refusal stopped more than its row: `what` names the scope, lane or run."""

    what: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class RunSteered:
    """Somebody has changed the run while it works: `policy.control.Action`, and the value that goes with it."""

    action: str
    value: str


@dataclass(frozen=True, slots=True)
class ClockSkewed:
    """This machine's clock is ahead of a host's by so many seconds (negative: behind), more than is good."""

    host: str
    skew_s: float


@dataclass(frozen=True, slots=True)
class Warned:
    """Something that does not stop a run and that an operator should know."""

    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """The command cannot begin yet, because of `why`; told again and again while that lasts."""

    why: str


@dataclass(frozen=True, slots=True)
class RunEnded:
    """The sitting is over."""

    run_id: RunId
    exit_code: int


Event = (
    RunStarted
    | PlanProgress
    | RowSettled
    | RowAccepted
    | CallMade
    | RowRetried
    | LanePaused
    | PaceSet
    | ScopeStopped
    | RunSteered
    | ClockSkewed
    | Warned
    | Waiting
    | RunEnded
)
