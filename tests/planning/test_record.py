"""An inventory becomes a plan: every row is numbered, judged and recorded, and none is lost."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from batcher.errors import InventoryError
from batcher.events import Event, PlanProgress
from batcher.ledger.open import open_ledger
from batcher.ledger_port import Ledger
from batcher.model import Fault, Outcome, PlanRow, RawRow, RowState, RunId, RunState, Settlement
from batcher.planning.record import PAGE_ROWS, faults_text, judge_twin, parse_row, plan_rows, record_plan
from batcher.records import Twin
from tests.ledger.book import T0, assert_counters_hold, everything, run_record
from tests.operations.wishes import ATTACHMENT, ROUTER, ROW, flow_logs, wish

FLOW_LOGS = flow_logs()
R1 = RunId("r1")
BAD_NAME = Fault("name", "", "must have 1 to 64 characters")
BAD_ROUTER = Fault("er_id", "x", "must be a UUID (8-4-4-4-12 hex digits): the router's id")
TOO_LONG = Fault("", "", "has more cells than the header")


def attachment(number: int) -> str:
    return f"{number:08x}{ATTACHMENT[8:]}"


def raw(line: int, *faults: Fault, **changes: str) -> RawRow:
    return RawRow(line, {**ROW, **changes}, faults)


@dataclass
class Source:
    """An inventory in memory; `breaks` makes it unreadable after its rows."""

    raws: list[RawRow]
    columns: tuple[tuple[str, str], ...] = (("AttachmentID", "resource_id"),)
    breaks: bool = False

    def rows(self) -> Iterator[RawRow]:
        yield from self.raws
        if self.breaks:
            raise InventoryError("broken JSON in line 9, byte 120")


@dataclass
class Heard:
    rows: list[int] = field(default_factory=list)

    def emit(self, event: Event) -> None:
        assert isinstance(event, PlanProgress)
        self.rows.append(event.rows)


class Noon:
    """A clock that stands still."""

    def now(self) -> float:
        return T0

    def steady(self) -> float:
        return 0.0


# --- rows, one by one -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "planned"),
    [
        (raw(2), PlanRow(1, 2, wish(), "{}")),
        (raw(2, name="x"), PlanRow(1, 2, wish(name="x"), "{}")),
        (raw(7, Owner="net", z="\u6d41"), PlanRow(1, 7, wish(), '{"Owner":"net","z":"\\u6d41"}')),
        (
            RawRow(2, {**ROW, "name": "", "er_id": "x", "Owner": "net"}),
            PlanRow(
                1, 2, None, json.dumps({**ROW, "name": "", "er_id": "x", "Owner": "net"}, separators=(",", ":")),
                faults_text((BAD_ROUTER, BAD_NAME)),
            ),
        ),
        (raw(2, TOO_LONG), PlanRow(1, 2, None, json.dumps(ROW, separators=(",", ":")), faults_text((TOO_LONG,)))),
    ],
    ids=["plain", "named", "with columns of the user's", "with faults", "of a bad form"],
)  # fmt: skip
def test_a_row_is_planned_as_what_it_is(row: RawRow, planned: PlanRow) -> None:
    assert list(plan_rows(iter([row]), FLOW_LOGS)) == [planned]


def test_rows_are_numbered_from_one_whatever_their_lines_and_faults() -> None:
    rows = [raw(2), raw(5, name=""), raw(6, TOO_LONG), raw(40)]
    planned = list(plan_rows(iter(rows), FLOW_LOGS))
    assert [(row.row_no, row.line, row.wish is None) for row in planned] == [
        (1, 2, False),
        (2, 5, True),
        (3, 6, True),
        (4, 40, False),
    ]


def test_a_row_of_a_bad_form_is_invalid_and_has_the_faults_of_its_values_too() -> None:
    assert parse_row(raw(2, TOO_LONG), FLOW_LOGS) == (TOO_LONG,)
    assert parse_row(raw(2, TOO_LONG, name="", er_id="x"), FLOW_LOGS) == (TOO_LONG, BAD_ROUTER, BAD_NAME)
    assert parse_row(raw(2, name=""), FLOW_LOGS) == (BAD_NAME,)
    assert parse_row(raw(2), FLOW_LOGS) == wish()


def test_rows_are_planned_as_they_are_read() -> None:
    def endless() -> Iterator[RawRow]:
        line = 1
        while True:
            line += 1
            yield raw(line)

    plan = plan_rows(endless(), FLOW_LOGS)
    assert [next(plan).row_no for _ in range(3)] == [1, 2, 3]


@pytest.mark.parametrize(
    ("faults", "text"),
    [
        ((), ""),
        ((BAD_NAME,), "name `` must have 1 to 64 characters"),
        ((TOO_LONG,), "the row has more cells than the header"),
        (
            (TOO_LONG, BAD_ROUTER, BAD_NAME),
            "the row has more cells than the header; er_id `x` must be a UUID (8-4-4-4-12 hex digits): the router's "
            "id; name `` must have 1 to 64 characters",
        ),
    ],
)
def test_every_fault_is_told_in_one_line(faults: tuple[Fault, ...], text: str) -> None:
    assert faults_text(faults) == text


# --- twins ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mine", "first", "outcome", "code", "message"),
    [
        ({}, {}, Outcome.DUPLICATE, "BATCHER.Duplicate", "the same as line 2"),
        ({"enabled": "yes"}, {"enabled": "1"}, Outcome.DUPLICATE, "BATCHER.Duplicate", "the same as line 2"),
        (
            {"account": "west"},
            {"account": "east"},
            Outcome.DUPLICATE,
            "BATCHER.Duplicate",
            "the same as line 2, with account `east`",
        ),
        (
            {"region": "cn-south-1"},
            {"account": "east"},
            Outcome.DUPLICATE,
            "BATCHER.Duplicate",
            "the same as line 2, with account `east`, with region `cn-north-4`",
        ),
        (
            {"account": "west", "name": "a"},
            {"account": "east", "name": "b"},
            Outcome.INVALID,
            "BATCHER.Conflict",
            "contradicts line 2, which asks for the same flow log otherwise: account `west` there `east`; "
            "name `a` there `b`",
        ),
        (
            {"name": "a"},
            {"name": "b"},
            Outcome.INVALID,
            "BATCHER.Conflict",
            "contradicts line 2, which asks for the same flow log otherwise: name `a` there `b`",
        ),
        (
            {"name": "a", "description": "x", "enabled": "no"},
            {"name": "b"},
            Outcome.INVALID,
            "BATCHER.Conflict",
            "contradicts line 2, which asks for the same flow log otherwise: name `a` there `b`; "
            "description `x` there ``; enabled `false` there `true`",
        ),
    ],
)
def test_a_later_row_of_the_same_identity_is_a_duplicate_or_a_contradiction(
    mine: Mapping[str, str], first: Mapping[str, str], outcome: Outcome, code: str, message: str
) -> None:
    twin = Twin(9, 3, wish(**mine).spec, 2, wish(**first).spec)
    assert judge_twin(twin, FLOW_LOGS, T0) == Settlement(
        row_no=9,
        expect=RowState.PLANNED,
        state=RowState.SETTLED,
        outcome=outcome,
        error_code=code,
        error_message=message,
        settled_at=T0,
    )


# --- a whole inventory ----------------------------------------------------------------------------------


async def plan(ledger: Ledger, source: Source) -> Heard:
    heard = Heard()
    await ledger.create_run(run_record("r1"))
    await record_plan(ledger, FLOW_LOGS, source, R1, sink=heard, clock=Noon())
    return heard


async def test_an_inventory_is_recorded_whole_before_anything_of_it_can_be_worked(tmp_path: Path) -> None:
    rows = [
        raw(2, name="a"),
        raw(3, resource_id=attachment(1)),
        raw(4, name="a"),
        raw(5, name=""),
        raw(6, name="b", er_id=ROUTER.upper()),
        raw(7, name="a", region="cn-south-1"),
    ]
    async with open_ledger(str(tmp_path / "ledger.db")) as ledger:
        heard = await plan(ledger, Source(rows))
        run = await ledger.run(R1)
        assert run.state is RunState.PLANNING
        records = await everything(ledger, R1)
        assert [(r.row_no, r.line, str(r.outcome or r.state)) for r in records] == [
            (1, 2, "planned"),
            (2, 3, "planned"),
            (3, 4, "duplicate"),
            (4, 5, "invalid"),
            (5, 6, "invalid"),
            (6, 7, "planned"),
        ]
        assert records[2].error_message == "the same as line 2"
        assert records[3].error_message == "name `` must have 1 to 64 characters"
        assert records[4].error_message.startswith("contradicts line 2,")
        await assert_counters_hold(ledger, R1)
    assert heard.rows == [6]


@pytest.mark.parametrize("rows", [0, 1, PAGE_ROWS, PAGE_ROWS + 1, 2 * PAGE_ROWS + 500])
async def test_pages_are_a_matter_of_the_ledger_alone(tmp_path: Path, rows: int) -> None:
    """Every third row repeats the first, so the twins fill more than a page as well."""
    source = Source([raw(n + 1, resource_id=attachment(0 if n % 3 else n)) for n in range(1, rows + 1)])
    async with open_ledger(str(tmp_path / "ledger.db")) as ledger:
        heard = await plan(ledger, source)
        records = await everything(ledger, R1)
        assert [record.row_no for record in records] == list(range(1, rows + 1))
        duplicates = sum(1 for n in range(1, rows + 1) if n % 3) - bool(rows)
        assert sum(record.outcome is Outcome.DUPLICATE for record in records) == max(0, duplicates)
        assert {record.error_message for record in records} <= {"", "the same as line 2"}
    assert heard.rows == [min(page, rows) for page in range(PAGE_ROWS, rows + PAGE_ROWS, PAGE_ROWS)]


async def test_an_inventory_that_breaks_off_leaves_a_run_that_can_be_dropped(tmp_path: Path) -> None:
    async with open_ledger(str(tmp_path / "ledger.db")) as ledger:
        source = Source([raw(n) for n in range(2, PAGE_ROWS + 50)], breaks=True)
        with pytest.raises(InventoryError, match="line 9"):
            await plan(ledger, source)
        assert (await ledger.run(R1)).state is RunState.PLANNING
        await ledger.drop_run(R1)
        assert await ledger.runs() == []
