"""What a lane looks at while it sends, and at its end: on a real ledger, against a service that takes its time."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import anyio

from batcher.engine.run import RunEngine
from batcher.engine.stop import Stop
from batcher.model import Applied, ClaimedRow, Kind, LaneKey, Outcome, Page, Refused, Remote, RowState, Stops, Window
from batcher.policy.following import STOP_LOOK_S
from batcher.records import RowRecord
from tests.engine.rig import NIGHT, Cloud, Rig, rig, steady, there, virtual
from tests.ledger.book import open_run, row

FORBIDDEN = Refused(Kind.PERMANENT, Stops.ACCOUNT, "APIGW.0302", "not allowed to list", 403)
QUOTA = Refused(Kind.PERMANENT, Stops.SUBJECT, "ER.04009008", "insufficient quota", 409, definitive=True)
GONE = Refused(Kind.PERMANENT, Stops.SCOPE, "ER.04008001", "no such router", 404, definitive=True)


@dataclass
class Slow(Cloud):
    """What it makes is `pending` for `pending_s`; its routers are listed apart, if `refuses` does not say otherwise."""

    pending_s: float = 3.0
    state: str = "pending"
    refuses: Refused | None = None
    hangs: bool = False
    off: frozenset[str] = frozenset()
    """Rows that are wished off, and are made on."""
    listed: list[tuple[float, str]] = field(default_factory=list)
    """When a router was listed, and which."""
    amended: list[float] = field(default_factory=list)
    scopes: dict[str, str] = field(default_factory=dict)

    async def apply(self, lane: LaneKey, row: ClaimedRow) -> Applied | Refused:
        answer = await super().apply(lane, row)
        self.scopes[self._tokens[row.token].remote_id] = row.scope
        return answer if isinstance(answer, Refused) else replace(answer, as_wished=row.spec not in self.off)

    async def page(
        self, lane: LaneKey, scope: str, marker: str | None, only: Sequence[str] = ()
    ) -> Page[Remote] | Refused:
        self.listed.append((steady(), scope))
        for thing in self.things:
            is_ripe = thing.made_at is not None and there() >= thing.made_at + self.pending_s
            thing.state = "available" if is_ripe else "pending"
        if self.hangs and self.things:
            await anyio.sleep(30.0)
        if self.refuses is not None:
            await self._call("list")
            return self.refuses
        page = await super().page(lane, scope, marker, only)
        assert not isinstance(page, Refused)
        own = tuple(item for item in page.items if self.scopes.get(item.remote_id) == scope)
        return Page(own, None, len(own), 200)

    def needs_amending(self, spec: str, remote: Remote) -> bool:
        return spec in self.off and bool(remote.enabled)

    def differences(self, spec: str, remote: Remote) -> tuple[str, ...]:
        return ("enabled",) if self.needs_amending(spec, remote) else ()

    async def amend(self, lane: LaneKey, spec: str, remote: Remote) -> Applied | Refused:
        await self._call("amend")
        self.amended.append(steady())
        return Applied(remote.remote_id, "available", False, True, 200, "req")

    @property
    def creates_at(self) -> list[float]:
        return [at for at, call in zip(self.at, self.calls, strict=True) if call.startswith("create")]


async def worked(one: Rig, rows: int, routers: int, stop: Stop | None = None, **known: Any) -> list[RowRecord]:
    """A sitting of so many rows, whose routers take turns."""
    await open_run(one.ledger, NIGHT, [row(n + 1, scope=f"er-{n % routers}") for n in range(rows)])
    return await one.work(stop=stop, **{"reconcile": "never", "window": Window(10, 1.0), **known})


def sending(cloud: Slow) -> list[tuple[float, str]]:
    """The looks that were made before the last create."""
    return [(at, scope) for at, scope in cloud.listed if at < cloud.creates_at[-1]]


@virtual
async def test_each_router_is_looked_at_every_half_minute_while_the_lane_sends(tmp_path: Path) -> None:
    async with rig(tmp_path, Slow()) as one:
        rows = await worked(one, 1200, 3)
        cloud = one.cloud
        assert isinstance(cloud, Slow)
        looks = sending(cloud)
        by_router = {scope: [at for at, each in looks if each == scope] for _, scope in looks}
        assert len(by_router) == 3
        for times in by_router.values():
            assert times[0] < 15.0
            assert all(later - at < 31.0 for at, later in pairwise(times))
        assert len(looks) <= 3 * (1 + cloud.creates_at[-1] / 30)
        assert all(each.outcome is Outcome.CREATED for each in rows)


@virtual
async def test_at_a_call_a_minute_the_sends_go_on(tmp_path: Path) -> None:
    async with rig(tmp_path, Slow()) as one:
        await worked(one, 120, 6, window=Window(1, 60.0))
        cloud = one.cloud
        assert isinstance(cloud, Slow)
        assert 6 <= len(sending(cloud)) <= 0.1 * (120 + 12) + 1


@virtual
async def test_many_routers_in_one_lane_take_a_tenth_of_its_pace_at_most(tmp_path: Path) -> None:
    async with rig(tmp_path, Slow()) as one:
        await worked(one, 1000, 500, concurrency=4)
        cloud = one.cloud
        assert isinstance(cloud, Slow)
        looks = sending(cloud)
        assert 60 <= len(looks) <= 0.1 * (1000 + len(looks)) + 1
        assert max(Counter(scope for _, scope in looks).values()) == 1  # each in its turn


@virtual
async def test_what_is_wished_off_is_turned_off_while_the_lane_sends(tmp_path: Path) -> None:
    off = frozenset(f'["row-{number}"]' for number in range(1, 601, 4))
    async with rig(tmp_path, Slow(off=off)) as one:
        rows = await worked(one, 600, 2)
        cloud = one.cloud
        assert isinstance(cloud, Slow)
        assert sum(at < cloud.creates_at[-1] for at in cloud.amended) > 50
        assert len(cloud.amended) == 150
        assert all(each.outcome is Outcome.CREATED for each in rows)


@virtual
async def test_a_listing_that_is_not_allowed_stops_no_create(tmp_path: Path) -> None:
    async with rig(tmp_path, Slow(refuses=FORBIDDEN)) as one:
        await worked(one, 400, 2)
        cloud = one.cloud
        assert isinstance(cloud, Slow)
        assert len(cloud.created) == 400
        assert len(sending(cloud)) == 2  # each router once, and no more


@virtual
async def test_a_router_that_is_stopped_is_looked_at_no_more_while_others_are_sent(tmp_path: Path) -> None:
    class Half(Slow):
        async def apply(self, lane: LaneKey, row: ClaimedRow) -> Applied | Refused:
            if row.scope == "er-1" and len(self.created) > 20:
                self.answers.append(GONE)
                answer = await Cloud.apply(self, lane, row)
                assert isinstance(answer, Refused)
                return answer
            return await super().apply(lane, row)

    async with rig(tmp_path, Half()) as one:
        await worked(one, 600, 2)
        cloud = one.cloud
        assert isinstance(cloud, Slow)
        assert {scope for _, scope in sending(cloud)} == {"er-0"}


@virtual
async def test_without_verifying_nothing_is_looked_at(tmp_path: Path) -> None:
    async with rig(tmp_path, Slow()) as one:
        rows = await worked(one, 400, 2, verify=False)
        cloud = one.cloud
        assert isinstance(cloud, Slow)
        assert cloud.listed == []
        assert all(each.outcome is Outcome.CREATED for each in rows)


async def stopped_at(seconds: float, stop: Stop, code: str) -> None:
    await anyio.sleep(seconds)
    stop.request(code)


@virtual
async def test_a_drain_lists_each_router_once_more(tmp_path: Path) -> None:
    async with rig(tmp_path, Slow(pending_s=1.0)) as one, anyio.create_task_group() as tasks:
        stop = Stop()
        tasks.start_soon(stopped_at, 8.0, stop, "BATCHER.Drained")
        rows = await worked(one, 600, 3, stop)
        cloud = one.cloud
        assert isinstance(cloud, Slow)
        assert Counter(scope for _, scope in cloud.listed) == {"er-0": 1, "er-1": 1, "er-2": 1}
        assert steady() < 8.0 + 2.0
        taken = [each for each in rows if each.state is not RowState.PLANNED]
        assert len(taken) > 60
        assert sum(each.outcome is Outcome.CREATED for each in taken) >= 0.95 * len(taken)


@virtual
async def test_what_the_provider_does_not_answer_holds_up_no_stop(tmp_path: Path) -> None:
    async with rig(tmp_path, Slow(hangs=True)) as one, anyio.create_task_group() as tasks:
        stop = Stop()
        tasks.start_soon(stopped_at, 8.0, stop, "BATCHER.Interrupted")
        rows = await worked(one, 600, 3, stop)
        assert steady() < 8.0 + STOP_LOOK_S + 0.2
        assert sum(each.state is RowState.ACCEPTED for each in rows) > 60


@virtual
async def test_where_access_was_refused_nothing_more_is_asked(tmp_path: Path) -> None:
    async with rig(tmp_path, Slow()) as one, anyio.create_task_group() as tasks:
        stop = Stop()
        tasks.start_soon(stopped_at, 8.0, stop, "BATCHER.AccessRefused")
        await worked(one, 600, 3, stop)
        cloud = one.cloud
        assert isinstance(cloud, Slow)
        assert cloud.listed == []


@virtual
async def test_a_run_that_is_paused_is_drained_at_once(tmp_path: Path) -> None:
    stop = Stop()

    async def pause(engine: RunEngine) -> None:
        await anyio.sleep(4.0)
        engine.pause()
        await anyio.sleep(4.0)
        stop.request("BATCHER.Drained")

    async with rig(tmp_path, Slow()) as one:
        await open_run(one.ledger, NIGHT, [row(n + 1) for n in range(200)])
        await one.work(stop=stop, meanwhile=pause, reconcile="never", window=Window(10, 1.0))
        cloud = one.cloud
        assert isinstance(cloud, Slow)
        assert cloud.listed == []
        assert steady() < 8.1


@virtual
async def test_a_second_signal_ends_the_last_looks_at_once(tmp_path: Path) -> None:
    async with rig(tmp_path, Slow(hangs=True)) as one, anyio.create_task_group() as tasks:
        stop = Stop()
        tasks.start_soon(stopped_at, 8.0, stop, "BATCHER.Interrupted")
        with anyio.move_on_after(10.0) as scope:
            await worked(one, 600, 3, stop)
        assert scope.cancelled_caught
        assert steady() < 10.1


@virtual
async def test_what_was_accepted_before_a_quota_ends_a_lane_is_looked_at(tmp_path: Path) -> None:
    class Full(Slow):
        async def apply(self, lane: LaneKey, row: ClaimedRow) -> Applied | Refused:
            if len(self.things) >= 40:
                self.answers.append(QUOTA)
                return await Cloud.apply(self, lane, row)
            return await super().apply(lane, row)

        def subject(self, spec: str) -> str:
            return spec

    async with rig(tmp_path, Full(pending_s=20.0)) as one:
        rows = await worked(one, 200, 2)
        assert Counter(each.outcome for each in rows) == {Outcome.CREATED: 40, Outcome.FAILED: 3, Outcome.SKIPPED: 157}


@virtual
async def test_a_create_that_hangs_keeps_no_stop_from_looking(tmp_path: Path) -> None:
    """It is given up in time for last looks: it may have worked, and nobody has looked for it."""

    class Hung(Slow):
        async def apply(self, lane: LaneKey, row: ClaimedRow) -> Applied | Refused:
            answer = await super().apply(lane, row)
            if len(self.things) == 50:
                await anyio.sleep(200.0)
            return answer

    async with rig(tmp_path, Hung()) as one, anyio.create_task_group() as tasks:
        stop = Stop()
        tasks.start_soon(stopped_at, 8.0, stop, "BATCHER.Terminated")
        rows = await worked(one, 600, 3, stop)
        taken = [each for each in rows if each.state is not RowState.PLANNED]
        assert len(taken) > 60
        assert steady() < 16.5
        assert Counter(each.state for each in taken)[RowState.CLAIMED] == 1
        assert all(each.outcome is Outcome.CREATED for each in taken if each.state is not RowState.CLAIMED)
