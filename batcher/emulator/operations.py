"""What each operation of the API does and answers, in the caller's transaction; creating, IAM and LTS have
files of their own.

Where the documents are silent or differ, the choice is this. A deleted flow log is 404 to a show, as the
Terraform provider's acceptance tests meet it (2026-08-21), and 400 ER.04008501 to the rest, as the list of
error codes has it (OTC, 2025-11-11). A flow log that is `pending` refuses update, delete, enable and disable
with ER.04008502. One that is `deleting` refuses the same but a delete, which is answered as the first one was and
changes nothing ("only in state available, deleting or failed": OTC, deleting_a_flow_log).
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

from batcher.emulator import answers, bodies, flow_logs, inventory, lies
from batcher.emulator.answers import Answer, refusal
from batcher.emulator.calls import Call, Operation
from batcher.emulator.create import create
from batcher.emulator.faults import Kind
from batcher.emulator.identity import list_projects
from batcher.emulator.log_groups import list_log_groups, list_log_streams
from batcher.emulator.pages import Item, Listing, Page, UnknownMarkerError, page
from batcher.emulator.world import OPENNESS, World, invalid, router_fault

QUOTAS = (
    "er_instance",
    "dc_attachment",
    "vpc_attachment",
    "vpn_attachment",
    "peering_attachment",
    "can_attachment",
    "connect_attachment",
    "route_table",
    "static_route",
    "vpc_er",
    "flow_log",
)
"""The quota types that ShowQuotas documents (2025-12-15)."""

BEING_MADE = frozenset({"pending"})
BEING_OPERATED = frozenset({"pending", "deleting"})


def act(world: World, call: Call) -> Answer:
    """Carry out a call of a known operation."""
    return OPERATIONS[call.operation](world, call)


def list_flow_logs(world: World, call: Call) -> Answer:
    """One page of a router's flow logs, with how many there are in all."""
    if fault := router_fault(world, call):
        return fault
    scope = {"project_id": call.project_id, "er_id": call.er_id}
    listing = flow_logs.listing(world.settings, world.now, world.date_shift_s)
    found = _page(world, call, listing, scope, {"resource_type", "resource_id"})
    if isinstance(found, Answer):
        return found
    return Answer(200, {"flow_logs": found.items, "total_count": found.total, "page_info": _page_info(found)})


def show(world: World, call: Call) -> Answer:
    """One flow log."""
    if fault := router_fault(world, call):
        return fault
    found = _found(world, call)
    return Answer(200, {"flow_log": found}) if found else _gone(404, call)


def update(world: World, call: Call) -> Answer:
    """Change a flow log's name or description."""
    if fault := _fault(world, call):
        return fault
    changes = bodies.changes(call.document)
    if isinstance(changes, str):
        return invalid(changes)
    flow_logs.describe(world.state, _scope(call), changes, world.now)
    return _changed(world, call, 200)


def delete(world: World, call: Call) -> Answer:
    """Delete a flow log; it is gone at once, or `deleting` until it is."""
    if fault := _fault(world, call, BEING_MADE):
        return fault
    if deleting_s := world.settings.deleting_s:
        flow_logs.leave(world.state, _scope(call), world.now, gone_at=world.now + deleting_s)
    else:
        flow_logs.delete(world.state, _scope(call), world.now)
    return Answer(202)


def enable(world: World, call: Call) -> Answer:
    """Switch a flow log on."""
    return _switch(world, call, enabled=True)


def disable(world: World, call: Call) -> Answer:
    """Switch a flow log off."""
    return _switch(world, call, enabled=False)


def list_routers(world: World, call: Call) -> Answer:
    """One page of a project's routers."""
    found = _page(world, call, inventory.ROUTERS, {"project_id": call.project_id}, {"id", "state"})
    return (
        found if isinstance(found, Answer) else Answer(200, {"instances": found.items, "page_info": _page_info(found)})
    )


def list_attachments(world: World, call: Call) -> Answer:
    """One page of a router's attachments."""
    if fault := router_fault(world, call):
        return fault
    scope = {"project_id": call.project_id, "er_id": call.er_id}
    filters = {"id", "state", "resource_type", "resource_id"}
    found = _page(world, call, inventory.ATTACHMENTS, scope, filters)
    if isinstance(found, Answer):
        return found
    openness = OPENNESS if world.settings.open_world else {}
    return Answer(200, {"attachments": found.items, "page_info": _page_info(found), **openness})


def show_quotas(world: World, call: Call) -> Answer:
    """Limits and use, of a project or of one router; an unknown router uses nothing and is no error."""
    wanted = [value for name, value in call.query if name == "type"]
    if strange := [name for name in wanted if name not in QUOTAS]:
        return refusal(400, answers.NO_QUOTA_TYPE, f"The quota type {strange[0]} does not exist.")
    used = inventory.used(world.state, call.project_id, dict(reversed(call.query)).get("erId"))
    quotas = [
        {
            "quota_key": name,
            "quota_limit": world.settings.quota_of(call.project_id) if name == "flow_log" else -1,
            "used": used.get(name, 0),
            "unit": "count",
        }
        for name in QUOTAS
        if name in wanted or not wanted
    ]
    return Answer(200, {"quotas": quotas, "page_info": {"next_marker": None, "current_count": len(quotas)}})


OPERATIONS: Mapping[Operation, Callable[[World, Call], Answer]] = {
    Operation.CREATE: create,
    Operation.LIST: list_flow_logs,
    Operation.SHOW: show,
    Operation.UPDATE: update,
    Operation.DELETE: delete,
    Operation.ENABLE: enable,
    Operation.DISABLE: disable,
    Operation.ROUTERS: list_routers,
    Operation.ATTACHMENTS: list_attachments,
    Operation.QUOTAS: show_quotas,
    Operation.PROJECTS: list_projects,
    Operation.LOG_GROUPS: list_log_groups,
    Operation.LOG_STREAMS: list_log_streams,
}


def _switch(world: World, call: Call, *, enabled: bool) -> Answer:
    if fault := _fault(world, call):
        return fault
    flow_logs.switch(world.state, _scope(call), world.now, enabled=enabled)
    return _changed(world, call, 202)


def _changed(world: World, call: Call, status: int) -> Answer:
    return Answer(status, {"flow_log": _found(world, call)})


def _found(world: World, call: Call) -> Item | None:
    return flow_logs.by_id(world.state, _scope(call), world.now, world.date_shift_s)


def _scope(call: Call) -> flow_logs.Scope:
    return {"project_id": call.project_id, "er_id": call.er_id, "id": call.flow_log_id}


def _fault(world: World, call: Call, busy: Collection[str] = BEING_OPERATED) -> Answer | None:
    """Why this flow log cannot be changed now; in the `busy` states it cannot."""
    if fault := router_fault(world, call):
        return fault
    found = _found(world, call)
    if found is None:
        return _gone(400, call)
    if found["state"] in busy:
        return refusal(400, answers.BEING_OPERATED, f"The flow log {call.flow_log_id} is being operated.")
    return None


def _gone(status: int, call: Call) -> Answer:
    return refusal(status, answers.NO_FLOW_LOG, f"The flow log task {call.flow_log_id} does not exist.")


def _page(world: World, call: Call, listing: Listing, scope: Mapping[str, str], filters: set[str]) -> Page | Answer:
    query = bodies.page_query(call.query, filters)
    if isinstance(query, str):
        return invalid(query)
    query = replace(lies.heard(world.lie, query), limit=min(query.limit, world.settings.page_max))
    try:
        if world.lie is Kind.MARKER_GONE:
            raise UnknownMarkerError(query.marker)
        return lies.told(world.lie, page(world.state, listing, scope, query))
    except UnknownMarkerError:
        return invalid("the item of `marker` is gone; start again, or sort by id")


def _page_info(found: Page) -> dict[str, object]:
    return {"next_marker": found.marker, "current_count": len(found.items)}
