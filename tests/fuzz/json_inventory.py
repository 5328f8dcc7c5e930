"""The reader of JSON inventories."""

import json

from batcher.operations.flow_log_row import COLUMNS
from tests.fuzz.hostile import JSON_VALUES, WORDS
from tests.fuzz.inventories import ENCODINGS, MAPS, PLACE, check_inventory

_TEXTS = (
    json.dumps([{**PLACE, "name": "fl-1", "enabled": True, "Owner": "ann"}]),
    json.dumps({"total": 1, "page": {"x": [1]}, "rows": [PLACE, PLACE]}, indent=1),
    '[{"name": "a", "name": "b"}, 1, null, [], {"": 1}]',
    '{"a": [], "b": []}',
    "[" * 200,
    '{"a":' * 200,
    '[{"a": ' + "[" * 70 + "]" * 70 + "}]",
    '[{"name": "x"}] [',
    '[{"name": "\\ud83d\\ude00\\ud83d"}]',
    '[{"' + "k" * 5000 + '": 1, "' + "K" * 5000 + '": 2}]',
    '[{"enabled": "yeſ"}, {"ENABLED": 1}, {"reſource_id": "x", "resource_id": "y"}]',
)
SEEDS = (
    *(b"\0\0" + text.encode() for text in _TEXTS),
    *(b"\0\0" + f'[{{"name": {value}, "Owner": {value}}}, {value}]'.encode() for value in JSON_VALUES),
    *(b"\0\0" + json.dumps([{"name": word, word: word}]).encode() for word in WORDS),
    *(b"\0\0" + json.dumps([{"name": word}], ensure_ascii=False).encode() for word in WORDS),
    *(bytes((at, 0)) + _TEXTS[0].encode(name, "replace") for at, name in enumerate(ENCODINGS) if name != "idna"),
    *(bytes((0, at)) + _TEXTS[0].encode() for at in range(2 * len(MAPS))),
)
TOKENS = (
    *COLUMNS,
    *PLACE.values(),
    *WORDS,
    *JSON_VALUES[:6],
    '":',
    '\\"',
    "\\u",
    "\\ud800",
    "\\u0000",
    "1e400",
    "Owner",
)


def check(data: bytes) -> None:
    """Rows or an `InventoryError`."""
    check_inventory(data, "json")
