"""The commands that look at an inventory and change nothing: hold it to its rules, and foretell its run."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batcher.choice import goes_on, predecessor_of
from batcher.forecast import RECORDS_AT_ONCE, Forecast, Knowledge, knowledge_of, records, survey_run
from batcher.intake import check_gone, check_rows, fingerprint_of, new_run, opened_source, record_run
from batcher.ledger.open import open_ledger, temporary_ledger
from batcher.ledger_port import Ledger
from batcher.model import Outcome, RunId
from batcher.planning.record import record_plan
from batcher.records import RunRecord
from batcher.review import planned_changes, write_reviewable
from batcher.wiring import Session, flow_logs, open_cloud


@dataclass(frozen=True, slots=True)
class Check:
    """What an offline check of an inventory found: rows by outcome (`valid`, `invalid`, `duplicate`)."""

    name: str
    counts: Mapping[str, int]


async def check_inventory(path: str, session: Session, tell: Callable[[int, str, str], None]) -> Check:
    """Hold every row to its rules, offline. `tell(line, outcome, message)` hears of each row that is not valid.

    The plan goes to a temporary ledger, so duplicates are found and memory stays flat.
    """
    async with temporary_ledger() as ledger:
        async with opened_source(path, session) as inventory:
            run = new_run(inventory.name, inventory.sha256, "", session, runs=[])
            await ledger.create_run(run)
            operation = flow_logs(None, session)
            rows = await record_plan(ledger, operation, inventory, run.run_id, sink=session.sink, clock=session.clock)
            check_rows(inventory, rows, session)
        counts = {"valid": 0, str(Outcome.INVALID): 0, str(Outcome.DUPLICATE): 0}
        async for row in records(ledger, run.run_id):
            outcome = str(row.outcome or "valid")
            counts[outcome] += 1
            if row.outcome is not None:
                tell(row.line, outcome, row.error_message)
        return Check(inventory.name, counts)


async def plan_inventory(
    path: str,
    session: Session,
    *,
    out: Path | None = None,
    night_s: float | None = None,
    tell: Callable[[Mapping[str, Any]], None] | None = None,
) -> Forecast:
    """What a run of an inventory would do now and what it would cost; reads only, and works beside a run.

    `out` is where the plan is written for `run_inventory`; only a whole one is. `night_s`: the time of one night.
    `tell` hears of each row that would be changed, as the plan's file has it.
    """
    async with opened_source(path, session) as inventory:
        fingerprint = fingerprint_of(inventory, session)
        async with temporary_ledger() as ledger, open_cloud(session, keep_rehearsal=_has_rehearsed(session)) as cloud:
            run = new_run(inventory.name, inventory.sha256, fingerprint, session, runs=[])

            async def look() -> None:
                async with _book(session) as book:
                    if book is not None:
                        await _check_gone(book, ledger, run, session)

            await record_run(ledger, run, inventory, cloud, session, review=look)
            forecast, survey = await survey_run(ledger, run, cloud, session, await _knowledge(session))
            if out is not None:
                await write_reviewable(out, forecast, survey, ledger, run.run_id, session=session, night_s=night_s)
            if tell is not None:
                async for change in planned_changes(ledger, run.run_id, session, survey):
                    tell(change)
            return forecast


def _has_rehearsed(session: Session) -> bool:
    return session.ledger_path.exists()


@asynccontextmanager
async def _book(session: Session) -> AsyncIterator[Ledger | None]:
    """The session's ledger, to be read, if there is one."""
    path = session.ledger_path
    if not path.exists() and not path.is_symlink():  # a link that leads nowhere is told, as a run would tell it
        yield None
        return
    async with open_ledger(str(path), read_only=True, found=session.settings.finds_ledger) as ledger:
        yield ledger


async def _knowledge(session: Session) -> Knowledge:
    """What the session's ledger knows, if there is one."""
    async with _book(session) as book:
        return Knowledge() if book is None else await knowledge_of(book)


async def _check_gone(book: Ledger, ledger: Ledger, run: RunRecord, session: Session) -> None:
    """Raise as `run` would where too many rows of the last run are gone. It goes on with one of the same wishes."""
    runs = await book.runs()
    before = predecessor_of(run, runs)
    begun = any(goes_on(each, runs) and each.fingerprint == run.fingerprint for each in runs)
    if before is not None and not begun and before.fingerprint != run.fingerprint:
        gone = await _count_missing(_keys(book, before.run_id), _keys(ledger, run.run_id))
        await check_gone(ledger, run, before, gone, session)


async def _keys(ledger: Ledger, run_id: RunId) -> AsyncIterator[bytes]:
    """The keys of a plan in their order, in flat memory."""
    page = await ledger.keys(run_id, b"", RECORDS_AT_ONCE)
    while page:
        for key in page:
            yield key
        page = await ledger.keys(run_id, page[-1], RECORDS_AT_ONCE)


async def _count_missing(older: AsyncIterator[bytes], newer: AsyncIterator[bytes]) -> int:
    """How many of the older keys are none of the newer; both come in order."""
    missing, at = 0, await anext(newer, None)
    async for key in older:
        while at is not None and at < key:
            at = await anext(newer, None)
        missing += at != key
    return missing
