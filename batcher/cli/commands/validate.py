"""Hold every row of an inventory to its rules, offline: nothing is sent and nothing recorded.

Each row that is not valid is named with its line and all its faults.
"""

import argparse
import sys

from batcher.cli.exit_codes import FAULTY
from batcher.cli.options import (
    add_inventory_options,
    add_settings_options,
    add_talk_options,
    read_settings,
    unbuffered_stdin,
)
from batcher.cli.say import say, say_json
from batcher.cli.work import show_config

HELP = "check every row, offline"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's words."""
    add_inventory_options(parser)
    parser.add_argument("--endpoint", metavar="URL", help="with an endpoint of your own any region is valid")
    add_talk_options(parser)
    add_settings_options(parser)


def execute(arguments: argparse.Namespace) -> int:
    """Run the command; 3 if a row is invalid."""
    if show_config(arguments):
        return 0
    import anyio  # late, as what follows

    from batcher.preview import check_inventory
    from batcher.telemetry.sinks import Silent
    from batcher.telemetry.warnings import WarningLines
    from batcher.wiring import Session

    session = Session(
        settings=read_settings(arguments).settings,
        stdin=unbuffered_stdin(),
        sink=Silent() if arguments.quiet else WarningLines(sys.stderr),
    )
    name = "stdin" if arguments.inventory == "-" else arguments.inventory

    def tell(line: int, outcome: str, message: str) -> None:
        if arguments.output == "json":
            say_json({"line": line, "outcome": outcome, "message": message})
        elif not arguments.quiet:
            say(f"{name}:{line}: {outcome}: {message}")

    check = anyio.run(check_inventory, arguments.inventory, session, tell)
    if arguments.output == "json":
        say_json({"inventory": check.name, "rows": check.counts})
    else:
        say(f"{name}: {', '.join(f'{rows:,} {outcome}' for outcome, rows in check.counts.items())}")
    return FAULTY if check.counts["invalid"] else 0
