"""The virtual clock itself: the other tests of this folder believe it."""

import asyncio

import anyio
import pytest

from tests.virtual_time import VirtualClock, run_virtual


def test_a_night_passes_at_once_and_in_order() -> None:
    async def night() -> list[str]:
        clock, heard = VirtualClock(), []

        async def at(delay_s: float, what: str) -> None:
            await anyio.sleep(delay_s)
            heard.append(f"{what} at {clock.steady():.3f}")

        async with anyio.create_task_group() as tasks:
            for delay_s, what in [(28_800.0, "morning"), (0.5, "dusk"), (0.0, "now"), (7200.0, "midnight")]:
                tasks.start_soon(at, delay_s, what)
        return heard

    assert run_virtual(night()) == ["now at 0.000", "dusk at 0.500", "midnight at 7200.000", "morning at 28800.000"]


def test_who_turns_without_end_still_sees_time_pass() -> None:
    async def turn() -> int:
        clock, turns = VirtualClock(), 0
        with anyio.move_on_after(0.001):
            while clock.steady() < 1.0:
                turns += 1
                await anyio.sleep(0)
        return turns

    assert 100 < run_virtual(turn()) <= 1001


def test_timers_can_be_late() -> None:
    async def sleep() -> float:
        await asyncio.sleep(1.0)
        return VirtualClock().steady()

    assert run_virtual(sleep(), late_s=lambda: 0.25) == pytest.approx(1.25, abs=1e-4)


def test_waiting_for_nothing_is_told() -> None:
    async def wait() -> None:
        await asyncio.Event().wait()

    with pytest.raises(RuntimeError, match="nothing will ever happen"):
        run_virtual(wait())
