"""Delete the flow logs that RUN created, and only those: their ids are known, they were made by it, and are as made.

What stood there before, and what was changed since, is kept. An undo is a run itself: it can be killed, `batcher
resume` or the same command goes on, and it has a report. The run that is undone is not gone on with any more, unless
`--only`, `--code` or `--outcome` names some of its rows: those alone are undone.
"""

import argparse
import sys
from typing import TYPE_CHECKING

from batcher.cli.exit_codes import USAGE
from batcher.cli.options import (
    add_cloud_options,
    add_limit_options,
    add_output_options,
    add_pace_options,
    add_selection_options,
    add_settings_options,
    read_settings,
)
from batcher.cli.say import say
from batcher.cli.work import work
from batcher.errors import ConfigError

if TYPE_CHECKING:
    from batcher.policy.selection import Selection
    from batcher.sitting import RunResult
    from batcher.wiring import Session

PLACES_SHOWN_MAX = 10
"""Of a run, before it is asked whether it is to be undone."""
HELP = "delete the flow logs that a run created, and only those"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's words."""
    parser.add_argument("run_id", metavar="RUN", help="the run that is taken back; `batcher status` lists them")
    group = parser.add_argument_group("work")
    group.add_argument("-y", "--yes", action="store_true", help="do not ask; needed where there is no terminal")
    group.add_argument("--force", action="store_true", help="also delete what was changed since it was made")
    group.add_argument("--only", choices=("failed",), help="only flow logs that the provider keeps in state `failed`")
    add_selection_options(group, ("created", "in_doubt", "unverified", "failed", "drifted"))
    group.add_argument("--emulator", action="store_true", help="of a rehearsal")
    add_pace_options(group)
    group.add_argument("--no-verify", action="store_true", help="do not wait until what is deleted is gone")
    add_limit_options(group)
    add_cloud_options(parser)
    add_output_options(parser)
    add_settings_options(parser)


def execute(arguments: argparse.Namespace) -> int:
    """Run the command."""
    if not arguments.show_config and not arguments.yes and not _is_confirmed(arguments):
        print("batcher: not confirmed; nothing was deleted", file=sys.stderr)
        return USAGE

    async def command(session: "Session") -> "RunResult":
        from batcher.app import undo_run  # late: it imports everything

        return await undo_run(arguments.run_id, session, force=arguments.force, selection=_selection(arguments))

    return work(arguments, command)


def _selection(arguments: argparse.Namespace) -> "Selection":
    from batcher.policy.selection import Selection  # late, as all

    return Selection(outcome=arguments.outcome, code=arguments.code, remote_state=arguments.only or "")


def _is_confirmed(arguments: argparse.Namespace) -> bool:
    """Ask on the terminal. Raises `ConfigError` where there is none."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise ConfigError(
            "`undo` deletes flow logs, and there is no terminal on which to ask", hint="give `--yes` if that is meant"
        )
    import anyio  # late, as what follows

    from batcher.reading import made_by
    from batcher.wiring import Session

    session = Session(settings=read_settings(arguments).settings, emulator=arguments.emulator)
    run, count, sites = anyio.run(made_by, arguments.run_id, session)
    only = _selection(arguments).words
    places = [
        f"  account `{site.account}`, {site.region}, at {site.site.er or 'the endpoint of the region'}"
        for site in sites
    ]
    more = [f"  and {len(places) - PLACES_SHOWN_MAX:,} more places"] if len(places) > PLACES_SHOWN_MAX else []
    say(f"run {run.run_id} of {run.inventory_name}, on:", *places[:PLACES_SHOWN_MAX], *more, out=sys.stderr)
    question = f"delete the flow logs that it created{only}, {count:,} at most? [y/N] "
    print(question, end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
