"""Control and statistics, apart from the API: everything under `/_emulator`.

No signature is asked for. Only this machine is served: the peer and the `Host` must be loopback, and a request that a
web page made (it has an `Origin`) is refused. Every user of the machine is served unless the settings have a
`control_secret`, which is then wanted in `X-Emulator-Secret`.

| method and path | body | answer |
|---|---|---|
| GET `/_emulator/statistics` | | `statistics.statistics` |
| GET `/_emulator/settings` | | the settings, without secrets |
| PATCH `/_emulator/settings` | any of `control_bodies.PATCHABLE` | the settings after it |
| PUT `/_emulator/faults/script` | a list of rules (`faults.Rule`) | `{"rules": n}` |
| POST `/_emulator/routers` | a list of `{project_id, id, name?, state?}` | `{"ids": [...]}` |
| POST `/_emulator/attachments` | as a router, with `er_id`, `resource_type?`, `resource_id?` | `{"ids": [...]}` |
| POST `/_emulator/flow-logs` | a list of `{project_id, er_id, state?}` with the fields of a create | `{"ids": [...]}` |
| POST `/_emulator/projects` | a list of `{name, id, access_key?}`; without a key for all | `{"ids": [...]}` |
| POST `/_emulator/log-groups` | a list of `{project_id, id, name?, streams: [{id, name?}]}` | `{"ids": [...]}` |
| POST `/_emulator/fates` | a list of `{project_id, er_id, resource_id, state}`: see `fates` | `{"fates": n}` |
| DELETE `/_emulator/flow-logs/{id}` | | 204, or 404; it is gone at once, whatever `deleting_s` says |
| DELETE `/_emulator/tokens` | | `{"forgotten": n}`; a create under any of them is a new one |
| POST `/_emulator/clock` | `{"advance_s": n}` | `{"offset_s": n}` |
| POST `/_emulator/reset` | | 204 |

Routers, attachments, log groups and streams that are there already are changed to what is given, and a fate takes the
place of the one before. A list takes effect as a whole or not at all. Errors are `{"error": text}`: 400 for a wrong
body, 403 for a caller from elsewhere, 404, 409 for a natural key that is taken while there is `unique`.
"""

import hmac
import json
from collections.abc import Callable, Mapping
from urllib.parse import unquote

from aiohttp import web

from batcher.emulator import control_bodies, fates, flow_logs, identity, inventory, log_groups
from batcher.emulator.faults import Script
from batcher.emulator.routes import Api
from batcher.emulator.settings import is_loopback
from batcher.emulator.statistics import statistics

PREFIX = "/_emulator"
HEADER = "X-Emulator-Secret"
"""Where callers show the secret of control, if there is one."""

Action = Callable[[Api, object], web.Response]


class _TakenError(Exception):
    """A seed would be the second flow log of its natural key."""


async def handle(api: Api, request: web.BaseRequest) -> web.Response:
    """Serve one control request."""
    if refused := _foreign(request) or _strange(request, api.settings.control_secret):
        return _error(403, refused)
    api.sweep()
    path = request.path.removeprefix(PREFIX)
    if request.method == "DELETE" and path.startswith("/flow-logs/"):
        return _vanish(api, unquote(path.removeprefix("/flow-logs/")))
    action = ACTIONS.get((request.method, path))
    if action is None:
        return _error(404, f"no control action `{request.method} {request.path}`")
    return await _carried_out(api, action, request)


async def _carried_out(api: Api, action: Action, request: web.BaseRequest) -> web.Response:
    try:
        body = await request.read()
        return action(api, json.loads(body) if body else None)
    except web.HTTPRequestEntityTooLarge:
        return _error(413, "the body is above 12 MiB")
    except _TakenError:
        return _error(409, "a flow log with this natural key is there already")
    except (ValueError, RecursionError) as error:
        return _error(400, str(error))


def _foreign(request: web.BaseRequest) -> str | None:
    """Why a caller is not from this machine, or is a web page."""
    if request.remote is None or not is_loopback(request.remote):
        return "control serves this machine only"
    if "Origin" in request.headers:
        return "control does not serve web pages"
    host = request.headers.get("Host", "")
    name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
    return None if is_loopback(name) else f"`Host` must be a loopback name, not `{host}`"


def _strange(request: web.BaseRequest, secret: str) -> str | None:
    """Why a caller from this machine is none of those that the secret was given to."""
    shown = request.headers.get(HEADER, "")
    if not secret or hmac.compare_digest(shown.encode("utf-8", "surrogateescape"), secret.encode()):
        return None
    return f"control wants the secret of this emulator in `{HEADER}`"


def _statistics(api: Api, _: object) -> web.Response:
    return web.json_response(statistics(api.state, api.settings.throttle))


def _settings(api: Api, _: object) -> web.Response:
    return web.json_response(control_bodies.shown(api.settings))


def _patch_settings(api: Api, document: object) -> web.Response:
    api.change_settings(control_bodies.patched(api.settings, document))
    return _settings(api, None)


def _put_script(api: Api, document: object) -> web.Response:
    rules = control_bodies.rules(document)
    api.script = Script(rules)
    return web.json_response({"rules": len(rules)})


def _seed_routers(api: Api, document: object) -> web.Response:
    routers = control_bodies.routers(document)
    with api.state.transaction():
        for router in routers:
            inventory.put_router(
                api.state,
                router["project_id"],
                router["id"],
                api.now(),
                name=router.get("name"),
                state_name=router.get("state"),
            )
    return web.json_response({"ids": [router["id"] for router in routers]})


def _seed_attachments(api: Api, document: object) -> web.Response:
    attachments = control_bodies.attachments(document)
    at = api.now()
    with api.state.transaction():
        for given in attachments:
            inventory.put_router(api.state, given["project_id"], given["er_id"], at)
            inventory.put_attachment(api.state, given, at)
    return web.json_response({"ids": [given["id"] for given in attachments]})


def _seed_flow_logs(api: Api, document: object) -> web.Response:
    seeds = control_bodies.seeded_flow_logs(document)
    at = api.now()
    ids = []
    with api.state.transaction():
        for project_id, er_id, state, new in seeds:
            inventory.put_router(api.state, project_id, er_id, at)
            inventory.put_attachment(api.state, {"project_id": project_id, "er_id": er_id, "id": new.resource_id}, at)
            if api.settings.unique and flow_logs.is_taken(api.state, new, project_id=project_id, er_id=er_id):
                raise _TakenError
            n = flow_logs.insert(
                api.state,
                new,
                project_id=project_id,
                er_id=er_id,
                at=at,
                ready_at=flow_logs.FOREVER if state == "pending" else at,
                final_state="available" if state == "pending" else state,
                seeded=True,
            )
            ids.append(flow_logs.by_number(api.state, n, at, 0.0)["id"])
    return web.json_response({"ids": ids})


def _seed_projects(api: Api, document: object) -> web.Response:
    projects = control_bodies.projects(document)
    with api.state.transaction():
        for given in projects:
            identity.put_project(api.state, given["name"], given["id"], given.get("access_key"))
    return web.json_response({"ids": [given["id"] for given in projects]})


def _seed_log_groups(api: Api, document: object) -> web.Response:
    groups = control_bodies.log_groups(document)
    at = api.now()
    with api.state.transaction():
        for given in groups:
            log_groups.put_log_group(api.state, given["project_id"], given, at)
            for stream in given["streams"]:
                log_groups.put_log_stream(api.state, given["project_id"], given["id"], stream, at)
    return web.json_response({"ids": [given["id"] for given in groups]})


def _put_fates(api: Api, document: object) -> web.Response:
    given = control_bodies.fates(document)
    at = api.now()
    with api.state.transaction():
        for place, fate in given:
            fates.put_fate(api.state, place, fate, at)
    return web.json_response({"fates": len(given)})


def _vanish(api: Api, flow_log_id: str) -> web.Response:
    scope = flow_logs.scope_of(api.state, flow_log_id)
    if scope is None:
        return _error(404, f"no flow log `{flow_log_id}`")
    with api.state.transaction():
        flow_logs.delete(api.state, scope, api.now())
    return web.Response(status=204)


def _forget_tokens(api: Api, _: object) -> web.Response:
    with api.state.transaction():
        forgotten = api.state.forget_tokens()
    return web.json_response({"forgotten": forgotten})


def _advance_clock(api: Api, document: object) -> web.Response:
    advance_s = control_bodies.advance_s(document)
    with api.state.transaction():
        api.state.advance_clock(advance_s)
    return web.json_response({"offset_s": api.state.offset_s})


def _reset(api: Api, _: object) -> web.Response:
    api.reset()
    return web.Response(status=204)


ACTIONS: Mapping[tuple[str, str], Action] = {
    ("GET", "/statistics"): _statistics,
    ("GET", "/settings"): _settings,
    ("PATCH", "/settings"): _patch_settings,
    ("PUT", "/faults/script"): _put_script,
    ("POST", "/routers"): _seed_routers,
    ("POST", "/attachments"): _seed_attachments,
    ("POST", "/flow-logs"): _seed_flow_logs,
    ("POST", "/projects"): _seed_projects,
    ("POST", "/log-groups"): _seed_log_groups,
    ("POST", "/fates"): _put_fates,
    ("DELETE", "/tokens"): _forget_tokens,
    ("POST", "/clock"): _advance_clock,
    ("POST", "/reset"): _reset,
}


def _error(status: int, text: str) -> web.Response:
    return web.json_response({"error": text}, status=status)
