"""Who we are to the provider: keys or a token, found in the environment or in the profile file.

The first source that has anything wins, and a half pair there ends the search: going on would send one
account's work with another's keys. The project id is taken from the source that the keys came from, or from
`HUAWEICLOUD_SDK_PROJECT_ID`. Nothing here puts a secret into a message: not in a `repr`, not in an error,
and not in the cause of one (the INI parser's own errors quote the line that they stumble over).
"""

import configparser
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from batcher.errors import CredentialsError

DEFAULT_ACCOUNT = "default"
PROFILE_VARIABLE = "HUAWEICLOUD_SDK_CREDENTIALS_FILE"
PROJECT_VARIABLE = "HUAWEICLOUD_SDK_PROJECT_ID"
TOKEN_VARIABLE = "HW_AUTH_TOKEN"  # noqa: S105 - the name of a variable

PROFILE_BYTES_MAX = 1 << 20
"""A credentials file is a few lines; what is larger is another file."""

_PROFILE_SECTION = "basic"
_PAIRS = (
    ("HUAWEICLOUD_SDK_AK", "HUAWEICLOUD_SDK_SK", "HUAWEICLOUD_SDK_SECURITY_TOKEN"),
    ("CLOUD_SDK_AK", "CLOUD_SDK_SK", ""),
    ("HW_ACCESS_KEY", "HW_SECRET_KEY", "HW_SECURITY_TOKEN"),
)
_HEADER_SAFE = re.compile(r"[\x21-\x7e]*")
_PROJECT_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True, repr=False)
class Credentials:
    """What proves who asks: a key pair, with `security_token` if temporary, or a finished `auth_token`.

    `source` says where they were found and is all that `repr` shows; `project_id` may be empty.
    """

    access_key: str
    secret_key: str
    security_token: str = ""
    auth_token: str = ""
    source: str = ""
    project_id: str = ""

    def __repr__(self) -> str:
        """Only where they came from: the rest is secret."""
        return f"Credentials(source={self.source!r})"

    def secrets(self) -> tuple[str, ...]:
        """The texts that must never be shown, for redaction; the access key counts as one."""
        found = (self.access_key, self.secret_key, self.security_token, self.auth_token)
        return tuple(secret for secret in found if secret)


def load_credentials(account: str, environment: Mapping[str, str], home: Path) -> Credentials:
    """The credentials of an account; `default` may have them in the environment, others in the profile file.

    For `default`, first found wins: `HW_AUTH_TOKEN`, `HUAWEICLOUD_SDK_AK`/`_SK`, `CLOUD_SDK_AK`/`_SK`,
    `HW_ACCESS_KEY`/`HW_SECRET_KEY`, then section `[basic]` of the profile file. Any other account is the
    section of its name. Raises `CredentialsError` for half a pair or nothing, naming all that was looked at.
    """
    path = profile_path(environment, home)
    if account != DEFAULT_ACCOUNT:
        return _from_profile(account, account, path, looked_at=())
    found = _from_environment(environment)
    if found is not None:
        return found
    looked_at = (TOKEN_VARIABLE, *(f"{access}/{secret}" for access, secret, _ in _PAIRS))
    project_id = project_id_from(environment)
    return _from_profile(account, _PROFILE_SECTION, path, looked_at=looked_at, project_id=project_id)


def project_id_from(environment: Mapping[str, str], section: Mapping[str, str] | None = None) -> str:
    """The project id that the environment or else the profile section names; empty when neither does.

    Raises `CredentialsError` where it is not 32 hex digits.
    """
    found = environment.get(PROJECT_VARIABLE, "").strip()
    where = f"`{PROJECT_VARIABLE}`"
    if not found and section is not None:
        found = section.get("project_id", "").strip()
        where = "`project_id` in the profile file"
    if found and _PROJECT_ID.fullmatch(found) is None:
        raise CredentialsError(
            f"{where} is not a project id", hint="a project id is 32 lower-case hex digits, without dashes"
        )
    return found


def profile_path(environment: Mapping[str, str], home: Path) -> Path:
    """Where the profile file is looked for; a leading `~` means `home`."""
    named = environment.get(PROFILE_VARIABLE, "").strip()
    if not named:
        return home / ".huaweicloud" / "credentials"
    return home / named[2:] if named.startswith("~/") else Path(named)


def _from_environment(environment: Mapping[str, str]) -> Credentials | None:
    token = environment.get(TOKEN_VARIABLE, "").strip()
    if token:
        _check_header_safe(TOKEN_VARIABLE, token)
        return Credentials("", "", auth_token=token, source=TOKEN_VARIABLE, project_id=project_id_from(environment))
    for access_name, secret_name, temporary_name in _PAIRS:
        access = environment.get(access_name, "").strip()
        secret = environment.get(secret_name, "").strip()
        if not access and not secret:
            continue
        if not access or not secret:
            there, missing = (access_name, secret_name) if access else (secret_name, access_name)
            raise CredentialsError(
                f"half a key pair: `{there}` is set and `{missing}` is not",
                hint=f"set `{missing}`, or unset `{there}` to use another source",
            )
        temporary = environment.get(temporary_name, "").strip() if temporary_name else ""
        _check_header_safe(access_name, access)
        _check_header_safe(temporary_name, temporary)
        return Credentials(
            access,
            secret,
            security_token=temporary,
            source=f"{access_name}/{secret_name}",
            project_id=project_id_from(environment),
        )
    return None


def _from_profile(
    account: str, section: str, path: Path, *, looked_at: tuple[str, ...], project_id: str = ""
) -> Credentials:
    values = _read_section(path, section)
    where = f"[{section}] in {path}"
    access, secret = (values.get(key, "").strip() for key in ("ak", "sk"))
    if bool(access) != bool(secret):
        there, missing = ("ak", "sk") if access else ("sk", "ak")
        raise CredentialsError(
            f"half a key pair: {where} has `{there}` and no `{missing}`",
            hint=f"add `{missing}` to that section",
        )
    if not access:
        tried = ", ".join((*looked_at, where))
        raise CredentialsError(
            f"no credentials for account `{account}`; looked at: {tried}",
            hint="set `HUAWEICLOUD_SDK_AK` and `HUAWEICLOUD_SDK_SK`, or try `--emulator`, which needs none"
            if account == DEFAULT_ACCOUNT
            else f"add a section `[{section}]` with `ak` and `sk` to {path}",
        )
    temporary = values.get("security_token", "").strip()
    _check_header_safe(f"{where}: ak", access)
    _check_header_safe(f"{where}: security_token", temporary)
    return Credentials(
        access,
        secret,
        security_token=temporary,
        source=where,
        project_id=project_id or project_id_from({}, values),
    )


def _read_section(path: Path, section: str) -> Mapping[str, str]:
    """The keys of a section; none where file or section is missing. The file's content is never quoted."""
    try:
        with path.open("rb") as file:
            content = file.read(PROFILE_BYTES_MAX + 1)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise CredentialsError(
            f"cannot read the profile file {path}: {error.strerror}", hint="check its permissions"
        ) from error
    parser = configparser.ConfigParser(interpolation=None)
    try:
        if len(content) > PROFILE_BYTES_MAX:
            raise ValueError
        parser.read_string(content.decode("utf-8-sig"))
    except (ValueError, configparser.Error):
        # Without its cause: both kinds of error quote the file.
        raise CredentialsError(
            f"the profile file {path} is not a valid INI file", hint="it should hold `[basic]`, `ak = ...`, `sk = ...`"
        ) from None
    return dict(parser[section]) if parser.has_section(section) else {}


def _check_header_safe(name: str, value: str) -> None:
    if _HEADER_SAFE.fullmatch(value) is None:
        raise CredentialsError(
            f"`{name}` holds a character that no header can carry", hint="copy the value again, without line breaks"
        )
