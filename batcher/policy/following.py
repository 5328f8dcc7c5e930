"""When a lane looks at what the provider took: while it sends, and once more when a stop ends it.

A look is a listing of one scope, a router: it tells up to 2,000 rows a call. What it costs is held by three rules.

- **Worth it.** A scope is due once NEW_ROWS_A_CALL rows of it were accepted since its last look began, for each call
  that a look takes: so looks cost at most LOOK_SHARE of the creates. For the first look of a sitting that is one call a
  scope beside it.
- **In time.** Where fewer rows wait a scope is due LOOK_S_MAX after its last look began, and FIRST_S after its first
  row was accepted: nobody waits for longer to learn what became of a row.
- **In turn.** Between two looks the lane goes on sending, for so long that looks take at most TURN_SHARE of its pace.
  This comes before the other two: with many scopes at a low rate each is looked at more rarely than LOOK_S_MAX says.

Times are seconds on a steady clock.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from batcher.policy.verdict import OwnCode

LOOK_SHARE = 0.01
NEW_ROWS_A_CALL = 100
"""Accepted rows that make a call for them cost LOOK_SHARE of their creates."""
LOOK_S_MIN = 5.0
"""For each call of a look: what was just accepted is not final yet, and a long listing costs work here too."""
LOOK_S_MAX = 30.0
PAGE_THINGS = 2000
"""The most that a call shows ("Querying Flow Logs", 2025-11-11)."""
FIRST_S = 12.0
"""Later than a flow log usually takes to become `available`, early enough for a run that fails from its first row."""
TURN_SHARE = 0.1

STOP_LOOK_S = 6.0
"""How long last looks may take once what was in flight is settled: less than a stop may take as a whole."""
RIPE_S = 1.0
"""A last look waits until the newest row was accepted so long ago: at once the last rows would still be `pending`."""
FRESH_S = 5.0
"""After a stop that nobody asked for, a scope whose last look began no longer ago is not looked at again."""
KEPT_SHARE_MAX = 0.1
"""Of the time until a known deadline at most so much is kept for last looks, whatever they take."""

ASKED = frozenset({OwnCode.DEADLINE, OwnCode.DRAINED, OwnCode.INTERRUPTED, OwnCode.TERMINATED, OwnCode.HUNG_UP})
"""Stops that a person has asked for, now or beforehand."""
LOOKED_AFTER = ASKED | {OwnCode.TOO_MANY_FAILURES}
"""Stops after which the provider can still be asked."""


@dataclass(slots=True)
class Sight:
    """What a lane has seen of a scope. `since`: when its last look began, or the first row was accepted.

    `new` rows were accepted since then, the newest of all at `newest`; a look takes `calls`. `is_barred`: the provider
    refuses looks.
    """

    since: float
    newest: float
    new: int = 0
    calls: int = 1
    was_looked_at: bool = False
    is_barred: bool = False

    def accepted(self, now: float) -> None:
        """The provider took a row."""
        self.new += 1
        self.newest = now

    def looked(self, began: float, calls: int, *, is_barred: bool) -> None:
        """A look began then, before what is accepted from now on, and took so many calls."""
        self.since, self.new, self.calls = began, 0, max(1, calls)
        self.was_looked_at, self.is_barred = True, is_barred


def due_at(sight: Sight) -> float:
    """When a scope in which rows wait is to be looked at."""
    wait_s = LOOK_S_MAX if sight.was_looked_at else FIRST_S
    if sight.new >= NEW_ROWS_A_CALL * sight.calls:
        wait_s = min(wait_s, LOOK_S_MIN * sight.calls)
    return sight.since + wait_s


def calls_of(things: int) -> int:
    """What a look takes of a scope that showed so many things when it was last read."""
    return max(1, math.ceil(things / PAGE_THINGS))


def due_looks(sights: Mapping[str, Sight], now: float) -> list[str]:
    """The scopes to look at now, those first where a call tells most that is new.

    `sights` are the scopes in which rows wait.
    """
    due = [scope for scope, sight in sights.items() if not sight.is_barred and due_at(sight) <= now]
    return sorted(due, key=lambda scope: (-sights[scope].new / sights[scope].calls, scope))


def turn_s(calls: int, rate_per_s: float) -> float:
    """How long after the begin of a look of so many calls the lane sends before the next one begins."""
    return calls / (TURN_SHARE * rate_per_s)


def last_looks(sights: Mapping[str, Sight], stop_code: str, now: float) -> list[str]:
    """The scopes to look at once more after a stop, those first where most is new.

    `sights` are the scopes in which rows wait.
    """
    is_asked = stop_code in ASKED
    left = [s for s, sight in sights.items() if is_asked or not sight.was_looked_at or now - sight.since > FRESH_S]
    return sorted(left, key=lambda scope: (-sights[scope].new, scope))


def kept_s(calls: int, rate_per_s: float, answer_s: float) -> float:
    """How long before a deadline a lane has to stop sending for last looks of so many calls."""
    return RIPE_S + calls / rate_per_s + answer_s if calls else 0.0
