"""A plan on paper: what was reviewed, in a file that shows whether it is still what was written.

The file is JSON, a line for each router and for each row that would be changed, so that it can be read and compared
by people. Its last member, `seal`, is the SHA-256 of all bytes before it: it guards against an edit that was meant to
change the plan and would not, not against an enemy.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from batcher.errors import ConfigError, ReportError

FORMAT = 1
LINE_BYTES_MAX = 1 << 20
"""A line of a plan holds one router or one row; a longer one is no plan of ours."""
HEAD_BYTES_MAX = 1 << 30
"""Of all that stands before the changes: some 300 bytes a router."""
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
WORD_CHARS_MAX = 40
"""Of a wrong word that is repeated in a message."""
_BEGIN = b'{\n"format": '
_CHANGES = b'"changes": [\n'
_SEAL = b'"seal": "'


@contextmanager
def write_plan(path: Path, head: Mapping[str, Any]) -> Iterator["PlanFile"]:
    """A plan to write rows to; at the end of the block it is sealed and in place, unless the block raises.

    Raises `ReportError` where it cannot be written; an old file stays then. A link is followed, and stays one.
    Who may read it is for the umask to say; nobody but its owner may write it, as it is what was reviewed.
    """
    place = path.resolve()
    temporary = place.with_name(f".{place.name}.{os.getpid()}.tmp")
    try:
        temporary.unlink(missing_ok=True)  # of a process that died; the new one is never somebody else's link
        with os.fdopen(os.open(temporary, _NEW_FILE, 0o644), "wb") as file:
            plan = PlanFile(file, head)
            yield plan
            plan.seal()
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(place)
    except OSError as error:
        raise ReportError(
            f"cannot write the plan `{path}`: {error.strerror or error}",
            hint="nothing was changed; free space there or name another file, then make the plan again",
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


class PlanFile:
    """A plan while it is written; its methods raise `OSError`."""

    def __init__(self, file: BinaryIO, head: Mapping[str, Any]) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self._changes = 0
        lines = [f"{_dump(name)}: {_members(value)},\n" for name, value in {"format": FORMAT, **head}.items()]
        self._write("{\n" + "".join(lines) + _CHANGES.decode())  # `format` first: `_BEGIN`

    def change(self, row: Mapping[str, Any]) -> None:
        """Add a row that would be changed."""
        self._write((",\n" if self._changes else "") + _dump(row))
        self._changes += 1

    def seal(self) -> None:
        """Write the end, with the seal of all that stands before it."""
        self._write("\n],\n")
        self._file.write(_SEAL + self._hash.hexdigest().encode() + b'"\n}\n')

    def _write(self, text: str) -> None:
        data = text.encode("ascii")
        self._hash.update(data)
        self._file.write(data)


def read_plan(path: Path) -> Mapping[str, Any]:
    """All members of a plan but its `changes`, once its `seal` is found to be right. Raises `ConfigError`."""
    try:
        with path.open("rb") as file:
            begin = file.read(len(_BEGIN))
            if begin != _BEGIN:
                raise no_plan(path, "it does not begin like one as it is written")
            return _read(path, file)
    except OSError as error:
        raise ConfigError(f"the plan `{path}` cannot be read: {error.strerror or error}") from None


def _read(path: Path, file: BinaryIO) -> Mapping[str, Any]:
    """What `read_plan` gives, from behind `_BEGIN`."""
    head, head_bytes, in_head = [_BEGIN], 0, True
    digest = hashlib.sha256(_BEGIN)
    while line := file.readline(LINE_BYTES_MAX):
        if line.startswith(_SEAL):
            return _opened(path, head, line, digest.hexdigest(), file.read(4))
        digest.update(line)
        in_head = in_head and line != _CHANGES
        if in_head:
            head.append(line)
            head_bytes += len(line)
            if head_bytes > HEAD_BYTES_MAX:
                raise no_plan(path, "what stands before its changes is too large")
    raise no_plan(path, "it has no seal, as if it had been cut")


def _opened(path: Path, head: list[bytes], line: bytes, digest: str, rest: bytes) -> Mapping[str, Any]:
    if line != _SEAL + digest.encode() + b'"\n' or rest != b"}\n":
        raise ConfigError(f"the plan `{path}` was changed since it was made", hint="make it anew: `batcher plan --out`")
    try:
        found = json.loads(b"".join(head).rstrip().removesuffix(b",") + b"}")
    except (ValueError, RecursionError) as error:
        raise no_plan(path, str(error)) from None
    if not isinstance(found, dict):
        raise no_plan(path, "it is no JSON object")
    if type(found.get("format")) is not int or found["format"] != FORMAT:
        shown = _dump(found.get("format"))
        raise ConfigError(
            f"the plan `{path}` has format {shown[:WORD_CHARS_MAX]}, and this batcher reads {FORMAT}",
            hint="make it anew: `batcher plan --out`",
        )
    return {**found, "seal": digest}


def no_plan(path: Path, why: str) -> ConfigError:
    """The error for a file that is no plan, for the caller to raise."""
    return ConfigError(f"`{path}` is no plan: {why}", hint="`batcher plan INVENTORY --out FILE` makes one")


def _members(value: object) -> str:
    """A list a line for each item, anything else in one."""
    if isinstance(value, list) and value:
        return "[\n" + ",\n".join(map(_dump, value)) + "\n]"
    return _dump(value)


_dump = json.JSONEncoder(ensure_ascii=True).encode
