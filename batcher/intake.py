"""An inventory becomes a planned run: what it is called, what makes it the same as another, and its recording."""

import asyncio
import hashlib
import json
import os
import stat
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from itertools import count
from pathlib import Path

import anyio

from batcher.cloud.credentials import DEFAULT_ACCOUNT
from batcher.engine.stop import Stop, stop_at
from batcher.errors import BatcherError, ConfigError, InventoryError, LedgerError, leaf
from batcher.inventory.open import STDIN, STDIN_NAME, Inventory
from batcher.ledger_port import Ledger
from batcher.model import Outcome, RowState, RunId, RunState
from batcher.operations.flow_log import FlowLogs
from batcher.planning.record import record_plan
from batcher.policy.threshold import too_many_gone
from batcher.records import RunRecord
from batcher.sites import SiteBook
from batcher.wiring import Cloud, Session, default_values, flow_logs, open_source

UNSHAPING = {"strict", "allow_empty", "max_gone"}
"""Settings of the inventory that say whether a run may begin, and nothing of its rows."""
PROJECTS = "projects"
"""Among a run's settings: the projects that its rows left open, by `account/region`."""

Review = Callable[[], Awaitable[None]]
"""What is done with a recorded plan before it is opened; what it raises undoes the plan."""


class InterruptedPlanError(BatcherError):
    """A stop was requested while the plan was being made; nothing was sent and nothing recorded."""

    def __init__(self, code: str) -> None:
        super().__init__("stopped while planning; nothing was sent", hint="run the same command again")
        self.code = code


@asynccontextmanager
async def opened_source(path: str, session: Session) -> AsyncIterator[Inventory]:
    """The inventory at `path` (`-`: standard input), not yet read; a stop is heard while a stream comes in.

    Raises `InventoryError`, and `InterruptedPlanError` where a stop was requested meanwhile.
    """
    with await _arrived(path, session) if _is_stream(path) else open_source(path, session) as inventory:
        yield inventory


def _is_stream(path: str) -> bool:
    """Whether it may take for ever to read."""
    try:
        return path == STDIN or not stat.S_ISREG(Path(path).stat().st_mode)
    except (OSError, ValueError):  # opening it says why
        return False


async def _arrived(path: str, session: Session) -> Inventory:
    """A stream's inventory, once all of it has come. Its thread is given up by a stop: nothing can end a reading."""
    loop = asyncio.get_running_loop()
    found: asyncio.Future[Inventory] = loop.create_future()

    def tell(inventory: Inventory | None, error: BaseException | None) -> None:
        if found.done():
            if inventory is not None:
                inventory.close()
        elif error is not None:
            found.set_exception(error)
        elif inventory is not None:
            found.set_result(inventory)

    def read() -> None:
        inventory, failure = None, None
        try:
            inventory = open_source(path, session)
        except BaseException as error:  # noqa: BLE001  # whatever it was, it is raised where the inventory is awaited
            failure = error
        with suppress(RuntimeError):  # the loop is gone, and with it whoever waited
            loop.call_soon_threadsafe(partial(tell, inventory, failure))

    threading.Thread(target=read, name="inventory", daemon=True).start()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_cancel_on_stop, session.stop, tasks.cancel_scope)
        await asyncio.wait({found})
        tasks.cancel_scope.cancel()
    if not found.done():
        found.cancel()
        _end_if_stopped(session)
    return found.result()


def fingerprint_of(inventory: Inventory, session: Session) -> str:
    """What makes two plans the same: the file's bytes and every setting that shapes rows.

    Where they are done belongs to it too, and stands with their lanes (`sites`): only the rows tell which regions.
    """
    settings = session.settings
    shaping = (
        inventory.sha256,
        FlowLogs.name,
        session.target,
        default_values(session),
        settings.defaults.name_template,
        settings.inventory.model_dump(exclude=UNSHAPING),
    )
    return hashlib.sha256(json.dumps(shaping, sort_keys=True).encode()).hexdigest()


def new_run(
    name: str,
    sha256: str,
    fingerprint: str,
    session: Session,
    *,
    runs: list[RunRecord],
    ledger_id: str = "",
    parent: RunId | None = None,
    operation: str = FlowLogs.name,
    extra: Mapping[str, object] | None = None,
) -> RunRecord:
    """A run that begins now, in state `planning`. `extra` goes to its settings.

    Its id is none of those of `runs`, and no folder of reports has its name: that would be another ledger's.
    """
    now = session.clock.now()
    taken = {run.run_id for run in runs}
    settings = {"target": session.target, **session.settings.model_dump(mode="json"), **(extra or {})}
    return RunRecord(
        run_id=next(
            name
            for name in _run_ids(now, f"{ledger_id}/{fingerprint or sha256}")
            if name not in taken and not os.path.lexists(session.reports / name)
        ),
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


def _run_ids(now: float, content: str) -> Iterator[RunId]:
    """Time and content, never chance: `20261123-021500-3fa9c15d`, then with `-2` and so on within one second.

    Eight digits: a hundred ledgers that begin at the same second every night for ten years meet once in two hundred
    such folders; then the next name is taken.
    """
    digest = hashlib.sha256(content.encode()).hexdigest()[:8]
    base = f"{datetime.fromtimestamp(now, UTC):%Y%m%d-%H%M%S}-{digest}"
    yield RunId(base)
    for n in count(2):
        yield RunId(f"{base}-{n}")


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
            rows = await record_plan(
                ledger,
                operation,
                inventory,
                run.run_id,
                sink=session.sink,
                clock=session.clock,
                sites_of=SiteBook(cloud, session).of,
            )
            check_rows(inventory, rows, session)
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
        await _drop(ledger, run.run_id)
        raise leaf(error) from None


@asynccontextmanager
async def dropped_if_not_planned(ledger: Ledger, run_id: RunId) -> AsyncIterator[None]:
    """Whatever goes wrong while a run is planned, cancelling too, nothing of it stays, and it is raised again."""
    try:
        yield
    except BaseException:  # whatever it was
        await _drop(ledger, run_id)
        raise


async def _drop(ledger: Ledger, run_id: RunId) -> None:
    """Drop a run that is not planned; where the disk has no room even for that, the next command does it."""
    with anyio.CancelScope(shield=True), suppress(LedgerError):  # what went wrong first is the cause
        await ledger.drop_run(run_id)


def check_rows(inventory: Inventory, rows: int, session: Session) -> None:
    """Raise `InventoryError` for an inventory without a row, unless it may be: an export that failed is no success."""
    if not rows and not session.settings.inventory.allow_empty:
        raise InventoryError(
            f"`{inventory.name}` has no row; nothing was sent",
            hint="see whether what wrote it has failed; `--allow-empty` where it may have none",
        )


async def check_gone(ledger: Ledger, run: RunRecord, before: RunRecord, gone: int, session: Session) -> None:
    """Raise `ConfigError` where too many rows of the last run of that name are gone; standard input has no name.

    `gone` rows have a key there that `ledger` has not in `run`. An invalid row has no key: it may be any of them.
    """
    gone = max(0, gone - await _invalid_rows(ledger, run))
    unkeyed = (Outcome.INVALID, Outcome.DUPLICATE)
    known = sum(rows for (_, outcome), rows in before.counts.items() if outcome not in unkeyed)
    if run.inventory_name == STDIN_NAME or not too_many_gone(known, gone, session.settings.inventory.max_gone):
        return
    raise ConfigError(
        f"`{run.inventory_name}` lacks {gone:,} of the {known:,} rows that run `{before.run_id}` had; nothing was sent",
        hint=f"see whether what wrote it broke off; if they are meant to be gone, `--max-gone {gone}` goes on",
    )


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


async def _invalid_rows(ledger: Ledger, run: RunRecord) -> int:
    return (await ledger.run(run.run_id)).counts.get((RowState.SETTLED, Outcome.INVALID), 0)


async def _refuse_invalid(ledger: Ledger, run: RunRecord) -> None:
    if invalid := await _invalid_rows(ledger, run):
        raise InventoryError(
            f"`{run.inventory_name}` has {invalid} invalid rows, and `--strict` was asked for; nothing was sent",
            hint="`batcher validate` names each of them",
        )
