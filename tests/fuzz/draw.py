"""What the checks share: choices drawn from the first bytes of an input, and what is asked of an error."""

from collections.abc import Sequence
from typing import TypeVar

from batcher.errors import BatcherError

T = TypeVar("T")

MESSAGE_CHARS_MAX = 4_000
"""Of a message of ours: it names 30 columns of 60 characters at most, and some words."""


class Draw:
    """Takes choices off the start of some bytes; `rest` is what is left. Past the end every choice is the first."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def rest(self) -> bytes:
        """All that was not taken yet."""
        found, self._at = self._data[self._at :], len(self._data)
        return found

    def number(self, below: int) -> int:
        """A number from 0 to `below` - 1, of one byte."""
        return (self.take(1) or b"\0")[0] % below

    def one_of(self, choices: Sequence[T]) -> T:
        """One of at most 256 choices."""
        return choices[self.number(len(choices))]

    def take(self, size: int) -> bytes:
        """The next bytes, at most `size`."""
        found = self._data[self._at : self._at + size]
        self._at += len(found)
        return found

    def block(self) -> bytes:
        """Bytes up to the next `0xFF 0xFE`, which is taken too: how inputs of several parts are joined."""
        found, _, _ = self._data[self._at :].partition(JOINT)
        self._at += len(found) + len(JOINT)
        return found

    def text(self) -> str:
        """A block as text of any characters, halves of surrogate pairs among them."""
        return self.block().decode("utf-8", "surrogateescape")


JOINT = b"\xff\xfe"


def joined(*parts: bytes) -> bytes:
    """Parts as `Draw.block` takes them."""
    return JOINT.join(parts)


def is_sound(error: BatcherError, *, needs_hint: bool = False) -> None:
    """A deliberate error has a message of bounded length, and a remedy where one is asked for."""
    assert str(error)
    assert len(str(error)) + len(error.hint) <= MESSAGE_CHARS_MAX, f"{len(str(error))} characters"
    assert error.hint or not needs_hint, str(error)


def can_be_kept(text: str) -> None:
    """A text that a file and a database can hold."""
    text.encode("utf-8")
    assert "\0" not in text, repr(text)


def can_be_shown(text: str, characters_max: int) -> None:
    """A text of the other side's that goes to terminals and reports."""
    assert len(text) <= characters_max, len(text)
    assert text.isprintable(), repr(text)
