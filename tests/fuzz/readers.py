"""The readers by name."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module

MODULES = {
    "csv": "csv_inventory",
    "json": "json_inventory",
    "jsonl": "jsonl_inventory",
    "settings": "settings_file",
    "environment": "environment",
    "profile": "profile_file",
    "plan": "plan_paper",
    "flow-logs": "flow_log_answers",
    "surroundings": "surrounding_answers",
    "refusals": "refusals",
    "control": "control_lines",
    "ledger-rows": "ledger_rows",
}


@dataclass(frozen=True, slots=True)
class Reader:
    """A reader: what holds it to its promise, where to start, and words to use."""

    name: str
    check: Callable[[bytes], None]
    seeds: Sequence[bytes]
    tokens: Sequence[str]


def reader(name: str) -> Reader:
    """The reader of this name."""
    module = import_module(f"tests.fuzz.{MODULES[name]}")
    return Reader(name, module.check, module.SEEDS, module.TOKENS)
