"""Bugs put in on purpose: a simulation that does not find them finds nothing.

Each is a context manager that changes batcher while it is entered, as a careless change of its code would.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any

import pytest

from batcher.cloud.skew import EndpointClock
from batcher.engine import attempt, lane, limiter, row_end, sends, taken
from batcher.engine.absence import Misses
from batcher.engine.context import LaneContext
from batcher.engine.look_up import LookUps
from batcher.engine.row_queue import Work
from batcher.engine.taken import take
from batcher.engine.verify import Follower
from batcher.ledger.hold import Hold
from batcher.ledger.lane_store import LaneStore
from batcher.model import Applied, Lease, Refused, Token, Window
from batcher.operations import flow_log
from batcher.policy.evidence import Sending
from batcher.policy.pace import Pace, pace_of
from batcher.policy.token import derive_token


@contextmanager
def settled_before_the_answer() -> Iterator[None]:
    """A row is settled when it is sent, as what it will be if all goes well."""

    async def send(context: LaneContext, look_ups: LookUps, work: Work) -> bool:
        hoped = Applied("", "available", None, as_wished=True, http_status=202, request_id="")
        take(context, work, hoped)
        await context.call("create", lambda: context.operation.apply(context.lane, work.row))
        return False

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attempt, "_send", send)
        yield


@contextmanager
def token_with_a_random_part() -> Iterator[None]:
    """A token follows from the content and from something else, so that no two plans have the same."""
    something = itertools.count()

    def derive(wish: str, generation: int) -> Token:
        return derive_token(f"{wish}/{next(something)}", generation)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flow_log, "derive_token", derive)
        yield


@contextmanager
def lost_fence() -> Iterator[None]:
    """Nobody checks whether who writes still holds the lane, nor whether the lock is still there."""

    def check(self: LaneStore, lease: Lease) -> int:
        return self._store.run_no(lease.run_id)

    def renew(self: LaneStore, lease: Lease, now: float, ttl_s: float) -> Lease:
        return lease

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LaneStore, "_check", check)
        patch.setattr(LaneStore, "renew", renew)
        patch.setattr(Hold, "check", lambda self: None)
        yield


@contextmanager
def bucket_of_twenty() -> Iterator[None]:
    """The limiter lets twenty calls through at once, at the same rate."""

    def pace(window: Window, **shares: Any) -> Pace:
        return Pace(20.0, pace_of(window, **shares).rate_per_s)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limiter, "pace_of", pace)
        yield


@contextmanager
def evidence_by_claim_time() -> Iterator[None]:
    """What was made since the page of a row was claimed, a minute before its own send, counts as the run's."""

    def since_the_claim(context: LaneContext, work: Work) -> list[Sending]:
        return [replace(sending, earliest=sending.earliest - 60.0) for sending in plain(context, work)]

    plain = sends.sendings_of
    with pytest.MonkeyPatch.context() as patch:
        for module in (taken, row_end):
            patch.setattr(module, "sendings_of", since_the_claim)
        yield


@contextmanager
def absence_by_one_listing() -> Iterator[None]:
    """What one whole listing lacks is taken for gone."""

    async def ask_for(_self: Follower, _numbers: Sequence[int]) -> list[int]:
        return []

    def once(_self: Misses, _scope: str, missing: Sequence[int], _began: float) -> list[int]:
        return list(missing)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Misses, "twice", once)
        patch.setattr(Follower, "_ask_for", ask_for)
        yield


@contextmanager
def one_correction_for_all_endpoints() -> Iterator[None]:
    """When one endpoint has refused the clock, calls to every endpoint are dated by that one's."""
    believed = [0.0]

    def believe(_: EndpointClock, correction_s: float) -> None:
        believed[0] = correction_s

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EndpointClock, "correction_s", property(lambda _: believed[0], believe), raising=False)
        yield


@contextmanager
def stop_without_a_look() -> Iterator[None]:
    """A stop ends a lane without looking what became of what was accepted."""

    async def look_at_nothing(_context: LaneContext, _look_at: object) -> None:
        return None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lane, "look_last", look_at_nothing)
        yield


@contextmanager
def send_counted_when_answered() -> Iterator[None]:
    """A send is put on record before it leaves, and counted only once it was answered."""

    async def count_less(context: LaneContext, work: Work, *, waits: bool) -> None:
        work.sends -= 1
        try:
            await plain(context, work, waits=waits)
        finally:
            work.sends += 1

    plain = sends.mark
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attempt, "mark", count_less)
        yield


@contextmanager
def busy_spends_a_token() -> Iterator[None]:
    """A refusal that may be repeated is taken for the answer to all that went under its token."""

    async def refused(context: LaneContext, look_ups: LookUps, work: Work, said: Refused) -> bool:
        again = await plain(context, look_ups, work, said)
        if again and said.definitive:
            work.new_generation, work.in_doubt = True, False
        return again

    plain = attempt._refused
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attempt, "_refused", refused)
        yield


MUTANTS: Mapping[str, Callable[[], AbstractContextManager[None]]] = {
    mutant.__name__: mutant
    for mutant in (
        settled_before_the_answer,
        token_with_a_random_part,
        lost_fence,
        bucket_of_twenty,
        evidence_by_claim_time,
        absence_by_one_listing,
        one_correction_for_all_endpoints,
        stop_without_a_look,
        send_counted_when_answered,
        busy_spends_a_token,
    )
}
