"""The lanes of a run at work, as a table: how far each is, at what pace, and what it is troubled by."""

from collections import Counter
from dataclasses import dataclass, field

from batcher.events import Event, LanePaused, PaceSet, RowAccepted, RowRetried, RowSettled, RunStarted, RunSteered
from batcher.model import LaneKey, Outcome
from batcher.policy.control import Action
from batcher.policy.pace import rate_text

HEADER = ("lane", "done", "failed", "pace", "now")
NUMBERS = frozenset({"done", "failed"})
CODES_MAX = 2
"""Codes that a lane's rows are tried again for, shown; the most frequent ones."""
PROJECT_CHARS = 8
"""Of a project's id that is shown: as many as tell projects apart."""
FAILED = frozenset({Outcome.FAILED, Outcome.INVALID, Outcome.IN_DOUBT})


@dataclass(slots=True)
class LaneTally:
    """What is known of one lane. Times are seconds on the board's clock."""

    open_rows: int = 0
    settled: int = 0
    failed: int = 0
    pace: str = ""
    retrying: dict[int, str] = field(default_factory=dict)
    """Why each row that is to be sent again was not done, by its number."""
    silent_until: float = 0.0
    silent_code: str = ""

    def troubles(self, now: float) -> str:
        """What the lane waits for, in words, or nothing."""
        parts = []
        if self.silent_until > now:
            parts.append(f"silent for {self.silent_until - now:.0f} s: {self.silent_code}")
        if self.retrying:
            why = Counter(self.retrying.values()).most_common(CODES_MAX)
            parts.append("retrying " + ", ".join(f"{rows:,} ({code})" for code, rows in why))
        return "; ".join(parts)


class LaneBoard:
    """Counts by lane, kept from the events of one sitting. `now` arguments are seconds on any steady clock."""

    def __init__(self) -> None:
        self._lanes: dict[LaneKey, LaneTally] = {}
        self._is_paused = False

    def take(self, event: Event, now: float) -> None:
        """Count one event."""
        match event:
            case RunStarted(lanes=lanes):
                self._lanes = {lane: LaneTally(rows) for lane, rows in sorted(lanes)}
            case RowSettled(lane=lane, row_no=row_no, outcome=outcome):
                tally = self._of(lane)
                tally.retrying.pop(row_no, None)
                tally.settled += 1
                tally.failed += outcome in FAILED
            case RowAccepted(lane=lane, row_no=row_no):
                self._of(lane).retrying.pop(row_no, None)
            case RowRetried(lane=lane, row_no=row_no, code=code):
                self._of(lane).retrying[row_no] = code
            case LanePaused(lane=lane, pause_s=pause_s, code=code):
                tally = self._of(lane)
                tally.silent_until, tally.silent_code = now + pause_s, code
            case PaceSet(lane=lane, window=window, source=source):
                self._of(lane).pace = f"{rate_text(window)} {source}"
            case RunSteered(action=action) if action in {Action.PAUSE, Action.CONTINUE}:
                self._is_paused = action == Action.PAUSE
            case _:
                pass

    def _of(self, lane: LaneKey) -> LaneTally:
        return self._lanes.setdefault(lane, LaneTally())

    def table(self, now: float, rows_max: int) -> list[tuple[str, ...]]:
        """Cells as in `HEADER`, itself the first; `rows_max` lines at most, none where there is nothing to show.

        Lanes that have rows to do, in the order of their names; where they are too many, those in trouble come before
        the others, and the last line counts the rest.
        """
        working = [(lane, tally) for lane, tally in self._lanes.items() if tally.settled < tally.open_rows]
        room = rows_max - 1
        if room < 1 or not working:
            return []
        shown = working
        if len(working) > room:
            shown = sorted(working, key=lambda pair: not pair[1].troubles(now))[: room - 1]
        lines = [HEADER, *(self._cells(lane, tally, now) for lane, tally in shown)]
        if more := len(working) - len(shown):
            lines.append((f"and {more:,} more", "", "", "", ""))
        return lines

    def _cells(self, lane: LaneKey, tally: LaneTally, now: float) -> tuple[str, ...]:
        return (
            f"{lane.account}/{lane.region}/{lane.project_id[:PROJECT_CHARS]}",
            f"{tally.settled:,} of {tally.open_rows:,}",
            f"{tally.failed:,}",
            tally.pace or "not begun",
            "paused" if self._is_paused else tally.troubles(now),
        )
