"""Before a lane sends, where that is asked for: settle the rows whose ground is not there.

What is wrong for good is `failed`, what may come by itself (an attachment that is not ready) is `skipped`: `resume`
takes it up again. Neither costs a create.
"""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from batcher.engine.context import LaneContext
from batcher.engine.persist import persist
from batcher.engine.reconcile import ROWS_AT_ONCE
from batcher.engine.settling import ended, record
from batcher.events import Warned
from batcher.model import LedgerRow, Obstacle, Outcome, Refused, RowState, Settlement, Stops

T = TypeVar("T")


async def preflight(context: LaneContext) -> None:
    """Check the ground of the lane's planned rows, scope by scope. Raises what the ledger raises."""
    asked_for = ""

    async def ask(kind: str, make: Callable[[], Awaitable[T | Refused]]) -> T | Refused | None:
        answer = await persist(context, kind, make)
        if isinstance(answer, Refused) and answer.stops is Stops.SCOPE:
            context.stop_scope(asked_for, answer)
        return answer

    def tell(message: str, hint: str) -> None:
        context.sink.emit(Warned(message, hint))

    ground = context.operation.ground(context.lane, ask, tell)
    for scope, numbers in (await context.ledger.numbers(context.lease, RowState.PLANNED)).items():
        asked_for = scope
        for start in range(0, len(numbers), ROWS_AT_ONCE):
            if context.closing or scope in context.stopped_scopes:
                break
            rows = await context.ledger.rows(context.lease, numbers[start : start + ROWS_AT_ONCE])
            for row, obstacle in zip(rows, await ground.obstacles(scope, [row.spec for row in rows]), strict=True):
                if obstacle is not None:
                    record(context, scope, row.line, _settlement(context, row, obstacle))
    await context.commit.flush()


def _settlement(context: LaneContext, row: LedgerRow, obstacle: Obstacle) -> Settlement:
    outcome = Outcome.SKIPPED if obstacle.passing else Outcome.FAILED
    settlement = Settlement(row.row_no, expect=row.state, state=RowState.SETTLED, attempts=row.attempts)
    return ended(context, settlement, outcome, obstacle.code, obstacle.message)
