"""What was seen at the provider that decides nothing by itself, and later work of a lane looks at."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from batcher.engine.limiter import LaneLimiter
from batcher.engine.row_queue import Work
from batcher.model import Applied, Refused
from batcher.policy.following import Sight


@dataclass(frozen=True, slots=True)
class Seen:
    """What a survey saw of a lane just before: scopes that it read whole, and those that were refused.

    `limiter` is the survey's own, unless a new one goes on the same: the lane's calls before and after are one stream.
    """

    listed: Mapping[str, int]
    refused: Mapping[str, Refused]
    limiter: LaneLimiter | None


@dataclass(slots=True)
class Whose:
    """What was seen of things that somebody else has made.

    `unsure`, by row number: the provider took it, and it may have been made within the same second by somebody else;
    `others`: rows that the provider took and of which that is known. `standing_twice` places have more than one thing.
    """

    unsure: dict[int, tuple[Work, Applied]] = field(default_factory=dict)
    others: set[int] = field(default_factory=set)
    standing_twice: int = 0


@dataclass(slots=True)
class Looks:
    """What a lane has looked at of what the provider took, by scope, since its first row was taken.

    `are_last`: the lane makes calls though it closes, for its last looks.
    """

    sights: dict[str, Sight] = field(default_factory=dict)
    are_last: bool = False
