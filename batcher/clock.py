"""Time from the system."""

import time
from functools import partial


class SystemClock:
    """The `Clock` of real runs; its methods are the system's own functions, since each row asks ten times.

    `steady` counts suspended time where the system does (Linux: time since boot).
    """

    now = staticmethod(time.time)
    steady = staticmethod(
        partial(time.clock_gettime, time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic
    )
