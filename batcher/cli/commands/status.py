"""The runs in the ledger, newest first, or one of them in detail. Works beside a run that is going on."""

import argparse
from typing import TYPE_CHECKING, Any

from batcher.cli.options import add_settings_options, add_talk_options, read_settings
from batcher.cli.say import say, say_json
from batcher.cli.work import show_config

if TYPE_CHECKING:
    from batcher.records import RunRecord

HELP = "the runs in the ledger, or one of them in detail"
RUNS_SHOWN_MAX = 20
"""Lines of text without RUN; `--output json` gives them all."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's words."""
    parser.add_argument("run_id", metavar="RUN", nargs="?", help="the run to show in detail")
    parser.add_argument("--emulator", action="store_true", help="of the rehearsals")
    add_talk_options(parser)
    add_settings_options(parser)


def execute(arguments: argparse.Namespace) -> int:
    """Run the command."""
    if show_config(arguments):
        return 0
    import anyio  # late, as what follows

    from batcher.app import list_runs, run_endpoints
    from batcher.errors import RunNotFoundError
    from batcher.wiring import Session

    session = Session(settings=read_settings(arguments).settings, emulator=arguments.emulator)
    runs = anyio.run(list_runs, session)
    if arguments.run_id is not None:
        runs = [run for run in runs if run.run_id == arguments.run_id]
        if not runs:
            raise RunNotFoundError(
                f"the ledger `{session.ledger_path}` holds no run `{arguments.run_id}`",
                hint="`batcher status` lists the runs",
            )
    described = [describe(run) for run in runs]
    if arguments.run_id is not None:
        described[0]["endpoints"] = anyio.run(run_endpoints, arguments.run_id, session)
    if arguments.output == "json":
        say_json(described[0] if arguments.run_id else described)
    elif arguments.run_id is not None:
        say(*(f"{name}: {_text(value)}" for name, value in described[0].items()))
    else:
        for item in described[:RUNS_SHOWN_MAX]:
            say(f"{item['run_id']}  {item['state']:<8}  {item['inventory']}  {_text(item['rows'])}")
        if not described:
            print("no runs yet")
    return 0


def describe(run: "RunRecord") -> dict[str, Any]:
    """A run for a reader: its rows by outcome, open ones as what they amount to."""
    from batcher.model import Outcome
    from batcher.policy.verdict import project_outcome
    from batcher.report.rows import utc_text
    from batcher.report.summary import described_changes

    rows: dict[str, int] = {}
    for (state, outcome), count in run.counts.items():
        name = str(project_outcome(state, Outcome(outcome) if outcome else None))
        rows[name] = rows.get(name, 0) + count
    calls: dict[str, int] = {}
    for (kind, _), count in run.calls.items():
        calls[kind] = calls.get(kind, 0) + count
    return {
        "run_id": run.run_id,
        "state": str(run.state),
        "inventory": run.inventory_name,
        "inventory_sha256": run.inventory_sha256,
        "retry_of": run.parent,
        "rows": rows,
        "calls": calls,
        "rates": dict(run.rates),
        "changes": described_changes(run.changes),
        "started_at": utc_text(run.started_at),
        "ended_at": None if run.ended_at is None else utc_text(run.ended_at),
        "stop_code": run.stop_code or None,
        "stop_message": run.stop_message or None,
        "exit_code": run.exit_code,
    }


def _text(value: object) -> str:
    if isinstance(value, list):
        return "; ".join(" ".join(str(part) for part in item.values() if part is not None) for item in value) or "-"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(inner)}" for name, inner in value.items()) or "-"
    if isinstance(value, int):
        return f"{value:,}"
    return "-" if value is None else str(value)
