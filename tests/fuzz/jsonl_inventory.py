"""The reader of JSON Lines inventories."""

import json

from tests.fuzz import json_inventory
from tests.fuzz.hostile import JSON_VALUES, WORDS
from tests.fuzz.inventories import ENCODINGS, MAPS, PLACE, check_inventory

_LINES = json.dumps({**PLACE, "name": "fl-1", "Owner": "ann"}) + "\n" + json.dumps({"name": "x"}) + "\n"
_TEXTS = (
    _LINES,
    _LINES.replace("\n", "\r"),
    "\n \r\n" + _LINES,
    '{"name": 1} {"name": 2}\n',
    '{"name":\n1}\n',
    '{"name": "x"\n',
    '{"a":' * 200 + "\n",
    '{"name": "a", "NAME": "b"}\n1\nnull\n[]\n"x"\n',
)
SEEDS = (
    *(b"\0\0" + text.encode() for text in _TEXTS),
    *(b"\0\0" + f'{{"name": {value}, "Owner": {value}}}\n{value}\n'.encode() for value in JSON_VALUES),
    *(b"\0\0" + json.dumps({"name": word, word: word}).encode() for word in WORDS),
    *(bytes((at, 0)) + _TEXTS[0].encode(name, "replace") for at, name in enumerate(ENCODINGS) if name != "idna"),
    *(bytes((0, at)) + _TEXTS[0].encode() for at in range(2 * len(MAPS))),
)
TOKENS = json_inventory.TOKENS


def check(data: bytes) -> None:
    """Rows or an `InventoryError`."""
    check_inventory(data, "jsonl")
