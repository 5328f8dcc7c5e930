"""A call of a lane that is no row's send: repeated under the retry law until it is answered or given up."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

from batcher.engine.context import LaneContext
from batcher.model import Refused
from batcher.policy.retry import TryAgain, decide, is_attempt

T = TypeVar("T")


async def persist(context: LaneContext, kind: str, make: Callable[[], Awaitable[T | Refused]]) -> T | Refused | None:
    """The answer of a repeatable call, or its last refusal; None if the lane closed before there was either.

    The refusal is ambiguous where any of the calls may have taken effect.
    """
    started = context.worked()
    attempts = 0
    refused: Refused | None = None
    while True:
        answer = await context.call(kind, make)
        if answer is None:
            return refused
        if not isinstance(answer, Refused):
            return answer
        refused = replace(answer, ambiguous=answer.ambiguous or (refused is not None and refused.ambiguous))
        attempts += is_attempt(answer)
        decision = decide(
            answer,
            attempts=attempts,
            elapsed_s=context.worked() - started,
            in_doubt=False,
            budget=context.policy.budget,
            chance=context.chance.random(),
        )
        if not isinstance(decision, TryAgain) or not await context.stop.sleep(decision.delay_s):
            return refused
