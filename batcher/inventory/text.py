"""The text of an inventory: gunzipped, decoded, cut into lines, in flat memory.

A `Text` reads its file from the start as often as asked, so that a reader may look at the header first and
find the exact place of a fault afterwards. Whatever keeps the file from being read as a whole becomes an
`InventoryError` that names the line and, where it is known, the byte. Byte offsets count from 0, a
byte-order mark included, in the text before decoding; of a gzip file, in what comes out of it.

A line ends at a line feed, a carriage return, or both: what editors and the csv module agree on.
"""

import codecs
import gzip
import io
import itertools
import zlib
from collections.abc import Iterator
from contextlib import suppress
from typing import BinaryIO

from batcher.errors import InventoryError

READ_BYTES = 64 * 1024
"""Bytes per read: the memory that a pass needs, and large enough that calls cost nothing."""

LINE_CHARS_MAX = 1024 * 1024
"""Longest line: 1,000 times a generous row. Beyond it the file is no table, and lines must fit in memory."""

GZIP_MAGIC = b"\x1f\x8b"

GZIP_BYTES_FREE = 1024 * 1024
"""What a gzip file may unpack to whatever its size: a moment's work."""

GZIP_RATIO_MAX = 100
"""Beyond that, how many bytes may come out of one. Ids alone keep an inventory below 25; a bomb has 1,000."""

MEND = "mend the file there; `batcher validate` checks it without sending anything"
"""The remedy where nothing better is known."""

_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16: its mark begins with the same two bytes
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)

_UNCUT_CHARS = "\\u0123456789abcdefABCDEF+-."
"""What escapes and numbers of JSON are made of."""

UNCUT_CHARS_MAX = LINE_CHARS_MAX
"""Most of those in a row that are kept together; no longer value fits an item."""


def unreadable(name: str, line: int, problem: str, *, hint: str = MEND) -> InventoryError:
    """The error for a file that cannot be read as a whole because of what stands at `line`."""
    return InventoryError(f"cannot read `{name}:{line}`: {problem}", hint=hint or MEND)


class Text:
    """The text of a seekable binary file called `name` in messages.

    `encoding` holds unless the file begins with a byte-order mark. Raises `InventoryError` where the
    encoding is unknown or the first bytes cannot be read. One pass at a time: all share the file's position.
    """

    def __init__(self, raw: BinaryIO, *, name: str, encoding: str) -> None:
        self.name = name
        self.codec = _known_codec(encoding)
        self.mark_bytes = 0
        self._raw = raw
        self._gzipped = False
        self._gzipped = self._read(self._open(), len(GZIP_MAGIC), line=1, offset=0) == GZIP_MAGIC
        head = self._read(self._open(), 4, line=1, offset=0)
        for mark, codec in _BYTE_ORDER_MARKS:
            if head.startswith(mark):
                self.codec, self.mark_bytes = codec, len(mark)
                break

    def chunks(self) -> Iterator[str]:
        """Yield the text from its start in parts of at most about `READ_BYTES`; CR LF is never split."""
        stream = self._open()
        line, offset = 1, self.mark_bytes
        self._read(stream, self.mark_bytes, line=line, offset=0)
        decoder = codecs.getincrementaldecoder(self.codec)()
        held = ""
        while True:
            data = self._read(stream, READ_BYTES, line=line, offset=offset)
            before = decoder.getstate()
            try:
                text = held + decoder.decode(data, final=not data)
            except UnicodeError as exc:
                decoder.setstate(before)
                raise self._bad_bytes(exc, decoder, data, held=held, line=line, offset=offset) from exc
            held = "\r" if data and text.endswith("\r") else ""
            text = text.removesuffix(held)
            self._refuse_half_characters(text, line)
            offset += len(data)
            line += _count_lines(text)
            if text:
                yield text
            if not data:
                return

    def lines(self) -> Iterator[str]:
        """Each line with its end. Raises `InventoryError` at one longer than `LINE_CHARS_MAX`."""
        return itertools.chain.from_iterable(self._line_lists())

    def _line_lists(self) -> Iterator[list[str]]:
        """The lines of each chunk: a list costs less than to yield each line."""
        tail, line = "", 0
        for chunk in self.chunks():
            text = tail + chunk
            parts = io.StringIO(text, newline="").readlines()
            if len(text) > LINE_CHARS_MAX:
                self._refuse_long_lines(parts, line)
            tail = "" if text.endswith(("\n", "\r")) else parts.pop()
            line += len(parts)
            yield parts
        if tail:
            yield [tail]

    def pieces(self) -> Iterator[tuple[int, str]]:
        """Yield (line number, text) with no bound on a line: a long line comes in several pieces.

        No piece ends inside a JSON escape sequence or a number, unless that is longer than `UNCUT_CHARS_MAX`.
        """
        rest, line = "", 1
        for chunk in self.chunks():
            text, rest = rest + chunk, ""
            for part in io.StringIO(text, newline=""):
                if part.endswith(("\n", "\r")):
                    yield line, part
                    line += 1
                else:
                    cut = len(part.rstrip(_UNCUT_CHARS)) or (len(part) if len(part) > UNCUT_CHARS_MAX else 0)
                    rest = part[cut:]
                    if cut:
                        yield line, part[:cut]
        if rest:
            yield line, rest

    def _open(self) -> BinaryIO | gzip.GzipFile:
        """The bytes of the text from their start."""
        self._raw.seek(0)
        return gzip.GzipFile(fileobj=self._raw, mode="rb") if self._gzipped else self._raw

    def _read(self, stream: BinaryIO | gzip.GzipFile, size: int, *, line: int, offset: int) -> bytes:
        try:
            if not isinstance(stream, gzip.GzipFile):
                return stream.read(size)
            self._refuse_bomb(stream, line)
            return stream.read1(size)  # `read` would lose what came out right before the stream breaks off
        except EOFError as exc:
            problem = f"the gzip stream breaks off after byte offset {offset} of the text in it"
            raise unreadable(self.name, line, problem, hint="the copy is not whole; fetch it again") from exc
        except (zlib.error, gzip.BadGzipFile) as exc:
            problem = f"the gzip stream is damaged after byte offset {offset} of the text in it ({exc})"
            raise unreadable(self.name, line, problem, hint="the copy is not whole; fetch it again") from exc
        except OSError as exc:
            problem = f"reading failed after byte offset {offset} ({exc.strerror or exc})"
            raise unreadable(self.name, line, problem) from exc

    def _refuse_bomb(self, stream: gzip.GzipFile, line: int) -> None:
        """Raise where far more came out of a gzip stream than an inventory can hold in so few bytes."""
        unpacked = stream.tell()
        if unpacked <= GZIP_BYTES_FREE or unpacked <= GZIP_RATIO_MAX * self._raw.tell():
            return
        problem = f"the gzip stream unpacks to more than {GZIP_RATIO_MAX} times its size"
        raise unreadable(self.name, line, problem, hint="no inventory shrinks so much; if it is one, unpack it first")

    def _bad_bytes(
        self,
        exc: UnicodeError,
        decoder: codecs.IncrementalDecoder,
        data: bytes,
        *,
        held: str,
        line: int,
        offset: int,
    ) -> InventoryError:
        """Place a decoder's complaint about `data`, which begins at `offset`, after `held` of line `line`."""
        hint = f"if the file is not {self.codec}, name its encoding: --encoding gbk, --encoding utf-16-le"
        if not isinstance(exc, UnicodeDecodeError) or not exc.object.endswith(data):
            # punycode and idna name a place in what they made of the bytes, which helps nobody.
            return unreadable(self.name, line, f"the text is not valid {self.codec} ({exc})", hint=hint)
        # A decoder complains about what it had kept back from earlier reads followed by `data`.
        start = exc.start - (len(exc.object) - len(data))
        with suppress(UnicodeError):  # UTF-16 without its mark is refused from the first character on
            line += _count_lines(held + decoder.decode(data[: max(start, 0)]))
        found = exc.object[exc.start : exc.start + 1].hex()
        problem = f"byte offset {offset + start} (0x{found}) is not valid {self.codec} ({exc.reason})"
        return unreadable(self.name, line, problem, hint=hint)

    def _refuse_half_characters(self, text: str, line: int) -> None:
        """Some codecs let half of a surrogate pair through, which no other encoding can hold."""
        if text.isascii():
            return
        try:
            text.encode()
        except UnicodeEncodeError as exc:
            line += _count_lines(text[: exc.start])
            raise unreadable(self.name, line, f"the {self.codec} text holds half a surrogate pair") from exc

    def _refuse_long_lines(self, parts: list[str], line: int) -> None:
        for number, part in enumerate(parts, line + 1):
            if len(part) > LINE_CHARS_MAX:
                problem = f"the line is longer than {LINE_CHARS_MAX} characters"
                raise unreadable(self.name, number, problem, hint="is this file really an inventory?")


def _known_codec(encoding: str) -> str:
    try:
        codecs.getincrementaldecoder(encoding)
        with suppress(UnicodeDecodeError):
            b" ".decode(encoding, "replace")  # refuses codecs that do not give text, like hex
        return codecs.lookup(encoding).name
    except (LookupError, ValueError) as exc:
        message = f"cannot read the inventory: unknown encoding `{encoding}`"
        raise InventoryError(message, hint="name a Python codec, such as utf-8, gbk or utf-16") from exc


def _count_lines(text: str) -> int:
    """How many line ends are in the text."""
    count = text.count("\n")
    return count + text.count("\r") - text.count("\r\n") if "\r" in text else count
