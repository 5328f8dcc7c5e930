"""The embedded emulator of a rehearsal: started where a command is given `--emulator`, and ended with it.

It listens on loopback, which every user of the machine can reach. So its secret key is another at each start and known
to this process alone, and its control, which nobody needs there, is not served.
"""

import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from batcher.cloud.credentials import Credentials
from batcher.errors import ConfigError
from batcher.policy.pace import parse_rate
from batcher.settings import EmulatorSection

ACCESS_KEY = "REHEARSAL"
"""No secret, and the same at each start: whose a rehearsal was must not change between a kill and `resume`."""

if TYPE_CHECKING:
    from batcher.emulator.settings import EmulatorSettings


@asynccontextmanager
async def embedded(section: EmulatorSection, ledger: Path | None) -> AsyncIterator[tuple[str, Credentials]]:
    """The URL of a running emulator, and keys that it takes. Raises `ConfigError` where its state is in use."""
    from batcher.emulator.server import running  # late: only rehearsals need the server half of aiohttp
    from batcher.emulator.state import StateError

    settings = rehearsal(section, ledger)
    async with AsyncExitStack() as stack:
        try:
            emulator = await stack.enter_async_context(running(settings))
        except StateError as error:
            raise ConfigError(str(error), hint="wait until the other rehearsal has ended") from None
        access_key, secret_key = next(iter(settings.keys.items()))
        yield emulator.url, Credentials(access_key, secret_key, source="the embedded emulator")


def rehearsal(section: EmulatorSection, ledger: Path | None) -> "EmulatorSettings":
    """The embedded emulator; what it creates is kept beside the ledger, so a killed rehearsal can be resumed."""
    from batcher.emulator.faults import FaultShares  # late: only rehearsals need them
    from batcher.emulator.settings import EmulatorSettings
    from batcher.emulator.throttle import Throttle

    window = parse_rate(section.throttle) if section.throttle else None
    return EmulatorSettings(
        keys={ACCESS_KEY: secrets.token_hex(32)},
        control=False,
        state_path=ledger.with_name(f"{ledger.name}.emulator") if ledger else None,
        pending_s=section.pending_s,
        listing_lag_s=section.listing_lag_s,
        delete_lag_s=section.delete_lag_s,
        tombstones=section.tombstones,
        unique=section.unique,
        date_shift_s=section.date_shift_s,
        token_lifetime_s=section.token_lifetime_s,
        remember_tokens=section.remember_tokens,
        quota=section.quota,
        latency_s=section.latency_s,
        throttle=Throttle(window.calls, window.period_s) if window else None,
        faults=FaultShares(
            refused_before=section.refused_before,
            error_after=section.error_after,
            lost_after=section.lost_after,
            truncated_after=section.truncated_after,
        ),
        seed=section.seed,
    )
