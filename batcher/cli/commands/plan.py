"""What `run` would do with an inventory now, and what it would cost: rows, calls, time, quota. Reads only.

What is there is listed, attachments, log groups and streams are checked. `--out FILE` writes the plan for review;
`batcher run INVENTORY --plan FILE` does exactly that, or refuses if inventory, settings or cloud have moved since.
"""

import argparse
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batcher.cli.exit_codes import FAULTY, REFUSED, UNFINISHED
from batcher.cli.options import (
    add_cloud_options,
    add_gone_option,
    add_inventory_options,
    add_pace_options,
    add_preflight_option,
    add_settings_options,
    add_talk_options,
)
from batcher.cli.say import complain, say, say_json
from batcher.cli.work import show_config, supervise
from batcher.errors import ConfigError

if TYPE_CHECKING:
    from batcher.forecast import Forecast, LaneForecast
    from batcher.model import LaneKey
    from batcher.policy.prospect import Prospect
    from batcher.wiring import Session

HELP = "what `run` would do and what it would cost"
STDIN = "-"
ROUTERS_SHOWN_MAX = 20
"""Routers with something to say that are shown as text; `--output json` has them all."""
FINDINGS_SHOWN_MAX = 20
LANES_SHOWN_MAX = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's words."""
    add_inventory_options(parser)
    group = parser.add_argument_group("plan")
    group.add_argument("--out", metavar="FILE", help="write the plan there, for `batcher run --plan FILE`")
    group.add_argument("--rows", action="store_true", help="list them: `+` is created, `~` is put right")
    group.add_argument("--check", action="store_true", help="end with 3 unless everything is there as wished")
    group.add_argument("--for", dest="night", metavar="TIME", help="time of a night, as 6h or 90min: how many it takes")
    group.add_argument("--fix-drift", action="store_true", help="plan to put right what is there otherwise than wished")
    group.add_argument("--strict", action="store_true", help="no plan if any row is invalid")
    add_gone_option(group)
    work = parser.add_argument_group("work")
    work.add_argument("--emulator", action="store_true", help="against the embedded emulator")
    add_pace_options(work)
    work.add_argument("--reconcile", choices=("auto", "always", "never"), help="as the run would be given it")
    add_preflight_option(work)
    work.add_argument("--no-verify", action="store_true", help="as the run would be given it")
    add_cloud_options(parser)
    add_talk_options(parser)
    add_settings_options(parser)


def execute(arguments: argparse.Namespace) -> int:
    """Run the command."""
    if show_config(arguments):
        return 0
    from batcher.policy.pace import parse_duration  # late, as what follows
    from batcher.policy.prospect import AS_WISHED, CANNOT_BE, Prospect
    from batcher.policy.verdict import EXIT_OF_STOP
    from batcher.review import describe

    try:
        night_s = None if arguments.night is None else parse_duration(arguments.night)
    except ValueError as error:
        raise ConfigError(f"`--for`: {error}") from None
    out = None if arguments.out is None else _writable(Path(arguments.out), arguments.inventory)

    changes: list[Mapping[str, Any]] = []

    async def command(session: "Session") -> "Forecast":
        from batcher.preview import plan_inventory  # late: it imports everything

        tell = changes.append if arguments.rows else None
        return await plan_inventory(arguments.inventory, session, out=out, night_s=night_s, tell=tell)

    forecast = supervise(arguments, command, if_stopped="nothing was changed")
    if isinstance(forecast, int):
        return forecast
    if arguments.output == "json":
        say_json({**describe(forecast, night_s), **({"changes": changes} if arguments.rows else {})})
    else:
        say(*map(_changed_row, changes), *lines_of(forecast, night_s))
        if out is not None:
            again = f"batcher run {shlex.quote(arguments.inventory)} --plan {shlex.quote(str(out))}"
            say(f"plan     {out}", f"hint     review it, then, with the same settings, `{again}`")
    if forecast.stop_code:
        complain(f"batcher: stopped: {forecast.stop_code} {forecast.stop_message}".rstrip())
        if forecast.stop_advice:
            complain(f"hint: {forecast.stop_advice}")
        return EXIT_OF_STOP.get(forecast.stop_code, REFUSED)
    rows = {prospect for prospect, count in forecast.rows.items() if count}
    if Prospect.UNKNOWN in rows:
        return UNFINISHED
    return FAULTY if rows & CANNOT_BE or (arguments.check and rows - AS_WISHED) else 0


def _writable(out: Path, inventory: str) -> Path:
    """A place for a plan, looked at before the cloud is: a survey may take hours. Raises `ConfigError`."""
    try:
        is_file, is_taken = out.is_file(), out.exists()
        if not out.parent.is_dir() or (is_taken and not is_file):
            raise ConfigError(f"`--out {out}` is no place for a file", hint="its folder must be there")
        if is_file and inventory != STDIN and out.samefile(inventory):
            raise ConfigError(f"`--out {out}` is the inventory itself", hint="name another file")
    except OSError as error:
        raise ConfigError(f"`--out {out}` or the inventory cannot be looked at: {error.strerror or error}") from None
    return out


def lines_of(forecast: "Forecast", night_s: float | None) -> list[str]:
    """A forecast as text."""
    from batcher.policy.prospect import PROSPECTS  # late, as above

    rows = {prospect: count for prospect, count in forecast.rows.items() if count}
    routers = sum(1 for scope in forecast.scopes if scope.scope)
    lines = [f"{forecast.inventory_name}: {sum(rows.values()):,} rows, {routers:,} routers"]
    lines += [f"  {count:>10,} {PROSPECTS[prospect]}" for prospect, count in sorted(rows.items(), key=_order)]
    lines += _routers(forecast)
    lines += _costs(forecast, night_s)
    quotas = [_quota(lane) for lane in forecast.lanes]
    lines += _limited("quota", [quota for quota in quotas if quota], LANES_SHOWN_MAX)
    found = [
        f"{finding.count:,} {finding.prospect}"
        + (f", {finding.code}" if finding.code else "")
        + f", as line {finding.line}"
        + (f": {finding.message}" if finding.message else "")
        for finding in forecast.findings
    ]
    lines += _limited("finding", found, FINDINGS_SHOWN_MAX)
    return lines + _limited("warning", list(forecast.warnings), FINDINGS_SHOWN_MAX)


def _changed_row(change: "Mapping[str, Any]") -> str:
    """A row that would be changed, as text."""
    differences = change.get("differences")
    sign = "+" if differences is None else "~"
    return f"{sign} line {change['line']} {change['name']}" + (f": {differences}" if differences else "")


def _order(item: "tuple[Prospect, int]") -> int:
    from batcher.policy.prospect import PROSPECTS  # late, as above

    return list(PROSPECTS).index(item[0])


def _routers(forecast: "Forecast") -> list[str]:
    """What is to be done or said on each router, where that is more than that all is as wished."""
    from batcher.policy.prospect import AS_WISHED  # late, as above

    busy = []
    for scope in forecast.scopes:
        rows = {prospect: count for prospect, count in scope.rows.items() if prospect not in AS_WISHED}
        if scope.scope and scope.lane is not None and rows:
            counts = ", ".join(f"{count:,} {prospect}" for prospect, count in sorted(rows.items(), key=_order))
            there = "?" if scope.things is None else f"{scope.things:,}"
            busy.append(f"{scope.scope} in {_place(scope.lane)}: {counts}; {there} flow logs there")
    return _limited("router", busy, ROUTERS_SHOWN_MAX)


def _costs(forecast: "Forecast", night_s: float | None) -> list[str]:
    """Calls and time, as far as they can be known."""
    from batcher.policy.pace import rate_text  # late, as above
    from batcher.policy.prospect import nights_of
    from batcher.report.rows import utc_text
    from batcher.telemetry.tally import duration_text

    in_vain = forecast.calls.get("create", 0) - sum(lane.to_create for lane in forecast.lanes)
    notes = {"create": f" ({in_vain:,} refused, as they are there)"} if in_vain > 0 else {}
    kinds = ", ".join(f"{count:,} {kind}{notes.get(kind, '')}" for kind, count in sorted(forecast.calls.items()))
    total = sum(forecast.calls.values())
    spent = sum(forecast.survey_calls.values())
    lines = [f"calls    {total:,} at least{f': {kinds}' if kinds else ''} (this plan cost {spent:,})"]
    rates = {
        rate_text(lane.window) + (f", learnt {utc_text(lane.learnt_at)[:10]}" if lane.learnt_at else ", as given")
        for lane in forecast.lanes
    }
    shown = " or ".join(sorted(rates)[:3]) + (" and others" if len(rates) > 3 else "")
    nights = ""
    if night_s is not None:
        count = nights_of(forecast.time_s, night_s)
        nights = f"; {count:,} night{'s' if count > 1 else ''} of {duration_text(night_s)}"
    at = f", at {shown} for each account, region and project" if shown else ""
    lines.append(f"time     {duration_text(forecast.time_s)} at least{at}{nights}")
    return lines


def _quota(lane: "LaneForecast") -> str:
    """The quota of a lane against what is to be created there; empty where there is no limit."""
    from batcher.model import Quota, Refused  # late, as above

    project = _place(lane.lane)
    if isinstance(lane.quota, Quota):
        limit, used = lane.quota
        if limit < 0:
            return ""
        refused = lane.refused_by_quota
        rest = f": {refused:,} will be refused" if refused else ""
        return f"{project}: quota {limit:,}, used {used:,}, {lane.to_create:,} to create{rest}"
    why = f": {lane.quota.code} {lane.quota.message}" if isinstance(lane.quota, Refused) else ""
    return f"{project}: not known{why}"


def _place(lane: "LaneKey") -> str:
    """Whose quota and limit it is."""
    from batcher.cloud.credentials import DEFAULT_ACCOUNT  # late, as above

    account = "" if lane.account == DEFAULT_ACCOUNT else f", account `{lane.account}`"
    return f"project {lane.project_id}, {lane.region}{account}"


def _limited(name: str, texts: list[str], lines_max: int) -> list[str]:
    """The first of many lines, and how many more there are."""
    lines = [f"{name:<8} {text}" for text in texts[:lines_max]]
    more = len(texts) - lines_max
    return [*lines, f"{name:<8} and {more:,} more: `--output json` has them all"] if more > 0 else lines
