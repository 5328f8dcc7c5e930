"""Where the Enterprise Router service answers, by region; anything else must be configured.

The list is the official SDK's (huaweicloudsdker 3.1.219 `er_region.py`) and eu-west-101, whose host follows
the pattern of the official Terraform provider. Dedicated and partner clouds have endpoints of their own.
"""

import difflib
from collections.abc import Mapping
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

from batcher.errors import ConfigError

_DOMAIN = "myhuaweicloud.com"
_DOMAIN_EU = "myhuaweicloud.eu"

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


def er_endpoint(region: str, overrides: Mapping[str, str], endpoint: str | None) -> str:
    """The base URL of a region, without a trailing slash.

    `endpoint` holds for every region, `overrides` by region, the built-in list last. Raises `ConfigError` for
    a URL that cannot be used and for a region that is in none of them.
    """
    if endpoint:
        return check_endpoint(endpoint)
    if region in overrides:
        return check_endpoint(overrides[region])
    if region in REGIONS:
        domain = _DOMAIN_EU if region.startswith("eu-") else _DOMAIN
        return f"https://er.{region}.{domain}"
    near = difflib.get_close_matches(region, (*REGIONS, *overrides), n=3)
    guess = "did you mean " + " or ".join(f"`{name}`" for name in near) + "? " if near else ""
    raise ConfigError(
        f"unknown region `{region[:64]}`",
        hint=f"{guess}for a region that batcher does not know, set its endpoint",
    )


def check_endpoint(url: str) -> str:
    """The base URL that `url` stands for; `https://` is added where no scheme is given.

    Raises `ConfigError` for anything but scheme, host and port, and for plain HTTP to another machine, which
    would carry keys in the open.
    """
    text = url.strip()
    parts, port = _split(text if "://" in text else f"https://{text}")
    host = parts.hostname or ""
    if parts.username is not None or parts.password is not None:
        # Without the URL itself: it may hold a password.
        raise ConfigError("an endpoint must not carry a user name or password", hint="give scheme, host and port")
    if not host or parts.path not in {"", "/"} or parts.query or parts.fragment or not _is_plain(host):
        raise ConfigError(
            f"`{text[:200]}` is not an endpoint", hint="give scheme and host only, such as `https://er.example.com`"
        )
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(host)):
        raise ConfigError(
            f"the endpoint `{text[:200]}` must use https", hint="plain http is for loopback addresses only"
        )
    shown = f"[{host}]" if ":" in host else host
    default_port = 443 if parts.scheme == "https" else 80
    return f"{parts.scheme}://{shown}" + (f":{port}" if port not in {None, default_port} else "")


def _split(url: str) -> tuple[SplitResult, int | None]:
    try:
        parts = urlsplit(url)
        return parts, parts.port
    except ValueError:
        raise ConfigError(f"`{url.rpartition('@')[2][:200]}` is not a URL", hint="give scheme, host and port") from None


def _is_plain(host: str) -> bool:
    return host.isascii() and not any(character.isspace() or character in '%\\"<>^`{|}' for character in host)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
