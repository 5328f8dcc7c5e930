"""A new run of the rows that ended failed or in doubt: of the newest run that has any, or of the one named.

Rows refused for good get a new token; rows in doubt keep theirs. A flow log that the provider keeps in state `failed`
is in the way of its row: `--replace-failed` deletes it, and creates it again once it is gone.
"""

import argparse
from typing import TYPE_CHECKING

from batcher.cli.options import add_output_options, add_selection_options, add_settings_options, add_work_options
from batcher.cli.work import work

if TYPE_CHECKING:
    from batcher.sitting import RunResult
    from batcher.wiring import Session

HELP = "a new run of the rows that ended failed or in doubt"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's words."""
    parser.add_argument("run_id", metavar="RUN", nargs="?", help="the run (default: the newest with such rows)")
    group = parser.add_argument_group("rows")
    add_selection_options(group, ("failed", "in_doubt"))
    group.add_argument(
        "--replace-failed",
        action="store_true",
        help="delete flow logs that the provider keeps in state `failed`, and create them again",
    )
    add_work_options(parser)
    add_output_options(parser)
    add_settings_options(parser)


def execute(arguments: argparse.Namespace) -> int:
    """Run the command."""

    async def command(session: "Session") -> "RunResult":
        from batcher.app import retry_run  # late: it imports everything
        from batcher.policy.selection import Selection

        selection = Selection(outcome=arguments.outcome, code=arguments.code)
        return await retry_run(arguments.run_id, session, selection=selection, replace_failed=arguments.replace_failed)

    return work(arguments, command)
