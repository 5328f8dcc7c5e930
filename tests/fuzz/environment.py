"""The reader of the environment: settings and credentials in variables."""

from pathlib import Path

from batcher.cloud.credentials import load_credentials
from batcher.config import all_keys, load_settings
from batcher.errors import ConfigError
from tests.fuzz.draw import Draw, is_sound, joined
from tests.fuzz.hostile import JSON_VALUES, WORDS
from tests.fuzz.settings_file import check_settings

VARIABLES = (
    *(f"BATCHER_{section}_{key}".upper() for section, key in all_keys()),
    "HUAWEICLOUD_SDK_AK",
    "HUAWEICLOUD_SDK_SK",
    "HUAWEICLOUD_SDK_PROJECT_ID",
    "HW_AUTH_TOKEN",
    "BATCHER_RUN_",
    "BATCHER_run_ſtrict",
    "BATCHER_",
)
_NOWHERE = Path("nowhere")


def _of(name: str, value: bytes) -> bytes:
    return bytes((VARIABLES.index(name),)) + value


SEEDS = (
    _of("BATCHER_RUN_RATE", b"5/s"),
    _of("BATCHER_RUN_RATE", b"\xc3\x28"),
    _of("BATCHER_DEFAULTS_REGION", b"\xed\xa0\x80"),
    _of("BATCHER_CLOUD_ERRORS", b'[{"status": 400, "kind": "exists"}]'),
    _of("BATCHER_CLOUD_ERRORS", b"[" * 100_000),
    _of("BATCHER_CLOUD_REGIONS", b'{"a":' * 50_000),
    _of("BATCHER_INVENTORY_MAP", b'{"name": "x"}'),
    _of("BATCHER_INVENTORY_MAP", b'{"name": "\\ud800"}'),
    joined(_of("HUAWEICLOUD_SDK_AK", b"ABC"), _of("HUAWEICLOUD_SDK_SK", b"\xffx")),
    joined(_of("HUAWEICLOUD_SDK_AK", b"A\r\nB"), _of("HUAWEICLOUD_SDK_SK", b"x")),
    *(_of(name, b"1") for name in VARIABLES),
    *(_of("BATCHER_DEFAULTS_NAME_TEMPLATE", word.encode()) for word in WORDS),
    *(_of("BATCHER_CLOUD_ENDPOINT", b"https://" + word.encode()) for word in WORDS),
    *(_of("BATCHER_CLOUD_ERRORS", f"[{value}]".encode()) for value in JSON_VALUES),
    *(_of("BATCHER_CLOUD_ERRORS", f'[{{"status": {value}, "kind": "exists"}}]'.encode()) for value in JSON_VALUES),
)
TOKENS = (
    "true",
    "false",
    "auto",
    "10/s",
    "https://",
    "{region}",
    '{"',
    '":',
    "[{",
    '"status":',
    '"kind":',
    "06:00",
    "6h",
)


def check(data: bytes) -> None:
    """Settings and credentials, or errors that are `ConfigError`."""
    draw = Draw(data)
    environment = {}
    for _ in range(4):
        name, value = draw.one_of(VARIABLES), draw.text()
        if value and "\0" not in value:  # no environment holds that character
            environment[name] = value
    try:
        check_settings(load_settings({}, environment, None))
    except ConfigError as error:
        is_sound(error)
    try:
        found = load_credentials("default", environment, _NOWHERE)
        assert found.auth_token or found.access_key
    except ConfigError as error:
        is_sound(error)
