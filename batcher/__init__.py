"""batcher: provision Enterprise Router flow logs in bulk, safely, as often as you like.

    import asyncio, batcher

    session = batcher.Session(settings=batcher.Settings.model_validate({"run": {"rate": "100/min"}}))
    result = asyncio.run(batcher.run_inventory("attachments.csv", session))
    print(result.exit_code, result.publication.counts)

The names below are the whole public interface; each is loaded when it is first used, so that importing batcher
costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from batcher.version import __version__ as __version__

if TYPE_CHECKING:
    from batcher.app import resume_run as resume_run
    from batcher.app import retry_run as retry_run
    from batcher.app import run_inventory as run_inventory
    from batcher.app import undo_run as undo_run
    from batcher.discovery import Discovery as Discovery
    from batcher.discovery import discover as discover
    from batcher.doctor import Finding as Finding
    from batcher.doctor import diagnose as diagnose
    from batcher.engine.stop import Stop as Stop
    from batcher.errors import BatcherError as BatcherError
    from batcher.forecast import Forecast as Forecast
    from batcher.live import continue_run as continue_run
    from batcher.live import drain_run as drain_run
    from batcher.live import live_status as live_status
    from batcher.live import pause_run as pause_run
    from batcher.live import set_rate as set_rate
    from batcher.model import Outcome as Outcome
    from batcher.policy.control import LiveStatus as LiveStatus
    from batcher.policy.prospect import Prospect as Prospect
    from batcher.preview import Check as Check
    from batcher.preview import check_inventory as check_inventory
    from batcher.preview import plan_inventory as plan_inventory
    from batcher.reading import list_runs as list_runs
    from batcher.reading import write_report as write_report
    from batcher.records import RunRecord as RunRecord
    from batcher.report.publish import Publication as Publication
    from batcher.settings import Settings as Settings
    from batcher.sitting import RunResult as RunResult
    from batcher.wiring import Session as Session

_HOMES = {
    "BatcherError": "errors",
    "Check": "preview",
    "Discovery": "discovery",
    "Finding": "doctor",
    "Forecast": "forecast",
    "LiveStatus": "policy.control",
    "Outcome": "model",
    "Prospect": "policy.prospect",
    "Publication": "report.publish",
    "RunRecord": "records",
    "RunResult": "sitting",
    "Session": "wiring",
    "Settings": "settings",
    "Stop": "engine.stop",
    "check_inventory": "preview",
    "continue_run": "live",
    "diagnose": "doctor",
    "discover": "discovery",
    "drain_run": "live",
    "list_runs": "reading",
    "live_status": "live",
    "pause_run": "live",
    "plan_inventory": "preview",
    "resume_run": "app",
    "retry_run": "app",
    "run_inventory": "app",
    "set_rate": "live",
    "undo_run": "app",
    "write_report": "reading",
}
__all__ = [*_HOMES, "__version__"]  # noqa: PLE0604  # all are names


if not TYPE_CHECKING:  # a type checker knows the names from above, and would take any other for one of them

    def __getattr__(name: str) -> Any:
        """Load a public name from the module that defines it."""
        if name not in _HOMES:
            raise AttributeError(f"module `batcher` has no attribute `{name}`")
        return getattr(import_module(f"batcher.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
