"""One lane at work in virtual time: a small service that can lag, forget and be told what to say, and a real ledger."""

import asyncio
import dataclasses
import functools
import math
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import anyio
import pytest

from batcher.engine.context import EnginePolicy
from batcher.engine.run import RunEngine
from batcher.engine.stop import Stop
from batcher.engine.undo import undo_lane
from batcher.events import Event, Warned
from batcher.ledger.group_commit import GroupCommit
from batcher.ledger.open import open_ledger
from batcher.ledger_port import Ledger
from batcher.model import (
    Applied,
    ClaimedRow,
    ClockOffset,
    Kind,
    LaneKey,
    Page,
    Refused,
    Remote,
    RunId,
    Send,
    Settlement,
    Shown,
    Stops,
    Token,
    Window,
)
from batcher.operations.flow_log import FlowLogs
from batcher.operations.flow_log_row import RowDefaults
from batcher.policy.retry import RetryBudget
from batcher.records import RowRecord
from tests.ledger.book import (
    COLUMNS,
    T0,
    claimed,
    end,
    everything,
    key_of,
    lease_of,
    open_run,
    row,
    run_record,
    token_of,
    write,
)
from tests.virtual_time import VirtualLoop

T = TypeVar("T")

THERE = T0 + 7200.25
"""What time it is at the provider when virtual time begins; this machine's wall clock is two hours behind."""
CALL_S = 0.01
LAG_S = 120.0
"""The trust of `EnginePolicy` in a listing."""
NIGHT, UNDO = RunId("night"), RunId("undo")

SILENCE = Refused(Kind.TRANSIENT, Stops.ROW, "BATCHER.NoAnswer", "no answer", ambiguous=True)
UNREACHABLE = Refused(Kind.TRANSIENT, Stops.ROW, "BATCHER.Unreachable", "no connection", sent=False)
EXISTS = Refused(Kind.EXISTS, Stops.ROW, "ER.04009006", "it exists", 409, definitive=True)
FORBIDDEN = Refused(Kind.PERMANENT, Stops.ROW, "ER.04003001", "not allowed", 403)
"""To look at one flow log: the policy of an account may allow its listing alone."""


def policy(**known: Any) -> EnginePolicy:
    budget = RetryBudget(attempts_max=3, backoff_s_base=0.001, backoff_s_cap=0.001)
    return EnginePolicy(**{"window": Window(100_000, 1.0), "listing_lag_s": LAG_S, "budget": budget, **known})


class _Loop(VirtualLoop):
    """Does jobs of threads itself, at once; that one is done is told after `disk_s`."""

    disk_s = 0.0

    def run_in_executor(self, executor: object, func: Callable[..., T], *args: Any) -> "asyncio.Future[T]":  # type: ignore[override]  # no thread is needed
        future: asyncio.Future[T] = self.create_future()
        try:
            tell = functools.partial(_tell, future, func(*args))
        except Exception as error:  # noqa: BLE001  # it is the waiting task's
            future.set_exception(error)
            return future
        if self.disk_s:
            self.call_later(self.disk_s, tell)
        else:
            tell()
        return future


def _tell(future: "asyncio.Future[T]", result: T) -> None:
    if not future.done():  # who waited may have been killed
        future.set_result(result)


@contextmanager
def slow_disk(seconds: float) -> Iterator[None]:
    """Meanwhile all that the ledger reads and writes takes so long."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, _Loop)
    loop.disk_s = seconds
    try:
        yield
    finally:
        loop.disk_s = 0.0


def virtual(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run an async test, which works on a ledger and waits for minutes, in virtual time."""

    @functools.wraps(test)
    def run(*args: Any, **known: Any) -> None:
        with asyncio.Runner(loop_factory=_Loop) as runner:
            runner.run(test(*args, **known))

    return run


def steady() -> float:
    return asyncio.get_running_loop().time()


def there() -> float:
    """The provider's time."""
    return THERE + steady()


@dataclass
class Wall:
    """The machine's clocks: the wall clock is two hours wrong, and nothing may come of that; it is set by `ahead_s`."""

    ahead_s: float = 0.0

    def now(self) -> float:
        return T0 + 60 + self.ahead_s + steady()

    def steady(self) -> float:
        return steady()


@dataclass
class Thing:
    """What stands at a row's place, or stood there. `made_at` and `gone_at` are the provider's time."""

    remote_id: str
    made_at: float | None
    name: str = "row-1"
    state: str = "available"
    drift: str = ""
    is_listed: bool = True
    gone_at: float | None = None

    @property
    def stands(self) -> bool:
        return self.gone_at is None

    def shown(self, state: str = "") -> Remote:
        at = None if self.made_at is None else float(math.floor(self.made_at))
        return Remote(key_of(self.name), self.remote_id, state or self.state, True, at, {"drift": self.drift})

    def taken(self) -> Applied:
        at = self.shown().created_at
        return Applied(self.remote_id, self.state, True, True, 202, f"req-{self.remote_id}", created_at=at)


Say = Applied | Refused | Callable[["Cloud", ClaimedRow], Applied | Refused]


@dataclass
class Cloud(FlowLogs):
    """Takes creates and deletes as `answers` and `removes` say, and once those are over as a service would.

    A listing lacks what was made less than `lag_s` ago, and shows for `delete_lag_s` what was deleted. `calls` has all
    that was asked of it, `at` when (virtual time).
    """

    answers: list[Say] = field(default_factory=list)
    things: list[Thing] = field(default_factory=list)
    removes: list[Applied | Refused] = field(default_factory=list)
    lag_s: float = 0.0
    delete_lag_s: float = 0.0
    state: str = "available"
    shows: bool = True
    is_reachable: bool = True
    leaves_tombstones: bool = False
    half_width_s: Callable[[], float] = lambda: 0.02
    calls: list[str] = field(default_factory=list)
    at: list[float] = field(default_factory=list)
    asked: list[int] = field(default_factory=list)
    """For how many rows each listing was asked; 0: for all that there is."""
    _tokens: dict[str, Thing] = field(default_factory=dict)
    _is_known: bool = False

    def __post_init__(self) -> None:
        super().__init__(None, RowDefaults())

    @property
    def created(self) -> list[str]:
        return [call for call in self.calls if call.startswith("create")]

    @property
    def deleted(self) -> list[str]:
        return [call.removeprefix("delete ") for call in self.calls if call.startswith("delete")]

    def count(self, call: str) -> int:
        return sum(each.startswith(call) for each in self.calls)

    def token(self, spec: str, generation: int) -> Token:
        return token_of(spec.strip('[]"'), generation)

    def differences(self, spec: str, remote: Remote) -> tuple[str, ...]:
        return (str(remote.fields["drift"]),) if remote.fields.get("drift") else ()

    def needs_amending(self, spec: str, remote: Remote) -> bool:
        return False

    def clock_offset(self, lane: LaneKey) -> ClockOffset | None:
        half = self.half_width_s()
        return ClockOffset(THERE - half, THERE + half) if self._is_known else None

    async def _call(self, what: str) -> None:
        self.calls.append(what)
        self.at.append(steady())
        await anyio.sleep(CALL_S)
        self._is_known = True

    async def page(
        self, lane: LaneKey, scope: str, marker: str | None, only: Sequence[str] = ()
    ) -> Page[Remote] | Refused:
        self.asked.append(len(only))
        await self._call("list")
        shown = tuple(remote for thing in self.things if (remote := self._listed(thing)) is not None)
        return Page(shown, None, len(shown), 2000) if self.is_reachable else UNREACHABLE

    def _listed(self, thing: Thing) -> Remote | None:
        if not thing.is_listed or (thing.made_at is not None and there() < thing.made_at + self.lag_s):
            return None
        if thing.gone_at is None or there() < thing.gone_at + self.delete_lag_s:
            return thing.shown()
        return thing.shown("deleted") if self.leaves_tombstones else None

    async def show(self, lane: LaneKey, scope: str, remote_id: str) -> Shown | Refused:
        await self._call(f"show {remote_id}")
        if not self.shows:
            return FORBIDDEN
        thing = next((each for each in self.things if each.remote_id == remote_id), None)
        if thing is not None and not thing.stands and self.leaves_tombstones:
            return Shown(thing.shown("deleted"), 200)
        return Shown(thing.shown(), 200) if thing is not None and thing.stands else Shown(None, 404)

    async def apply(self, lane: LaneKey, row: ClaimedRow) -> Applied | Refused:
        await self._call(f"create {row.generation}")
        if self.answers:
            answer = self.answers.pop(0)
            return answer(self, row) if callable(answer) else answer
        return self.make(row).taken()

    def make(self, row: ClaimedRow) -> Thing:
        """What a service makes of a create: the same of the same token, be it gone or not."""
        if row.token not in self._tokens:
            number, name = len(self.things) + 1, row.spec.strip('[]"')
            self.things.append(Thing(f"fl-{number}", there() - CALL_S / 2, name, self.state))
            self._tokens[row.token] = self.things[-1]
        return self._tokens[row.token]

    async def remove(self, lane: LaneKey, spec: str, remote: Remote) -> Applied | Refused:
        await self._call(f"delete {remote.remote_id}")
        if self.removes:
            return self.removes.pop(0)
        for thing in self.things:
            if thing.remote_id == remote.remote_id:
                thing.gone_at = there()
        return Applied(remote.remote_id, "deleting", True, True, 202, "req")


def replay(thing: Thing) -> Say:
    """A create is answered with what its token is said to have made: what stands there, or stood."""
    return lambda cloud, row: thing.taken()


def lost(cloud: Cloud, row: ClaimedRow) -> Refused:
    """It is made, and its answer lost."""
    cloud.make(row)
    return SILENCE


class KilledError(Exception):
    """The process is gone."""


def killed(cloud: Cloud, row: ClaimedRow) -> Refused:
    """Who sends it is killed; nothing is made."""
    raise KilledError


class Heard(list[Event]):
    def emit(self, event: Event) -> None:
        self.append(event)

    @property
    def warnings(self) -> list[str]:
        return [event.message for event in self if isinstance(event, Warned)]


@dataclass
class Rig:
    """A ledger, and the service that its runs are worked against."""

    ledger: Ledger
    cloud: Cloud
    heard: Heard = field(default_factory=Heard)
    wall: Wall = field(default_factory=Wall)

    async def plan(self, run_id: RunId = NIGHT, rows: int = 1) -> RunId:
        return await open_run(self.ledger, run_id, [row(n + 1) for n in range(rows)])

    async def dead(self, *, sent: float | None, silent: float, at: float = T0) -> None:
        """A process claimed row 1 of the run and died: its sends are on record, from `sent` to `silent`.

        `at` is when it claimed, by the wall clock.
        """
        lease = await lease_of(self.ledger, NIGHT, now=at)
        await claimed(self.ledger, lease, now=at, limit=1)
        await self.ledger.renew_lane(lease, at, 60.0)
        if sent is not None:
            await self.ledger.write(NIGHT, [], {}, [], [Send(lease, 1, sent, silent)])

    async def history(self, settlement: Settlement) -> None:
        """Row 1 has this behind it in the run; who settled it so is gone."""
        lease = await lease_of(self.ledger, NIGHT, now=T0)
        await claimed(self.ledger, lease, now=T0, limit=1)
        await write(self.ledger, lease, settlement)
        await self.ledger.release_lane(lease)

    async def work(
        self,
        run_id: RunId = NIGHT,
        *,
        stop: Stop | None = None,
        meanwhile: Callable[[RunEngine], Coroutine[Any, Any, None]] | None = None,
        work_lane: Any = None,
        **known: Any,
    ) -> list[RowRecord]:
        """One sitting, with a policy of `known`; the rows after it."""
        more = {} if work_lane is None else {"work_lane": work_lane}
        engine = RunEngine(
            ledger=self.ledger,
            operation=self.cloud,
            run_id=run_id,
            policy=policy(**known),
            commit=GroupCommit(self.ledger, run_id, self.heard),
            sink=self.heard,
            clock=self.wall,
            stop=stop or Stop(),
            owner="me",
            seed=0,
            **more,
        )
        async with anyio.create_task_group() as tasks:
            if meanwhile is not None:
                tasks.start_soon(meanwhile, engine)
            await engine.work()
        await end(self.ledger, run_id)
        return await everything(self.ledger, run_id)

    async def plan_undo(self, parent: RunId = NIGHT) -> int:
        """A run that takes the other back, planned; how many rows of it there are."""
        await self.ledger.create_run(dataclasses.replace(run_record(UNDO, parent=parent), operation="undo"))
        rows = await self.ledger.copy_made(UNDO, parent)
        await self.ledger.index_keys(UNDO)
        await self.ledger.open_run(UNDO, COLUMNS, {})
        return rows

    async def undo(self, *, force: bool = False, **known: Any) -> list[RowRecord]:
        """One sitting of the undo that was planned."""
        return await self.work(UNDO, work_lane=functools.partial(undo_lane, force=force), **known)

    async def dies(self, *, undoes: bool = False, **known: Any) -> None:
        """One sitting, of the run or of the undo, that is killed on the way."""
        with pytest.raises(ExceptionGroup) as ended:
            await (self.undo(**known) if undoes else self.work(**known))
        assert ended.group_contains(KilledError)


@asynccontextmanager
async def rig(place: Path, cloud: Cloud | None = None) -> AsyncIterator[Rig]:
    async with open_ledger(str(place / "ledger.db")) as ledger:
        yield Rig(ledger, cloud or Cloud())
