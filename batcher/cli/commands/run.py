"""Plan an inventory, create what is missing, verify it and write a report with one line per row.

Goes on with an unfinished run of the same inventory; otherwise starts a new one. Running it again is always
safe: what is there already is found and not sent.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from batcher.cli.commands import plan
from batcher.cli.options import (
    add_gone_option,
    add_inventory_options,
    add_output_options,
    add_settings_options,
    add_work_options,
)
from batcher.cli.work import work
from batcher.errors import ConfigError

if TYPE_CHECKING:
    from batcher.sitting import RunResult
    from batcher.wiring import Session

HELP = "make it so: plan, create, verify, report"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's words."""
    add_inventory_options(parser)
    parser.add_argument("--strict", action="store_true", help="stop before the first call if any row is invalid")
    add_gone_option(parser)
    parser.add_argument(
        "--plan", metavar="FILE", help="do exactly what `batcher plan --out FILE` planned, or nothing if it has moved"
    )
    parser.add_argument("--dry-run", action="store_true", help="send nothing: the same as `batcher plan`")
    add_work_options(parser)
    add_output_options(parser)
    add_settings_options(parser)


def execute(arguments: argparse.Namespace) -> int:
    """Run the command."""
    if arguments.dry_run:
        return _dry_run(arguments)

    async def command(session: "Session") -> "RunResult":
        from batcher.app import run_inventory  # late: it imports everything

        plan = None if arguments.plan is None else Path(arguments.plan)
        return await run_inventory(arguments.inventory, session, plan=plan)

    return work(arguments, command)


def _dry_run(arguments: argparse.Namespace) -> int:
    if arguments.plan is not None:
        raise ConfigError("`--dry-run` and `--plan` do not go together", hint="`batcher plan` looks anew")
    asked = {**vars(arguments), "out": None, "rows": False, "check": False, "night": arguments.time, "time": None}
    return plan.execute(argparse.Namespace(**asked))
