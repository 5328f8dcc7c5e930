"""Which proxy a request goes through, decided from the settings and the environment's usual variables.

A proxy is used for what leaves this machine and its link: loopback is the emulator, and a link-local address such
as 169.254.169.254 answers with keys that are nobody else's. The settings are recorded with a run, so they may hold
no password; the environment may.
"""

import base64
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined] # typeshed leaves it out

from batcher.cloud.endpoints import base_url, bracketed, is_loopback, is_plain_host, split_url
from batcher.errors import ConfigError

NO_PROXY_AT_ALL = "none"
"""The setting under which no proxy is used, whatever the environment says."""

_HINT = "set `cloud.proxy` to an http or https proxy, such as `http://proxy.example.com:3128`, or to `none`"


@dataclass(frozen=True, slots=True)
class Proxy:
    """Where a proxy listens, as `scheme://host:port`, and who to be there; `user` None: no one in particular."""

    url: str
    user: str | None = field(default=None, repr=False)
    password: str = field(default="", repr=False)

    @property
    def authorization(self) -> str | None:
        """The value of `Proxy-Authorization`, a secret (Basic, RFC 7617, in UTF-8); None for no one in particular."""
        if self.user is None:
            return None
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode("ascii")


@dataclass(frozen=True, slots=True)
class Proxies:
    """The proxy of every URL. Without arguments none is used. `bypass`: a list as in `NO_PROXY`."""

    https: Proxy | None = None
    http: Proxy | None = None
    bypass: str = ""

    def of(self, url: str) -> Proxy | None:
        """The proxy for `url`, or None where it is reached directly."""
        parts = urlsplit(url)
        proxy = self.https if parts.scheme == "https" else self.http
        host = parts.hostname or ""
        if proxy is None or _is_near(host) or self._is_bypassed(host, parts.port):
            return None
        return proxy

    def _is_bypassed(self, host: str, port: int | None) -> bool:
        given = {"no": self.bypass}
        # With its port, for an entry may have one; an IPv6 address also bare, for so it is usually listed.
        named = bracketed(host) if port is None else f"{bracketed(host)}:{port}"
        return bool(proxy_bypass_environment(named, given) or proxy_bypass_environment(host, given))


def find_proxies(setting: str | None, environment: Mapping[str, str]) -> Proxies:
    """The proxies to use.

    `setting` is a proxy's URL, `none`, or None: then `HTTPS_PROXY` counts, for plain http `HTTP_PROXY`, for both
    `ALL_PROXY` where they are absent. A variable in lower case wins over the same in upper case. `NO_PROXY` counts
    beside the setting too. Raises `ConfigError` for a URL that is no http or https proxy, and for a password in
    the setting; no message quotes a user name or a password.
    """
    bypass = _variable(environment, "no_proxy")
    if bypass == "*" or (setting is not None and setting.strip().lower() == NO_PROXY_AT_ALL):
        return Proxies()
    if setting is not None:
        given = _parse(setting, "cloud.proxy")
        if given.user is not None:
            raise ConfigError(
                "`cloud.proxy` must not carry a user name or password",
                hint="settings are recorded with a run: put the proxy into the variable `HTTPS_PROXY` instead",
            )
        return Proxies(given, given, bypass)
    return Proxies(_from(environment, "https_proxy"), _from(environment, "http_proxy"), bypass)


def _from(environment: Mapping[str, str], name: str) -> Proxy | None:
    for variable in (name, "all_proxy"):
        text = _variable(environment, variable)
        if text:
            return _parse(text, variable.upper())
    return None


def _variable(environment: Mapping[str, str], name: str) -> str:
    """An empty one in lower case counts as given: it takes the proxy away."""
    return environment.get(name, environment.get(name.upper(), "")).strip()


def _parse(text: str, source: str) -> Proxy:
    """Read a proxy's URL. Raises `ConfigError`, which shows nothing of it: any part may be a misplaced password."""
    url = text.strip()
    found: tuple[SplitResult, int | None] | None = None
    with suppress(ConfigError):  # which quotes a part
        found = split_url(url if "://" in url else f"http://{url}")
    if found is None or not _is_text(url):
        raise ConfigError(f"`{source}` is not a URL", hint=_HINT)
    parts, port = found
    if parts.scheme.startswith("socks"):
        raise ConfigError(f"`{source}` names a SOCKS proxy, which batcher cannot use", hint=_HINT)
    host = parts.hostname or ""
    bare = parts.path in {"", "/"} and not parts.query and not parts.fragment
    if parts.scheme not in {"http", "https"} or not is_plain_host(host) or not bare:
        raise ConfigError(f"`{source}` does not name a proxy", hint=_HINT)
    user = None if parts.username is None and parts.password is None else unquote(parts.username or "")
    if user is not None and ":" in user:
        raise ConfigError(f"the user name in `{source}` holds a colon", hint="no proxy can be told such a name")
    return Proxy(base_url(parts.scheme, host, port), user, unquote(parts.password or ""))


def _is_text(url: str) -> bool:
    """Whether it could be sent: an environment may hold bytes that are no text."""
    return not any("\ud800" <= character <= "\udfff" for character in url)


def _is_near(host: str) -> bool:
    """On this machine or its link."""
    if is_loopback(host):
        return True
    try:
        return ip_address(host).is_link_local
    except ValueError:
        return False
