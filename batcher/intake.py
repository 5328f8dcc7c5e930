"""An inventory becomes a planned run: what it is called, what makes it the same as another, and its recording."""

import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime

import anyio

from batcher.cloud.credentials import DEFAULT_ACCOUNT
from batcher.engine.stop import Stop, stop_at
from batcher.errors import BatcherError, InventoryError, leaf
from batcher.inventory.open import Inventory
from batcher.ledger_port import Ledger
from batcher.model import Outcome, RowState, RunId, RunState
from batcher.operations.flow_log import FlowLogs
from batcher.planning.record import record_plan
from batcher.records import RunRecord
from batcher.wiring import Cloud, Session, default_values, flow_logs

PROJECTS = "projects"
"""Among a run's settings: the projects that its rows left open, by `account/region`."""

Review = Callable[[], Awaitable[None]]
"""What is done with a recorded plan before it is opened; what it raises undoes the plan."""


class InterruptedPlanError(BatcherError):
    """A stop was requested while the plan was being made; nothing was sent and nothing recorded."""

    def __init__(self, code: str) -> None:
        super().__init__("stopped while planning; nothing was sent", hint="run the same command again")
        self.code = code


def fingerprint_of(inventory: Inventory, session: Session) -> str:
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


def new_run(
    name: str,
    sha256: str,
    fingerprint: str,
    session: Session,
    *,
    runs: list[RunRecord],
    parent: RunId | None = None,
    operation: str = FlowLogs.name,
    extra: Mapping[str, object] | None = None,
) -> RunRecord:
    """A run that begins now, in state `planning`; its id is none of those of `runs`. `extra` goes to its settings."""
    now = session.clock.now()
    settings = {"target": session.target, **session.settings.model_dump(mode="json"), **(extra or {})}
    return RunRecord(
        run_id=_run_id(now, fingerprint or sha256, {run.run_id for run in runs}),
        parent=parent,
        state=RunState.PLANNING,
        operation=operation,
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


async def record_run(
    ledger: Ledger,
    run: RunRecord,
    inventory: Inventory,
    cloud: Cloud,
    session: Session,
    *,
    review: Review | None = None,
) -> None:
    """Record the plan and open the run; whatever goes wrong, or if a stop is requested, nothing of it stays."""
    await ledger.create_run(run)
    try:
        await check_default_account(inventory, cloud, session)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_cancel_on_stop, session.stop, tasks.cancel_scope)
            if session.deadline is not None:
                tasks.start_soon(stop_at, session.stop, session.deadline, session.clock.now)
            operation = flow_logs(cloud, session)
            await record_plan(ledger, operation, inventory, run.run_id, sink=session.sink, clock=session.clock)
            tasks.cancel_scope.cancel()
        _end_if_stopped(session)
        if session.settings.inventory.strict:
            await _refuse_invalid(ledger, run)
        if review is not None:
            await review()
            _end_if_stopped(session)
        projects = {"/".join(place): project_id for place, project_id in cloud.projects.found.items()}
        await ledger.open_run(run.run_id, inventory.columns, {PROJECTS: projects})
    except BaseException as error:  # noqa: BLE001  # whatever it was, it is raised again below
        with anyio.CancelScope(shield=True):
            await ledger.drop_run(run.run_id)
        raise leaf(error) from None


async def check_default_account(inventory: Inventory, cloud: Cloud, session: Session) -> None:
    """Without an account column every row is the default account's: it must have credentials, said at once."""
    names = {canonical for _, canonical in inventory.columns}
    if inventory.input_format == "csv" and "account" not in names:
        await cloud.keyring.of(session.settings.defaults.account or DEFAULT_ACCOUNT)


def _end_if_stopped(session: Session) -> None:
    if session.stop.is_requested:
        raise InterruptedPlanError(session.stop.code)


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
