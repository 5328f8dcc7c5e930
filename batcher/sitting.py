"""One sitting of a run: what is open of a planned run is done, judged, recorded and reported."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

import anyio

from batcher.control.server import serve
from batcher.control.socket_file import socket_path
from batcher.engine.context import EnginePolicy
from batcher.engine.lane import run_lane
from batcher.engine.run import RunEngine, WorkLane
from batcher.engine.seen import Seen
from batcher.engine.steering import Steering
from batcher.engine.stop import FailureGuard, stop_at
from batcher.engine.undo import undo_lane
from batcher.errors import ReportError, leaf
from batcher.events import RunEnded, RunStarted, Warned
from batcher.from_settings import advice
from batcher.ledger.group_commit import GroupCommit
from batcher.ledger.lock import owner_name
from batcher.ledger_port import Ledger
from batcher.model import UNDO, LaneKey, Outcome, RowState, RunId
from batcher.policy.breaker import planning_stop_code
from batcher.policy.deadline import nights_left
from batcher.policy.following import KEPT_SHARE_MAX
from batcher.policy.threshold import FailureCount, tolerance_of
from batcher.policy.verdict import OwnCode, exit_code
from batcher.records import RunRecord
from batcher.report.publish import Publication, announce, publish
from batcher.report.summary import Origin
from batcher.wiring import Cloud, Session, engine_policy, flow_logs
from batcher.working import this_process

REPLACES_FAILED = "replaces_failed"
"""Among a run's settings: whether it deletes what the provider keeps in state `failed`, and creates it again."""
PLAN = "plan"
"""Among a run's settings: the seal of the plan that it was made from."""
SIGNALLED = frozenset({OwnCode.INTERRUPTED, OwnCode.TERMINATED, OwnCode.HUNG_UP})
"""The stop codes of a person's own wish."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a sitting of a run ended, and where its report is."""

    run: RunRecord
    exit_code: int
    continued: bool
    changes: tuple[int, int, int] | None
    """Against the last run of an inventory of this name: rows that are new, changed and gone."""
    publication: Publication
    advice: str = ""
    """What to do about what stopped the sitting, or empty."""


def new_engine(
    ledger: Ledger,
    run_id: RunId,
    cloud: Cloud,
    session: Session,
    *,
    policy: EnginePolicy,
    work_lane: WorkLane,
    tolerance: FailureGuard | None = None,
    known: Mapping[LaneKey, Seen] | None = None,
) -> RunEngine:
    """An engine over the run's lanes; `known` is what a survey has just seen of each."""
    return RunEngine(
        ledger=ledger,
        operation=flow_logs(cloud, session),
        run_id=run_id,
        policy=policy,
        commit=GroupCommit(ledger, run_id, session.sink),
        sink=session.sink,
        clock=session.clock,
        stop=session.stop,
        owner=owner_name(),
        seed=session.chance().getrandbits(32),
        work_lane=work_lane,
        tolerance=tolerance,
        known=known,
    )


async def work(
    ledger: Ledger,
    run_id: RunId,
    cloud: Cloud,
    session: Session,
    *,
    continued: bool = False,
    changes: tuple[int, int, int] | None = None,
    known: Mapping[LaneKey, Seen] | None = None,
    force: bool = False,
) -> RunResult:
    """Do what is open of a planned run, record how that ended, and write its report.

    `known` is what a survey has just seen of the run's lanes; `force` is for a run that takes another one back.
    Raises `ConfigError` before anything is sent, and what the ledger raises.
    """
    clock = session.clock
    run = await ledger.run(run_id)
    lanes = await ledger.lanes(run_id)
    await cloud.check(key for _, key, _ in lanes)
    for warning in (*cloud.keyring.warnings, *filter(None, [session.deadline_note])):
        session.sink.emit(Warned(warning, ""))
    open_rows = sum(rows for _, _, rows in lanes)
    accepted = run.counts.get((RowState.ACCEPTED, ""), 0)
    rate = session.settings.run.rate
    by_lane = tuple((lane, rows) for _, lane, rows in lanes)
    session.sink.emit(RunStarted(run_id, sum(run.counts.values()), open_rows, continued, rate, accepted, by_lane))
    began, calls_before = clock.steady(), sum(run.calls.values())
    policy = replace(engine_policy(session), reviewed=PLAN in run.settings, replaces_failed=replaces_failed(run))
    if known is not None:  # the survey has made the checks
        policy = replace(policy, preflight=False)
    run = await _begin_sitting(ledger, run, session)
    guard = _failure_guard(run, session)
    engine = new_engine(
        ledger,
        run_id,
        cloud,
        session,
        policy=policy,
        work_lane=_lane_work(run, force=force),
        tolerance=guard,
        known=known,
    )
    await _work_in_time(engine, run, ledger, session)
    run = await ledger.run(run_id)
    stop_code, stop_message, stop_advice = what_stopped(session, engine, None if continued else cloud)
    duration_s = max(clock.steady() - began, 0.001)
    if stop_code in (OwnCode.DEADLINE, OwnCode.DRAINED):
        silent = sum(each.rows for each in await ledger.endings(run_id) if each.state is RowState.PLANNED and each.code)
        stop_message = _left_text(session, open_rows, _open_rows(run), silent, duration_s)
        stop_advice = ""  # a time that is over is no trouble; the causes of what is left have theirs
    elif stop_code == OwnCode.TOO_MANY_FAILURES:
        stop_message = f"{guard.count.failed:,} of {guard.count.decided:,} rows failed"
        stop_advice = "look at `failed.csv` before going on; `batcher resume --max-failures 100%` goes on all the same"
    code = exit_code(run.counts, stop_code)
    rates = {
        "asked": session.settings.run.rate,
        "learnt": dict(engine.learnt),
        "achieved_per_s": round((sum(run.calls.values()) - calls_before) / duration_s, 3),
    }
    await ledger.end_sitting(
        run_id, ended_at=clock.now(), stop_code=stop_code, stop_message=stop_message, exit_code=code, rates=rates
    )
    run = await ledger.run(run_id)
    publication = await publish_run(ledger, run, session)
    session.sink.emit(RunEnded(run_id, code))
    return RunResult(run, code, continued, changes, publication, stop_advice)


async def _begin_sitting(ledger: Ledger, run: RunRecord, session: Session) -> RunRecord:
    """Record who works the run from now on, and show in its report's folder that it is at work.

    A report that cannot be written is said, and stops no work: the end of the run says so again.
    """
    await ledger.begin_sitting(run.run_id, this_process(session.command, session.environment))
    run = await ledger.run(run.run_id)
    try:
        for lack, hint in (await announce(run, session.reports, await origin_of(ledger, run))).items():
            session.sink.emit(Warned(lack, hint))
    except ReportError as error:
        session.sink.emit(Warned(f"{error}; the work goes on", error.hint or ""))
    return run


async def _work_in_time(engine: RunEngine, run: RunRecord, ledger: Ledger, session: Session) -> None:
    """Let the engine work, until the deadline if there is one; meanwhile it can be asked and changed."""
    clock, sink = session.clock, session.sink
    steering = Steering(
        engine, run, ledger=ledger, stop=session.stop, sink=sink, clock=clock, deadline=session.deadline
    )

    def warn(message: str, hint: str) -> None:
        sink.emit(Warned(message, hint))

    try:
        async with anyio.create_task_group() as tasks:
            if session.deadline is not None:
                kept_s_max = KEPT_SHARE_MAX * (session.deadline - session.began_at)
                kept_s = partial(_kept_s, engine, kept_s_max)
                tasks.start_soon(stop_at, session.stop, session.deadline, clock.now, kept_s)
            tasks.start_soon(serve, socket_path(session.ledger_path), steering.obey, warn)
            await engine.work()
            tasks.cancel_scope.cancel()
    except BaseException as error:
        raise leaf(error) from error


def _kept_s(engine: RunEngine, kept_s_max: float) -> float:
    """How long before the deadline sending ends, so that what was sent can be looked at once more."""
    return min(engine.closing_s(), kept_s_max)


def _failure_guard(run: RunRecord, session: Session) -> FailureGuard:
    """What ends the run when too many rows have failed; those of earlier sittings count, and may end it at once."""
    rows, count = sum(run.counts.values()), FailureCount()
    for (_, outcome), number in run.counts.items():
        if outcome:
            count.note(Outcome(outcome), "", number)
    guard = FailureGuard(tolerance_of(session.settings.run.max_failures, rows), session.stop, count)
    guard.check()
    return guard


def _open_rows(run: RunRecord) -> int:
    return sum(number for (state, _), number in run.counts.items() if state != RowState.SETTLED)


def _left_text(session: Session, before: int, left: int, silent: int, worked_s: float) -> str:
    """How much a sitting that was ended has left, and for how many more where they end at a time.

    For `silent` rows, whose lanes had trouble of their own, nothing is foretold.
    """
    night_s = (session.deadline or 0.0) - session.began_at
    nights = nights_left(left - silent, before - left, worked_s, night_s)
    if not left:
        return "no row is left"
    text = f"{left:,} rows are left"
    if silent:
        text += f", {silent:,} of them where the provider does not answer or refuses"
    if not nights:
        return text
    sittings = f"{nights:,} more such sitting{'s' if nights > 1 else ''} at this pace"
    return f"{text}; {sittings}{' for the rest' if silent else ''}"


def replaces_failed(run: RunRecord) -> bool:
    """Whether a run deletes what the provider keeps in state `failed`, and creates it again."""
    return run.settings.get(REPLACES_FAILED) is True


def _lane_work(run: RunRecord, *, force: bool) -> WorkLane:
    """What is done with each lane of a run, by what the run is for."""
    if run.operation != UNDO:
        return run_lane
    asked = run.settings[UNDO]
    options = asked if isinstance(asked, Mapping) else {}
    return partial(undo_lane, force=force or bool(options.get("force")))


def what_stopped(session: Session, engine: RunEngine, planned: Cloud | None) -> tuple[str, str, str]:
    """Code, message and advice of what ended the sitting early, all empty where nothing did.

    First of who asked for it, then of a lane, then of a look-up that left rows unplanned in this sitting (`planned`).
    """
    if session.stop.code in SIGNALLED:
        return session.stop.code, "", ""
    code = session.stop.code or engine.stop_code
    if code or planned is None or not planned.projects.refusals:
        return code, engine.stop_message, engine.stop_advice
    (account, region), refused = next(iter(planned.projects.refusals.items()))
    return planning_stop_code(refused), planned.projects.refusal_of(account, region), refused.advice


async def origin_of(ledger: Ledger, run: RunRecord) -> Origin:
    """What the ledger knows of a run besides its record."""
    parent_rows = None if run.parent is None else sum((await ledger.run(run.parent)).counts.values())
    return Origin(await ledger.identity(), await ledger.sites(run.run_id), parent_rows)


async def publish_run(
    ledger: Ledger, run: RunRecord, session: Session, *, works: bool = False, leads: bool = True
) -> Publication:
    """Draw the reports of a run from the ledger, in the formats that the settings name.

    `works`: a process is at the run now. `leads`: `latest` is to lead there.
    """
    return await publish(
        ledger,
        flow_logs(None, session),
        run,
        session.reports,
        session.settings.report.formats,
        advise=advice(session.settings),
        origin=await origin_of(ledger, run),
        works=works,
        leads=leads,
    )
