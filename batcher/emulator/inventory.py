"""What flow logs hang on: routers and attachments, as rows."""

from collections.abc import Mapping

from batcher.emulator.flow_logs import timestamp
from batcher.emulator.pages import Item, Listing, Row
from batcher.emulator.state import State, uuid_of


def put_router(
    state: State,
    project_id: str,
    er_id: str,
    at: float,
    *,
    name: str | None = None,
    state_name: str | None = None,
) -> None:
    """Add a router, `available` unless said otherwise, or change what is given of one that is there."""
    state.db.execute(
        "INSERT INTO routers VALUES (:project_id, :id, coalesce(:name, 'er-' || substr(:id, 1, 8)),"
        " coalesce(:state, 'available'), :at)"
        " ON CONFLICT DO UPDATE SET name = coalesce(:name, name), state = coalesce(:state, state)",
        {"project_id": project_id, "id": er_id, "name": name, "state": state_name, "at": at},
    )


def put_attachment(state: State, given: Mapping[str, str | None], at: float) -> None:
    """Add an attachment, an available one of a VPC unless said otherwise, or change what is given of one.

    `given` holds `project_id`, `er_id` and `id`; it may hold `name`, `state`, `resource_type` and `resource_id`
    (the VPC or gateway behind it).
    """
    optional = {name: given.get(name) for name in ("name", "state", "resource_type", "resource_id")}
    state.db.execute(
        "INSERT INTO attachments VALUES (:project_id, :er_id, :id,"
        " coalesce(:name, 'attach-' || substr(:id, 1, 8)), coalesce(:state, 'available'),"
        " coalesce(:resource_type, 'vpc'), coalesce(:resource_id, :behind), :at)"
        " ON CONFLICT DO UPDATE SET name = coalesce(:name, name), state = coalesce(:state, state),"
        " resource_type = coalesce(:resource_type, resource_type),"
        " resource_id = coalesce(:resource_id, resource_id)",
        {**given, **optional, "behind": uuid_of("behind", given["id"]), "at": at},
    )


def router_state(state: State, project_id: str, er_id: str) -> str | None:
    """A router's state, None for an unknown one."""
    row = state.db.execute("SELECT state FROM routers WHERE project_id = ? AND id = ?", (project_id, er_id)).fetchone()
    return None if row is None else str(row[0])


def attachment(state: State, project_id: str, er_id: str, attachment_id: str) -> tuple[str, str] | None:
    """An attachment's state and kind, None for one that this router does not have."""
    row = state.db.execute(
        "SELECT state, resource_type FROM attachments WHERE project_id = ? AND er_id = ? AND id = ?",
        (project_id, er_id, attachment_id),
    ).fetchone()
    return None if row is None else (str(row[0]), str(row[1]))


def used(state: State, project_id: str, er_id: str | None) -> dict[str, int]:
    """What a project, or one router of it, uses of each quota; an unknown router uses nothing."""
    scope, values = ("project_id = ?", [project_id])
    if er_id is not None:
        scope, values = scope + " AND er_id = ?", [project_id, er_id]

    def counted(sql: str, parameters: list[str]) -> int:
        return int(state.db.execute(sql, parameters).fetchone()[0])

    counts = {
        "er_instance": counted("SELECT count(*) FROM routers WHERE project_id = ?", [project_id]),
        "flow_log": counted(f"SELECT count(*) FROM flow_logs WHERE deleted_at IS NULL AND {scope}", values),  # noqa: S608
    }
    sql = f"SELECT resource_type || '_attachment', count(*) FROM attachments WHERE {scope} GROUP BY 1"  # noqa: S608
    return {**counts, **dict(state.db.execute(sql, values).fetchall())}


def _router(row: Row) -> Item:
    id_, name, state, project_id, at = row
    made = timestamp(int(at))
    return {
        "id": id_,
        "name": name,
        "description": "",
        "state": state,
        "asn": 64512,
        "project_id": project_id,
        "enterprise_project_id": "0",
        "created_at": made,
        "updated_at": made,
    }


def _attachment(row: Row) -> Item:
    id_, name, state, kind, resource_id, project_id, er_id, at = row
    made = timestamp(int(at))
    return {
        "id": id_,
        "name": name,
        "description": "",
        "state": state,
        "resource_id": resource_id,
        "resource_type": kind,
        "resource_project_id": project_id,
        "project_id": project_id,
        "er_id": er_id,
        "associated": False,
        "created_at": made,
        "updated_at": made,
    }


ROUTERS = Listing("SELECT id, name, state, project_id, created_at FROM routers", _router)
ATTACHMENTS = Listing(
    "SELECT id, name, state, resource_type, resource_id, project_id, er_id, created_at FROM attachments",
    _attachment,
)
