"""Settings become open ports: the inventory, the ledger, the way to the provider. `app.py` uses them."""

import hashlib
import os
import random
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import BinaryIO

from batcher.clock import SystemClock
from batcher.cloud.client import CloudClient
from batcher.cloud.credentials import (
    DEFAULT_ACCOUNT,
    check_options,
    find_credentials,
)
from batcher.cloud.endpoints import EVERYWHERE, Endpoints, Service
from batcher.cloud.keyring import FixedKeyring, Keyring
from batcher.cloud.metadata import Metadata, check_metadata_endpoint
from batcher.cloud.projects import list_projects
from batcher.cloud.proxy import find_proxies
from batcher.cloud.transport import OpenTransport, open_transport
from batcher.descriptors import calls_of, connections_max
from batcher.engine.context import EnginePolicy
from batcher.engine.stop import Stop
from batcher.errors import ConfigError, LedgerHeldError
from batcher.events import ClockSkewed, Waiting, Warned
from batcher.from_settings import continued, credential_options, endpoints_of, error_table
from batcher.inventory.open import Inventory, ReadOptions, open_inventory
from batcher.ledger.open import open_ledger
from batcher.ledger_port import Ledger
from batcher.model import LaneKey, Window
from batcher.operations.flow_log import FlowLogs
from batcher.operations.flow_log_row import REQUIRED, RowDefaults
from batcher.planning.projects import ProjectBook
from batcher.policy.deadline import ClockTime, next_clock, parse_clock, parse_zone
from batcher.policy.pace import AUTO, parse_duration, parse_rate
from batcher.policy.retry import RetryBudget
from batcher.ports import Clock, EventSink
from batcher.records import RunRecord
from batcher.rehearsal import embedded
from batcher.settings import Settings
from batcher.telemetry.sinks import Silent

CONTINUED_SECTIONS = ("cloud", "credentials", "run", "emulator")
"""What a later sitting of a run takes over from the first."""
ACCOUNTS_KEPT = 1024
"""Accounts whose own project is looked up once."""
LOCK_POLL_S = 1.0
"""How often a ledger that another run holds is tried again."""
METADATA_S_MAX = 3.0
"""Time for the metadata service of an ECS, which is next door or not there at all (official SDK 3.1.219)."""


NO_HOME = Path("/nonexistent")
"""The home of who has none, as systems call it: nothing is there."""


def home_folder() -> Path:
    """The user's home; a container's user may have none, neither a `HOME` nor an entry among the users."""
    try:
        return Path.home()
    except RuntimeError:
        return NO_HOME


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What a command is given besides its settings. The defaults suit a program that imports batcher.

    Time, chance and the way to the provider come in here too, so that whole nights can be simulated; `seed` None:
    chance is the system's.
    """

    settings: Settings = field(default_factory=Settings)
    emulator: bool = False
    sink: EventSink = field(default_factory=Silent)
    stop: Stop = field(default_factory=Stop)
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    home: Path = field(default_factory=home_folder)
    began_at: float = field(default_factory=SystemClock.now)
    stdin: BinaryIO | None = None
    command: Sequence[str] = ()
    clock: Clock = field(default_factory=SystemClock)
    seed: int | None = None
    connect: OpenTransport = open_transport

    def __post_init__(self) -> None:
        """Raise `ConfigError` for what cannot be used or may hold a secret, before anything is recorded or shown."""
        endpoints_of(self.settings)
        error_table(self.settings)
        check_options(credential_options(self.settings))
        check_metadata_endpoint(self.settings.credentials.metadata_endpoint)
        find_proxies(self.settings.cloud.proxy, {})
        if not self.emulator:
            find_proxies(self.settings.cloud.proxy, self.environment)

    def continuing(self, run: RunRecord) -> "Session":
        """This session with the settings that `run` was given where none are given now: rate, endpoint and so on."""
        given = self.settings
        update = {name: continued(getattr(given, name), run.settings.get(name)) for name in CONTINUED_SECTIONS}
        return replace(self, settings=given.model_copy(update=update))

    def chance(self) -> random.Random:
        """Where one part's chances come from; with a seed each part has the same at every run."""
        return random.SystemRandom() if self.seed is None else random.Random(self.seed)  # noqa: S311  # jitter

    @property
    def birth(self) -> str:
        """What the id of a ledger is made of that this session makes; empty: of time and place."""
        return "" if self.seed is None else f"seed {self.seed}"

    @property
    def ledger_path(self) -> Path:
        """The ledger of this session; rehearsals have one of their own, so that they prove nothing."""
        path = self.settings.ledger.path
        if path is not None and "://" in path:
            raise ConfigError(f"`{path}` is no path of a ledger file", hint="`--ledger` takes the path of a file")
        if path is not None:
            return Path(path)
        return self.reports / ("rehearsal.db" if self.emulator else "ledger.db")

    @property
    def reports(self) -> Path:
        """The directory in which each run has its folder."""
        return Path(self.settings.report.directory)

    @property
    def deadline(self) -> float | None:
        """When the command stops by itself (wall clock), by `run.until` and `run.time`, whichever comes first."""
        run, until = self.settings.run, self._until
        ends = [] if run.time is None else [self.began_at + parse_duration(run.time)]
        return min([*ends, *([] if until is None else [until.at])], default=None)

    @property
    def deadline_note(self) -> str:
        """What is strange about the day on which `run.until` comes, or empty."""
        until = self._until
        return "" if until is None else until.note

    @property
    def _until(self) -> ClockTime | None:
        run = self.settings.run
        if run.until is None:
            return None
        zone = None if run.time_zone is None else parse_zone(run.time_zone)
        return next_clock(self.began_at, *parse_clock(run.until), zone)

    @property
    def target(self) -> str:
        """What a ledger is about: the cloud or the emulator. One ledger never mixes them."""
        return "emulator" if self.emulator else "cloud"


def open_source(path: str, session: Session) -> Inventory:
    """The inventory at `path` (`-`: standard input), not yet read. Raises `InventoryError`."""
    settings = session.settings
    options = ReadOptions(
        input_format=settings.inventory.input_format,
        encoding=settings.inventory.encoding,
        rename=settings.inventory.map,
        known=frozenset(FlowLogs.known_columns),
        required=frozenset(REQUIRED) - _given_defaults(session).keys() - {"project_id"},
    )
    return open_inventory(path, options, stdin=session.stdin)


def default_values(session: Session) -> dict[str, str]:
    """What fills a row's absent cells: the settings, and the project of the default account's credentials."""
    defaults = _given_defaults(session)
    project = "" if "project_id" in defaults else _own_project(session, defaults.get("account", DEFAULT_ACCOUNT))
    return {**defaults, "project_id": project} if project else defaults


def _given_defaults(session: Session) -> dict[str, str]:
    return session.settings.defaults.model_dump(exclude={"name_template"}, exclude_none=True)


def _own_project(session: Session, account: str) -> str:
    """The project that an account's credentials name, or empty; looked for on this machine only."""
    if session.emulator:
        return ""
    try:
        found = find_credentials(account, session.environment, session.home, credential_options(session.settings))
    except ConfigError:
        return ""
    return found.project_id if found else ""


PlaceText = Callable[[str, str], str]


def row_defaults(
    session: Session, project_of: PlaceText | None = None, refusal_of: PlaceText | None = None
) -> RowDefaults:
    """What fills the absent cells of a row; `project_of` (account, region) knows what no cell names."""
    settings = session.settings
    return RowDefaults(
        values=_given_defaults(session),
        project_of=project_of,
        refusal_of=refusal_of,
        name_template=settings.defaults.name_template,
        regions=endpoints_of(settings).regions(),
    )


def flow_logs(cloud: "Cloud | None", session: Session) -> FlowLogs:
    """The operation under these settings; without a cloud only its pure half.

    A project that only the provider knows then has a stand-in, so that rows can be checked offline.
    """
    place_of = _only_place if session.emulator else endpoints_of(session.settings).place

    def tell(message: str, hint: str) -> None:
        session.sink.emit(Warned(message, hint))

    if cloud is None:
        return FlowLogs(None, row_defaults(session, _offline_projects(session)), place_of=place_of, tell=tell)
    projects = cloud.projects
    defaults = row_defaults(session, projects.known, projects.refusal_of)
    return FlowLogs(cloud.client, defaults, projects.find, place_of, tell)


def _only_place(_region: str) -> str:
    """Where the routers of a rehearsal are, whatever the region: the emulator serves all."""
    return EVERYWHERE


def _offline_projects(session: Session) -> PlaceText:
    own = lru_cache(maxsize=ACCOUNTS_KEPT)(partial(_own_project, session))

    def project_of(account: str, region: str) -> str:
        return own(account) or hashlib.blake2b(f"{account}/{region}".encode(), digest_size=16).hexdigest()

    return project_of


@asynccontextmanager
async def run_ledger(session: Session) -> AsyncIterator[Ledger]:
    """The session's ledger, locked. Raises `LedgerHeldError`, `LedgerError`, and `ConfigError` for one that
    belongs to another target. With `run.wait_lock` it waits for who holds it, until the deadline or a stop.
    """
    async with AsyncExitStack() as stack:
        while True:
            try:
                lost = partial(session.stop.request, "BATCHER.LeaseLost")
                opening = open_ledger(
                    str(session.ledger_path),
                    found=session.settings.finds_ledger,
                    birth=session.birth,
                    when_lost=lost,
                )
                ledger = await stack.enter_async_context(opening)
                break
            except LedgerHeldError as error:
                if not session.settings.run.wait_lock or _is_over(session):
                    raise
                session.sink.emit(Waiting(str(error)))
                await session.stop.sleep(LOCK_POLL_S)
        for run in await ledger.runs():
            if run.settings.get("target") != session.target:
                raise ConfigError(
                    f"the ledger `{session.ledger_path}` belongs to the {run.settings.get('target')}",
                    hint="rehearsals and real runs need a ledger each: name another one with `--ledger`",
                )
            break
        yield ledger


def _is_over(session: Session) -> bool:
    deadline = session.deadline
    return session.stop.is_requested or (deadline is not None and session.clock.now() >= deadline)


def asked_window(settings: Settings) -> Window | None:
    """The rate that was asked for; None: it is to be found."""
    return None if settings.run.rate == AUTO else parse_rate(settings.run.rate)


def engine_policy(session: Session) -> EnginePolicy:
    """What the engine is told of the settings. A rehearsal has no ground to check: its emulator takes any."""
    run = session.settings.run
    return EnginePolicy(
        window=asked_window(session.settings),
        reserve=run.reserve,
        jitter_s=run.jitter_s,
        concurrency=run.concurrency,
        calls_max=calls_of(connections_max(with_server=session.emulator)),
        stop_s_max=run.stop_time_s,
        reconcile=run.reconcile,
        fix_drift=run.fix_drift,
        preflight=run.preflight and not session.emulator,
        verify=run.verify,
        verify_s_max=run.verify_time_s,
        answer_s_max=session.settings.cloud.answer_timeout_s,
        listing_lag_s=run.listing_lag_s,
        token_lifetime_s=run.token_lifetime_s,
        budget=RetryBudget(
            attempts_max=run.attempts_max,
            time_s_max=run.retry_time_s,
            backoff_s_base=run.backoff_base_s,
            backoff_s_cap=run.backoff_cap_s,
        ),
    )


@dataclass(frozen=True, slots=True)
class Cloud:
    """The way to the provider, or to the embedded emulator, while it is open."""

    client: CloudClient
    keyring: Keyring | FixedKeyring
    endpoints: Endpoints
    projects: ProjectBook

    async def check(self, lanes: Iterable[LaneKey]) -> None:
        """Raise `ConfigError` for a lane without credentials or endpoint, before anything is sent."""
        for lane in lanes:
            await self.keyring.of(lane.account)
            self.endpoints.of(Service.ER, lane.region)


@asynccontextmanager
async def open_cloud(session: Session, *, keep_rehearsal: bool = True) -> AsyncIterator[Cloud]:
    """The way to the provider, or to the embedded emulator. Raises `ConfigError`; nothing is sent here.

    `keep_rehearsal`: what the emulator creates is kept beside the ledger.
    """
    settings, clock = session.settings, session.clock
    async with AsyncExitStack() as stack:
        transport = await stack.enter_async_context(
            session.connect(
                connections_max=connections_max(with_server=session.emulator),
                connect_timeout_s=settings.cloud.connect_timeout_s,
                answer_timeout_s=settings.cloud.answer_timeout_s,
                ca_file=Path(settings.cloud.ca_file) if settings.cloud.ca_file else None,
                proxies=None if session.emulator else find_proxies(settings.cloud.proxy, session.environment),
            )
        )
        keyring: Keyring | FixedKeyring
        if session.emulator:
            url, credentials = await stack.enter_async_context(
                embedded(settings.emulator, session.ledger_path if keep_rehearsal else None)
            )
            keyring, endpoints = FixedKeyring(credentials), Endpoints(everywhere=dict.fromkeys(Service, url))
        else:
            keyring, endpoints = await _keyring(session, stack), endpoints_of(settings)
        client = CloudClient(
            transport,
            signers=keyring,
            endpoints=endpoints,
            now=clock.now,
            steady=clock.steady,
            table=error_table(settings),
            tell_skew=lambda host, skew_s: session.sink.emit(ClockSkewed(host, skew_s)),
        )

        async def given(account: str) -> str:
            return (await keyring.of(account)).project_id

        projects = ProjectBook(given, partial(list_projects, client), clock=clock, chance=session.chance())
        yield Cloud(client, keyring, endpoints, projects)


async def _keyring(session: Session, stack: AsyncExitStack) -> Keyring:
    wanted, clock = session.settings.credentials, session.clock
    metadata = None
    if wanted.metadata:
        nearby = open_transport(connections_max=1, connect_timeout_s=METADATA_S_MAX, answer_timeout_s=METADATA_S_MAX)
        metadata = Metadata(await stack.enter_async_context(nearby), wanted.metadata_endpoint)
    options = credential_options(session.settings)
    return Keyring(
        environment=session.environment,
        home=session.home,
        options=options,
        metadata=metadata,
        now=clock.now,
        steady=clock.steady,
    )
