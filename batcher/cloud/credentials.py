"""Who we are to the provider: keys or a token, found in the environment or in the profile file.

The first source that has anything wins, and a half pair there ends the search: going on would send one
account's work with another's keys. The project id is taken from the source that the keys came from, or from
`HUAWEICLOUD_SDK_PROJECT_ID`. Nothing here puts a secret into a message: not in a `repr`, not in an error,
and not in the cause of one. What runs for hours asks `keyring.Keyring`, which renews what it found here.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from batcher.cloud.profile import ProfileFile
from batcher.errors import CredentialsError

DEFAULT_ACCOUNT = "default"
PROFILE_VARIABLE = "HUAWEICLOUD_SDK_CREDENTIALS_FILE"
PROJECT_VARIABLE = "HUAWEICLOUD_SDK_PROJECT_ID"
TOKEN_VARIABLE = "HW_AUTH_TOKEN"  # noqa: S105 - the name of a variable

_PROFILE_SECTION = "basic"
_HEADER_SAFE = re.compile(r"[\x21-\x7e]*")
_PROJECT_ID = re.compile(r"[0-9a-f]{32}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_LIKE_A_KEY = re.compile(r"[A-Za-z0-9]{20,}")
"""Access keys are 20 letters and digits, secret keys 40; names of variables of that length have a `_`."""


@dataclass(frozen=True, slots=True, repr=False)
class Credentials:
    """What proves who asks: a key pair, with `security_token` if temporary, or a finished `auth_token`.

    `source` says where they were found and is all that `repr` shows; `project_id` may be empty. `expires_at` is
    in seconds since the epoch, None where the source does not say.
    """

    access_key: str
    secret_key: str
    security_token: str = ""
    auth_token: str = ""
    source: str = ""
    project_id: str = ""
    expires_at: float | None = None

    def __repr__(self) -> str:
        """Only where they came from: the rest is secret."""
        return f"Credentials(source={self.source!r})"

    def secrets(self) -> tuple[str, ...]:
        """The texts that must never be shown, for redaction; the access key counts as one."""
        found = (self.access_key, self.secret_key, self.security_token, self.auth_token)
        return tuple(secret for secret in found if secret)


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialOptions:
    """Where else to look, as the user named it: variables for the default account, and the profile file.

    A variable is named and never its value. An empty `profile_file` stands for the file that
    `HUAWEICLOUD_SDK_CREDENTIALS_FILE` names, else `~/.huaweicloud/credentials`.
    """

    access_key_variable: str = ""
    secret_key_variable: str = ""
    security_token_variable: str = ""
    auth_token_variable: str = ""
    profile_file: str = ""


NO_OPTIONS = CredentialOptions()


class _Variables(NamedTuple):
    """One source in the environment: the name of a token's variable, or those of a key pair."""

    token: str = ""
    access: str = ""
    secret: str = ""
    temporary: str = ""

    @property
    def name(self) -> str:
        return self.token or f"{self.access}/{self.secret}"


_KNOWN = (
    _Variables(token=TOKEN_VARIABLE),
    _Variables("", "HUAWEICLOUD_SDK_AK", "HUAWEICLOUD_SDK_SK", "HUAWEICLOUD_SDK_SECURITY_TOKEN"),
    _Variables("", "CLOUD_SDK_AK", "CLOUD_SDK_SK"),
    _Variables("", "HW_ACCESS_KEY", "HW_SECRET_KEY", "HW_SECURITY_TOKEN"),
)


def load_credentials(
    account: str, environment: Mapping[str, str], home: Path, options: CredentialOptions = NO_OPTIONS
) -> Credentials:
    """The credentials of an account; `default` may have them in the environment, others in the profile file.

    For `default`, first found wins: the variables that `options` name, `HW_AUTH_TOKEN`, `HUAWEICLOUD_SDK_AK`/`_SK`,
    `CLOUD_SDK_AK`/`_SK`, `HW_ACCESS_KEY`/`HW_SECRET_KEY`, then section `[basic]` of the profile file. Any other
    account is the section of its name. A variable of blanks counts as unset. Raises `CredentialsError` for half a
    pair or nothing, naming all that was looked at.
    """
    found = find_credentials(account, environment, home, options)
    if found is None:
        path = profile_path(environment, home, options)
        raise nothing_found(account, path, places(account, path, options))
    return found


def find_credentials(
    account: str, environment: Mapping[str, str], home: Path, options: CredentialOptions = NO_OPTIONS
) -> Credentials | None:
    """As `load_credentials`, but None where nothing at all was found; half a pair still raises."""
    found = from_environment(account, environment, options)
    if found is not None:
        return found
    return from_profile(account, environment, profile_file(environment, home, options))


def places(account: str, path: Path, options: CredentialOptions = NO_OPTIONS) -> tuple[str, ...]:
    """Where `load_credentials` looks for an account's credentials, in order; `path` is the profile file's.

    Raises `CredentialsError` for options that name variables in part.
    """
    known = (*_named(options), *_KNOWN) if account == DEFAULT_ACCOUNT else ()
    return (*(variables.name for variables in known), _place(account, path))


def nothing_found(account: str, path: Path, looked_at: Sequence[str]) -> CredentialsError:
    """The error for an account without credentials, for the caller to raise; `path` is the profile file's."""
    return CredentialsError(
        f"no credentials for account `{account}`; looked at: {', '.join(looked_at)}",
        hint="set `HUAWEICLOUD_SDK_AK` and `HUAWEICLOUD_SDK_SK`, or try `--emulator`, which needs none"
        if account == DEFAULT_ACCOUNT
        else f"add a section `[{account}]` with `ak` and `sk` to {path}",
    )


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


def profile_path(environment: Mapping[str, str], home: Path, options: CredentialOptions = NO_OPTIONS) -> Path:
    """Where the profile file is looked for; a leading `~` means `home`."""
    named = _named_profile(environment, options)
    if not named:
        return home / ".huaweicloud" / "credentials"
    return home / named[2:] if named.startswith("~/") else Path(named)


def profile_file(environment: Mapping[str, str], home: Path, options: CredentialOptions = NO_OPTIONS) -> ProfileFile:
    """The profile file; one that nobody has named must be ours."""
    return ProfileFile(profile_path(environment, home, options), found=not _named_profile(environment, options))


def _named_profile(environment: Mapping[str, str], options: CredentialOptions) -> str:
    return options.profile_file.strip() or environment.get(PROFILE_VARIABLE, "").strip()


def from_environment(
    account: str, environment: Mapping[str, str], options: CredentialOptions = NO_OPTIONS
) -> Credentials | None:
    """The first credentials in the environment; None where there are none and for any account but `default`.

    Raises `CredentialsError` for half a pair, for a value that no header can carry, and for options that name
    variables in part.
    """
    if account != DEFAULT_ACCOUNT:
        return None
    named = _named(options)
    for variables in (*named, *_KNOWN):
        token, access, secret, temporary = (environment.get(name, "").strip() if name else "" for name in variables)
        if not (token or access or secret):
            if named and variables is named[-1]:
                raise CredentialsError(
                    f"`{' or '.join(one.name for one in named)}` was named as the source of credentials and is not set",
                    hint="set it, or do not name it to use another source",
                )
            continue
        if not token and not (access and secret):
            pair = (variables.access, variables.secret)
            there, missing = pair if access else reversed(pair)
            raise CredentialsError(
                f"half a key pair: `{there}` is set and `{missing}` is not",
                hint=f"set `{missing}`, or unset `{there}` to use another source",
            )
        if any("\ud800" <= character <= "\udfff" for character in secret):
            raise CredentialsError(
                f"`{variables.secret}` holds bytes that are no text", hint="copy the value again, as UTF-8"
            )
        # What is signed with and never sent, the secret key, may hold any character.
        for name, value in ((variables.token, token), (variables.access, access), (variables.temporary, temporary)):
            check_header_safe(name, value)
        return Credentials(
            access,
            secret,
            security_token="" if token else temporary,
            auth_token=token,
            source=variables.name,
            project_id=project_id_from(environment),
        )
    return None


def from_profile(
    account: str, environment: Mapping[str, str], profile: ProfileFile, *, again: bool = False
) -> Credentials | None:
    """An account's credentials in the profile file; None where its section has none.

    `again` reads the file even if it looks unchanged. Raises `CredentialsError` for half a pair, for a pair beside
    a token, for a value that no header can carry, and for a file that cannot be read.
    """
    section = _section(account)
    values = profile.sections(again=again).get(section, {})
    where = _place(account, profile.path)
    access, secret, temporary, token = (
        values.get(key, "").strip() for key in ("ak", "sk", "security_token", "auth_token")
    )
    if bool(access) != bool(secret):
        there, missing = ("ak", "sk") if access else ("sk", "ak")
        raise CredentialsError(
            f"half a key pair: {where} has `{there}` and no `{missing}`",
            hint=f"add `{missing}` to that section",
        )
    if token and access:
        raise CredentialsError(f"{where} has both `auth_token` and a key pair", hint="keep one of them")
    if not (token or access):
        return None
    for key, value in (("ak", access), ("security_token", temporary), ("auth_token", token)):
        check_header_safe(f"{where}: {key}", value)
    return Credentials(
        access,
        secret,
        security_token="" if token else temporary,
        auth_token=token,
        source=where,
        project_id=project_id_from(environment if account == DEFAULT_ACCOUNT else {}, values),
    )


def check_header_safe(name: str, value: str) -> None:
    """Raise `CredentialsError` for a value that no header can carry; the message has its name only."""
    if _HEADER_SAFE.fullmatch(value) is None:
        raise CredentialsError(
            f"`{name}` holds a character that no header can carry", hint="copy the value again, without line breaks"
        )


def check_options(options: CredentialOptions) -> None:
    """Raise `CredentialsError` for half a pair of names, and for what is no name and may be the secret itself."""
    _named(options)


def _named(options: CredentialOptions) -> tuple[_Variables, ...]:
    """The sources that the user named, the token first. Raises `CredentialsError` for half a pair of names."""
    named: dict[str, str] = {}
    for option in ("auth_token", "access_key", "secret_key", "security_token"):
        name = getattr(options, f"{option}_variable").strip()
        if name and (_VARIABLE.fullmatch(name) is None or _LIKE_A_KEY.fullmatch(name) is not None):
            # Without the name: it may be the secret itself.
            raise CredentialsError(
                f"`{option}_variable` does not hold the name of an environment variable",
                hint="give the variable's name there and never the secret itself",
            )
        named[option] = name
    token, access, secret, temporary = named.values()
    if bool(access) != bool(secret) or (temporary and not access):
        missing = "access_key_variable" if not access else "secret_key_variable"
        raise CredentialsError(
            f"variables for a key pair are named in part: `{missing}` is missing", hint=f"set `{missing}` too"
        )
    found = (_Variables(token=token), _Variables("", access, secret, temporary))
    return tuple(variables for variables in found if variables.token or variables.access)


def _section(account: str) -> str:
    return _PROFILE_SECTION if account == DEFAULT_ACCOUNT else account


def _place(account: str, path: Path) -> str:
    return f"[{_section(account)}] in {path}"
