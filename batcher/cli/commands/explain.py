"""What an error code means, what stops because of it, and what one can do: of batcher's own codes, and the provider's.

A code stands in the column `error_code` of a report. One of the provider's may mean several things, by HTTP status.
"""

import argparse
import difflib
from typing import Any

from batcher.cli.options import add_settings_options, add_talk_options, read_settings
from batcher.cli.say import say, say_json
from batcher.cli.work import show_config
from batcher.errors import ConfigError

HELP = "what an error code means and what to do about it"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's words."""
    parser.add_argument("code", metavar="CODE", help="as in a report: BATCHER.Unreachable, ER.04009008, APIGW.0301")
    add_talk_options(parser)
    add_settings_options(parser)


def execute(arguments: argparse.Namespace) -> int:
    """Run the command."""
    if show_config(arguments):
        return 0
    from batcher.from_settings import error_table  # late: the table imports what `--help` need not wait for
    from batcher.policy.verdict import OWN_CODES

    table = error_table(read_settings(arguments).settings)
    known = {code.lower(): code for code in (*OWN_CODES, *(code for _, code in table if code))}
    code = known.get(arguments.code.lower()) or known.get(f"batcher.{arguments.code}".lower())
    if code is None:
        near = difflib.get_close_matches(arguments.code.lower(), list(known), n=1)
        hint = f"did you mean `{known[near[0]]}`?" if near else "the README lists those that are known"
        raise ConfigError(f"there is no entry for the code `{arguments.code}`", hint=hint)
    of_provider = [_entry(*key, table[key]) for key in sorted(table) if key[1] == code]
    entries = [_own(code)] if code in OWN_CODES else of_provider
    if arguments.output == "json":
        say_json(entries)
    else:
        for entry in entries:
            say(*(f"{name}: {value}" for name, value in entry.items() if value is not None))
    return 0


def _own(code: str) -> dict[str, Any]:
    from batcher.policy.verdict import EXIT_OF_STOP, OWN_ADVICE, OWN_CODES  # late, as above

    return {
        "code": code,
        "meaning": OWN_CODES[code],
        "exit_code": EXIT_OF_STOP.get(code),
        "advice": OWN_ADVICE.get(code),
    }


def _entry(status: int, code: str, verdict: Any) -> dict[str, Any]:
    from batcher.cloud.error_table import STOPS_WORDS  # late, as above

    stops = next(word for word, reach in STOPS_WORDS.items() if reach is verdict.stops)
    return {
        "code": code,
        "http_status": status,
        "kind": str(verdict.kind),
        "stops": stops,
        "ambiguous": verdict.ambiguous,
        "definitive": verdict.definitive,
        "advice": verdict.advice or None,
    }
