"""Flow logs of Enterprise Router attachments: what a row asks for, and the calls that make it so.

A spec is a compact JSON array in the order of `_SPEC`; the request body is derived from it, always the same
bytes. Both are written out here and not by `json.dumps`, which costs a tenth of a whole row: ids are held to
patterns that need no escaping, names and descriptions are escaped. (Provider's page "Creating a Flow Log",
2024-04-19; list and state calls from the SDK 3.1.219.)
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from json.encoder import encode_basestring_ascii as _quoted
from sys import intern
from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json

from batcher.cloud.client import CloudClient
from batcher.cloud.endpoints import Service
from batcher.cloud.refusal import bad_answer
from batcher.cloud.wire import compact_json
from batcher.model import (
    Applied,
    Barred,
    ClaimedRow,
    ClockOffset,
    Fault,
    LaneKey,
    Page,
    Quota,
    Refused,
    Remote,
    Shown,
    Token,
    Wish,
)
from batcher.operations.flow_log_answers import (
    ANOTHER,
    applied_of,
    is_called,
    listed,
    natural_key,
    place_of,
    says_gone,
    shown,
    stands_at,
)
from batcher.operations.flow_log_row import (
    COLUMNS,
    TRUE_WORDS,
    FlowLogRow,
    RowDefaults,
    names_what_is_attached,
    read_row,
)
from batcher.operations.ground import FlowLogGround, confined
from batcher.operations.surroundings import PAGE_LIMIT, show_quota
from batcher.policy.defusing import printable
from batcher.policy.token import derive_token
from batcher.ports import Ask

LANES_KEPT = 4096
"""Lane keys kept while planning: rows of one lane share one."""

DIFFERENCE_CHARS_MAX = 300
"""Of a value in the message of what drifted: a description has 255 at most."""

FindProjects = Callable[[Sequence[tuple[str, str]]], Awaitable[None]]

_SPEC = (
    "account",
    "region",
    "project_id",
    "er_id",
    "resource_id",
    "log_group_id",
    "log_stream_id",
    "name",
    "description",
    "enabled",
)
_ACCEPTED = frozenset({202})
_REMOVED = frozenset({202, 204})
_OK = frozenset({200})


class FlowLogs:
    """The `Operation` that makes sure that attachments have their flow logs."""

    name: str = "flow_log"
    known_columns: tuple[str, ...] = COLUMNS
    identity_columns: tuple[str, ...] = _SPEC[:8]

    def __init__(
        self,
        client: CloudClient | None,
        defaults: RowDefaults,
        find_projects: FindProjects | None = None,
        place_of: Callable[[str], str] = str,
        tell: Callable[[str, str], None] | None = None,
    ) -> None:
        """`client` None: only the pure half is used (validation, reports).

        `find_projects` makes the projects of these (account, region) known to `defaults.project_of`. `place_of` gives
        one name to all regions that one Enterprise Router serves. `tell` hears once of rows that keep the rules and
        seem to ask for something else than is meant: what is wrong, and the remedy.
        """
        self._tell = tell
        self._place_of = lru_cache(maxsize=LANES_KEPT)(place_of)
        self._client = client
        self._defaults = defaults
        self._find_projects = find_projects
        self._lane = lru_cache(maxsize=LANES_KEPT)(_lane_key)

    async def prepare(self, rows: Sequence[Mapping[str, str]]) -> None:
        """Find the projects that rows leave open, and tell of ids that are probably not the attachments'."""
        if self._tell is not None and any(map(names_what_is_attached, rows)):
            self._tell(
                "this looks like the provider's list of attachments: `resource_id` is there the id of what is attached,"
                " such as a VPC, and `id` the attachment's",
                "`--map resource_id=id` takes the attachment's; `batcher discover` writes an inventory of them",
            )
            self._tell = None
        if self._find_projects is not None and (places := self._defaults.places_without_project(rows)):
            await self._find_projects(sorted(places))

    # --- pure ---------------------------------------------------------------------------------------

    def parse(self, fields: Mapping[str, str]) -> Wish | Barred | tuple[Fault, ...]:
        """Hold a row to its rules, the defaults filled in: a wish, or every fault."""
        filled = self._defaults.fill(fields)
        try:
            row = read_row(filled)
        except ValidationError as error:
            faults = self._defaults.faults_of(error, filled)
            return self._defaults.barred(filled, faults) or faults
        name = self._defaults.name_of(row)
        faults = self._defaults.faults_of(None, filled, name) if self._defaults.is_suspect(row, name) else ()
        return faults or self._wish(row, name)

    def _wish(self, row: FlowLogRow, plain_name: str) -> Wish:
        account, region, project_id, er_id = row["account"], row["region"], row["project_id"], row["er_id"]
        name = _quoted(plain_name)
        description = _quoted(row["description"]) if row["description"] else "null"
        place = place_of(row["resource_id"], row["log_group_id"], row["log_stream_id"])
        enabled = "true" if row.get("enabled", "true").lower() in TRUE_WORDS else "false"
        return Wish(
            self._lane(account, region, project_id),
            scope=er_id,
            key=natural_key((self._place_of(region), project_id, er_id), place),
            token=_token((project_id, er_id), place, (name, description), 0),
            spec=f'["{account}","{region}","{project_id}","{er_id}",{place},{name},{description},{enabled}]',
        )

    def token(self, spec: str, generation: int) -> Token:
        """The `X-Client-Token` of a generation."""
        _, _, project_id, er_id, resource_id, log_group_id, log_stream_id, name, description, _ = from_json(spec)
        shown = _quoted(description) if description else "null"
        place = place_of(resource_id, log_group_id, log_stream_id)
        return _token((project_id, er_id), place, (_quoted(name), shown), generation)

    def columns_of(self, spec: str) -> Mapping[str, str]:
        """Every known column as an inventory would write it."""
        values: dict[str, Any] = dict(zip(_SPEC, from_json(spec), strict=True))
        values["description"] = values["description"] or ""
        values["enabled"] = "true" if values["enabled"] else "false"
        values["resource_type"] = "attachment"
        values["log_store_type"] = "LTS"
        return values

    def identity_of(self, spec: str) -> Sequence[str]:
        """The identity columns of a spec: the first of what it holds."""
        values: list[str] = from_json(spec)
        if len(values) != len(_SPEC):
            raise ValueError(f"a spec of {len(values)} values")
        return values[: len(self.identity_columns)]

    def differences(self, spec: str, remote: Remote) -> tuple[str, ...]:
        """What drifted of name, description and enabled; an absent description equals an empty one."""
        wished = dict(zip(_SPEC, from_json(spec), strict=True))
        found = []
        for column in ("name", "description", "enabled"):
            want, have = wished[column], remote.fields[column]
            if (want or None) != (have or None) and not (column == "enabled" and have is None):
                found.append(f"{column}: wished `{_text(want)}`, there is `{_text(have)}`")
        return tuple(found)

    def subject(self, spec: str) -> str:
        """The attachment."""
        return str(from_json(spec)[4])

    def needs_amending(self, spec: str, remote: Remote) -> bool:
        """Whether it is enabled and should not be, or the other way round."""
        return remote.enabled is not None and remote.enabled != from_json(spec)[-1]

    def needs_update(self, spec: str, remote: Remote) -> bool:
        """Whether its name or description is another."""
        return bool(_changes(spec, remote))

    # --- calls --------------------------------------------------------------------------------------

    def is_trusted(self, lane: LaneKey) -> bool:
        """Whether the service has accepted the credentials of the lane's account."""
        return self._client is None or self._client.is_trusted(lane.account)

    async def apply(self, lane: LaneKey, row: ClaimedRow) -> Applied | Refused:
        """`POST .../flow-logs`: success is 202 with a flow log id, and nothing else."""
        _, _, _, er_id, resource_id, log_group_id, log_stream_id, name, description, enabled = from_json(row.spec)
        shown = f'"description":{_quoted(description)},' if description else ""
        body = (
            f'{{"flow_log":{{"name":{_quoted(name)},{shown}"resource_type":"attachment",'
            f'"resource_id":"{resource_id}","log_group_id":"{log_group_id}","log_stream_id":"{log_stream_id}",'
            f'"log_store_type":"LTS"}}}}'
        )
        reply = await self._calls.call(
            lane, "POST", f"/{er_id}/flow-logs", body=body.encode("ascii"), token=row.token, expected=_ACCEPTED
        )
        if isinstance(reply, Refused):
            return reply
        log = reply.body.get("flow_log")
        if isinstance(log, dict) and not stands_at(log, (resource_id, log_group_id, log_stream_id)):
            return bad_answer(
                reply.status, reply.request_id, "accepted, but the flow log in the answer is another row's"
            )
        applied = applied_of(reply, wish=enabled)
        if isinstance(applied, Applied) and not is_called(reply.body["flow_log"], name, description or ""):
            return replace(applied, as_wished=False)
        return applied

    def clock_offset(self, lane: LaneKey) -> ClockOffset | None:
        """What to add to the steady clock for the time at the lane's Enterprise Router."""
        return None if self._client is None else self._client.clock_offset(Service.ER, lane.region)

    async def show(self, lane: LaneKey, scope: str, remote_id: str) -> Shown | Refused:
        """`GET .../flow-logs/{id}`; that there is none is said with 404 or with `GONE_CODE`."""
        reply = await self._calls.call(lane, "GET", f"/{scope}/flow-logs/{remote_id}", expected=_OK)
        if isinstance(reply, Refused):
            return Shown(None, reply.http_status or 404) if says_gone(reply) else reply
        return shown(self._router(lane, scope), reply, remote_id)

    async def amend(self, lane: LaneKey, spec: str, remote: Remote) -> Applied | Refused:
        """Enable or disable a flow log that is otherwise as wished."""
        _, _, _, er_id, *_, enabled = from_json(spec)
        act = "enable" if enabled else "disable"
        tail = f"/{er_id}/flow-logs/{remote.remote_id}/{act}"
        reply = await self._calls.call(lane, "POST", tail, expected=_ACCEPTED)
        return reply if isinstance(reply, Refused) else applied_of(reply, wish=enabled, remote_id=remote.remote_id)

    async def update(self, lane: LaneKey, spec: str, remote: Remote) -> Applied | Refused:
        """`PUT .../flow-logs/{id}` with a bare object of what differs: nothing else can be changed."""
        changes = _changes(spec, remote)
        tail = f"/{from_json(spec)[3]}/flow-logs/{remote.remote_id}"
        reply = await self._calls.call(lane, "PUT", tail, body=compact_json(changes), expected=_OK)
        if isinstance(reply, Refused):
            return reply
        enabled = remote.enabled if remote.enabled is not None else from_json(spec)[-1]
        applied = applied_of(reply, wish=enabled, remote_id=remote.remote_id)
        if isinstance(applied, Refused):
            return applied
        log = reply.body["flow_log"]
        is_done = all((log.get(name, text) or "") == text for name, text in changes.items())
        return replace(applied, as_wished=is_done)

    async def remove(self, lane: LaneKey, spec: str, remote: Remote) -> Applied | Refused:
        """`DELETE .../flow-logs/{id}`; one that is gone already is as good as deleted."""
        tail = f"/{from_json(spec)[3]}/flow-logs/{remote.remote_id}"
        reply = await self._calls.call(lane, "DELETE", tail, expected=_REMOVED)
        if isinstance(reply, Refused):
            if not says_gone(reply):
                return reply
            return Applied(remote.remote_id, "deleted", None, True, reply.http_status or 404, reply.request_id)
        log = reply.body.get("flow_log")  # there need be none
        if isinstance(log, dict) and log.get("id", remote.remote_id) != remote.remote_id:
            return bad_answer(reply.status, reply.request_id, ANOTHER)
        return Applied(remote.remote_id, "deleting", remote.enabled, True, reply.status, reply.request_id)

    async def quota(self, lane: LaneKey) -> Quota | Refused:
        """The quota of flow logs as the lane's project sees it; a refusal to show it stops nothing but refused keys."""
        answer = await show_quota(self._calls, lane)
        return confined(answer) if isinstance(answer, Refused) else answer

    def ground(self, lane: LaneKey, ask: Ask, tell: Callable[[str, str], None]) -> FlowLogGround:
        """Attachments, log groups and log streams."""
        return FlowLogGround(self._calls, lane, ask, tell)

    async def page(
        self, lane: LaneKey, scope: str, marker: str | None, only: Sequence[str] = ()
    ) -> Page[Remote] | Refused:
        """`GET .../flow-logs` in the order of ids; `only` filters by the attachments of these specs."""
        query = [("limit", str(PAGE_LIMIT)), ("sort_dir", "asc"), ("sort_key", "id")]
        if marker is not None:
            query.append(("marker", marker))
        query.extend(("resource_id", resource_id) for resource_id in sorted({from_json(spec)[4] for spec in only}))
        reply = await self._calls.call(lane, "GET", f"/{scope}/flow-logs", query=sorted(query), expected=_OK)
        if isinstance(reply, Refused):
            return reply
        asked = frozenset(value for name, value in query if name == "resource_id")
        return listed(self._router(lane, scope), reply, asked)

    def _router(self, lane: LaneKey, scope: str) -> tuple[str, str, str]:
        """Where flow logs of a scope are, as natural keys have it."""
        return self._place_of(lane.region), lane.project_id, scope

    @property
    def _calls(self) -> CloudClient:
        if self._client is None:
            raise RuntimeError("this operation was built without a client")  # a fault of ours
        return self._client


def _lane_key(account: str, region: str, project_id: str) -> LaneKey:
    """A lane; of a hundred thousand lanes most share account and region, and so the text of these."""
    return LaneKey(intern(account), intern(region), project_id)


def _token(router: tuple[str, str], place: str, quoted: tuple[str, str], generation: int) -> Token:
    """Of a router (project, id), a `_place`, and name and description as they stand in JSON."""
    wish = f'"{router[0]}","{router[1]}",{quoted[0]},{quoted[1]},"attachment",{place},"LTS"'
    return derive_token(wish, generation)


def _changes(spec: str, remote: Remote) -> dict[str, str]:
    """What an update has to say: the name and the description that are wished and are not there."""
    wished = dict(zip(_SPEC, from_json(spec), strict=True))
    names = ("name", "description")
    return {name: wished[name] or "" for name in names if (wished[name] or "") != (remote.fields[name] or "")}


def _text(value: object) -> str:
    """A value for a message: one line of bounded length."""
    text = printable(str(value).lower() if isinstance(value, bool) else str(value or ""))
    return text if len(text) <= DIFFERENCE_CHARS_MAX else text[:DIFFERENCE_CHARS_MAX] + "..."
