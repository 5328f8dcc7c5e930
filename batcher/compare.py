"""The command `diff`: what changed between two runs, by the natural keys of their rows."""

from collections.abc import Sequence
from dataclasses import dataclass

from batcher.choice import named_run
from batcher.errors import ConfigError
from batcher.ledger.open import open_ledger
from batcher.policy.verdict import DONE
from batcher.records import ChangedRow, Difference, RunRecord
from batcher.wiring import Session, flow_logs


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs and how their rows differ; `rows` are those that changed, with their names, if they were asked for."""

    older: RunRecord
    newer: RunRecord
    differences: Sequence[Difference]
    rows: Sequence[tuple[ChangedRow, str]]


async def compare_runs(older: str, newer: str, session: Session, *, rows: bool = False) -> Comparison:
    """What changed from one run to another; works beside a run that is going on. Raises `RunNotFoundError`."""
    found = session.settings.finds_ledger
    async with open_ledger(str(session.ledger_path), read_only=True, found=found) as ledger:
        runs = await ledger.runs()
        first, second = named_run(runs, older), named_run(runs, newer)
        if first.run_id == second.run_id:
            raise ConfigError(f"both are run `{first.run_id}`", hint="name two runs; `batcher status` lists them")
        counted = await ledger.compare(first.run_id, second.run_id)
        operation = flow_logs(None, session)
        changed = await ledger.changed(first.run_id, second.run_id) if rows else []
        named = [(row, operation.columns_of(row.spec).get("name", "")) for row in changed if is_news(row)]
        return Comparison(first, second, sorted(counted, key=_order), named)


def is_news(row: ChangedRow) -> bool:
    """Whether a row that changed is worth a line: what was made in one run and found by the next is no news."""
    return row.before is None or row.after is None or not {row.before.outcome, row.after.outcome} <= DONE


def _order(difference: Difference) -> tuple[bool, bool, int, str]:
    """Rows of both runs first, those that only one has last, and of each most rows first."""
    return difference.before is None, difference.after is None, -difference.rows, str(difference)
