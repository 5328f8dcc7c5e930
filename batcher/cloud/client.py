"""One call to the provider: address it, sign it, send it, and say what came of it, as a value.

The client repeats nothing and waits for nothing; whether and when a call is made again is the engine's affair.
A call is signed the moment it is sent, in the endpoint's own time (`cloud.skew`), with bytes that then go out
unchanged. Two refusals it mends itself, so that a second call can succeed, and calls them transient: a 401 for
keys that were renewed at their source, and a 401 for a clock that is off.
"""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

from batcher.cloud.credentials import Credentials
from batcher.cloud.endpoints import Endpoints, Service
from batcher.cloud.error_table import TABLE, Verdict
from batcher.cloud.refusal import refusal_of, unanswered
from batcher.cloud.signing import Form, canonical_query
from batcher.cloud.skew import EndpointTime
from batcher.cloud.transport import USER_AGENT, Answer, NoAnswer, Transport
from batcher.cloud.wire import parse_json_object, request_id_of
from batcher.errors import CredentialsError
from batcher.model import Kind, LaneKey, Refused, Stops

TARGETS_MAX = 1024
"""Targets kept: creates repeat one a router; a target costs about 2 kB."""
JSON = "application/json"
"""What the official SDK declares on every call to Enterprise Router, without a body too."""

NO_CREDENTIALS = "BATCHER.NoCredentials"

_PROJECT_ID = re.compile(r"[0-9a-f]{32}")
_PATH = re.compile(r"(?:/(?!\.{1,2}(?:/|\Z))[A-Za-z0-9._-]+)+")
_EMPTY_STATUSES = frozenset({202, 204})


class Reply(NamedTuple):
    """An answer of an expected status: its JSON object, empty where a 202 or 204 had no body.

    A tuple, since one is made at every call: it costs half of a frozen dataclass.
    """

    status: int
    body: Mapping[str, Any]
    request_id: str


class Signers(Protocol):
    """Where credentials come from (`cloud.keyring`)."""

    async def of(self, account: str) -> Credentials:
        """The credentials of an account, as they are now. Raises `CredentialsError`."""
        ...

    async def renew(self, account: str, refused: Credentials) -> Credentials | None:
        """Other credentials than the refused ones, read anew at their source; None if there are none."""
        ...


class CloudClient:
    """Calls to the provider for any account and region.

    Credentials and endpoints are asked for at every call, so renewed ones hold at once; what endpoints raise goes
    through, and an account that has no credentials any more is refused without a call. `now` is the wall clock; `table` says what errors mean; `tell_skew(host, seconds)` hears once of each
    host by which this machine's clock is off by more than `skew.WARN_S`.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        signers: Signers,
        endpoints: Endpoints,
        now: Callable[[], float],
        table: Mapping[tuple[int, str], Verdict] = TABLE,
        tell_skew: Callable[[str, float], None] | None = None,
    ) -> None:
        self._transport = transport
        self._signers = signers
        self._endpoint_of = lru_cache(maxsize=TARGETS_MAX)(endpoints.of)
        self._now = now
        self._table = table
        self._tell_skew = tell_skew
        self._times: dict[str, EndpointTime] = {}

    def call(
        self,
        lane: LaneKey,
        method: str,
        tail: str,
        *,
        query: Sequence[tuple[str, str]] = (),
        body: bytes = b"",
        token: str | None = None,
        expected: frozenset[int],
    ) -> Awaitable[Reply | Refused]:
        """Make one call to Enterprise Router in the lane's project.

        `tail` is what follows `/enterprise-router` in the path, `token` the idempotency token. A `Reply` has one
        of the `expected` statuses and holds a JSON object; everything else is `Refused`. Raises `ValueError` for
        a project id or tail that may not stand in a URL: a fault of the caller. Cancelled, the call may have been
        sent.
        """
        if not tail.startswith("/"):
            raise ValueError(f"not the tail of a path: {tail!r}")
        path = f"/v3/{lane.project_id}/enterprise-router{tail}"
        return self.ask(Service.ER, lane, path, method=method, query=query, body=body, token=token, expected=expected)

    async def ask(
        self,
        service: Service,
        lane: LaneKey,
        path: str,
        *,
        method: str = "GET",
        query: Sequence[tuple[str, str]] = (),
        body: bytes = b"",
        token: str | None = None,
        content_type: str = JSON,
        expected: frozenset[int] = frozenset({200}),
    ) -> Reply | Refused:
        """Make one call to any of the provider's services; as `call`, with the whole path.

        A lane without a project goes without `X-Project-Id`, an empty `content_type` without that header.
        """
        try:
            credentials = await self._signers.of(lane.account)
        except CredentialsError as error:
            return _no_credentials(error)
        endpoint = self._endpoint_of(service, lane.region)
        target = _target(
            credentials,
            method,
            endpoint,
            path,
            canonical_query(query) if query else "",
            lane.project_id,
            content_type,
            token is not None,
        )
        time = self._times.get(endpoint) or self._times.setdefault(endpoint, EndpointTime())
        signed_at = self._now() + time.offset_s
        headers = target.form.sign(body, signed_at, token)
        answer = await self._transport.send(method, target.url, headers, body)
        if isinstance(answer, NoAnswer):
            return unanswered(answer, credentials.secrets())
        if time.is_due(signed_at) or answer.status == 401:
            self._measure(endpoint, time, answer)
        if answer.status in expected:
            content = {} if not answer.body and answer.status in _EMPTY_STATUSES else parse_json_object(answer.body)
            if content is not None:
                request_id = request_id_of(answer.headers, content, credentials.secrets())
                return Reply(answer.status, content, request_id)
        refused = refusal_of(answer, now=self._now(), secrets=credentials.secrets(), table=self._table)
        if answer.status == 401:
            return await self._mend(refused, lane.account, credentials, time, signed_at)
        return refused

    def skew_s(self, service: Service, region: str) -> float | None:
        """By how many seconds this machine's clock is ahead of the service's; None before its first answer."""
        time = self._times.get(self._endpoint_of(service, region))
        return None if time is None else time.skew_s

    def _measure(self, endpoint: str, time: EndpointTime, answer: Answer) -> None:
        if time.measure(answer.headers, self._now()) and self._tell_skew is not None and time.skew_s is not None:
            self._tell_skew(endpoint.partition("://")[2], time.skew_s)

    async def _mend(
        self, refused: Refused, account: str, credentials: Credentials, time: EndpointTime, signed_at: float
    ) -> Refused:
        """A 401 as it is, or as transient where what it is about has changed since the call was signed."""
        if not credentials.auth_token and time.correct(signed_at):
            return _mended(refused, f"the clock of this machine is {_ahead(time.skew_s)}; calls are dated anew")
        if await self._signers.renew(account, credentials) is not None:
            return _mended(refused, "the credentials were renewed at their source")
        return refused


def _no_credentials(error: CredentialsError) -> Refused:
    """Temporary keys that ended, with no new ones at their source: nothing of the account can be sent."""
    return Refused(
        kind=Kind.PERMANENT, stops=Stops.ACCOUNT, code=NO_CREDENTIALS, message=str(error), sent=False, advice=error.hint
    )


def _mended(refused: Refused, why: str) -> Refused:
    return replace(refused, kind=Kind.TRANSIENT, stops=Stops.ROW, message=f"{refused.message}; {why}")


def _ahead(skew_s: float | None) -> str:
    skew = round(skew_s or 0.0)
    return f"{abs(skew)} s {'ahead' if skew > 0 else 'behind'}"


class _Target(NamedTuple):
    """Where a call goes, and the form in which it is signed: the same for every create of a router."""

    url: str
    form: Form


@lru_cache(maxsize=TARGETS_MAX)
def _target(  # noqa: PLR0917 - keywords would make a look-up in the cache a third slower
    credentials: Credentials,
    method: str,
    endpoint: str,
    path: str,
    query: str,
    project_id: str,
    content_type: str,
    with_token: bool,  # noqa: FBT001 - as above
) -> _Target:
    if project_id and _PROJECT_ID.fullmatch(project_id) is None:
        raise ValueError(f"not a project id: {project_id!r}")
    if _PATH.fullmatch(path) is None:
        raise ValueError(f"not a path: {path!r}")
    headers = {"User-Agent": USER_AGENT}
    if project_id:
        headers["X-Project-Id"] = project_id
    if content_type:
        headers["Content-Type"] = content_type
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
