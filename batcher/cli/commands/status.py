"""The runs in the ledger as they stand, newest first, or one of them in detail. Works beside a run that is going on."""

import argparse
import shutil
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from batcher.cli.causes import cause_lines, done_line
from batcher.cli.options import add_settings_options, add_talk_options, read_settings
from batcher.cli.say import say, say_json, span_text
from batcher.cli.work import show_config

if TYPE_CHECKING:
    from batcher.standing import Stand
    from batcher.wiring import Session

HELP = "the runs in the ledger, or one of them in detail"
RUNS_SHOWN = 20
WATCH_S = 2.0
"""How long `--watch` waits from one look to the next."""
HEADER = ("run", "kind", "inventory", "started (UTC)", "took", "state", "done", "failed", "left", "exit", "next")
NUMBERS = frozenset({"took", "done", "failed", "left", "exit"})
NAME_CHARS_MAX = 24
"""Of an inventory's name."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's words."""
    parser.add_argument("run_id", metavar="RUN", nargs="?", help="the run to show in detail; `latest` is the newest")
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument(
        "--limit", type=int, metavar="N", default=RUNS_SHOWN, help=f"show N runs (default: {RUNS_SHOWN})"
    )
    shown.add_argument("--all", action="store_true", help="show every run")
    parser.add_argument("--watch", action="store_true", help=f"show it again every {WATCH_S:.0f} s until Ctrl-C")
    parser.add_argument("--emulator", action="store_true", help="of the rehearsals")
    add_talk_options(parser)
    add_settings_options(parser)


def execute(arguments: argparse.Namespace) -> int:
    """Run the command."""
    if show_config(arguments):
        return 0
    import time  # late, as what follows

    from batcher.wiring import Session

    session = Session(settings=read_settings(arguments).settings, emulator=arguments.emulator)
    _show(arguments, session)
    while arguments.watch:
        time.sleep(WATCH_S)
        if sys.stdout.isatty():
            print("\033[H\033[2J", end="")
        _show(arguments, session)
    return 0


def _show(arguments: argparse.Namespace, session: "Session") -> None:
    import anyio  # late, as above

    from batcher.choice import named_run
    from batcher.reading import run_causes, run_endpoints, run_stands
    from batcher.report.causes import described_cause

    stands = anyio.run(run_stands, session)
    if arguments.run_id is not None:
        run = named_run([stand.run for stand in stands], arguments.run_id)
        described = describe(next(stand for stand in stands if stand.run is run))
        described["endpoints"] = anyio.run(run_endpoints, run.run_id, session)
        causes = anyio.run(run_causes, run.run_id, session)
        if arguments.output == "json":
            say_json({**described, "causes": [described_cause(cause) for cause in causes]}, flush=True)
        else:
            stand = next(stand for stand in stands if stand.run is run)
            calls = sum(run.calls.values())
            said = done_line(done=stand.done, rows=stand.rows, calls=calls, took_s=stand.took_s)
            lines = [f"{name}: {_text(value)}" for name, value in described.items()]
            say(*lines, said, *cause_lines(causes, run.inventory_name), flush=True)
    elif arguments.output == "json":
        say_json([describe(stand) for stand in stands], flush=True)
    else:
        say(*_table(stands, None if arguments.all else arguments.limit), flush=True)


def _table(stands: "Sequence[Stand]", limit: int | None) -> list[str]:
    """The runs as lines of text, and how many more there are."""
    if not stands:
        return ["no runs yet"]
    shown = stands if limit is None else stands[: max(0, limit)]
    cells = [HEADER, *(_cells(stand) for stand in shown)]
    widths = [max(len(row[at]) for row in cells) for at in range(len(HEADER))]
    width = shutil.get_terminal_size((10_000, 0)).columns if sys.stdout.isatty() else 10_000
    lines = [_line(row, widths)[:width].rstrip() for row in cells]
    if (more := len(stands) - len(shown)) > 0:
        are = "run is" if more == 1 else "runs are"
        lines.append(f"{more:,} older {are} not shown: `--all` shows every run")
    return lines


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    pairs = zip(HEADER, row, widths, strict=True)
    return "  ".join(text.rjust(width) if name in NUMBERS else text.ljust(width) for name, text, width in pairs)


def _cells(stand: "Stand") -> tuple[str, ...]:
    from batcher.report.rows import utc_text  # late, as above

    run, name = stand.run, stand.run.inventory_name
    share = f"{stand.done:,} of {stand.rows:,}" if stand.rows else "-"
    return (
        stand.short,
        stand.kind,
        name if len(name) <= NAME_CHARS_MAX else f"{name[: NAME_CHARS_MAX - 3]}...",
        utc_text(run.started_at)[:16].replace("T", " "),
        "-" if stand.took_s is None else span_text(stand.took_s),
        f"{stand.standing}: {stand.cause}" if stand.cause else str(stand.standing),
        share,
        f"{stand.failed:,}",
        f"{stand.left:,}",
        "-" if run.exit_code is None else str(run.exit_code),
        stand.next or "-",
    )


def describe(stand: "Stand") -> dict[str, Any]:
    """A run for a reader: how it stands, and its rows by outcome, open ones as what they amount to."""
    from batcher.report.rows import utc_text
    from batcher.report.summary import described_changes
    from batcher.standing import Standing, outcomes_of

    run = stand.run
    calls: dict[str, int] = {}
    for (kind, _), count in run.calls.items():
        calls[kind] = calls.get(kind, 0) + count
    return {
        "run_id": run.run_id,
        "kind": stand.kind,
        "state": str(run.state),
        "standing": str(stand.standing),
        "cause": stand.cause or None,
        "inventory": run.inventory_name,
        "inventory_sha256": run.inventory_sha256,
        "retry_of": run.parent,
        "rows": outcomes_of(run, works=stand.standing is Standing.RUNNING),
        "done": stand.done,
        "failed": stand.failed,
        "left": stand.left,
        "calls": calls,
        "rates": dict(run.rates),
        "changes": described_changes(run.changes),
        "started_at": utc_text(run.started_at),
        "ended_at": None if run.ended_at is None else utc_text(run.ended_at),
        "stop_code": run.stop_code or None,
        "stop_message": run.stop_message or None,
        "exit_code": run.exit_code,
        "next": stand.next or None,
    }


def _text(value: object) -> str:
    if isinstance(value, list):
        return "; ".join(" ".join(str(part) for part in item.values() if part is not None) for item in value) or "-"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(inner)}" for name, inner in value.items()) or "-"
    if isinstance(value, int):
        return f"{value:,}"
    return "-" if value is None else str(value)
