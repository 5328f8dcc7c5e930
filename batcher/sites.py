"""Where the lanes of a run are done, and whether that is still so: a run belongs to the endpoints it resolved.

What is absent at one endpoint may stand at another, so nothing that a run knows holds anywhere else. The endpoints of
each lane are recorded with the plan, as they were resolved: a flag, a file, a variable and the provider's own are
alike, and so are two ways to write one URL. A service whose endpoint is not known is not held against anything.

The tenant of a lane is told by its project: a project belongs to one tenant, and the provider refuses the keys of any
other. Where the project came from the credentials it is recorded as theirs; credentials that name another project now
are not taken for the same. Keys that were renewed or rotated name the same project, or none. Keys themselves, and what
could be made of them, are recorded nowhere.

A rehearsal's site is the emulator beside its ledger, whatever its port.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from batcher.cloud.endpoints import Endpoints, Service
from batcher.errors import ConfigError, CredentialsError
from batcher.from_settings import endpoints_of
from batcher.ledger_port import Ledger
from batcher.model import LaneKey
from batcher.records import RunRecord, Site
from batcher.wiring import Cloud, Session

EMBEDDED = "emulator"
"""Of a rehearsal: where its calls go, for its port is another one at each start."""
_SERVICES = {Service.ER: "Enterprise Router", Service.IAM: "the identity service", Service.LTS: "the log service"}


class SiteBook:
    """The sites of lanes under a session's settings; the endpoints of a region are resolved once."""

    def __init__(self, cloud: Cloud, session: Session) -> None:
        self._cloud = cloud
        self._emulator = session.emulator
        self._regions: dict[str, Site] = {}

    async def of(self, lanes: Iterable[LaneKey]) -> Mapping[LaneKey, Site]:
        """The site of each of these lanes. Asks nobody but the sources of credentials; raises nothing."""
        return {lane: self.of_region(lane.region)._replace(tenant=await self._tenant(lane)) for lane in lanes}

    def of_region(self, region: str) -> Site:
        """Where the calls of a region go, without a tenant."""
        site = self._regions.get(region)
        if site is None:
            site = self._regions[region] = self._resolved(region)
        return site

    def _resolved(self, region: str) -> Site:
        if self._emulator:
            return Site(EMBEDDED, EMBEDDED, EMBEDDED)
        return Site(*(_known(self._cloud.endpoints, service, region) for service in Service))

    async def _tenant(self, lane: LaneKey) -> str:
        """The lane's project where it is the credentials' own, or empty."""
        if self._emulator:
            return ""
        own = {self._cloud.projects.known(lane.account, lane.region), await self.project_named(lane.account)}
        return lane.project_id if lane.project_id in own else ""

    async def project_named(self, account: str) -> str:
        """The project that an account's credentials name; empty where they name none, or there are none."""
        try:
            return (await self._cloud.keyring.of(account)).project_id
        except CredentialsError:
            return ""


def _known(endpoints: Endpoints, service: Service, region: str) -> str:
    try:
        return endpoints.of(service, region)
    except ConfigError:
        return ""


async def check_site(ledger: Ledger, run: RunRecord, cloud: Cloud, session: Session) -> None:
    """Raise `ConfigError` if a run would be gone on with, or taken back, elsewhere than it was done."""
    error = await misplaced(ledger, run, cloud, session)
    if error is not None:
        raise ConfigError(f"{error}; nothing was sent", hint=error.hint)


async def misplaced(ledger: Ledger, run: RunRecord, cloud: Cloud, session: Session) -> ConfigError | None:
    """Why a run cannot be gone on with under these settings: another endpoint, or another tenant. None: it can."""
    book = SiteBook(cloud, session)
    for account, region, then in await ledger.sites(run.run_id):
        for service, was, is_now in _moved(then, book.of_region(region)):
            return ConfigError(
                f"run `{run.run_id}` belongs to {_SERVICES[service]} at `{was}` in region `{region}`, and the settings"
                f" lead to `{is_now}`",
                hint="name no endpoint in flags, variables and settings file (`--config` reads another), and the run's"
                f' own hold; or name that one: `{service} = "{was}"` under `[cloud.regions.{region}]`',
            )
        named = await book.project_named(account) if then.tenant else ""
        if named not in ("", then.tenant):
            return ConfigError(
                f"run `{run.run_id}` belongs to the tenant of project `{then.tenant}` (account `{account}`, region"
                f" `{region}`), and the credentials name project `{named}`",
                hint=f"use credentials of that tenant; if these are, let them name project `{then.tenant}`",
            )
    return None


def _moved(then: Site, now: Site) -> Iterator[tuple[Service, str, str]]:
    """Each service that is elsewhere now; what is not known then or now is not compared."""
    for service, was, is_now in zip(Service, then[:3], now[:3], strict=True):
        if was and is_now and was != is_now:
            yield service, was, is_now


async def is_recalled(ledger: Ledger, run: RunRecord, cloud: Cloud, session: Session) -> bool:
    """Whether only the run's own record leads where it is done: the settings alone lead elsewhere."""
    return await misplaced(ledger, run, replace(cloud, endpoints=endpoints_of(session.settings)), session) is not None
