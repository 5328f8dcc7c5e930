"""The reader of CSV inventories."""

from batcher.operations.flow_log_row import COLUMNS
from tests.fuzz.hostile import WORDS
from tests.fuzz.inventories import ENCODINGS, MAPS, PLACE, check_inventory

_HEADER = ",".join(PLACE)
_ROW = ",".join(PLACE.values())
_TEXTS = (
    f"{_HEADER},name,enabled,Owner\n{_ROW},fl-1,yes,ann\n",
    f"{_HEADER};name\n{_ROW.replace(',', ';')}\n".replace(",", ";"),
    'name,Owner\n"a ""b""\nc",d\n\n  \n\'=x,"\r\n"\r',
    "name\rx\ry\r",
    'name\n"never closed\nx\n',
    "name,NAME\nx,y\n",
    "reſource_id,resource_id\nx,y\n",
    "\ufeffname\nx\n",
    "name,\nx,y\nx\nx,y,z\n",
    "a\0b,name\nc\0d,e\n",
    "name\nx,\0y\n",
    "name,\nx,\0y\n",
    'name,"O\n\0"\nx,y\n',
    ",".join(f"c{at}" for at in range(1001)) + "\n",
    "name," + "x" * 5000 + "," + "X" * 5000 + "\na,b,c\n",
    "enabled\nyeſ\nfalſe\nTRUE\nＴＲＵＥ\n",
)
SEEDS = (
    *(b"\0\0" + text.encode() for text in _TEXTS),
    *(b"\0\0name,Owner\n" + f'"{word}","{word}"\n'.encode() for word in WORDS),
    *(bytes((at, 0)) + _TEXTS[2].encode(name, "replace") for at, name in enumerate(ENCODINGS) if name != "idna"),
    *(bytes((0, at)) + _TEXTS[0].encode() for at in range(2 * len(MAPS))),
    b"\0\0name\n\xff\xfe\xed\xa0\x80\n",
    b"\0\0PK\x03\x04",
)
TOKENS = (*COLUMNS, *PLACE.values(), *WORDS, '"', '""', "\r\n", "\t", ";", "true", "yes", "LTS", "attachment", "Owner")


def check(data: bytes) -> None:
    """Rows or an `InventoryError`."""
    check_inventory(data, "csv")
