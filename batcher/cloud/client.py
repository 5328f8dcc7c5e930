"""One call to the provider: address it, sign it, send it, and say what came of it, as a value.

The client repeats nothing; whether and when a call is made again is the engine's affair. It waits for one thing:
credentials that nothing has proven yet go one call at a time (`cloud.canary`). A call is signed the moment it is
sent, with bytes that then go out unchanged. Two refusals it mends itself, so that a second call can succeed, and
calls them mended: a 401 for keys that were renewed at their source, and a 401 for a clock that is off (`cloud.skew`).
"""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

from batcher.cloud.canary import Canary
from batcher.cloud.credentials import Credentials
from batcher.cloud.endpoints import Endpoints, Service
from batcher.cloud.error_table import TABLE, Verdict
from batcher.cloud.refusal import bad_answer, refusal_of, unanswered
from batcher.cloud.signing import Form, canonical_query
from batcher.cloud.skew import EndpointClock
from batcher.cloud.transport import USER_AGENT, Answer, NoAnswer, Transport
from batcher.cloud.wire import parse_json_object, request_id_of
from batcher.errors import CredentialsError
from batcher.model import ClockOffset, Kind, LaneKey, Refused, Stops

TARGETS_MAX = 1024
"""Targets kept: creates repeat one a router; a target costs about 2 kB."""
JSON = "application/json"
"""What the official SDK declares on every call to Enterprise Router, without a body too."""

ECHO_HEADER = "X-Client-Token"
"""The provider repeats it in its answer to a create ("Creating a Flow Log", SDK 3.1.219)."""

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
    through, and an account that has no credentials any more is refused without a call. `now` is the wall clock,
    `steady` one that only grows; `table` says what errors mean; `tell_skew(host, seconds)` hears once of each host by
    which this machine's clock is off by more than `skew.WARN_S`.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        signers: Signers,
        endpoints: Endpoints,
        now: Callable[[], float],
        steady: Callable[[], float],
        table: Mapping[tuple[int, str], Verdict] = TABLE,
        tell_skew: Callable[[str, float], None] | None = None,
    ) -> None:
        self._transport = transport
        self._signers = signers
        self._endpoint_of = lru_cache(maxsize=TARGETS_MAX)(endpoints.of)
        self._now = now
        self._steady = steady
        self._table = table
        self._tell_skew = tell_skew
        self._clocks: dict[str, EndpointClock] = {}
        self._canaries: dict[str, Canary] = {}
        self._correction_s = 0.0  # the last one: it is mostly this machine's clock that is wrong, and so everywhere

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
        request = _Request(service, lane, path, method, query, body, token, content_type, expected)
        canary = self._canary(lane.account)
        while True:
            try:
                credentials = await self._signers.of(lane.account)
            except CredentialsError as error:
                return _no_credentials(error)
            if canary.is_proven(credentials):
                answer = await self._send(credentials, request)
                if not isinstance(answer, _KeyRefused):
                    return answer
                canary.doubt(credentials)
                async with canary.alone:
                    return await self._judge(canary, credentials, answer, lane.account)
            canary.forget_others(credentials)
            async with canary.alone:
                if canary.is_proven(credentials):
                    continue
                known = canary.refusal_of(credentials)
                if known is not None:
                    return known
                answer = await self._send(credentials, request)
                if isinstance(answer, _KeyRefused):
                    return await self._judge(canary, credentials, answer, lane.account)
                canary.note(credentials, answer)
                return answer

    def is_trusted(self, account: str) -> bool:
        """Whether the service has accepted the credentials under which the account's last call was made."""
        return self._canary(account).is_over

    def skew_s(self, service: Service, region: str) -> float | None:
        """By how many seconds this machine's clock is ahead of the service's; None before its first answer."""
        clock = self._clocks.get(self._endpoint_of(service, region))
        return None if clock is None else clock.skew_s

    def clock_offset(self, service: Service, region: str) -> ClockOffset | None:
        """What to add to the steady clock for the service's time; None before its first answer."""
        clock = self._clocks.get(self._endpoint_of(service, region))
        return None if clock is None else clock.offset

    def _canary(self, account: str) -> Canary:
        return self._canaries.get(account) or self._canaries.setdefault(account, Canary())

    async def _send(self, credentials: Credentials, request: "_Request") -> "Reply | Refused | _KeyRefused":
        endpoint = self._endpoint_of(request.service, request.lane.region)
        target = _target(
            credentials,
            request.method,
            endpoint,
            request.path,
            canonical_query(request.query) if request.query else "",
            request.lane.project_id,
            request.content_type,
            request.token is not None,
        )
        clock = self._clocks.get(endpoint) or self._clocks.setdefault(endpoint, EndpointClock(self._correction_s))
        correction_s = clock.correction_s
        signed_at = self._now() + correction_s
        headers = target.form.sign(request.body, signed_at, request.token)
        sent = self._steady()
        answer = await self._transport.send(request.method, target.url, headers, request.body)
        if isinstance(answer, NoAnswer):
            return unanswered(answer, credentials.secrets())
        self._measure(endpoint, clock, answer, sent)
        if request.token is not None and (answer.headers.get(ECHO_HEADER) or request.token) != request.token:
            return bad_answer(answer.status, "", f"the answer is another call's: its `{ECHO_HEADER}` is not this one's")
        if answer.status in request.expected:
            content = {} if not answer.body and answer.status in _EMPTY_STATUSES else parse_json_object(answer.body)
            if content is not None:
                clock.succeeded()
                request_id = request_id_of(answer.headers, content, credentials.secrets())
                return Reply(answer.status, content, request_id)
        refused = refusal_of(answer, now=self._now(), secrets=credentials.secrets(), table=self._table)
        return _KeyRefused(refused, clock, signed_at, correction_s) if answer.status == 401 else refused

    def _measure(self, endpoint: str, clock: EndpointClock, answer: Answer, sent: float) -> None:
        tells = clock.measure(answer.headers, self._now(), sent=sent, came=self._steady())
        if tells and self._tell_skew is not None and clock.skew_s is not None:
            self._tell_skew(endpoint.partition("://")[2], clock.skew_s)

    async def _judge(self, canary: Canary, credentials: Credentials, answer: "_KeyRefused", account: str) -> Refused:
        """A 401 as it is, or as mended where what it is about has changed since the call was signed."""
        refused, clock, signed_at, correction_s = answer
        if not credentials.auth_token and clock.corrects(signed_at, correction_s):
            self._correction_s = clock.correction_s
            return _mended(refused, f"the clock of this machine is {_ahead(clock.skew_s)}; calls are dated anew")
        if await self._signers.renew(account, credentials) is not None:
            return _mended(refused, "the credentials were renewed at their source")
        canary.refuse(credentials, refused)
        return refused


class _Request(NamedTuple):
    """A call as it is asked for."""

    service: Service
    lane: LaneKey
    path: str
    method: str
    query: Sequence[tuple[str, str]]
    body: bytes
    token: str | None
    content_type: str
    expected: frozenset[int]


class _KeyRefused(NamedTuple):
    """A 401, the clock of who said it, the date of the call, and by how much that was corrected."""

    refused: Refused
    clock: EndpointClock
    signed_at: float
    correction_s: float


def _no_credentials(error: CredentialsError) -> Refused:
    """Temporary keys that ended, with no new ones at their source: nothing of the account can be sent."""
    return Refused(
        kind=Kind.PERMANENT, stops=Stops.ACCOUNT, code=NO_CREDENTIALS, message=str(error), sent=False, advice=error.hint
    )


def _mended(refused: Refused, why: str) -> Refused:
    message = f"{refused.message}; {why}"
    return replace(refused, kind=Kind.TRANSIENT, stops=Stops.ROW, message=message, definitive=False, mended=True)


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
