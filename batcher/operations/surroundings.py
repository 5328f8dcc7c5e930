"""What flow logs stand on: quota, routers, attachments, log groups and streams. Reads only, one call each.

Shapes: ShowQuotas and ListFlowLogs (2025-12-15), ListEnterpriseRouters, and the log service's "Querying All Log
Groups of an Account" and "Querying All Log Streams in a Specified Log Group", which is asked with a content type
and has no pages.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard, TypeVar

from batcher.cloud.client import CloudClient, Reply
from batcher.cloud.endpoints import Service
from batcher.cloud.refusal import bad_answer
from batcher.cloud.wire import count_of, shown
from batcher.model import LaneKey, Page, Quota, Refused

LTS_CONTENT_TYPE = "application/json;charset=UTF-8"
QUOTA_KEY = "flow_log"
NO_LIMIT = -1
"""How the provider writes that there is no quota (ShowQuotas)."""
PAGE_LIMIT = 2000
"""Items in one page of a listing: the most the provider gives (ListFlowLogs, 2025-12-15)."""

MARKER_CHARS_MAX = 1_024
"""A marker is an id; it goes into a URL, of which servers take some thousand characters."""
LOG_THINGS_MAX = 10_000
"""Log groups of a project, or streams of a group: far beyond the quota of either."""
STATE_CHARS_MAX = 64
"""Of a word such as `available`."""

OPEN_WORLD = "open_world"
"""An emulator's list has this member where a create takes what it lacks, too; none of the provider's has."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ids:
    """The ids of what is there; where `is_open` a create takes any other, too."""

    known: frozenset[str]
    is_open: bool

    def __contains__(self, id_: object) -> bool:
        return self.is_open or id_ in self.known

    def __len__(self) -> int:
        return len(self.known)


_STATE = re.compile(r"[A-Za-z_-]{1,64}")
_SAFE_ID = re.compile(r"[0-9A-Za-z_-]{1,64}")
_OK = frozenset({200})


async def show_quota(client: CloudClient, lane: LaneKey) -> Quota | Refused:
    """The quota of flow logs as the lane's project sees it."""
    reply = await client.call(lane, "GET", "/quotas", query=[("type", QUOTA_KEY)], expected=_OK)
    if isinstance(reply, Refused):
        return reply
    for item in _items(reply, "quotas"):
        limit, used = item.get("quota_limit"), count_of(item.get("used"))
        limit = limit if limit == NO_LIMIT and type(limit) is int else count_of(limit)
        if item.get("quota_key") == QUOTA_KEY and limit is not None and used is not None:
            return Quota(limit, used)
    return bad_answer(reply.status, reply.request_id, f"quotas without `{QUOTA_KEY}`")


async def first_router(client: CloudClient, lane: LaneKey) -> str | Refused:
    """The id of one router of the lane's project; empty if it has none."""
    reply = await client.call(lane, "GET", "/instances", query=[("limit", "1")], expected=_OK)
    if isinstance(reply, Refused):
        return reply
    found = next((item.get("id") for item in _items(reply, "instances")), "")
    if not isinstance(found, str) or (found and _SAFE_ID.fullmatch(found) is None):
        return bad_answer(reply.status, reply.request_id, "a router whose id is no id")
    return found


async def count_flow_logs(client: CloudClient, lane: LaneKey, er_id: str) -> int | Refused:
    """How many flow logs a router has, by the count that a listing gives."""
    reply = await client.call(lane, "GET", f"/{er_id}/flow-logs", query=[("limit", "1")], expected=_OK)
    if isinstance(reply, Refused):
        return reply
    total = count_of(reply.body.get("total_count"))
    return len(_items(reply, "flow_logs")) if total is None else total


Item = Mapping[str, Any]
"""An object of the provider's whose `id` is one."""


async def routers_page(client: CloudClient, lane: LaneKey, marker: str | None) -> Page[Item] | Refused:
    """One page of the routers of the lane's project, in the order of ids."""
    return await _page(client, lane, "/instances", "instances", marker)


async def attachments_page(client: CloudClient, lane: LaneKey, er_id: str, marker: str | None) -> Page[Item] | Refused:
    """One page of a router's attachments, in the order of ids."""
    return await _page(client, lane, f"/{er_id}/attachments", "attachments", marker)


async def flow_logs_page(client: CloudClient, lane: LaneKey, er_id: str, marker: str | None) -> Page[Item] | Refused:
    """One page of a router's flow logs, in the order of ids, as the provider writes them."""
    return await _page(client, lane, f"/{er_id}/flow-logs", "flow_logs", marker)


async def _page(client: CloudClient, lane: LaneKey, tail: str, member: str, marker: str | None) -> Page[Item] | Refused:
    query = [("limit", str(PAGE_LIMIT)), ("sort_dir", "asc"), ("sort_key", "id")]
    if marker is not None:
        query.append(("marker", marker))
    reply = await client.call(lane, "GET", tail, query=sorted(query), expected=_OK)
    if isinstance(reply, Refused):
        return reply
    found = reply.body.get(member)
    if not isinstance(found, list) or not all(isinstance(item, dict) and is_id(item.get("id")) for item in found):
        return bad_answer(reply.status, reply.request_id, f"a listing without `{member}` that have ids")
    return page_of(tuple(found), reply)


def page_of(items: tuple[T, ...], reply: Reply) -> Page[T] | Refused:
    """A page of these items, with the marker and the count that its answer names."""
    info = reply.body.get("page_info")
    following = info.get("next_marker") if isinstance(info, dict) else None
    marker = following if isinstance(following, str) and following else None
    if marker is not None and len(marker) > MARKER_CHARS_MAX:
        return bad_answer(reply.status, reply.request_id, "a listing whose marker is too long for a URL")
    total, is_open = count_of(reply.body.get("total_count")), reply.body.get(OPEN_WORLD) is True
    return Page(items=items, next_marker=marker, total=total, limit=PAGE_LIMIT, is_open=is_open)


def state_of(value: object) -> str:
    """The word that the provider has for a thing's state, as a report can show it."""
    text = str(value)
    return text if _STATE.fullmatch(text) else shown(text, STATE_CHARS_MAX)


def is_id(value: object) -> TypeGuard[str]:
    """Whether this can be the id of a thing of the provider's: short, and fit for a URL."""
    return isinstance(value, str) and _SAFE_ID.fullmatch(value) is not None


async def log_groups(client: CloudClient, lane: LaneKey) -> Ids | Refused:
    """The ids of the log groups of the lane's project."""
    return await _lts(client, lane, f"/v2/{lane.project_id}/groups", "log_groups", "log_group_id")


async def log_streams(client: CloudClient, lane: LaneKey, group_id: str) -> Ids | Refused:
    """The ids of the log streams of a log group."""
    return await _lts(client, lane, f"/v2/{lane.project_id}/groups/{group_id}/streams", "log_streams", "log_stream_id")


async def _lts(client: CloudClient, lane: LaneKey, path: str, member: str, key: str) -> Ids | Refused:
    reply = await client.ask(Service.LTS, lane, path, content_type=LTS_CONTENT_TYPE)
    if isinstance(reply, Refused):
        return reply
    found = frozenset(item[key].lower() for item in _items(reply, member) if is_id(item.get(key)))
    if len(found) > LOG_THINGS_MAX:
        return bad_answer(reply.status, reply.request_id, f"a list of more than {LOG_THINGS_MAX:,} `{member}`")
    return Ids(found, is_open=reply.body.get(OPEN_WORLD) is True)


def _items(reply: Reply, member: str) -> list[Mapping[str, Any]]:
    found = reply.body.get(member)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []
