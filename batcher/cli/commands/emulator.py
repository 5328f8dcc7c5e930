"""A local Enterprise Router API on loopback, to rehearse against: with flow logs, tokens, limits and faults.

Prints its address and keys, then serves until it is stopped. Point any client at it: its endpoint (for IAM and LTS
too), any project id, the printed keys. Control and statistics are at the path `/_emulator`. Its keys are the same at
each start, and every user of this machine can use it and its control: not so with `--private`.
"""

import argparse
import sys
from collections.abc import Callable
from typing import Any, TypeVar

from batcher.cli.options import whole_number
from batcher.cli.signals import heeded

HELP = "a local Enterprise Router API to rehearse against"


T = TypeVar("T")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's words."""
    parser.add_argument("--host", default="127.0.0.1", help="loopback address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=whole_number, default=8045, help="port; 0 takes a free one (default: 8045)")
    parser.add_argument("--state", metavar="FILE", help="file that keeps its world over restarts (default: memory)")
    parser.add_argument(
        "--private", action="store_true", help="keys of its own at each start, and control only with a secret"
    )
    group = parser.add_argument_group("behaviour")
    group.add_argument("--pending", type=_seconds, default=0.0, metavar="S", help="seconds a new flow log is `pending`")
    group.add_argument(
        "--deleting", type=_seconds, default=0.0, metavar="S", help="seconds a deleted one is `deleting`"
    )
    group.add_argument(
        "--listing-lag", type=_seconds, default=0.0, metavar="S", help="seconds a listing lacks a new one"
    )
    group.add_argument(
        "--delete-lag", type=_seconds, default=0.0, metavar="S", help="seconds it still shows a deleted one"
    )
    group.add_argument("--tombstones", action="store_true", help="listings keep what is deleted, as `deleted`")
    group.add_argument("--no-unique", action="store_true", help="take a second flow log at one place")
    group.add_argument(
        "--date-shift", type=_seconds, default=0.0, metavar="S", help="seconds added to each `created_at`"
    )
    group.add_argument(
        "--token-lifetime", type=_seconds, default=8 * 3600.0, metavar="S", help="seconds a token can be repeated"
    )
    group.add_argument("--no-tokens", action="store_true", help="remember no token: a repeated call is a new one")
    group.add_argument("--throttle", metavar="RATE", help="its rate limit for each project, as 200/s or 100/min")
    group.add_argument(
        "--quota", type=whole_number, default=-1, metavar="N", help="flow logs of a project (default: no limit)"
    )
    group.add_argument("--latency", type=_seconds, default=0.0, metavar="S", help="seconds added to every answer")
    group.add_argument("--closed-world", action="store_true", help="know only routers that were seeded by control")
    group.add_argument(
        "--clock-skew", type=_seconds, default=0.0, metavar="S", help="seconds by which its clock is ahead"
    )
    group.add_argument("--seed", type=whole_number, default=0, metavar="N", help="of its chances and ids")
    faults = parser.add_argument_group("faults of creates (shares from 0 to 1)")
    for name, what in _FAULTS.items():
        faults.add_argument(f"--{name.replace('_', '-')}", type=_share, default=0.0, metavar="SHARE", help=what)


_FAULTS = {
    "refused_before": "refused with 503, nothing done",
    "error_after": "done, and answered with 500",
    "lost_before": "not done, connection dropped",
    "lost_after": "done, connection dropped",
    "truncated_after": "done, and answered by half",
    "throttled": "refused with 429, nothing done",
}


SECONDS_MAX = 1e8
"""Three years: enough for any rehearsal, and no clock is out of its range."""


def _seconds(text: str) -> float:
    from batcher.policy.values import seconds_of  # late, as what follows: `--help` needs none of it

    seconds = _read(seconds_of, text)
    if abs(seconds) > SECONDS_MAX:
        raise argparse.ArgumentTypeError(f"`{text}` is more than {SECONDS_MAX:,.0f} seconds")
    return seconds


def _share(text: str) -> float:
    from batcher.policy.values import number_of  # late, as above

    share = _read(number_of, text)
    if not 0.0 <= share <= 1.0:
        raise argparse.ArgumentTypeError(f"`{text}` is no share from 0 to 1")
    return share


def _read(reader: Callable[[object], T], text: str) -> T:
    try:
        return reader(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def execute(arguments: argparse.Namespace) -> int:
    """Serve until a signal."""
    import anyio  # late: aiohttp

    from batcher.emulator.state import StateError
    from batcher.errors import ConfigError

    try:
        anyio.run(_serve, arguments)
    except (ValueError, StateError) as error:
        raise ConfigError(str(error)) from None
    except OSError as error:
        raise ConfigError(f"the emulator cannot listen on port {arguments.port}: {error.strerror}") from None
    return 0


async def _serve(arguments: argparse.Namespace) -> None:
    import secrets
    from pathlib import Path

    import anyio

    from batcher.emulator.control import HEADER
    from batcher.emulator.faults import FaultShares
    from batcher.emulator.server import running
    from batcher.emulator.settings import EmulatorSettings
    from batcher.emulator.throttle import Throttle
    from batcher.policy.pace import parse_rate

    window = parse_rate(arguments.throttle) if arguments.throttle else None
    own: dict[str, Any] = {"keys": {"EMULATORAK": secrets.token_hex(32)}, "control_secret": secrets.token_hex(32)}
    settings = EmulatorSettings(
        **(own if arguments.private else {}),
        host=arguments.host,
        port=arguments.port,
        state_path=Path(arguments.state) if arguments.state else None,
        pending_s=arguments.pending,
        deleting_s=arguments.deleting,
        listing_lag_s=arguments.listing_lag,
        delete_lag_s=arguments.delete_lag,
        tombstones=arguments.tombstones,
        unique=not arguments.no_unique,
        date_shift_s=arguments.date_shift,
        token_lifetime_s=arguments.token_lifetime,
        remember_tokens=not arguments.no_tokens,
        throttle=Throttle(window.calls, window.period_s) if window else None,
        quota=arguments.quota,
        latency_s=arguments.latency,
        open_world=not arguments.closed_world,
        clock_skew_s=arguments.clock_skew,
        seed=arguments.seed,
        faults=FaultShares(**{name: getattr(arguments, name) for name in _FAULTS}),
    )
    with anyio.open_signal_receiver(*heeded()) as signals:
        async with running(settings) as emulator:
            access_key, secret_key = next(iter(settings.keys.items()))
            print(f"endpoint: {emulator.url}", flush=True)
            print(f"keys: HUAWEICLOUD_SDK_AK={access_key} HUAWEICLOUD_SDK_SK={secret_key}", flush=True)
            with_secret = f", with the header `{HEADER}: {settings.control_secret}`" if arguments.private else ""
            said = f"control: {emulator.url}/_emulator/statistics{with_secret} (stop with Ctrl-C)"
            print(said, file=sys.stderr, flush=True)
            async for _ in signals:
                return
