"""A row that keeps every rule, and the operation that reads it."""

from collections.abc import Mapping

from batcher.model import Barred, Fault, Wish
from batcher.operations.flow_log import FlowLogs
from batcher.operations.flow_log_row import RowDefaults

ROUTER = "a43c55e9-4911-4030-90e1-5c2bf6ae6fe2"
ATTACHMENT = "6f83b848-8331-4271-ac0c-ef94b7686402"
GROUP = "0139393c-eeb2-49f0-bbd4-c5faec6b1497"
STREAM = "d22c3b44-2f71-470f-83f3-96a8af6956ad"
PROJECT = "0605767a9980d5762fbcc00b3537e757"

ROW: Mapping[str, str] = {
    "er_id": ROUTER,
    "resource_id": ATTACHMENT,
    "log_group_id": GROUP,
    "log_stream_id": STREAM,
    "project_id": PROJECT,
    "region": "cn-north-4",
}


def flow_logs(**defaults: str) -> FlowLogs:
    """The pure half, with these columns for defaults."""
    return FlowLogs(None, RowDefaults(values=defaults))


def wish(operation: FlowLogs | None = None, /, **columns: str) -> Wish:
    """What a row asks for that keeps every rule."""
    parsed = (operation or flow_logs()).parse({**ROW, **columns})
    assert isinstance(parsed, Wish), parsed
    return parsed


def faults(operation: FlowLogs | None = None, /, **columns: str) -> tuple[Fault, ...]:
    """What is wrong with a row."""
    parsed = (operation or flow_logs()).parse({**ROW, **columns})
    assert not isinstance(parsed, Wish | Barred), parsed
    return parsed
