"""How a cell is kept from being run as a formula by a spreadsheet, and how that is taken back.

Excel and its kin run a cell that begins with one of `= + - @`, a tab or a carriage return (OWASP, "CSV
Injection"); a leading apostrophe makes it text. A cell that has apostrophes before such a character gets
one more, so that `undefuse` gives back every text that `defuse` was given. Whoever writes a CSV uses the
one, whoever reads it the other: they must stay in step.
"""

import re

_NEEDS_DEFUSING = re.compile(r"'*[=+\-@\t\r]")
_WAS_DEFUSED = re.compile(r"'+[=+\-@\t\r]")


def defuse(cell: str) -> str:
    """The cell as a CSV report writes it: no spreadsheet takes it for a formula."""
    return f"'{cell}" if _NEEDS_DEFUSING.match(cell) else cell


def undefuse(cell: str) -> str:
    """The cell as it was before `defuse`; a cell that was never defused comes back as it is."""
    return cell[1:] if _WAS_DEFUSED.match(cell) else cell
