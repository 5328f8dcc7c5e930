r"""Lines of `report.jsonl`: one JSON object a row, typed.

Numbers are numbers, `enabled` is a boolean, what is unknown or does not apply is `null`. The user's columns
stand under `user`, by the inventory's own names, as text. Nothing is defused: this file is for programs.
"""

from collections.abc import Sequence
from json.encoder import encode_basestring
from typing import Final

from batcher.report.rows import ReportRow, RowProjection

_BOOLEANS: Final = {None: "null", True: "true", False: "false"}


class JsonlLayout:
    """The shape of a line, made once for a run: encoding the same 25 keys again would double the time."""

    def __init__(self, projection: RowProjection) -> None:
        user = _members(projection.user_names)
        self._template = f'{{{_members(projection.columns)},"user":{{{user}}}}}\n'
        self._enabled = projection.columns.index("enabled")

    def line(self, row: ReportRow) -> str:
        r"""The row as one line, `\n` included."""
        texts: list[str | int] = [
            encode_basestring(value) if isinstance(value, str) else "null" if value is None else value
            for value in [*row.values, *row.user]
        ]
        texts[self._enabled] = _BOOLEANS[row.enabled]
        return self._template % tuple(texts)


def _members(names: Sequence[str]) -> str:
    """The members of a JSON object with a `%s` for each value."""
    return ",".join(encode_basestring(name).replace("%", "%%") + ":%s" for name in names)
