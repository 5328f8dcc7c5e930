"""The settings there are: one frozen model, a section each, with the range and the unit of every value.

Where they are written and which wins is the business of `config`. Each part gets its own small policy; nothing below
gets them all.
"""

from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from batcher.policy.deadline import parse_clock, parse_zone
from batcher.policy.pace import AUTO, parse_duration, parse_rate
from batcher.policy.threshold import parse_tolerance
from batcher.policy.values import number_of, seconds_of, text_of, whole_of


def _checked(check: Callable[[str], object]) -> AfterValidator:
    """A text that `check` can read."""

    def read(text: str) -> str:
        check(text)
        return text

    return AfterValidator(read)


def _rate_or_auto(text: str) -> object:
    return text if text == AUTO else parse_rate(text)


_Written = BeforeValidator(text_of)
Rate = Annotated[str, _Written, _checked(parse_rate)]
RateOrAuto = Annotated[str, _Written, _checked(_rate_or_auto)]
ToleranceText = Annotated[str, _Written, _checked(parse_tolerance)]
DurationText = Annotated[str, _Written, _checked(parse_duration)]
ClockText = Annotated[str, _Written, _checked(parse_clock)]
ZoneText = Annotated[str, _checked(parse_zone)]
FlagText = Annotated[str, _Written]
Seconds = Annotated[float, BeforeValidator(seconds_of)]
Whole = Annotated[int, BeforeValidator(whole_of)]
Share = Annotated[float, BeforeValidator(number_of), Field(ge=0.0, le=1.0)]


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

    status: Whole = Field(ge=100, le=599, description="HTTP status")
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
    connect_timeout_s: Seconds = Field(10.0, gt=0, le=300, description="time to reach the provider, seconds")
    answer_timeout_s: Seconds = Field(30.0, gt=0, le=600, description="time for a whole answer, seconds")


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
    enabled: FlagText | None = Field(None, description="whether the flow log is on")
    name_template: str = Field("flow-log-{resource_id}", description="the name of a row without one")


class InventorySettings(Section):
    """How the inventory is read."""

    input_format: Literal["csv", "json", "jsonl"] | None = Field(None, description="instead of what the file shows")
    encoding: str = Field("utf-8", description="of the file's text: a Python codec")
    map: dict[str, str] = Field(default_factory=dict, description="column = header in the file")
    strict: bool = Field(False, description="stop before the first call if any row is invalid")
    allow_empty: bool = Field(False, description="an inventory without a row is no error")
    max_gone: ToleranceText | None = Field(
        None,
        description="rows that the last run of this name had and that may be gone, a number or a share; if absent 50%"
        " of at least 20",
    )


class RunSettings(Section):
    """How the work is done."""

    rate: RateOrAuto = Field(
        "10/s", description="most calls in a time, for each account, region and project; `auto` finds it"
    )
    reserve: Whole = Field(
        0, ge=0, le=1_000_000, description="calls of each window of the rate that are left to other clients"
    )
    jitter_s: Seconds = Field(0.05, ge=0, le=60, description="how much the way to the provider varies, seconds")
    concurrency: Whole = Field(
        64, ge=1, le=512, description="most rows side by side, for each account, region and project"
    )
    max_failures: ToleranceText | None = Field(
        None, description="failed rows after which a run stops, a number or a share; if absent 50% of at least 1,000"
    )
    until: ClockText | None = Field(None, description="time of day at which a run stops")
    time_zone: ZoneText | None = Field(
        None, description="time zone of `until`, such as `Europe/Berlin`; if absent that of this machine"
    )
    time: DurationText | None = Field(None, description="time after which a run stops, as `6h`")
    wait_lock: bool = Field(False, description="wait for another run that holds the ledger")
    reconcile: Literal["auto", "always", "never"] = Field("auto", description="read what is there before sending")
    fix_drift: bool = Field(False, description="put right what is there otherwise than wished")
    preflight: bool = Field(False, description="check attachments, log groups and streams before sending")
    verify: bool = Field(True, description="follow accepted rows until they are available")
    verify_time_s: Seconds = Field(300.0, ge=0, le=86_400, description="how long to follow them, seconds")
    attempts_max: Whole = Field(8, ge=1, le=100, description="sends of one row before it is given up")
    retry_time_s: Seconds = Field(
        900.0, ge=0, le=86_400, description="time for all attempts of one row, and for a service that fails, seconds"
    )
    backoff_base_s: Seconds = Field(0.5, gt=0, le=60, description="ceiling of the first wait between attempts, seconds")
    backoff_cap_s: Seconds = Field(30.0, gt=0, le=3600, description="ceiling of every wait between attempts, seconds")
    listing_lag_s: Seconds = Field(
        120.0,
        ge=0,
        le=3600,
        description="how long a listing may lack what was made, and show what was deleted, seconds",
    )
    stop_time_s: Seconds = Field(8.0, gt=0, le=3600, description="how long a stop waits for answers, seconds")
    token_lifetime_s: Seconds = Field(
        28_800.0, gt=0, le=2_592_000, description="how long the provider remembers a token, seconds"
    )


class LedgerSettings(Section):
    """Where the truth is kept."""

    path: str | None = Field(None, description="ledger file; `ledger.db` in the reports' directory if absent")


class ReportSettings(Section):
    """What is written for people and programs."""

    directory: str = Field("reports", description="where each run has a folder")
    formats: tuple[Literal["csv", "jsonl"], ...] = Field(("csv", "jsonl"), description="which reports to write")


class EmulatorSection(Section):
    """How the embedded emulator behaves under `--emulator`."""

    pending_s: Seconds = Field(0.0, ge=0, le=86_400, description="how long a new flow log stays `pending`, seconds")
    listing_lag_s: Seconds = Field(
        0.0, ge=0, le=86_400, description="how long a listing does not show a new flow log, seconds"
    )
    delete_lag_s: Seconds = Field(
        0.0, ge=0, le=86_400, description="how long a listing still shows a deleted one, seconds"
    )
    tombstones: bool = Field(False, description="deleted ones stay in listings, as `deleted`")
    unique: bool = Field(True, description="one flow log for an attachment, log group and stream")
    date_shift_s: Seconds = Field(
        0.0, ge=-1e8, le=1e8, description="added to the time at which a flow log says that it was made, seconds"
    )
    token_lifetime_s: Seconds = Field(
        28_800.0, ge=0, le=2_592_000, description="how long a token can be repeated, seconds"
    )
    remember_tokens: bool = Field(True, description="repeated tokens are answered as the first time")
    throttle: Rate | None = Field(None, description="its rate limit, for each project")
    quota: Whole = Field(-1, ge=-1, le=1_000_000_000, description="flow logs of a project; -1 is no limit")
    latency_s: Seconds = Field(0.0, ge=0, le=60, description="time added to every answer, seconds")
    refused_before: Share = Field(0.0, description="share of creates refused with 503, nothing done")
    error_after: Share = Field(0.0, description="share of creates done, and answered with 500")
    lost_after: Share = Field(0.0, description="share of creates done, and not answered")
    truncated_after: Share = Field(0.0, description="share of creates done, and answered by half")
    seed: Whole = Field(0, ge=0, le=2**53, description="of its chances")


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
