"""Write an inventory of the attachments that the cloud itself lists; `batcher run` takes it as it is.

One account, region and project at a time. `resource_id` is the attachment's id; what hangs on it, such as a VPC,
stands in `attached_id` for people. Nothing is written unless everything could be read.

  batcher discover --region cn-north-4 --missing | batcher run - --input-format csv
"""

import argparse
import sys
from functools import partial

from batcher.cli.options import (
    add_cloud_options,
    add_origin_options,
    add_place_options,
    add_settings_options,
    add_verbosity_options,
    read_cloud_settings,
)
from batcher.cli.work import show_config

HELP = "write an inventory from the attachments that the cloud lists"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's words."""
    group = parser.add_argument_group("inventory")
    group.add_argument("--missing", action="store_true", help="only attachments without a flow log")
    group.add_argument(
        "--format", dest="form", choices=("csv", "json", "jsonl"), default="csv", help="of the inventory (default: csv)"
    )
    add_origin_options(group)
    add_place_options(parser)
    work = parser.add_argument_group("work")
    work.add_argument("--emulator", action="store_true", help="list the embedded emulator's instead of the cloud's")
    work.add_argument("--rate", help="most calls in a time, as 10/s or 100/min (default: 10/s)")
    add_cloud_options(parser)
    add_verbosity_options(parser.add_argument_group("output"))
    add_settings_options(parser)


def execute(arguments: argparse.Namespace) -> int:
    """Run the command."""
    if show_config(arguments):
        return 0
    import anyio  # late, as what follows

    from batcher.cli.console import open_console
    from batcher.discovery import discover
    from batcher.wiring import Session

    arguments.no_progress = True
    with open_console(arguments) as sink:
        session = Session(settings=read_cloud_settings(arguments).settings, emulator=arguments.emulator, sink=sink)
        job = partial(discover, session, sys.stdout, missing=arguments.missing, form=arguments.form)
        found = anyio.run(job)
    sys.stdout.flush()
    if not arguments.quiet:
        covered = f", {found.covered:,} with a flow log" if arguments.missing else ""
        print(
            f"batcher: {found.written:,} rows of {found.attachments:,} attachments on {found.routers:,} routers"
            f" ({found.left_out:,} not available{covered})",
            file=sys.stderr,
        )
    return 0
