"""Time from the system."""

import time


class SystemClock:
    """The `Clock` of real runs."""

    def now(self) -> float:
        """Wall clock, seconds since the epoch."""
        return time.time()

    def steady(self) -> float:
        """Seconds since boot, suspended time included where the system counts it."""
        return _steady()


def _boot_time() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


_steady = _boot_time if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic
