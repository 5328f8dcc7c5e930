"""Settings are read once, from flags over environment over file over default, into one frozen model (`settings`).

Every key stands in a section. A file writes `[run]` `rate = "5/s"`, the environment `BATCHER_RUN_RATE=5/s`. Below
this file nothing reads the environment; each part gets its own small policy.
"""

import difflib
import json
import shlex
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from batcher.errors import ConfigError
from batcher.ownership import why_not_ours
from batcher.policy.variables import check_variables
from batcher.settings import Section, Settings

FILE_NAME = "batcher.toml"
FILE_BYTES_MAX = 1 << 20
"""Of a settings file: a thousand times a usual one. What is larger is another file, or never ends."""
MESSAGE_CHARS_MAX = 500
"""Of what is wrong with a value, which may repeat it."""
PATHS = frozenset({("cloud", "ca_file"), ("credentials", "profile_file"), ("ledger", "path"), ("report", "directory")})
"""Settings whose value may be no text: the name of a file is bytes."""

WAYS = frozenset({"cloud", "credentials"})
"""Sections that say where calls and keys go."""


Values = dict[str, dict[str, Any]]


class Configuration:
    """The settings, where the value of each (section, key) came from, the `file` that was read; `found`: unnamed."""

    def __init__(
        self,
        settings: Settings,
        origins: Mapping[tuple[str, str], str],
        *,
        file: Path | None = None,
        found: Path | None = None,
    ) -> None:
        self.settings = settings
        self.origins = origins
        self.file = file
        self.found = found

    @property
    def file_line(self) -> str:
        """Which settings file was read, for people."""
        if self.file is None:
            return "settings file = none  (not named, and none found)"
        return f"settings file = {self.file}  ({'found' if self.found else '--config'})"

    @property
    def found_ways(self) -> list[str]:
        """The settings of a found file that say where calls and keys go, as `section.key`, as far as they hold."""
        of_file = (key for key, origin in self.origins.items() if self.found and origin == str(self.found))
        return [f"{section}.{key}" for section, key in of_file if section in WAYS]

    def lines(self) -> list[str]:
        """The file that was read, and every setting as `section.key = value  (origin)`, in the order of the papers."""
        values = self.settings.model_dump(mode="json", exclude_none=False)
        return [
            self.file_line,
            *(
                f"{section}.{key} = {json.dumps(values[section][key])}  ({self.origins.get((section, key), 'default')})"
                for section, key in all_keys()
            ),
        ]


def all_keys() -> list[tuple[str, str]]:
    """(section, key) of every setting."""
    return [(section, key) for section, model in _sections().items() for key in model.model_fields]


def _sections() -> dict[str, type[Section]]:
    return {name: field.annotation for name, field in Settings.model_fields.items()}  # type: ignore[misc]


def load_settings(
    flags: Values, environment: Mapping[str, str], file: Path | None, *, found: bool = False
) -> Configuration:
    """Merge the layers. `file` None: none is read. `found`: nobody has named it, so it must be ours.

    Raises `ConfigError` that names the place.
    """
    if found and file is not None:
        _check_ours(file)
    merged: Values = {}
    origins: dict[tuple[str, str], str] = {}
    layers = [
        (str(file), _beside(file, _from_file(file))),
        ("environment", _from_environment(environment)),
        ("flag", flags),
    ]
    for origin, values in layers:
        for section, keys in values.items():
            for key, value in keys.items():
                if (section, key) not in PATHS and _is_no_text(value):
                    raise ConfigError(f"`{section}.{key}` ({origin}) holds bytes that are no text", hint="write UTF-8")
                merged.setdefault(section, {})[key] = value
                origins[(section, key)] = origin
    try:
        settings = Settings.model_validate(merged)
    except ValidationError as error:
        raise _explain(error, origins) from None
    check_variables(environment, all_keys(), _named_variables(settings))
    return Configuration(settings, origins, file=file, found=file if found else None)


def _named_variables(settings: Settings) -> set[str]:
    """The variables of which the settings say that they hold keys: they may be called anything."""
    return {str(value) for key, value in settings.credentials if key.endswith("_variable")}


def _check_ours(file: Path) -> None:
    """Raise for a file that was found and that somebody else may have written: he would get what it asks for, such as
    the value of any variable at any address.
    """
    try:
        reason = why_not_ours(file)
    except OSError as error:
        raise ConfigError(f"the settings file `{file}` cannot be looked at: {error.strerror}") from None
    if reason:
        raise ConfigError(
            f"the settings file `{file}` was found, and is not used: {reason}",
            hint=f"`--config {shlex.quote(str(file))}` uses it all the same, `--config /dev/null` goes without; or make"
            " it and its folder yours alone (`chown`, `chmod go-w`)",
        )


def _from_file(file: Path | None) -> Values:
    if file is None:
        return {}
    try:
        with file.open("rb") as opened:
            content = opened.read(FILE_BYTES_MAX + 1)
        if len(content) > FILE_BYTES_MAX:
            raise ConfigError(
                f"the settings file `{file}` is larger than {FILE_BYTES_MAX:,} bytes", hint="name another"
            )
        values = tomllib.loads(content.decode("utf-8"))
    except (OSError, ValueError) as error:  # numbers of too many digits are no TOMLDecodeError
        raise ConfigError(f"the settings file `{file}` cannot be read: {_cut(str(error))}") from None
    except RecursionError:
        raise ConfigError(f"the settings file `{file}` cannot be read: it is nested too deep") from None
    for section, keys in values.items():
        if not isinstance(keys, dict):
            raise ConfigError(f"`{section}` in `{file}` stands in no section", hint=f"sections: {_known(_sections())}")
    return values


def _from_environment(environment: Mapping[str, str]) -> Values:
    values: Values = {}
    for variable, text in environment.items():
        prefix, _, rest = variable.partition("_")
        section, _, key = rest.lower().partition("_")
        if prefix == "BATCHER" and section in _sections() and key:
            is_json = text.startswith(("{", "["))
            try:
                values.setdefault(section, {})[key] = json.loads(text) if is_json else text
            except (ValueError, RecursionError) as error:
                raise ConfigError(f"`{variable}` holds broken JSON: {_cut(str(error))}") from None
    return values


def _beside(file: Path | None, values: Values) -> Values:
    """A file's settings, in which the relative name of a file counts from the file's own folder."""
    for section, key in PATHS:
        name = values.get(section, {}).get(key)
        if file is not None and isinstance(name, str) and name and "://" not in name and not name.startswith("~"):
            values[section][key] = str(file.parent / name)
    return values


def _is_no_text(value: object) -> bool:
    """Whether half a surrogate pair is in a value: bytes of a flag or a variable that are not UTF-8."""
    try:
        (value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)).encode()
    except UnicodeEncodeError:
        return True
    return False


def _cut(text: str) -> str:
    return text if len(text) <= MESSAGE_CHARS_MAX else text[:MESSAGE_CHARS_MAX] + "..."


def _explain(error: ValidationError, origins: Mapping[tuple[str, str], str]) -> ConfigError:
    item = error.errors(include_url=False)[0]
    path = [str(part) for part in item["loc"]]
    section, key = (*path, "", "")[:2]
    origin = origins.get((section, key), "settings")
    if item["type"] == "extra_forbidden":
        if len(path) > 2:
            return ConfigError(f"there is no setting `{_cut('.'.join(path))}` ({origin})")
        known = _sections()[section].model_fields if section in _sections() else _sections()
        wrong = key or section
        near = difflib.get_close_matches(wrong, list(known), n=1)
        hint = f"did you mean `{near[0]}`?" if near else f"there are: {_known(known)}"
        name = _cut(f"{section}{'.' if key else ''}{key}")
        return ConfigError(f"there is no setting `{name}` ({origin})", hint=hint)
    if path and path[-1].isdecimal():  # one of several values: the message shows which
        path.pop()
    said = "must be text: write it in quotes" if item["type"] == "string_type" else str(item["msg"])
    message = _cut(said.removeprefix("Value error, "))
    return ConfigError(f"`{_cut('.'.join(path))}` ({origin}): {message[:1].lower()}{message[1:]}")


def _known(names: Mapping[str, object]) -> str:
    return ", ".join(f"`{name}`" for name in names)
