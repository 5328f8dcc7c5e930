"""Check credentials, endpoints, clock, permissions and quota with read-only calls; each finding is a line.

With INVENTORY every account, region and project of its rows is checked, without it what the settings name.
Nothing is created, and no ledger is touched.
"""

import argparse
from typing import TYPE_CHECKING

from batcher.cli.exit_codes import REFUSED
from batcher.cli.options import (
    add_cloud_options,
    add_place_options,
    add_reading_options,
    add_settings_options,
    add_talk_options,
    read_cloud_settings,
    unbuffered_stdin,
)
from batcher.cli.say import say, say_json
from batcher.cli.work import show_config

if TYPE_CHECKING:
    from batcher.doctor import Finding

HELP = "check access, clock, permissions and quota"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's words."""
    parser.add_argument("inventory", metavar="INVENTORY", nargs="?", help="check what its rows need; `-` for stdin")
    parser.add_argument("--emulator", action="store_true", help="check an embedded emulator instead of the cloud")
    add_reading_options(parser)
    add_place_options(parser)
    add_cloud_options(parser)
    add_talk_options(parser)
    add_settings_options(parser)


def execute(arguments: argparse.Namespace) -> int:
    """Run the command; 7 if a check failed."""
    if show_config(arguments):
        return 0
    import anyio  # late, as what follows

    from batcher.cli.console import open_console
    from batcher.doctor import diagnose
    from batcher.wiring import Session

    arguments.no_progress = True
    with open_console(arguments) as sink:
        session = Session(
            settings=read_cloud_settings(arguments).settings,
            emulator=arguments.emulator,
            sink=sink,
            stdin=unbuffered_stdin(),
        )
        tell = _tell_json if arguments.output == "json" else _tell_text
        healthy = anyio.run(diagnose, session, tell, arguments.inventory)
    return 0 if healthy else REFUSED


def _tell_text(finding: "Finding") -> None:
    lines = [f"{finding.mark:<8} {finding.check:<11} {finding.asked}: {finding.answer}"]
    if finding.advice:
        lines.append(f"{'':<8} {'hint:':<11} {finding.advice}")
    say(*lines, flush=True)


def _tell_json(finding: "Finding") -> None:
    words = {name: getattr(finding, name) for name in ("check", "asked", "answer", "mark", "advice")}
    say_json(words, flush=True)
