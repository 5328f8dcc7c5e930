"""One call to Enterprise Router: address it, sign it, send it, and say what came of it, as a value.

The client repeats nothing and waits for nothing; whether and when a call is made again is the engine's affair.
A call is signed the moment it is sent, with bytes that then go out unchanged.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from batcher.cloud.classify import BAD_ANSWER, REDIRECTED, Verdict, classify
from batcher.cloud.credentials import Credentials
from batcher.cloud.signing import Form, canonical_query
from batcher.cloud.transport import BAD_ANSWER as BAD_ANSWER_CODE
from batcher.cloud.transport import Answer, NoAnswer, Transport
from batcher.cloud.wire import (
    ErrorBody,
    parse_error,
    parse_json_object,
    parse_retry_after,
    parse_window,
    redact,
    request_id_of,
)
from batcher.model import Kind, LaneKey, Refused, Stops

REDIRECTED_CODE = "BATCHER.Redirected"
TARGETS_MAX = 1024
"""Targets kept: creates repeat one a router; a target costs about 2 kB."""

_PROJECT_ID = re.compile(r"[0-9a-f]{32}")
_TAIL = re.compile(r"(?:/(?!\.{1,2}(?:/|\Z))[A-Za-z0-9._-]+)+")
_EMPTY_STATUSES = frozenset({202, 204})


class Reply(NamedTuple):
    """An answer of an expected status: its JSON object, empty where a 202 or 204 had no body.

    A tuple, since one is made at every call: it costs half of a frozen dataclass.
    """

    status: int
    body: Mapping[str, Any]
    request_id: str


class CloudClient:
    """Calls to Enterprise Router for any lane; holds no state but what it was given.

    `signers` maps an account to its credentials and `endpoint_of` a region to its base URL; both are asked at
    every call, so renewed credentials hold at once, and what they raise goes through. `now` is the wall clock.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        signers: Callable[[str], Credentials],
        endpoint_of: Callable[[str], str],
        now: Callable[[], float],
    ) -> None:
        self._transport = transport
        self._signers = signers
        self._endpoint_of = endpoint_of
        self._now = now

    async def call(
        self,
        lane: LaneKey,
        method: str,
        tail: str,
        *,
        query: Sequence[tuple[str, str]] = (),
        body: bytes = b"",
        token: str | None = None,
        expected: frozenset[int],
    ) -> Reply | Refused:
        """Make one call; `tail` is what follows `/enterprise-router` in the path, `token` the idempotency token.

        A `Reply` has one of the `expected` statuses and holds a JSON object; everything else is `Refused`.
        Raises `ValueError` for a project id or tail that may not stand in a URL: a fault of the caller.
        Cancelled, the call may have been sent.
        """
        credentials = self._signers(lane.account)
        target = _target(
            credentials,
            method,
            self._endpoint_of(lane.region),
            lane.project_id,
            tail,
            canonical_query(query) if query else "",
            bool(body),
            token is not None,
        )
        headers = target.form.sign(body, self._now(), token)
        answer = await self._transport.send(method, target.url, headers, body)
        if isinstance(answer, NoAnswer):
            return _unanswered(answer, credentials)
        if answer.status in expected:
            content = {} if not answer.body and answer.status in _EMPTY_STATUSES else parse_json_object(answer.body)
            if content is not None:
                return Reply(answer.status, content, request_id_of(answer.headers, content))
        return self._refused(answer, credentials)

    def _refused(self, answer: Answer, credentials: Credentials) -> Refused:
        error = parse_error(answer.body, answer.headers, credentials.secrets())
        verdict = classify(answer.status, error.code)
        pause_s = None
        if verdict.kind in {Kind.TRANSIENT, Kind.THROTTLED}:
            pause_s = parse_retry_after(answer.headers, self._now())
        return Refused(
            kind=verdict.kind,
            stops=verdict.stops,
            code=_code(answer.status, error, verdict),
            message=error.message or _unsaid(answer),
            http_status=answer.status,
            request_id=error.request_id,
            ambiguous=verdict.ambiguous,
            definitive=verdict.definitive,
            pause_s=pause_s,
            window=parse_window(error.message) if verdict.kind is Kind.THROTTLED else None,
        )


def bad_answer(reply: Reply, message: str) -> Refused:
    """What to make of a reply that lacks what was asked for: nobody knows whether the call took effect."""
    return Refused(
        kind=BAD_ANSWER.kind,
        stops=BAD_ANSWER.stops,
        code=BAD_ANSWER_CODE,
        message=message,
        http_status=reply.status,
        request_id=reply.request_id,
        ambiguous=BAD_ANSWER.ambiguous,
    )


class _Target(NamedTuple):
    """Where a call goes, and the form in which it is signed: the same for every create of a router."""

    url: str
    form: Form


@lru_cache(maxsize=TARGETS_MAX)
def _target(  # noqa: PLR0917 - keywords would make a look-up in the cache a third slower
    credentials: Credentials,
    method: str,
    endpoint: str,
    project_id: str,
    tail: str,
    query: str,
    with_body: bool,  # noqa: FBT001 - as above
    with_token: bool,  # noqa: FBT001 - as above
) -> _Target:
    if _PROJECT_ID.fullmatch(project_id) is None:
        raise ValueError(f"not a project id: {project_id!r}")
    if _TAIL.fullmatch(tail) is None:
        raise ValueError(f"not the tail of a path: {tail!r}")
    path = f"/v3/{project_id}/enterprise-router{tail}"
    headers = {"X-Project-Id": project_id}
    if with_body:
        headers["Content-Type"] = "application/json"
    form = Form(
        credentials,
        method=method,
        host=endpoint.partition("://")[2],
        path=path,
        query=query,
        headers=headers,
        with_client_token=with_token,
    )
    return _Target(f"{endpoint}{path}?{query}" if query else f"{endpoint}{path}", form)


def _unanswered(answer: NoAnswer, credentials: Credentials) -> Refused:
    return Refused(
        kind=Kind.PERMANENT if answer.fatal else Kind.TRANSIENT,
        stops=Stops.RUN if answer.fatal else Stops.ROW,
        code=answer.code,
        message=redact(answer.message, credentials.secrets()),
        sent=answer.sent,
        ambiguous=answer.sent,
    )


def _unsaid(answer: Answer) -> str:
    """A message for an answer without one; of a redirect the target's host, which is what misleads."""
    target = re.match(r"https?://([A-Za-z0-9.:-]{1,200})(?:[/?#]|\Z)", answer.headers.get("Location", ""))
    return f"redirected to `{target[1]}`" if target else f"the answer (HTTP {answer.status}) has no message"


def _code(status: int, error: ErrorBody, verdict: Verdict) -> str:
    """The code that the report shows: the provider's, else one of our own or the bare status."""
    if verdict is REDIRECTED:
        return REDIRECTED_CODE
    if verdict is BAD_ANSWER:
        return BAD_ANSWER_CODE
    return error.code or f"HTTP.{status}"
