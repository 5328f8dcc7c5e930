"""The theorem of `policy.pace`, met in virtual time: thousands of limits, ways and restarts, and no window too full.

A case is a server's window of N calls in T seconds, of which a share may be left to others; a way to it that takes
between d and d + J seconds; timers that fire late; and a process that dies, or ends and starts again later, once or
twice. The calls of all processes are put in the order of their arrival, and counted as the server counts them.
"""

import bisect
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import anyio
import pytest

from batcher.engine.limiter import LaneLimiter
from batcher.model import RunId, Window
from batcher.policy.pace import GRAIN_S, pace_of
from tests.engine.rig import NIGHT, Cloud, killed, rig, virtual
from tests.virtual_time import VirtualClock, run_virtual

CASES = 10_000
PARTS = 10
"""The cases are drawn and run in so many tests, each below the time limit of one."""
CALLS_MAX = 120
"""Calls of one case: more than two windows' worth of most."""
WORKERS = 4
USE_MIN = 0.97


@dataclass(frozen=True)
class Case:
    """What is the case; the moments are fractions of the time that the calls would take."""

    window: Window
    reserve: int
    delay_s: float
    jitter_s: float
    late_s: float
    restarts: tuple[tuple[float, float], ...]
    """When a process dies, and how long it then takes until the next."""


def drawn(chance: random.Random) -> Case:
    """A case of any kind, the usual ones most often."""
    calls = chance.choice([chance.randint(2, 10), chance.randint(10, 60), chance.randint(60, 400)])
    period_s = chance.choice([1.0, 1.0, 60.0, chance.uniform(0.2, 5.0), chance.uniform(5.0, 300.0)])
    restarts = tuple(
        (chance.uniform(0.1, 0.9), chance.choice([0.0, 0.0, chance.uniform(0.0, period_s / 2), period_s * 2]))
        for _ in range(chance.choice([0, 0, 1, 1, 2]))
    )
    return Case(
        Window(calls, period_s),
        reserve=chance.choice([0, 0, 0, chance.randint(0, calls // 2)]),
        delay_s=chance.uniform(0.0, 2.0),
        jitter_s=chance.choice([0.0, 0.05, 0.05, chance.uniform(0.0, 1.0)]),
        late_s=chance.choice([0.0, GRAIN_S / 2]),
        restarts=tuple(sorted(restarts, key=lambda restart: restart[0])),
    )


async def released(case: Case) -> tuple[list[float], float]:
    """When the calls of all processes are let go, and how long they had leave to call."""
    clock = VirtualClock()
    pace = pace_of(case.window, reserve=case.reserve, jitter_s=case.jitter_s)
    whole_s = CALLS_MAX / pace.rate_per_s
    times: list[float] = []
    worked_s = 0.0
    ends = [(whole_s * at, pause_s) for at, pause_s in case.restarts]
    for end_s, pause_s in [*ends, (whole_s, 0.0)]:
        limiter = LaneLimiter(case.window, clock, reserve=case.reserve, jitter_s=case.jitter_s, was_called=bool(times))
        began, seconds = clock.steady(), end_s - worked_s
        await _calls(limiter, began + seconds, times)
        worked_s += seconds
        await anyio.sleep(pause_s)
    return times, worked_s


async def _calls(limiter: LaneLimiter, until_s: float, times: list[float]) -> None:
    clock = VirtualClock()

    async def work() -> None:
        while await limiter.acquire() and clock.steady() < until_s:
            times.append(clock.steady())

    with anyio.move_on_at(until_s):
        async with anyio.create_task_group() as tasks:
            for _ in range(WORKERS):
                tasks.start_soon(work)


def most_in_a_window(times: list[float], period_s: float) -> int:
    ordered = sorted(times)
    return max(bisect.bisect_left(ordered, start + period_s) - index for index, start in enumerate(ordered))


@pytest.mark.timeout(120)
@pytest.mark.parametrize("part", range(PARTS))
def test_no_window_of_the_server_sees_more_than_its_limit_and_hardly_any_is_wasted(part: int) -> None:
    chance = random.Random(f"windows {part}")
    for number in range(CASES // PARTS):
        case = drawn(chance)
        late: Callable[[], float] = partial(chance.uniform, 0.0, case.late_s) if case.late_s else float
        times, worked_s = run_virtual(released(case), late_s=late)
        arrived = [time + case.delay_s + chance.uniform(0.0, case.jitter_s) for time in times]
        allowed = max(1, case.window.calls - case.reserve)
        assert most_in_a_window(arrived, case.window.period_s) <= allowed, (number, case)
        pace = pace_of(case.window, reserve=case.reserve, jitter_s=case.jitter_s)
        starts = 1 + len(case.restarts)  # each process may have to wait for its first call, and be cut off at its last
        assert len(times) >= USE_MIN * pace.rate_per_s * worked_s - starts * (pace.bucket + 1), (number, case)


@pytest.mark.parametrize("is_killed", [True, False])
@virtual
async def test_a_wall_clock_that_was_set_forward_between_two_processes_hurries_no_call(
    tmp_path: Path, is_killed: bool
) -> None:
    """The second goes on with the run of the first, which was killed, or begins another in the same place."""
    window = Window(1, 10.0)
    async with rig(tmp_path, Cloud([killed] if is_killed else [])) as work:
        await work.plan()
        await (work.dies(window=window) if is_killed else work.work(window=window))
        before = len(work.cloud.at)
        work.wall.ahead_s = 86_400.0
        await work.work(NIGHT if is_killed else await work.plan(RunId("next")), window=window)
        assert 0 < before < len(work.cloud.at)
        assert most_in_a_window(work.cloud.at, window.period_s) == window.calls
