"""A forecast on paper: what a person reviews, and whether it still holds when the run comes."""

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from batcher.engine.seen import Seen
from batcher.engine.survey import Survey
from batcher.errors import AccessError, ConfigError, MovedError, UnfinishedPlanError
from batcher.forecast import Forecast, Judge, Knowledge, LaneForecast, ScopeForecast, records, survey_run
from batcher.intake import InterruptedPlanError
from batcher.ledger_port import Ledger
from batcher.model import LaneKey, Quota, Refused, RunId
from batcher.planning.plan_file import WORD_CHARS_MAX, no_plan, read_plan, write_plan
from batcher.policy.pace import rate_text
from batcher.policy.prospect import CHANGES, Prospect, nights_of
from batcher.records import RowRecord, RunRecord, RunSite
from batcher.report.rows import utc_text
from batcher.report.summary import SERVICES, described_endpoints
from batcher.sitting import PLAN, SIGNALLED
from batcher.wiring import Cloud, Session

ROUTER_CHARS_MAX = 64
"""Of a router's id, as a plan file has it: anybody may have written that."""
ENDPOINT_CHARS_MAX = 200
"""Of an endpoint in a plan file, for the same reason."""
COUNTS_SHOWN_MAX = 10
"""Prospects that are counted: there are fewer."""
_KEY = ("account", "region", "project_id", "er_id")
MOVED_SHOWN_MAX = 10
"""Routers that are named where a plan does not hold any more."""


def describe(forecast: Forecast, night_s: float | None = None) -> dict[str, Any]:
    """A forecast as JSON: what `plan --output json` prints, and the head of a plan file."""
    return {
        "inventory": {"name": forecast.inventory_name, "sha256": forecast.inventory_sha256},
        "fingerprint": forecast.fingerprint,
        "target": forecast.target,
        "endpoints": described_endpoints(forecast.sites),
        "made_at": utc_text(forecast.made_at),
        "fix_drift": forecast.fix_drift,
        "rows": {str(prospect): count for prospect, count in forecast.rows.items()},
        "calls": {"total": sum(forecast.calls.values()), "by_kind": forecast.calls},
        "survey_calls": {"total": sum(forecast.survey_calls.values()), "by_kind": dict(forecast.survey_calls)},
        "time_s": round(forecast.time_s, 1),
        "nights": None if night_s is None else nights_of(forecast.time_s, night_s),
        "lanes": [_lane(lane) for lane in forecast.lanes],
        "findings": [
            {
                "prospect": str(finding.prospect),
                "code": finding.code or None,
                "count": finding.count,
                "example": {"line": finding.line, "message": finding.message or None},
            }
            for finding in forecast.findings
        ],
        "warnings": list(forecast.warnings),
        "scopes": [_scope(scope) for scope in forecast.scopes],
    }


def _lane(lane: LaneForecast) -> dict[str, Any]:
    quota: dict[str, Any] | None = None
    if isinstance(lane.quota, Quota):
        quota = {"limit": lane.quota.limit, "used": lane.quota.used, "refused": lane.refused_by_quota}
    refused = lane.quota if isinstance(lane.quota, Refused) else None
    return {
        **_place(lane.lane),
        "calls": sum(lane.calls.values()),
        "to_create": lane.to_create,
        "rate": rate_text(lane.window),
        "learnt_at": None if lane.learnt_at is None else utc_text(lane.learnt_at),
        "quota": quota,
        "quota_refusal": None if refused is None else f"{refused.code}: {refused.message}",
    }


def _scope(scope: ScopeForecast) -> dict[str, Any]:
    return {
        **_place(scope.lane),
        "er_id": scope.scope or None,
        "flow_logs": scope.things,
        "rows": {str(prospect): count for prospect, count in scope.rows.items()},
        "digest": scope.digest,
    }


def _place(lane: LaneKey | None) -> dict[str, Any]:
    if lane is None:
        return {"account": None, "region": None, "project_id": None}
    return {"account": lane.account, "region": lane.region, "project_id": lane.project_id}


def whole(forecast: Forecast) -> None:
    """Raise where a forecast does not know of every row: stopped, access was refused, or a listing ended short."""
    if forecast.stop_code in SIGNALLED:
        raise InterruptedPlanError(forecast.stop_code)
    if forecast.stop_code:
        message = forecast.stop_message or forecast.stop_code
        raise AccessError(f"the plan is not whole: {message}", hint=forecast.stop_advice)
    unknown = forecast.rows[Prospect.UNKNOWN]
    if unknown:
        example = next(finding for finding in forecast.findings if finding.prospect is Prospect.UNKNOWN)
        why = f", as line {example.line}: {example.message}" if example.message else ""
        raise UnfinishedPlanError(
            f"the plan is not whole: what is there could not be read for {unknown:,} rows{why}", hint="run it again"
        )


async def write_reviewable(
    path: Path,
    forecast: Forecast,
    survey: Survey,
    ledger: Ledger,
    run_id: RunId,
    *,
    session: Session,
    night_s: float | None,
) -> None:
    """Write a whole forecast with each row that would be changed. Raises `ReportError`, and as `whole`."""
    whole(forecast)
    with write_plan(path, describe(forecast, night_s)) as file:
        async for change in planned_changes(ledger, run_id, session, survey):
            file.change(change)


async def planned_changes(
    ledger: Ledger, run_id: RunId, session: Session, survey: Survey
) -> AsyncIterator[dict[str, Any]]:
    """Each row that a run would change, in the inventory's order, as a plan's file has it."""
    judge = Judge(session, survey)
    async for record in records(ledger, run_id):
        prospect = judge.prospect(record, judge.scope_of(record))
        if prospect in CHANGES:
            yield _change(judge, record, prospect)


def _change(judge: Judge, record: RowRecord, prospect: Prospect) -> dict[str, Any]:
    operation = judge.operation
    identity = zip(operation.identity_columns, operation.identity_of(record.spec or ""), strict=True)
    change = {"row": record.row_no, "line": record.line, "change": str(prospect), **dict(identity)}
    return {**change, "differences": record.error_message} if prospect is Prospect.UPDATE else change


@dataclass(frozen=True, slots=True)
class Reviewed:
    """A plan that was reviewed: its file and its head."""

    path: Path
    head: Mapping[str, Any]

    @property
    def settings(self) -> Mapping[str, object]:
        """What a run's settings remember of it."""
        return {PLAN: self.head["seal"]}

    def applied_to(self, session: Session) -> Session:
        """The session with what the plan decides. Raises `ConfigError` where something else is asked for."""
        run, wanted = session.settings.run, bool(self.head["fix_drift"])
        if "fix_drift" in run.model_fields_set and run.fix_drift != wanted:
            raise ConfigError(
                f"the plan `{self.path}` was made {'with' if wanted else 'without'} `--fix-drift`", hint=self.again
            )
        update = {"run": run.model_copy(update={"fix_drift": wanted})}
        return replace(session, settings=session.settings.model_copy(update=update))

    def check_begun(self, run: RunRecord) -> None:
        """Raise `MovedError` if the unfinished run of the inventory was not made from this plan."""
        if run.settings.get(PLAN) != self.head["seal"]:
            raise MovedError(
                f"run `{run.run_id}` of this inventory is unfinished, and was not made from the plan `{self.path}`",
                hint=f"`batcher resume {run.run_id}` goes on with it; then {self.again}",
            )

    def check_endpoints(self, sites: Sequence[RunSite]) -> None:
        """Raise `MovedError` if rows would be done elsewhere than they were surveyed; nothing is asked there before."""
        then, now = _endpoints(self.head["endpoints"]), _endpoints(described_endpoints(sites))
        for (region, name), was in then.items():
            is_now = now.get((region, name))
            if was and is_now and was != is_now:
                raise MovedError(
                    f"the plan `{self.path}` was made for `{name}` of region `{region[:WORD_CHARS_MAX]}` at"
                    f" `{was[:ENDPOINT_CHARS_MAX]}`, and the settings lead to `{is_now}`; nothing was sent",
                    hint=f"name that endpoint; else {self.again}",
                )

    def check(self, forecast: Forecast) -> None:
        """Raise `MovedError` unless all that would be done now is what was reviewed; as `whole` before."""
        whole(forecast)
        moved = list(_moved(self.head, forecast))
        if moved:
            more = f"; and {len(moved) - MOVED_SHOWN_MAX:,} more" if len(moved) > MOVED_SHOWN_MAX else ""
            raise MovedError(
                f"the cloud has moved since the plan `{self.path}` was made:"
                f" {'; '.join(moved[:MOVED_SHOWN_MAX])}{more}; nothing was sent",
                hint=self.again,
            )

    @property
    def again(self) -> str:
        """What to do about a plan that does not hold."""
        return f"make it anew and review it: `batcher plan INVENTORY --out {self.path}`"


def _endpoints(items: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], str | None]:
    return {(item["region"], name): item[name] for item in items for name in SERVICES}


def _is_endpoints(items: object) -> bool:
    """Whether these are the endpoints of regions, as `described_endpoints` has them."""
    names = ("region", *SERVICES)
    return isinstance(items, list) and all(
        isinstance(item, dict)
        and set(item) == set(names)
        and all(isinstance(item[name], str) or (item[name] is None and name != "region") for name in names)
        for item in items
    )


def _misfit(head: Mapping[str, Any]) -> str:
    """The first member of a head that is not what a plan has there, as a run is held to it; empty if all are."""
    source, scopes = head.get("inventory"), head.get("scopes")
    fits = {
        "inventory": isinstance(source, dict) and isinstance(source.get("sha256"), str),
        "fingerprint": isinstance(head.get("fingerprint"), str),
        "target": isinstance(head.get("target"), str),
        "endpoints": _is_endpoints(head.get("endpoints")),
        "fix_drift": isinstance(head.get("fix_drift"), bool),
        "scopes": isinstance(scopes, list) and all(map(_is_scope, scopes)),
    }
    return next((name for name, is_fit in fits.items() if not is_fit), "")


def _is_scope(scope: object) -> bool:
    if not isinstance(scope, dict) or not isinstance(scope.get("digest"), str):
        return False
    rows, place = scope.get("rows"), [scope.get(name) for name in _KEY]
    counted = isinstance(rows, dict) and all(type(count) is int for count in rows.values())
    return counted and all(part is None or isinstance(part, str) for part in place)


def read_reviewed(path: Path, fingerprint: str, sha256: str, session: Session) -> Reviewed:
    """A plan file that is for this inventory and these settings. Raises `ConfigError`, `MovedError`."""
    head = read_plan(path)
    if misfit := _misfit(head):
        raise no_plan(path, f"its `{misfit}` is missing, or is not what stands in a plan")
    reviewed = Reviewed(path, head)
    if head["inventory"]["sha256"] != sha256:
        raise MovedError(f"the inventory is not the one of the plan `{path}`", hint=reviewed.again)
    if head["target"] != session.target:
        raise MovedError(f"the plan `{path}` was made for the {head['target'][:WORD_CHARS_MAX]}", hint=reviewed.again)
    if head["fingerprint"] != fingerprint:
        raise MovedError(
            f"the settings that shape rows are not those of the plan `{path}`",
            hint=f"defaults, `--map` and the like must be the same; else {reviewed.again}",
        )
    return reviewed


class Review:
    """The check of a recorded plan against the reviewed one, before anything is sent; `seen` is known after it."""

    def __init__(self, reviewed: Reviewed, ledger: Ledger, run: RunRecord, cloud: Cloud, session: Session) -> None:
        self.seen: Mapping[LaneKey, Seen] = {}
        """What the survey saw of each lane: the run need not list it again."""
        self._reviewed = reviewed
        self._ledger = ledger
        self._run = run
        self._cloud = cloud
        self._session = session

    async def hold(self) -> None:
        """Survey the run, which is still `planning`, and raise `MovedError` unless it is as reviewed."""
        ledger, run_id = self._ledger, self._run.run_id
        self._reviewed.check_endpoints(await ledger.sites(run_id))
        forecast, survey = await survey_run(ledger, self._run, self._cloud, self._session, Knowledge())
        self._reviewed.check(forecast)
        drifted = {(scope.lane, scope.scope) for scope in forecast.scopes if scope.rows[Prospect.UPDATE]}
        if drifted:  # listed again by the run, which puts right what it finds; what it does not find it leaves alone
            await ledger.plan_drifted(run_id)
        self.seen = {
            lane: Seen(
                listed={scope: things for scope, things in seen.listed.items() if (lane, scope) not in drifted},
                refused=seen.refused,
                limiter=seen.limiter,
            )
            for lane, seen in survey.lanes.items()
        }


def _moved(head: Mapping[str, Any], forecast: Forecast) -> Iterator[str]:
    """Each router of which something else would be done now, or was found, than was reviewed."""
    reviewed = {_key(scope): scope for scope in head["scopes"]}
    present = {_key(scope): scope for scope in map(_scope, forecast.scopes)}
    for key in {**reviewed, **present}:
        old, new = reviewed.get(key, {}), present.get(key, {})
        if old.get("digest") != new.get("digest"):
            then, now = _counts(old), _counts(new)
            what = f"then {then}, now {now}" if then != now else f"{now} as then, but of other rows or flow logs"
            yield f"router `{key[-1][:ROUTER_CHARS_MAX]}`: {what}" if key[-1] else f"rows without a router: {what}"


def _key(scope: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(scope.get(name) or "") for name in _KEY)


def _counts(scope: Mapping[str, Any]) -> str:
    rows = {name: count for name, count in dict(scope.get("rows", {})).items() if count}
    words = (f"{count:,} {name[:WORD_CHARS_MAX]}" for name, count in sorted(rows.items())[:COUNTS_SHOWN_MAX])
    return ", ".join(words) or "none"
