"""Go on with an unfinished run: the newest, or the one named. Needs no inventory: the ledger has the plan.

Rows that may have been sent are sent again under their own token or looked up; skipped rows are taken up again.
"""

import argparse
from typing import TYPE_CHECKING

from batcher.cli.options import add_output_options, add_settings_options, add_work_options
from batcher.cli.work import work

if TYPE_CHECKING:
    from batcher.sitting import RunResult
    from batcher.wiring import Session

HELP = "go on with an unfinished run; needs no inventory file"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's words."""
    parser.add_argument("run_id", metavar="RUN", nargs="?", help="the run (default: the newest unfinished one)")
    parser.add_argument(
        "--superseded", action="store_true", help="also one that a later inventory of its name has superseded"
    )
    add_work_options(parser)
    add_output_options(parser)
    add_settings_options(parser)


def execute(arguments: argparse.Namespace) -> int:
    """Run the command."""

    async def command(session: "Session") -> "RunResult":
        from batcher.app import resume_run  # late: it imports everything

        return await resume_run(arguments.run_id, session, superseded=arguments.superseded)

    return work(arguments, command)
