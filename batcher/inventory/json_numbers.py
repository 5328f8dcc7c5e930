"""The numbers of a JSON text as they are written there: `1e5` is a name, and not `100000`.

The parser gives values. So the text is read beside it: numbers come in the order of the parser's events, and whatever
stands between quotes is passed over. A number that Python cannot hold is given to the parser as another of the same
length; what counts is its text.
"""

import re
from collections import deque

DIGITS_MAX = 4_000
"""Python reads whole numbers of at most 4,300 digits."""
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+("|\\?$)|-?[0-9][0-9.eE+-]*|-\Z')
_HUGE = re.compile(rf"[0-9]{{{DIGITS_MAX}}}|[eE][+-]?[0-9]{{17}}")
"""So many digits, or an exponent of so many, which no decimal number can have."""


class NumberTexts:
    """Follows a text piece by piece; `texts` has those numbers of it that nobody has taken yet."""

    def __init__(self) -> None:
        self.texts: deque[str] = deque()
        self._rest = ""  # a string or a number that the last piece did not end

    def read(self, piece: str) -> str:
        """Take the next piece; the same, of the same length, with numbers that the parser can hold."""
        begun, self._rest = self._rest, ""
        text = begun + piece
        parts, end = [], 0
        for found in _TOKEN.finditer(text):
            token = found[0]
            if token[0] == '"':
                self._rest = "" if found[1] == '"' else f'"{found[1]}'  # that it goes on, and after which character
                continue
            if found.end() == len(text):
                self._rest = token
            else:
                self.texts.append(token)
            if _HUGE.search(token) and found.start() >= len(begun):  # whole in this piece, but for what no item holds
                parts += [text[end : found.start()], "1e".ljust(len(token), "0")]
                end = found.end()
        return piece if not parts else "".join([*parts, text[end:]])[len(begun) :]


def is_huge(piece: str) -> bool:
    """Whether a piece may hold a number that Python cannot."""
    return _HUGE.search(piece) is not None
