"""What to do with a row after the provider refused it: the whole retry law, as one pure decision.

A refusal is answered with the first of these that fits:

1. `EXISTS`: look it up; the provider says that it is there.
2. Throttled, or mended: the lane waits or the cause is gone, the row goes again; that is no attempt of the row.
3. Repeating may help, only the row is concerned, and attempts and time are left: again after an exponential
   back-off with full jitter, no sooner than the provider asked (AWS Architecture Blog, "Exponential Backoff
   and Jitter", 2015). After a definitive refusal the token is spent: the next attempt is a new generation. But not
   while an attempt before it may have taken effect: the token of that one alone keeps it from being made twice.
4. A process that died has claimed the row, no listing shows it, and its token is refused for good at once: the provider
   may only repeat what it said to that process, of a quota that was raised since. Once more, under a new generation,
   once nothing surely stands there.
5. An attempt may have taken effect: only the listing can tell, so look it up, unless the run may not ask.
6. The provider refused this very row: that is its answer. Where its scope was not listed, look it up all the same: it
   may stand, whatever has become of its ground or the quota; and a token that somebody used so long ago that it has
   ended is refused, too (ECS, "Idempotency", 2025-11-25).
7. It was not sent, or what was refused is more than the row: put it back, it is not at fault.
"""

from dataclasses import dataclass

from batcher.model import Kind, Refused, Stops

PAUSE_S_MAX = 3600.0
"""No provider's wish makes a row wait longer than this; a longer one would outlast the night."""


def is_attempt(refused: Refused) -> bool:
    """Whether a refusal counts against the attempts of what was asked for."""
    return refused.kind is not Kind.THROTTLED and not refused.mended


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryBudget:
    """How often and how long one row is tried."""

    attempts_max: int = 8
    time_s_max: float = 900.0
    backoff_s_base: float = 0.5
    backoff_s_cap: float = 30.0
    throttled_s_max: float = 86_400.0


@dataclass(frozen=True, slots=True)
class TryAgain:
    """Send the row again in `delay_s`, under the next generation if `new_generation`."""

    delay_s: float
    new_generation: bool


@dataclass(frozen=True, slots=True)
class LookUp:
    """Only the listing can tell what became of the row."""


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The refusal is the row's answer."""


@dataclass(frozen=True, slots=True)
class PutBack:
    """The row was not done and is not at fault: it stays planned for a later run."""


Decision = TryAgain | LookUp | GiveUp | PutBack


def backoff_s(budget: RetryBudget, attempts: int, chance: float) -> float:
    """The wait after the n-th attempt: full jitter under an exponential ceiling; `chance` in [0, 1)."""
    ceiling = min(budget.backoff_s_cap, budget.backoff_s_base * 2.0 ** min(attempts - 1, 32))
    return chance * ceiling


def decide(
    refused: Refused,
    *,
    attempts: int,
    elapsed_s: float,
    in_doubt: bool,
    budget: RetryBudget,
    chance: float,
    is_absent: bool = False,
    was_listed: bool = True,
) -> Decision:
    """What to do next. `attempts` counts this one; `in_doubt`: this or an earlier attempt may have worked.

    `is_absent`: a process that died had claimed the row, and no listing has shown it since. `was_listed`: its scope was
    listed before anything was sent.
    """
    if refused.kind is Kind.EXISTS:
        return LookUp()
    again = _again(refused, attempts, elapsed_s, budget, chance, in_doubt=in_doubt)
    if again is not None:
        return again
    is_final = refused.definitive and refused.kind is Kind.PERMANENT
    if is_absent and is_final and attempts == 1:
        return TryAgain(delay_s=0.0, new_generation=True)
    if in_doubt and refused.stops not in (Stops.ACCOUNT, Stops.RUN):
        return LookUp()
    is_answer = refused.definitive or (refused.sent and refused.stops in (Stops.ROW, Stops.SUBJECT))
    if not is_answer or in_doubt:
        return PutBack()
    may_stand = refused.definitive and refused.stops in (Stops.ROW, Stops.SUBJECT) and not was_listed
    return LookUp() if may_stand else GiveUp()


def _again(
    refused: Refused, attempts: int, elapsed_s: float, budget: RetryBudget, chance: float, *, in_doubt: bool
) -> TryAgain | None:
    if refused.kind is Kind.THROTTLED or refused.mended:
        return TryAgain(delay_s=0.0, new_generation=False) if elapsed_s < budget.throttled_s_max else None
    if refused.kind is not Kind.TRANSIENT or refused.stops is not Stops.ROW or attempts >= budget.attempts_max:
        return None
    delay_s = max(backoff_s(budget, attempts, chance), min(refused.pause_s or 0.0, PAUSE_S_MAX))
    if elapsed_s + delay_s > budget.time_s_max:
        return None
    return TryAgain(delay_s=delay_s, new_generation=refused.definitive and not in_doubt)
