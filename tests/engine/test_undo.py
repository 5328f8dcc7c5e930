"""Taking a run back, reading by reading: what a provider shows that deletes late, forgets dates, or is not alone."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from batcher.engine.context import EnginePolicy
from batcher.engine.run import RunEngine
from batcher.engine.stop import Stop
from batcher.engine.undo import undo_lane
from batcher.events import Event
from batcher.ledger.group_commit import GroupCommit
from batcher.ledger.open import open_ledger
from batcher.ledger_port import Ledger
from batcher.model import (
    Applied,
    Kind,
    LaneKey,
    Outcome,
    Page,
    Refused,
    Remote,
    RowState,
    RunId,
    Settlement,
    Stops,
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
    settled,
    write,
)

UNDO = RunId("undo")
NOW = T0 + 600
ANSWER_S = 30.0
DELETING = Applied("fl-1", "deleting", True, True, 202, "req")
SILENCE = Refused(Kind.TRANSIENT, Stops.ROW, "BATCHER.NoAnswer", "no answer", ambiguous=True)
IN_DOUBT = settled(1, Outcome.IN_DOUBT)
MADE = settled(1, remote_id="fl-1", http_status=202)


def log(remote_id: str = "fl-1", state: str = "available", *, at: float | None = T0 + 4) -> Remote:
    """A flow log of row 1."""
    return Remote(key_of("row-1"), remote_id, state, enabled=True, created_at=at, fields={})


@dataclass
class Provider(FlowLogs):
    """Shows one listing after the other, the last of them for ever; answers each delete as it is told."""

    shows: list[tuple[Remote, ...]]
    answers: list[Applied | Refused] = field(default_factory=lambda: [DELETING])
    deleted: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(None, RowDefaults())

    def differences(self, spec: str, remote: Remote) -> tuple[str, ...]:
        return ()

    def needs_amending(self, spec: str, remote: Remote) -> bool:
        return False

    async def page(
        self, lane: LaneKey, scope: str, marker: str | None, only: Sequence[str] = ()
    ) -> Page[Remote] | Refused:
        shown = self.shows.pop(0) if len(self.shows) > 1 else self.shows[0]
        return Page(shown, None, len(shown), 2000)

    async def remove(self, lane: LaneKey, spec: str, remote: Remote) -> Applied | Refused:
        self.deleted.append(remote.remote_id)
        return self.answers.pop(0)


class Hasty(Stop):
    """Nobody sleeps: time passes instead."""

    def __init__(self) -> None:
        super().__init__()
        self.passed_s = 0.0

    def now(self) -> float:
        return NOW + self.passed_s

    def steady(self) -> float:
        return self.passed_s

    async def sleep(self, duration_s: float) -> bool:
        self.passed_s += duration_s
        return True


class Deaf:
    def emit(self, event: Event) -> None: ...


async def taken_back(
    place: Path,
    provider: Provider,
    parent: Settlement,
    *,
    sittings: int = 1,
    before: Callable[[Ledger], object] | None = None,
    quiet_since: float = T0 + 60,
) -> tuple[RowRecord, float]:
    """The only row of a run, which ended so, once the run was taken back; and how long that took."""
    async with open_ledger(str(place / "ledger.db")) as ledger:
        lease = await lease_of(ledger, await open_run(ledger, "night", [row(1)]))
        await claimed(ledger, lease)
        await write(ledger, lease, parent)
        await end(ledger, lease.run_id)
        await ledger.create_run(dataclasses.replace(run_record(UNDO, parent="night"), operation="undo"))
        assert await ledger.copy_made(UNDO, lease.run_id) == 1
        await ledger.index_keys(UNDO)
        await ledger.open_run(UNDO, COLUMNS, {})
        if before is not None:
            await before(ledger)  # type: ignore[misc]
        time = Hasty()
        for _ in range(sittings):
            await _sitting(ledger, provider, time, quiet_since)
        (record,) = await everything(ledger, UNDO)
        return record, time.passed_s


async def _sitting(ledger: Ledger, provider: Provider, time: Hasty, quiet_since: float) -> None:
    engine = RunEngine(
        ledger=ledger,
        operation=provider,
        run_id=UNDO,
        policy=EnginePolicy(
            window=Window(100_000, 1.0),
            answer_s_max=ANSWER_S,
            lease_s=3600.0,  # nobody renews it in hasty time
            budget=RetryBudget(attempts_max=3, backoff_s_base=0.001, backoff_s_cap=0.001),
        ),
        commit=GroupCommit(ledger, UNDO, Deaf()),
        sink=Deaf(),
        clock=time,
        stop=time,
        owner="me",
        seed=0,
        work_lane=partial(undo_lane, force=False, quiet_since=quiet_since),
    )
    await engine.work()


async def test_what_somebody_made_right_after_the_delete_does_not_hide_that_it_was_deleted(tmp_path: Path) -> None:
    provider = Provider([(log(),), (log("fl-2", at=NOW),)])
    record, _ = await taken_back(tmp_path, provider, MADE)
    assert (record.outcome, record.remote_id, record.error_code) == (Outcome.DELETED, "fl-1", "")
    assert provider.deleted == ["fl-1"]


async def test_a_listing_that_still_shows_it_is_read_again_and_the_delete_is_not_sent_again(tmp_path: Path) -> None:
    provider = Provider([(log(),), (log(),), (log(state="deleting"),), ()])
    record, passed_s = await taken_back(tmp_path, provider, MADE)
    assert (record.outcome, record.remote_state, record.attempts) == (Outcome.DELETED, "deleted", 1)
    assert passed_s == 1 + 2 + 4
    assert provider.deleted == ["fl-1"]


async def test_a_delete_that_did_nothing_is_sent_again_by_the_next_sitting(tmp_path: Path) -> None:
    provider = Provider([(log(),)], answers=[DELETING, DELETING])
    record, passed_s = await taken_back(tmp_path, provider, MADE)
    assert (record.state, record.remote_id, provider.deleted) == (RowState.ACCEPTED, "fl-1", ["fl-1"])
    assert 300 <= passed_s < 330
    provider = Provider([(log(),)], answers=[DELETING, DELETING])
    record, _ = await taken_back(tmp_path / "again", provider, MADE, sittings=2)
    assert (record.state, record.attempts, provider.deleted) == (RowState.ACCEPTED, 2, ["fl-1", "fl-1"])


async def test_a_delete_that_was_given_up_and_has_worked_is_told_as_deleted(tmp_path: Path) -> None:
    provider = Provider([(log(),), ()], answers=[SILENCE] * 3)
    record, _ = await taken_back(tmp_path, provider, IN_DOUBT)
    assert (record.outcome, record.remote_id, record.attempts) == (Outcome.DELETED, "fl-1", 3)
    assert record.first_sent_at == NOW


async def test_a_delete_that_was_given_up_and_has_not_worked_is_told_with_its_last_answer(tmp_path: Path) -> None:
    provider = Provider([(log(),)], answers=[SILENCE] * 3)
    record, passed_s = await taken_back(tmp_path, provider, MADE)
    assert (record.outcome, record.error_code, record.attempts) == (Outcome.FAILED, "BATCHER.NoAnswer", 3)
    assert (record.remote_id, record.remote_state) == ("fl-1", "available")
    assert 1 <= passed_s < 2


async def test_what_a_dead_sitting_had_claimed_still_knows_since_when_it_may_be_there(tmp_path: Path) -> None:
    """Though a later run has spent its token: that says nothing of when this one may have been made."""

    async def spent_and_claimed(ledger: Ledger) -> None:
        other = await lease_of(ledger, await open_run(ledger, "later", [row(1)]), now=T0 + 100)
        await claimed(ledger, other, now=T0 + 100)
        await write(ledger, other, settled(1, Outcome.FAILED, http_status=400, spent=True, settled_at=T0 + 101))
        await end(ledger, other.run_id)
        lease = await lease_of(ledger, UNDO)
        await ledger.claim_these(lease, [1], NOW)

    provider = Provider([(log(),), ()])
    record, _ = await taken_back(tmp_path, provider, IN_DOUBT, before=spent_and_claimed)
    assert (record.outcome, record.remote_id, provider.deleted) == (Outcome.DELETED, "fl-1", ["fl-1"])


async def test_a_row_without_an_answer_is_waited_for_as_long_as_one_may_be_under_way(tmp_path: Path) -> None:
    record, passed_s = await taken_back(tmp_path, Provider([()]), IN_DOUBT, quiet_since=NOW - 10)
    assert (record.outcome, record.remote_id) == (Outcome.ABSENT, None)
    assert ANSWER_S - 10 <= passed_s < ANSWER_S + 15
    provider = Provider([(), (log(at=NOW + 1),), ()])
    late = settled(1, Outcome.IN_DOUBT, settled_at=NOW - 10)
    record, _ = await taken_back(tmp_path / "late", provider, late, quiet_since=NOW - 10)
    assert (record.outcome, provider.deleted) == (Outcome.DELETED, ["fl-1"])


async def test_what_has_no_date_is_kept(tmp_path: Path) -> None:
    provider = Provider([(log(at=None),)])
    record, _ = await taken_back(tmp_path, provider, MADE)
    assert (record.outcome, record.error_code, provider.deleted) == (Outcome.EXISTS, "BATCHER.Kept", [])


async def test_of_two_things_in_a_rows_place_it_is_its_own_that_counts(tmp_path: Path) -> None:
    provider = Provider([(log("fl-0", at=NOW), log(), log("fl-2", at=NOW)), (log("fl-0", at=NOW),)])
    record, _ = await taken_back(tmp_path, provider, MADE)
    assert (record.outcome, record.remote_id, provider.deleted) == (Outcome.DELETED, "fl-1", ["fl-1"])
