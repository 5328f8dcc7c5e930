"""Before a lane sends, where that is asked for: settle the rows whose ground is not there.

What is wrong for good is `failed`, what may come by itself (an attachment that is not ready) is `skipped`: `resume`
takes it up again. Neither costs a create. A flow log outlives its ground: so a scope with such rows is listed first, if
it was not yet, and what stands there is settled by that. Where it cannot be listed its rows are sent as they are.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from batcher.engine.context import LaneContext
from batcher.engine.persist import persist
from batcher.engine.reconcile import ROWS_AT_ONCE, list_scope
from batcher.engine.settling import ended, record
from batcher.events import Warned
from batcher.model import LedgerRow, Obstacle, Outcome, Refused, RowState, Settlement, Stops
from batcher.ports import Ground

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
            numbers_now = numbers[start : start + ROWS_AT_ONCE]
            found = await _obstacles(context, ground, scope, numbers_now)
            if found and scope not in context.listed and scope not in context.unread:
                await list_scope(context, scope)
                found = await _obstacles(context, ground, scope, numbers_now)
            if scope not in context.listed:
                continue
            for row, obstacle in found:
                record(context, scope, row.line, _settlement(context, row, obstacle))
    await context.commit.flush()


async def _obstacles(
    context: LaneContext, ground: Ground, scope: str, numbers: Sequence[int]
) -> list[tuple[LedgerRow, Obstacle]]:
    """Those of the rows that are still planned and cannot be made, each with why."""
    await context.commit.flush()
    rows = [row for row in await context.ledger.rows(context.lease, numbers) if row.state is RowState.PLANNED]
    found = await ground.obstacles(scope, [row.spec for row in rows]) if rows else []
    return [(row, obstacle) for row, obstacle in zip(rows, found, strict=True) if obstacle is not None]


def _settlement(context: LaneContext, row: LedgerRow, obstacle: Obstacle) -> Settlement:
    outcome = Outcome.SKIPPED if obstacle.passing else Outcome.FAILED
    settlement = Settlement(row.row_no, expect=row.state, state=RowState.SETTLED, attempts=row.attempts)
    return ended(context, settlement, outcome, obstacle.code, obstacle.message)
