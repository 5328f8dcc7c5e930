"""Which rows of a run a `retry` or an `undo` takes up: all that it may, or those that are named by how they ended."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

SELECTION = "selection"
"""Where a run's settings hold it."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What a row must have to be taken up, as its report says it; an empty field asks for nothing.

    `outcome` and `code` are those of the report's columns; `remote_state` is the provider's own.
    """

    outcome: str = ""
    code: str = ""
    remote_state: str = ""

    @property
    def is_all(self) -> bool:
        """Whether it asks for nothing."""
        return self == Selection()

    @property
    def words(self) -> str:
        """What it asks for, as an end to a sentence about rows; empty where it asks for nothing."""
        parts = [f"outcome `{self.outcome}`"] if self.outcome else []
        parts += [f"error code `{self.code}`"] if self.code else []
        parts += [f"a flow log in state `{self.remote_state}`"] if self.remote_state else []
        return f" with {' and '.join(parts)}" if parts else ""

    def recorded(self) -> dict[str, object]:
        """What a run's settings hold of it; empty where it asks for nothing."""
        return {} if self.is_all else {SELECTION: asdict(self)}


ALL = Selection()


def selection_of(settings: Mapping[str, object]) -> Selection:
    """The selection that a run was begun with."""
    recorded = settings.get(SELECTION)
    if not isinstance(recorded, Mapping):
        return Selection()
    return Selection(**{name: str(recorded.get(name, "")) for name in ("outcome", "code", "remote_state")})
