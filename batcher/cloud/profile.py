"""The profile file: an INI file with a section of credentials for each account.

Nothing of the file's content is ever put into a message, nor into the cause of an error: the INI parser's own
errors quote the line that they stumble over.

One that was found where profile files are, and not named, must be ours, as `ownership` has it: who else may write it
would choose under whose account a run works.
"""

import configparser
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from batcher.errors import CredentialsError
from batcher.ownership import why_not_ours

PROFILE_BYTES_MAX = 1 << 20
"""A credentials file is a few lines; what is larger is another file."""

Sections = Mapping[str, Mapping[str, str]]
"""The keys of each section by its name; keys are lower-case."""

_READ_BY_OTHERS = stat.S_IRGRP | stat.S_IROTH


class ProfileFile:
    """A profile file that may be rewritten or replaced at any time; it need not exist. `found`: nobody has named it."""

    def __init__(self, path: Path, *, found: bool = False) -> None:
        self.path = path
        self._found = found
        self._stamp: tuple[int, int, int] | None = None
        self._sections: Sections = {}
        self._mode = 0

    def sections(self, *, again: bool = False) -> Sections:
        """What the file holds now; no sections where it is missing.

        The file is read where its time of change, size or inode differ from the last reading, or with `again`.
        Raises `CredentialsError` for a file that cannot be read, is no INI file, or was found and is not ours; the next
        call tries again.
        """
        try:
            if not again and self._stamp is not None and _stamp(self.path.stat()) == self._stamp:
                return self._sections
            if self._found and (reason := why_not_ours(self.path)):
                raise CredentialsError(
                    f"the profile file {self.path} was found, and is not used: {reason}",
                    hint="make it and its folder yours alone (`chown`, `chmod go-w`), or name it: `BATCHER_CREDENTIALS_"
                    f"PROFILE_FILE={self.path}`",
                )
            with self.path.open("rb") as file:
                status = os.fstat(file.fileno())
                content = file.read(PROFILE_BYTES_MAX + 1)
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise CredentialsError(
                f"cannot read the profile file {self.path}: {error.strerror}", hint="check its permissions"
            ) from error
        # The state before the reading: a change while reading shows as a difference at the next look.
        self._sections = _parse(self.path, content)
        self._stamp, self._mode = _stamp(status), status.st_mode
        return self._sections

    @property
    def read_by_others(self) -> bool:
        """Whether the file, when last read, could be read by its group or by everybody."""
        return self._stamp is not None and bool(self._mode & _READ_BY_OTHERS)


def _stamp(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_mtime_ns, status.st_size, status.st_ino


def _parse(path: Path, content: bytes) -> Sections:
    parser = configparser.ConfigParser(interpolation=None)
    if len(content) <= PROFILE_BYTES_MAX:
        with suppress(ValueError, configparser.Error):  # both quote the file, and must not be this error's context
            parser.read_string(content.decode("utf-8-sig"))
            return {name: dict(parser[name]) for name in parser.sections()}
    raise CredentialsError(
        f"the profile file {path} is not a valid INI file", hint="it should hold `[basic]`, `ak = ...`, `sk = ...`"
    )
