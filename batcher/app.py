"""The commands: what to plan, what to go on with, what to report.

Each public function is a whole command; the command line and a program that imports batcher call the same ones.
They raise `BatcherError` for what ends them before or instead of a report.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import anyio

from batcher.clock import SystemClock
from batcher.cloud.credentials import DEFAULT_ACCOUNT
from batcher.engine.stop import Stop
from batcher.errors import BatcherError, InventoryError, RunNotFoundError, leaf
from batcher.events import Warned
from batcher.inventory.open import Inventory
from batcher.ledger.open import open_ledger
from batcher.model import Outcome, RowState, RunId, RunRecord, RunState
from batcher.operations.flow_log import FlowLogs
from batcher.planning.record import record_plan, settle_twins
from batcher.ports import Ledger
from batcher.report.publish import Publication
from batcher.sitting import RunResult, publish_run, work
from batcher.wiring import (
    Cloud,
    Session,
    default_values,
    flow_logs,
    open_cloud,
    open_source,
    run_ledger,
)

PROJECTS = "projects"
"""Among a run's settings: the projects that its rows left open, by `account/region`."""


async def run_inventory(path: str, session: Session) -> RunResult:
    """Make it so: plan, create, verify, report. Goes on with an unfinished run of the same inventory."""
    with open_source(path, session) as inventory:
        async with run_ledger(session) as ledger:
            fingerprint = _fingerprint(inventory, session)
            runs = await ledger.runs()
            for run in runs:
                if run.state is RunState.PLANNING:
                    await ledger.drop_run(run.run_id)
            unfinished = [run for run in runs if run.state is RunState.OPEN and run.fingerprint == fingerprint]
            if unfinished:
                continuing = session.continuing(unfinished[0])
                async with open_cloud(continuing) as cloud:
                    if await _has_its_projects(unfinished[0], cloud, continuing):
                        return await _go_on(ledger, unfinished[0], cloud, continuing)
            run = _new_run(inventory.name, inventory.sha256, fingerprint, session, runs=runs)
            earlier = [r for r in runs if r.inventory_name == run.inventory_name and r.parent is None]
            async with open_cloud(session) as cloud:
                await _check_default_account(inventory, cloud, session)
                await _plan(ledger, run, inventory, cloud, session)
                changes = None
                if earlier and earlier[0].state is not RunState.PLANNING and earlier[0].fingerprint != fingerprint:
                    changes = await ledger.changes(earlier[0].run_id, run.run_id)
                return await work(ledger, run.run_id, cloud, session, changes=changes)


async def resume_run(run_id: str | None, session: Session) -> RunResult:
    """Go on with an unfinished run, the newest without `run_id`; skipped rows are taken up again."""
    async with run_ledger(session) as ledger:
        run = await _choose(ledger, run_id, _is_unfinished, "unfinished run")
        session = session.continuing(run)
        async with open_cloud(session) as cloud:
            return await _go_on(ledger, run, cloud, session)


async def retry_run(run_id: str | None, session: Session) -> RunResult:
    """A new run of the rows that ended failed or in doubt; an unfinished one of the same run goes on."""
    async with run_ledger(session) as ledger:
        runs = await ledger.runs()
        retried = {run.parent for run in runs if run.state is RunState.FINISHED}
        parent = await _choose(
            ledger,
            run_id,
            lambda run: _has_retryable(run) and run.run_id not in retried,
            "run with rows that are `failed` or `in_doubt` and were not retried",
        )
        begun = [run for run in runs if run.parent == parent.run_id and run.state is RunState.OPEN]
        if begun:
            session = session.continuing(begun[0])
            async with open_cloud(session) as cloud:
                return await _go_on(ledger, begun[0], cloud, session)
        session = session.continuing(parent)
        fingerprint = hashlib.sha256(f"retry/{parent.run_id}".encode()).hexdigest()
        run = _new_run(
            parent.inventory_name, parent.inventory_sha256, fingerprint, session, runs=runs, parent=parent.run_id
        )
        await ledger.create_run(run)
        if await ledger.copy_rows(run.run_id, parent.run_id) == 0:
            await ledger.drop_run(run.run_id)
            raise RunNotFoundError(f"run `{parent.run_id}` has no row that is `failed` or `in_doubt`")
        await settle_twins(ledger, flow_logs(None, session), run.run_id, SystemClock())
        await ledger.open_run(run.run_id, parent.columns, {})
        async with open_cloud(session) as cloud:
            return await work(ledger, run.run_id, cloud, session)


async def _go_on(ledger: Ledger, run: RunRecord, cloud: Cloud, session: Session) -> RunResult:
    """Another sitting of an unfinished run; `session` has its settings where none are given now."""
    await ledger.reopen(run.run_id)
    return await work(ledger, run.run_id, cloud, session, continued=True)


async def _has_its_projects(run: RunRecord, cloud: Cloud, session: Session) -> bool:
    """Whether the projects that no row named are those that were planned, as far as they can be looked up now.

    Other keys may be another tenant's: a plan that was made under wrong ones would stay wrong for ever.
    """
    planned = run.settings.get(PROJECTS)
    if not isinstance(planned, dict) or not planned:
        return True
    await cloud.projects.find(_place(name) for name in planned)
    now = {name: cloud.projects.known(*_place(name)) for name in planned}
    if all(now[name] in ("", planned[name]) for name in planned):
        return True
    message = f"the projects of run `{run.run_id}` are not those of today's credentials"
    session.sink.emit(Warned(f"{message}; the inventory is planned anew", f"`batcher status {run.run_id}` shows it"))
    return False


def _place(name: str) -> tuple[str, str]:
    """Account and region, from how `RunRecord.settings` names them; neither holds a slash."""
    account, _, region = name.partition("/")
    return account, region


async def _check_default_account(inventory: Inventory, cloud: Cloud, session: Session) -> None:
    """Without an account column every row is the default account's: it must have credentials, said at once."""
    names = {canonical for _, canonical in inventory.columns}
    if inventory.input_format == "csv" and "account" not in names:
        await cloud.keyring.of(session.settings.defaults.account or DEFAULT_ACCOUNT)


async def write_report(run_id: str | None, session: Session) -> Publication:
    """Draw a run's reports again from the ledger; works beside a run that is going on."""
    async with open_ledger(str(session.ledger_path), read_only=True) as ledger:
        run = await _choose(ledger, run_id, lambda run: run.state is not RunState.PLANNING, "run")
        return await publish_run(ledger, run, session)


async def list_runs(session: Session) -> list[RunRecord]:
    """Every run in the ledger, newest first; works beside a run that is going on."""
    async with open_ledger(str(session.ledger_path), read_only=True) as ledger:
        return await ledger.runs()


@dataclass(frozen=True, slots=True)
class Check:
    """What an offline check of an inventory found: rows by outcome (`valid`, `invalid`, `duplicate`)."""

    name: str
    counts: Mapping[str, int]


async def check_inventory(path: str, session: Session, tell: Callable[[int, str, str], None]) -> Check:
    """Hold every row to its rules, offline. `tell(line, outcome, message)` hears of each row that is not valid.

    The plan goes to a temporary ledger, so duplicates are found and memory stays flat.
    """
    async with anyio.TemporaryDirectory(prefix="batcher-") as folder, open_ledger(f"{folder}/check.db") as ledger:
        with open_source(path, session) as inventory:
            run = _new_run(inventory.name, inventory.sha256, "", session, runs=[])
            await ledger.create_run(run)
            operation = flow_logs(None, session)
            await record_plan(ledger, operation, inventory, run.run_id, sink=session.sink, clock=SystemClock())
        counts = {"valid": 0, str(Outcome.INVALID): 0, str(Outcome.DUPLICATE): 0}
        after = 0
        while page := await ledger.records(run.run_id, after, 2000):
            for row in page:
                outcome = str(row.outcome or "valid")
                counts[outcome] += 1
                if row.outcome is not None:
                    tell(row.line, outcome, row.error_message)
            after = page[-1].row_no
        return Check(inventory.name, counts)


def _fingerprint(inventory: Inventory, session: Session) -> str:
    """What makes two plans the same: the file's bytes and every setting that shapes rows."""
    settings = session.settings
    shaping = (
        inventory.sha256,
        FlowLogs.name,
        session.target,
        default_values(session),
        settings.defaults.name_template,
        settings.cloud.endpoint,
        settings.inventory.model_dump(exclude={"strict"}),
    )
    return hashlib.sha256(json.dumps(shaping, sort_keys=True).encode()).hexdigest()


def _new_run(
    name: str, sha256: str, fingerprint: str, session: Session, *, runs: list[RunRecord], parent: RunId | None = None
) -> RunRecord:
    clock = SystemClock()
    now = clock.now()
    settings: dict[str, Any] = {"target": session.target, **session.settings.model_dump(mode="json")}
    return RunRecord(
        run_id=_run_id(now, fingerprint or sha256, {run.run_id for run in runs}),
        parent=parent,
        state=RunState.PLANNING,
        operation=FlowLogs.name,
        inventory_name=name,
        inventory_sha256=sha256,
        fingerprint=fingerprint,
        columns=(),
        settings=settings,
        started_at=now,
        ended_at=None,
        stop_code="",
        stop_message="",
        exit_code=None,
        counts={},
        calls={},
        rates={},
    )


def _run_id(now: float, fingerprint: str, taken: set[RunId]) -> RunId:
    """Time and content, never chance: `20261123-021500-3fa9c1`, with `-2` and so on within one second."""
    base = f"{datetime.fromtimestamp(now, UTC):%Y%m%d-%H%M%S}-{fingerprint[:6]}"
    names = (RunId(base if n == 1 else f"{base}-{n}") for n in range(1, len(taken) + 2))
    return next(name for name in names if name not in taken)


async def _plan(ledger: Ledger, run: RunRecord, inventory: Inventory, cloud: Cloud, session: Session) -> None:
    """Record the plan; whatever goes wrong, or if a stop is requested, nothing of it stays."""
    await ledger.create_run(run)
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_cancel_on_stop, session.stop, tasks.cancel_scope)
            operation = flow_logs(cloud, session)
            await record_plan(ledger, operation, inventory, run.run_id, sink=session.sink, clock=SystemClock())
            tasks.cancel_scope.cancel()
        if session.stop.is_requested:
            raise InterruptedPlanError(session.stop.code)
        if session.settings.inventory.strict:
            await _refuse_invalid(ledger, run)
        projects = {"/".join(place): project_id for place, project_id in cloud.projects.found.items()}
        await ledger.open_run(run.run_id, inventory.columns, {PROJECTS: projects})
    except BaseException as error:  # noqa: BLE001  # whatever it was, it is raised again below
        with anyio.CancelScope(shield=True):
            await ledger.drop_run(run.run_id)
        raise leaf(error) from None


class InterruptedPlanError(BatcherError):
    """A stop was requested while the plan was being made; nothing was sent and nothing recorded."""

    def __init__(self, code: str) -> None:
        super().__init__("stopped while planning; nothing was sent", hint="run the same command again")
        self.code = code


async def _cancel_on_stop(stop: Stop, scope: anyio.CancelScope) -> None:
    await stop.wait()
    scope.cancel()


async def _refuse_invalid(ledger: Ledger, run: RunRecord) -> None:
    invalid = (await ledger.run(run.run_id)).counts.get((RowState.SETTLED, Outcome.INVALID), 0)
    if invalid:
        raise InventoryError(
            f"`{run.inventory_name}` has {invalid} invalid rows, and `--strict` was asked for; nothing was sent",
            hint="`batcher validate` names each of them",
        )


async def _choose(ledger: Ledger, run_id: str | None, fits: Callable[[RunRecord], bool], what: str) -> RunRecord:
    if run_id is not None:
        run = await ledger.run(RunId(run_id))
        if run.state is RunState.PLANNING:
            raise RunNotFoundError(
                f"run `{run_id}` has no whole plan, and nothing of it was sent", hint="run its inventory again"
            )
        return run
    for run in await ledger.runs():
        if fits(run):
            return run
    raise RunNotFoundError(f"the ledger holds no {what}", hint="`batcher status` lists the runs")


def _is_unfinished(run: RunRecord) -> bool:
    return run.state is RunState.OPEN or run.counts.get((RowState.SETTLED, Outcome.SKIPPED), 0) > 0


def _has_retryable(run: RunRecord) -> bool:
    return any(run.counts.get((RowState.SETTLED, outcome), 0) for outcome in (Outcome.FAILED, Outcome.IN_DOUBT))
