"""Progress on a terminal: a live line that rich keeps at the bottom, and the lanes above it where there is room."""

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from batcher.events import Event, RunStarted
from batcher.policy.defusing import printable
from batcher.telemetry.lanes import HEADER, NUMBERS, LaneBoard
from batcher.telemetry.tally import ProgressTally

REFRESH_PER_S = 4
BAR_CELLS = 20
COLUMNS_MIN = 80
"""A terminal that is narrower has the line alone."""
LANES_SHARE = 0.5
"""How much of the terminal's height the lanes take at most."""
STYLES = {
    "green": ["created", "exists", "updated", "deleted", "absent"],
    "red": ["failed", "invalid", "in_doubt"],
    "yellow": ["drifted", "skipped", "unverified", "stopped", "paused"],
}
"""Colours of outcomes and states, and of nothing else; none where `NO_COLOR` is set."""


class LiveProgress:
    """A context in which the state of the run stands at the bottom of stderr."""

    def __init__(self) -> None:
        self._tally, self._lanes = ProgressTally(), LaneBoard()
        self._console = Console(stderr=True)
        self._live = Live(
            console=self._console, get_renderable=self._render, refresh_per_second=REFRESH_PER_S, transient=True
        )

    def emit(self, event: Event) -> None:
        """Count an event; the display follows by itself."""
        now = time.monotonic()
        self._tally.take(event, now)
        self._lanes.take(event, now)
        if isinstance(event, RunStarted):
            how = "continues" if event.continued else "starts"
            self._console.print(
                f"run {event.run_id} {how}: {event.open_rows:,} of {event.total:,} rows to do", highlight=False
            )

    def _render(self) -> Group:
        size = self._console.size
        room = int(size.height * LANES_SHARE) if size.width >= COLUMNS_MIN else 0
        lines = self._lanes.table(time.monotonic(), room)
        return Group(*([_table(lines)] if lines else ()), self._line())

    def _line(self) -> Text:
        tally = self._tally
        text = Text(printable(tally.line(time.monotonic())))
        for style, words in STYLES.items():
            text.highlight_words(words, style)
        if tally.started is None:
            return text
        done = round(tally.share * BAR_CELLS)
        return Text(f"[{'#' * done}{'.' * (BAR_CELLS - done)}] {tally.share:.1%}  ") + text

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()


def _table(lines: Sequence[Sequence[str]]) -> Table:
    """Lines of cells as rich sets them; what is too wide ends in dots."""
    table = Table(*HEADER, box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold", show_header=True)
    for column, name in zip(table.columns, HEADER, strict=True):
        column.no_wrap, column.overflow = True, "ellipsis"
        column.justify = "right" if name in NUMBERS else "left"
    for line in lines[1:]:
        table.add_row(*(Text(printable(cell)) for cell in line))
    return table
