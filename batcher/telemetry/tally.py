"""What the progress displays share: the counts of a run, kept from its events."""

from collections import Counter, deque
from dataclasses import dataclass, field

from batcher.events import (
    CallMade,
    Event,
    LanePaused,
    PlanProgress,
    RowAccepted,
    RowSettled,
    RunStarted,
    RunSteered,
    ScopeStopped,
    Waiting,
)
from batcher.model import LaneKey
from batcher.policy.control import Action
from batcher.policy.pace import rate_text
from batcher.policy.verdict import OwnCode

RATE_OVER_S = 10.0
"""The rate now is that of the last ten seconds."""


@dataclass(slots=True)
class ProgressTally:
    """Counts of one sitting. `now` arguments are seconds on any steady clock."""

    planned: int = 0
    total: int = 0
    open_rows: int = 0
    settled: int = 0
    accepted: int = 0
    """Rows that the provider took and that are not final yet."""
    outcomes: Counter[str] = field(default_factory=Counter)
    calls: int = 0
    rate: str = ""
    learnt: str = ""
    stopped: str = ""
    paused: bool = False
    waiting: str = ""
    started: float | None = None
    lanes: set[LaneKey] = field(default_factory=set)
    """Those that were called; each has the rate for itself."""
    _seconds: deque[tuple[int, int]] = field(default_factory=deque)
    _ends: deque[tuple[int, int]] = field(default_factory=deque)

    def take(self, event: Event, now: float) -> None:
        """Count one event."""
        match event:
            case PlanProgress(rows=rows):
                self.planned = rows
            case Waiting(why=why):
                self.waiting = why
            case RunStarted(total=total, open_rows=open_rows, rate=rate, accepted=accepted):
                self.total, self.open_rows, self.rate, self.started = total, open_rows, rate, now
                self.accepted = accepted
            case RowSettled(outcome=outcome, was_accepted=was_accepted):
                self.settled += 1
                _count(self._ends, int(now))
                self.accepted -= was_accepted
                self.outcomes[outcome] += 1
            case RowAccepted():
                self.accepted += 1
            case CallMade(lane=lane):
                self.calls += 1
                self.lanes.add(lane)
                _count(self._seconds, int(now))
            case LanePaused(window=window) if window is not None:
                self.learnt = rate_text(window)
            case ScopeStopped(code=code, message=message):
                self.stopped = f"{code} {message}"
            case RunSteered(action=action, value=value):
                self._note_change(action, value)
            case _:
                pass

    def _note_change(self, action: str, value: str) -> None:
        if action == Action.RATE:
            self.rate = value
        elif action == Action.DRAIN:
            self.stopped = OwnCode.DRAINED
        else:
            self.paused = action == Action.PAUSE

    def rate_per_s(self, now: float) -> float:
        """Calls a second over the last ten seconds, or since the start."""
        return self._pace(self._seconds, now)

    def remaining_s(self, now: float) -> float | None:
        """Time left at the pace of the last ten seconds; None while nothing is known, or while it is paused or ends."""
        pace = self._pace(self._ends, now)
        if self.started is None or self.paused or self.stopped or not pace:
            return None
        return max(0, self.open_rows - self.settled) / pace

    def _pace(self, seconds: deque[tuple[int, int]], now: float) -> float:
        counted = sum(count for second, count in seconds if second > now - RATE_OVER_S)
        worked_s = 0.0 if self.started is None else now - self.started
        return counted / max(1.0, min(RATE_OVER_S, worked_s))

    @property
    def share(self) -> float:
        """How much of the rows to do is settled, from 0 to 1."""
        return self.settled / self.open_rows if self.open_rows else 1.0

    @property
    def limit(self) -> str:
        """The rate that holds, and for how many projects: `3 projects x 50/s`."""
        many = f"{len(self.lanes):,} projects x " if len(self.lanes) > 1 else ""
        return f"{many}{self.rate}" + (f", learnt {self.learnt}" if self.learnt else "")

    def line(self, now: float) -> str:
        """All of it in one line."""
        if self.started is None:
            waits = self.waiting and not self.planned
            return f"waiting: {self.waiting}" if waits else f"planning: {self.planned:,} rows"
        outcomes = ", ".join(f"{count:,} {name}" for name, count in sorted(self.outcomes.items()))
        parts = [f"{self.settled:,} of {self.open_rows:,} rows", outcomes or "none settled yet"]
        if self.accepted > 0:
            parts.append(f"{self.accepted:,} accepted, not yet final")
        parts.append(f"{self.rate_per_s(now):.1f} calls/s ({self.limit})")
        left = self.remaining_s(now)
        if left is not None and self.settled < self.open_rows:
            parts.append(f"about {duration_text(left)} left")
        if self.paused:
            parts.append("paused")
        if self.stopped:
            parts.append(f"stopped: {self.stopped}")
        return "; ".join(parts)


def _count(seconds: deque[tuple[int, int]], second: int) -> None:
    """Count one more in a second; those that are too old to matter go."""
    if seconds and seconds[-1][0] == second:
        seconds[-1] = (second, seconds[-1][1] + 1)
    else:
        seconds.append((second, 1))
    while seconds[0][0] < second - RATE_OVER_S:
        seconds.popleft()


def duration_text(seconds: float) -> str:
    """A duration as people say it: `45s`, `12min`, `3h05min`."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f}s"
    return f"{minutes}min" if minutes < 90 else f"{minutes // 60}h{minutes % 60:02}min"
