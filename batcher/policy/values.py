"""Values of settings and flags as people write them: times with a unit, whole numbers, texts that TOML takes otherwise.

Each function takes whatever a file, a variable or a flag holds, and raises `ValueError` that says what is expected.
"""

import math
import re
from datetime import time

SECONDS_OF: dict[str, float] = {
    "ms": 0.001,
    "s": 1.0,
    "sec": 1.0,
    "second": 1.0,
    "min": 60.0,
    "m": 60.0,
    "minute": 60.0,
    "h": 3600.0,
    "hour": 3600.0,
    "d": 86_400.0,
    "day": 86_400.0,
}
"""The units of time, in seconds."""


def seconds_of(value: object) -> float:
    """`300`, `0.5`, `5m`, `6h`, `1d`: a time in seconds."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _finite(value)
    text = value.strip().lower() if isinstance(value, str) else ""
    match = re.fullmatch(r"(-?\d{1,12}(?:\.\d{1,9})?)\s*([a-z]*)", text, re.ASCII)
    if match is None or match[2] not in SECONDS_OF | {"": 1.0}:
        raise ValueError(
            f"`{shown(value)}` is no time: write seconds, or a number and a unit, such as `30`, `5m` or `6h`"
        )
    return float(match[1]) * SECONDS_OF.get(match[2], 1.0)


def number_of(value: object) -> float:
    """A number that is none of a truth and not without end: `0.25`."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _finite(value)
    if isinstance(value, str) and re.fullmatch(r"\s*-?\d{1,12}(\.\d{1,12})?\s*", value, re.ASCII):
        return float(value)
    raise ValueError(f"`{shown(value)}` is no number: write one such as `0.25`")


def whole_of(value: object) -> int:
    """A whole number: `64`."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and re.fullmatch(r"\s*-?\d{1,18}\s*", value, re.ASCII):
        return int(value)
    raise ValueError(f"`{shown(value)}` is no whole number: write one such as `64`")


def text_of(value: object) -> object:
    """The text of what TOML takes for something else where no quotes stand: `true`, `10`, `06:00`."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    return value.isoformat("minutes") if isinstance(value, time) and not (value.second or value.microsecond) else value


def shown(value: object) -> str:
    """A value as a file would write it."""
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError(f"`{value}` has no end: write a number")
    return float(value)
