"""An operator's pause of all lanes. Other than a lane's own pause, which a refusal brings, it has no end by itself."""

import anyio

from batcher.ports import Clock


class Halt:
    """While it is on no call is begun; what is in flight settles, and leases are kept."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since: float | None = None
        self._ended_s = 0.0
        self._over = anyio.Event()

    @property
    def is_on(self) -> bool:
        """Whether no call may be begun."""
        return self._since is not None

    def begin(self) -> None:
        """Let no call be begun. Repeatable."""
        if self._since is None:
            self._since = self._clock.steady()
            self._over = anyio.Event()

    def end(self) -> float:
        """Let calls be begun again; for how many seconds they were not. Repeatable."""
        if self._since is None:
            return 0.0
        lasted_s = self._clock.steady() - self._since
        self._since = None
        self._ended_s += lasted_s
        self._over.set()
        return lasted_s

    async def wait(self) -> None:
        """Return once it is not on."""
        while self._since is not None:
            await self._over.wait()

    def worked(self) -> float:
        """The steady clock less all the time that it was on: for how long something has been tried."""
        now = self._clock.steady() if self._since is None else self._since
        return now - self._ended_s
