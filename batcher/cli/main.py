"""The command `batcher`: parse the words, call a command, turn what it raises into a message and an exit code.

Only argparse and the standard library are imported here and at the top of `commands/*`: `--help` must answer at
once, and aiohttp, pydantic and rich take most of half a second.
"""

import argparse
import signal
import sys
from collections.abc import Sequence

from batcher.cli.commands import (
    ctl,
    diff,
    discover,
    doctor,
    emulator,
    explain,
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
from batcher.cli.exit_codes import EXIT_CODES, FAULT, exit_code_of
from batcher.cli.say import complain, say_json
from batcher.cli.signals import SAID, SignalledError, exit_code_of_signal
from batcher.cli.streams import STDOUT, silence
from batcher.cli.usage import Parser
from batcher.errors import BatcherError, leaf
from batcher.version import __version__

COMMANDS = {
    "run": run,
    "plan": plan,
    "validate": validate,
    "resume": resume,
    "retry": retry,
    "status": status,
    "report": report,
    "explain": explain,
    "diff": diff,
    "undo": undo,
    "discover": discover,
    "doctor": doctor,
    "ctl": ctl,
    "emulator": emulator,
    "schema": schema,
}


def build_parser() -> Parser:
    """The whole command line; a test prints it for the documentation."""
    codes = "\n".join(f"  {code:<9} {meaning}" for code, meaning in EXIT_CODES)
    parser = Parser(
        prog="batcher",
        description="Provision Enterprise Router flow logs in bulk, safely, as often as you like.",
        epilog=f"`batcher help COMMAND` shows the words of one.\n\nexit codes:\n{codes}",
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
        parser.commands[name] = subparser
    return parser


def parse(words: Sequence[str]) -> argparse.Namespace:
    """A command line, understood. Raises `ConfigError` for one that is not; `--help` and `--version` exit."""
    match list(words):
        case ["help", *rest]:
            words = [*rest[:1], "--help"]
        case ["version"]:
            words = ["--version"]
    parser = build_parser()
    arguments, unknown = parser.parse_known_args(words)
    if unknown:
        parser.commands[arguments.command].check_known(unknown)
    return arguments


def main(words: Sequence[str] | None = None) -> int:
    """Run one command; its exit code."""
    words = sys.argv[1:] if words is None else words
    try:
        arguments = parse(words)
        arguments.words = tuple(words)
        code = int(arguments.execute(arguments))
        sys.stdout.flush()
        return code
    except BaseException as error:  # noqa: BLE001  # the last door: what it is decides the exit code
        return _explain(leaf(error), as_json=_wants_json(words))


def _wants_json(words: Sequence[str]) -> bool:
    """Whether the result was to be JSON, also if the words are none that can be understood."""
    text = " ".join(words)
    return "--output json" in text or "--output=json" in text


def _explain(error: BaseException, *, as_json: bool) -> int:
    """Say what ended the command, and give its exit code."""
    if isinstance(error, BatcherError):
        complain(f"batcher: {error}", *([f"hint: {error.hint}"] if error.hint else []))
        code = exit_code_of(error)
        if as_json:
            say_json({"error": str(error), "hint": error.hint or None, "exit_code": code})
        return code
    if isinstance(error, SystemExit | GeneratorExit):
        raise error
    if isinstance(error, KeyboardInterrupt | SignalledError):
        number = error.number if isinstance(error, SignalledError) else signal.SIGINT
        complain(f"batcher: {SAID[number]}")
        return exit_code_of_signal(number)
    if isinstance(error, BrokenPipeError):  # nobody reads any more
        silence(STDOUT)
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
