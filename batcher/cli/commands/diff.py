"""What changed from one run to another: rows that ended otherwise, that are new, and that are gone.

RUN is a run's id, the beginning of one, or `latest`; rows are compared by what they ask for, not by their line.
"""

import argparse
from typing import TYPE_CHECKING

from batcher.cli.options import add_settings_options, add_talk_options, read_settings
from batcher.cli.say import say, say_json
from batcher.cli.work import show_config

if TYPE_CHECKING:
    from batcher.compare import Comparison
    from batcher.records import Ending, RunRecord

HELP = "what changed from one run to another"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's words."""
    parser.add_argument("older", metavar="RUN", help="the run before")
    parser.add_argument("newer", metavar="RUN", help="the run after it")
    parser.add_argument("--rows", action="store_true", help="also each row that changed, and was not done in both")
    parser.add_argument("--emulator", action="store_true", help="of the rehearsals")
    add_talk_options(parser)
    add_settings_options(parser)


def execute(arguments: argparse.Namespace) -> int:
    """Run the command."""
    if show_config(arguments):
        return 0
    from functools import partial  # late, as what follows

    import anyio

    from batcher.compare import compare_runs
    from batcher.wiring import Session

    session = Session(settings=read_settings(arguments).settings, emulator=arguments.emulator)
    command = partial(compare_runs, arguments.older, arguments.newer, session, rows=arguments.rows)
    found = anyio.run(command)
    if arguments.output == "json":
        say_json(_described(found))
    else:
        say(*_lines(found))
    return 0


def _lines(found: "Comparison") -> list[str]:
    lines = [f"{name}: run {run.run_id} of {run.inventory_name}" for name, run in _named(found)]
    for each in found.differences:
        note = ", and the inventory asks for it otherwise" if each.asks_otherwise else ""
        rows = "1 row" if each.rows == 1 else f"{each.rows:,} rows"
        if each.before is None:
            lines.append(f"{rows}: new, {_text(each.after)}")
        elif each.after is None:
            lines.append(f"{rows}: gone, was {_text(each.before)}")
        elif each.before == each.after:
            lines.append(f"{rows}: {_text(each.after)} in both{note}")
        else:
            lines.append(f"{rows}: {_text(each.before)} -> {_text(each.after)}{note}")
    lines += [f"line {row.line_after} {name}: {_text(row.before)} -> {_text(row.after)}" for row, name in found.rows]
    return lines


def _named(found: "Comparison") -> tuple[tuple[str, "RunRecord"], ...]:
    return (("before", found.older), ("after", found.newer))


def _text(ending: "Ending | None") -> str:
    if ending is None:
        return "-"
    return f"{ending.outcome} ({ending.code})" if ending.code else str(ending.outcome)


def _described(found: "Comparison") -> dict[str, object]:
    return {
        **{name: {"run_id": run.run_id, "inventory": run.inventory_name} for name, run in _named(found)},
        "rows": [
            {
                "before": _ending(each.before),
                "after": _ending(each.after),
                "asks_otherwise": each.asks_otherwise,
                "rows": each.rows,
            }
            for each in found.differences
        ],
        "changed": [
            {"line": row.line_after, "name": name, "before": _ending(row.before), "after": _ending(row.after)}
            for row, name in found.rows
        ],
    }


def _ending(ending: "Ending | None") -> dict[str, str] | None:
    return None if ending is None else {"outcome": str(ending.outcome), "error_code": ending.code}
