"""What an emulator is started with; some of it can be changed while it runs (`control.py`)."""

import ipaddress
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from batcher.emulator.bodies import PAGE_ITEMS_MAX
from batcher.emulator.faults import FaultShares
from batcher.emulator.throttle import Throttle

CLOCK_SKEW_S_MAX = 10 * 366 * 86400.0
"""Ten years: a clock that was never set; beyond it a date may have no form."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmulatorSettings:
    """How the emulated cloud behaves. ValueError for a value out of range.

    - `host`: a loopback address; `port`: 0 takes a free one.
    - `state_path`: the state file, made if missing; None keeps the state in memory.
    - `keys`: access keys with their secrets; `auth_tokens`: accepted `X-Auth-Token` values.
    - `control`: whether `/_emulator` is served at all; `control_secret`: what its callers must show (`control.py`),
      empty where every user of this machine may call it.
    - `pending_s`: how long a new flow log stays `pending`; with 0 the 202 itself says `available`.
    - `failed_share`: the share (0..1) of flow logs that end in `failed` instead of `available`; what control decided
      for an attachment (`fates.py`) comes first.
    - `deleting_s`: how long a deleted flow log is still listed and shown, as `deleting`; with 0 it is gone at once.
      Until it is gone it keeps its natural key and counts for the quota.
    - `listing_lag_s`: for how long a listing does not show a new flow log; `delete_lag_s`: for how long it still shows
      one that is gone, in its last state. What is asked for by its id is shown as it is.
    - `tombstones`: what is gone stays in listings for good, as `deleted`; it counts for nothing else.
    - `unique`: whether an attachment, log group and stream can have one flow log only, or several.
    - `date_shift_s`: added to the dates of flow logs, as by a service whose clock is not the gateway's.
    - `page_max`: the most items (1..2000) of a page of routers, attachments or flow logs, whatever `limit` says.
    - `throttle`: calls admitted per project; None admits all.
    - `quota`: flow logs per project, -1 is unlimited; `project_quotas`: of those that have another.
    - `latency_s`: added to every answer of the API, after the call took effect.
    - `token_lifetime_s`: how long an `X-Client-Token` can be repeated. The default, 8 h, is what ECS
      documents ("Idempotency", 2025-11-25); Enterprise Router documents nothing. `remember_tokens`: whether they can
      be repeated at all; otherwise every call is a new one.
    - `open_world`: routers and attachments come into being on first use, every name has a project, and log groups and
      streams are those that flow logs use; otherwise all of them must be seeded. A project takes any log group and
      stream while none was seeded for it, then those alone that it lists. A list that lacks what a create would take
      says so: its answer has a member `open_world`.
    - `clock_skew_s`: how far the gateway's clock runs ahead of `now`, or behind it where negative. It is the clock of
      the `Date` header, of the check of `X-Sdk-Date` and of the dates of flow logs. It does not run ahead with
      `POST /_emulator/clock`: what was made before is dated earlier then.
    - `faults`: shares of calls that go wrong; `seed`: decides which, and makes the ids.
    - `now`: the time in Unix seconds.
    """

    host: str = "127.0.0.1"
    port: int = 0
    state_path: Path | None = None
    keys: Mapping[str, str] = field(default_factory=lambda: {"EMULATORAK": "EMULATORSK"})
    auth_tokens: frozenset[str] = frozenset()
    control: bool = True
    control_secret: str = ""
    pending_s: float = 0.0
    failed_share: float = 0.0
    deleting_s: float = 0.0
    listing_lag_s: float = 0.0
    delete_lag_s: float = 0.0
    tombstones: bool = False
    unique: bool = True
    date_shift_s: float = 0.0
    page_max: int = PAGE_ITEMS_MAX
    throttle: Throttle | None = None
    quota: int = -1
    project_quotas: Mapping[str, int] = field(default_factory=dict)
    latency_s: float = 0.0
    token_lifetime_s: float = 8 * 3600
    remember_tokens: bool = True
    open_world: bool = True
    clock_skew_s: float = 0.0
    faults: FaultShares = field(default_factory=FaultShares)
    seed: int = 0
    now: Callable[[], float] = time.time

    def __post_init__(self) -> None:
        if not is_loopback(self.host):
            raise ValueError(f"emulator: `host` must be a loopback address, not `{self.host}`")
        if not 0 <= self.port <= 65535:
            raise ValueError(f"emulator: `port` must lie in 0..65535, not `{self.port}`")
        for name in ("pending_s", "deleting_s", "listing_lag_s", "delete_lag_s", "latency_s", "token_lifetime_s"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"emulator: `{name}` must be 0 or more, not `{value}`")
        for name in ("clock_skew_s", "date_shift_s"):
            if not abs(value := getattr(self, name)) <= CLOCK_SKEW_S_MAX:
                limits = f"-{CLOCK_SKEW_S_MAX:.0f}..{CLOCK_SKEW_S_MAX:.0f}"
                raise ValueError(f"emulator: `{name}` must lie in {limits}, not `{value}`")
        if not 0 <= self.failed_share <= 1:
            raise ValueError(f"emulator: `failed_share` must lie in 0..1, not `{self.failed_share}`")
        if not 1 <= self.page_max <= PAGE_ITEMS_MAX:
            raise ValueError(f"emulator: `page_max` must lie in 1..{PAGE_ITEMS_MAX}, not `{self.page_max}`")
        for quota in (self.quota, *self.project_quotas.values()):
            if quota < -1:
                raise ValueError(f"emulator: `quota` must be -1 (unlimited) or more, not `{quota}`")

    def quota_of(self, project_id: str) -> int:
        """How many flow logs a project may have; -1 is unlimited."""
        return self.project_quotas.get(project_id, self.quota)

    def gateway_now(self) -> float:
        """The gateway's clock in Unix seconds: `now` and its error."""
        return self.now() + self.clock_skew_s


def is_loopback(host: str) -> bool:
    """Whether a host, without a port, names this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
