"""The exit codes: one table for the command line, the README and the tests."""

from batcher.errors import (
    AccessError,
    BatcherError,
    ConfigError,
    InventoryError,
    LedgerHeldError,
    RunNotFoundError,
    UnfinishedPlanError,
)

FAULT = 1
USAGE = 2
FAULTY = 3
UNFINISHED = 5
HELD = 6
REFUSED = 7

EXIT_CODES = (
    ("0", "every row is created, exists, updated or duplicate; of an undo: deleted, absent or exists"),
    ("1", "a fault in batcher itself, or a ledger, report or result that cannot be written, or was lost under the run"),
    (
        "2",
        "usage, configuration, an inventory that cannot be read, a file that is not to be trusted, or a plan that has"
        " moved; nothing was sent;"
        " of `ctl`: no batch is at work",
    ),
    (
        "3",
        "finished, and some rows are failed, invalid, drifted, in doubt or skipped;"
        " of `plan --check`: not all is there as wished",
    ),
    ("4", "stopped by the failure threshold: look before going on"),
    ("5", "unfinished: deadline, drained, or rows are left for another reason; `batcher resume` goes on"),
    ("6", "another run holds the ledger"),
    ("7", "stopped: credentials, account, permission or endpoint refused"),
    (
        "129, 130, 143",
        "stopped by a signal (SIGHUP, SIGINT, SIGTERM) after settling what was in flight; `batcher resume` goes on",
    ),
)


def exit_code_of(error: BatcherError) -> int:
    """The exit code of an error that ended a command."""
    if isinstance(error, LedgerHeldError):
        return HELD
    if isinstance(error, UnfinishedPlanError):
        return UNFINISHED
    if isinstance(error, ConfigError | InventoryError | RunNotFoundError):
        return USAGE
    return REFUSED if isinstance(error, AccessError) else FAULT
