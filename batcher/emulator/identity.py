"""The identity service (IAM) as far as clients need it: whose project a region is.

Written from "Querying Project Information - KeystoneListProjects" (2025-12-27) and the project look-up of the official
Python SDK 3.1.219, which asks by name and wants exactly one answer. Enterprise Router and this look-up share an
address here; the gateway in front is the same.
"""

from batcher.emulator.answers import Answer
from batcher.emulator.calls import Call
from batcher.emulator.state import State, uuid_of
from batcher.emulator.world import World

HOST = "https://iam.myhuaweicloud.com"
"""What the links of the documents' samples begin with; clients do not follow them."""


def put_project(state: State, name: str, project_id: str, access_key: str | None) -> None:
    """Give an access key, or all of them, a project of this name; one that is there stays."""
    values = (name, project_id, access_key or "")
    state.db.execute("INSERT INTO named_projects VALUES (?, ?, ?) ON CONFLICT DO NOTHING", values)


def project_id_of(name: str) -> str:
    """The id of the project that an open world has for a name: 32 hex digits, always the same for the same name."""
    return uuid_of("project", name).replace("-", "")


def list_projects(world: World, call: Call) -> Answer:
    """The caller's projects, all of them or those of a name.

    A name for which nothing was seeded has one project in an open world and none in a closed one. A name that was
    seeded for other keys only has none. Parameters other than `name` are ignored, and nothing is paged.
    """
    name = dict(reversed(call.query)).get("name")
    seeded = world.state.db.execute(
        "SELECT id, name, access_key FROM named_projects WHERE :name IS NULL OR name = :name ORDER BY name, id",
        {"name": name},
    ).fetchall()
    found = dict.fromkeys((id_, its_name) for id_, its_name, key in seeded if key in {"", call.access_key})
    if name and not seeded and world.settings.open_world:
        found = {(project_id_of(name), name): None}
    links = {"self": f"{HOST}{call.target}", "previous": None, "next": None}
    return Answer(200, {"links": links, "projects": [_project(*project) for project in found]}, bare=True)


def _project(project_id: str, name: str) -> dict[str, object]:
    domain_id = uuid_of("domain").replace("-", "")
    return {
        "id": project_id,
        "name": name,
        "domain_id": domain_id,
        "parent_id": domain_id,
        "enabled": True,
        "is_domain": False,
        "description": "",
        "links": {"self": f"{HOST}/v3/projects/{project_id}"},
    }
