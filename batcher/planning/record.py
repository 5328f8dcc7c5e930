"""Put the plan of a run into the ledger: every row held to its rules, every twin found, before the first call.

Rows go in by pages, so memory does not grow with the inventory; twins are found in the ledger for the same
reason. What cannot be planned is recorded as what it is (`invalid`, `duplicate`), with the reason.
"""

import json
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from itertools import islice
from json.encoder import encode_basestring_ascii as _quoted

from batcher.events import PlanProgress
from batcher.ledger_port import Ledger
from batcher.model import Barred, Fault, LaneKey, Outcome, PlanRow, RawRow, RowState, RunId, Settlement, Wish
from batcher.ports import Clock, EventSink, Operation, RowSource
from batcher.records import Site, Twin

HOW_IT_IS_ASKED = frozenset({"account", "region"})
"""Columns in which rows may differ that ask for one and the same flow log."""
PAGE_ROWS = 1000
"""Rows of one transaction: large enough that its cost vanishes, small enough that the loop takes turns."""


SitesOf = Callable[[Iterable[LaneKey]], Awaitable[Mapping[LaneKey, Site]]]
"""Where the calls of these lanes go, and whose they are."""


async def record_plan(
    ledger: Ledger,
    operation: Operation,
    source: RowSource,
    run_id: RunId,
    *,
    sink: EventSink,
    clock: Clock,
    sites_of: SitesOf | None = None,
) -> int:
    """Read the source to its end into a run that is `planning`, and leave it so; how many rows it had.

    Without `sites_of` nothing is recorded of where its lanes are done. Raises what the source, `Operation.prepare`
    and `sites_of` raise.
    """
    rows = source.rows()
    count = 0
    while page := list(islice(rows, PAGE_ROWS)):
        await operation.prepare([raw.fields for raw in page])
        rows_of_page = list(plan_rows(page, operation, after=count))
        lanes = {row.wish.lane for row in rows_of_page if row.wish is not None}
        await ledger.add_rows(run_id, rows_of_page, await sites_of(lanes) if sites_of is not None else {})
        count += len(page)
        sink.emit(PlanProgress(count))
    await settle_twins(ledger, operation, run_id, clock)
    return count


async def settle_twins(ledger: Ledger, operation: Operation, run_id: RunId, clock: Clock) -> None:
    """Index the plan and settle every row whose natural key an earlier row has already."""
    left, after = await ledger.index_keys(run_id), 0
    while left > 0 and (twins := await ledger.twins(run_id, after, PAGE_ROWS)):
        now = clock.now()
        await ledger.settle_plan(run_id, [(twin.lane_no, judge_twin(twin, operation, now)) for twin in twins])
        after, left = twins[-1].row_no, left - len(twins)


def plan_rows(rows: Iterable[RawRow], operation: Operation, *, after: int = 0) -> Iterator[PlanRow]:
    """Each raw row as the ledger takes it, numbered on from `after`. Pure but for the source behind `rows`."""
    known = frozenset(operation.known_columns)
    for row_no, raw in enumerate(rows, start=after + 1):
        wish = parse_row(raw, operation)
        if not isinstance(wish, Wish):
            is_barred = isinstance(wish, Barred)
            why = wish.message if isinstance(wish, Barred) else faults_text(wish)
            yield PlanRow(row_no, raw.line, None, _dump(dict(raw.fields)), why, is_barred)
            continue
        # Two texts need no `_dump`, which would take a tenth of planning.
        carried = [f"{_quoted(name)}:{_quoted(value)}" for name, value in raw.fields.items() if name not in known]
        yield PlanRow(row_no, raw.line, wish, f"{{{','.join(carried)}}}")


def parse_row(raw: RawRow, operation: Operation) -> Wish | Barred | tuple[Fault, ...]:
    """A raw row's wish, or all its faults: those of its form and those of its values; or why it cannot be planned."""
    parsed = operation.parse(raw.fields)
    if isinstance(parsed, Wish | Barred):
        return raw.faults or parsed
    return (*raw.faults, *parsed)


def faults_text(faults: tuple[Fault, ...]) -> str:
    """Every fault in one line for a reader: column, value, rule."""
    return "; ".join(
        f"{fault.column} `{fault.value}` {fault.rule}" if fault.column else f"the row {fault.rule}" for fault in faults
    )


def judge_twin(twin: Twin, operation: Operation, now: float) -> Settlement:
    """A later row with an earlier row's natural key: the same wish again, or a contradiction. Pure.

    The account is who asks and the region how to get there, not what for: it is one flow log all the same.
    """
    mine, first = operation.columns_of(twin.spec), operation.columns_of(twin.first_spec)
    other = [column for column in mine if mine[column] != first[column]]
    if set(other) <= HOW_IT_IS_ASKED:
        asked = "".join(f", with {column} `{first[column]}`" for column in other)
        outcome, code, message = Outcome.DUPLICATE, "BATCHER.Duplicate", f"the same as line {twin.first_line}{asked}"
    else:
        differing = "; ".join(f"{column} `{mine[column]}` there `{first[column]}`" for column in other)
        outcome, code = Outcome.INVALID, "BATCHER.Conflict"
        message = f"contradicts line {twin.first_line}, which asks for the same flow log otherwise: {differing}"
    return Settlement(
        row_no=twin.row_no,
        expect=RowState.PLANNED,
        state=RowState.SETTLED,
        outcome=outcome,
        error_code=code,
        error_message=message,
        settled_at=now,
    )


_dump = json.JSONEncoder(separators=(",", ":")).encode
