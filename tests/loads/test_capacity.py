"""How many lanes are worked side by side, and how little is kept of many rows."""

import tracemalloc

import anyio
from hypothesis import given
from hypothesis import strategies as st

from batcher.engine.capacity import Capacity
from batcher.engine.context import EnginePolicy
from batcher.engine.row_set import RowSet
from batcher.model import Window
from tests.virtual_time import VirtualClock, run_virtual


def turns(rows_max: int, *lanes: int) -> list[tuple[int, float]]:
    """When each of these lanes, by its rows, is let in; each stays for a second."""
    let_in: list[tuple[int, float]] = []

    async def main() -> None:
        capacity, clock = Capacity(rows_max), VirtualClock()

        async def stay(rows: int) -> None:
            async with capacity.of(rows):
                let_in.append((rows, round(clock.steady(), 1)))
                await anyio.sleep(1)

        async with anyio.create_task_group() as tasks:
            for rows in lanes:
                tasks.start_soon(stay, rows)

    run_virtual(main())
    began = let_in[0][1]
    return [(rows, round(at - began, 1)) for rows, at in let_in]


def test_lanes_are_let_in_as_far_as_their_rows_fit() -> None:
    assert turns(8, 1, 1, 1, 1, 1, 1, 1, 1) == [(1, 0.0)] * 8
    assert turns(8, 4, 4, 4) == [(4, 0.0), (4, 0.0), (4, 1.0)]
    assert turns(8, 8, 8, 8) == [(8, 0.0), (8, 1.0), (8, 2.0)]


def test_a_large_lane_is_not_kept_out_by_small_ones_that_came_later() -> None:
    assert turns(8, 2, 8, 1, 1) == [(2, 0.0), (8, 1.0), (1, 2.0), (1, 2.0)]


def test_a_lane_takes_the_capacity_of_its_rows_but_never_more_than_its_concurrency() -> None:
    policy = EnginePolicy(window=Window(10, 1.0), concurrency=16)
    assert [policy.rows_of(rows) for rows in (0, 1, 15, 16, 1_000_000)] == [1, 1, 15, 16, 16]
    assert policy.rows_max == 64 * 16


@given(st.sets(st.integers(1, 5_000)), st.lists(st.integers(1, 5_000)))
def test_a_row_set_holds_what_was_put_in(put_in: set[int], asked: list[int]) -> None:
    rows = RowSet()
    for row_no in put_in:
        rows.add(row_no)
    assert [row_no in rows for row_no in asked] == [row_no in put_in for row_no in asked]
    assert list(rows.missing(asked)) == [row_no for row_no in asked if row_no not in put_in]


def test_a_row_set_of_a_hundred_thousand_rows_takes_a_bit_a_row() -> None:
    tracemalloc.start()
    try:
        rows = RowSet()
        for row_no in range(1, 100_001):
            rows.add(row_no)
        assert tracemalloc.get_traced_memory()[0] < 50_000
    finally:
        tracemalloc.stop()
