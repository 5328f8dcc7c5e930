"""The reader of plan files: `run --plan`, its seal right or not."""

import hashlib
import json
import os
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

from batcher.errors import BatcherError
from batcher.forecast import Forecast, ScopeForecast
from batcher.model import LaneKey
from batcher.planning.plan_file import read_plan
from batcher.policy.prospect import Prospect
from batcher.records import RunSite, Site
from batcher.review import read_reviewed
from batcher.settings import Settings
from batcher.wiring import Session
from tests.fuzz.draw import Draw, is_sound
from tests.fuzz.hostile import JSON_VALUES

_FOLDER = TemporaryDirectory(prefix="batcher-fuzz-")
_PATH = Path(_FOLDER.name) / "plan.json"
_SESSION = Session(settings=Settings(), environment={}, home=Path(os.devnull))
_LANE = LaneKey("default", "cn-north-4", "566bf9d7c55a45f8d1a6e55e9b9b1325")
_FORECAST = Forecast(
    inventory_name="a.csv",
    inventory_sha256="ab",
    fingerprint="cd",
    target="cloud",
    made_at=1.0,
    fix_drift=False,
    scopes=[ScopeForecast(_LANE, "er-1", 1, Counter({Prospect.CREATE: 2}), 0, "d1")],
    lanes=[],
    time_s=1.0,
    findings=[],
    warnings=[],
    survey_calls={},
    sites=[RunSite("default", "cn-north-4", Site("https://er.example.com"))],
    stop_code="",
    stop_message="",
    stop_advice="",
)
_HEAD = {
    "format": 1,
    "inventory": {"name": "a.csv", "sha256": "ab"},
    "fingerprint": "cd",
    "target": "cloud",
    "endpoints": [{"region": "cn-north-4", "er": "https://er.example.com", "iam": None, "lts": None}],
    "fix_drift": False,
    "scopes": [
        {"account": "default", "region": "cn-north-4", "project_id": _LANE.project_id, "er_id": "er-1"}
        | {"rows": {"create": 1}, "digest": "d1"}
    ],
}


def _with(name: str, value: str) -> bytes:
    """The head, with a raw JSON value for one of its members."""
    return b"\1" + json.dumps({**_HEAD, name: "@"}).replace('"@"', value).encode()[len('{"format": ') :]


SEEDS = (
    b"\1" + json.dumps(_HEAD).encode()[len('{"format": ') :],
    *(_with(name, value) for name in _HEAD for value in JSON_VALUES if name != "format"),
    *(_with("scopes", f"[{value}]") for value in JSON_VALUES),
    *(_with("scopes", f'[{{"rows": {value}, "digest": {value}, "er_id": {value}}}]') for value in JSON_VALUES),
    *(_with("scopes", f'[{{"rows": {{"create": {value}}}, "digest": "x"}}]') for value in JSON_VALUES),
    *(_with("inventory", f'{{"sha256": {value}}}') for value in JSON_VALUES),
    *(b"\1" + value.encode() + b"}" for value in JSON_VALUES),
    b"\1" + b"[" * 100_000,
    b"\1" + b'1, "a": ' + b'{"a":' * 50_000,
    b"\0" + b'{\n"format": 1,\n"changes": [\n],\n"seal": "x"\n}\n',
    b"\0" + b'{\n"format": 1',
    b"\0",
)
TOKENS = (
    '"format": ',
    '"changes": [',
    '"seal": "',
    '"inventory"',
    '"sha256"',
    '"scopes"',
    '"rows"',
    '"digest"',
    '"target"',
    *JSON_VALUES[:6],
)


def check(data: bytes) -> None:
    """The head of a plan that a run can be held to, or a deliberate error."""
    draw = Draw(data)
    if draw.number(2):
        head = b'{\n"format": ' + draw.rest.rstrip().removesuffix(b"}") + b',\n"changes": [\n\n],\n'
        _PATH.write_bytes(head + b'"seal": "' + hashlib.sha256(head).hexdigest().encode() + b'"\n}\n')
    else:
        _PATH.write_bytes(draw.rest)
    try:
        found = read_plan(_PATH)
        source = found.get("inventory")
        sha256 = str(source.get("sha256")) if isinstance(source, dict) else ""
        fingerprint = str(found.get("fingerprint"))
        reviewed = read_reviewed(_PATH, fingerprint, sha256, _SESSION)
        reviewed.applied_to(_SESSION)
        assert reviewed.settings
        reviewed.check_endpoints(_FORECAST.sites)
        reviewed.check(_FORECAST)
    except BatcherError as error:
        is_sound(error, needs_hint=True)
