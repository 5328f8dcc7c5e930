"""Every exception that batcher raises on purpose.

An expected refusal by the provider is a value (`model.Refused`), never an exception. What is raised
here ends a command: the message says what was attempted and where, `hint` what to do about it, and the
class decides the exit code (`cli/exit_codes.py`).
"""


class BatcherError(Exception):
    """Base of all deliberate errors; `hint` is the remedy in the reader's words, or empty."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class ConfigError(BatcherError):
    """A flag, variable or settings file is wrong or missing; the caller's to mend."""


class DependencyError(ConfigError):
    """A library is not as batcher needs it: of another version than was tested, or changed."""


class MovedError(ConfigError):
    """Inventory, settings or cloud are not what they were when the plan was reviewed; nothing was sent."""


class UnfinishedPlanError(BatcherError):
    """A listing could not be read to its end, so that nobody knows what a run would do; nothing was sent."""


class CredentialsError(ConfigError):
    """No usable credentials were found for an account; nothing was sent."""


class AccessError(BatcherError):
    """The provider refused the credentials, the account or a permission, or cannot be reached; nothing was sent."""


class InventoryError(BatcherError):
    """The inventory cannot be read as a whole; the message names line and byte; nothing was sent."""


class RunNotFoundError(BatcherError):
    """The ledger holds no such run, or none that the command could go on with."""


class LedgerHeldError(BatcherError):
    """Another live process works this ledger; the message names it."""


class ControlError(BatcherError):
    """A batch at work did not do what was asked of it, or did not answer; the message says which."""


class LedgerError(BatcherError):
    """The ledger cannot be opened, read or written: damaged, newer than this batcher, or no space."""


class LedgerLostError(LedgerError):
    """A file of the ledger was moved, replaced, removed or linked while this process worked it."""


class StaleLeaseError(BatcherError):
    """A write under an old epoch was refused: another worker owns the lane now."""


class ReportError(BatcherError):
    """A report file could not be written; the ledger is unharmed and `batcher report` can try again."""


class OutputError(BatcherError):
    """A result cannot be written to standard output; what it tells of is unharmed."""


def leaf(error: BaseException) -> BaseException:
    """The error inside groups of errors: a deliberate one if there is any, else the first."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    leaves = [leaf(inner) for inner in error.exceptions]
    return next((inner for inner in leaves if isinstance(inner, BatcherError)), leaves[0])
