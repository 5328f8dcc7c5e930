"""JSON Schemas of what programs read: a line of `report.jsonl`, `summary.json`, and a plan."""

from typing import Any

from batcher.model import Outcome
from batcher.policy.prospect import Prospect
from batcher.report.rows import report_columns
from batcher.report.summary import SERVICES, STATES

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_INTEGERS = frozenset({"row", "line", "attempts", "generation"})
_INTEGERS_OR_NULL = frozenset({"http_status", "duration_ms"})
_TEXTS = frozenset({"outcome", "run_id"})
_TIMES = frozenset({"first_sent_at", "settled_at"})


def row_schema(identity_columns: tuple[str, ...]) -> dict[str, Any]:
    """The schema of a line of `report.jsonl`."""
    columns = report_columns(identity_columns)
    properties = {column: _column(column) for column in columns}
    properties["user"] = {"type": "object", "additionalProperties": {"type": ["string", "null"]}}
    return {
        "$schema": DIALECT,
        "title": "batcher report row",
        "type": "object",
        "properties": properties,
        "required": [*columns, "user"],
        "additionalProperties": False,
    }


def _column(column: str) -> dict[str, Any]:
    if column == "outcome":
        return {"enum": [str(outcome) for outcome in Outcome]}
    if column == "enabled":
        return {"type": ["boolean", "null"]}
    if column in _INTEGERS:
        return {"type": "integer", "minimum": 0}
    if column in _INTEGERS_OR_NULL:
        return {"type": ["integer", "null"], "minimum": 0}
    if column in _TIMES:
        return {"type": ["string", "null"], "format": "date-time"}
    return {"type": "string"} if column in _TEXTS else {"type": ["string", "null"]}


def summary_schema() -> dict[str, Any]:
    """The schema of `summary.json`."""
    counts = {"type": "object", "additionalProperties": {"type": "integer", "minimum": 0}}
    text, text_or_null = {"type": "string"}, {"type": ["string", "null"]}
    time_or_null = {"type": ["string", "null"], "format": "date-time"}
    number = {"type": "integer", "minimum": 0}
    failure = {
        "scope": text_or_null,
        "code": text_or_null,
        "count": number,
        "outcomes": counts,
        "advice": text_or_null,
        "example": _object({"row": number, "line": number, "message": text_or_null}),
        "next": text_or_null,
    }
    cause = {
        "code": text_or_null,
        "count": number,
        "outcomes": counts,
        "meaning": text_or_null,
        "advice": text_or_null,
        "example": _object({"row": number, "line": number, "name": text_or_null, "message": text_or_null}),
        "next": text_or_null,
    }
    change = {"at": {"type": "string", "format": "date-time"}, "action": text, "value": text_or_null}
    process = {"version": text, "host": text, "user": text, "pid": number, "command": text_or_null}
    number_or_null = {"type": ["integer", "null"], "minimum": 0}
    share = {"type": ["number", "null"], "minimum": 0}
    return {
        "$schema": DIALECT,
        "title": "batcher summary",
        **_object(
            {
                "run_id": text,
                "ledger_id": text_or_null,
                "parent": text_or_null,
                "operation": text,
                "state": {"enum": list(STATES)},
                "process": {**_object(process), "type": ["object", "null"]},
                "inventory": _object({"name": text, "sha256": text}),
                "endpoints": {"type": "array", "items": _object({"region": text, **_endpoints()})},
                "settings": {"type": "object"},
                "rows": _object(
                    {
                        "total": number,
                        "of_parent": number_or_null,
                        "done": number,
                        "share_done": share,
                        "by_outcome": counts,
                    }
                ),
                "causes": {"type": "array", "items": _object(cause)},
                "failures": {"type": "array", "items": _object(failure)},
                "failures_not_shown": _object({"rows": number}),
                "calls": _object({"total": number, "by_kind": {"type": "object", "additionalProperties": counts}}),
                "rates": {"type": "object"},
                "changes": {"type": "array", "items": _object(change)},
                "started_at": {"type": "string", "format": "date-time"},
                "ended_at": time_or_null,
                "duration_s": {"type": ["number", "null"], "minimum": 0},
                "stop_code": text_or_null,
                "stop_message": text_or_null,
                "exit_code": {"type": ["integer", "null"]},
                "files": {"type": "array", "items": text},
                "sha256": {"type": "object", "additionalProperties": text},
            }
        ),
    }


def _endpoints() -> dict[str, Any]:
    """Of a region; null where one is not known."""
    return {service: {"type": ["string", "null"]} for service in SERVICES}


def plan_schema() -> dict[str, Any]:
    """The schema of a plan: what `plan --output json` prints; a plan file has more."""
    text, text_or_null = {"type": "string"}, {"type": ["string", "null"]}
    number, number_or_null = {"type": "integer", "minimum": 0}, {"type": ["integer", "null"], "minimum": 0}
    counts = {"type": "object", "additionalProperties": number}
    calls = _object({"total": number, "by_kind": counts})
    place = {"account": text_or_null, "region": text_or_null, "project_id": text_or_null}
    quota = {**_object({"limit": {"type": "integer"}, "used": number, "refused": number}), "type": ["object", "null"]}
    lane = {
        **place,
        "calls": number,
        "to_create": number,
        "rate": text,
        "learnt_at": {"type": ["string", "null"], "format": "date-time"},
        "quota": quota,
        "quota_refusal": text_or_null,
    }
    finding = {
        "prospect": {"enum": [str(prospect) for prospect in Prospect]},
        "code": text_or_null,
        "count": number,
        "example": _object({"line": number, "message": text_or_null}),
    }
    scope = {**place, "er_id": text_or_null, "flow_logs": number_or_null, "rows": counts, "digest": text}
    return {
        "$schema": DIALECT,
        "title": "batcher plan",
        **_object(
            {
                "inventory": _object({"name": text, "sha256": text}),
                "fingerprint": text,
                "target": {"enum": ["cloud", "emulator"]},
                "endpoints": {"type": "array", "items": _object({"region": text, **_endpoints()})},
                "made_at": {"type": "string", "format": "date-time"},
                "fix_drift": {"type": "boolean"},
                "rows": counts,
                "calls": calls,
                "survey_calls": calls,
                "time_s": {"type": "number", "minimum": 0},
                "nights": number_or_null,
                "lanes": {"type": "array", "items": _object(lane)},
                "findings": {"type": "array", "items": _object(finding)},
                "warnings": {"type": "array", "items": text},
                "scopes": {"type": "array", "items": _object(scope)},
            }
        ),
    }


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
