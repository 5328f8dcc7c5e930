"""Variables of the environment that are meant for batcher: each has to be a setting's. Pure."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Final

from batcher.errors import ConfigError

PREFIX: Final = "BATCHER_"
NAME_CHARS_MAX: Final = 100
"""Of a name that is shown."""


def check_variables(environment: Mapping[str, str], keys: Iterable[tuple[str, str]], allowed: Iterable[str]) -> None:
    """Raise `ConfigError` for a variable that begins as batcher's do and sets nothing; `allowed` are others' names.

    One with a letter too many would else be a setting that does not hold, and nobody would be told.
    """
    known = {f"{PREFIX}{section}_{key}".upper() for section, key in keys}
    unknown = sorted(
        name for name in environment if name.upper().startswith(PREFIX) and name not in known and name not in allowed
    )
    if unknown:
        wrong = unknown[0]
        near = difflib.get_close_matches(wrong.upper(), known, n=1) or _by_key(wrong.upper(), known)
        hint = f"did you mean `{near[0]}`?" if near else "`batcher run --show-config` lists every setting"
        raise ConfigError(f"the variable `{wrong[:NAME_CHARS_MAX]}` is no setting of batcher", hint=hint)


def _by_key(wrong: str, known: Iterable[str]) -> list[str]:
    """The variable whose key it names, where only the section is missing."""
    key = wrong.removeprefix(PREFIX)
    return sorted(name for name in known if name.endswith(f"_{key}"))[:1]
