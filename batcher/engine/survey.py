"""Look at what a run would meet, without changing anything at the provider: what `plan` is made of.

A lane is surveyed with the same parts that a run works it with: its scopes are listed and what is there is settled,
its ground is checked; then it is left, with the rows that would be created still planned.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from batcher.engine.context import LaneContext
from batcher.engine.lane import held
from batcher.engine.limiter import LaneLimiter
from batcher.engine.persist import persist
from batcher.engine.preflight import preflight
from batcher.engine.reconcile import reconcile
from batcher.model import LaneKey, Quota, Refused, Window


@dataclass(frozen=True, slots=True)
class LaneSurvey:
    """What was seen of a lane: things in each scope that was read whole, scopes that were refused, the quota.

    `unread` says why other scopes were not read, `stopped` what stopped the lane. `quota` is None where it could not
    be asked. `window` is the lane's rate with what the provider told of it; `limiter` has its pace, None where a new
    one would go on the same: of a hundred thousand lanes it is most of the memory.
    """

    listed: Mapping[str, int]
    refused: Mapping[str, Refused]
    unread: Mapping[str, str]
    stopped: Refused | None
    quota: Quota | Refused | None
    window: Window
    limiter: LaneLimiter | None


class Survey:
    """The surveys of a run's lanes; `look` is a lane's work for the engine."""

    def __init__(self) -> None:
        self.lanes: dict[LaneKey, LaneSurvey] = {}

    async def look(self, context: LaneContext, _open_rows: int) -> None:
        """Survey one lane. Raises what the ledger raises."""
        async with held(context):
            await reconcile(context)
            if context.policy.preflight:
                await preflight(context)
            quota = await persist(context, "quotas", lambda: context.operation.quota(context.lane))
            self.lanes[context.lane] = LaneSurvey(
                listed=context.listed,
                refused=context.stopped_scopes,
                unread=context.unread,
                stopped=context.stopped,
                quota=quota,
                window=context.limiter.window,
                limiter=None if context.limiter.is_as_new else context.limiter,
            )
