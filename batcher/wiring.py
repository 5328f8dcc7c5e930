"""Settings become open ports: the inventory, the ledger, the way to the provider. `app.py` uses them."""

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from batcher.clock import SystemClock
from batcher.cloud.client import CloudClient
from batcher.cloud.credentials import DEFAULT_ACCOUNT, Credentials, load_credentials
from batcher.cloud.regions import REGIONS, check_endpoint, er_endpoint
from batcher.cloud.transport import open_transport
from batcher.config import EmulatorSection, Section, Settings
from batcher.engine.context import EnginePolicy
from batcher.engine.stop import Stop
from batcher.errors import ConfigError
from batcher.inventory.open import Inventory, ReadOptions, open_inventory
from batcher.ledger.open import open_ledger
from batcher.model import LaneKey, RunRecord
from batcher.operations.flow_log import FlowLogs
from batcher.operations.flow_log_row import REQUIRED, RowDefaults
from batcher.policy.pace import parse_rate
from batcher.policy.retry import RetryBudget
from batcher.ports import EventSink, Ledger
from batcher.telemetry.sinks import Silent

if TYPE_CHECKING:
    from batcher.emulator.settings import EmulatorSettings

CONTINUED_SECTIONS = ("cloud", "run", "emulator")
"""What a later sitting of a run takes over from the first."""
ACCOUNTS_KEPT = 1024
"""Accounts whose own project is looked up once."""
CONNECTIONS_MAX = 1024
"""Sockets of one run: below the usual limit of open files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What a command is given besides its settings. The defaults suit a program that imports batcher."""

    settings: Settings = field(default_factory=Settings)
    emulator: bool = False
    sink: EventSink = field(default_factory=Silent)
    stop: Stop = field(default_factory=Stop)
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    home: Path = field(default_factory=Path.home)
    stdin: BinaryIO | None = None

    def __post_init__(self) -> None:
        """Raise `ConfigError` for an endpoint that cannot be used, before anything is recorded."""
        if self.settings.cloud.endpoint is not None:
            check_endpoint(self.settings.cloud.endpoint)

    def continuing(self, run: RunRecord) -> "Session":
        """This session with the settings that `run` was given where none are given now: rate, endpoint and so on."""
        given = self.settings
        update: dict[str, Section] = {}
        for name in CONTINUED_SECTIONS:
            section: Section = getattr(given, name)
            kept = run.settings.get(name)
            values = dict(kept) if isinstance(kept, dict) else {}
            values.update({key: getattr(section, key) for key in section.model_fields_set})
            update[name] = type(section).model_validate(values)
        return replace(self, settings=given.model_copy(update=update))

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
    def target(self) -> str:
        """What a ledger is about: the cloud or the emulator. One ledger never mixes them."""
        return "emulator" if self.emulator else "cloud"


def open_source(path: str, session: Session) -> Inventory:
    """The inventory at `path` (`-`: standard input), not yet read. Raises `InventoryError`."""
    settings = session.settings
    values = default_values(session)
    options = ReadOptions(
        input_format=settings.inventory.input_format,
        encoding=settings.inventory.encoding,
        rename=settings.inventory.map,
        known=frozenset(FlowLogs.known_columns),
        required=frozenset(REQUIRED) - values.keys(),
    )
    return open_inventory(path, options, stdin=session.stdin)


def default_values(session: Session) -> dict[str, str]:
    """What fills a row's absent cells: the settings, and the project of the default account's credentials."""
    defaults = _given_defaults(session)
    project = "" if "project_id" in defaults else _project_of(session, defaults.get("account", DEFAULT_ACCOUNT))
    return {**defaults, "project_id": project} if project else defaults


def _given_defaults(session: Session) -> dict[str, str]:
    return session.settings.defaults.model_dump(exclude={"name_template"}, exclude_none=True)


def _project_of(session: Session, account: str) -> str:
    """The project that an account's credentials name, or empty."""
    if session.emulator:
        return ""
    try:
        return load_credentials(account, session.environment, session.home).project_id
    except ConfigError:
        return ""


def check_default_account(inventory: Inventory, session: Session) -> None:
    """Without an account column every row is the default account's: it must have credentials, said at once."""
    names = {canonical for _, canonical in inventory.columns}
    if inventory.input_format == "csv" and "account" not in names and not session.emulator:
        load_credentials(session.settings.defaults.account or DEFAULT_ACCOUNT, session.environment, session.home)


def flow_logs(client: CloudClient | None, session: Session) -> FlowLogs:
    """The operation under these settings; without a client only its pure half."""
    settings = session.settings
    any_region = session.emulator or settings.cloud.endpoint is not None
    defaults = RowDefaults(
        values=_given_defaults(session),
        project_of=lru_cache(maxsize=ACCOUNTS_KEPT)(partial(_project_of, session)),
        name_template=settings.defaults.name_template,
        regions=None if any_region else frozenset(REGIONS),
    )
    return FlowLogs(client, defaults)


@asynccontextmanager
async def run_ledger(session: Session) -> AsyncIterator[Ledger]:
    """The session's ledger, locked. Raises `LedgerHeldError`, `LedgerError`, and `ConfigError` for one that
    belongs to another target.
    """
    async with open_ledger(str(session.ledger_path)) as ledger:
        for run in await ledger.runs():
            if run.settings.get("target") != session.target:
                raise ConfigError(
                    f"the ledger `{session.ledger_path}` belongs to the {run.settings.get('target')}",
                    hint="rehearsals and real runs need a ledger each: name another one with `--ledger`",
                )
            break
        yield ledger


def engine_policy(settings: Settings) -> EnginePolicy:
    """What the engine is told of the settings."""
    run = settings.run
    return EnginePolicy(
        window=parse_rate(run.rate),
        concurrency=run.concurrency,
        reconcile=run.reconcile,
        verify=run.verify,
        verify_s_max=run.verify_time_s,
        token_lifetime_s=run.token_lifetime_s,
        budget=RetryBudget(
            attempts_max=run.attempts_max,
            time_s_max=run.retry_time_s,
            backoff_s_base=run.backoff_base_s,
            backoff_s_cap=run.backoff_cap_s,
        ),
    )


@asynccontextmanager
async def open_client(session: Session, lanes: list[LaneKey]) -> AsyncIterator[CloudClient]:
    """The way to the provider, or to the embedded emulator. Raises `ConfigError` before anything is sent."""
    settings = session.settings
    connections = min(CONNECTIONS_MAX, settings.run.concurrency * max(1, len(lanes)))
    async with _place(session) as (endpoint, credentials):
        signers = {
            lane.account: credentials or load_credentials(lane.account, session.environment, session.home)
            for lane in lanes
        }
        endpoints = {lane.region: er_endpoint(lane.region, {}, endpoint) for lane in lanes}
        async with open_transport(
            connections_max=connections,
            connect_timeout_s=settings.cloud.connect_timeout_s,
            answer_timeout_s=settings.cloud.answer_timeout_s,
        ) as transport:
            yield CloudClient(
                transport, signers=signers.__getitem__, endpoint_of=endpoints.__getitem__, now=SystemClock().now
            )


@asynccontextmanager
async def _place(session: Session) -> AsyncIterator[tuple[str | None, Credentials | None]]:
    if not session.emulator:
        yield session.settings.cloud.endpoint, None
        return
    from batcher.emulator.server import running  # late: only rehearsals need the server half of aiohttp

    settings = rehearsal(session.settings.emulator, session.ledger_path)
    async with running(settings) as emulator:
        access_key, secret_key = next(iter(settings.keys.items()))
        yield emulator.url, Credentials(access_key, secret_key, source="the embedded emulator")


def rehearsal(section: EmulatorSection, ledger: Path) -> "EmulatorSettings":
    """The embedded emulator; what it creates is kept beside the ledger, so a killed rehearsal can be resumed."""
    from batcher.emulator.faults import FaultShares  # late: only rehearsals need them
    from batcher.emulator.settings import EmulatorSettings
    from batcher.emulator.throttle import Throttle

    window = parse_rate(section.throttle) if section.throttle else None
    return EmulatorSettings(
        state_path=ledger.with_name(f"{ledger.name}.emulator"),
        pending_s=section.pending_s,
        quota=section.quota,
        latency_s=section.latency_s,
        throttle=Throttle(window.calls, window.period_s) if window else None,
        faults=FaultShares(
            refused_before=section.refused_before,
            error_after=section.error_after,
            lost_after=section.lost_after,
            truncated_after=section.truncated_after,
        ),
        seed=section.seed,
    )
