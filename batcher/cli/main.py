"""The command `batcher`: parse the words, call a command, turn what it raises into a message and an exit code.

Only argparse and the standard library are imported here and at the top of `commands/*`: `--help` must answer at
once, and aiohttp, pydantic and rich take most of half a second.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

from batcher.cli.commands import (
    ctl,
    diff,
    discover,
    doctor,
    emulator,
    plan,
    report,
    resume,
    retry,
    run,
    schema,
    status,
    undo,
    validate,
)
from batcher.cli.exit_codes import EXIT_CODES, FAULT, INTERRUPTED, exit_code_of
from batcher.cli.say import complain
from batcher.errors import BatcherError, leaf
from batcher.policy.defusing import printable
from batcher.version import __version__

COMMANDS = {
    "run": run,
    "plan": plan,
    "validate": validate,
    "resume": resume,
    "retry": retry,
    "status": status,
    "report": report,
    "diff": diff,
    "undo": undo,
    "discover": discover,
    "doctor": doctor,
    "ctl": ctl,
    "emulator": emulator,
    "schema": schema,
}


class _Parser(argparse.ArgumentParser):
    """Names the words that it does not know, but never their values: one may be a secret that was put there."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and end with 2."""
        start, unknown, words = message.partition("unrecognized arguments: ")
        if unknown:
            names = [word.partition("=")[0] for word in words.split() if word.startswith("--")]
            message = f"{start}{unknown}{' '.join(names) or 'there is a word too many'}"
        super().error(printable(message))


def build_parser() -> argparse.ArgumentParser:
    """The whole command line; a test prints it for the documentation."""
    codes = "\n".join(f"  {code:<9} {meaning}" for code, meaning in EXIT_CODES)
    parser = _Parser(
        prog="batcher",
        description="Provision Enterprise Router flow logs in bulk, safely, as often as you like.",
        epilog=f"exit codes:\n{codes}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"batcher {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, command in COMMANDS.items():
        subparser = commands.add_parser(
            name,
            help=command.HELP,
            description=command.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        command.add_arguments(subparser)
        subparser.set_defaults(execute=command.execute)
    return parser


def main(words: Sequence[str] | None = None) -> int:
    """Run one command; its exit code."""
    arguments = build_parser().parse_args(words)
    try:
        return int(arguments.execute(arguments))
    except BaseException as error:  # noqa: BLE001  # the last door: what it is decides the exit code
        return _explain(leaf(error))


def _explain(error: BaseException) -> int:
    """Say what ended the command, and give its exit code."""
    if isinstance(error, BatcherError):
        complain(f"batcher: {error}", *([f"hint: {error.hint}"] if error.hint else []))
        return exit_code_of(error)
    if isinstance(error, SystemExit | GeneratorExit):
        raise error
    if isinstance(error, KeyboardInterrupt):
        print("batcher: interrupted", file=sys.stderr)
        return INTERRUPTED
    if isinstance(error, BrokenPipeError):
        sys.stderr.close()
        return FAULT
    return _report_fault(error)


def _report_fault(error: BaseException) -> int:
    import traceback  # late: only a fault needs it

    traceback.print_exception(error)
    print(
        "batcher: a fault in batcher itself; what was sent is in the ledger\n"
        "hint: report it with the lines above; `batcher resume` goes on",
        file=sys.stderr,
    )
    return FAULT


if __name__ == "__main__":
    sys.exit(main())
