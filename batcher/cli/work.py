"""What the commands that work share: the loop, the signals, the progress, and the last words."""

import argparse
import gc
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast

from batcher.cli.causes import closing_lines
from batcher.cli.options import read_cloud_settings, read_settings, unbuffered_stdin
from batcher.cli.say import complain, say, say_json
from batcher.cli.signals import CODES, heeded
from batcher.cli.streams import STDOUT, silence
from batcher.errors import OutputError

if TYPE_CHECKING:
    import anyio

    from batcher.engine.stop import Stop
    from batcher.sitting import RunResult
    from batcher.wiring import Session

T = TypeVar("T")
Command = Callable[["Session"], Awaitable["RunResult"]]


def show_config(arguments: argparse.Namespace) -> bool:
    """Print the settings if that was asked for; whether it was. Raises `ConfigError` for those that may be secret."""
    if arguments.show_config:
        from batcher.wiring import Session  # late, as in `work`

        configuration = read_settings(arguments)
        Session(settings=configuration.settings)
        say(*configuration.lines())
    return bool(arguments.show_config)


def work(arguments: argparse.Namespace, command: Command) -> int:
    """Run a command that sends, under signals and progress; its exit code."""
    if show_config(arguments):
        return 0
    result = supervise(arguments, command)
    if isinstance(result, int):
        return result
    try:
        _tell(result, arguments)
        sys.stdout.flush()
    except OutputError as error:  # the run's own end is what counts, and its report has all that was to be said
        complain(f"batcher: {error}", f"hint: the report has it: {result.publication.directory}")
    except BrokenPipeError:
        silence(STDOUT)
    return result.exit_code


def supervise(
    arguments: argparse.Namespace,
    command: Callable[["Session"], Awaitable[T]],
    *,
    if_stopped: str = "what was answered is in the ledger\nhint: `batcher resume` goes on",
) -> T | int:
    """Run a command under signals and progress: its result, or its exit code if it was stopped before it had one."""
    import anyio  # late, as all that follows: `--help` needs none of it

    import batcher.app  # noqa: F401  # loaded before `calm_collector`, which then leaves it alone

    calm_collector()
    job: Callable[[], Awaitable[T | int]] = partial(_supervise, arguments, command, if_stopped)
    return anyio.run(job)


def calm_collector() -> None:
    """Let the cyclic garbage collector look seldom, and never again at what is loaded already.

    A row makes some hundred short-lived objects and no cycles, so nearly every pass is in vain: measured, the
    usual thresholds cost a fifth of a whole run. A process of its own may set this; a library must not.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 100)


async def _supervise(
    arguments: argparse.Namespace, command: Callable[["Session"], Awaitable[T]], if_stopped: str
) -> T | int:
    import anyio

    from batcher.cli.console import open_console
    from batcher.engine.stop import Stop
    from batcher.intake import InterruptedPlanError
    from batcher.policy.verdict import EXIT_OF_STOP, EXIT_UNFINISHED
    from batcher.wiring import Session

    settings = read_cloud_settings(arguments).settings
    stop = Stop()
    scope = anyio.CancelScope()
    with open_console(arguments) as sink:
        session = Session(
            settings=settings,
            emulator=arguments.emulator,
            sink=sink,
            stop=stop,
            stdin=unbuffered_stdin(),
            command=arguments.words,
        )
        async with _signals(stop, scope):
            with scope:
                try:
                    result = await command(session)
                except InterruptedPlanError as error:
                    complain(f"batcher: {error}", f"hint: {error.hint}")
                    return EXIT_OF_STOP.get(error.code, EXIT_UNFINISHED)
    if scope.cancelled_caught:
        print(f"batcher: stopped at once; {if_stopped}", file=sys.stderr)
        return EXIT_OF_STOP.get(stop.code, EXIT_UNFINISHED)
    return result


@asynccontextmanager
async def _signals(stop: "Stop", scope: "anyio.CancelScope") -> AsyncIterator[None]:
    """The first signal of `CODES` stops softly, the second at once."""
    import anyio

    before = {number: signal.getsignal(number) for number in heeded()}
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_listen, stop, scope)
        yield
        tasks.cancel_scope.cancel()
    for number, handler in before.items():
        signal.signal(number, handler)


async def _listen(stop: "Stop", scope: "anyio.CancelScope") -> None:
    import anyio

    if not (numbers := heeded()):  # the parent has ignored them all
        return
    with anyio.open_signal_receiver(*numbers) as signals:
        async for number in signals:
            if stop.is_requested:
                scope.cancel()
            else:
                stop.request(CODES[signal.Signals(number)])
                complain("batcher: stopping: what is in flight is being settled (again to stop at once)")


def _tell(result: "RunResult", arguments: argparse.Namespace) -> None:
    publication = result.publication
    if arguments.output == "json":
        say_json(publication.summary)
        return
    if arguments.quiet:
        if result.exit_code:
            say(*closing_lines(publication.summary, publication.causes))
        return
    counts = ", ".join(f"{rows:,} {outcome}" for outcome, rows in publication.counts.items() if rows) or "no rows"
    calls = sum(result.run.calls.values())
    rows = cast("dict[str, Any]", publication.summary["rows"])
    of = (
        f"{rows['total']:,} of the {rows['of_parent']:,} rows of run {result.run.parent}: " if result.run.parent else ""
    )
    print(f"run {result.run.run_id}{' (continued)' if result.continued else ''}: {of}{counts}; {calls:,} calls")
    if result.run.stop_code:
        said = f" ({result.run.stop_message})" if result.run.stop_message else ""
        say(f"stopped: {result.run.stop_code}{said}")
        if result.advice:
            say(f"hint: {result.advice}")
    if result.changes is not None:
        new, changed, gone = result.changes
        print(f"since the last inventory of this name: {new:,} new, {changed:,} changed, {gone:,} gone")
    for file in publication.files:
        say(f"report: {file}")
    say(*closing_lines(publication.summary, publication.causes))
