"""A checker for the part of JSON Schema that batcher's own schemas use; any other keyword is an error here."""

import re
from collections.abc import Iterator
from typing import Any

TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
NOTES = {"$schema", "title", "description", "default"}
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def faults(value: Any, schema: dict[str, Any], place: str = "$") -> list[str]:
    """Every way in which a value does not fit, with its place."""
    return list(_faults(value, schema, place))


def _faults(value: Any, schema: dict[str, Any], place: str) -> Iterator[str]:
    for keyword, rule in schema.items():
        if keyword == "properties":
            for name in rule.keys() & value.keys() if isinstance(value, dict) else ():
                yield from _faults(value[name], rule[name], f"{place}.{name}")
        elif keyword == "additionalProperties" and isinstance(value, dict):
            for name in value.keys() - schema.get("properties", {}).keys():
                if rule is False:
                    yield f"{place}.{name} is not allowed"
                elif rule is not True:
                    yield from _faults(value[name], rule, f"{place}.{name}")
        elif keyword == "items":
            for number, item in enumerate(value if isinstance(value, list) else ()):
                yield from _faults(item, rule, f"{place}[{number}]")
        elif keyword not in NOTES and not _fits(value, keyword, rule):
            yield f"{place}: {value!r} breaks {keyword} {rule!r}"


def _fits(value: Any, keyword: str, rule: Any) -> bool:
    match keyword:
        case "type":
            names = [rule] if isinstance(rule, str) else rule
            return any(
                isinstance(value, TYPES[name]) and (name == "boolean" or not isinstance(value, bool)) for name in names
            )
        case "enum":
            return value in rule
        case "anyOf":
            return any(not faults(value, choice) for choice in rule)
        case "required":
            return not isinstance(value, dict) or all(name in value for name in rule)
        case "minimum":
            return not isinstance(value, int | float) or value >= rule
        case "minLength":
            return not isinstance(value, str) or len(value) >= rule
        case "maxLength":
            return not isinstance(value, str) or len(value) <= rule
        case "pattern":
            return not isinstance(value, str) or re.search(rule, value) is not None
        case "format":
            assert rule == "date-time"
            return not isinstance(value, str) or TIME.fullmatch(value) is not None
        case "additionalProperties":
            return True
        case _:
            raise AssertionError(f"this checker does not know `{keyword}`")
