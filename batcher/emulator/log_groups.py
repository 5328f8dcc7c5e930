"""The log service (LTS) as far as clients need it: which log groups and log streams there are.

Written from LTS "Querying All Log Groups of an Account" (2025-11-14), "Querying All Log Streams in a Specified Log
Group" (2023-12-15) and "Error Codes". Neither call is paged, and both want a JSON `Content-Type` although they have
no body. The pages name no code for a call without it, nor for the streams of a group that is missing. Chosen are
400 LTS.0009 ("Failed to validate the request body", "Request parameters are illegal") and 400 LTS.0201 ("The log
group is not existed"); one older page gives LTS.0201 the status 404.
"""

from collections.abc import Mapping

from batcher.emulator.answers import LTS_INVALID, NO_LOG_GROUP, Answer, lts_refusal
from batcher.emulator.calls import Call
from batcher.emulator.state import State
from batcher.emulator.world import OPENNESS, World

TTL_DAYS = 30
"""How long a log group keeps its logs; no request that is served here can set it."""

# What was seeded and, in an open world, what flow logs use or used: their logs outlive them.
_GROUPS = """
SELECT id, name, created_at FROM log_groups WHERE project_id = :project_id
UNION ALL
SELECT log_group_id, 'lts-group-' || substr(log_group_id, 1, 8), min(created_at) FROM flow_logs
WHERE :open AND project_id = :project_id
    AND log_group_id NOT IN (SELECT id FROM log_groups WHERE project_id = :project_id)
GROUP BY log_group_id ORDER BY 1
"""
_ANY_SEEDED = "SELECT 1 FROM log_groups WHERE project_id = :project_id LIMIT 1"
_SEEDED_STREAM = (
    "SELECT 1 FROM log_streams WHERE project_id = :project_id AND log_group_id = :group_id AND id = :stream_id"
)
_USED_STREAM = (
    "SELECT 1 FROM flow_logs WHERE project_id = :project_id AND log_group_id = :group_id"
    " AND log_stream_id = :stream_id LIMIT 1"
)
_SEEDED = "SELECT id, name, created_at FROM log_groups WHERE project_id = :project_id AND id = :group_id"
_STREAMS = """
SELECT id, name, created_at FROM log_streams WHERE project_id = :project_id AND log_group_id = :group_id
UNION ALL
SELECT log_stream_id, 'lts-topic-' || substr(log_stream_id, 1, 8), min(created_at) FROM flow_logs
WHERE :open AND project_id = :project_id AND log_group_id = :group_id
    AND log_stream_id NOT IN (SELECT id FROM log_streams WHERE project_id = :project_id AND log_group_id = :group_id)
GROUP BY log_stream_id ORDER BY 1
"""


def put_log_group(state: State, project_id: str, given: Mapping[str, str | None], at: float) -> None:
    """Add a log group with this `id`, or rename one that is there if a `name` is given."""
    state.db.execute(
        "INSERT INTO log_groups VALUES (:project_id, :id, coalesce(:name, 'lts-group-' || substr(:id, 1, 8)), :at)"
        " ON CONFLICT DO UPDATE SET name = coalesce(:name, name)",
        {"project_id": project_id, "id": given["id"], "name": given.get("name"), "at": at},
    )


def put_log_stream(state: State, project_id: str, group_id: str, given: Mapping[str, str | None], at: float) -> None:
    """Add a log stream with this `id` to a group, or rename one that is there if a `name` is given."""
    state.db.execute(
        "INSERT INTO log_streams VALUES"
        " (:project_id, :group_id, :id, coalesce(:name, 'lts-topic-' || substr(:id, 1, 8)), :at)"
        " ON CONFLICT DO UPDATE SET name = coalesce(:name, name)",
        {"project_id": project_id, "group_id": group_id, "id": given["id"], "name": given.get("name"), "at": at},
    )


def takes_any(world: World, project_id: str) -> bool:
    """Whether a project has every log group and stream, as it does while none was seeded."""
    return world.state.db.execute(_ANY_SEEDED, {"project_id": project_id}).fetchone() is None


def has_stream(world: World, project_id: str, log_group_id: str, log_stream_id: str) -> bool:
    """Whether flow logs of a project can go to this log stream."""
    place = {"project_id": project_id, "group_id": log_group_id, "stream_id": log_stream_id}
    found = takes_any(world, project_id) or world.state.db.execute(_SEEDED_STREAM, place).fetchone()
    return bool(found or (world.settings.open_world and world.state.db.execute(_USED_STREAM, place).fetchone()))


def list_log_groups(world: World, call: Call) -> Answer:
    """All log groups of a project."""
    if fault := _fault(call):
        return fault
    groups = [
        {
            "log_group_id": id_,
            "log_group_name": name,
            "creation_time": int(at * 1000),
            "ttl_in_days": TTL_DAYS,
            "tag": {"_sys_enterprise_project_id": "0"},
        }
        for id_, name, at in _rows(world, call, _GROUPS)
    ]
    return Answer(200, {"log_groups": groups, **_openness(world, call)}, bare=True)


def list_log_streams(world: World, call: Call) -> Answer:
    """All log streams of a log group."""
    if fault := _fault(call):
        return fault
    rows = _rows(world, call, _STREAMS)
    if not rows and not _rows(world, call, _SEEDED):
        return lts_refusal(400, NO_LOG_GROUP, "The log group is not existed")
    streams = [
        {
            "log_stream_id": id_,
            "log_stream_name": name,
            "creation_time": int(at * 1000),
            "filter_count": 0,
            "tag": {"_sys_enterprise_project_id": "0"},
            "is_favorite": False,
        }
        for id_, name, at in rows
    ]
    return Answer(200, {"log_streams": streams, **_openness(world, call)}, bare=True)


def _openness(world: World, call: Call) -> Mapping[str, object]:
    return OPENNESS if takes_any(world, call.project_id) else {}


def _fault(call: Call) -> Answer | None:
    if call.content_type.lower().startswith("application/json"):
        return None
    return lts_refusal(400, LTS_INVALID, "Failed to validate the request body")


def _rows(world: World, call: Call, sql: str) -> list[tuple[str, str, float]]:
    scope = {"project_id": call.project_id, "group_id": call.log_group_id, "open": world.settings.open_world}
    return world.state.db.execute(sql, scope).fetchall()
