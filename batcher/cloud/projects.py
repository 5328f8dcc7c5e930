"""Whose project a region is: `GET /v3/projects?name=<region>` of the identity service (IAM).

The official SDK asks the same way, without `X-Project-Id` and without a content type (huaweicloudsdkcore 3.1.219).
"""

import re
from typing import NamedTuple

from batcher.cloud.client import CloudClient, Reply
from batcher.cloud.endpoints import Service
from batcher.cloud.refusal import bad_answer
from batcher.model import LaneKey, Refused

PROJECTS_MAX = 1_000
"""Far beyond what one name can have; the rest of a longer answer is not read."""

_ID = re.compile(r"[0-9a-f]{32}")
_NAME_CHARS_MAX = 64


class Project(NamedTuple):
    """A project as IAM names it."""

    id: str
    name: str


async def list_projects(client: CloudClient, account: str, region: str) -> tuple[Project, ...] | Refused:
    """The projects of an account that bear the region's name; one call. Raises what the keyring raises."""
    lane = LaneKey(account, region, "")
    reply = await client.ask(Service.IAM, lane, "/v3/projects", query=[("name", region)], content_type="")
    return reply if isinstance(reply, Refused) else _projects(reply)


def _projects(reply: Reply) -> tuple[Project, ...] | Refused:
    found = reply.body.get("projects")
    if not isinstance(found, list):
        return bad_answer(reply.status, reply.request_id, "a list of projects without `projects`")
    projects = []
    for item in found[:PROJECTS_MAX]:
        project_id, name = (item.get("id"), item.get("name")) if isinstance(item, dict) else (None, None)
        if not isinstance(project_id, str) or _ID.fullmatch(project_id) is None:
            return bad_answer(reply.status, reply.request_id, "a project whose id is no project id")
        if item.get("enabled") is not False:
            shown = name if isinstance(name, str) and name.isprintable() else ""
            projects.append(Project(project_id, shown[:_NAME_CHARS_MAX]))
    return tuple(projects)
