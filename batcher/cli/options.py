"""The options that commands share, and how they become settings."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from batcher.cli.say import complain
from batcher.errors import ConfigError

if TYPE_CHECKING:
    from batcher.config import Configuration

Values = dict[str, dict[str, Any]]


def unbuffered_stdin() -> BinaryIO | None:
    """Standard input without a buffer, whose lock a thread that reads for ever would keep at the process's end."""
    try:
        return cast("BinaryIO", os.fdopen(sys.stdin.fileno(), "rb", buffering=0, closefd=False))
    except (AttributeError, OSError):  # closed, or no file
        return getattr(sys.stdin, "buffer", None)


def whole_number(text: str) -> int:
    """A whole number in a flag; what is none is a mistake of the command line."""
    from batcher.policy.values import whole_of  # late: `--help` needs none of it

    try:
        return whole_of(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def add_settings_options(parser: argparse.ArgumentParser) -> None:
    """Options of every command that reads settings."""
    group = parser.add_argument_group("settings")
    group.add_argument(
        "--config",
        metavar="FILE",
        help="settings file (default: batcher.toml beside the inventory, else here)",
    )
    group.add_argument("--ledger", metavar="PATH", help="ledger file (default: ledger.db in the reports' directory)")
    group.add_argument("--reports", metavar="DIR", help="where each run has its folder (default: reports)")
    group.add_argument("--show-config", action="store_true", help="print each setting and where it came from, and end")


def add_inventory_options(parser: argparse.ArgumentParser) -> None:
    """Options of the commands that read an inventory."""
    parser.add_argument("inventory", metavar="INVENTORY", help="CSV, JSON or JSON Lines, also gzipped; `-` for stdin")
    add_reading_options(parser)


def add_gone_option(group: "argparse._ActionsContainer") -> None:
    """How much an inventory may have shrunk since its last run."""
    group.add_argument(
        "--max-gone",
        metavar="N|N%",
        help="rows of its last run that the inventory may lack (default: half of at least 20)",
    )


def add_reading_options(parser: argparse.ArgumentParser) -> None:
    """How an inventory is read, and what fills its absent cells."""
    group = parser.add_argument_group("inventory")
    group.add_argument("--input-format", choices=("csv", "json", "jsonl"), help="needed with `-`")
    group.add_argument("--encoding", metavar="CODEC", help="of the file's text (default: utf-8)")
    group.add_argument("--allow-empty", action="store_true", help="an inventory without a row is no error")
    group.add_argument(
        "--map", metavar="COLUMN=HEADER", action="append", default=[], help="the header that holds a column; repeatable"
    )
    add_origin_options(group)


def add_origin_options(group: "argparse._ArgumentGroup") -> None:
    """Account, region and project of rows that name none."""
    group.add_argument("--profile", metavar="NAME", help="credentials profile of rows without an account")
    group.add_argument("--region", help="region of rows without one")
    group.add_argument("--project-id", metavar="ID", help="project of rows without one")


def add_place_options(parser: argparse.ArgumentParser) -> None:
    """Router, log group and log stream of rows that name none."""
    group = parser.add_argument_group("place")
    group.add_argument("--er-id", metavar="ID", help="the router; without it any")
    group.add_argument("--log-group-id", metavar="ID", help="the log group")
    group.add_argument("--log-stream-id", metavar="ID", help="the log stream")


def add_work_options(parser: argparse.ArgumentParser) -> None:
    """Options of the commands that call the provider."""
    group = parser.add_argument_group("work")
    group.add_argument("--emulator", action="store_true", help="rehearse against an embedded emulator on loopback")
    add_cloud_options(parser)
    add_pace_options(group)
    group.add_argument("--reconcile", choices=("auto", "always", "never"), help="read what is there before sending")
    group.add_argument("--fix-drift", action="store_true", help="put right what is there otherwise than wished")
    add_preflight_option(group)
    group.add_argument("--no-verify", action="store_true", help="do not wait until accepted rows are available")
    add_limit_options(group)


def add_limit_options(group: "argparse._ArgumentGroup") -> None:
    """When a run stops by itself, and whether it waits for another."""
    group.add_argument(
        "--max-failures", metavar="N|N%", help="stop when more rows have failed (default: 50%% of at least 1,000)"
    )
    group.add_argument("--until", metavar="HH:MM", help="stop at this time of day; `resume` goes on")
    group.add_argument("--for", dest="time", metavar="TIME", help="stop after this time, as 6h or 90min")
    group.add_argument("--wait-lock", action="store_true", help="wait for another run that holds the ledger")


def add_pace_options(group: "argparse._ArgumentGroup") -> None:
    """How fast the provider is called."""
    group.add_argument(
        "--rate", help="most calls in a time, as 10/s or 100/min, for each project; `auto` finds it (default: 10/s)"
    )
    group.add_argument(
        "--concurrency", type=whole_number, metavar="N", help="most rows side by side, for each project (default: 64)"
    )


def add_preflight_option(group: "argparse._ArgumentGroup") -> None:
    """Whether a run looks first at what its rows stand on."""
    group.add_argument(
        "--preflight", action="store_true", help="check attachments, log groups and streams before sending"
    )


def add_cloud_options(parser: argparse.ArgumentParser) -> None:
    """Where the provider is, how to get there, and who asks."""
    group = parser.add_argument_group("cloud")
    group.add_argument("--endpoint", metavar="URL", help="base URL of Enterprise Router, instead of the region's own")
    group.add_argument("--iam-endpoint", metavar="URL", help="base URL of the identity service (project look-up)")
    group.add_argument("--lts-endpoint", metavar="URL", help="base URL of the log service")
    group.add_argument("--proxy", metavar="URL", help="proxy, or `none` (default: HTTPS_PROXY and NO_PROXY)")
    group.add_argument("--ca-file", metavar="FILE", help="PEM file of a private CA, beside the system's")
    for name, what in (
        ("access-key", "the access key"),
        ("secret-key", "the secret key"),
        ("security-token", "the security token of temporary keys"),
        ("auth-token", "a token, sent instead of signing"),
    ):
        group.add_argument(f"--{name}-env", metavar="NAME", help=f"environment variable that holds {what}")


def add_selection_options(group: "argparse._ArgumentGroup", outcomes: Sequence[str]) -> None:
    """Which rows of a run are taken up, by what its report says of them."""
    group.add_argument("--code", default="", help="only rows that ended with this error code")
    group.add_argument("--outcome", default="", choices=outcomes, help="only rows that ended so")


def add_output_options(parser: argparse.ArgumentParser) -> None:
    """Options about what is written and shown."""
    group = parser.add_argument_group("output")
    group.add_argument("--format", metavar="LIST", help="reports to write: csv,jsonl (default: both)")
    add_talk_options(parser, group)


def add_talk_options(parser: argparse.ArgumentParser, group: "argparse._ArgumentGroup | None" = None) -> None:
    """How results and talk are shown."""
    group = group or parser.add_argument_group("output")
    group.add_argument("--output", choices=("text", "json"), default="text", help="form of the result on stdout")
    add_verbosity_options(group)
    group.add_argument("--no-progress", action="store_true", help="no progress on stderr")


def add_verbosity_options(group: "argparse._ArgumentGroup") -> None:
    """How much is said on stderr."""
    group.add_argument("-v", "--verbose", action="count", default=0, help="log what happens to rows; twice: each call")
    group.add_argument("--log-file", metavar="FILE", help="append the log there; calls too with -vv")
    group.add_argument("--log-format", choices=("text", "json"), default="text", help="form of a line of the log")
    group.add_argument("-q", "--quiet", action="store_true", help="silent where all is well; else only why not")


def read_settings(arguments: argparse.Namespace) -> "Configuration":
    """Flags over environment over file over default; a file that is not named must be ours. Raises `ConfigError`."""
    from batcher.config import FILE_NAME, load_settings  # late: pydantic

    named, inventory = getattr(arguments, "config", None), getattr(arguments, "inventory", None)
    flags = _flags(arguments)
    if named:
        configuration = load_settings(flags, os.environ, Path(named))
    else:
        beside = [Path(inventory).parent] if inventory not in (None, "-") else []
        places = (folder / FILE_NAME for folder in dict.fromkeys([*beside, Path()]))
        file = next((place for place in places if _is_file(place)), None)
        configuration = load_settings(flags, os.environ, file, found=True)
    if configuration.file is not None and vars(arguments).get("verbose") and not arguments.show_config:
        complain(f"batcher: {configuration.file_line}")
    return configuration


def read_cloud_settings(arguments: argparse.Namespace) -> "Configuration":
    """As `read_settings`, of a command that calls the provider: a found file that says where to is told.

    With `--quiet` only one of another user, who then is root: what oneself has written is no news every night.
    """
    configuration = read_settings(arguments)
    file, ways = configuration.found, configuration.found_ways
    if file is not None and ways and not arguments.emulator:
        is_own = file.stat().st_uid == os.geteuid()
        if not arguments.quiet or not is_own:
            whose = "" if is_own else ", a file of root's,"
            complain(f"batcher: `{file}`{whose} says where calls and keys go: {', '.join(ways)}")
    return configuration


def _is_file(path: Path) -> bool:
    """Whether there is a file. Raises `ConfigError` where nobody may look."""
    try:
        return path.is_file()
    except OSError as error:
        raise ConfigError(f"the settings file `{path}` cannot be looked at: {error.strerror}") from None


def _flags(arguments: argparse.Namespace) -> Values:
    words = vars(arguments)
    values: Values = {}
    for option, (section, key) in _PLACES.items():
        if words.get(option) is not None:
            values.setdefault(section, {})[key] = words[option]
    if words.get("no_verify"):
        values.setdefault("run", {})["verify"] = False
    if words.get("fix_drift"):
        values.setdefault("run", {})["fix_drift"] = True
    if words.get("wait_lock"):
        values.setdefault("run", {})["wait_lock"] = True
    if words.get("preflight"):
        values.setdefault("run", {})["preflight"] = True
    for name in ("strict", "allow_empty"):
        if words.get(name):
            values.setdefault("inventory", {})[name] = True
    if words.get("format"):
        values.setdefault("report", {})["formats"] = [name.strip() for name in words["format"].split(",")]
    if words.get("map"):
        values.setdefault("inventory", {})["map"] = dict(_pair(text) for text in words["map"])
    return values


_PLACES = {
    "endpoint": ("cloud", "endpoint"),
    "iam_endpoint": ("cloud", "iam_endpoint"),
    "lts_endpoint": ("cloud", "lts_endpoint"),
    "proxy": ("cloud", "proxy"),
    "ca_file": ("cloud", "ca_file"),
    "access_key_env": ("credentials", "access_key_variable"),
    "secret_key_env": ("credentials", "secret_key_variable"),
    "security_token_env": ("credentials", "security_token_variable"),
    "auth_token_env": ("credentials", "auth_token_variable"),
    "profile": ("defaults", "account"),
    "region": ("defaults", "region"),
    "project_id": ("defaults", "project_id"),
    "input_format": ("inventory", "input_format"),
    "encoding": ("inventory", "encoding"),
    "er_id": ("defaults", "er_id"),
    "log_group_id": ("defaults", "log_group_id"),
    "log_stream_id": ("defaults", "log_stream_id"),
    "rate": ("run", "rate"),
    "concurrency": ("run", "concurrency"),
    "max_failures": ("run", "max_failures"),
    "max_gone": ("inventory", "max_gone"),
    "until": ("run", "until"),
    "time": ("run", "time"),
    "reconcile": ("run", "reconcile"),
    "ledger": ("ledger", "path"),
    "reports": ("report", "directory"),
}


def _pair(text: str) -> tuple[str, str]:
    column, separator, header = text.partition("=")
    if not separator or not column.strip() or not header.strip():
        raise ConfigError(f"`--map {text}` is no pair", hint="write COLUMN=HEADER, as resource_id=AttachmentID")
    return column.strip(), header.strip()
