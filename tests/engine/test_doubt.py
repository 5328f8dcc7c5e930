"""What a row is called when an attempt may have worked and the next answers speak of something else."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from batcher.engine.context import EnginePolicy
from batcher.engine.run import RunEngine
from batcher.engine.stop import Stop
from batcher.events import Event
from batcher.ledger.group_commit import GroupCommit
from batcher.ledger.open import open_ledger
from batcher.model import (
    Applied,
    ClaimedRow,
    Kind,
    LaneKey,
    NaturalKey,
    Outcome,
    Page,
    Refused,
    Remote,
    RowState,
    Settlement,
    Stops,
    Token,
    Window,
)
from batcher.operations.flow_log import FlowLogs
from batcher.operations.flow_log_row import RowDefaults
from batcher.policy.retry import RetryBudget
from batcher.records import RowRecord
from tests.ledger.book import T0, claimed, lease_of, open_run, row, token_of, write

SILENCE = Refused(Kind.TRANSIENT, Stops.ROW, "BATCHER.NoAnswer", "no answer", ambiguous=True)
BEING_OPERATED = Refused(Kind.TRANSIENT, Stops.ROW, "ER.04004003", "being operated", 400, definitive=True)
QUOTA = Refused(Kind.PERMANENT, Stops.LANE, "ER.04009008", "insufficient quota", 400, definitive=True)
USED_UP = Refused(Kind.PERMANENT, Stops.SUBJECT, "ER.04009008", "insufficient quota", 400, definitive=True)
WRONG = Refused(Kind.PERMANENT, Stops.ROW, "ER.04009005", "invalid parameters", 400, definitive=True)
UNREACHABLE = Refused(Kind.TRANSIENT, Stops.ROW, "BATCHER.Unreachable", "no connection", sent=False)


@dataclass
class Provider(FlowLogs):
    """Gives scripted answers to creates; lists what it is said to hold, or cannot be reached."""

    answers: list[Applied | Refused]
    shown: tuple[Remote, ...] = ()
    reachable: bool = True
    calls: list[str] = field(default_factory=list)
    asked: list[int] = field(default_factory=list)
    """For how many rows each listing was asked; 0: for all that there is."""

    def __post_init__(self) -> None:
        super().__init__(None, RowDefaults())

    def token(self, spec: str, generation: int) -> Token:
        return token_of(spec.strip('[]"'), generation)

    def differences(self, spec: str, remote: Remote) -> tuple[str, ...]:
        return ()

    def needs_amending(self, spec: str, remote: Remote) -> bool:
        return False

    async def page(
        self, lane: LaneKey, scope: str, marker: str | None, only: Sequence[str] = ()
    ) -> Page[Remote] | Refused:
        self.calls.append("list")
        self.asked.append(len(only))
        return Page(self.shown, None, len(self.shown), 2000) if self.reachable else UNREACHABLE

    async def apply(self, lane: LaneKey, row: ClaimedRow) -> Applied | Refused:
        self.calls.append(f"create {row.generation}")
        return self.answers.pop(0)


@dataclass
class Now:
    """The wall stands still; the rest is the loop's time."""

    def now(self) -> float:
        return T0 + 60

    def steady(self) -> float:
        return asyncio.get_running_loop().time()


class Deaf:
    def emit(self, event: Event) -> None: ...


async def worked(
    place: Path, provider: Provider, rows: int = 1, *, before: Settlement | None = None, died_at: float | None = None
) -> list[RowRecord]:
    """A run of so many rows, worked against the provider; the first may have a history in the run.

    `died_at`: whoever claimed it then died.
    """
    async with open_ledger(str(place / "ledger.db")) as ledger:
        run_id = await open_run(ledger, "night", [row(n + 1) for n in range(rows)])
        if died_at is not None:
            await claimed(ledger, await lease_of(ledger, run_id, now=died_at), now=died_at, limit=1)
        if before is not None:
            lease = await lease_of(ledger, run_id, now=T0)
            await claimed(ledger, lease, now=T0, limit=1)
            await write(ledger, lease, before)
            await ledger.release_lane(lease, T0 + 2)
        sink = Deaf()
        engine = RunEngine(
            ledger=ledger,
            operation=provider,
            run_id=run_id,
            policy=EnginePolicy(
                window=Window(100_000, 1.0),
                verify_s_max=0.0,
                budget=RetryBudget(attempts_max=3, backoff_s_base=0.001, backoff_s_cap=0.001),
            ),
            commit=GroupCommit(ledger, run_id, sink),
            sink=sink,
            clock=Now(),
            stop=Stop(),
            owner="me",
            seed=0,
        )
        await engine.work()
        return await ledger.records(run_id, 0, 100)


async def test_a_refusal_after_silence_is_looked_up_before_it_is_believed(tmp_path: Path) -> None:
    provider = Provider([SILENCE, BEING_OPERATED, WRONG])
    (line,) = await worked(tmp_path, provider)
    assert provider.calls == ["create 0", "create 0", "create 1", "list"]
    assert (line.outcome, line.error_code) == (Outcome.FAILED, "ER.04009005")


async def test_a_row_in_doubt_stays_so_when_its_lane_is_stopped(tmp_path: Path) -> None:
    (line,) = await worked(tmp_path, Provider([SILENCE, BEING_OPERATED, QUOTA]))
    assert line.state is RowState.CLAIMED


async def test_what_silence_made_is_found_after_a_refusal(tmp_path: Path) -> None:
    thing = Remote(NaturalKey(row(1).wish.key), "fl-1", "available", True, T0 + 61, {})  # type: ignore[union-attr]
    (line,) = await worked(tmp_path, Provider([SILENCE, BEING_OPERATED, WRONG], shown=(thing,)))
    assert (line.outcome, line.remote_id) == (Outcome.CREATED, "fl-1")


async def test_a_row_of_a_dead_process_that_is_pending_is_not_sent_again(tmp_path: Path) -> None:
    thing = Remote(NaturalKey(row(1).wish.key), "fl-1", "pending", True, T0, {})  # type: ignore[union-attr]
    provider = Provider([], shown=(thing,))
    (line,) = await worked(tmp_path, provider, died_at=T0)
    assert provider.calls == ["list"]
    assert (line.state, line.generation, line.remote_id) == (RowState.ACCEPTED, 0, "fl-1")


async def test_what_was_refused_to_a_dead_process_is_asked_again_under_another_token(tmp_path: Path) -> None:
    """The provider repeats its refusal to the old token, though the quota was raised since."""
    made = Applied("fl-1", "available", enabled=True, as_wished=True, http_status=202, request_id="")
    provider = Provider([USED_UP, made])
    (line,) = await worked(tmp_path, provider, died_at=T0)
    assert provider.calls == ["list", "create 0", "create 1"]
    assert (line.outcome, line.generation) == (Outcome.CREATED, 1)


async def test_a_row_of_a_dead_process_is_looked_up_again_after_silence(tmp_path: Path) -> None:
    provider = Provider([SILENCE, QUOTA])
    (line,) = await worked(tmp_path, provider, died_at=T0)
    assert provider.calls == ["list", "create 0", "create 0"]
    assert line.state is RowState.CLAIMED


@pytest.mark.parametrize(("died_at", "asked"), [(T0, [1]), (T0 - 3600, [0])])
async def test_who_goes_on_soon_looks_up_only_what_is_in_doubt(
    tmp_path: Path, died_at: float, asked: list[int]
) -> None:
    """A million rows are not listed again before the first of them is sent."""
    made = Applied("fl-1", "available", enabled=True, as_wished=True, http_status=202, request_id="")
    provider = Provider([made] * 25)
    lines = await worked(tmp_path, provider, rows=25, died_at=died_at)
    assert provider.asked == asked
    assert {line.outcome for line in lines} == {Outcome.CREATED}


async def test_a_row_that_was_refused_for_good_is_looked_up_before_it_fails(tmp_path: Path) -> None:
    thing = Remote(NaturalKey(row(1).wish.key), "fl-1", "available", True, T0 - 9000, {})  # type: ignore[union-attr]
    for number, (shown, outcome) in enumerate([((thing,), Outcome.EXISTS), ((), Outcome.FAILED)]):
        (tmp_path / str(number)).mkdir()
        (line,) = await worked(tmp_path / str(number), Provider([WRONG], shown=shown))
        assert line.outcome is outcome


async def test_what_a_listing_shows_pending_has_not_vanished(tmp_path: Path) -> None:
    thing = Remote(NaturalKey(row(1).wish.key), "fl-1", "pending", True, T0, {})  # type: ignore[union-attr]
    taken = Settlement(1, RowState.CLAIMED, RowState.ACCEPTED, attempts=1, remote_id="fl-1", remote_state="pending")
    provider = Provider([], shown=(thing,))
    (line,) = await worked(tmp_path, provider, before=taken)
    assert provider.calls == ["list"]
    assert (line.state, line.generation, line.remote_id) == (RowState.ACCEPTED, 0, "fl-1")


async def test_a_spent_token_stays_spent_when_its_row_is_put_back_unsent(tmp_path: Path) -> None:
    async with open_ledger(str(tmp_path / "ledger.db")) as ledger:
        lease = await lease_of(ledger, await open_run(ledger, "night", [row(1)]), now=T0)
        for spent in (True, False):
            await claimed(ledger, lease, now=T0)
            await write(ledger, lease, Settlement(1, RowState.CLAIMED, RowState.PLANNED, spent=spent))
        (again,) = await claimed(ledger, lease, now=T0)
        assert again.due_generation == 1


async def test_rows_that_were_skipped_unsent_are_not_in_doubt_later(tmp_path: Path) -> None:
    async with open_ledger(str(tmp_path / "ledger.db")) as ledger:
        run_id = await open_run(ledger, "night", [row(1)])
        lease = await lease_of(ledger, run_id, now=T0)
        await claimed(ledger, lease, now=T0)
        skipped = Settlement(1, RowState.CLAIMED, RowState.SETTLED, Outcome.SKIPPED, settled_at=T0)
        await write(ledger, lease, skipped)
        await ledger.reopen(run_id)
        (again,) = await claimed(ledger, lease, now=T0 + 9)
        assert again.used_at is None


@pytest.mark.timeout(20)
async def test_a_lane_that_cannot_be_reached_is_given_up_at_its_first_listing(tmp_path: Path) -> None:
    provider = Provider([], reachable=False)
    lines = await worked(tmp_path, provider, rows=25)
    assert provider.calls == ["list"] * 3
    assert {line.state for line in lines} == {RowState.PLANNED}
