"""One call of the API as it came in: which operation it is, and what checks and faults need to know of it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import parse_qsl, unquote

KEY_CHARS_MAX = 400
"""Natural keys are four ids; a longer one comes from a broken body and is cut before it is logged."""

KEY_FIELDS = ("resource_id", "log_group_id", "log_stream_id")


class Operation(StrEnum):
    """The operations of the APIs by the names that faults, scripts and statistics use."""

    CREATE = "create"
    LIST = "list"
    SHOW = "show"
    UPDATE = "update"
    DELETE = "delete"
    ENABLE = "enable"
    DISABLE = "disable"
    ROUTERS = "routers"
    ATTACHMENTS = "attachments"
    QUOTAS = "quotas"
    PROJECTS = "projects"
    LOG_GROUPS = "log_groups"
    LOG_STREAMS = "log_streams"
    UNKNOWN = "unknown"


# What follows /v3/{project_id}/enterprise-router/ (OTC api-ref, apis/flow_logs, 2025-11-11).
ROUTES: Mapping[tuple[str, str], Operation] = {
    ("POST", "*/flow-logs"): Operation.CREATE,
    ("GET", "*/flow-logs"): Operation.LIST,
    ("GET", "*/flow-logs/*"): Operation.SHOW,
    ("PUT", "*/flow-logs/*"): Operation.UPDATE,
    ("DELETE", "*/flow-logs/*"): Operation.DELETE,
    ("POST", "*/flow-logs/*/enable"): Operation.ENABLE,
    ("POST", "*/flow-logs/*/disable"): Operation.DISABLE,
    ("GET", "instances"): Operation.ROUTERS,
    ("GET", "*/attachments"): Operation.ATTACHMENTS,
    ("GET", "quotas"): Operation.QUOTAS,
}

# What other services serve: IAM "Querying Project Information" (2025-12-27), LTS "Querying All Log Groups of an
# Account" (2025-11-14) and "Querying All Log Streams in a Specified Log Group".
ELSEWHERE: Mapping[tuple[str, str], Operation] = {
    ("GET", "v3/projects"): Operation.PROJECTS,
    ("GET", "v2/*/groups"): Operation.LOG_GROUPS,
    ("GET", "v2/*/groups/*/streams"): Operation.LOG_STREAMS,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call; ids are empty where the path has none, `document` is None where the body is not JSON.

    `key` is the natural key of a create, `project/router/attachment/group/stream`, None where the body lacks
    a part. `log_group_id` is the one of the path; `access_key` is the one that the call claims to be signed with,
    empty where there is none.
    """

    operation: Operation
    target: str
    project_id: str
    er_id: str
    flow_log_id: str
    log_group_id: str
    access_key: str
    content_type: str
    query: tuple[tuple[str, str], ...]
    token: str | None
    body: bytes
    document: object
    key: str | None

    @property
    def identity(self) -> str:
        """What stays the same when a client repeats this call."""
        return f"{self.operation}:{self.token or self.key or self.target}"

    def facts(self) -> dict[str, str]:
        """The values a fault script can match on, by name; texts only."""
        facts = dict(reversed(self.query))
        facts.update((name, value) for name, value in fields_of(self.document).items() if isinstance(value, str))
        facts.update(project_id=self.project_id, er_id=self.er_id, flow_log_id=self.flow_log_id)
        facts.update(client_token=self.token or "", access_key=self.access_key)
        if self.log_group_id:
            facts["log_group_id"] = self.log_group_id
        return facts


def read_call(
    method: str, target: str, token: str | None, body: bytes, *, access_key: str = "", content_type: str = ""
) -> Call:
    """Take a request apart; nothing is refused here. Bytes that are no UTF-8 become `?`."""
    path, _, query = _clean(target).partition("?")
    parts = path.split("/")
    tail = parts[4:] if parts[1:2] == ["v3"] and parts[3:4] == ["enterprise-router"] else []
    operation = _operation(method, parts, tail)
    project_id = unquote(parts[2]) if len(parts) > 2 and parts[1] in {"v2", "v3"} else ""
    if operation is Operation.PROJECTS:
        project_id = ""
    er_id = unquote(tail[0]) if len(tail) > 1 else ""
    document = _json(body) if body else None
    return Call(
        operation=operation,
        target=target,
        project_id=project_id,
        er_id=er_id,
        flow_log_id=unquote(tail[2]) if len(tail) > 2 else "",
        log_group_id=unquote(parts[4]) if operation is Operation.LOG_STREAMS else "",
        access_key=_clean(access_key),
        content_type=content_type,
        query=tuple(parse_qsl(query, keep_blank_values=True)) if query else (),
        token=None if token is None else _clean(token),
        body=body,
        document=document,
        key=_key(project_id, er_id, document) if operation is Operation.CREATE else None,
    )


def fields_of(document: object) -> Mapping[str, object]:
    """The flow log's fields in a body, with or without the `flow_log` wrapper; empty where there are none."""
    if not isinstance(document, dict):
        return {}
    inner = document.get("flow_log", document)
    return inner if isinstance(inner, dict) else {}


def _operation(method: str, parts: Sequence[str], tail: Sequence[str]) -> Operation:
    """Which operation a path is; `tail` is what follows `enterprise-router`, empty for other services."""
    if tail:
        shape = "/".join("*" if len(tail) > 1 and place % 2 == 0 else part for place, part in enumerate(tail))
        return ROUTES.get((method, shape), Operation.UNKNOWN)
    wild = {2, 4} if parts[1:2] == ["v2"] else set()
    shape = "/".join("*" if place in wild else part for place, part in enumerate(parts) if place)
    return ELSEWHERE.get((method, shape), Operation.UNKNOWN)


def _json(body: bytes) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _key(project_id: str, er_id: str, document: object) -> str | None:
    fields = fields_of(document)
    parts = [fields.get(name) for name in KEY_FIELDS]
    texts = [part for part in parts if isinstance(part, str)]
    return _clean("/".join((project_id, er_id, *texts))[:KEY_CHARS_MAX]) if len(texts) == len(parts) else None


def _clean(text: str) -> str:
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
