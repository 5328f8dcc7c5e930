"""What the lanes of one account share."""

from typing import TYPE_CHECKING

import anyio

from batcher.model import Refused

if TYPE_CHECKING:
    from batcher.engine.context import LaneContext


class AccountGate:
    """Its canary's turn, and what stopped it.

    While the account's credentials are not trusted one call of its lanes is made at a time. The client would see to
    that too, but who waited there would come out with leave taken long ago, all at once.
    """

    def __init__(self) -> None:
        self.alone = anyio.Lock()
        self.stopped: Refused | None = None
        """What stopped the account, if anything did."""
        self.lanes: set[LaneContext] = set()

    def stop(self, refused: Refused) -> None:
        """No lane of the account takes another row. Repeatable."""
        self.stopped = self.stopped or refused
        for lane in self.lanes:
            lane.close()
