"""How a row and a run are judged: the outcome of a row that is not settled, batcher's own codes, the exit code.

A report shows every row, so a row that is still open is projected on what is known of it. Nothing here
changes the ledger, and the projection looks at the state alone: the counts of a run, which know states and
outcomes only, must say the same as its rows.

| state | projected outcome | error code |
|---|---|---|
| planned | `skipped`: surely not done | the run's stop code, else `BATCHER.NotAttempted` |
| claimed | `in_doubt`: it may have been sent | `BATCHER.InDoubt` |
| accepted | `unverified`: not yet seen in its final state | `BATCHER.Unverified` |

`OWN_CODES` is the list that `reports/README.md` shows; a test holds the two equal.
"""

from collections.abc import Mapping
from enum import StrEnum

from batcher.model import Outcome, RowState


class OwnCode(StrEnum):
    """A cause of batcher's own, as it stands in `error_code`; any other code is the provider's."""

    INTERRUPTED = "BATCHER.Interrupted"
    TERMINATED = "BATCHER.Terminated"
    HUNG_UP = "BATCHER.HungUp"
    DRAINED = "BATCHER.Drained"
    ACCESS_REFUSED = "BATCHER.AccessRefused"
    ENDPOINT_UNREACHABLE = "BATCHER.EndpointUnreachable"
    TOO_MANY_FAILURES = "BATCHER.TooManyFailures"
    DEADLINE = "BATCHER.Deadline"
    SERVICE_UNAVAILABLE = "BATCHER.ServiceUnavailable"
    QUOTA_EXHAUSTED = "BATCHER.QuotaExhausted"
    ATTACHMENT_STOPPED = "BATCHER.AttachmentStopped"
    ROUTER_STOPPED = "BATCHER.RouterStopped"
    LANE_STOPPED = "BATCHER.LaneStopped"
    LEASE_LOST = "BATCHER.LeaseLost"
    NOT_ATTEMPTED = "BATCHER.NotAttempted"
    IN_DOUBT = "BATCHER.InDoubt"
    UNVERIFIED = "BATCHER.Unverified"
    INVALID = "BATCHER.Invalid"
    CONFLICT = "BATCHER.Conflict"
    DUPLICATE = "BATCHER.Duplicate"
    DRIFTED = "BATCHER.Drifted"
    REMOTE_FAILED = "BATCHER.RemoteFailed"
    UNREACHABLE = "BATCHER.Unreachable"
    NO_ANSWER = "BATCHER.NoAnswer"
    BAD_ANSWER = "BATCHER.BadAnswer"
    REDIRECTED = "BATCHER.Redirected"
    LISTING_INCOMPLETE = "BATCHER.ListingIncomplete"
    NO_CREDENTIALS = "BATCHER.NoCredentials"
    PROJECT_UNKNOWN = "BATCHER.ProjectUnknown"
    NO_ATTACHMENT = "BATCHER.NoAttachment"
    NOT_AN_ATTACHMENT = "BATCHER.NotAnAttachment"
    ATTACHMENT_NOT_READY = "BATCHER.AttachmentNotReady"
    NO_LOG_GROUP = "BATCHER.NoLogGroup"
    NO_LOG_STREAM = "BATCHER.NoLogStream"
    MOVED = "BATCHER.Moved"
    KEPT = "BATCHER.Kept"


OWN_CODES: Mapping[str, str] = {
    OwnCode.INTERRUPTED: "the run was interrupted (SIGINT) before the row was done",
    OwnCode.TERMINATED: "the run was terminated (SIGTERM) before the row was done",
    OwnCode.HUNG_UP: "the terminal of the run was gone (SIGHUP) before the row was done",
    OwnCode.DRAINED: "the run was drained (`batcher ctl drain`) before the row's turn came",
    OwnCode.ACCESS_REFUSED: "the credentials, the account, a permission or the address (redirection, TLS) was refused,"
    " and the account or the run stopped",
    OwnCode.ENDPOINT_UNREACHABLE: "the provider's endpoint could not be reached, and the run stopped",
    OwnCode.TOO_MANY_FAILURES: "more rows failed than `--max-failures` tolerates, and the run stopped",
    OwnCode.DEADLINE: "the time of `--until` or `--for` was over before the row's turn came",
    OwnCode.SERVICE_UNAVAILABLE: "the service failed for as long as `run.retry_time_s` allows,"
    " and the row's project was left",
    OwnCode.QUOTA_EXHAUSTED: "the provider's quota is used up, so the row was not attempted",
    OwnCode.ATTACHMENT_STOPPED: "the provider refused the row's attachment as a whole, so the row was not attempted",
    OwnCode.ROUTER_STOPPED: "the provider refused the row's router as a whole, so the row was not attempted",
    OwnCode.LANE_STOPPED: "the provider refused the row's project or region as a whole, so the row was not attempted",
    OwnCode.LEASE_LOST: "this process lost its hold on the row's project and stopped working there",
    OwnCode.NOT_ATTEMPTED: "the row's turn has not come yet",
    OwnCode.IN_DOUBT: "the row may have been sent, and nothing reliable is known of its effect",
    OwnCode.UNVERIFIED: "the provider has it, and its final state has not been seen yet",
    OwnCode.INVALID: "the row breaks a rule of the inventory; each fault is named",
    OwnCode.CONFLICT: "an earlier row asks for the same flow log otherwise; the differences are named",
    OwnCode.DUPLICATE: "an earlier row asks for the same",
    OwnCode.DRIFTED: "it stands there already, but otherwise than wished; each difference is named",
    OwnCode.REMOTE_FAILED: "the provider keeps it in state `failed`; see `retry --replace-failed`",
    OwnCode.UNREACHABLE: "no connection to the provider came about, so nothing was sent",
    OwnCode.NO_ANSWER: "the connection failed or the time for an answer ran out",
    OwnCode.BAD_ANSWER: "an answer came that is not the API's, such as a proxy's page or broken JSON",
    OwnCode.REDIRECTED: "the provider's address answered with a redirection, which is not followed",
    OwnCode.LISTING_INCOMPLETE: "the provider's listing could not be read to its end, so it settles nothing",
    OwnCode.NO_CREDENTIALS: "the account's temporary credentials ended, and their source has no new ones",
    OwnCode.PROJECT_UNKNOWN: "the look-up of the row's project was refused, so it could not be planned:"
    " run the inventory again",
    OwnCode.NO_ATTACHMENT: "the preflight check did not find the attachment on its router, so nothing was sent",
    OwnCode.NOT_AN_ATTACHMENT: "`resource_id` is the id of what is attached, such as a VPC, and not the attachment's,"
    " which is named; nothing was sent",
    OwnCode.ATTACHMENT_NOT_READY: "the preflight check found the attachment in another state than `available`,"
    " so the row was not attempted",
    OwnCode.NO_LOG_GROUP: "the preflight check did not find the log group in its project, so nothing was sent",
    OwnCode.NO_LOG_STREAM: "the preflight check did not find the log stream in its log group, so nothing was sent",
    OwnCode.MOVED: "it was there when the plan was reviewed and is not shown any more, so it was left alone",
    OwnCode.KEPT: "`undo` left it there: it is not known to be what the run has made, or it was changed since",
}
"""Every own code and its meaning, in the order of the documentation."""

CHECKED: frozenset[str] = frozenset(
    {
        OwnCode.NO_ATTACHMENT,
        OwnCode.NOT_AN_ATTACHMENT,
        OwnCode.ATTACHMENT_NOT_READY,
        OwnCode.NO_LOG_GROUP,
        OwnCode.NO_LOG_STREAM,
    }
)
"""The codes of rows that the preflight checks find without ground."""

THAT_REGION = "that region"
"""Of an advice: who gives it names the region, and its host."""
_WAY = f"check the endpoint of {THAT_REGION}, and the way to it (proxy, name service); `batcher doctor` tries it"
OWN_ADVICE: Mapping[str, str] = {
    OwnCode.ACCESS_REFUSED: "check the keys, their permissions and the account; `batcher doctor` tries them",
    OwnCode.ENDPOINT_UNREACHABLE: _WAY,
    OwnCode.UNREACHABLE: _WAY,
    OwnCode.SERVICE_UNAVAILABLE: "wait until the service has recovered, then go on",
    OwnCode.TOO_MANY_FAILURES: "look at the other causes before going on; `--max-failures` says how many are tolerated",
    OwnCode.INVALID: "correct the rows: `failed.csv` has each of them, and what is wrong with it",
    OwnCode.CONFLICT: "decide for one of the rows, and take the other out of the inventory",
    OwnCode.DRIFTED: "correct the inventory, or have the flow logs put right",
    OwnCode.REMOTE_FAILED: "have the flow logs deleted and created again; the provider does not say why they failed",
    OwnCode.NO_ANSWER: "nothing is lost and nothing made twice by trying again",
    OwnCode.BAD_ANSWER: "check the endpoint and what stands between: the answer is not the API's",
    OwnCode.REDIRECTED: "check the region and its endpoint: another service answers there",
    OwnCode.LISTING_INCOMPLETE: "check that the keys may list flow logs (`er:flowLogs:list`), then try again",
    OwnCode.NO_CREDENTIALS: "renew the account's credentials at their source, then go on",
    OwnCode.PROJECT_UNKNOWN: "write `project_id` into the rows, or have the look-up of projects permitted",
    OwnCode.NO_ATTACHMENT: "check `resource_id` and `er_id`: the attachment is not on that router",
    OwnCode.NOT_AN_ATTACHMENT: "use the attachment's id, which the message names, not the id of what it attaches",
    OwnCode.ATTACHMENT_NOT_READY: "wait until the attachment is `available`, then go on",
    OwnCode.NO_LOG_GROUP: "create the log group, or correct `log_group_id`",
    OwnCode.NO_LOG_STREAM: "create the log stream, or correct `log_stream_id`",
    OwnCode.LEASE_LOST: "see that nobody else works this ledger, then go on",
    OwnCode.UNVERIFIED: "look again later; one that stays `pending` is the provider's to mend",
    OwnCode.MOVED: "plan again and review what has changed",
    OwnCode.KEPT: "look who made it; `undo --force` also deletes what was changed since",
}
"""What one can do about own codes; those that are missing need nothing but the next command."""

EXIT_OF_STOP: Mapping[str, int] = {
    OwnCode.INTERRUPTED: 130,
    OwnCode.TERMINATED: 143,
    OwnCode.HUNG_UP: 129,
    OwnCode.ACCESS_REFUSED: 7,
    OwnCode.ENDPOINT_UNREACHABLE: 7,
    OwnCode.TOO_MANY_FAILURES: 4,
}
"""The stop codes of a run that decide its exit code, whatever became of its rows."""

EXIT_DONE = 0
EXIT_FAULTY_ROWS = 3
EXIT_UNFINISHED = 5

DONE: frozenset[str] = frozenset(
    {Outcome.CREATED, Outcome.EXISTS, Outcome.UPDATED, Outcome.DUPLICATE, Outcome.DELETED, Outcome.ABSENT}
)
"""The outcomes that need nothing more from anybody."""

PENDING: frozenset[str] = frozenset({Outcome.UNVERIFIED, Outcome.SKIPPED})
"""Those of rows in which nothing is wrong, as far as is known: they were not attempted, or their end was not seen."""

_PROJECTED: Mapping[RowState, Outcome] = {
    RowState.PLANNED: Outcome.SKIPPED,
    RowState.CLAIMED: Outcome.IN_DOUBT,
    RowState.ACCEPTED: Outcome.UNVERIFIED,
}


def project_outcome(state: RowState, outcome: Outcome | None) -> Outcome:
    """What a report says of a row: its outcome, or what its open state amounts to.

    Raises `ValueError` for a settled row without an outcome, which no ledger may hold.
    """
    if state != RowState.SETTLED:
        return _PROJECTED[state]
    if outcome is None:
        raise ValueError("a settled row has no outcome")
    return outcome


def open_cause(state: RowState, stop_code: str) -> tuple[str, str]:
    """Error code and message of a row that is not settled; `stop_code` is the run's, or empty."""
    if state == RowState.CLAIMED:
        code = OwnCode.IN_DOUBT.value
    elif state == RowState.ACCEPTED:
        code = OwnCode.UNVERIFIED.value
    else:
        code = stop_code or OwnCode.NOT_ATTEMPTED.value
    return code, OWN_CODES.get(code, "the run stopped before the row was done")


def exit_code(counts: Mapping[tuple[RowState, str], int], stop_code: str) -> int:
    """The exit code of a run with `counts` rows by (state, outcome or "") that `stop_code` ended, or nothing."""
    if stop_code in EXIT_OF_STOP:
        return EXIT_OF_STOP[stop_code]
    present = [key for key, rows in counts.items() if rows]
    if any(state != RowState.SETTLED or outcome == Outcome.UNVERIFIED for state, outcome in present):
        return EXIT_UNFINISHED
    return EXIT_DONE if all(outcome in DONE for _, outcome in present) else EXIT_FAULTY_ROWS
