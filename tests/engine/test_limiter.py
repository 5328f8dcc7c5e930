"""The pace of a lane, measured where the provider measures it: in any window, over minutes of virtual time."""

import bisect
import itertools
import random
from collections.abc import Callable

import anyio
import pytest

from batcher.engine.halt import Halt
from batcher.engine.limiter import LaneLimiter
from batcher.model import CallClass, Window
from batcher.policy.pace import GRAIN_S, JITTER_S, pace_of
from tests.virtual_time import VirtualClock, run_virtual

WORKERS = 16
TIMELY: Callable[[], float] = float


async def _calls(limiter: LaneLimiter, until_s: float) -> list[float]:
    """When the calls of many workers are let go that want to call without end, up to `until_s`."""
    clock = VirtualClock()
    times: list[float] = []

    async def work() -> None:
        while await limiter.acquire() and clock.steady() < until_s:
            times.append(clock.steady())

    async with anyio.create_task_group() as tasks:
        for _ in range(WORKERS):
            tasks.start_soon(work)
    return times


def _most_in_a_window(times: list[float], period_s: float) -> int:
    ordered = sorted(times)
    return max(bisect.bisect_left(ordered, start + period_s) - index for index, start in enumerate(ordered))


@pytest.mark.parametrize("timers", ["timely", "late"])
@pytest.mark.parametrize(
    ("window", "seconds"),
    [(Window(200, 1.0), 20.0), (Window(10, 1.0), 120.0), (Window(100, 60.0), 900.0), (Window(1, 1.0), 60.0)],
)
def test_no_window_sees_more_than_the_limit_and_hardly_any_pace_is_lost(
    window: Window, seconds: float, timers: str
) -> None:
    chance = random.Random(7)
    # A loop's timers are late by less than half a grain, as `policy.pace` has measured.
    late_s = TIMELY if timers == "timely" else lambda: chance.uniform(0.0, GRAIN_S / 2)
    released = run_virtual(_saturated(window, seconds), late_s=late_s)
    arrived = [time + chance.uniform(0.0, JITTER_S) for time in released]
    assert _most_in_a_window(arrived, window.period_s) <= window.calls
    assert len(released) >= 0.97 * pace_of(window).rate_per_s * seconds


async def _saturated(window: Window, seconds: float) -> list[float]:
    return await _calls(LaneLimiter(window, VirtualClock()), seconds)


def test_after_a_silence_no_more_than_the_bucket_comes_at_once() -> None:
    async def silence() -> list[float]:
        limiter = LaneLimiter(Window(200, 1.0), VirtualClock())
        await anyio.sleep(3600.0)
        return await _calls(limiter, 3601.5)

    released = run_virtual(silence())
    assert _most_in_a_window(released, 1.0) <= 200
    assert _most_in_a_window(released, 0.001) == 2


def test_a_pause_silences_the_lane_and_the_longer_of_two_holds() -> None:
    async def paused() -> list[float]:
        limiter = LaneLimiter(Window(10, 1.0), VirtualClock())

        async def pause() -> None:
            await anyio.sleep(10.0)
            limiter.pause(30.0)
            await anyio.sleep(1.0)
            limiter.pause(5.0)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(pause)
            return await _calls(limiter, 60.0)
        raise AssertionError  # mypy: a task group may swallow

    released = run_virtual(paused())
    assert any(time < 10.0 for time in released)
    assert any(40.0 <= time < 40.2 for time in released)
    assert not [time for time in released if 10.001 < time < 40.0]
    assert _most_in_a_window(released, 1.0) <= 10


def test_a_pause_before_the_first_call_is_kept() -> None:
    async def first() -> float:
        limiter = LaneLimiter(Window(10, 1.0), VirtualClock())
        limiter.pause(3.0)
        assert await limiter.acquire()
        return VirtualClock().steady()

    assert run_virtual(first()) == pytest.approx(3.0, abs=0.01)


def test_a_limit_that_the_provider_names_is_kept_from_then_on() -> None:
    async def learning() -> tuple[LaneLimiter, list[float]]:
        limiter = LaneLimiter(Window(200, 1.0), VirtualClock())

        async def learn() -> None:
            await anyio.sleep(2.0)
            limiter.learn(Window(10, 1.0))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(learn)
            times = await _calls(limiter, 30.0)
        return limiter, times

    limiter, released = run_virtual(learning())
    assert (limiter.window, limiter.learnt) == (Window(10, 1.0), {CallClass.ALL: Window(10, 1.0)})
    after = [time for time in released if time > 2.0]
    assert _most_in_a_window(after, 1.0) <= 10
    assert len(after) >= 0.97 * pace_of(Window(10, 1.0)).rate_per_s * 28.0


def test_a_wider_limit_than_the_one_asked_for_changes_nothing_but_is_noted() -> None:
    async def learning() -> tuple[LaneLimiter, list[float]]:
        limiter = LaneLimiter(Window(10, 1.0), VirtualClock())
        limiter.learn(Window(1000, 1.0))
        return limiter, await _calls(limiter, 30.0)

    limiter, released = run_virtual(learning())
    assert limiter.window == Window(10, 1.0)
    assert limiter.learnt == {CallClass.ALL: Window(1000, 1.0)}
    assert _most_in_a_window(released, 1.0) <= 10


def test_a_narrower_limit_is_not_widened_again() -> None:
    async def learning() -> Window:
        limiter = LaneLimiter(Window(200, 1.0), VirtualClock())
        for window in (Window(20, 1.0), Window(10, 1.0), Window(50, 1.0)):
            limiter.learn(window)
        return limiter.window

    assert run_virtual(learning()) == Window(10, 1.0)


@pytest.mark.parametrize("waits_for", ["its turn", "the end of a pause"])
def test_closing_lets_nobody_through_and_wakes_who_waits(waits_for: str) -> None:
    async def closing() -> tuple[list[bool], float]:
        clock = VirtualClock()
        limiter = LaneLimiter(Window(1, 600.0), clock)
        if waits_for == "its turn":
            assert await limiter.acquire()
        else:
            limiter.pause(600.0)
        answers: list[bool] = []

        async def ask() -> None:
            answers.append(await limiter.acquire())

        async with anyio.create_task_group() as tasks:
            for _ in range(WORKERS):
                tasks.start_soon(ask)
            await anyio.sleep(1.0)
            limiter.close()
        limiter.close()
        answers.append(await limiter.acquire())
        return answers, clock.steady()

    answers, at = run_virtual(closing())
    assert answers == [False] * (WORKERS + 1)
    assert at == pytest.approx(1.0, abs=0.01)


def test_who_gives_up_waiting_costs_the_others_nothing() -> None:
    async def cancelling() -> list[float]:
        clock = VirtualClock()
        limiter = LaneLimiter(Window(10, 1.0), clock)
        for _ in range(50):
            with anyio.move_on_after(0.001):
                await limiter.acquire()
        began = clock.steady()
        return [time - began for time in await _calls(limiter, began + 10.0)]

    spacing_s = 1 / pace_of(Window(10, 1.0)).rate_per_s
    released = run_virtual(cancelling())
    assert all(gap <= spacing_s + 0.01 for gap in _gaps([0.0, *released]))


def _gaps(times: list[float]) -> list[float]:
    return [later - sooner for sooner, later in itertools.pairwise(times)]


def test_a_pause_can_be_waited_out_without_leave_to_call() -> None:
    async def main() -> tuple[float, bool, bool]:
        limiter, clock = LaneLimiter(Window(10, 1.0), VirtualClock()), VirtualClock()
        assert await limiter.unpaused()
        limiter.pause(5.0)
        passed = await limiter.unpaused()
        waited = clock.steady()
        limiter.pause(3600.0)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(anyio.sleep, 1.0)
            found: list[bool] = []

            async def wait() -> None:
                found.append(await limiter.unpaused())

            tasks.start_soon(wait)
            await anyio.sleep(0.5)
            limiter.close()
        return waited, passed, found[0] or await limiter.unpaused()

    waited, passed, after_close = run_virtual(main())
    assert waited == pytest.approx(5.0, abs=0.01)
    assert (passed, after_close) == (True, False)


def _after(act: Callable[[LaneLimiter], None], limiter: LaneLimiter, at_s: float, until_s: float) -> list[float]:
    """When calls are let go up to `until_s`, of which `act` changes the pace at `at_s`."""

    async def main() -> list[float]:
        async def change() -> None:
            await anyio.sleep(at_s)
            act(limiter)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(change)
            return await _calls(limiter, until_s)
        raise AssertionError  # mypy: a task group may swallow

    return run_virtual(main())


def test_who_waits_under_a_slow_rate_goes_on_at_once_under_a_fast_one() -> None:
    limiter = LaneLimiter(Window(1, 600.0), VirtualClock())
    released = _after(lambda limiter: limiter.set_window(Window(10, 1.0)), limiter, 5.0, 35.0)
    after = [time for time in released if time > 5.0]
    assert after[0] < 5.5
    assert _most_in_a_window(after, 1.0) <= 10
    assert len(after) >= 0.97 * pace_of(Window(10, 1.0)).rate_per_s * 30.0


def test_a_slower_rate_holds_from_the_next_call_on() -> None:
    limiter = LaneLimiter(Window(200, 1.0), VirtualClock())
    released = _after(lambda limiter: limiter.set_window(Window(2, 1.0)), limiter, 5.0, 65.0)
    after = [time for time in released if time > 5.0]
    assert _most_in_a_window(after, 1.0) <= 2
    assert len(after) >= 0.97 * pace_of(Window(2, 1.0)).rate_per_s * 60.0


def test_a_rate_that_is_asked_for_never_exceeds_a_limit_that_was_named() -> None:
    limiter = LaneLimiter(Window(5, 1.0), VirtualClock())
    limiter.learn(Window(10, 1.0))
    released = _after(lambda limiter: limiter.set_window(Window(500, 1.0)), limiter, 2.0, 30.0)
    assert limiter.window == Window(10, 1.0)
    assert _most_in_a_window(released, 1.0) <= 10


def test_a_limit_of_writes_that_did_not_matter_before_is_kept_under_a_faster_rate() -> None:
    """Named when 5/s were asked for, 10/s for writes alone asked for no bucket of their own."""
    limiter = LaneLimiter(Window(5, 1.0), VirtualClock())
    limiter.learn(Window(10, 1.0), CallClass.WRITE)
    released = _after(lambda limiter: limiter.set_window(Window(500, 1.0)), limiter, 2.0, 30.0)
    assert limiter.window == Window(500, 1.0)
    assert _most_in_a_window(released, 1.0) <= 10
    assert limiter.rate_per_s(CallClass.READ) > 10 > limiter.rate_per_s(CallClass.WRITE)


def test_a_limit_of_writes_is_kept_while_the_rate_is_searched_for() -> None:
    async def main() -> list[float]:
        limiter, clock = LaneLimiter(None, VirtualClock()), VirtualClock()
        limiter.learn(Window(5, 1.0), CallClass.WRITE)
        times: list[float] = []
        while clock.steady() < 60.0:
            assert await limiter.acquire(CallClass.READ)
            limiter.note_answer(CallClass.READ)
        for _ in range(100):
            assert await limiter.acquire(CallClass.WRITE)
            limiter.note_answer(CallClass.WRITE)
            times.append(clock.steady())
        return times

    assert _most_in_a_window(run_virtual(main()), 1.0) <= 5


def test_a_rate_to_be_found_is_a_limit_that_is_known_or_is_searched_for_from_the_start() -> None:
    async def main() -> list[tuple[bool, Window]]:
        limiter = LaneLimiter(Window(200, 1.0), VirtualClock())
        limiter.set_window(None)
        found = [(limiter.search is not None, limiter.window)]
        limiter.learn(Window(20, 1.0))
        for window in (Window(2, 1.0), None):
            limiter.set_window(window)
            found.append((limiter.search is not None, limiter.window))
        return found

    assert run_virtual(main()) == [(True, Window(10, 10.0)), (False, Window(2, 1.0)), (False, Window(20, 1.0))]


def test_while_it_is_halted_nobody_gets_leave_and_a_close_still_ends_it() -> None:
    async def main() -> tuple[list[float], list[bool]]:
        clock = VirtualClock()
        halt = Halt(clock)
        limiter = LaneLimiter(Window(10, 1.0), clock)
        limiter.obey(halt, lambda _window, _source: None)

        async def operator() -> None:
            await anyio.sleep(5.0)
            halt.begin()
            halt.begin()
            limiter.pause(3.0)  # ends by itself, and does not end the other
            await anyio.sleep(3600.0)
            assert limiter.is_paused
            assert halt.worked() == pytest.approx(5.0, abs=0.01)
            assert halt.end() == pytest.approx(3600.0, abs=0.01)
            assert halt.end() == 0.0
            await anyio.sleep(5.0)
            halt.begin()
            await anyio.sleep(1.0)
            limiter.close()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(operator)
            released = await _calls(limiter, 10_000.0)
        return released, [await limiter.acquire(), await limiter.unpaused()]

    released, after_close = run_virtual(main())
    assert not [time for time in released if 5.001 < time < 3605.0]
    again = [time for time in released if time >= 3605.0]
    assert again[0] < 3605.2
    assert 40 <= len(again) <= 50
    assert _most_in_a_window(released, 1.0) <= 10
    assert after_close == [False, False]
