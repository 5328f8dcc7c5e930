"""The last words on a run: how much is done, why the rest is not, and what helps."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from batcher.cli.say import span_text

if TYPE_CHECKING:
    from batcher.report.causes import Cause

CAUSES_SHOWN_MAX = 10
"""On a screen; `summary.json` has the others."""
MESSAGE_CHARS_MAX = 200


def done_line(*, done: int, rows: int, calls: int, took_s: float | None) -> str:
    """`2,800 of 3,000 done (93.3 %) in 4m10s, 3,012 calls`."""
    share = f" ({100 * done / rows:.1f} %)" if rows else ""
    took = "" if took_s is None else f" in {span_text(took_s)}"
    return f"{done:,} of {rows:,} done{share}{took}, {calls:,} call{'' if calls == 1 else 's'}"


def cause_lines(causes: "Sequence[Cause]", inventory: str) -> list[str]:
    """Each cause with an example and what to do, most rows first; then the commands that help, each once."""
    lines = []
    for cause in causes[:CAUSES_SHOWN_MAX]:
        lines.append(f"{_rows(cause.rows)}: {cause.code or ', '.join(cause.outcomes)}: {_cut(cause.meaning)}")
        message = "" if cause.message in ("", cause.meaning) else f": {_cut(cause.message)}"
        lines.append(f"  such as {inventory}:{cause.line}{f' ({cause.name})' if cause.name else ''}{message}")
        if cause.advice:
            lines.append(f"  do: {cause.advice}")
    if (more := len(causes) - CAUSES_SHOWN_MAX) > 0:
        lines.append(f"{more:,} more cause{'' if more == 1 else 's'}: see `summary.json`")
    commands: dict[str, int] = {}
    for cause in causes:
        if cause.next:
            commands[cause.next] = commands.get(cause.next, 0) + cause.rows
    return [*lines, *(f"next: `{command}` ({_rows(rows)})" for command, rows in commands.items())]


def closing_lines(summary: Mapping[str, Any], causes: "Sequence[Cause]") -> list[str]:
    """What ends the screen of a run, from its `summary.json` and its causes."""
    rows = summary["rows"]
    line = done_line(
        done=rows["done"], rows=rows["total"], calls=summary["calls"]["total"], took_s=summary["duration_s"]
    )
    return [line, *cause_lines(causes, summary["inventory"]["name"])]


def _rows(rows: int) -> str:
    return f"{rows:,} row{'' if rows == 1 else 's'}"


def _cut(text: str) -> str:
    return text if len(text) <= MESSAGE_CHARS_MAX else f"{text[:MESSAGE_CHARS_MAX]}..."
