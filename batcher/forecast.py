"""What a run would do and what it would cost: drawn from a recorded plan that was surveyed.

The survey is the engine's own (`engine.survey`), so a forecast cannot disagree with the run that follows but by what
happens in between. `digest` of a scope stands for what was decided on each of its rows, and why: a plan that was
reviewed is the present one if all digests are equal.
"""

import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from batcher.engine.look_up import LOOK_UP_ROWS_MAX
from batcher.engine.reconcile import is_blind, pays
from batcher.engine.survey import LaneSurvey, Survey
from batcher.errors import leaf
from batcher.events import CallMade, Event, Warned
from batcher.ledger_port import Ledger
from batcher.model import CallClass, LaneKey, Limit, Quota, Refused, RowState, RunId, Window
from batcher.operations.flow_log import FlowLogs
from batcher.operations.surroundings import PAGE_LIMIT
from batcher.policy.breaker import skip_code
from batcher.policy.pace import stricter
from batcher.policy.prospect import (
    CHANGES,
    LaneCost,
    Prospect,
    duration_s,
    finding_calls,
    pages_of,
    prospect_of,
    refused_by_quota,
)
from batcher.policy.rate_search import RateSearch
from batcher.policy.verdict import CHECKED, OwnCode
from batcher.records import RowRecord, RunRecord, RunSite, ScopeLoad
from batcher.sitting import new_engine, what_stopped
from batcher.telemetry.sinks import Tee
from batcher.wiring import Cloud, Session, asked_window, engine_policy, flow_logs

RECORDS_AT_ONCE = 2_000
FINDINGS_MAX = 1_000
"""Kinds of finding that are told apart; there are some thirty codes of ours and some fifty of the provider's."""
WARNINGS_MAX = 100
CHECKS = ("attachments", "log_groups", "log_streams")
"""The kinds of call that a preflight check makes."""
_QUIET = frozenset({Prospect.CREATE, Prospect.EXISTS})
"""Prospects of which nothing needs to be said row by row."""
_THERE = frozenset({Prospect.EXISTS, Prospect.PENDING, Prospect.UPDATE, Prospect.DRIFTED})
"""Prospects whose thing is there."""


@dataclass(slots=True)
class ScopeForecast:
    """One router's share: its rows by prospect, and how many flow logs it has (None: not known).

    `to_amend`: of those to create, how many need another call before they are as wished. `there` rows have a
    flow log already. `without_ground`: whether the checks found rows that cannot be made.
    """

    lane: LaneKey | None
    scope: str
    things: int | None
    rows: Counter[Prospect] = field(default_factory=Counter)
    to_amend: int = 0
    digest: str = ""
    there: int = 0
    without_ground: bool = False


@dataclass(slots=True)
class Finding:
    """Rows of one prospect and code that an operator should know of, with an example."""

    prospect: Prospect
    code: str
    line: int
    message: str
    count: int = 0


@dataclass(frozen=True, slots=True)
class LaneForecast:
    """One lane's share: calls that a run makes at least, the limit they are made under, and the quota.

    `learnt_at` is when the provider named the limit; None: it is the one that was asked for.
    """

    lane: LaneKey
    calls: Mapping[str, int]
    window: Window
    learnt_at: float | None
    quota: Quota | Refused | None
    to_create: int

    @property
    def to_send(self) -> int:
        """Rows that are created or put right, at least."""
        return max(self.calls.get(kind, 0) for kind in ("create", "update", "amend"))

    @property
    def refused_by_quota(self) -> int:
        """How many creates the quota leaves no room for, as far as it is known."""
        return refused_by_quota(*self.quota, self.to_create) if isinstance(self.quota, Quota) else 0


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a run of an inventory would do now. `calls` and `time_s` are at least so many; `made_at` is wall clock.

    `survey_calls` are those that the forecast itself has cost. `stop_code` tells that access was refused on the way.
    """

    inventory_name: str
    inventory_sha256: str
    fingerprint: str
    target: str
    made_at: float
    fix_drift: bool
    scopes: Sequence[ScopeForecast]
    lanes: Sequence[LaneForecast]
    time_s: float
    findings: Sequence[Finding]
    warnings: Sequence[str]
    survey_calls: Mapping[str, int]
    sites: Sequence[RunSite]
    stop_code: str
    stop_message: str
    stop_advice: str

    @property
    def rows(self) -> dict[Prospect, int]:
        """Rows by prospect, those without rows too."""
        counts = Counter[Prospect]()
        for scope in self.scopes:
            counts.update(scope.rows)
        return {prospect: counts[prospect] for prospect in Prospect}

    @property
    def calls(self) -> dict[str, int]:
        """The calls of a run by kind, at least."""
        counts = Counter[str]()
        for lane in self.lanes:
            counts.update(lane.calls)
        return dict(counts)


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What the ledger knows of before: whether anything, and the limits that were learnt, with their time, by lane."""

    has_history: bool = False
    limits: Sequence[Limit] = ()


async def knowledge_of(ledger: Ledger) -> Knowledge:
    """What a ledger knows."""
    return Knowledge(await ledger.has_history(), await ledger.limits())


class _Notes:
    """Keeps of what the engine tells what a forecast needs."""

    def __init__(self, *, preflight: bool) -> None:
        self.warnings: list[str] = []
        self.calls: Counter[str] = Counter()
        self.checks: dict[LaneKey, Counter[str]] = {}
        """The calls of the checks, where a run makes them too; of a hundred thousand lanes they are 80 MB."""
        self._preflight = preflight

    def emit(self, event: Event) -> None:
        """Take one event."""
        if isinstance(event, CallMade):
            self.calls[event.kind] += 1
            if self._preflight and event.kind in CHECKS:
                self.checks.setdefault(event.lane, Counter())[event.kind] += 1
        elif isinstance(event, Warned) and len(self.warnings) < WARNINGS_MAX:
            self.warnings.append(event.message)


async def survey_run(
    ledger: Ledger, run: RunRecord, cloud: Cloud, session: Session, knowledge: Knowledge
) -> tuple[Forecast, Survey]:
    """Survey a recorded plan, whose run may still be `planning`, and forecast it.

    What is there already is settled in the ledger; nothing is changed at the provider.
    """
    await cloud.check(key for _, key, _ in await ledger.lanes(run.run_id))
    await ledger.write(run.run_id, [], {}, knowledge.limits)  # the survey keeps them, too
    notes, survey = _Notes(preflight=session.settings.run.preflight), Survey()
    policy = replace(engine_policy(session), reconcile="always", fix_drift=False, preflight=not session.emulator)
    looking = replace(session, sink=Tee([session.sink, notes]))
    engine = new_engine(ledger, run.run_id, cloud, looking, policy=policy, work_lane=survey.look)
    try:
        await engine.work()
    except BaseException as error:
        raise leaf(error) from error
    tally = _Tally(session, survey)
    async for record in records(ledger, run.run_id):
        tally.add(record)
    lanes = [_lane_forecast(lane, tally, notes, session, knowledge) for lane in tally.lanes()]
    if session.emulator:
        notes.warnings.append("a rehearsal takes any attachment, log group and stream: they were not checked")
    stop_code, stop_message, stop_advice = what_stopped(session, engine, cloud)
    forecast = Forecast(
        inventory_name=run.inventory_name,
        inventory_sha256=run.inventory_sha256,
        fingerprint=run.fingerprint,
        target=session.target,
        made_at=session.clock.now(),
        fix_drift=session.settings.run.fix_drift,
        scopes=tally.finished(),
        lanes=lanes,
        time_s=duration_s(
            (LaneCost(sum(lane.calls.values()), lane.window, policy.rows_of(lane.to_send)) for lane in lanes),
            lanes_max=policy.lanes_max,
            rows_max=policy.rows_max,
        ),
        findings=tally.findings(),
        warnings=notes.warnings,
        survey_calls=dict(notes.calls),
        sites=await ledger.sites(run.run_id),
        stop_code=stop_code,
        stop_message=stop_message,
        stop_advice=stop_advice,
    )
    return forecast, survey


async def records(ledger: Ledger, run_id: RunId) -> AsyncIterator[RowRecord]:
    """Every row of a run, in inventory order."""
    after = 0
    while page := await ledger.records(run_id, after, RECORDS_AT_ONCE):
        for record in page:
            yield record
        after = page[-1].row_no


class Judge:
    """The prospect of each row of a surveyed run."""

    def __init__(self, session: Session, survey: Survey) -> None:
        self.operation = flow_logs(None, session)
        self._survey = survey
        self._fix_drift = session.settings.run.fix_drift

    def scope_of(self, record: RowRecord) -> str:
        """The router of a row; empty for a row without a wish."""
        return "" if record.spec is None else self.operation.identity_of(record.spec)[SCOPE_AT]

    def lane_survey(self, record: RowRecord) -> LaneSurvey | None:
        """What was seen of a row's lane."""
        return None if record.lane is None else self._survey.lanes.get(record.lane)

    def prospect(self, record: RowRecord, scope: str) -> Prospect:
        """What a run would make of a row."""
        seen = self.lane_survey(record)
        return prospect_of(
            record.state,
            record.outcome,
            record.error_code,
            record.remote_state,
            is_listed=seen is not None and scope in seen.listed,
            is_refused=seen is not None and scope in seen.refused,
            fix_drift=self._fix_drift,
        )

    def cause(self, record: RowRecord, scope: str) -> tuple[str, str]:
        """Code and message of why a row is what it is, unless it is simply to be created."""
        seen = self.lane_survey(record)
        if record.state is RowState.SETTLED or seen is None:
            return record.error_code, record.error_message
        if record.state is RowState.ACCEPTED:
            return record.error_code, f"it is there, in state `{record.remote_state}`"
        if refused := seen.refused.get(scope):
            return skip_code(refused), f"{refused.code}: {refused.message}"
        stopped = f"{seen.stopped.code}: {seen.stopped.message}" if seen.stopped else ""
        return OwnCode.LISTING_INCOMPLETE, seen.unread.get(scope, stopped)


SCOPE_AT = FlowLogs.identity_columns.index("er_id")


class _Tally:
    """Counts the rows of a surveyed run as they pass by."""

    def __init__(self, session: Session, survey: Survey) -> None:
        self.judge = Judge(session, survey)
        self.survey = survey
        self._scopes: dict[tuple[LaneKey | None, str], ScopeForecast] = {}
        self._hashes: dict[tuple[LaneKey | None, str], hashlib.blake2b] = {}
        self._by_lane: dict[LaneKey, list[ScopeForecast]] = {}
        self._findings: dict[tuple[Prospect, str], Finding] = {}
        self.due: dict[LaneKey, Counter[str]] = {}
        """The calls that rows need, by lane and kind."""

    def add(self, record: RowRecord) -> None:
        """Count one row."""
        scope = self.judge.scope_of(record)
        prospect = self.judge.prospect(record, scope)
        place = record.lane, scope
        if place not in self._scopes:
            seen = self.judge.lane_survey(record)
            found = ScopeForecast(record.lane, scope, seen.listed.get(scope) if seen else None)
            self._scopes[place] = found
            if record.lane is not None:
                self._by_lane.setdefault(record.lane, []).append(found)
            self._hashes[place] = hashlib.blake2b(digest_size=16)
        self._scopes[place].rows[prospect] += 1
        self._scopes[place].there += prospect in _THERE or record.error_code == OwnCode.REMOTE_FAILED
        self._scopes[place].without_ground |= record.error_code in CHECKED
        # That what is there becomes final in between moves nothing.
        seen_as = Prospect.EXISTS if prospect is Prospect.PENDING else prospect
        code = "" if prospect is Prospect.PENDING else record.error_code
        known = f"{record.row_no} {seen_as} {record.remote_id or ''} {code} {record.error_message}\n"
        self._hashes[place].update(known.encode("utf-8", "surrogatepass"))
        if record.lane is not None and record.spec is not None:
            self._count_calls(self._scopes[place], record.lane, record.spec, record, prospect)
        if prospect not in _QUIET:
            self._find(prospect, record, *self.judge.cause(record, scope))

    def _count_calls(
        self, scope: ScopeForecast, lane: LaneKey, spec: str, record: RowRecord, prospect: Prospect
    ) -> None:
        due = self.due.setdefault(lane, Counter())
        if prospect not in CHANGES:
            return
        is_on = self.judge.operation.columns_of(spec)["enabled"] == "true"
        if prospect is Prospect.CREATE:
            due["create"] += 1
            due["amend"] += not is_on
            scope.to_amend += not is_on
        else:
            due["update"] += not record.error_message.startswith("enabled:")
            due["amend"] += record.remote_enabled is not None and record.remote_enabled != is_on

    def _find(self, prospect: Prospect, record: RowRecord, code: str, message: str) -> None:
        key = prospect, code
        if key not in self._findings and len(self._findings) < FINDINGS_MAX:
            self._findings[key] = Finding(prospect, code, record.line, message)
        if key in self._findings:
            self._findings[key].count += 1

    def lanes(self) -> Iterator[LaneKey]:
        """Every lane that has rows."""
        return iter(self.due)

    def scopes_of(self, lane: LaneKey) -> list[ScopeForecast]:
        """The scopes of one lane."""
        return self._by_lane.get(lane, [])

    def finished(self) -> list[ScopeForecast]:
        """Every scope with its digest, in the order of the inventory."""
        for place, scope in self._scopes.items():
            scope.digest = self._hashes[place].hexdigest()
        return list(self._scopes.values())

    def findings(self) -> list[Finding]:
        """What an operator should know of, most rows first."""
        return sorted(self._findings.values(), key=lambda finding: -finding.count)


def _lane_forecast(lane: LaneKey, tally: _Tally, notes: _Notes, session: Session, knowledge: Knowledge) -> LaneForecast:
    run, has_checks = session.settings.run, session.settings.run.preflight and not session.emulator
    calls = Counter({kind: count for kind, count in tally.due[lane].items() if count})
    for scope in tally.scopes_of(lane):
        rows = sum(scope.rows.values()) - scope.rows[Prospect.DUPLICATE] - scope.rows[Prospect.CONFLICT]
        things, new = scope.things or 0, scope.rows[Prospect.CREATE]
        followed = new + scope.rows[Prospect.PENDING]
        load = ScopeLoad(scope.scope, rows, 0, 0)
        if pays(load, run.reconcile, has_history=knowledge.has_history, has_checks=has_checks):
            calls["list"] += pages_of(things, PAGE_LIMIT)
        else:
            calls += finding_calls(
                there=scope.there,
                things=things,
                is_checked=has_checks and scope.without_ground,
                is_first=is_blind(load, run.reconcile),
                page_items_max=PAGE_LIMIT,
                look_up_items_max=LOOK_UP_ROWS_MAX,
            )
        if (run.verify and followed) or scope.to_amend:
            calls["list"] += pages_of(things + new, PAGE_LIMIT)
    if run.preflight:
        calls.update(notes.checks.get(lane, {}))
    asked = asked_window(session.settings)
    window, learnt_at = asked or RateSearch().window, None
    for limit in knowledge.limits:
        is_due = limit.lane == lane and limit.call_class is not CallClass.READ
        if is_due and (asked is None or stricter(window, limit.window) != window):
            window, learnt_at = limit.window, limit.learnt_at
    seen = tally.survey.lanes.get(lane)
    if seen is not None and stricter(window, seen.window) != window:
        window, learnt_at = seen.window, session.clock.now()
    return LaneForecast(lane, calls, window, learnt_at, seen.quota if seen else None, tally.due[lane]["create"])
