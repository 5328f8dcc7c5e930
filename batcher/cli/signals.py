"""The signals that stop a command, heeded from its first instruction on: also as process 1 of a container, where the
system drops those that nobody has asked for.

While a run works they stop it softly (`cli.work`). At any other time nothing is in flight, and they end the command at
once. One that the parent has ignored stays ignored: so `nohup` and shells that start a job in the background want it.
"""

import signal
from types import FrameType

CODES = {
    signal.SIGINT: "BATCHER.Interrupted",
    signal.SIGTERM: "BATCHER.Terminated",
    signal.SIGHUP: "BATCHER.HungUp",
}
"""The stop code of each: a person's Ctrl-C, the system's or a scheduler's wish, a terminal that is gone."""
SAID = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated", signal.SIGHUP: "the terminal is gone"}


class SignalledError(BaseException):
    """A signal came while nothing was at work. No `Exception`: nothing but the end of the command may catch it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = signal.Signals(number)


def heeded() -> tuple[signal.Signals, ...]:
    """Those of `CODES` that the parent has not ignored."""
    return tuple(number for number in CODES if signal.getsignal(number) is not signal.SIG_IGN)


def heed() -> None:
    """Have each of them raise `SignalledError`; Ctrl-C stays `KeyboardInterrupt`, which event loops know."""
    for number in heeded():
        if number is not signal.SIGINT:
            signal.signal(number, _raise)


def exit_code_of_signal(number: int) -> int:
    """As a shell tells it of a process that a signal has ended."""
    return 128 + number


def _raise(number: int, _frame: FrameType | None) -> None:
    raise SignalledError(number)
