"""The command `ctl`: what is asked of a run while it works, through the socket beside its ledger.

Each function is a whole command and gives the run after it. They raise `RunNotFoundError` where no run can be asked,
`ConfigError` for what is wrong with the request, and `ControlError` where it was not done. A change holds for the
sitting; it is in the ledger before it takes effect.
"""

from batcher.control.client import ask
from batcher.control.socket_file import socket_path
from batcher.errors import BatcherError, ConfigError, RunNotFoundError
from batcher.ledger.lock import holder_of
from batcher.ledger.open import open_ledger
from batcher.model import RunState
from batcher.policy.control import Action, LiveStatus, Request, asked_rate
from batcher.wiring import Session


async def live_status(session: Session) -> LiveStatus:
    """How far the run that works the session's ledger is, and at what pace."""
    return await _ask(Request(Action.STATUS), session)


async def set_rate(rate: str, session: Session) -> LiveStatus:
    """Give every lane of the run another pace: `5/s`, `100/min`, or `auto`; a named limit still holds."""
    try:
        window = asked_rate(rate)
    except ValueError as error:
        raise ConfigError(str(error), hint="`auto` lets batcher find the rate") from None
    return await _ask(Request(Action.RATE, window), session)


async def pause_run(session: Session) -> LiveStatus:
    """Let the run begin no call until `continue_run`; what is in flight settles."""
    return await _ask(Request(Action.PAUSE), session)


async def continue_run(session: Session) -> LiveStatus:
    """End a pause."""
    return await _ask(Request(Action.CONTINUE), session)


async def drain_run(session: Session) -> LiveStatus:
    """Let the run take no more rows, settle what is in flight, and end with its report; it can be gone on with."""
    return await _ask(Request(Action.DRAIN), session)


async def _ask(request: Request, session: Session) -> LiveStatus:
    status = await ask(socket_path(session.ledger_path), request)
    if status is None:
        raise await _nobody(session)
    return status


async def _nobody(session: Session) -> RunNotFoundError:
    """Why nobody could be asked."""
    ledger = session.ledger_path
    try:
        holder = holder_of(ledger)
    except OSError as error:
        return RunNotFoundError(f"nobody can be asked about the ledger `{ledger}`: {error.strerror}")
    if holder is None:
        return RunNotFoundError(
            f"no batch works the ledger `{ledger}` now",
            hint="`batcher status` lists its runs; `--ledger`, `--reports` and `--emulator` name another one",
        )
    if await _is_planning(session):
        return RunNotFoundError(
            f"the run of {holder.text} is still being planned, and nothing of it was sent",
            hint="it can be asked once it sends",
        )
    return RunNotFoundError(
        f"the ledger `{ledger}` is worked by {holder.text}, which cannot be asked now",
        hint="it begins, ends, or could not open its socket and said so; signals reach it",
    )


async def _is_planning(session: Session) -> bool:
    try:
        found = session.settings.finds_ledger
        async with open_ledger(str(session.ledger_path), read_only=True, found=found) as ledger:
            return any(run.state is RunState.PLANNING for run in await ledger.runs())
    except BatcherError:
        return True  # it is not even made
