"""One sitting of a run: what is open of a planned run is done, judged, recorded and reported."""

import os
import random
import socket
from dataclasses import dataclass

from batcher.clock import SystemClock
from batcher.engine.run import RunEngine
from batcher.errors import leaf
from batcher.events import RunEnded, RunStarted, Warned
from batcher.ledger.group_commit import GroupCommit
from batcher.model import RunId, RunRecord
from batcher.policy.breaker import planning_stop_code
from batcher.policy.verdict import exit_code
from batcher.ports import Ledger
from batcher.report.publish import Publication, publish
from batcher.wiring import Cloud, Session, advice, engine_policy, flow_logs

_SIGNALLED = frozenset({"BATCHER.Interrupted", "BATCHER.Terminated"})


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


async def work(
    ledger: Ledger,
    run_id: RunId,
    cloud: Cloud,
    session: Session,
    *,
    continued: bool = False,
    changes: tuple[int, int, int] | None = None,
) -> RunResult:
    """Do what is open of a planned run, record how that ended, and write its report.

    Raises `ConfigError` before anything is sent, and what the ledger raises.
    """
    clock = SystemClock()
    run = await ledger.run(run_id)
    lanes = await ledger.lanes(run_id)
    await cloud.check(key for _, key, _ in lanes)
    for warning in cloud.keyring.warnings:
        session.sink.emit(Warned(warning, ""))
    open_rows = sum(rows for _, _, rows in lanes)
    session.sink.emit(RunStarted(run_id, sum(run.counts.values()), open_rows, continued, session.settings.run.rate))
    began, calls_before = clock.steady(), sum(run.calls.values())
    commit = GroupCommit(ledger, run_id, session.sink)
    engine = RunEngine(
        ledger=ledger,
        operation=flow_logs(cloud, session),
        run_id=run_id,
        policy=engine_policy(session.settings),
        commit=commit,
        sink=session.sink,
        clock=clock,
        stop=session.stop,
        owner=f"{socket.gethostname()}/{os.getpid()}",
        seed=random.SystemRandom().getrandbits(32),
    )
    try:
        await engine.work()
    except BaseException as error:
        raise leaf(error) from error
    run = await ledger.run(run_id)
    stop_code, stop_message, stop_advice = _what_stopped(session, engine, None if continued else cloud)
    code = exit_code(run.counts, stop_code)
    duration_s = max(clock.steady() - began, 0.001)
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


def _what_stopped(session: Session, engine: RunEngine, planned: Cloud | None) -> tuple[str, str, str]:
    """Code, message and advice of what ended the sitting early, all empty where nothing did.

    First of who asked for it, then of a lane, then of a look-up that left rows unplanned in this sitting (`planned`).
    """
    if session.stop.code in _SIGNALLED:
        return session.stop.code, "", ""
    code = session.stop.code or engine.stop_code
    if code or planned is None or not planned.projects.refusals:
        return code, engine.stop_message, engine.stop_advice
    (account, region), refused = next(iter(planned.projects.refusals.items()))
    return planning_stop_code(refused), planned.projects.refusal_of(account, region), refused.advice


async def publish_run(ledger: Ledger, run: RunRecord, session: Session) -> Publication:
    """Draw the reports of a run from the ledger, in the formats that the settings name."""
    formats = session.settings.report.formats
    return await publish(
        ledger, flow_logs(None, session), run, session.reports, formats, advise=advice(session.settings)
    )
