"""An operator: a machine with a clock, a ledger and reports. Ledgers are lost, and brought back from older copies."""

import math
from dataclasses import dataclass, field
from pathlib import Path

from tests.simulation.judge import Memory
from tests.simulation.machine import ProcessClock


@dataclass(frozen=True, slots=True)
class Copy:
    """A ledger as it was at a moment, and what the judge had seen settled in it."""

    at: float
    files: dict[str, bytes]
    settled: dict[tuple[str, int], tuple[str, str | None]]


@dataclass(slots=True)
class Operator:
    """Who runs batcher. `covered`: the times, from and until, of which the ledger has on record what happened."""

    number: int
    folder: Path
    clock: ProcessClock
    memory: Memory = field(default_factory=Memory)
    covered: list[tuple[float, float]] = field(default_factory=lambda: [(0.0, math.inf)])
    forgotten_at: list[float] = field(default_factory=list)
    """When the ledger was lost, or became an older one."""
    _copy: Copy | None = None

    @property
    def reports(self) -> Path:
        """Where its runs write."""
        return self.folder / f"reports-{self.number}"

    @property
    def ledger(self) -> Path:
        """Its ledger."""
        return self.reports / "ledger.db"

    @property
    def is_whole(self) -> bool:
        """Whether the ledger knows all that was ever done with it."""
        return len(self.covered) == 1 and self.covered[0][0] == 0.0

    def covers(self, at: float) -> bool:
        """Whether the ledger has on record what happened at a moment."""
        return any(start <= at <= end for start, end in self.covered)

    def keep_copy(self, now: float) -> None:
        """Copy the ledger as it is on disk at this instant, whether somebody works it or not."""
        files = {path.name: path.read_bytes() for path in self._files()}
        self._copy = Copy(now, files, dict(self.memory.settled)) if files else None

    def lose_ledger(self, now: float) -> None:
        """The ledger is gone; the reports stay."""
        self._remove()
        self.covered = [(now, math.inf)]
        self.forgotten_at.append(now)
        self.memory.settled = {}

    def bring_back(self, now: float) -> None:
        """The ledger is what it was when it was copied; without a copy it stays as it is."""
        if self._copy is None:
            return
        self._remove()
        for name, content in self._copy.files.items():
            (self.reports / name).write_bytes(content)
            (self.reports / name).chmod(0o600)
        kept = [(start, min(end, self._copy.at)) for start, end in self.covered if start <= self._copy.at]
        self.covered = [*kept, (now, math.inf)]
        self.forgotten_at.append(now)
        self.memory.settled = dict(self._copy.settled)

    def _files(self) -> list[Path]:
        """The database, and what stands beside it; not the lock, which holds nothing."""
        return [path for path in (self.ledger.with_name(f"ledger.db{end}") for end in ("", "-wal")) if path.exists()]

    def _remove(self) -> None:
        for path in [*self._files(), self.ledger.with_name("ledger.db-shm")]:
            path.unlink(missing_ok=True)
