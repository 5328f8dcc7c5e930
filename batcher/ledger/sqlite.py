"""The `Ledger` port on SQLite: each method hands one transaction to the single thread that owns the file."""

import asyncio
import os
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import ParamSpec, TypeVar

from batcher.errors import LedgerError, LedgerLostError
from batcher.file_system import sync_folder
from batcher.ledger.damage import check_log, check_pages, check_place, keep_private
from batcher.ledger.hold import Hold, check_names
from batcher.ledger.identity import birth_of, identify
from batcher.ledger.lane_store import LaneStore
from batcher.ledger.lock import LOCAL_DISK, LedgerLock, holder_of, identity, was_made
from batcher.ledger.migrate import migrate, migrations, schema_version
from batcher.ledger.plan_store import PlanStore
from batcher.ledger.store import BUSY_MS, CACHE_KIB, DAMAGED, Store, legible, no_ledger, translated
from batcher.model import (
    ClaimedRow,
    LaneKey,
    Lease,
    LedgerRow,
    Limit,
    NaturalKey,
    PlanRow,
    RowState,
    RunId,
    Send,
    Settlement,
)
from batcher.policy.selection import ALL, Selection
from batcher.records import ChangedRow, Difference, EndingCount, RowRecord, RunRecord, RunSite, ScopeLoad, Site, Twin

SQLITE_OLDEST = (3, 37, 0)
"""The first with STRICT tables (2021-11-27)."""

NO_SITES: Mapping[LaneKey, Site] = MappingProxyType({})
_NO_FILE_BESIDE = ("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_FULL", "SQLITE_IOERR_SHM")

P = ParamSpec("P")
T = TypeVar("T")


TEMPORARY = Path("(temporary)")
"""How a ledger without a place is called in messages."""


class SqliteLedger:
    """A ledger file; made by `ledger.open`. Cancelling a call leaves its transaction to finish in its thread.

    Without a path it is a temporary one: SQLite keeps it in a file that has lost its name as soon as it is open
    (https://www.sqlite.org/inmemorydb.html, "Temporary Databases"), so that whatever ends the process nothing stays.

    `birth` is what a new ledger's id is made of, where it is not to be made of time and place.
    `when_lost` is called once the ledger is found not to be in its place any more: nothing may be sent from then on.
    What is in flight can still be settled, and `end_sitting` raises. Without it each step of the work raises.
    """

    def __init__(
        self, path: Path | None, *, read_only: bool, birth: str = "", when_lost: Callable[[], None] | None = None
    ) -> None:
        self._path = path or TEMPORARY
        self._is_temporary = path is None
        self._read_only = read_only
        self._birth = birth
        self._when_lost = when_lost
        self._lock: LedgerLock | None = None
        self._hold: Hold | None = None
        self._lost: LedgerLostError | None = None
        self._closed = False
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="batcher-ledger")

    async def _call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        if kwargs:
            return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: function(*args, **kwargs))
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *args)

    async def _step(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """A call of the work on a lane, before which the ledger's place is looked at. Raises `LedgerLostError`."""
        known = self._lost
        result = await self._call(self._in_place, partial(function, *args, **kwargs))
        if self._lost is not None:
            if self._when_lost is None:
                raise self._lost
            if known is None:
                self._when_lost()
        return result

    def _in_place(self, function: Callable[[], T]) -> T:
        """Do it whether or not the ledger is in its place: what this process has open is its own."""
        self._look()
        return function()

    def _only_in_place(self, function: Callable[[], T]) -> T:
        """Do it unless the ledger is lost: who works it now says how a sitting ended. Raises `LedgerLostError`."""
        self._look()
        if self._lost is not None:
            raise self._lost
        return function()

    def _look(self) -> None:
        if self._hold is not None and self._lost is None:
            try:
                self._hold.check()
            except LedgerLostError as error:
                self._lost = error

    async def open(self) -> None:
        """Open the file and bring its schema up to date. Raises `LedgerHeldError`, `LedgerError`."""
        await self._call(self._open)

    def _open(self) -> None:
        if sqlite3.sqlite_version_info < SQLITE_OLDEST:
            raise LedgerError(
                f"this Python has SQLite {sqlite3.sqlite_version}, and the ledger needs 3.37 or newer",
                hint="use a Python that was built with a newer SQLite",
            )
        with translated(self._path, "open"):
            if self._is_temporary:
                migrate(self._connect(""))
            elif self._read_only:
                self._open_to_read()
            else:
                self._open_to_write()
        self._plans = PlanStore(self._store)
        self._lanes = LaneStore(self._store, alone=not self._read_only)

    def _open_to_read(self) -> None:
        check_names(self._path)
        if not check_place(self._path, was_made=was_made(self._path)):
            raise no_ledger(self._path)
        version = self._version_to_read()
        if version < migrations()[-1][0]:
            raise LedgerError(
                f"the ledger `{self._path}` has schema {version} and holds nothing that can be read yet",
                hint="`batcher run` or `batcher resume` brings it up to date",
            )

    def _version_to_read(self) -> int:
        uri = self._path.absolute().as_uri()
        closed = holder_of(self._path) is None and not check_log(self._path)
        try:
            return schema_version(self._connect(f"{uri}?mode=ro"))
        except sqlite3.OperationalError as error:
            # SQLite wants a file beside a ledger even to read it. Where none can be made, nobody writes the ledger
            # either; and without a log all of it is in the one file.
            if not closed or not error.sqlite_errorname.startswith(_NO_FILE_BESIDE):
                raise
            self._disconnect()
            return schema_version(self._connect(f"{uri}?immutable=1"))

    def _open_to_write(self) -> None:
        _make_folder(self._path.absolute().parent)
        check_names(self._path)
        self._lock = lock = LedgerLock(self._path)
        check_place(self._path, was_made=lock.ledger_was_made)
        closed = not check_log(self._path)
        opened = _opened_identity(self._path)
        store = self._connect(f"{self._path.absolute().as_uri()}?mode=rw")
        version = schema_version(store)
        keep_private(self._path)
        store.connection.execute("PRAGMA synchronous = FULL")
        if version:
            check_pages(store, closed=closed)
        elif store.connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal":
            raise LedgerError(f"the ledger `{self._path}` has lost its log, and with it all that it held", hint=DAMAGED)
        # The schema first: from its first moment a ledger is one even if its log is lost.
        migrate(store)
        with legible(self._path):
            identify(store, self._birth or birth_of(self._path))
        if store.connection.execute("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
            raise LedgerError(f"the file system of the ledger `{self._path}` shares no memory", hint=LOCAL_DISK)
        schema_version(store)  # a first reading opens the log
        lock.note_made()
        self._hold = Hold(self._path, opened, lock)
        self._hold.check()

    def _connect(self, uri: str) -> Store:
        connection = sqlite3.connect(uri, uri=True, isolation_level=None, cached_statements=256)
        self._store = Store(self._path, connection)
        connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
        connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        return self._store

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            await self._call(self._close)
            self._thread.shutdown(wait=False)

    def _disconnect(self) -> None:
        store = getattr(self, "_store", None)
        if store is not None:
            store.connection.close()

    def _close(self) -> None:
        self._disconnect()
        if self._lock is not None:
            self._lock.release()

    async def create_run(self, run: RunRecord) -> None:
        await self._call(self._plans.create_run, run)

    async def identity(self) -> str:
        return await self._call(self._plans.identity)

    async def add_rows(self, run_id: RunId, rows: Sequence[PlanRow], sites: Mapping[LaneKey, Site] = NO_SITES) -> None:
        await self._call(self._plans.add_rows, run_id, rows, sites)

    async def sites(self, run_id: RunId) -> list[RunSite]:
        return await self._call(self._plans.sites, run_id)

    async def copy_rows(self, run_id: RunId, parent: RunId, selection: Selection = ALL) -> int:
        return await self._call(self._plans.copy_rows, run_id, parent, selection)

    async def copy_made(self, run_id: RunId, parent: RunId, selection: Selection = ALL) -> int:
        return await self._call(self._plans.copy_made, run_id, parent, selection)

    async def index_keys(self, run_id: RunId) -> int:
        return await self._call(self._plans.index_keys, run_id)

    async def twins(self, run_id: RunId, after: int, limit: int) -> list[Twin]:
        return await self._call(self._plans.twins, run_id, after, limit)

    async def settle_plan(self, run_id: RunId, settlements: Sequence[tuple[int, Settlement]]) -> None:
        await self._call(self._plans.settle_plan, run_id, settlements)

    async def open_run(self, run_id: RunId, columns: Sequence[tuple[str, str]], found: Mapping[str, object]) -> None:
        await self._call(self._plans.open_run, run_id, columns, found)

    async def plan_drifted(self, run_id: RunId) -> None:
        await self._call(self._plans.plan_drifted, run_id)

    async def drop_run(self, run_id: RunId) -> None:
        await self._call(self._plans.drop_run, run_id)

    async def reopen(self, run_id: RunId) -> None:
        await self._call(self._plans.reopen, run_id)

    async def begin_sitting(self, run_id: RunId, process: Mapping[str, object]) -> None:
        await self._call(self._plans.begin_sitting, run_id, process)

    async def end_sitting(
        self,
        run_id: RunId,
        *,
        ended_at: float,
        stop_code: str,
        stop_message: str,
        exit_code: int,
        rates: Mapping[str, object],
    ) -> None:
        end = partial(
            self._plans.end_sitting,
            run_id,
            ended_at=ended_at,
            stop_code=stop_code,
            stop_message=stop_message,
            exit_code=exit_code,
            rates=rates,
        )
        await self._call(self._only_in_place, end)

    async def runs(self) -> list[RunRecord]:
        return await self._call(self._plans.runs)

    async def run(self, run_id: RunId) -> RunRecord:
        return await self._call(self._plans.run, run_id)

    async def keys(self, run_id: RunId, after: bytes, limit: int) -> list[bytes]:
        return await self._call(self._plans.keys, run_id, after, limit)

    async def compare(self, older: RunId, newer: RunId) -> list[Difference]:
        return await self._call(self._plans.compare, older, newer)

    async def changed(self, older: RunId, newer: RunId) -> list[ChangedRow]:
        return await self._call(self._plans.changed, older, newer)

    async def owners(self) -> Mapping[RunId, str]:
        return await self._call(self._plans.owners)

    async def records(self, run_id: RunId, after: int, limit: int, without: Sequence[str] = ()) -> list[RowRecord]:
        return await self._call(self._plans.records, run_id, after, limit, without)

    async def has_history(self) -> bool:
        return await self._call(self._plans.has_history)

    async def changes(self, older: RunId, newer: RunId) -> tuple[int, int, int]:
        return await self._call(self._plans.changes, older, newer)

    async def lanes(self, run_id: RunId) -> list[tuple[int, LaneKey, int]]:
        return await self._call(self._lanes.lanes, run_id)

    async def acquire_lane(self, run_id: RunId, lane_no: int, owner: str, now: float, ttl_s: float) -> Lease:
        return await self._step(self._lanes.acquire, run_id, lane_no, owner, now, ttl_s)

    async def renew_lane(self, lease: Lease, now: float, ttl_s: float) -> Lease:
        return await self._step(self._lanes.renew, lease, now, ttl_s)

    async def release_lane(self, lease: Lease) -> None:
        await self._call(self._lanes.release, lease)

    async def limits(self) -> list[Limit]:
        return await self._call(self._lanes.limits)

    async def note_troubles(self, run_id: RunId, troubles: Mapping[int, tuple[str, str]]) -> None:
        await self._call(self._plans.note_troubles, run_id, troubles)

    async def endings(self, run_id: RunId) -> list[EndingCount]:
        return await self._call(self._plans.endings, run_id)

    async def note_change(self, run_id: RunId, at: float, action: str, value: str) -> None:
        await self._call(self._plans.note_change, run_id, at, action, value)

    async def claim(self, lease: Lease, *, after: int, limit: int, now: float) -> list[ClaimedRow]:
        return await self._step(self._lanes.claim, lease, after=after, limit=limit, now=now)

    async def recover(self, lease: Lease, *, after: int, limit: int) -> list[ClaimedRow]:
        return await self._step(self._lanes.recover, lease, after=after, limit=limit)

    async def regenerate_rows(self, lease: Lease, rows: Sequence[tuple[ClaimedRow, float]]) -> None:
        await self._step(self._lanes.regenerate_rows, lease, rows)

    async def plan_vanished(self, lease: Lease, numbers: Sequence[int]) -> int:
        return await self._call(self._lanes.plan_vanished, lease, numbers)

    async def skip_planned(self, lease: Lease, code: str, message: str, now: float) -> int:
        return await self._call(self._lanes.skip_planned, lease, code, message, now)

    async def settle_not_final(self, lease: Lease, code: str, message: str, now: float) -> int:
        return await self._call(self._lanes.settle_not_final, lease, code, message, now)

    async def scopes(self, lease: Lease) -> list[ScopeLoad]:
        return await self._call(self._lanes.scopes, lease)

    async def numbers(self, lease: Lease, state: RowState) -> Mapping[str, Sequence[int]]:
        return await self._call(self._lanes.numbers, lease, state)

    async def last_claim(self, lease: Lease) -> float | None:
        return await self._call(self._lanes.last_claim, lease)

    async def expected(self, lease: Lease) -> Mapping[str, Sequence[int]]:
        return await self._call(self._lanes.expected, lease)

    async def rows(self, lease: Lease, numbers: Sequence[int]) -> list[LedgerRow]:
        return await self._call(self._lanes.rows, lease, numbers)

    async def claim_these(self, lease: Lease, ids: Mapping[int, str | None], now: float) -> None:
        await self._step(self._lanes.claim_these, lease, ids, now)

    async def match(self, lease: Lease, keys: Sequence[NaturalKey]) -> list[LedgerRow]:
        return await self._call(self._lanes.match, lease, keys)

    async def rivals(self, lease: Lease, keys: Sequence[NaturalKey]) -> Mapping[NaturalKey, float]:
        return await self._call(self._lanes.rivals, lease, keys)

    async def write(
        self,
        run_id: RunId,
        batch: Sequence[tuple[Lease, Settlement]],
        calls: Mapping[tuple[str, str], int],
        limits: Sequence[Limit] = (),
        sends: Sequence[Send] = (),
    ) -> None:
        await self._call(self._lanes.write, run_id, batch, calls, limits, sends)


def _opened_identity(path: Path) -> tuple[int, int]:
    """Make the ledger's file where it is missing; what tells it from others."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        return identity(os.fstat(file))
    finally:
        os.close(file)


def _make_folder(path: Path) -> None:
    """Make a folder for its owner alone, and those above it, as durable as what will be in it."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir(mode=0o700, exist_ok=True)
    for folder in missing:
        sync_folder(folder.parent)  # where that cannot be had a power cut may take the ledger, as if it was lost
