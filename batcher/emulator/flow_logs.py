"""Flow logs as rows: add, find, change, delete.

The state of a flow log is not stored but told from the clock: `pending` until `ready_at`, then `final_state`, and
`deleting` from a delete until `gone_at`. One that is `deleting` is live: it has its natural key and counts. `sweep`
takes those off the live ones whose time has come; every call begins with it.

A listing may be eventual (`listing`): it shows late what was made and what was deleted, and may keep what was deleted
for good. What is asked for by its id is shown as it is.
"""

import math
import time
from collections import Counter
from collections.abc import Mapping
from functools import lru_cache

from batcher.emulator.bodies import Changes, NewFlowLog
from batcher.emulator.pages import Item, Listing, Row
from batcher.emulator.settings import EmulatorSettings
from batcher.emulator.state import State

AGGREGATION_INTERVAL_S = 600
"""The provider's sample value ("Creating a Flow Log", 2024-04-19); no request can set it."""

Scope = Mapping[str, str]
"""Where one flow log is: its `project_id`, `er_id` and `id`."""

FOREVER = math.inf
"""The `ready_at` of what stays `pending` until its fate is another."""

# A flow log of which it is not yet known that it was deleted is in the state that it had when it was.
_SELECT = (
    "SELECT id, name, description, project_id, 'attachment' AS resource_type, resource_id, log_group_id,"
    " log_stream_id, created_at + :date_shift_s AS created_at, updated_at + :date_shift_s AS updated_at, enabled,"
    " CASE WHEN deleted_at <= :now - :delete_lag_s OR (deleted_at IS NOT NULL AND :delete_lag_s = 0) THEN 'deleted'"
    " WHEN gone_at IS NOT NULL THEN 'deleting'"
    " WHEN ready_at > min(:now, coalesce(deleted_at, :now)) THEN 'pending' ELSE final_state END AS state,"
    " er_id FROM flow_logs"
)
_LIVE = "project_id = :project_id AND er_id = :er_id AND id = :id AND deleted_at IS NULL"


def insert(
    state: State,
    new: NewFlowLog,
    *,
    project_id: str,
    er_id: str,
    at: float,
    ready_at: float,
    final_state: str,
    seeded: bool = False,
    token: str | None = None,
) -> int:
    """Add an enabled flow log and return its number. Whether its natural key is taken is for the caller to ask."""
    n, flow_log_id = state.next_flow_log()
    texts = (new.name, new.description, new.resource_id, new.log_group_id, new.log_stream_id)
    state.db.execute(
        "INSERT INTO flow_logs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1, NULL, NULL, ?)",
        (n, flow_log_id, project_id, er_id, *texts, at, at, ready_at, final_state, token),
    )
    state.db.execute(
        "INSERT INTO projects VALUES (?, 1, ?)"
        " ON CONFLICT DO UPDATE SET live = live + 1, created = created + excluded.created",
        (project_id, not seeded),
    )
    return n


def is_taken(state: State, new: NewFlowLog, *, project_id: str, er_id: str) -> bool:
    """Whether a live flow log has this natural key."""
    row = state.db.execute(
        "SELECT 1 FROM flow_logs WHERE project_id = ? AND er_id = ? AND resource_id = ? AND log_group_id = ?"
        " AND log_stream_id = ? AND deleted_at IS NULL",
        (project_id, er_id, new.resource_id, new.log_group_id, new.log_stream_id),
    ).fetchone()
    return row is not None


def by_number(state: State, n: int, now: float, date_shift_s: float) -> Item:
    """A flow log as the API shows it, deleted ones included; KeyError for an unknown number."""
    row = state.db.execute(_SELECT + " WHERE n = :n", {**_seen(now, date_shift_s), "n": n}).fetchone()
    if row is None:
        raise KeyError(n)
    return _item(row)


def by_id(state: State, scope: Scope, now: float, date_shift_s: float) -> Item | None:
    """A live flow log as the API shows it."""
    row = state.db.execute(_SELECT + " WHERE " + _LIVE, {**_seen(now, date_shift_s), **scope}).fetchone()
    return None if row is None else _item(row)


def scope_of(state: State, flow_log_id: str) -> Scope | None:
    """Where a live flow log is, found by its id alone; reads the whole table."""
    row = state.db.execute(
        "SELECT project_id, er_id FROM flow_logs WHERE id = ? AND deleted_at IS NULL", (flow_log_id,)
    ).fetchone()
    return None if row is None else {"project_id": row[0], "er_id": row[1], "id": flow_log_id}


def describe(state: State, scope: Scope, changes: Changes, at: float) -> None:
    """Rename or redescribe a live flow log."""
    renamed = "name = coalesce(:name, name), description = coalesce(:description, description)"
    state.db.execute(
        f"UPDATE flow_logs SET {renamed}, updated_at = :at WHERE {_LIVE}",  # noqa: S608 - text of ours
        {**scope, "name": changes.name, "description": changes.description, "at": at},
    )


def switch(state: State, scope: Scope, at: float, *, enabled: bool) -> None:
    """Switch a live flow log on or off."""
    state.db.execute(
        "UPDATE flow_logs SET enabled = :enabled, updated_at = :at WHERE " + _LIVE,  # noqa: S608 - text of ours
        {**scope, "enabled": enabled, "at": at},
    )


def delete(state: State, scope: Scope, at: float) -> None:
    """Take a flow log, if it is live, off the live ones at once."""
    values = {**scope, "at": at}
    sql = "UPDATE flow_logs SET deleted_at = :at WHERE " + _LIVE  # noqa: S608 - text of ours
    if state.db.execute(sql, values).rowcount:
        state.db.execute("UPDATE projects SET live = live - 1 WHERE id = ?", (scope["project_id"],))


def leave(state: State, scope: Scope, at: float, *, gone_at: float) -> None:
    """Show a live flow log as `deleting` until `gone_at`; one that is on its way already goes when it would have."""
    sql = f"UPDATE flow_logs SET gone_at = :gone_at, updated_at = :at WHERE {_LIVE} AND gone_at IS NULL"  # noqa: S608
    state.db.execute(sql, {**scope, "at": at, "gone_at": gone_at})


def sweep(state: State, now: float) -> None:
    """Take off the live ones what was on its way out until now."""
    gone = state.db.execute(
        "UPDATE flow_logs SET deleted_at = gone_at WHERE gone_at <= ? AND deleted_at IS NULL RETURNING project_id",
        (now,),
    ).fetchall()
    for project_id, count in Counter(project_id for (project_id,) in gone).items():
        state.db.execute("UPDATE projects SET live = live - ? WHERE id = ?", (count, project_id))


def live(state: State, project_id: str) -> int:
    """How many flow logs a project has."""
    row = state.db.execute("SELECT live FROM projects WHERE id = ?", (project_id,)).fetchone()
    return 0 if row is None else int(row[0])


@lru_cache(maxsize=4096)
def timestamp(second: int) -> str:
    """Unix seconds as the provider's samples write them, `2020-03-11T15:13:31Z`."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(second))


def _item(row: Row) -> Item:
    (
        id_,
        name,
        description,
        project_id,
        kind,
        resource_id,
        group_id,
        stream_id,
        made,
        changed,
        on,
        state,
        _,
    ) = row
    return {
        "id": id_,
        "name": name,
        "description": description,
        "project_id": project_id,
        "resource_type": kind,
        "resource_id": resource_id,
        "log_group_id": group_id,
        "log_stream_id": stream_id,
        "log_store_type": "LTS",
        "log_aggregation_interval": AGGREGATION_INTERVAL_S,
        "created_at": timestamp(int(made)),
        "updated_at": timestamp(int(changed)),
        "state": state,
        "enabled": bool(on),
    }


def listing(settings: EmulatorSettings, now: float, date_shift_s: float) -> Listing:
    """What a listing shows under these settings at `now`."""
    values = _seen(now, date_shift_s, settings.delete_lag_s)
    if settings.tombstones:
        where = "true"
    elif settings.delete_lag_s:
        where = "(deleted_at IS NULL OR deleted_at > :now - :delete_lag_s)"
    else:
        where = "deleted_at IS NULL"  # which an index holds
    if settings.listing_lag_s:
        where += " AND flow_logs.created_at <= :now - :listing_lag_s"
        values["listing_lag_s"] = settings.listing_lag_s
    return Listing(f"{_SELECT} WHERE {where}", _item, values)


def _seen(now: float, date_shift_s: float, delete_lag_s: float = 0.0) -> dict[str, float]:
    """The values that `_SELECT` uses."""
    return {"now": now, "date_shift_s": date_shift_s, "delete_lag_s": delete_lag_s}
