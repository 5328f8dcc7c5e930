"""What a refusal, or a row of them, means for more than the row: who stops, for how long, how the rest is called.

Three things are watched in each lane:

- A refusal that names more than its row stops that at once (`Stops`); its rows are skipped with the cause.
- **A service that fails**: FAILURES_TO_OPEN calls in a row without any answer of sense open the breaker. It is silent
  for COOLDOWN_S_FIRST, then one call alone tries (half-open): an answer closes it, a failure doubles the silence up to
  COOLDOWN_S_MAX. The first, the third ... try is a read that concerns no row: rows that the service cannot bear would
  else keep it from the others, and each try would cost a row an attempt. What has failed for as long as one row
  is tried is not waited for any longer. (Circuit breaker: M. Nygard, "Release It", 2007; doubling as in the retry law.)
- **A quota that is used up**: whose it is, an attachment's or a project's, the provider's pages do not agree on. A
  refusal stops the other rows of its attachment, and makes calls go one by one; refusals on SUBJECTS_TO_STOP
  attachments with no success between stop the project.
"""

import re
from dataclasses import dataclass, field

from batcher.model import Kind, Refused, Stops

QUOTA_CODE = "ER.04009008"
"""Insufficient quota (error codes of Enterprise Router, 2025-11-11)."""
UNAVAILABLE_CODE = "BATCHER.ServiceUnavailable"

FAILURES_TO_OPEN = 5
"""In a row: at a share of 12 % that fails by chance it happens once in 40,000 calls, and then costs a second."""
COOLDOWN_S_FIRST = 1.0
COOLDOWN_S_MAX = 60.0
COOLDOWN_MARGIN = 0.1
"""A silence lasts up to this share longer, at random, so that lanes do not come back together."""
SUBJECTS_TO_STOP = 3


@dataclass(slots=True)
class Breaker:
    """Whether a lane's service can be called; times are seconds on a steady clock."""

    failures: int = 0
    """Calls in a row that had no answer of sense."""
    opened_at: float | None = None
    """Since when it is not closed; None: it is."""
    cooldown_s: float = 0.0
    silent_until: float = 0.0
    tries: int = 0
    """Calls that were made alone since it opened."""

    @property
    def is_closed(self) -> bool:
        """Whether calls can go side by side."""
        return self.opened_at is None

    @property
    def wants_a_read(self) -> bool:
        """Whether the next call should be one that concerns no row."""
        return self.opened_at is not None and self.tries % 2 == 0

    def answered(self) -> None:
        """The service has answered: whatever it said, it is there."""
        self.failures, self.opened_at, self.cooldown_s, self.tries = 0, None, 0.0, 0

    def failed(self, now: float, chance: float) -> float | None:
        """A call failed; how long to be silent now, None for not at all. `chance` in [0, 1)."""
        self.failures += 1
        if self.opened_at is None:
            if self.failures < FAILURES_TO_OPEN:
                return None
            self.opened_at = now
        elif now < self.silent_until:
            return None  # it was in flight when the breaker opened
        else:
            self.tries += 1
        self.cooldown_s = min(COOLDOWN_S_MAX, self.cooldown_s * 2 or COOLDOWN_S_FIRST)
        silence_s = self.cooldown_s * (1.0 + COOLDOWN_MARGIN * chance)
        self.silent_until = now + silence_s
        return silence_s

    def untried(self, duration_s: float) -> None:
        """For so long nobody was allowed to call: that is no time in which the service has failed."""
        if self.opened_at is not None:
            self.opened_at += duration_s

    def is_given_up(self, now: float, open_s_max: float) -> bool:
        """Whether the service has failed for too long to be waited for."""
        return self.opened_at is not None and now - self.opened_at >= open_s_max


def is_failure(refused: Refused) -> bool:
    """Whether a refusal says that the service fails, and not what it thinks of the call."""
    return refused.kind is Kind.TRANSIENT and not refused.definitive and not refused.mended


@dataclass(slots=True)
class QuotaWatch:
    """The attachments, or whatever rows are about, that were refused for quota since the last success."""

    refused: set[str] = field(default_factory=set)

    @property
    def is_alert(self) -> bool:
        """Whether the next call should go alone."""
        return bool(self.refused)

    def note_refusal(self, subject: str) -> bool:
        """Note a refusal; whether there are so many that the quota must be the project's."""
        self.refused.add(subject)
        return len(self.refused) >= SUBJECTS_TO_STOP

    def note_success(self) -> None:
        """Something was made: there is room somewhere."""
        self.refused.clear()


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
    if refused.stops is Stops.SUBJECT:
        return "BATCHER.AttachmentStopped"
    return "BATCHER.RouterStopped" if refused.stops is Stops.SCOPE else "BATCHER.LaneStopped"


def skip_message(refused: Refused) -> str:
    """The sentence that goes with `skip_code`; `cause_in` finds the code in it."""
    return f"not attempted: the provider refused another row with {refused.code} ({refused.message})"


def trouble_of(refused: Refused, region: str) -> tuple[str, str]:
    """Code and message of the rows that a lane of this region has left open because of a refusal, or of silence."""
    what = f"with {refused.code} ({refused.message})"
    if refused.stops in (Stops.ACCOUNT, Stops.RUN):
        return "BATCHER.AccessRefused", f"not attempted: the provider refused access {what}"
    if refused.code.startswith("BATCHER."):
        return refused.code, f"not attempted: in region `{region}`, {refused.message}"
    if refused.kind is Kind.TRANSIENT:
        return UNAVAILABLE_CODE, f"not attempted: the service in region `{region}` failed {what}"
    return skip_code(refused), skip_message(refused)


def cause_in(message: str) -> str:
    """The provider's code that a message of `skip_message` or `trouble_of` names; empty where it names none."""
    named = re.match(r"not attempted: .*? with (\S+) \(", message)
    return named[1] if named else ""


def planning_stop_code(refused: Refused) -> str:
    """How a refused look-up ends the run that left rows unplanned for it: never with success."""
    return stop_code(refused) or "BATCHER.EndpointUnreachable"


def stop_code(refused: Refused) -> str:
    """How what stopped a lane ends the run: access was refused, nothing got through, or neither (empty)."""
    if refused.stops in (Stops.ACCOUNT, Stops.RUN):
        return "BATCHER.AccessRefused"
    own = ("BATCHER.LeaseLost", UNAVAILABLE_CODE)
    return "BATCHER.EndpointUnreachable" if not refused.sent and refused.code not in own else ""
