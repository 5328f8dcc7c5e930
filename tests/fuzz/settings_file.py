"""The reader of `batcher.toml`, to the settings that everything else is made from."""

import os
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from batcher.config import Configuration, all_keys, load_settings
from batcher.errors import ConfigError
from batcher.from_settings import endpoints_of, error_table
from batcher.wiring import Session, row_defaults
from tests.fuzz.draw import can_be_kept, is_sound
from tests.fuzz.hostile import WORDS

_FOLDER = TemporaryDirectory(prefix="batcher-fuzz-")
_PATH = Path(_FOLDER.name) / "batcher.toml"

_TEXTS = (
    '[run]\nrate = "5/s"\nuntil = "06:00"\ntime = "6h"\nmax_failures = "10%"\n[defaults]\nregion = "cn-north-4"\n',
    '[cloud]\nendpoint = "https://er.example.com"\nproxy = "none"\n[cloud.regions.x]\ner = "http://[::1]:80"\n',
    '[[cloud.errors]]\nstatus = 400\ncode = "X.1"\nkind = "transient"\nstops = "run"\n',
    '[inventory]\nencoding = "gbk"\nmap = {name = "x", er_id = "x"}\n[report]\nformats = ["csv", "csv"]\n',
    '[credentials]\nprofile_file = "~/x"\naccess_key_variable = "A"\n',
    '[defaults]\nname_template = "{resource_id:>999999999}"\n',
    '[defaults]\nname_template = "{resource_id.__class__.__mro__}-{0}-{}-{"\n',
    '[run]\nrate = "５/s"\n',
    '[run]\nuntil = "２３:５９"\n',
    "[run]\nreserve = " + "9" * 5000 + "\n",
    "[run]\nreserve = inf\nverify_time_s = nan\n",
    "x = " + "[" * 3000,
    "x = " + "{a=" * 3000,
    "run = 1\n",
    "[run]\nno_such = 1\n[no_such]\n",
    '[cloud]\nendpoint = "https://user:pass@host/{region}"\n',
    '[cloud]\nerrors = [{status = 1, kind = "x", advice = "' + "y" * 5000 + '"}]\n',
    "[run]\nrate = '" + "x" * 5000 + "'\n",
)
SEEDS = (
    *(text.encode() for text in _TEXTS),
    *(f"[defaults]\nname_template = {_quoted}\n".encode() for _quoted in map(repr, WORDS)),
    *(f"[defaults]\nregion = '''{word}'''\nname_template = '''{word}'''\n".encode() for word in WORDS),
    b"\xff\xfe[run]",
    b"\xef\xbb\xbf[run]\n",
)
TOKENS = (
    *(f"[{section}]" for section in dict(all_keys())),
    *(f"{key} = " for _, key in all_keys()),
    "{resource_id}",
    "{region}",
    "https://",
    "[[cloud.errors]]",
    "[cloud.regions.x]",
    "'''",
    "inf",
    "nan",
    "10/min",
    "auto",
    "6h",
    "06:00",
    "5%",
)


def check(data: bytes) -> None:
    """Settings that everything can be made from, or a `ConfigError`."""
    _PATH.write_bytes(data)
    try:
        configuration = load_settings({}, {}, _PATH)
        check_settings(configuration)
    except ConfigError as error:
        is_sound(error)


def check_settings(configuration: Configuration) -> None:
    """What a command makes of settings before it does anything. Raises `ConfigError`."""
    for line in configuration.lines():
        line.encode("ascii")
    session = Session(settings=configuration.settings, environment={}, home=Path(os.devnull))
    endpoints_of(session.settings)
    error_table(session.settings)
    assert session.deadline is None or session.deadline > 0
    defaults = row_defaults(session)
    with suppress(KeyError):
        for value in defaults.fill({}).values():
            can_be_kept(value)
