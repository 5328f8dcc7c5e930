"""The columns of a flow log inventory and the rules that a row is held to, before anything is sent.

Ids reach URLs, so each is held to its pattern here. Rules and lengths: the provider's page "Creating a Flow
Log", 2024-04-19; `reports/` and `inputs/README.md` repeat them for people.
"""

import re
import string
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import (
    Annotated,
    Any,
    NotRequired,  # pydantic reads those of `typing` from Python 3.12 on
)

from pydantic import StringConstraints, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from batcher.errors import ConfigError
from batcher.model import Barred, Fault
from batcher.policy.defusing import NO_TEXT_NEEDS, printable

_UUID = r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"
_Uuid = Annotated[str, StringConstraints(pattern=_UUID, to_lower=True)]
_REGION = r"^[a-z0-9-]{1,32}$"
_ACCOUNT = r"^[0-9A-Za-z_.-]{1,64}$"
_TEXT_FIT = rf"^[^{NO_TEXT_NEEDS}\ufffd]*$"
"""U+FFFD stands where a reader or a report has taken a character out: nobody wishes for a name with a hole in it."""
_LtsId = Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z-]{36}$", to_lower=True)]

ATTACHMENT_KINDS = frozenset({"attachment", "vpc", "vgw", "vpn", "peering", "virtual gateway", "vpc attachment"})
"""`attachment` and the kinds that older documents list for `resource_type`; all are sent as `attachment`."""
TRUE_WORDS = frozenset({"true", "yes", "1", "1.0"})
FALSE_WORDS = frozenset({"false", "no", "0", "0.0"})
"""With `1.0` and `0.0`, as tables write flags that they take for numbers."""
VALUE_SHOWN_MAX = 60
NAME_CHARS_MAX = 64

RULES: Mapping[str, str] = {
    "er_id": "must be a UUID (8-4-4-4-12 hex digits): the router's id",
    "resource_id": "must be a UUID (8-4-4-4-12 hex digits): the attachment's id, not the id of its VPC",
    "log_group_id": "must be an LTS log group id of 36 letters, digits and dashes",
    "log_stream_id": "must be an LTS log stream id of 36 letters, digits and dashes",
    "name": "must have 1 to 64 characters",
    "description": "must have at most 255 characters",
    "resource_type": "must be `attachment` (or a kind of older documents: VPC, VPN, VGW, virtual gateway, peering)",
    "log_store_type": "must be `LTS`",
    "enabled": "must be true, false, yes, no, 1 or 0",
    "project_id": "must be 32 hex digits",
    "region": "must be a region that batcher knows or has an endpoint for",
    "account": "must be the name of a credentials profile (1 to 64 letters, digits, `_`, `.`, `-`)",
}
COLUMNS = tuple(RULES)
REQUIRED = ("er_id", "resource_id", "log_group_id", "log_stream_id", "project_id", "region")
"""Columns that a row must have once the defaults are filled in."""
_PLACE = frozenset({"account", "project_id", "er_id", "log_group_id", "log_stream_id"})
_MISSING = "is missing, and has no default"
_UNFIT = "holds a control character, one that turns the direction of text, or one that was lost"
_UNFIT_TYPE = "string_pattern_mismatch"
_SAME = "same as "
_FREE = frozenset({"name", "description"})
"""The columns that may hold any text but what no text needs."""
_is_fit = re.compile(_TEXT_FIT).search
_FIXED = {"resource_type": "attachment", "account": "default", "description": ""}
_UNSAID = {"name": "", "description": "", "log_store_type": "LTS", "enabled": "true"}
"""What a row means that leaves these columns out."""


def _any_case(words: Iterable[str]) -> str:
    """A pattern of these ASCII words in any case: one that folds other scripts would take a long s for an s."""
    spelled = ("".join(f"[{c.upper()}{c}]" if c.isalpha() else re.escape(c) for c in word) for word in sorted(words))
    return f"^({'|'.join(spelled)})$"


class FlowLogRow(TypedDict):
    """A row that keeps every rule; values are as they are sent."""

    er_id: _Uuid
    resource_id: _Uuid
    log_group_id: _LtsId
    log_stream_id: _LtsId
    name: NotRequired[Annotated[str, StringConstraints(min_length=1, max_length=NAME_CHARS_MAX, pattern=_TEXT_FIT)]]
    description: Annotated[str, StringConstraints(max_length=255, pattern=_TEXT_FIT)]
    resource_type: Annotated[str, StringConstraints(pattern=_any_case(ATTACHMENT_KINDS))]
    log_store_type: NotRequired[Annotated[str, StringConstraints(pattern=_any_case(["lts"]))]]
    enabled: NotRequired[Annotated[str, StringConstraints(pattern=_any_case(TRUE_WORDS | FALSE_WORDS))]]
    project_id: Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F]{32}$", to_lower=True)]
    region: Annotated[str, StringConstraints(pattern=_REGION)]
    account: Annotated[str, StringConstraints(pattern=_ACCOUNT)]


# pydantic fills a dict in two thirds of the time of a model, which is a twentieth of planning.
_ROW = TypeAdapter(FlowLogRow)
read_row = _ROW.validate_python


@dataclass(frozen=True, slots=True, kw_only=True)
class RowDefaults:
    """What fills an absent cell: `[defaults]` of the settings, the flags, and the fixed defaults.

    `values` by column; `project_of` (account, region) is the project that is known there, or empty, and `refusal_of`
    why it could not be looked up; `regions` the
    names a row may use, or None where any well-formed one is served.
    """

    values: Mapping[str, str] = field(default_factory=dict)
    project_of: Callable[[str, str], str] | None = None
    refusal_of: Callable[[str, str], str] | None = None
    name_template: str = "flow-log-{resource_id}"
    regions: frozenset[str] | None = None

    def __post_init__(self) -> None:
        """Raise `ConfigError` for a template that names anything but columns."""
        try:
            parts = list(string.Formatter().parse(self.name_template))
        except ValueError as error:
            raise ConfigError(f"`name_template` `{shorten(self.name_template)}` cannot be read: {error}") from None
        for _, name, spec, conversion in parts:
            if name is not None and (name not in COLUMNS or name == "name" or spec or conversion):
                raise ConfigError(
                    f"`name_template` `{shorten(self.name_template)}` uses `{{{shorten(name)}}}`",
                    hint=f"it may use {', '.join(f'`{{{column}}}`' for column in COLUMNS if column != 'name')}",
                )

    def fill(self, fields: Mapping[str, str]) -> dict[str, str]:
        """The row's fields over the defaults."""
        filled = {**_FIXED, **self.values, **fields}
        if "project_id" not in filled and self.project_of is not None:
            project = self.project_of(filled["account"], filled.get("region", ""))
            if project:
                filled["project_id"] = project
        return filled

    def places_without_project(self, rows: Iterable[Mapping[str, str]]) -> set[tuple[str, str]]:
        """The (account, region) of every row that leaves its project open and names a place where it could be."""
        if "project_id" in self.values:
            return set()
        account, region = self.values.get("account", _FIXED["account"]), self.values.get("region", "")
        places = {
            (fields.get("account", account), fields.get("region", region))
            for fields in rows
            if "project_id" not in fields
        }
        return {place for place in places if self._is_place(*place)}

    def _is_place(self, account: str, region: str) -> bool:
        known = re.fullmatch(_REGION, region) if self.regions is None else region in self.regions
        return bool(known) and re.fullmatch(_ACCOUNT, account) is not None

    def place_faults(self, fields: Mapping[str, str]) -> tuple[Fault, ...]:
        """The faults of what `fields`, filled in, say of a place other than its region; what is absent is none."""
        try:
            read_row(fields)
        except ValidationError as error:
            return tuple(f for f in self.faults_of(error, fields) if f.column in _PLACE and f.value)
        return ()

    def barred(self, fields: Mapping[str, str], faults: tuple[Fault, ...]) -> Barred | None:
        """Why a row cannot be planned whose only fault is a project that could not be looked up; else None."""
        if self.refusal_of is None or [fault.column for fault in faults] != ["project_id"] or "project_id" in fields:
            return None
        refusal = self.refusal_of(fields["account"], fields["region"])
        return Barred(refusal) if refusal else None

    def name_of(self, row: FlowLogRow) -> str:
        """The row's own name, or the one that the template makes of its values as they are sent."""
        return row.get("name") or self.name_template.format_map({**_UNSAID, **row})

    def is_suspect(self, row: FlowLogRow, name: str) -> bool:
        """Whether `faults_of` would find a fault in a row that keeps the rules of its columns."""
        is_odd = len(name) > NAME_CHARS_MAX or (not name.isprintable() and not _is_fit(name))
        if row["er_id"] == row["resource_id"] or row["log_group_id"] == row["log_stream_id"]:
            return True
        return is_odd or (self.regions is not None and row["region"] not in self.regions)

    def faults_of(self, error: ValidationError | None, fields: Mapping[str, str], name: str = "") -> tuple[Fault, ...]:
        """Every broken rule in our own words, in the order of the columns; `fields` are filled in.

        `name` is the one that the template made, where it did.
        """
        broken = {} if error is None else {str(i["loc"][0]): str(i["type"]) for i in error.errors(include_url=False)}
        region = fields.get("region", "")
        if self.regions is not None and region and region not in self.regions:
            broken.setdefault("region", "unknown")
        if len(name) > NAME_CHARS_MAX:
            broken["name"] = "made too long"
        elif name and not _is_fit(name):
            broken["name"] = _UNFIT_TYPE
        if self.project_of is not None and "project_id" not in fields and broken.keys() & {"account", "region"}:
            broken.pop("project_id", None)  # it would have been looked up there
        shown = {**fields, "name": name} if name else fields
        for column, other in (("resource_id", "er_id"), ("log_stream_id", "log_group_id")):
            value = fields.get(column, "")
            if value and value.lower() == fields.get(other, "").lower():
                broken.setdefault(column, f"{_SAME}{other}")
        return tuple(
            Fault(column, shorten(shown.get(column, "")), _rule(column, broken[column], shown.get(column, "")))
            for column in COLUMNS
            if column in broken
        )


def _rule(column: str, broken: str, value: str) -> str:
    """The rule that a value broke, by pydantic's type of error, and the character that only looks as if it kept it."""
    if broken == "missing":
        return _MISSING
    if broken.startswith(_SAME):
        return f"stands in `{broken.removeprefix(_SAME)}` too: no id is that of two things"
    if broken == _UNFIT_TYPE and column in _FREE:
        return _UNFIT
    strange = next((at for at, character in enumerate(value) if not character.isascii()), None)
    if strange is None or column in _FREE:
        return RULES[column]
    character = value[strange]
    name = unicodedata.name(character, "a character without a name")
    return f"{RULES[column]}; its character {strange + 1} is U+{ord(character):04X}, {name}"


def names_what_is_attached(fields: Mapping[str, str]) -> bool:
    """Whether a row looks like the provider's own list of attachments, in which `resource_id` is a VPC's id, say, and
    the attachment's own stands under `id`.
    """
    own = fields.get("id")
    if own is None or own == fields.get("resource_id"):
        return False
    is_kind = fields.get("resource_type", "attachment").lower() in ATTACHMENT_KINDS - {"attachment"}
    return is_kind and re.fullmatch(_UUID, own) is not None


def shorten(value: str) -> str:
    """A value fit for a message: printable and bounded."""
    shown = printable(value[: VALUE_SHOWN_MAX + 1])
    return shown if len(shown) <= VALUE_SHOWN_MAX else shown[:VALUE_SHOWN_MAX] + "..."


def row_schema() -> dict[str, Any]:
    """The JSON Schema of an inventory row as JSON writes it; defaults may fill what it requires."""
    schema = _ROW.json_schema()
    for column, rule in RULES.items():
        schema["properties"][column]["description"] = rule
    for column, value in _UNSAID.items():
        schema["properties"][column]["default"] = value
    schema["properties"]["enabled"]["type"] = ["boolean", "number", "string"]
    schema["required"] = ["resource_id"]
    schema["additionalProperties"] = True
    schema["title"] = "batcher inventory row"
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
