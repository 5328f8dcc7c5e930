"""How a text is kept from doing more than being read: by a spreadsheet, by a terminal.

Excel and its kin run a cell that begins with one of `= + - @`, a tab or a line end, and in some languages also the
full-width forms of the four (OWASP, "CSV Injection"); a leading apostrophe makes it text. A cell that has apostrophes
before such a character gets one more, so that `undefuse` gives back every text that `defuse` was given. Whoever writes
a CSV uses the one, whoever reads it the other: they must stay in step.

A terminal obeys control characters, and shows what stands around some invisible ones in another order than it is
written (Unicode Technical Report 36). In a line for people each of them is shown as U+FFFD, in JSON it is escaped,
which loses nothing, and in a cell only those are replaced that no text needs.
"""

import json
import re

_NEEDS_DEFUSING = re.compile(r"'*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
_WAS_DEFUSED = re.compile(r"'+[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")

REPLACEMENT = "\ufffd"
"""Stands for a character that was taken out."""

NO_TEXT_NEEDS = r"\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069"
"""Of a class in a pattern: control characters but tabs and line ends, and those that turn the direction of text."""

_UNNEEDED = re.compile(f"[{NO_TEXT_NEEDS}]")


def defuse(cell: str) -> str:
    """The cell as a CSV report writes it: no spreadsheet takes it for a formula."""
    return f"'{cell}" if _NEEDS_DEFUSING.match(cell) else cell


def undefuse(cell: str) -> str:
    """The cell as it was before `defuse`; a cell that was never defused comes back as it is."""
    return cell[1:] if _WAS_DEFUSED.match(cell) else cell


def harmless(cell: str) -> str:
    """The cell without what a terminal would obey: tabs, line ends and all that can be read stay."""
    return cell if cell.isprintable() else _UNNEEDED.sub(REPLACEMENT, cell)


def printable(text: str) -> str:
    """The text as one line for a person; halves of surrogate pairs, which no stream takes, are replaced too."""
    return text if text.isprintable() else "".join(c if c.isprintable() else REPLACEMENT for c in text)


def printable_json(text: str) -> str:
    """A JSON text with what cannot be printed escaped: the same value, on the same lines."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)
