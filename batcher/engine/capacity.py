"""How many lanes are worked side by side: many that are small, few that are large.

A lane mostly waits: for its pace, for answers, for what it made to become final. A hundred thousand projects of a row
each, a few dozen at a time, would wait for hours. What bounds a run is the number of rows that it has in hand, so a
lane takes the capacity of its rows.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio


class Capacity:
    """So many rows at a time. Who comes first is let in first, so that small lanes do not keep a large one out."""

    def __init__(self, rows_max: int) -> None:
        self._free = rows_max
        self._turn = anyio.Lock()
        self._freed = anyio.Event()

    @asynccontextmanager
    async def of(self, rows: int) -> AsyncIterator[None]:
        """Wait until `rows`, at most all there are, are free, and have them to the end of the block."""
        async with self._turn:
            while self._free < rows:
                self._freed = anyio.Event()
                await self._freed.wait()
            self._free -= rows
        try:
            yield
        finally:
            self._free += rows
            self._freed.set()
