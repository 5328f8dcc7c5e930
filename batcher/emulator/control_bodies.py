"""Bodies of the control requests, checked. A wrong one raises ValueError with a text for its sender."""

import re
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from batcher.emulator.bodies import NAME_CHARS_MAX, NewFlowLog, is_id, new_flow_log
from batcher.emulator.fates import STATES
from batcher.emulator.faults import FaultShares, Kind, Rule
from batcher.emulator.settings import EmulatorSettings
from batcher.emulator.throttle import Throttle

ITEMS_MAX = 100_000
"""Seeds of one request: it is one transaction and holds up the event loop for about a second."""

Kinds = Mapping[str, type | tuple[type, ...]]

_NUMBER = (int, float)
_OPTIONAL_TEXT = (str, type(None))
_ROUTER: Kinds = {"project_id": str, "id": str, "name": _OPTIONAL_TEXT, "state": _OPTIONAL_TEXT}
_ATTACHMENT: Kinds = {**_ROUTER, "er_id": str, "resource_type": _OPTIONAL_TEXT, "resource_id": _OPTIONAL_TEXT}
_PROJECT: Kinds = {"name": str, "id": str, "access_key": _OPTIONAL_TEXT}
_LOG_GROUP: Kinds = {"project_id": str, "id": str, "name": _OPTIONAL_TEXT, "streams": list}
_LOG_STREAM: Kinds = {"id": str, "name": _OPTIONAL_TEXT}
_FATE: Kinds = {"project_id": str, "er_id": str, "resource_id": str, "state": str}
_PROJECT_ID = re.compile(r"[0-9a-f]{32}")
_RULE: Kinds = {
    "operation": str,
    "match": dict,
    "skip": int,
    "times": (int, type(None)),
    "fault": str,
    "status": int,
    "code": str,
    "message": str,
    "headers": dict,
    "delay_s": _NUMBER,
    "body": str,
    "body_base64": str,
    "content_type": str,
}
_SHARES: Kinds = {entry.name: _NUMBER for entry in fields(FaultShares) if entry.name != "on"}
PATCHABLE: Kinds = {
    "throttle": (dict, type(None)),
    "pending_s": _NUMBER,
    "quota": int,
    "project_quotas": dict,
    "latency_s": _NUMBER,
    "faults": dict,
    "open_world": bool,
    "failed_share": _NUMBER,
    "deleting_s": _NUMBER,
    "listing_lag_s": _NUMBER,
    "delete_lag_s": _NUMBER,
    "tombstones": bool,
    "unique": bool,
    "date_shift_s": _NUMBER,
    "token_lifetime_s": _NUMBER,
    "remember_tokens": bool,
    "page_max": int,
    "clock_skew_s": _NUMBER,
    "keys": dict,
}


def patched(settings: EmulatorSettings, document: object) -> EmulatorSettings:
    """The settings with what the document changes.

    `faults` replaces all shares, `keys` (access key to secret) all keys; `throttle: null` ends it.
    """
    changes = _object(document, PATCHABLE, required=())
    if changes.get("throttle") is not None:
        changes["throttle"] = Throttle(**_object(changes["throttle"], {"calls": int, "period_s": _NUMBER}))
    if not all(type(quota) is int for quota in changes.get("project_quotas", {}).values()):
        raise ValueError("`project_quotas` holds whole numbers")
    if "keys" in changes:
        _texts(list(changes["keys"].values()))
    if "faults" in changes:
        shares = _object(changes["faults"], {**_SHARES, "on": list}, required=())
        if "on" in shares:
            shares["on"] = frozenset(_texts(shares["on"]))
        changes["faults"] = FaultShares(**shares)
    return replace(settings, **changes)


def shown(settings: EmulatorSettings) -> dict[str, object]:
    """The settings as a JSON object, without secrets and tokens."""
    shares = {name: getattr(settings.faults, name) for name in _SHARES}
    throttle = settings.throttle
    return {
        "throttle": throttle and {"calls": throttle.calls, "period_s": throttle.period_s},
        "pending_s": settings.pending_s,
        "quota": settings.quota,
        "project_quotas": dict(settings.project_quotas),
        "latency_s": settings.latency_s,
        "faults": {**shares, "on": sorted(settings.faults.on)},
        "open_world": settings.open_world,
        "failed_share": settings.failed_share,
        "deleting_s": settings.deleting_s,
        "listing_lag_s": settings.listing_lag_s,
        "delete_lag_s": settings.delete_lag_s,
        "tombstones": settings.tombstones,
        "unique": settings.unique,
        "date_shift_s": settings.date_shift_s,
        "token_lifetime_s": settings.token_lifetime_s,
        "remember_tokens": settings.remember_tokens,
        "page_max": settings.page_max,
        "clock_skew_s": settings.clock_skew_s,
        "state_path": settings.state_path and str(settings.state_path),
        "access_keys": sorted(settings.keys),
        "seed": settings.seed,
    }


def rules(document: object) -> list[Rule]:
    """A fault script."""
    return [_rule(item) for item in _list(document)]


def routers(document: object) -> list[dict[str, Any]]:
    """Routers to seed."""
    return [_with_ids(_object(item, _ROUTER, required=("project_id", "id")), ("id",)) for item in _list(document)]


def attachments(document: object) -> list[dict[str, Any]]:
    """Attachments to seed."""
    required = ("project_id", "er_id", "id")
    return [_with_ids(_object(item, _ATTACHMENT, required=required), ("er_id", "id")) for item in _list(document)]


def projects(document: object) -> list[dict[str, Any]]:
    """Projects of IAM to seed."""
    found = [_named(_object(item, _PROJECT, required=("name", "id"))) for item in _list(document)]
    if strange := [given["id"] for given in found if not _PROJECT_ID.fullmatch(given["id"])]:
        raise ValueError(f"`id` of a project must be 32 lower-case hex digits, not `{strange[0]}`")
    if any(given.get("access_key") == "" for given in found):
        raise ValueError("`access_key` is empty; leave it out for a project of all keys")
    return found


def log_groups(document: object) -> list[dict[str, Any]]:
    """Log groups with their streams to seed."""
    found = []
    for item in _list(document):
        given = _named(_with_ids(_object(item, _LOG_GROUP, required=("project_id", "id", "streams")), ("id",)))
        streams = [_object(stream, _LOG_STREAM, required=("id",)) for stream in _list(given["streams"])]
        given["streams"] = [_named(_with_ids(stream, ("id",))) for stream in streams]
        found.append(given)
    return found


def seeded_flow_logs(document: object) -> list[tuple[str, str, str, NewFlowLog]]:
    """Flow logs to seed: project, router, state (`available`, `failed` or `pending`) and the rest."""
    found = []
    for item in _list(document):
        given = dict(_object(item, None))
        project_id, er_id = given.pop("project_id", None), given.pop("er_id", None)
        state = given.pop("state", "available")
        if not isinstance(project_id, str) or not is_id(er_id) or state not in STATES:
            raise ValueError("a flow log needs `project_id`, `er_id`, and a state `available`, `failed` or `pending`")
        new = new_flow_log({"flow_log": {"resource_type": "attachment", "log_store_type": "LTS", **given}})
        if isinstance(new, str):
            raise ValueError(new)
        found.append((project_id, str(er_id), str(state), new))
    return found


def fates(document: object) -> list[tuple[tuple[str, str, str], str]]:
    """What becomes of attachments, each given as project, router and attachment."""
    found = [_with_ids(_object(item, _FATE), ("er_id", "resource_id")) for item in _list(document)]
    if strange := [given["state"] for given in found if given["state"] not in STATES]:
        raise ValueError(f"no fate `{strange[0]}`; there are {', '.join(sorted(STATES))}")
    return [((given["project_id"], given["er_id"], given["resource_id"]), given["state"]) for given in found]


def advance_s(document: object) -> float:
    """By how many seconds the clock moves ahead."""
    value = float(_object(document, {"advance_s": _NUMBER})["advance_s"])
    if not 0 <= value < 1e9:
        raise ValueError(f"`advance_s` must lie in 0..1e9, not `{value}`: the clock only runs ahead")
    return value


def _rule(item: object) -> Rule:
    given = _object(item, _RULE, required=("operation", "fault"))
    if given["fault"] not in set(Kind):
        raise ValueError(f"no fault `{given['fault']}`; there are {', '.join(Kind)}")
    for name in ("match", "headers"):
        _texts(list(given.get(name, {}).values()))
    return Rule(**{**given, "fault": Kind(given["fault"])})


def _object(document: object, kinds: Kinds | None, required: tuple[str, ...] | None = None) -> dict[str, Any]:
    """The document's fields, each of its kind; without `required` all must be there."""
    if not isinstance(document, dict):
        raise ValueError("a JSON object is wanted")
    if kinds is None:
        return document
    needed = kinds if required is None else required
    if missing := [name for name in needed if name not in document]:
        raise ValueError(f"`{missing[0]}` is missing")
    for name, value in document.items():
        if name not in kinds:
            raise ValueError(f"no field `{name}`; there are {', '.join(sorted(kinds))}")
        if not isinstance(value, kinds[name]) or (isinstance(value, bool) and kinds[name] is not bool):
            raise ValueError(f"`{name}` has a value of the wrong kind")
    return dict(document)


def _list(document: object) -> list[Any]:
    if not isinstance(document, list) or len(document) > ITEMS_MAX:
        raise ValueError(f"a JSON list of at most {ITEMS_MAX} items is wanted")
    return document


def _texts(values: list[Any]) -> list[str]:
    if not all(isinstance(value, str) for value in values):
        raise ValueError("texts are wanted")
    return values


def _with_ids(given: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    for name in names:
        if not is_id(given[name]):
            raise ValueError(f"`{name}` must be a UUID")
    return given


def _named(given: dict[str, Any]) -> dict[str, Any]:
    name = given.get("name")
    if name is not None and not 1 <= len(name) <= NAME_CHARS_MAX:
        raise ValueError(f"`name` must have 1..{NAME_CHARS_MAX} characters")
    return given
