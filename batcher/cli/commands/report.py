"""Write a run's reports again from the ledger, in any format, or print some of its rows. Works beside a run at work.

`--failed`, `--code` and `--outcome` print rows instead: those that are not done, or that ended so.
"""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from batcher.cli.options import add_output_options, add_selection_options, add_settings_options, read_settings
from batcher.cli.say import complain, say, say_json
from batcher.cli.work import show_config

if TYPE_CHECKING:
    from batcher.records import RunRecord
    from batcher.report.rows import ReportRow, RowProjection
    from batcher.wiring import Session

HELP = "write a run's reports again, or print some of its rows"
OUTCOMES = (
    *("created", "exists", "drifted", "updated", "failed", "in_doubt", "unverified", "invalid", "duplicate", "skipped"),
    *("deleted", "absent"),
)
"""As in `model.Outcome`, which `--help` need not load; a test holds the two equal."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's words."""
    parser.add_argument("run_id", metavar="RUN", nargs="?", help="the run (default: the newest)")
    parser.add_argument("--emulator", action="store_true", help="of a rehearsal")
    group = parser.add_argument_group("rows to print, instead of a report")
    group.add_argument("--failed", action="store_true", help="rows that are not done")
    add_selection_options(group, OUTCOMES)
    add_output_options(parser)
    add_settings_options(parser)


def execute(arguments: argparse.Namespace) -> int:
    """Run the command."""
    if show_config(arguments):
        return 0
    import anyio  # late, as what follows

    from batcher.reading import write_report
    from batcher.wiring import Session

    session = Session(settings=read_settings(arguments).settings, emulator=arguments.emulator)
    if arguments.failed or arguments.code or arguments.outcome:
        _print_rows(arguments, session)
        return 0
    publication = anyio.run(write_report, arguments.run_id, session)
    for lack, hint in publication.lacks.items():
        complain(f"batcher: warning: {lack}", f"hint: {hint}")
    if arguments.output == "json":
        say_json(publication.summary)
    else:
        say(*(f"report: {file}" for file in publication.files))
    return 0


def _print_rows(arguments: argparse.Namespace, session: "Session") -> None:
    """Rows as lines for people, or as those of `report.jsonl`."""
    import anyio  # late, as above

    from batcher.policy.selection import Selection
    from batcher.reading import pick_rows
    from batcher.report.jsonl_report import JsonlLayout

    def take(run: "RunRecord", projection: "RowProjection", rows: "Sequence[ReportRow]") -> None:
        if arguments.output == "json":
            print("".join(map(JsonlLayout(projection).line, rows)), end="")
        elif rows:
            say(*(_line(run.inventory_name, dict(zip(projection.columns, row.texts, strict=True))) for row in rows))

    selection = Selection(outcome=arguments.outcome, code=arguments.code)
    anyio.run(pick_rows, arguments.run_id, session, selection, take)


def _line(inventory: str, texts: dict[str, str]) -> str:
    """`routers.csv:17: failed: ER.04044001: no such attachment (fl-16)`."""
    said = [texts[name] for name in ("outcome", "error_code", "error_message") if texts[name]]
    name = f" ({texts['name']})" if texts["name"] else ""
    return f"{inventory}:{texts['line']}: {': '.join(said)}{name}"
