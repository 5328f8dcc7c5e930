"""Asking again where an answer may come later: reads that stand before or beside a run.

Inside a run the engine's lanes do this; here one caller waits for one answer, under the same retry law.
"""

from collections.abc import Awaitable, Callable
from random import Random
from typing import TypeVar

import anyio

from batcher.model import Kind, Refused
from batcher.policy.pace import pause_s
from batcher.policy.retry import RetryBudget, TryAgain, decide
from batcher.ports import Clock

T = TypeVar("T")

ASKS_MAX = 6
"""Throttled ones count here: whoever asks before a run wants an answer or an end."""
BUDGET = RetryBudget(attempts_max=ASKS_MAX, time_s_max=120.0)


async def ask(
    call: Callable[[], Awaitable[T | Refused]], *, clock: Clock, chance: Random, budget: RetryBudget = BUDGET
) -> T | Refused:
    """The answer of a repeatable call, or its last refusal. Raises what the call raises."""
    started = clock.steady()
    attempts = 0
    while True:
        answer = await call()
        if not isinstance(answer, Refused):
            return answer
        attempts += 1
        decision = decide(
            answer,
            attempts=attempts,
            elapsed_s=clock.steady() - started,
            in_doubt=False,
            budget=budget,
            chance=chance.random(),
        )
        if not isinstance(decision, TryAgain) or attempts >= budget.attempts_max:
            return answer
        wait_s = decision.delay_s
        if answer.kind is Kind.THROTTLED:
            wait_s = pause_s(answer.pause_s, answer.window, chance.random())
        if clock.steady() - started + wait_s > budget.time_s_max:
            return answer
        await anyio.sleep(wait_s)
