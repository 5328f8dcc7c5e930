"""What becomes of the flow logs of an attachment, decided beforehand: `available`, `failed`, or `pending` for ever.

A fate holds for every flow log that is created on the attachment from then on, and wins over `failed_share`; seeded
flow logs have the state that they are seeded with. Another fate changes what is still `pending`, by the one before or
as it was seeded, at once.
"""

from batcher.emulator.flow_logs import FOREVER
from batcher.emulator.state import State

STATES = frozenset({"available", "failed", "pending"})


def put_fate(state: State, place: tuple[str, str, str], fate: str, at: float) -> None:
    """Decide on an attachment, given as project, router and attachment; what waits for its fate there meets it."""
    state.db.execute("INSERT OR REPLACE INTO fates VALUES (?, ?, ?, ?)", (*place, fate))
    if fate != "pending":
        state.db.execute(
            "UPDATE flow_logs SET ready_at = ?, final_state = ? WHERE project_id = ? AND er_id = ? AND resource_id = ?"
            " AND ready_at = ? AND deleted_at IS NULL",
            (at, fate, *place, FOREVER),
        )


def fate_of(state: State, place: tuple[str, str, str]) -> str | None:
    """What was decided on an attachment, if anything."""
    sql = "SELECT state FROM fates WHERE project_id = ? AND er_id = ? AND resource_id = ?"
    row = state.db.execute(sql, place).fetchone()
    return None if row is None else str(row[0])
