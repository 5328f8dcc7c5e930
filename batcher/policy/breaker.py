"""What a refusal of more than one row means for the rows that were not sent because of it."""

from batcher.model import Refused, Stops

QUOTA_CODE = "ER.04009008"
"""Insufficient quota (error codes of Enterprise Router, 2025-11-11)."""


def skips_the_rest(refused: Refused) -> bool:
    """Whether the open rows of a stopped lane are settled as skipped.

    So they are when the provider itself refused the lane's project. A lane that lost its connection or its
    lease, and a run that was stopped, leave them planned: the next sitting simply goes on.
    """
    return refused.stops is Stops.LANE and refused.sent


def skip_code(refused: Refused) -> str:
    """The `error_code` of a row that was skipped because of a refusal."""
    if refused.code == QUOTA_CODE:
        return "BATCHER.QuotaExhausted"
    return "BATCHER.RouterStopped" if refused.stops is Stops.SCOPE else "BATCHER.LaneStopped"


def skip_message(refused: Refused) -> str:
    """The sentence that goes with `skip_code`."""
    return f"not attempted: the provider refused another row with {refused.code} ({refused.message})"


def planning_stop_code(refused: Refused) -> str:
    """How a refused look-up ends the run that left rows unplanned for it: never with success."""
    return stop_code(refused) or "BATCHER.EndpointUnreachable"


def stop_code(refused: Refused) -> str:
    """How what stopped a lane ends the run: access was refused, nothing got through, or neither (empty)."""
    if refused.stops in (Stops.ACCOUNT, Stops.RUN):
        return "BATCHER.AccessRefused"
    return "BATCHER.EndpointUnreachable" if not refused.sent and refused.code != "BATCHER.LeaseLost" else ""
