"""Small runs to keep books on: rows of few characters, in as many lanes as asked for."""

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from batcher.ledger.sqlite import SqliteLedger
from batcher.ledger_port import Ledger
from batcher.model import (
    ClaimedRow,
    LaneKey,
    Lease,
    NaturalKey,
    Outcome,
    PlanRow,
    RowState,
    RunId,
    RunState,
    Send,
    Settlement,
    Token,
    Wish,
)
from batcher.records import RowRecord, RunRecord

T0 = 1_713_513_600.0  # 2024-04-19T08:00:00Z
TTL_S = 60.0
THERE_S = 7200.0
"""How far the provider's clock is ahead of this one: a time of the one must never do for the other's."""
THERE = T0 + THERE_S
NORTH, SOUTH = LaneKey("default", "cn-north-4", "0" * 32), LaneKey("default", "cn-south-1", "0" * 32)
COLUMNS = (("AttachmentID", "resource_id"), ("Owner", "Owner"))
Times = tuple[tuple[float, float], ...]
"""From when to when processes sent a row, in the provider's time."""


def run_record(run_id: str, *, started_at: float = T0, parent: str | None = None) -> RunRecord:
    return RunRecord(
        run_id=RunId(run_id),
        parent=None if parent is None else RunId(parent),
        state=RunState.PLANNING,
        operation="flow_log",
        inventory_name="inventory.csv",
        inventory_sha256="5e" * 32,
        fingerprint="f1",
        columns=(),
        settings={"rate": "10/s", "concurrency": 16},
        started_at=started_at,
        ended_at=None,
        stop_code="",
        stop_message="",
        exit_code=None,
        counts={},
        calls={},
        rates={},
    )


def key_of(name: str, lane: LaneKey = NORTH) -> NaturalKey:
    return NaturalKey(hashlib.blake2b(f"{lane}/{name}".encode(), digest_size=16).digest())


def token_of(name: str, generation: int = 0) -> Token:
    return Token(f"token-{name}-{generation}")


def row(row_no: int, name: str = "", *, lane: LaneKey = NORTH, scope: str = "er-1", spec: str = "") -> PlanRow:
    name = name or f"row-{row_no}"
    wish = Wish(lane, scope, key_of(name, lane), token_of(name), spec or f'["{name}"]')
    return PlanRow(row_no, row_no + 1, wish, "{}")


def invalid(row_no: int, faults: str = "name `` must have 1 to 64 characters") -> PlanRow:
    return PlanRow(row_no, row_no + 1, None, '{"name":""}', faults)


async def open_run(
    ledger: Ledger, run_id: str, rows: Sequence[PlanRow], *, started_at: float = T0, parent: str | None = None
) -> RunId:
    """A run that is planned and open."""
    run = run_record(run_id, started_at=started_at, parent=parent)
    await ledger.create_run(run)
    await ledger.add_rows(run.run_id, rows)
    await ledger.index_keys(run.run_id)
    await ledger.open_run(run.run_id, COLUMNS, {})
    return run.run_id


async def taken_back(ledger: Ledger, parent: RunId, name: str = "undo", *, started_at: float = T0) -> int:
    """A run that takes back another one, planned and open; how many rows it has."""
    run = dataclasses.replace(run_record(name, started_at=started_at, parent=parent), operation="undo")
    await ledger.create_run(run)
    copied = await ledger.copy_made(run.run_id, parent)
    await ledger.index_keys(run.run_id)
    await ledger.open_run(run.run_id, COLUMNS, {})
    return copied


async def lease_of(ledger: Ledger, run_id: RunId, lane_no: int = 1, *, owner: str = "me", now: float = T0 + 1) -> Lease:
    return await ledger.acquire_lane(run_id, lane_no, owner, now, TTL_S)


async def claimed(
    ledger: Ledger, lease: Lease, *, after: int = 0, limit: int = 100, now: float = T0 + 2
) -> list[ClaimedRow]:
    return await ledger.claim(lease, after=after, limit=limit, now=now)


def settled(
    row_no: int, outcome: Outcome = Outcome.CREATED, *, expect: RowState = RowState.CLAIMED, **known: Any
) -> Settlement:
    known = {"settled_at": T0 + 3, "attempts": 1, **known}
    return Settlement(row_no, expect, RowState.SETTLED, outcome, **known)


def accepted(row_no: int, remote_id: str = "fl-1", **known: Any) -> Settlement:
    known = {"attempts": 1, "first_sent_at": T0 + 2, "http_status": 202, **known}
    return Settlement(row_no, RowState.CLAIMED, RowState.ACCEPTED, remote_id=remote_id, remote_state="pending", **known)


def put_back(row_no: int, **known: Any) -> Settlement:
    return Settlement(row_no, RowState.CLAIMED, RowState.PLANNED, **known)


def next_row(
    row_no: int, generation: int, *, name: str = "", sent_there: float | None = None, sent_before: Times = ()
) -> ClaimedRow:
    """A claimed row as it is under another generation."""
    name = name or f"row-{row_no}"
    return ClaimedRow(
        row_no=row_no,
        line=row_no + 1,
        scope="er-1",
        key=key_of(name),
        spec=f'["{name}"]',
        token=token_of(name, generation),
        generation=generation,
        due_generation=generation,
        sent_there=sent_there,
        sent_before=sent_before,
    )


async def regenerate(
    ledger: Ledger,
    lease: Lease,
    row_no: int,
    generation: int,
    *,
    now: float,
    sent_there: float | None = None,
    sent_before: Times = (),
) -> None:
    """Record the next generation of one claimed row."""
    work = next_row(row_no, generation, sent_there=sent_there, sent_before=sent_before)
    await ledger.regenerate_rows(lease, [(work, now)])


def send(
    lease: Lease, row_no: int, sent_there: float = THERE, left_there: float = THERE + 1.0, before: Times = ()
) -> Send:
    return Send(lease, row_no, sent_there, left_there, before)


async def write(ledger: Ledger, lease: Lease, *settlements: Settlement, sends: Sequence[Send] = ()) -> None:
    await ledger.write(lease.run_id, [(lease, settlement) for settlement in settlements], {}, (), sends)


async def end(ledger: Ledger, run_id: RunId, *, ended_at: float = T0 + 10, stop_code: str = "") -> None:
    await ledger.end_sitting(run_id, ended_at=ended_at, stop_code=stop_code, stop_message="", exit_code=0, rates={})


async def everything(ledger: Ledger, run_id: RunId) -> list[RowRecord]:
    return await ledger.records(run_id, 0, 1_000_000)


async def states(ledger: Ledger, run_id: RunId) -> str:
    """A run's rows in short: `1 planned, 2 settled/failed`."""
    return ", ".join(
        f"{r.row_no} {r.state}" + (f"/{r.outcome}" if r.outcome else "") for r in await everything(ledger, run_id)
    )


async def assert_counters_hold(ledger: Ledger, run_id: RunId) -> None:
    """The counters say what a recount of the rows says."""
    recount = Counter((record.state, str(record.outcome or "")) for record in await everything(ledger, run_id))
    assert dict((await ledger.run(run_id)).counts) == dict(recount)


async def opened(path: Path, *, read_only: bool = False) -> SqliteLedger:
    """A ledger that the caller closes."""
    ledger = SqliteLedger(path, read_only=read_only)
    await ledger.open()
    return ledger
