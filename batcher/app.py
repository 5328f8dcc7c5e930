"""The commands: what to plan, what to go on with, what to report.

Each public function is a whole command; the command line and a program that imports batcher call the same ones.
They raise `BatcherError` for what ends them before or instead of a report.
"""

import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from batcher.choice import (
    check_not_undone,
    choose,
    goes_on,
    has_retryable,
    is_unfinished,
    predecessor_of,
    superseded_by,
    undone_by,
)
from batcher.errors import ConfigError, RunNotFoundError
from batcher.events import Warned
from batcher.intake import (
    PROJECTS,
    check_gone,
    dropped_if_not_planned,
    fingerprint_of,
    new_run,
    opened_source,
    record_run,
)
from batcher.inventory.open import Inventory
from batcher.ledger.open import check_there
from batcher.ledger_port import Ledger
from batcher.model import UNDO, RunId, RunState
from batcher.ownership import check_folder, other_owner
from batcher.planning.record import settle_twins
from batcher.policy.selection import ALL, Selection, selection_of
from batcher.records import RunRecord
from batcher.report.folder import check_run_folder
from batcher.review import Review, Reviewed, read_reviewed
from batcher.sites import check_site, is_recalled, misplaced
from batcher.sitting import REPLACES_FAILED, RunResult, replaces_failed, work
from batcher.wiring import Cloud, Session, flow_logs, open_cloud, run_ledger

NOT_OF_AN_UNDO = ("verify", "max_failures", "until", "time")
"""What a run was asked to do says nothing of when its undo may stop: that is asked anew."""


async def run_inventory(path: str, session: Session, *, plan: Path | None = None) -> RunResult:
    """Make it so: plan, create, verify, report. Goes on with an unfinished run of the same inventory.

    `plan` is a file of `preview.plan_inventory`: exactly what was reviewed is done, or nothing; raises `MovedError`
    where inventory, settings or cloud are not what they were.
    """
    async with opened_source(path, session) as inventory, _held_ledger(session, makes=True) as ledger:
        fingerprint = fingerprint_of(inventory, session)
        reviewed = None if plan is None else read_reviewed(plan, fingerprint, inventory.sha256, session)
        session = session if reviewed is None else reviewed.applied_to(session)
        runs = await ledger.runs()
        unfit = []
        for begun in [run for run in runs if goes_on(run, runs) and run.fingerprint == fingerprint]:
            continuing = session.continuing(begun)
            async with open_cloud(continuing) as cloud:
                if why := await _unfitness(ledger, begun, cloud, continuing):
                    unfit.append((begun, why))
                    continue
                if reviewed is not None:
                    reviewed.check_begun(begun)
                if await is_recalled(ledger, begun, cloud, session):
                    told = f"run `{begun.run_id}` goes on at the endpoints that it was begun at"
                    session.sink.emit(Warned(told, "to do its rows elsewhere, name the endpoint"))
                return await _go_on(ledger, begun, cloud, continuing)
        for old, why in unfit:
            hint = f"that run stays unfinished: `batcher resume {old.run_id}` goes on with it, or says what it takes"
            session.sink.emit(Warned(f"{why}; the inventory is planned anew", hint))
        run = new_run(
            inventory.name,
            inventory.sha256,
            fingerprint,
            session,
            runs=runs,
            ledger_id=await ledger.identity(),
            extra=reviewed.settings if reviewed else None,
        )
        return await _begin(ledger, run, inventory, reviewed, session, runs=runs)


async def _begin(
    ledger: Ledger,
    run: RunRecord,
    inventory: Inventory,
    reviewed: Reviewed | None,
    session: Session,
    *,
    runs: Sequence[RunRecord],
) -> RunResult:
    """The first sitting of a new run; `runs` are those before it."""
    before = predecessor_of(run, runs)
    changes: tuple[int, int, int] | None = None
    async with open_cloud(session) as cloud:
        review = Review(reviewed, ledger, run, cloud, session) if reviewed else None

        async def look() -> None:
            nonlocal changes
            if before is not None and before.fingerprint != run.fingerprint:
                changes = await ledger.changes(before.run_id, run.run_id)
                await check_gone(ledger, run, before, changes[2], session)
            if review is not None:
                await review.hold()

        await record_run(ledger, run, inventory, cloud, session, review=look)
        seen = review.seen if review else None
        return await work(ledger, run.run_id, cloud, session, changes=changes, known=seen)


async def resume_run(run_id: str | None, session: Session, *, superseded: bool = False) -> RunResult:
    """Go on with an unfinished run, the newest without `run_id`; skipped rows are taken up again.

    Without `run_id` one that a later inventory of its name has superseded is gone on with only if `superseded`.
    """
    async with _held_ledger(session) as ledger:
        runs = await ledger.runs()
        left = [run for run in runs if is_unfinished(run) and not undone_by(run, runs)]
        fit = [run for run in left if superseded or superseded_by(run, runs) is None]
        if run_id is None and left and not fit:
            raise RunNotFoundError(
                f"run `{left[0].run_id}` is unfinished, and a later `{left[0].inventory_name}` has superseded it:"
                " what it still has to do may not be wished any more",
                hint=f"`batcher resume {left[0].run_id}` goes on with it all the same, and so does `--superseded`",
            )
        run = await choose(ledger, run_id, lambda run: any(run.run_id == each.run_id for each in fit), "unfinished run")
        check_not_undone(run, runs)
        session = session.continuing(run)
        async with open_cloud(session) as cloud:
            await check_site(ledger, run, cloud, session)
            return await _go_on(ledger, run, cloud, session)


async def undo_run(run_id: str, session: Session, *, force: bool = False, selection: Selection = ALL) -> RunResult:
    """Delete the flow logs that a run created, and only those; goes on with an undo of the same that was begun.

    `force`: also those that were changed since. `selection`: those of such rows alone. A run that is
    undone whole is not gone on with any more.
    """
    async with _held_ledger(session) as ledger:
        runs = await ledger.runs()
        parent = await choose(ledger, run_id, lambda _: False, "run")
        if parent.operation == UNDO:
            raise ConfigError(
                f"run `{run_id}` is an undo itself: what it deleted cannot be brought back",
                hint=f"`batcher undo {parent.parent}` goes on with it; `batcher run` makes flow logs anew",
            )
        undos = [run for run in runs if run.parent == parent.run_id and run.operation == UNDO]
        begun = [run for run in undos if is_unfinished(run)]
        begun = [run for run in begun if selection_of(run.settings) == selection]
        if begun:
            session = session.continuing(begun[0])
            async with open_cloud(session) as cloud:
                await check_site(ledger, begun[0], cloud, session)
                return await _go_on(ledger, begun[0], cloud, session, force=force)
        session = _undoing(session, parent)
        async with open_cloud(session) as cloud:
            await check_site(ledger, parent, cloud, session)
            run_id = await _record_undo(ledger, parent, cloud, session, runs=runs, force=force, selection=selection)
            return await work(ledger, run_id, cloud, session)


def _undoing(session: Session, parent: RunRecord) -> Session:
    """This session with the settings of the undone run, but for what was asked of that one alone."""
    given = session.settings.run
    session = session.continuing(parent)
    run = session.settings.run.model_copy(update={name: getattr(given, name) for name in NOT_OF_AN_UNDO})
    return replace(session, settings=session.settings.model_copy(update={"run": run}))


async def _record_undo(
    ledger: Ledger,
    parent: RunRecord,
    cloud: Cloud,
    session: Session,
    *,
    runs: list[RunRecord],
    force: bool,
    selection: Selection,
) -> RunId:
    """Plan to take a run back; whatever goes wrong, nothing of that stays, and the run can still be gone on with.

    Raises `RunNotFoundError` where nothing of it is selected.
    """
    run = new_run(
        parent.inventory_name,
        parent.inventory_sha256,
        hashlib.sha256(f"undo/{parent.run_id}".encode()).hexdigest(),
        session,
        runs=runs,
        ledger_id=await ledger.identity(),
        parent=parent.run_id,
        operation=UNDO,
        extra={UNDO: {"force": force}, **selection.recorded()},
    )
    await ledger.create_run(run)
    async with dropped_if_not_planned(ledger, run.run_id):
        if not await ledger.copy_made(run.run_id, parent.run_id, selection):
            of = "" if selection.is_all else f" of a row{selection.words}"
            raise RunNotFoundError(
                f"run `{parent.run_id}` has created no flow log{of}: there is nothing to take back",
                hint="`batcher report` says what became of its rows",
            )
        await ledger.index_keys(run.run_id)
        await cloud.check(key for _, key, _ in await ledger.lanes(run.run_id))
        await ledger.open_run(run.run_id, parent.columns, {})
    return run.run_id


async def retry_run(
    run_id: str | None, session: Session, *, selection: Selection = ALL, replace_failed: bool = False
) -> RunResult:
    """A new run of the rows that ended failed or in doubt; an unfinished one of the same run goes on.

    `selection`: of such rows alone. `replace_failed`: flow logs that the provider keeps in state `failed` are deleted,
    and created again once they are gone. Raises `ConfigError` where an unfinished retry was begun otherwise.
    """
    async with _held_ledger(session) as ledger:
        runs = await ledger.runs()
        retried = {
            run.parent
            for run in runs
            if run.state is RunState.FINISHED and run.operation != UNDO and selection_of(run.settings).is_all
        }
        parent = await choose(
            ledger,
            run_id,
            lambda run: (
                has_retryable(run) and run.run_id not in retried and run.operation != UNDO and not undone_by(run, runs)
            ),
            "run with rows that are `failed` or `in_doubt` and were not retried",
        )
        check_not_undone(parent, runs)
        if parent.operation == UNDO:
            raise ConfigError(
                f"run `{parent.run_id}` is an undo, and a retry would make what it could not delete",
                hint=f"`batcher undo {parent.parent}` tries that again",
            )
        begun = [run for run in runs if run.parent == parent.run_id and goes_on(run, runs)]
        if begun:
            asked = (selection, replace_failed)
            if asked != (selection_of(begun[0].settings), replaces_failed(begun[0])):
                raise ConfigError(
                    f"retry `{begun[0].run_id}` of this run is not finished, and was begun with other options",
                    hint=f"`batcher resume {begun[0].run_id}` finishes it",
                )
            session = session.continuing(begun[0])
            async with open_cloud(session) as cloud:
                await check_site(ledger, begun[0], cloud, session)
                return await _go_on(ledger, begun[0], cloud, session)
        session = session.continuing(parent)
        async with open_cloud(session) as cloud:
            await check_site(ledger, parent, cloud, session)
            extra = {**selection.recorded(), **({REPLACES_FAILED: True} if replace_failed else {})}
            run_id = await _record_retry(ledger, parent, session, runs=runs, selection=selection, extra=extra)
            return await work(ledger, run_id, cloud, session)


async def _record_retry(
    ledger: Ledger,
    parent: RunRecord,
    session: Session,
    *,
    runs: list[RunRecord],
    selection: Selection,
    extra: dict[str, object],
) -> RunId:
    """Plan the selected rows of a run again that failed or are in doubt. Raises `RunNotFoundError` if none are."""
    run = new_run(
        parent.inventory_name,
        parent.inventory_sha256,
        hashlib.sha256(f"retry/{parent.run_id}".encode()).hexdigest(),
        session,
        runs=runs,
        ledger_id=await ledger.identity(),
        parent=parent.run_id,
        extra=extra,
    )
    await ledger.create_run(run)
    async with dropped_if_not_planned(ledger, run.run_id):
        if await ledger.copy_rows(run.run_id, parent.run_id, selection) == 0:
            raise RunNotFoundError(f"run `{parent.run_id}` has no row that is `failed` or `in_doubt`{selection.words}")
        await settle_twins(ledger, flow_logs(None, session), run.run_id, session.clock)
        await ledger.open_run(run.run_id, parent.columns, {})
    return run.run_id


async def _go_on(ledger: Ledger, run: RunRecord, cloud: Cloud, session: Session, *, force: bool = False) -> RunResult:
    """Another sitting of an unfinished run; `session` has its settings where none are given now."""
    check_run_folder(session.reports, run.run_id, await ledger.identity())
    await ledger.reopen(run.run_id)
    return await work(ledger, run.run_id, cloud, session, continued=True, force=force)


async def _unfitness(ledger: Ledger, run: RunRecord, cloud: Cloud, session: Session) -> str:
    """Why an unfinished run of the inventory is not the one that is asked for, as a sentence; empty if it is.

    Its endpoints are not those of today's settings, or its tenant is not that of today's credentials; and the projects
    that no row named must be those that were planned, as far as they can be looked up now. Other keys may be another
    tenant's: a plan that was made under wrong ones would stay wrong for ever.
    """
    error = await misplaced(ledger, run, cloud, session)
    if error is not None:
        return str(error)
    planned = run.settings.get(PROJECTS)
    if not isinstance(planned, dict) or not planned:
        return ""
    await cloud.projects.find(_place(name) for name in planned)
    now = {name: cloud.projects.known(*_place(name)) for name in planned}
    if all(now[name] in ("", planned[name]) for name in planned):
        return ""
    return f"the projects of run `{run.run_id}` are not those of today's credentials"


def _place(name: str) -> tuple[str, str]:
    """Account and region, from how `RunRecord.settings` names them; neither holds a slash."""
    account, _, region = name.partition("/")
    return account, region


@asynccontextmanager
async def _held_ledger(session: Session, *, makes: bool = False) -> AsyncIterator[Ledger]:
    """The session's ledger, locked, in a folder that is not open to all, without plans that were not completed.

    Raises as `run_ledger`, `ConfigError`, and `RunNotFoundError` where there is none, unless it `makes` one.
    """
    if not makes:
        check_there(session.ledger_path)

    def tell(message: str, hint: str) -> None:
        session.sink.emit(Warned(message, hint))

    for folder in dict.fromkeys((session.ledger_path.parent, session.reports)):
        # A rehearsal calls nobody, whatever its ledger says.
        check_folder(folder, found=session.settings.finds_ledger and not session.emulator, tell=tell)
    if (owner := other_owner(session.ledger_path)) and not session.settings.finds_ledger:
        tell(f"the ledger `{session.ledger_path}` belongs to `{owner}`", "its runs say where calls and keys go")
    async with run_ledger(session) as ledger:
        for run in await ledger.runs():
            if run.state is RunState.PLANNING:
                await ledger.drop_run(run.run_id)
        yield ledger
