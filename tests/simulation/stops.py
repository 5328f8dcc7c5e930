"""What a stop must have seen to: rows whose flow logs were long available when it came are not left unverified.

Asked only of nights in which nothing can keep the provider from telling that in the few seconds that a stop has.
"""

from collections.abc import Iterator, Sequence

from batcher.model import UNDO, RowState
from batcher.policy.pace import AUTO, parse_rate
from batcher.records import RowRecord, RunRecord
from tests.simulation.judge import things_of, wished
from tests.simulation.machine import Process
from tests.simulation.night import Night
from tests.simulation.provider import Provider

WAY_S_MAX = 0.2
"""A network in which a router can be listed in time."""
PER_S_MIN = 5.0
"""A pace at which every router of a night can."""


def is_plain(night: Night) -> bool:
    """Whether a provider tells, in the time of a stop, of everything that stands there."""
    network, rate = night.network, str(night.run["rate"])
    is_heard = network.late_share == 0 and network.way_s + network.spread_s <= WAY_S_MAX and not night.outages
    is_true = not night.lies and not night.faults.on & {"list", "disable"} and night.nature.listing_lag_s == 0
    is_fast = rate != AUTO and (window := parse_rate(rate)).calls / window.period_s >= PER_S_MIN
    return is_heard and is_true and is_fast and night.throttle is None and night.page_max >= len(night.rows)


def unseen(
    night: Night, provider: Provider, process: Process, run: RunRecord, rows: Sequence[RowRecord], stopped_at: float
) -> Iterator[str]:
    """Rows that the process sent, that are still unverified, and that were available when it was stopped."""
    if run.operation == UNDO or run.stop_code != "BATCHER.Interrupted" or process.stalls or not is_plain(night):
        return
    things = things_of(provider)
    for row in rows:
        if row.state is not RowState.ACCEPTED or row.spec is None:
            continue
        wish = wished(row.spec)
        mine = next((thing for thing in things.get(wish.place, ()) if thing.id == row.remote_id), None)
        maker = None if mine is None else provider.seen.makers.get(mine.id)
        if mine is None or maker is None or maker.process is not process or not mine.is_live:
            continue
        if mine.final_state == "available" and mine.ready_at <= stopped_at and wish.enabled:
            yield f"run {run.run_id}, row {row.row_no}: unverified, and available since {mine.ready_at:.3f}: {mine}"
