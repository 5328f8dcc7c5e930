"""Ask or change a batch at work, through the socket beside its ledger; only its user and root may.

  status    how far it is, at what pace, whether it is paused or ends
  rate      another pace for every project, from now on: 5/s, 100/min, auto; a limit of the provider's still holds
  pause     begin no call; what is in flight settles
  continue  end a pause; also `resume`
  drain     take no more rows, settle what is in flight, write the report and end; also `stop`

A change holds until the batch ends; it is recorded in the ledger, and `batcher status RUN` and the summary show it.
"""

import argparse
from typing import TYPE_CHECKING, Any

from batcher.cli.options import add_settings_options, add_talk_options, read_settings
from batcher.cli.say import say, say_json
from batcher.cli.work import show_config
from batcher.errors import ConfigError

if TYPE_CHECKING:
    from batcher.policy.control import LaneNow, LiveStatus
    from batcher.wiring import Session

HELP = "change a running batch: rate, pause, drain, status"


ACTIONS = ("status", "rate", "pause", "continue", "drain")
"""The words of `policy.control.Action`, which is not loaded for `--help`; a test holds them equal."""
SAME = {"resume": "continue", "stop": "drain"}
"""Second names, as people try them."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's words."""
    parser.add_argument("action", metavar="ACTION", choices=(*ACTIONS, *SAME), help="as above")
    parser.add_argument("value", metavar="RATE", nargs="?", help="of `rate`: most calls in a time, or `auto`")
    parser.add_argument("--emulator", action="store_true", help="of a rehearsal")
    add_talk_options(parser)
    add_settings_options(parser)


def execute(arguments: argparse.Namespace) -> int:
    """Run the command."""
    if show_config(arguments):
        return 0
    if arguments.action == "rate" and arguments.value is None:
        raise ConfigError(
            "`ctl rate` needs a rate", hint="write calls per time, such as `10/s` or `100/min`, or `auto`"
        )
    if arguments.action != "rate" and arguments.value is not None:
        raise ConfigError(f"`ctl {arguments.action}` takes no value")
    import anyio  # late, as what follows

    from batcher.wiring import Session

    session = Session(settings=read_settings(arguments).settings, emulator=arguments.emulator)
    status = anyio.run(_ask, arguments.action, arguments.value, session)
    if arguments.output == "json":
        say_json(describe(status))
    else:
        say(*lines_of(status))
    return 0


async def _ask(action: str, value: str, session: "Session") -> "LiveStatus":
    from batcher import live  # late, as above
    from batcher.policy.control import Action

    match Action(SAME.get(action, action)):
        case Action.STATUS:
            return await live.live_status(session)
        case Action.RATE:
            return await live.set_rate(value, session)
        case Action.PAUSE:
            return await live.pause_run(session)
        case Action.CONTINUE:
            return await live.continue_run(session)
        case Action.DRAIN:
            return await live.drain_run(session)


def describe(status: "LiveStatus") -> dict[str, Any]:
    """A run at work for a program: times as text, what there is nothing of as null."""
    from dataclasses import asdict  # late, as above

    from batcher.report.rows import utc_text

    settled = dict(status.settled)
    return {
        "run_id": status.run_id,
        "operation": status.operation,
        "state": status.state,
        "stop_code": status.stop_code or None,
        "pid": status.pid,
        "since": utc_text(status.since),
        "paused_since": None if status.paused_since is None else utc_text(status.paused_since),
        "deadline": None if status.deadline is None else utc_text(status.deadline),
        "rows": {
            "total": status.open_rows + sum(settled.values()),
            "open": status.open_rows,
            "by_outcome": settled,
        },
        "calls": {"total": sum(status.calls.values()), "by_kind": dict(status.calls)},
        "rate": status.rate,
        "lanes": [{**asdict(lane), "learnt": lane.learnt or None} for lane in status.lanes],
    }


_STATES = {
    "working": "at work",
    "paused": "paused since {paused_since}; `batcher ctl continue` goes on",
    "draining": "draining: it takes no more rows, settles what is in flight and ends",
    "stopping": "stopping ({stop_code}): it takes no more rows, settles what is in flight and ends",
}


def lines_of(status: "LiveStatus") -> list[str]:
    """A run at work for a person."""
    found = describe(status)
    rows, calls = found["rows"], found["calls"]
    lines = [
        f"run {status.run_id} ({status.operation}), in process {status.pid} since {found['since']}",
        f"state     {_STATES[status.state].format(**found)}",
        f"rows      {_counts(rows['by_outcome'])}; {rows['open']:,} of {rows['total']:,} open",
        f"calls     {calls['total']:,}" + (f": {_counts(calls['by_kind'])}" if calls["by_kind"] else ""),
        f"rate      {status.rate}, as asked for each account, region and project",
        f"deadline  {found['deadline'] or '-'}",
    ]
    return lines + [_lane(lane) for lane in status.lanes]


def _lane(lane: "LaneNow") -> str:
    place = f"project {lane.project_id}, {lane.region}" + (f", account {lane.account}" if lane.account else "")
    parts = [f"{lane.rate} in force ({lane.writes_per_s:.3g} writes/s, {lane.reads_per_s:.3g} reads/s)"]
    if lane.learnt:
        parts.append(f"learnt {lane.learnt}")
    if lane.silent_s:
        parts.append(f"silent for {lane.silent_s:.0f} s yet, as the provider asked or failed")
    parts.append(f"{lane.in_flight:,} in flight, {lane.calls:,} calls")
    return f"lane      {place}: {'; '.join(parts)}"


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items()) or "none settled"
