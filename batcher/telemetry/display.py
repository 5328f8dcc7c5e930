"""Progress on a terminal: a live line that rich keeps at the bottom."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from batcher.events import Event, RunStarted
from batcher.policy.defusing import printable
from batcher.telemetry.tally import ProgressTally

REFRESH_PER_S = 4
BAR_CELLS = 20
STYLES = {
    "green": ["created", "exists", "updated", "deleted", "absent"],
    "red": ["failed", "invalid", "in_doubt"],
    "yellow": ["drifted", "skipped", "unverified", "stopped", "paused"],
}
"""Colours of outcomes and states, and of nothing else; none where `NO_COLOR` is set."""


class LiveProgress:
    """A context in which the state of the run stands on the last line of stderr."""

    def __init__(self) -> None:
        self._tally = ProgressTally()
        self._console = Console(stderr=True)
        self._live = Live(
            console=self._console, get_renderable=self._render, refresh_per_second=REFRESH_PER_S, transient=True
        )

    def emit(self, event: Event) -> None:
        """Count an event; the display follows by itself."""
        self._tally.take(event, time.monotonic())
        if isinstance(event, RunStarted):
            how = "continues" if event.continued else "starts"
            self._console.print(
                f"run {event.run_id} {how}: {event.open_rows:,} of {event.total:,} rows to do", highlight=False
            )

    def _render(self) -> Text:
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
