"""Write a run's reports again from the ledger, in any format. Works beside a run that is going on."""

import argparse

from batcher.cli.options import add_output_options, add_settings_options, read_settings
from batcher.cli.say import complain, say, say_json
from batcher.cli.work import show_config

HELP = "write a run's reports again, in any format"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's words."""
    parser.add_argument("run_id", metavar="RUN", nargs="?", help="the run (default: the newest)")
    parser.add_argument("--emulator", action="store_true", help="of a rehearsal")
    add_output_options(parser)
    add_settings_options(parser)


def execute(arguments: argparse.Namespace) -> int:
    """Run the command."""
    if show_config(arguments):
        return 0
    import anyio  # late, as what follows

    from batcher.app import write_report
    from batcher.wiring import Session

    session = Session(settings=read_settings(arguments).settings, emulator=arguments.emulator)
    publication = anyio.run(write_report, arguments.run_id, session)
    for lack, hint in publication.lacks.items():
        complain(f"batcher: warning: {lack}", f"hint: {hint}")
    if arguments.output == "json":
        say_json(publication.summary)
    else:
        say(*(f"report: {file}" for file in publication.files))
    return 0
