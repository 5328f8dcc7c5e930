"""What clients may send: bodies and list parameters, checked as the documents say.

Sources: "Creating a Flow Log" (2024-04-19), OTC api-ref `apis/flow_logs` (2025-11-11), ListFlowLogs
(2025-12-15). A check gives the checked value, or a text that says what is wrong. Lengths are in characters.
Not enforced, because no document says that the API does: the console's alphabet for names, and fields that
nobody documents.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

NAME_CHARS_MAX = 64
DESCRIPTION_CHARS_MAX = 255
PAGE_ITEMS_MAX = 2000
MARKER_CHARS_MAX = 128
SORT_KEYS = frozenset({"id", "name", "state"})

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewFlowLog:
    """A checked body of a create."""

    name: str
    description: str
    resource_id: str
    log_group_id: str
    log_stream_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """A checked body of an update; None leaves a field as it is."""

    name: str | None
    description: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PageQuery:
    """Checked list parameters; `filters` holds the accepted values of each filter that was given."""

    limit: int = PAGE_ITEMS_MAX
    marker: str | None = None
    sort_key: str = "id"
    descending: bool = False
    filters: Mapping[str, Sequence[str]] = field(default_factory=dict)


def is_id(text: object) -> bool:
    """Whether this is a UUID, in either case."""
    return isinstance(text, str) and _UUID.fullmatch(text) is not None


def new_flow_log(document: object) -> NewFlowLog | str:
    """Check the body of a create."""
    if not isinstance(document, dict):
        return "the body is not a JSON object"
    fields = document.get("flow_log")
    if not isinstance(fields, dict):
        return "`flow_log` must be an object"
    description = fields.get("description")
    faults = [
        _text_fault("name", fields.get("name"), 1, NAME_CHARS_MAX),
        None if description is None else _text_fault("description", description, 0, DESCRIPTION_CHARS_MAX),
        *(
            _word_fault(fields, name, word)
            for name, word in (("resource_type", "attachment"), ("log_store_type", "LTS"))
        ),
        *(_id_fault(fields, name) for name in ("resource_id", "log_group_id", "log_stream_id")),
    ]
    if said := "; ".join(fault for fault in faults if fault):
        return said
    return NewFlowLog(
        name=fields["name"],
        description=description or "",
        resource_id=fields["resource_id"],
        log_group_id=fields["log_group_id"],
        log_stream_id=fields["log_stream_id"],
    )


def changes(document: object) -> Changes | str:
    """Check the body of an update, which is bare: no `flow_log` around it."""
    if not isinstance(document, dict):
        return "the body is not a JSON object"
    if strange := sorted(set(document) - {"name", "description"}):
        return f"only `name` and `description` can be changed, not `{strange[0]}`"
    name, description = document.get("name"), document.get("description")
    faults = [
        None if name is None else _text_fault("name", name, 1, NAME_CHARS_MAX),
        None if description is None else _text_fault("description", description, 0, DESCRIPTION_CHARS_MAX),
    ]
    said = "; ".join(fault for fault in faults if fault)
    return said or Changes(name=name, description=description)


def page_query(query: Sequence[tuple[str, str]], filters: Collection[str]) -> PageQuery | str:
    """Check list parameters; `filters` may be repeated. Parameters that nobody documents are ignored."""
    given = dict(reversed(query))
    limit_text = given.get("limit", str(PAGE_ITEMS_MAX))
    marker = given.get("marker")
    sort_key, sort_dir = given.get("sort_key", "id"), given.get("sort_dir", "asc")
    faults = [
        None if _is_limit(limit_text) else f"`limit` must lie in 1..{PAGE_ITEMS_MAX}",
        None if marker is None or 1 <= len(marker) <= MARKER_CHARS_MAX else "`marker` must have 1..128 characters",
        None if marker is None or "limit" in given else "`marker` must be sent together with `limit`",
        None if sort_key in SORT_KEYS else "`sort_key` must be id, name or state",
        None if sort_dir in {"asc", "desc"} else "`sort_dir` must be asc or desc",
    ]
    if said := "; ".join(fault for fault in faults if fault):
        return said
    values = {name: [value for key, value in query if key == name] for name in filters if name in given}
    return PageQuery(
        limit=int(limit_text), marker=marker, sort_key=sort_key, descending=sort_dir == "desc", filters=values
    )


def _is_limit(text: str) -> bool:
    return re.fullmatch(r"[0-9]{1,9}", text) is not None and 1 <= int(text) <= PAGE_ITEMS_MAX


def _text_fault(name: str, value: object, chars_min: int, chars_max: int) -> str | None:
    if not isinstance(value, str):
        return f"`{name}` must be a text"
    if not chars_min <= len(value) <= chars_max:
        return f"`{name}` must have {chars_min}..{chars_max} characters, not {len(value)}"
    return f"`{name}` holds half a character" if _SURROGATE.search(value) else None


def _word_fault(fields: Mapping[str, object], name: str, word: str) -> str | None:
    return None if fields.get(name) == word else f"`{name}` must be `{word}`"


def _id_fault(fields: Mapping[str, object], name: str) -> str | None:
    return None if is_id(fields.get(name)) else f"`{name}` must be a UUID"
