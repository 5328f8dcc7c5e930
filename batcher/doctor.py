"""`batcher doctor`: is everything there that a run needs? Read-only calls, one after the other, each with a finding.

The first call of an account is refused alone if its keys are wrong, and nothing more is asked for that account:
more than five refusals in a row would lock its key.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple, TypeVar

from batcher.cloud.client import NO_CREDENTIALS
from batcher.cloud.endpoints import Service
from batcher.cloud.probe import Probe, probe
from batcher.cloud.proxy import find_proxies
from batcher.cloud.skew import WARN_S
from batcher.errors import BatcherError, ConfigError
from batcher.events import CallMade
from batcher.intake import opened_source
from batcher.model import LaneKey, Refused
from batcher.operations.flow_log_row import RowDefaults
from batcher.operations.surroundings import Ids, count_flow_logs, first_router, log_groups, log_streams, show_quota
from batcher.planning.patience import ask
from batcher.policy.retry import RetryBudget
from batcher.wiring import Cloud, Session, open_cloud, row_defaults

T = TypeVar("T")

PLACES_MAX = 100
"""Places of an inventory that are looked at: a doctor's visit, not a run."""
SKEW_S_TOLD = 5.0
"""Dates are in whole seconds and answers take their time: less is no difference."""
_BUDGET = RetryBudget(attempts_max=3, time_s_max=30.0)
_SERVICES = {Service.ER: "Enterprise Router", Service.IAM: "identity service", Service.LTS: "log service"}


class Mark(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: what was asked of whom, what came back, and what to do (may be empty)."""

    check: str
    asked: str
    answer: str
    mark: Mark = Mark.OK
    advice: str = ""


class Place(NamedTuple):
    """What a row needs of the provider; texts may be empty but for account and region."""

    account: str
    region: str
    project_id: str = ""
    er_id: str = ""
    log_group_id: str = ""
    log_stream_id: str = ""


async def diagnose(session: Session, tell: Callable[[Finding], None], inventory: str | None = None) -> bool:
    """Check what the settings name, and what the rows of an inventory need; whether nothing failed.

    `tell` hears each finding as it is made. Raises `ConfigError` where no region is named, `InventoryError`.
    """
    places = await _places(session, inventory)
    failed = False

    def note(finding: Finding) -> None:
        nonlocal failed
        failed = failed or finding.mark is Mark.FAILED
        tell(finding)

    async with open_cloud(session, keep_rehearsal=False) as cloud:
        visit = _Visit(cloud, session, note)
        for place in places:
            await visit.check(place)
    return not failed


async def _places(session: Session, inventory: str | None) -> list[Place]:
    defaults = row_defaults(session)
    if inventory is None:
        filled = defaults.fill({})
        for fault in defaults.place_faults(filled):
            raise ConfigError(f"{fault.column} `{fault.value}` {fault.rule}")
        if not filled.get("region"):
            raise ConfigError("no region to look at", hint="give `--region`, `[defaults]` or an inventory")
        return list(places_of([{}], defaults))
    async with opened_source(inventory, session) as source:
        found = list(places_of((row.fields for row in source.rows()), defaults))
    if not found:
        raise ConfigError(f"no row of `{inventory}` names a place", hint="`batcher validate` names their faults")
    return found


def places_of(rows: Iterable[Mapping[str, str]], defaults: RowDefaults) -> Iterator[Place]:
    """The distinct places of rows, in their order, at most `PLACES_MAX`; routers of one lane count once."""
    seen: set[tuple[str, ...]] = set()
    for fields in rows:
        filled = defaults.fill(fields)
        place = Place(**{name: filled.get(name, "") for name in Place._fields})
        where = (place.account, place.region, place.project_id, place.log_group_id, place.log_stream_id)
        if place.region and where not in seen and not defaults.place_faults(filled):
            seen.add(where)
            yield place
            if len(seen) == PLACES_MAX:
                return


class _Visit:
    """One round of checks; what has been told once, or has failed for an account, is not asked again."""

    def __init__(self, cloud: Cloud, session: Session, tell: Callable[[Finding], None]) -> None:
        self._cloud = cloud
        self._session = session
        self._tell = tell
        self._clock = session.clock
        self._chance = session.chance()
        self._refused: set[str] = set()
        self._done: set[tuple[str, ...]] = set()
        self._groups: dict[LaneKey, Ids] = {}

    async def check(self, place: Place) -> None:
        """Check one place."""
        if not await self._has_credentials(place.account):
            where = f"account `{place.account}` in `{place.region}`"
            self._tell_once(Finding("place", where, "not looked at: the account was refused", Mark.SKIPPED))
        elif await self._is_reachable(Service.ER, place.region):
            lane = await self._lane(place)
            if lane is not None:
                await self._check_lane(lane, place.er_id)
                await self._check_logs(lane, place)

    def _first(self, *what: str) -> bool:
        is_first = what not in self._done
        self._done.add(what)
        return is_first

    async def _has_credentials(self, account: str) -> bool:
        if self._first("credentials", account):
            try:
                found = await self._cloud.keyring.of(account)
            except BatcherError as error:
                self._refused.add(account)
                self._tell(Finding("credentials", f"account `{account}`", str(error), Mark.FAILED, error.hint))
            else:
                how = "a token" if found.auth_token else "temporary keys" if found.security_token else "keys"
                until = f", until {_utc(found.expires_at)}" if found.expires_at else ""
                self._tell(Finding("credentials", f"account `{account}`", f"{how} from {found.source}{until}"))
                for warning in self._cloud.keyring.warnings:
                    self._tell_once(Finding("credentials", "their keeping", warning, Mark.WARNING))
        return account not in self._refused

    async def _is_reachable(self, service: Service, region: str) -> bool:
        try:
            url = self._cloud.endpoints.of(service, region)
        except ConfigError as error:
            if self._first("endpoint", service, region):
                mark = Mark.FAILED if service is Service.ER else Mark.SKIPPED
                self._tell(Finding("endpoint", f"{_SERVICES[service]} in `{region}`", str(error), mark, error.hint))
            return False
        if self._first("endpoint", url):
            self._tell(await self._probe(service, url))
        return ("unreachable", url) not in self._done

    async def _probe(self, service: Service, url: str) -> Finding:
        cloud = self._session.settings.cloud
        proxy = find_proxies(cloud.proxy, self._session.environment).of(url)
        found = await probe(
            url,
            timeout_s=cloud.connect_timeout_s,
            ca_file=Path(cloud.ca_file) if cloud.ca_file else None,
            now=self._clock.now(),
            proxy=proxy,
        )
        if found.failure:
            self._done.add(("unreachable", url))
        return _reached(f"{_SERVICES[service]} at {url}" + (f" through {proxy.url}" if proxy else ""), found)

    async def _lane(self, place: Place) -> LaneKey | None:
        """The lane of a place, its project looked up if nothing names it."""
        account, region = place.account, place.region
        where = f"account `{account}` in `{region}`"
        if place.project_id:
            self._tell_once(Finding("project", where, f"`{place.project_id}`, as given"))
            return LaneKey(account, region, place.project_id)
        if ("no project", account, region) in self._done:
            return None
        try:
            await self._cloud.projects.require([(account, region)])
        except BatcherError as error:
            self._done.add(("no project", account, region))
            refused = self._cloud.projects.refusals.get((account, region))
            if refused is not None:
                self._note_refusal(account, refused)
            self._tell(Finding("project", where, str(error), Mark.FAILED, error.hint))
            return None
        project_id = self._cloud.projects.known(account, region)
        self._tell_once(Finding("project", where, f"`{project_id}`"))
        return LaneKey(account, region, project_id)

    async def _check_lane(self, lane: LaneKey, er_id: str) -> None:
        if not self._first("lane", *_words(lane)):
            return
        client, whose = self._cloud.client, f"project `{lane.project_id}` in `{lane.region}`"
        quota = await self._ask("quota", f"flow log quota of {whose}", lane, lambda: show_quota(client, lane))
        self._check_clock(lane.region)
        if quota is not None:
            self._tell(_quota(whose, quota.limit, quota.used))
        if lane.account in self._refused:
            return
        router: str | None = er_id
        if not er_id:
            router = await self._ask("list", f"routers of {whose}", lane, lambda: first_router(client, lane))
        if router == "":
            self._tell(Finding("list", f"routers of {whose}", "there is none", Mark.WARNING, "check `project_id`"))
        elif router is not None:
            asked = f"flow logs of router `{router}`"
            count = await self._ask("list", asked, lane, lambda: count_flow_logs(client, lane, router))
            if count is not None:
                self._tell(Finding("list", asked, f"{count:,} there"))

    def _check_clock(self, region: str) -> None:
        skew_s = self._cloud.client.skew_s(Service.ER, region)
        asked = f"date of the answers from `{region}`"
        if not self._first("clock", region):
            return
        if skew_s is None:
            self._tell(Finding("clock", asked, "no answer told it", Mark.SKIPPED))
            return
        way = "ahead" if skew_s > 0 else "behind"
        answer = f"this machine is {abs(skew_s):,.0f} s {way}"
        if abs(skew_s) <= SKEW_S_TOLD:
            answer = "this machine agrees with it"
        if abs(skew_s) > WARN_S:
            advice = "set the clock, by NTP for instance; from 900 s on calls are refused"
            self._tell(Finding("clock", asked, answer, Mark.WARNING, advice))
        else:
            self._tell(Finding("clock", asked, answer))

    async def _check_logs(self, lane: LaneKey, place: Place) -> None:
        if not place.log_group_id or not self._first("logs", *_words(lane), *place[-2:]):
            return
        if self._session.emulator:
            why = "a rehearsal takes any"
            self._tell(Finding("log group", f"log group `{place.log_group_id}`", why, Mark.SKIPPED))
            return
        if lane.account in self._refused or not await self._is_reachable(Service.LTS, lane.region):
            return
        client, group = self._cloud.client, place.log_group_id
        if lane not in self._groups:
            asked = f"log groups of project `{lane.project_id}`"
            groups = await self._ask("log group", asked, lane, lambda: log_groups(client, lane))
            if groups is None:
                return
            self._groups[lane] = groups
        there = group in self._groups[lane].known
        if not there and self._groups[lane].is_open:
            self._tell_once(Finding("log group", f"log group `{group}`", "the emulator takes any", Mark.SKIPPED))
            return
        self._tell_once(_presence("log group", f"log group `{group}`", there=there, column="log_group_id"))
        if not there or not place.log_stream_id:
            return
        asked = f"log stream `{place.log_stream_id}`"
        streams = await self._ask("log stream", asked, lane, lambda: log_streams(client, lane, group))
        if streams is not None:
            there = place.log_stream_id in streams
            self._tell(_presence("log stream", asked, there=there, column="log_stream_id"))

    async def _ask(self, check: str, asked: str, lane: LaneKey, call: Callable[[], Awaitable[T | Refused]]) -> T | None:
        """The answer of a call, or None with its refusal told."""

        async def told() -> T | Refused:
            answer = await call()
            refused = answer if isinstance(answer, Refused) else None
            result = "200" if refused is None else str(refused.http_status or refused.code)
            self._session.sink.emit(CallMade(lane, check.replace(" ", "_"), result))
            return answer

        answer = await ask(told, clock=self._clock, chance=self._chance, budget=_BUDGET)
        if not isinstance(answer, Refused):
            return answer
        self._note_refusal(lane.account, answer)
        request = f" (request {answer.request_id})" if answer.request_id else ""
        self._tell(Finding(check, asked, f"{answer.code}: {answer.message}{request}", Mark.FAILED, answer.advice))
        return None

    def _note_refusal(self, account: str, refused: Refused) -> None:
        """Refused credentials end the visit to their account; after any other refusal the next check may tell more."""
        if refused.http_status == 401 or refused.code == NO_CREDENTIALS:
            self._refused.add(account)

    def _tell_once(self, finding: Finding) -> None:
        if self._first("told", finding.check, finding.asked, finding.answer):
            self._tell(finding)


def _reached(asked: str, found: Probe) -> Finding:
    if found.failure:
        return Finding("endpoint", asked, found.failure, Mark.FAILED, found.advice)
    tls = f"{found.tls_version}, certificate until {_utc(found.certificate_until)}" if found.tls_version else "no TLS"
    answer = f"connected in {found.elapsed_s * 1000:.0f} ms; {tls}"
    return Finding("endpoint", asked, answer, Mark.WARNING if found.advice else Mark.OK, found.advice)


def _quota(whose: str, limit: int, used: int) -> Finding:
    asked = f"flow log quota of {whose}"
    if limit < 0:
        return Finding("quota", asked, f"{used:,} used, no limit")
    answer = f"{used:,} of {limit:,} used"
    if used >= limit:
        advice = "nothing can be created: delete unused flow logs, or ask for a larger quota"
        return Finding("quota", asked, answer, Mark.WARNING, advice)
    return Finding("quota", asked, answer)


def _presence(check: str, asked: str, *, there: bool, column: str) -> Finding:
    if there:
        return Finding(check, asked, "it is there")
    return Finding(check, asked, "there is no such one", Mark.FAILED, f"check `{column}` and `project_id`")


def _words(lane: LaneKey) -> tuple[str, str, str]:
    return lane.account, lane.region, lane.project_id


def _utc(moment: float | None) -> str:
    return "-" if moment is None else f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M} UTC"
