"""The events of a JSON or JSON Lines text, each with its line, in flat memory.

ijson's push parser is fed a line at a time, a long line in pieces, so that the events of one feed belong to
one line. What ijson leaves to us (3.6 with yajl 2, found by trial):

- It takes half of a surrogate pair for `?` or for part of another character. Such escapes, and the escape of
  NUL, are turned into U+FFFD before they are fed, and the feed is marked.
- It does not say where an error is. `_offset_of_error` feeds the text again up to the bad piece, then one
  character at a time.
- Numbers come as values: `json_numbers` finds how they are written. One too long for Python (4,300 digits) would
  come out as `SystemError`, and what the parser had appended to the list of events must then not be looked at.
"""

import codecs
import re
from collections.abc import Iterator
from typing import Any

import ijson  # type: ignore[import-untyped]  # it ships no types

from batcher.errors import InventoryError
from batcher.inventory.json_numbers import NumberTexts, is_huge
from batcher.inventory.text import Text, unreadable

_PARSER_ERRORS = (ijson.JSONError, ValueError, ArithmeticError, SystemError)

_ESCAPE = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # a whole surrogate pair
    r"|u(0000|[dD][89a-fA-F][0-9a-fA-F]{2})"  # NUL, or half a pair
    r"|.)",
    re.DOTALL,
)

Event = tuple[str, Any]
"""ijson's: ("map_key", "name"), ("string", "x"), ("number", 1), ("start_map", None) and so on."""


class JsonFeed:
    """Feeds a text to the parser; with `one_a_line` it may hold several values, and lines come whole."""

    def __init__(self, text: Text, *, one_a_line: bool, several: bool = False) -> None:
        """`several`: values stand one after another, over any lines."""
        self._text = text
        self._one_a_line = one_a_line
        self._several = several or one_a_line

    def events(self) -> Iterator[tuple[int, str, list[Event], bool]]:
        """Yield (line, what was fed, its events, whether it was cleaned); the list is good until the next.

        Raises `InventoryError` at the line and byte where the text is not JSON.
        """
        events = ijson.sendable_list()
        parser = ijson.basic_parse_coro(events, multiple_values=self._several)
        number = line = 0
        numbers, begins_line = NumberTexts(), True
        for number, (line, piece) in enumerate(self._pieces()):
            cleaned = fed = _cleaned(piece)
            ends_line = piece.endswith(("\n", "\r"))
            is_read = not (begins_line and ends_line) or is_huge(piece)
            if is_read:
                fed = numbers.read(cleaned)
            try:
                parser.send(fed.encode())
            except _PARSER_ERRORS as exc:
                raise self._broken(exc, number, line) from exc
            if any(event == "number" for event, _ in events):
                if not is_read:
                    numbers.read(cleaned)
                _tell_as_written(events, numbers)
            yield line, piece, events, cleaned is not piece
            events.clear()
            begins_line = ends_line
        try:
            parser.close()
        except _PARSER_ERRORS as exc:
            raise self._broken(exc, number + 1, line) from exc

    def _pieces(self) -> Iterator[tuple[int, str]]:
        return enumerate(self._text.lines(), 1) if self._one_a_line else self._text.pieces()

    def _broken(self, exc: Exception, number: int, line: int) -> InventoryError:
        """The error for piece `number`, or for the end of the text where there is no such piece."""
        offset = self._offset_of_error(number)
        place = "" if offset is None else f" at byte offset {offset}"
        reason = (str(exc.__cause__ or exc).splitlines() or [type(exc).__name__])[0].strip()
        hint = ""
        if not self._one_a_line and ("trailing" in reason or "Additional" in reason):
            hint = "if each line is an object of its own, add --input-format jsonl"
        return unreadable(self._text.name, line, f"broken JSON{place} ({reason})", hint=hint)

    def _offset_of_error(self, number: int) -> int | None:
        """The byte at which piece `number` stops being JSON; None where the text cannot be encoded back."""
        encoder = codecs.getincrementalencoder(self._text.codec)()
        events = ijson.sendable_list()
        parser = ijson.basic_parse_coro(events, multiple_values=self._several)
        offset = self._text.mark_bytes
        numbers = NumberTexts()
        try:
            encoder.encode("")  # some codecs write a mark first, which is counted already or not there
            for at, (_, piece) in enumerate(self._pieces()):
                fed = numbers.read(_cleaned(piece))
                if at == number:
                    return offset + _bytes_accepted(parser, piece, fed, encoder)
                offset += len(encoder.encode(piece))
                if not self._one_a_line:
                    parser.send(fed.encode())
                    events.clear()
        except UnicodeEncodeError:
            return None
        return offset


def _tell_as_written(events: list[Event], numbers: NumberTexts) -> None:
    """Put the text of each number into the place of its value."""
    for at, (event, value) in enumerate(events):
        if event == "number":
            events[at] = (event, numbers.texts.popleft() if numbers.texts else str(value))


def _bytes_accepted(parser: Any, piece: str, fed: str, encoder: codecs.IncrementalEncoder) -> int:
    """How many bytes of the piece, in the encoder's codec, the parser takes of what it is fed before it complains."""
    count = 0
    for given, character in zip(piece, fed, strict=True):
        try:
            parser.send(character.encode())
        except _PARSER_ERRORS:
            break
        count += len(encoder.encode(given))
    return count


def _cleaned(piece: str) -> str:
    """The piece with escapes of what no text can hold turned into that of U+FFFD, which is as long.

    The very same object where there are none.
    """
    if "\\u" not in piece:
        return piece
    cleaned = _ESCAPE.sub(lambda found: r"\ufffd" if found[1] else found[0], piece)
    return piece if cleaned == piece else cleaned
