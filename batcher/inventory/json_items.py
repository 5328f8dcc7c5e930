"""Items of a JSON array, of the one array in a JSON object, or of JSON Lines, with their line numbers.

How it works. `JsonItems` follows the parser's events through three places: the surroundings of the items
(an array, or an object and its members; nothing in JSON Lines), an item's own members, and a value nested in
an item, which is written straight back to compact JSON. An item's line is that of its opening brace. No step
recurses, so depth costs nothing until `DEPTH_MAX` ends it. Members' names and text values, by far the most
events, are taken in the loop itself; all else goes through `_step`.
"""

import json
from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple

from batcher.inventory.columns import COLUMNS_MAX, NAMES_SHOWN, listed
from batcher.inventory.json_feed import JsonFeed
from batcher.inventory.text import Text, unreadable

ITEM_CHARS_MAX = 1024 * 1024
"""Longest item, give or take one read: 1,000 times a generous row, and items must fit in memory."""

DEPTH_MAX = 64
"""Deepest nesting in an item or around the items; real exports have 2 to 5 levels."""


Members = list[tuple[str, str | None]]
"""The members of an item in order; null is None."""


class Nested(str):
    """An array or an object as compact JSON, in the place of a member's text."""

    __slots__ = ()


class Item(NamedTuple):
    """An item and the line where it starts: its members in order, or (`members` None) what it is instead.

    `cleaned`: a U+FFFD in it may stand for a character that could not be kept.
    """

    line: int
    members: Members | None
    instead: str
    cleaned: bool


class JsonItems:
    """Reads the items of a text once; with `one_a_line` each line is one item.

    Iterating raises `InventoryError` where the text has another form, is broken, or passes a limit.
    """

    def __init__(self, text: Text, *, one_a_line: bool) -> None:
        several = not one_a_line and stand_one_after_another(text)
        self._name = text.name
        self._feed = JsonFeed(text, one_a_line=one_a_line, several=several)
        self._one_a_line = one_a_line
        self._surroundings = _Surroundings(text.name)
        self._inside = one_a_line or several
        self._line = 1
        self._odd = False
        self._begun = 0  # items begun in this feed
        self._chars = 0  # fed since the open item began, or since the last event between items
        self._item_line = 0  # 0: none is open
        self._cleaned = False
        self._members: Members | None = None
        self._nested: _NestedText | None = None

    def __iter__(self) -> Iterator[Item]:
        members: Members | None = None
        key = ""
        for line, fed, events, odd in self._feed.events():
            self._line, self._odd, self._begun = line, odd, 0
            self._cleaned = self._cleaned or odd
            for event, value in events:
                if members is not None and event == "map_key":
                    key = value
                elif members is not None and event == "string":
                    members.append((key, value))
                else:
                    item = self._step(event, value, key)
                    if item is not None:
                        yield item
                    members = self._members if self._nested is None else None
            if self._one_a_line:
                self._check_line()
            self._check_size(fed, any_events=bool(events))

    def _step(self, event: str, value: Any, key: str) -> Item | None:
        """Take one event; the item that it completes, if it does."""
        if self._nested is not None:
            return self._step_in_nested(self._nested, event, value, key)
        if self._members is not None:
            return self._step_in_item(self._members, event, value, key)
        if self._inside and event != "end_array":
            return self._begin_item(event, value)
        self._inside = self._surroundings.step(event, value, self._line)
        return None

    def _begin_item(self, event: str, value: Any) -> Item | None:
        self._item_line, self._cleaned = self._line, self._odd
        self._begun += 1
        if event == "start_map":
            self._members = []
        elif event == "start_array":
            self._nested = _NestedText(event)
        else:
            return self._end_item(_scalar_json(event, value))
        return None

    def _step_in_item(self, members: Members, event: str, value: Any, key: str) -> Item | None:
        if event == "end_map":
            return self._end_item()
        if event in ("start_map", "start_array"):
            self._nested = _NestedText(event)
        else:
            members.append((key, None if event == "null" else _scalar_json(event, value)))
        return None

    def _step_in_nested(self, nested: "_NestedText", event: str, value: Any, key: str) -> Item | None:
        nested.add(event, value)
        if nested.depth > DEPTH_MAX:
            raise unreadable(self._name, self._line, f"JSON nested deeper than {DEPTH_MAX} levels")
        if nested.depth:
            return None
        self._nested = None
        if self._members is None:
            return self._end_item(nested.text())
        self._members.append((key, Nested(nested.text())))
        return None

    def _end_item(self, instead: str = "") -> Item:
        item = Item(self._item_line, self._members, instead, self._cleaned)
        if item.members is not None and len(item.members) > COLUMNS_MAX:
            raise unreadable(self._name, item.line, f"the item has more than {COLUMNS_MAX} members")
        self._members, self._item_line, self._cleaned = None, 0, False
        return item

    def _check_line(self) -> None:
        """JSON Lines: the line that was fed must hold one whole item, or nothing."""
        if self._item_line:
            problem, hint = "the value that starts here does not end on this line", "--input-format json"
            raise unreadable(self._name, self._line, problem, hint=f"a JSON array or object is {hint}")
        if self._begun > 1:
            raise unreadable(self._name, self._line, "more than one JSON value on the line")

    def _check_size(self, fed: str, *, any_events: bool) -> None:
        """Between items a value that is passed over counts as well: the parser holds it in memory."""
        if any_events and (self._begun or not self._item_line):
            self._chars = 0
        elif not fed.isspace():
            self._chars += len(fed)
        if self._chars > ITEM_CHARS_MAX:
            problem = f"a JSON value longer than {ITEM_CHARS_MAX} characters starts here"
            raise unreadable(self._name, self._item_line or self._line, problem)


def stand_one_after_another(text: Text) -> bool:
    """Whether a text is objects one after another, as `jq '.[]'` writes a list: the first holds no array, and another
    follows. Raises `InventoryError` where it is broken before that is known.
    """
    depth, is_over, chars = 0, False, 0
    for _, fed, events, _ in JsonFeed(text, one_a_line=False, several=True).events():
        chars += len(fed)
        if chars > ITEM_CHARS_MAX:
            return False
        for event, _ in events:
            if is_over:
                return event == "start_map"
            depth += (event in ("start_map", "start_array")) - (event in ("end_map", "end_array"))
            if (event == "start_array" and depth <= 2) or depth > DEPTH_MAX:
                return False
            is_over = not depth
    return False


class _Surroundings:
    """What stands around the items: an array, or an object that holds exactly one array."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._depth = 0
        self._keys: deque[str] = deque(maxlen=NAMES_SHOWN)
        self._array: str | None = None

    def step(self, event: str, value: Any, line: int) -> bool:
        """Take an event from outside any item; whether items follow."""
        if event in ("start_map", "start_array"):
            self._depth += 1
            if self._depth > DEPTH_MAX:
                raise unreadable(self._name, line, f"JSON nested deeper than {DEPTH_MAX} levels")
            return event == "start_array" and self._enters_items(line)
        if event in ("end_map", "end_array"):
            self._depth -= 1
            if event == "end_map" and not self._depth and self._array is None:
                problem = f"the object holds no array of rows; its members are {listed(self._keys)}"
                hint = "if each line is an object of its own, add --input-format jsonl"
                raise unreadable(self._name, line, problem, hint=hint)
        elif event == "map_key" and self._depth == 1:
            self._keys.append(value)
        elif not self._depth:
            raise unreadable(self._name, line, "the JSON is neither an array nor an object with one")
        return False

    def _enters_items(self, line: int) -> bool:
        if self._depth != 2:
            return self._depth == 1
        if self._array is not None:
            problem = f"the object holds more than one array: {listed([self._array, self._keys[-1]])}"
            raise unreadable(self._name, line, problem, hint="leave only the array of rows in the file")
        self._array = self._keys[-1]
        return True


class _NestedText:
    """Compact JSON of one array or object, written from its events; `depth` is 0 once it is whole."""

    def __init__(self, event: str) -> None:
        self.depth = 0
        self._parts: list[str] = []
        self._follows = False  # a value stands before at this level
        self.add(event, None)

    def add(self, event: str, value: Any) -> None:
        """Take the next event."""
        if event in ("end_map", "end_array"):
            self._parts.append("}" if event == "end_map" else "]")
            self.depth -= 1
            self._follows = True
            return
        if self._follows:
            self._parts.append(",")
        self._follows = False
        if event == "map_key":
            self._parts.append(_scalar_json("string", value) + ":")
        elif event in ("start_map", "start_array"):
            self._parts.append("{" if event == "start_map" else "[")
            self.depth += 1
        else:
            self._parts.append(_scalar_json(event, value))
            self._follows = True

    def text(self) -> str:
        """What was written so far."""
        return "".join(self._parts)


def _scalar_json(event: str, value: Any) -> str:
    """A scalar as compact JSON; a number as it is written."""
    if event == "number":
        return str(value)
    return json.dumps(value, ensure_ascii=False)
