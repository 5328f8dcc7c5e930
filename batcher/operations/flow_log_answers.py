"""What the provider answers about flow logs, read: each answer becomes a value, or a refusal that says what is wrong.

(Provider's pages "Creating a Flow Log", 2024-04-19, and "Querying Flow Logs", 2025-12-15; error codes of Enterprise
Router, 2025-11-11.)
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from batcher.cloud.client import Reply
from batcher.cloud.refusal import bad_answer
from batcher.model import Applied, NaturalKey, Page, Refused, Remote, Shown
from batcher.operations.surroundings import page_of, state_of

TEXT_CHARS_KEPT = 1_000
"""Of a name or description in a listing: beyond what can be wished for, and 2,000 of them are kept a page."""
GONE_CODE = "ER.04008501"
"""There is no such flow log."""
ANOTHER = "the answer is about another flow log"
_LISTED = ("id", "state", "resource_id", "log_group_id", "log_stream_id")
_SAFE_ID = re.compile(r"[0-9A-Za-z_-]{1,64}")


def place_of(resource_id: str, log_group_id: str, log_stream_id: str) -> str:
    """Attachment, group and stream as members of a JSON array."""
    return f'"{resource_id}","{log_group_id}","{log_stream_id}"'


def natural_key(router: Sequence[str], place: str) -> NaturalKey:
    """Of a router (region, project, id) and a `_place`. The account is who asks, not where: it has no part in it."""
    return NaturalKey(hashlib.blake2b(f"{' '.join(router)} {place}".encode(), digest_size=16).digest())


def stands_at(log: Mapping[str, Any], place: tuple[str, str, str]) -> bool:
    """Whether a flow log may be that of a place: what it says of where it is, it says of this one."""
    said = (log.get("resource_id"), log.get("log_group_id"), log.get("log_stream_id"))
    return all(
        not isinstance(have, str) or have.lower() == want.lower() for have, want in zip(said, place, strict=True)
    )


def is_called(log: Mapping[str, Any], name: str, description: str) -> bool:
    """Whether a flow log has this name and description, as far as it says."""
    return log.get("name", name) == name and (log.get("description", description) or "") == description


def applied_of(reply: Reply, *, wish: bool, remote_id: str | None = None) -> Applied | Refused:
    """What was taken; `remote_id` is the flow log that the call was about, if it was there before."""
    log = reply.body.get("flow_log")
    if not isinstance(log, dict) or not isinstance(log.get("id"), str) or not _SAFE_ID.fullmatch(log["id"]):
        return bad_answer(reply.status, reply.request_id, "accepted, but without a flow log id")
    if remote_id is not None and log["id"] != remote_id:
        return bad_answer(reply.status, reply.request_id, ANOTHER)
    enabled = log.get("enabled")
    return Applied(
        remote_id=log["id"],
        state=state_of(log.get("state") or "pending"),
        enabled=enabled if isinstance(enabled, bool) else None,
        as_wished=not isinstance(enabled, bool) or enabled == wish,
        http_status=reply.status,
        request_id=reply.request_id,
        created_at=_seconds(log.get("created_at")),
    )


def says_gone(refused: Refused) -> bool:
    """Whether a refusal says that there is no flow log with the id that was named."""
    return refused.code == GONE_CODE or (refused.http_status == 404 and refused.code.startswith("ER.04048"))


def shown(router: Sequence[str], reply: Reply, remote_id: str) -> Shown | Refused:
    """The flow log that was asked for by its id."""
    try:
        remote = remote_of(router, reply.body["flow_log"])
    except (KeyError, TypeError) as error:
        return bad_answer(reply.status, reply.request_id, f"a flow log that cannot be read ({error})")
    if remote.remote_id != remote_id:
        return bad_answer(reply.status, reply.request_id, ANOTHER)
    return Shown(remote, reply.status)


def listed(router: Sequence[str], reply: Reply, asked: frozenset[str] = frozenset()) -> Page[Remote] | Refused:
    """A page of a router's flow logs; of the `asked` attachments only, if there are any."""
    logs = reply.body.get("flow_logs")
    if not isinstance(logs, list):
        return bad_answer(reply.status, reply.request_id, "a listing without `flow_logs`")
    try:
        items = tuple(remote_of(router, log) for log in logs)
        if asked and any(log["resource_id"].lower() not in asked for log in logs):
            return bad_answer(reply.status, reply.request_id, "a listing of attachments that were not asked for")
    except (KeyError, TypeError) as error:
        return bad_answer(reply.status, reply.request_id, f"a listing with a flow log that cannot be read ({error})")
    return page_of(items, reply)


def remote_of(router: Sequence[str], log: Mapping[str, Any]) -> Remote:
    """A flow log as the provider shows it. Raises `KeyError` and `TypeError` for what cannot be read."""
    remote_id, state, resource_id, group_id, stream_id = (log[name] for name in _LISTED)
    if not all(isinstance(value, str) for value in (remote_id, state, resource_id, group_id, stream_id)):
        raise TypeError("an id or a state that is no text")
    if not _SAFE_ID.fullmatch(remote_id):
        raise TypeError("an id that could not stand in a URL")
    enabled = log.get("enabled") if isinstance(log.get("enabled"), bool) else None
    return Remote(
        key=natural_key(router, place_of(resource_id.lower(), group_id.lower(), stream_id.lower())),
        remote_id=remote_id,
        state=state_of(state),
        enabled=enabled,
        created_at=_seconds(log.get("created_at")),
        fields={"name": _kept(log.get("name")), "description": _kept(log.get("description")), "enabled": enabled},
    )


def _seconds(text: object) -> float | None:
    """A provider's time, read leniently: samples have `Z`, millis or an offset, or nothing of it."""
    try:
        moment = datetime.fromisoformat(str(text))
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except ValueError:
        return None


def _kept(value: object) -> str | None:
    """A name or a description that the provider shows, whatever it is; as long as a listing can keep it."""
    return None if value is None else str(value)[:TEXT_CHARS_KEPT]
