"""The commands that only read a ledger, also beside a run that is at work in it."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager

from batcher.choice import choose, named_run
from batcher.from_settings import advice
from batcher.ledger.lock import holder_of
from batcher.ledger.open import open_ledger
from batcher.ledger_port import Ledger
from batcher.model import Outcome, RowState, RunId, RunState
from batcher.policy.selection import Selection
from batcher.policy.verdict import DONE
from batcher.records import RunRecord, RunSite
from batcher.report.causes import Cause, causes_of
from batcher.report.publish import Publication
from batcher.report.rows import ReportRow, RowProjection
from batcher.report.summary import described_endpoints
from batcher.sitting import publish_run
from batcher.standing import Stand, stand_of, working_run
from batcher.wiring import Session, flow_logs

TakeRows = Callable[[RunRecord, RowProjection, Sequence[ReportRow]], None]
PICKED_ROWS = 2_000
"""Rows that are read at a time."""


async def write_report(run_id: str | None, session: Session) -> Publication:
    """Draw a run's reports again from the ledger; works beside a run that is going on."""
    async with _readable(session) as ledger:
        run = await choose(ledger, run_id, lambda run: run.state is not RunState.PLANNING, "run")
        leads = run.run_id == (await ledger.runs())[0].run_id
        return await publish_run(ledger, run, session, works=await _works(ledger, run, session), leads=leads)


async def list_runs(session: Session) -> list[RunRecord]:
    """Every run in the ledger, newest first; works beside a run that is going on."""
    async with _readable(session) as ledger:
        return await ledger.runs()


async def run_stands(session: Session) -> list[Stand]:
    """How every run in the ledger stands, newest first; works beside a run that is going on."""
    async with _readable(session) as ledger:
        runs = await ledger.runs()
        holder = holder_of(session.ledger_path)
        at_work = None if holder is None else working_run(runs, await ledger.owners(), holder.owner)
        now = session.clock.now()
        return [stand_of(run, runs, works=run is at_work, now=now) for run in runs]


async def run_causes(run_id: str, session: Session) -> list[Cause]:
    """Why rows of a run are not done, as `summary.json` has it; works beside a run that is going on."""
    async with _readable(session) as ledger:
        run = await ledger.run(RunId(run_id))
        works = await _works(ledger, run, session)
        return await causes_of(ledger, flow_logs(None, session), run, advice(session.settings), works=works)


async def pick_rows(run_id: str | None, session: Session, selection: Selection, take: TakeRows) -> None:
    """Give `take` a run's rows that are not done, or those of an outcome or a code, page by page in inventory order."""
    async with _readable(session) as ledger:
        run = await choose(ledger, run_id, lambda run: run.state is not RunState.PLANNING, "run")
        projection = RowProjection(flow_logs(None, session), run)
        without = () if selection.outcome else tuple(DONE)
        code, after = projection.columns.index("error_code"), -1
        while page := await ledger.records(run.run_id, after, PICKED_ROWS, without):
            after = page[-1].row_no
            rows = [projection.project(record) for record in page]
            take(
                run,
                projection,
                [
                    row
                    for row in rows
                    if selection.outcome in ("", row.outcome) and selection.code in ("", row.texts[code])
                ],
            )


async def _works(ledger: Ledger, run: RunRecord, session: Session) -> bool:
    """Whether a process is at a run now."""
    holder = holder_of(session.ledger_path)
    at_work = None if holder is None else working_run(await ledger.runs(), await ledger.owners(), holder.owner)
    return at_work is not None and at_work.run_id == run.run_id


async def made_by(run_id: str, session: Session) -> tuple[RunRecord, int, list[RunSite]]:
    """A run, how many flow logs it may have created at most, and where; works beside a run that is going on."""
    async with _readable(session) as ledger:
        run = named_run(await ledger.runs(), run_id)
        counts, sites = run.counts, await ledger.sites(run.run_id)
        made = (Outcome.CREATED, Outcome.IN_DOUBT, Outcome.FAILED)
        under_way = sum(counts.get((state, ""), 0) for state in (RowState.CLAIMED, RowState.ACCEPTED))
        return run, under_way + sum(counts.get((RowState.SETTLED, outcome), 0) for outcome in made), sites


async def run_endpoints(run_id: str, session: Session) -> list[dict[str, object]]:
    """Where a run is done, as `summary.json` has it; works beside a run that is going on."""
    async with open_ledger(str(session.ledger_path), read_only=True) as ledger:
        return described_endpoints(await ledger.sites(RunId(run_id)))


def _readable(session: Session) -> AbstractAsyncContextManager[Ledger]:
    return open_ledger(str(session.ledger_path), read_only=True, found=session.settings.finds_ledger)
