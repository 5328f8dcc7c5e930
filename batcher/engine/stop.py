"""The two ways in which a run is stopped from outside: softly (`request`) and at once (cancel its task group)."""

import anyio


class Stop:
    """A soft stop: take no more rows, let what is in flight settle, and end. The first cause is kept."""

    def __init__(self) -> None:
        self.code = ""
        self._requested = anyio.Event()

    @property
    def is_requested(self) -> bool:
        """Whether somebody has asked to stop."""
        return self._requested.is_set()

    def request(self, code: str) -> None:
        """Ask to stop because of `code` (`BATCHER.<Name>`). Repeatable; the first code stays."""
        if not self._requested.is_set():
            self.code = code
            self._requested.set()

    async def wait(self) -> None:
        """Return once a stop is requested."""
        await self._requested.wait()

    async def sleep(self, duration_s: float) -> bool:
        """Sleep, but no longer than until a stop is requested; whether the whole time has passed."""
        with anyio.move_on_after(duration_s):
            await self._requested.wait()
            return False
        return True
