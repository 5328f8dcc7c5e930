"""Temporary keys of the machine we run on, from the metadata service of Elastic Cloud Server (ECS).

A server with an agency is given keys for it, with a date at which they end. First a session token is asked for
(metadata version 2); a service without such tokens (version 1) answers that with 404, 405 or 503 and is asked for
the keys all the same. Paths, headers and statuses: official SDK (huaweicloudsdkcore 3.1.219, `auth/internal.py`);
the two versions: ECS user guide, "Configuring Instance Metadata Options", 2025-08-12.

The address is link-local: only this machine's host answers there, and never a proxy.
"""

import re
from datetime import UTC, datetime
from ipaddress import ip_address

import anyio

from batcher.cloud.credentials import Credentials, check_header_safe
from batcher.cloud.endpoints import check_endpoint
from batcher.cloud.transport import Answer, NoAnswer, Transport
from batcher.cloud.wire import parse_json_object
from batcher.errors import CredentialsError

METADATA_ENDPOINT = "http://169.254.169.254"
METADATA_SOURCE = "the ECS metadata service"
TIME_S_MAX = 3.0
"""For each of the two requests, as the official SDK has it: elsewhere than on a server nobody answers."""
ANSWER_BYTES_MAX = 1 << 16
"""Keys are about 2 kB; what is larger is no answer of this service."""

_TOKEN_PATH = "/meta-data/latest/api/token"  # noqa: S105 - a path
_KEYS_PATH = "/openstack/latest/securitykey"
_TOKEN_S = 21_600
"""How long the session token may be used: the longest that the service grants."""
_WITHOUT_TOKENS = frozenset({404, 405, 503})
_NO_AGENCY = b"service agency"
_ADDRESS = re.compile(r"http://(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+))(?::([0-9]{1,5}))?/?")
_HINT = "give the server an agency, or provide keys in the environment or in the profile file"


class Metadata:
    """The metadata service at `endpoint`. Raises `ConfigError` for an endpoint that `check_metadata_endpoint` refuses.

    `transport` must go to it directly, without a proxy. `time_s_max` holds for each of the two requests.
    """

    def __init__(
        self, transport: Transport, endpoint: str = METADATA_ENDPOINT, *, time_s_max: float = TIME_S_MAX
    ) -> None:
        self._transport = transport
        self._endpoint = check_metadata_endpoint(endpoint)
        self._time_s_max = time_s_max

    async def fetch(self) -> Credentials:
        """New credentials of this server's agency, without a project id. May be repeated and cancelled at any time.

        Raises `CredentialsError`, which says what is wrong and never quotes an answer: no service here, no
        agency, or an answer that is not understood. `expires_at` is None where the date is not understood.
        """
        headers = {"X-Metadata-Token-Ttl-Seconds": str(_TOKEN_S)}
        answer = await self._send("PUT", _TOKEN_PATH, headers)
        if answer.status == 200:
            token = _session_token(answer.body)
        elif answer.status in _WITHOUT_TOKENS:
            token = ""
        else:
            raise _error(f"it refused a session token (HTTP {answer.status})")
        answer = await self._send("GET", _KEYS_PATH, {"X-Metadata-Token": token} if token else {})
        if answer.status != 200:
            if _NO_AGENCY in answer.body.lower():
                raise _error("no agency is configured for this server")
            raise _error(f"it refused the keys (HTTP {answer.status})")
        return parse_keys(answer.body)

    async def _send(self, method: str, path: str, headers: dict[str, str]) -> Answer:
        answer: Answer | NoAnswer | None = None
        with anyio.move_on_after(self._time_s_max):
            answer = await self._transport.send(method, self._endpoint + path, headers, b"")
        if answer is None:
            raise _error(f"no answer within {self._time_s_max:g} s")
        if isinstance(answer, NoAnswer):
            raise _error(f"no answer: {answer.message}")
        if len(answer.body) > ANSWER_BYTES_MAX:
            raise _error("its answer is not understood")
        return answer


def parse_keys(body: bytes) -> Credentials:
    """The keys in an answer of the metadata service. Raises `CredentialsError` for one that holds none.

    The security token is needed: keys of an agency are always temporary, and without it they are refused.
    """
    content = parse_json_object(body) or {}
    found = content.get("credential")
    if not isinstance(found, dict):
        raise _error("its answer is not understood")
    values = []
    for key in ("access", "secret", "securitytoken"):
        value = found.get(key)
        if not isinstance(value, str) or not value.strip():
            raise _error(f"its answer has no `{key}`")
        values.append(value.strip())
    access, secret, token = values
    check_header_safe(f"{METADATA_SOURCE}: access", access)
    check_header_safe(f"{METADATA_SOURCE}: securitytoken", token)
    return Credentials(access, secret, token, source=METADATA_SOURCE, expires_at=_seconds(found.get("expires_at")))


def check_metadata_endpoint(url: str) -> str:
    """The base URL that `url` stands for. Raises `ConfigError` for what is not scheme, host and port alone.

    Plain HTTP is accepted to a loopback or link-local address only, since neither leaves the machine and its
    host; https to any host that the user configures.
    """
    text = url.strip()
    found = _ADDRESS.fullmatch(text)
    if found is not None and _is_link_local(found[1] or found[2]) and int(found[3] or 80) <= 65_535:
        return text.rstrip("/")
    return check_endpoint(text)


def _is_link_local(host: str) -> bool:
    try:
        return ip_address(host).is_link_local
    except ValueError:
        return False


def _session_token(body: bytes) -> str:
    token = body.decode("latin-1").strip()
    check_header_safe(f"{METADATA_SOURCE}: session token", token)
    return token


def _seconds(text: object) -> float | None:
    """Seconds since the epoch at a time such as `2026-11-23T10:00:00.000000Z`; None where it is no such text."""
    if not isinstance(text, str):
        return None
    try:
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp()
    except ValueError:
        return None


def _error(reason: str) -> CredentialsError:
    return CredentialsError(f"{METADATA_SOURCE}: {reason}", hint=_HINT)
