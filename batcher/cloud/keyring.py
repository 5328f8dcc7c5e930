"""The credentials of each account, found once and renewed while a run works.

Where they were found decides when they are looked at again:

    environment   never: a process cannot be given other variables
    profile file  at most once a second, and read only where the file has changed
    metadata      when fewer than 40 minutes are left, one request at a time

What looks worse than what is held is not believed: a profile file that is half-written or gone and a metadata
service that fails leave the credentials as they are, and are asked again later. A file that is caught half-written
and is whole by its looks gives wrong keys until the next look; the refusal that follows reads it again at once
(`renew`). So a file is best replaced by renaming another onto it.

The order of sources is that of `credentials`, with the metadata service last and for the default account only.
Files are read on the event loop: a look is one `stat`, and the file is small.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum, auto
from math import inf
from pathlib import Path

import anyio

from batcher.cloud.credentials import (
    DEFAULT_ACCOUNT,
    NO_OPTIONS,
    CredentialOptions,
    Credentials,
    from_environment,
    from_profile,
    nothing_found,
    places,
    profile_file,
    project_id_from,
)
from batcher.cloud.metadata import Metadata
from batcher.errors import CredentialsError

PROFILE_LOOK_S = 1.0
"""Between two looks at the profile file: new keys hold soon, and a thousand calls a second cost one `stat`."""
RENEW_BEFORE_S = 40 * 60.0
"""Keys of the metadata service are replaced when fewer seconds are left, as by the official SDK 3.1.219."""
METADATA_PAUSE_S = 30.0
"""Between two requests to the metadata service where the last one failed or brought keys that end soon."""
UNDATED_S = 600.0
"""Keys of the metadata service that do not say when they end are fetched again after this time."""


class _From(Enum):
    """What kind of source credentials came from: it decides when they are looked at again."""

    ENVIRONMENT = auto()
    PROFILE = auto()
    METADATA = auto()


@dataclass(slots=True)
class _Held:
    """Credentials of an account, looked at again once `steady` is at `look_at` and `now` is past `fresh_until`."""

    credentials: Credentials
    origin: _From
    look_at: float = inf
    fresh_until: float = -inf


class Keyring:
    """The credentials of each account, found once and renewed while a run works.

    `metadata` is None where the metadata service may not be asked. `now` is the wall clock in seconds since the
    epoch, `steady` a clock that never goes back. For one event loop.
    """

    def __init__(
        self,
        *,
        environment: Mapping[str, str],
        home: Path,
        options: CredentialOptions = NO_OPTIONS,
        metadata: Metadata | None = None,
        now: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._environment = environment
        self._options = options
        self._profile = profile_file(environment, home, options)
        self._service = _Service(metadata, steady) if metadata is not None else None
        self._now = now
        self._steady = steady
        self._held: dict[str, _Held] = {}

    async def of(self, account: str) -> Credentials:
        """The credentials for an account's next call; cheap where nothing is due.

        Raises `CredentialsError` where none are found, naming all that was looked at; later only where keys of the
        metadata service have ended and it gives no others. May be repeated and cancelled at any time.
        """
        held = self._held.get(account)
        if held is None:
            return await self._find(account)
        if self._steady() >= held.look_at and self._now() > held.fresh_until:
            if held.origin is _From.PROFILE:
                return self._look_at_profile(account, held)
            return await self._refresh(account, held)
        return held.credentials

    async def renew(self, account: str, refused: Credentials) -> Credentials | None:
        """Other credentials than `refused`, which the provider did not accept; None where there are no others.

        What is held by now is given if it is other; else the source is read at once. Callers that come while the
        metadata service is being asked share its answer. Raises nothing: a source that cannot be read has no
        others. A difference in project or date alone makes no others.
        """
        held = self._held.get(account)
        try:
            if held is None:
                await self._find(account)
            elif held.credentials.secrets() != refused.secrets():
                pass
            elif held.origin is _From.PROFILE:
                self._look_at_profile(account, held, again=True)
            elif held.origin is _From.METADATA and self._service is not None:
                self._hold_temporary(account, await self._service.fetch())
        except CredentialsError:
            return None
        held = self._held.get(account)
        return held.credentials if held is not None and held.credentials.secrets() != refused.secrets() else None

    def source_of(self, account: str) -> str:
        """Where the account's credentials were found; empty if they were not looked up yet."""
        held = self._held.get(account)
        return held.credentials.source if held is not None else ""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the user should know about the sources used so far, a sentence each, without secrets."""
        found = []
        if self._profile.read_by_others:
            found.append(f"other users can read the profile file {self._profile.path}; `chmod 600` keeps it private")
        return tuple(found)

    async def _find(self, account: str) -> Credentials:
        """Look at all sources in order and hold what is found. Raises `CredentialsError`."""
        found = from_environment(account, self._environment, self._options)
        if found is not None:
            return self._hold(account, _Held(found, _From.ENVIRONMENT))
        found = from_profile(account, self._environment, self._profile)
        if found is not None:
            return self._hold(account, _Held(found, _From.PROFILE, self._steady() + PROFILE_LOOK_S))
        path = self._profile.path
        looked_at = places(account, path, self._options)
        if account != DEFAULT_ACCOUNT or self._service is None:
            raise nothing_found(account, path, looked_at)
        try:
            fetched = await self._service.fetch(patient=True)
        except CredentialsError as error:
            raise nothing_found(account, path, (*looked_at, str(error))) from error
        return self._hold_temporary(account, fetched)

    def _hold(self, account: str, held: _Held) -> Credentials:
        self._held[account] = held
        return held.credentials

    def _hold_temporary(self, account: str, fetched: Credentials) -> Credentials:
        """Hold keys of the metadata service until they are due. Raises `CredentialsError` for a bad project id."""
        found = replace(fetched, project_id=project_id_from(self._environment))
        if found.expires_at is None:
            return self._hold(account, _Held(found, _From.METADATA, self._steady() + UNDATED_S))
        fresh_until = found.expires_at - RENEW_BEFORE_S
        # Keys that are due as they come: the service has no newer ones for now.
        look_at = self._steady() + METADATA_PAUSE_S if self._now() > fresh_until else -inf
        return self._hold(account, _Held(found, _From.METADATA, look_at, fresh_until))

    def _look_at_profile(self, account: str, held: _Held, *, again: bool = False) -> Credentials:
        """The account's credentials in the profile file now; those held where the file has none or cannot be read."""
        held.look_at = self._steady() + PROFILE_LOOK_S
        try:
            found = from_profile(account, self._environment, self._profile, again=again)
        except CredentialsError:
            return held.credentials
        if found is not None and found != held.credentials:
            held.credentials = found
        return held.credentials

    async def _refresh(self, account: str, held: _Held) -> Credentials:
        """New keys of the metadata service; those held while it fails and they are valid. Raises `CredentialsError`."""
        left_s = inf if held.credentials.expires_at is None else held.credentials.expires_at - self._now()
        if self._service is None or (self._service.busy and left_s > 0):
            return held.credentials
        try:
            fetched = await self._service.fetch()
        except CredentialsError:
            if left_s > 0:
                held.look_at = self._steady() + min(METADATA_PAUSE_S, left_s)
                return held.credentials
            # Ended: forgotten, so that every source is asked now and at each later call.
            self._held.pop(account, None)
            return await self._find(account)
        return self._hold_temporary(account, fetched)


class _Service:
    """The metadata service, asked by one caller at a time; those who come meanwhile share the answer."""

    def __init__(self, metadata: Metadata, steady: Callable[[], float]) -> None:
        self._metadata = metadata
        self._steady = steady
        self._alone = anyio.Lock()
        self._answers = 0
        self._last: Credentials | CredentialsError | None = None
        self._ask_at = -inf

    @property
    def busy(self) -> bool:
        """Whether somebody is asking it now."""
        return self._alone.locked()

    async def fetch(self, *, patient: bool = False) -> Credentials:
        """New keys; if `patient`, the last answer for a while after it came. Raises `CredentialsError`.

        Cancelled, the next who waits asks.
        """
        came = self._answers
        async with self._alone:
            if self._answers == came and not (patient and self._steady() < self._ask_at):
                try:
                    self._last = await self._metadata.fetch()
                except CredentialsError as error:
                    self._last = error
                self._answers += 1
                self._ask_at = self._steady() + METADATA_PAUSE_S
            last = self._last
        if isinstance(last, Credentials):
            return last
        # A new exception each time: one that is raised again and again grows its traceback.
        raise CredentialsError(str(last), hint=last.hint if last is not None else "")


class FixedKeyring:
    """One set of credentials for every account, never renewed: those of the embedded emulator."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    async def of(self, account: str) -> Credentials:
        """The credentials, whatever the account."""
        return self._credentials

    async def renew(self, account: str, refused: Credentials) -> Credentials | None:
        """None: there are no others."""
        return None

    def source_of(self, account: str) -> str:
        """Where the credentials come from, whatever the account."""
        return self._credentials.source

    @property
    def warnings(self) -> tuple[str, ...]:
        """None."""
        return ()
