"""Flow logs of Enterprise Router attachments: the one file that knows what a flow log is.

A spec is a compact JSON array in the order of `_SPEC`; the request body is derived from it, always the same
bytes. Both are written out here and not by `json.dumps`, which costs a tenth of a whole row: ids are held to
patterns that need no escaping, names and descriptions are escaped. (Provider's page "Creating a Flow Log",
2024-04-19; list and state calls from the SDK 3.1.219.)
"""

import hashlib
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from json.encoder import encode_basestring_ascii as _quoted
from sys import intern
from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json

from batcher.cloud.client import CloudClient, Reply
from batcher.cloud.endpoints import Service
from batcher.cloud.refusal import bad_answer
from batcher.cloud.wire import compact_json
from batcher.model import (
    Applied,
    Barred,
    ClaimedRow,
    Fault,
    LaneKey,
    NaturalKey,
    Page,
    Quota,
    Refused,
    Remote,
    Token,
    Wish,
)
from batcher.operations.flow_log_row import COLUMNS, TRUE_WORDS, FlowLogRow, RowDefaults, read_row
from batcher.operations.ground import FlowLogGround, confined
from batcher.operations.surroundings import PAGE_LIMIT, page_of, show_quota, state_of
from batcher.policy.defusing import printable
from batcher.policy.token import derive_token
from batcher.ports import Ask

LANES_KEPT = 4096
"""Lane keys kept while planning: rows of one lane share one."""

DIFFERENCE_CHARS_MAX = 300
"""Of a value in the message of what drifted: a description has 255 at most."""
TEXT_CHARS_KEPT = 1_000
"""Of a name or description in a listing: beyond what can be wished for, and 2,000 of them are kept a page."""

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
_LISTED = ("id", "state", "resource_id", "log_group_id", "log_stream_id")
_SAFE_ID = re.compile(r"[0-9A-Za-z_-]{1,64}")
GONE_CODE = "ER.04008501"
"""There is no such flow log (error codes of Enterprise Router, 2025-11-11), to all calls but a look at it."""
_ANOTHER = "the answer is about another flow log"
_ACCEPTED = frozenset({202})
_REMOVED = frozenset({202, 204})
_OK = frozenset({200})


class FlowLogs:
    """The `Operation` that makes sure that attachments have their flow logs."""

    name: str = "flow_log"
    known_columns: tuple[str, ...] = COLUMNS
    identity_columns: tuple[str, ...] = _SPEC[:8]

    def __init__(
        self, client: CloudClient | None, defaults: RowDefaults, find_projects: FindProjects | None = None
    ) -> None:
        """`client` None: only the pure half is used (validation, reports).

        `find_projects` makes the projects of these (account, region) known to `defaults.project_of`.
        """
        self._client = client
        self._defaults = defaults
        self._find_projects = find_projects
        self._lane = lru_cache(maxsize=LANES_KEPT)(_lane_key)

    async def prepare(self, rows: Sequence[Mapping[str, str]]) -> None:
        """Find the projects that rows leave open."""
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
        place = _place(row["resource_id"], row["log_group_id"], row["log_stream_id"])
        enabled = "true" if row.get("enabled", "true").lower() in TRUE_WORDS else "false"
        return Wish(
            self._lane(account, region, project_id),
            scope=er_id,
            key=_natural_key((account, region, project_id, er_id), place),
            token=_token((project_id, er_id), place, (name, description), 0),
            spec=f'["{account}","{region}","{project_id}","{er_id}",{place},{name},{description},{enabled}]',
        )

    def token(self, spec: str, generation: int) -> Token:
        """The `X-Client-Token` of a generation."""
        _, _, project_id, er_id, resource_id, log_group_id, log_stream_id, name, description, _ = from_json(spec)
        shown = _quoted(description) if description else "null"
        place = _place(resource_id, log_group_id, log_stream_id)
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
        if isinstance(log, dict) and not _stands_at(log, (resource_id, log_group_id, log_stream_id)):
            return bad_answer(
                reply.status, reply.request_id, "accepted, but the flow log in the answer is another row's"
            )
        applied = _applied(reply, wish=enabled)
        if isinstance(applied, Applied) and not _is_called(reply.body["flow_log"], name, description or ""):
            return replace(applied, as_wished=False)
        return applied

    async def amend(self, lane: LaneKey, spec: str, remote: Remote) -> Applied | Refused:
        """Enable or disable a flow log that is otherwise as wished."""
        _, _, _, er_id, *_, enabled = from_json(spec)
        act = "enable" if enabled else "disable"
        tail = f"/{er_id}/flow-logs/{remote.remote_id}/{act}"
        reply = await self._calls.call(lane, "POST", tail, expected=_ACCEPTED)
        return reply if isinstance(reply, Refused) else _applied(reply, wish=enabled, remote_id=remote.remote_id)

    async def update(self, lane: LaneKey, spec: str, remote: Remote) -> Applied | Refused:
        """`PUT .../flow-logs/{id}` with a bare object of what differs: nothing else can be changed."""
        changes = _changes(spec, remote)
        tail = f"/{from_json(spec)[3]}/flow-logs/{remote.remote_id}"
        reply = await self._calls.call(lane, "PUT", tail, body=compact_json(changes), expected=_OK)
        if isinstance(reply, Refused):
            return reply
        enabled = remote.enabled if remote.enabled is not None else from_json(spec)[-1]
        applied = _applied(reply, wish=enabled, remote_id=remote.remote_id)
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
            if reply.code != GONE_CODE and not (reply.http_status == 404 and reply.code.startswith("ER.04048")):
                return reply
            return Applied(remote.remote_id, "deleted", None, True, reply.http_status or 404, reply.request_id)
        log = reply.body.get("flow_log")  # there need be none
        if isinstance(log, dict) and log.get("id", remote.remote_id) != remote.remote_id:
            return bad_answer(reply.status, reply.request_id, _ANOTHER)
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
        return _page(lane, scope, reply, self._calls.skew_s(Service.ER, lane.region) or 0.0, asked)

    @property
    def _calls(self) -> CloudClient:
        if self._client is None:
            raise RuntimeError("this operation was built without a client")  # a fault of ours
        return self._client


def _lane_key(account: str, region: str, project_id: str) -> LaneKey:
    """A lane; of a hundred thousand lanes most share account and region, and so the text of these."""
    return LaneKey(intern(account), intern(region), project_id)


def _place(resource_id: str, log_group_id: str, log_stream_id: str) -> str:
    """Attachment, group and stream as members of a JSON array."""
    return f'"{resource_id}","{log_group_id}","{log_stream_id}"'


def _natural_key(lane_and_router: Sequence[str], place: str) -> NaturalKey:
    return NaturalKey(hashlib.blake2b(f"{' '.join(lane_and_router)} {place}".encode(), digest_size=16).digest())


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


def _kept(value: object) -> str | None:
    """A name or a description that the provider shows, whatever it is; as long as a listing can keep it."""
    return None if value is None else str(value)[:TEXT_CHARS_KEPT]


def _stands_at(log: Mapping[str, Any], place: tuple[str, str, str]) -> bool:
    """Whether a flow log may be that of a place: what it says of where it is, it says of this one."""
    said = (log.get("resource_id"), log.get("log_group_id"), log.get("log_stream_id"))
    return all(
        not isinstance(have, str) or have.lower() == want.lower() for have, want in zip(said, place, strict=True)
    )


def _is_called(log: Mapping[str, Any], name: str, description: str) -> bool:
    """Whether a flow log has this name and description, as far as it says."""
    return log.get("name", name) == name and (log.get("description", description) or "") == description


def _applied(reply: Reply, *, wish: bool, remote_id: str | None = None) -> Applied | Refused:
    """What was taken; `remote_id` is the flow log that the call was about, if it was there before."""
    log = reply.body.get("flow_log")
    if not isinstance(log, dict) or not isinstance(log.get("id"), str) or not _SAFE_ID.fullmatch(log["id"]):
        return bad_answer(reply.status, reply.request_id, "accepted, but without a flow log id")
    if remote_id is not None and log["id"] != remote_id:
        return bad_answer(reply.status, reply.request_id, _ANOTHER)
    enabled = log.get("enabled")
    return Applied(
        remote_id=log["id"],
        state=state_of(log.get("state") or "pending"),
        enabled=enabled if isinstance(enabled, bool) else None,
        as_wished=not isinstance(enabled, bool) or enabled == wish,
        http_status=reply.status,
        request_id=reply.request_id,
    )


def _page(
    lane: LaneKey, scope: str, reply: Reply, skew_s: float, asked: frozenset[str] = frozenset()
) -> Page[Remote] | Refused:
    """A page of a scope's flow logs; of the `asked` attachments only, if there are any."""
    logs = reply.body.get("flow_logs")
    if not isinstance(logs, list):
        return bad_answer(reply.status, reply.request_id, "a listing without `flow_logs`")
    try:
        items = tuple(_remote(lane, scope, log, skew_s) for log in logs)
        if asked and any(log["resource_id"].lower() not in asked for log in logs):
            return bad_answer(reply.status, reply.request_id, "a listing of attachments that were not asked for")
    except (KeyError, TypeError) as error:
        return bad_answer(reply.status, reply.request_id, f"a listing with a flow log that cannot be read ({error})")
    return page_of(items, reply)


def _remote(lane: LaneKey, scope: str, log: dict[str, Any], skew_s: float) -> Remote:
    remote_id, state, resource_id, group_id, stream_id = (log[name] for name in _LISTED)
    if not all(isinstance(value, str) for value in (remote_id, state, resource_id, group_id, stream_id)):
        raise TypeError("an id or a state that is no text")
    if not _SAFE_ID.fullmatch(remote_id):
        raise TypeError("an id that could not stand in a URL")
    enabled = log.get("enabled") if isinstance(log.get("enabled"), bool) else None
    created_at = _seconds(log.get("created_at"))
    return Remote(
        key=_natural_key(
            (lane.account, lane.region, lane.project_id, scope), _place(resource_id.lower(), group_id, stream_id)
        ),
        remote_id=remote_id,
        state=state_of(state),
        enabled=enabled,
        created_at=None if created_at is None else created_at + skew_s,  # what it is compared with is our clock's
        fields={"name": _kept(log.get("name")), "description": _kept(log.get("description")), "enabled": enabled},
    )


def _seconds(text: object) -> float | None:
    """A provider's time, read leniently: samples have `Z`, millis or an offset, or nothing of it."""
    try:
        moment = datetime.fromisoformat(str(text))
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except ValueError:
        return None
