"""Settings: read once, from flags over environment over file over default, into one frozen model.

Every key stands in a section. A file writes `[run]` `rate = "5/s"`, the environment `BATCHER_RUN_RATE=5/s`. Below
this file nothing reads the environment; each part gets its own small policy.
"""

import difflib
import json
import shlex
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from batcher.errors import ConfigError
from batcher.ownership import why_not_ours
from batcher.policy.deadline import parse_clock
from batcher.policy.pace import AUTO, parse_duration, parse_rate
from batcher.policy.threshold import parse_tolerance
from batcher.policy.variables import check_variables

FILE_NAME = "batcher.toml"
FILE_BYTES_MAX = 1 << 20
"""Of a settings file: a thousand times a usual one. What is larger is another file, or never ends."""
MESSAGE_CHARS_MAX = 500
"""Of what is wrong with a value, which may repeat it."""
PATHS = frozenset({("cloud", "ca_file"), ("credentials", "profile_file"), ("ledger", "path"), ("report", "directory")})
"""Settings whose value may be no text: the name of a file is bytes."""

WAYS = frozenset({"cloud", "credentials"})
"""Sections that say where calls and keys go."""


def _checked(check: Callable[[str], object]) -> AfterValidator:
    """A text that `check` can read."""

    def read(text: str) -> str:
        check(text)
        return text

    return AfterValidator(read)


def _rate_or_auto(text: str) -> object:
    return text if text == AUTO else parse_rate(text)


Rate = Annotated[str, _checked(parse_rate)]
RateOrAuto = Annotated[str, _checked(_rate_or_auto)]
ToleranceText = Annotated[str, _checked(parse_tolerance)]
DurationText = Annotated[str, _checked(parse_duration)]
ClockText = Annotated[str, _checked(parse_clock)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]


class Section(BaseModel):
    """A section of the settings: unknown keys are refused, values are fixed once read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class RegionEndpoints(Section):
    """The base URLs of one region, where they are not the provider's own."""

    er: str | None = Field(None, description="of Enterprise Router")
    iam: str | None = Field(None, description="of the identity service")
    lts: str | None = Field(None, description="of the log service")


class ErrorEntry(Section):
    """What a refusal means, over or beside the built-in table of errors."""

    status: int = Field(description="HTTP status")
    code: str = Field("", max_length=64, description="the provider's code; empty: an answer without one")
    kind: Literal["transient", "throttled", "exists", "permanent"]
    stops: Literal["row", "attachment", "router", "project", "account", "run"] | None = Field(
        None, description="what stops; if absent what the built-in table says, or the row"
    )
    advice: str = Field("", max_length=300, description="what to do about it")
    ambiguous: bool | None = Field(None, description="it may have taken effect all the same")
    definitive: bool | None = Field(None, description="the token is spent")


class CloudSettings(Section):
    """Where the provider is, how to get there, how long to wait for it, and what its errors mean."""

    endpoint: str | None = Field(None, description="base URL of Enterprise Router; may hold `{region}`")
    iam_endpoint: str | None = Field(None, description="base URL of the identity service; may hold `{region}`")
    lts_endpoint: str | None = Field(None, description="base URL of the log service; may hold `{region}`")
    regions: dict[str, RegionEndpoints] = Field(
        default_factory=dict, description="base URLs by region: `er`, `iam` and `lts`; they win over those above"
    )
    proxy: str | None = Field(None, description="proxy; `none` for none; if absent `HTTPS_PROXY` and `NO_PROXY` hold")
    ca_file: str | None = Field(None, description="PEM file of a private CA, trusted beside the system's")
    errors: tuple[ErrorEntry, ...] = Field((), description="entries over the table of errors")
    connect_timeout_s: float = Field(10.0, gt=0, le=300, description="time to reach the provider, seconds")
    answer_timeout_s: float = Field(30.0, gt=0, le=600, description="time for a whole answer, seconds")


class CredentialSettings(Section):
    """Where the credentials are found. Names and places only: a secret never stands in settings."""

    access_key_variable: str = Field("", description="environment variable that holds the access key")
    secret_key_variable: str = Field("", description="environment variable that holds the secret key")
    security_token_variable: str = Field("", description="environment variable that holds the security token")
    auth_token_variable: str = Field("", description="environment variable that holds a token, instead of keys")
    profile_file: str = Field("", description="profile file, instead of `~/.huaweicloud/credentials`")
    metadata: bool = Field(True, description="ask the ECS metadata service where no other source has any")
    metadata_endpoint: str = Field("http://169.254.169.254", description="base URL of that service")


class DefaultSettings(Section):
    """What fills an absent cell of a row."""

    account: str | None = Field(None, description="credentials profile")
    region: str | None = Field(None, description="region")
    project_id: str | None = Field(None, description="project id")
    er_id: str | None = Field(None, description="router id")
    log_group_id: str | None = Field(None, description="LTS log group id")
    log_stream_id: str | None = Field(None, description="LTS log stream id")
    description: str | None = Field(None, description="description of the flow log")
    enabled: str | None = Field(None, description="whether the flow log is on")
    name_template: str = Field("flow-log-{resource_id}", description="the name of a row without one")


class InventorySettings(Section):
    """How the inventory is read."""

    input_format: Literal["csv", "json", "jsonl"] | None = Field(None, description="instead of what the file shows")
    encoding: str = Field("utf-8", description="of the file's text: a Python codec")
    map: dict[str, str] = Field(default_factory=dict, description="column = header in the file")
    strict: bool = Field(False, description="stop before the first call if any row is invalid")


class RunSettings(Section):
    """How the work is done."""

    rate: RateOrAuto = Field(
        "10/s", description="most calls in a time, for each account, region and project; `auto` finds it"
    )
    reserve: int = Field(0, ge=0, description="calls of each window of the rate that are left to other clients")
    jitter_s: float = Field(0.05, ge=0, le=60, description="how much the way to the provider varies, seconds")
    concurrency: int = Field(
        64, ge=1, le=512, description="most rows side by side, for each account, region and project"
    )
    max_failures: ToleranceText | None = Field(
        None, description="failed rows after which a run stops, a number or a share; if absent 50% of at least 1,000"
    )
    until: ClockText | None = Field(None, description="time of day at which a run stops")
    time: DurationText | None = Field(None, description="time after which a run stops, as `6h`")
    wait_lock: bool = Field(False, description="wait for another run that holds the ledger")
    reconcile: Literal["auto", "always", "never"] = Field("auto", description="read what is there before sending")
    fix_drift: bool = Field(False, description="put right what is there otherwise than wished")
    preflight: bool = Field(False, description="check attachments, log groups and streams before sending")
    verify: bool = Field(True, description="follow accepted rows until they are available")
    verify_time_s: float = Field(300.0, ge=0, le=86_400, description="how long to follow them, seconds")
    attempts_max: int = Field(8, ge=1, le=100, description="sends of one row before it is given up")
    retry_time_s: float = Field(
        900.0, ge=0, le=86_400, description="time for all attempts of one row, and for a service that fails, seconds"
    )
    backoff_base_s: float = Field(0.5, gt=0, le=60, description="ceiling of the first wait between attempts, seconds")
    backoff_cap_s: float = Field(30.0, gt=0, le=3600, description="ceiling of every wait between attempts, seconds")
    listing_lag_s: float = Field(
        120.0,
        ge=0,
        le=3600,
        description="how long a listing may lack what was made, and show what was deleted, seconds",
    )
    stop_time_s: float = Field(8.0, gt=0, le=3600, description="how long a stop waits for answers, seconds")
    token_lifetime_s: float = Field(28_800.0, gt=0, description="how long the provider remembers a token, seconds")


class LedgerSettings(Section):
    """Where the truth is kept."""

    path: str | None = Field(None, description="ledger file; `ledger.db` in the reports' directory if absent")


class ReportSettings(Section):
    """What is written for people and programs."""

    directory: str = Field("reports", description="where each run has a folder")
    formats: tuple[Literal["csv", "jsonl"], ...] = Field(("csv", "jsonl"), description="which reports to write")


class EmulatorSection(Section):
    """How the embedded emulator behaves under `--emulator`."""

    pending_s: float = Field(0.0, ge=0, description="how long a new flow log stays `pending`, seconds")
    listing_lag_s: float = Field(0.0, ge=0, description="how long a listing does not show a new flow log, seconds")
    delete_lag_s: float = Field(0.0, ge=0, description="how long a listing still shows a deleted one, seconds")
    tombstones: bool = Field(False, description="deleted ones stay in listings, as `deleted`")
    unique: bool = Field(True, description="one flow log for an attachment, log group and stream")
    date_shift_s: float = Field(
        0.0, ge=-1e8, le=1e8, description="added to the time at which a flow log says that it was made, seconds"
    )
    token_lifetime_s: float = Field(28_800.0, ge=0, description="how long a token can be repeated, seconds")
    remember_tokens: bool = Field(True, description="repeated tokens are answered as the first time")
    throttle: Rate | None = Field(None, description="its rate limit, for each project")
    quota: int = Field(-1, ge=-1, description="flow logs of a project; -1 is no limit")
    latency_s: float = Field(0.0, ge=0, le=60, description="time added to every answer, seconds")
    refused_before: Share = Field(0.0, description="share of creates refused with 503, nothing done")
    error_after: Share = Field(0.0, description="share of creates done, and answered with 500")
    lost_after: Share = Field(0.0, description="share of creates done, and not answered")
    truncated_after: Share = Field(0.0, description="share of creates done, and answered by half")
    seed: int = Field(0, description="of its chances")


class Settings(Section):
    """All settings of a command."""

    cloud: CloudSettings = CloudSettings()
    credentials: CredentialSettings = CredentialSettings()
    defaults: DefaultSettings = DefaultSettings()
    inventory: InventorySettings = InventorySettings()
    run: RunSettings = RunSettings()
    ledger: LedgerSettings = LedgerSettings()
    report: ReportSettings = ReportSettings()
    emulator: EmulatorSection = EmulatorSection()

    @property
    def finds_ledger(self) -> bool:
        """Whether nobody has named the ledger or its folder: then it is found where ledgers are."""
        return self.ledger.path is None and "directory" not in self.report.model_fields_set


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
    layers = [(str(file), _from_file(file)), ("environment", _from_environment(environment)), ("flag", flags)]
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
    message = _cut(str(item["msg"]).removeprefix("Value error, "))
    return ConfigError(f"`{_cut('.'.join(path))}` ({origin}): {message[:1].lower()}{message[1:]}")


def _known(names: Mapping[str, object]) -> str:
    return ", ".join(f"`{name}`" for name in names)
