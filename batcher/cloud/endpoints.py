"""Where the provider's services answer, by region; anything else must be configured.

The regions are the official SDK's (huaweicloudsdker 3.1.219 `er_region.py`) and eu-west-101, whose host follows
the pattern of the official Terraform provider (`provider.go`, 2026-08-21). Which of them have an IAM host of
their own is the SDK's table (huaweicloudsdkcore 3.1.219 `auth/endpoint.py`), that of eu-west-101 the provider's
partner documentation ("SDK Overview", 2026-05-18); the others share one. LTS follows the pattern of its API pages.

Dedicated and partner clouds have endpoints of their own. A region whose Enterprise Router is configured belongs to
such a cloud: no other service of it is ever looked for at the provider's own hosts, which would see its keys.
"""

import difflib
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

from batcher.errors import ConfigError

REGION_MARK = "{region}"
"""Stands in a configured URL for the name of the region."""

EVERYWHERE = "*"
"""The place of a rehearsal: its one endpoint serves all regions, at another port each time."""

_DOMAIN = "myhuaweicloud.com"
_DOMAIN_EU = "myhuaweicloud.eu"
_REGION = re.compile(r"[a-z0-9-]{1,32}")
_REGION_SAMPLE = "region-1"
_SHOWN_CHARACTERS_MAX = 200

REGIONS: tuple[str, ...] = (
    "ae-ad-1",
    "af-north-1",
    "af-south-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-southeast-3",
    "ap-southeast-4",
    "ap-southeast-5",
    "cn-east-3",
    "cn-east-4",
    "cn-east-5",
    "cn-north-11",
    "cn-north-12",
    "cn-north-2",
    "cn-north-4",
    "cn-north-9",
    "cn-south-1",
    "cn-southwest-2",
    "cn-southwest-3",
    "eu-west-101",
    "la-north-2",
    "la-south-2",
    "me-east-1",
    "my-kualalumpur-1",
    "ru-moscow-1",
    "sa-brazil-1",
    "tr-west-1",
)
"""The provider's own regions that have Enterprise Router."""

_REGIONS_OF_GLOBAL_IAM = frozenset({"af-north-1", "ap-southeast-5", "cn-north-11", "cn-southwest-3"})
_GLOBAL_IAM = f"https://iam.{_DOMAIN}"


class Service(StrEnum):
    """A service that batcher calls; the value is its name in a host name."""

    ER = "er"
    IAM = "iam"
    LTS = "lts"


_SETTINGS = {Service.ER: "cloud.endpoint", Service.IAM: "cloud.iam_endpoint", Service.LTS: "cloud.lts_endpoint"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoints:
    """The base URLs of all services in all regions: those given here, then the provider's own.

    `everywhere` holds for every region; `by_region` (region, service, URL) wins over it. A URL may hold `{region}`.
    Raises `ConfigError` for a URL that cannot be used and for a name that cannot be a region's.
    """

    everywhere: Mapping[Service, str] = field(default_factory=dict)
    by_region: Mapping[str, Mapping[Service, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for url in self.everywhere.values():
            _fill(url, _REGION_SAMPLE)
        for region, urls in self.by_region.items():
            _check_region(region)
            for url in urls.values():
                _fill(url, region)

    def of(self, service: Service, region: str) -> str:
        """The base URL of a service in a region, without a trailing slash.

        Raises `ConfigError` for a region that is not known, and for a service other than Enterprise Router of a
        region whose Enterprise Router is configured, unless that service is configured too. On loopback, where
        the emulator serves all, the others answer where Enterprise Router does.
        """
        _check_region(region)
        given = self._given(service, region)
        if given is not None:
            return given
        er = self._given(Service.ER, region)
        if er is not None:
            if is_loopback(urlsplit(er).hostname or ""):
                return er
            raise ConfigError(
                f"no {service.upper()} endpoint is given for region `{region}`, whose Enterprise Router is at `{er}`",
                hint=f"set `{_SETTINGS[service]}`: keys are not sent to a host that is only guessed",
            )
        if region in REGIONS:
            return _built_in(service, region)
        raise self._unknown(service, region)

    def place(self, region: str) -> str:
        """What tells the routers of a region from all others: a region of the provider's own, else the endpoint.

        Two regions that one endpoint serves are one place, and two endpoints of one region are two; how the endpoint
        is written, and where it is set, makes no difference.
        """
        given = self._given(Service.ER, region)
        return region if given is None or (region in REGIONS and given == _built_in(Service.ER, region)) else given

    def regions(self) -> frozenset[str] | None:
        """The names that a row may use; None: any, because an Enterprise Router for every region is given."""
        if Service.ER in self.everywhere:
            return None
        return frozenset(REGIONS) | {region for region, urls in self.by_region.items() if Service.ER in urls}

    def _given(self, service: Service, region: str) -> str | None:
        url = self.by_region.get(region, {}).get(service) or self.everywhere.get(service)
        return None if url is None else _fill(url, region)

    def _unknown(self, service: Service, region: str) -> ConfigError:
        near = difflib.get_close_matches(region, sorted({*REGIONS, *self.by_region}), n=3)
        guess = "did you mean " + " or ".join(f"`{name}`" for name in near) + "? " if near else ""
        setting = _SETTINGS[service]
        return ConfigError(
            f"unknown region `{region}`",
            hint=f"{guess}for a region that batcher does not know, set its endpoint (`{setting}`)",
        )


def check_endpoint(url: str) -> str:
    """The base URL that `url` stands for; `https://` is added where no scheme is given.

    Raises `ConfigError` for anything but scheme, host and port, and for plain HTTP to another machine, which
    would carry keys in the open.
    """
    text = url.strip()
    if "@" in text:
        # Without the URL itself: it may hold a password, and one with `#` or `/` in it would not be parsed as such.
        raise ConfigError("an endpoint must not carry a user name or password", hint="give scheme, host and port")
    shown = text[:_SHOWN_CHARACTERS_MAX]
    parts, port = split_url(text if "://" in text else f"https://{text}")
    host = parts.hostname or ""
    if not is_plain_host(host) or parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise ConfigError(
            f"`{shown}` is not an endpoint", hint="give scheme and host only, such as `https://er.example.com`"
        )
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(host)):
        raise ConfigError(f"the endpoint `{shown}` must use https", hint="plain http is for loopback addresses only")
    return base_url(parts.scheme, host, port)


def split_url(url: str) -> tuple[SplitResult, int | None]:
    """A URL's parts and its port, None where it names none. Raises `ConfigError`, which never quotes a password."""
    with suppress(ValueError):  # which quotes what it could not read, and must not be this error's context
        parts = urlsplit(url)
        return parts, parts.port
    shown = url.rpartition("@")[2][:_SHOWN_CHARACTERS_MAX]
    raise ConfigError(f"`{shown}` is not a URL", hint="give scheme, host and port")


def base_url(scheme: str, host: str, port: int | None) -> str:
    """Scheme, host and port as a URL; a port that is the scheme's own is left out."""
    default_port = 443 if scheme == "https" else 80
    return f"{scheme}://{bracketed(host)}" + (f":{port}" if port not in {None, default_port} else "")


def bracketed(host: str) -> str:
    """A host as it stands in a URL: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


def is_plain_host(host: str) -> bool:
    """Whether `host` holds only what a host name or an address may hold in a URL; empty, it does not."""
    return (
        bool(host)
        and host.isascii()
        and host.isprintable()
        and not any(character in ' %\\"<>^`{|}' for character in host)
    )


def is_loopback(host: str) -> bool:
    """Whether a host is this machine by its address, or is named `localhost`."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_region(region: str) -> None:
    """A region's name reaches a host name: nothing in it may end or begin another."""
    if _REGION.fullmatch(region) is None:
        raise ConfigError(
            f"`{region[:64]}` cannot be the name of a region",
            hint="a region is named by lower-case letters, digits and hyphens, such as `eu-west-101`",
        )


def _fill(url: str, region: str) -> str:
    return check_endpoint(url.replace(REGION_MARK, region))


def _built_in(service: Service, region: str) -> str:
    """Of one of `REGIONS`."""
    if service is Service.IAM and region in _REGIONS_OF_GLOBAL_IAM:
        return _GLOBAL_IAM
    domain = _DOMAIN_EU if region.startswith("eu-") else _DOMAIN
    return f"https://{service}.{region}.{domain}"
