"""A secret in the wrong place is refused without being quoted, and what is right is shown without secrets."""

import json
import os
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from batcher.cli.main import COMMANDS
from tests.e2e import secrets
from tests.e2e.clouds import cloud
from tests.e2e.commands import EMULATOR_KEYS, batcher, emulator, side_by_side, write_settings
from tests.e2e.inventories import some_rows, write_rows
from tests.e2e.secrets import ACCESS, AUTH_TOKEN, KEYS, PROXY, PROXY_PASSWORD, SECRET, assert_none, leaks, secrets_in
from tests.e2e.test_accounts import write_profile

BROKEN = f"https://{secrets.PROXY_USER}:{{}}{PROXY_PASSWORD}@er.cloud.invalid"
"""An endpoint with a password that holds what ends a host: a URL's parser takes it for a path or a fragment."""
WITH_PASSWORD = f"https://{PROXY}@er.cloud.invalid"
INVENTORY = "routers.csv"
ASKED = {
    "run": (INVENTORY,),
    "plan": (INVENTORY,),
    "validate": (INVENTORY,),
    "resume": (),
    "retry": (),
    "undo": ("a-run",),
    "status": (),
    "report": (),
    "doctor": (INVENTORY,),
}
"""The commands that read settings, with the words that they need."""


@dataclass(frozen=True)
class Wrong:
    """A secret in a wrong place: in the words, in `batcher.toml` or in the environment."""

    words: tuple[str, ...] = ()
    settings: str = ""
    extra: Mapping[str, str] = field(default_factory=dict)


SETTINGS = {
    "proxy flag": Wrong(("--proxy", f"http://{PROXY}@127.0.0.1:3128")),
    "proxy setting": Wrong(settings=f'[cloud]\nproxy = "http://{PROXY}@127.0.0.1:3128"\n'),
    "proxy variable": Wrong(extra={"BATCHER_CLOUD_PROXY": f"{PROXY}@127.0.0.1"}),
    "endpoint": Wrong(("--endpoint", WITH_PASSWORD)),
    "endpoint, slash": Wrong(("--endpoint", BROKEN.format("12/"))),
    "endpoint, mark": Wrong(("--iam-endpoint", BROKEN.format("?"))),
    "endpoint, hash": Wrong(extra={"BATCHER_CLOUD_LTS_ENDPOINT": BROKEN.format("#")}),
    "endpoint, port": Wrong(("--endpoint", BROKEN.format("%zz/"))),
    "region": Wrong(settings=f'[cloud.regions.cn-north-4]\nlts = "{WITH_PASSWORD}"\n'),
    "metadata endpoint": Wrong(
        extra={"BATCHER_CREDENTIALS_METADATA_ENDPOINT": WITH_PASSWORD, "BATCHER_CREDENTIALS_METADATA": "false"}
    ),
    "access key": Wrong(("--access-key-env", ACCESS, "--secret-key-env", "MY_SK")),
    "secret key": Wrong(("--access-key-env", "MY_AK", "--secret-key-env", SECRET)),
    "token": Wrong(("--auth-token-env", AUTH_TOKEN)),
    "key setting": Wrong(settings=f'[credentials]\naccess_key_variable = "{ACCESS}"\nsecret_key_variable = "S"\n'),
    "key list": Wrong(settings=f"[credentials]\nsecret_key_variable = ['{ACCESS}']\n"),
    "no setting": Wrong(settings=f'[credentials]\naccess_key = "{ACCESS}"\n'),
    "no section": Wrong(settings=f'secret_key = "{ACCESS}"\n'),
    "no TOML": Wrong(settings=f"[credentials]\nauth_token = {AUTH_TOKEN}\n"),
    "no variable": Wrong(extra={"BATCHER_CREDENTIALS_SECRET_KEY": SECRET}),
    "no JSON": Wrong(extra={"BATCHER_CLOUD_REGIONS": f"{{{AUTH_TOKEN}"}),
    "no flag": Wrong(("--secret-key", SECRET)),
    "no flag, joined": Wrong((f"--auth-token={AUTH_TOKEN}",)),
    "no word": Wrong((AUTH_TOKEN,)),
}


@pytest.mark.parametrize("talk", [("-vv", "--output", "json"), ("--emulator", "-vv"), ("--show-config",)])
async def test_a_secret_in_the_wrong_place_is_refused_and_not_quoted(tmp_path: Path, talk: tuple[str, ...]) -> None:
    """By a run, a rehearsal and a look at the settings: before anything is recorded."""

    async def refused(name: str, wrong: Wrong) -> tuple[str, int, list[str]]:
        folder = tmp_path / name
        folder.mkdir()
        inventory = write_rows(folder / INVENTORY, some_rows(1, account="north"))
        profile = write_profile(folder, north={"ak": secrets.NORTH_ACCESS, "sk": secrets.NORTH_SECRET})
        own = [profile, write_settings(folder, wrong.settings)]
        endpoint = () if "--endpoint" in wrong.words else ("--endpoint", "http://127.0.0.1:9")
        words = ("run", str(inventory), *endpoint, *wrong.words, *talk)
        ended = await batcher(folder, *words, extra={**KEYS, **wrong.extra})
        assert not list((folder / "reports").glob("2*")), f"{name}: it ran"
        return name, ended.code, leaks(folder, ended, own=own)

    outcomes = await side_by_side(refused(*case) for case in SETTINGS.items())
    assert_none(f"{name}: {found}" for name, _, leaked in outcomes for found in leaked)
    assert {name: code for name, code, _ in outcomes if code != 2} == {}


CREDENTIALS = {
    "half a pair": Wrong(extra={"HUAWEICLOUD_SDK_AK": ACCESS}),
    "the other half": Wrong(extra={"HW_SECRET_KEY": SECRET, "HW_SECURITY_TOKEN": secrets.SECURITY_TOKEN}),
    "a break": Wrong(extra={"HW_AUTH_TOKEN": f"{AUTH_TOKEN}\n{AUTH_TOKEN}"}),
    "no UTF-8": Wrong(extra={**KEYS, "HUAWEICLOUD_SDK_SK": os.fsdecode(b"\xff" + SECRET.encode())}),
    "a proxy of no UTF-8": Wrong(
        extra={**KEYS, "HTTPS_PROXY": os.fsdecode(f"http://{PROXY}\xe9@h:1".encode("latin-1"))}
    ),
    "a broken proxy": Wrong(extra={**KEYS, "HTTPS_PROXY": f"http://u:12/{PROXY_PASSWORD}@127.0.0.1"}),
    "a SOCKS proxy": Wrong(extra={**KEYS, "ALL_PROXY": f"socks5://{PROXY}@127.0.0.1:1"}),
    "a project": Wrong(extra={**KEYS, "HUAWEICLOUD_SDK_PROJECT_ID": SECRET}),
}
PROFILES = {
    "no pair": f"[basic]\nak = {ACCESS}\nsk {SECRET}\n",
    "no section": f"ak = {ACCESS}\nsk = {SECRET}\n",
    "twice": f"[basic]\nak = {ACCESS}\nak = {ACCESS}\nsk = {SECRET}\n",
    "half": f"[basic]\nsk = {SECRET}\n",
    "both": f"[basic]\nak = {ACCESS}\nsk = {SECRET}\nauth_token = {AUTH_TOKEN}\n",
    "unsafe": f"[basic]\nak = {ACCESS} {ACCESS}\nsk = {SECRET}\n",
    "latin": f"[basic]\nak = {ACCESS}\xe9\nsk = {SECRET}\n",
    "project": f"[basic]\nak = {ACCESS}\nsk = {SECRET}\nproject_id = {SECRET}\n",
}


async def test_credentials_that_cannot_be_used_are_not_quoted(tmp_path: Path) -> None:
    async def refused(name: str, wrong: Wrong, profile: str = "") -> tuple[str, int, list[str]]:
        folder = tmp_path / name
        path = folder / ".huaweicloud" / "credentials"
        path.parent.mkdir(parents=True)
        path.write_text(profile, encoding="latin-1")
        inventory = write_rows(folder / INVENTORY, some_rows(1))
        ended = await batcher(folder, "run", str(inventory), "-vv", extra=wrong.extra)
        assert not list((folder / "reports").glob("2*")), f"{name}: it ran"
        return name, ended.code, leaks(folder, ended, own=[path])

    cases = [refused(*case) for case in CREDENTIALS.items()]
    cases += [refused(f"profile, {name}", Wrong(), text) for name, text in PROFILES.items()]
    outcomes = await side_by_side(cases)
    assert_none(f"{name}: {found}" for name, _, leaked in outcomes for found in leaked)
    assert {name: code for name, code, _ in outcomes if code != 2} == {}


async def test_no_command_shows_a_secret_in_its_help_or_its_settings(tmp_path: Path) -> None:
    """With keys, a token and a proxy's password in the environment, where they belong."""
    write_rows(tmp_path / INVENTORY, some_rows(2))
    extra = {**KEYS, **secrets.TOKEN, "HTTPS_PROXY": f"http://{PROXY}@127.0.0.1:1"}
    lines = [(name, *words, "--show-config") for name, words in ASKED.items()]
    lines += [(name, "--help") for name in COMMANDS]
    lines += [("schema", what) for what in ("inventory", "report", "summary", "plan")]
    lines += [("validate", INVENTORY, "-vv", "--output", "json")]
    ended = await side_by_side(batcher(tmp_path, *words, extra=extra) for words in lines)
    assert_none(leaks(tmp_path, *ended))
    assert {command.code for command in ended} == {0}
    assert all(command.out for command in ended)


async def test_a_rehearsal_and_the_emulator_keep_no_secret(tmp_path: Path) -> None:
    """The emulator is asked with the user's own keys by mistake, then with the keys that it prints at its start."""
    inventory = write_rows(tmp_path / INVENTORY, some_rows(2))
    rehearsals = [
        await batcher(tmp_path, *words, "--emulator", "-vv", "--output", "json", extra=KEYS)
        for words in (("run", str(inventory)), ("status",), ("report",), ("doctor", "--region", "cn-north-4"))
    ]
    assert [ended.code for ended in rehearsals] == [0] * 4
    async with emulator(tmp_path, "--state", "world.db") as running:
        words = ("run", str(inventory), "--endpoint", running.url, "-vv")
        for extra, code in ((KEYS, 7), (secrets.TOKEN, 7), (EMULATOR_KEYS, 0)):
            ended = await batcher(tmp_path, *words, extra=extra)
            assert ended.code == code, ended.err
            rehearsals.append(ended)
    assert (tmp_path / "world.db").is_file()
    assert (tmp_path / "reports" / "rehearsal.db.emulator").is_file()
    assert_none(leaks(tmp_path, *rehearsals))


async def test_a_ledger_that_cannot_be_used_tells_no_secret(tmp_path: Path) -> None:
    """Damaged, of another program, a directory; a report that cannot be written."""
    inventory = write_rows(tmp_path / INVENTORY, some_rows(3))
    async with cloud(keys={ACCESS: SECRET}) as sky:
        words = (*sky.words("run", str(inventory)), "-vv")
        whole = await batcher(tmp_path, *words, extra=KEYS)
        assert whole.code == 0, whole.err
        ledger = tmp_path / "reports" / "ledger.db"
        content = ledger.read_bytes()
        half, other, occupied = (tmp_path / name for name in ("half.db", "other.db", "occupied"))
        half.write_bytes(content[:4096] + b"\xa5" * 4096 + content[8192:])
        with closing(sqlite3.connect(other)) as database:
            database.execute("CREATE TABLE run (id)")
        occupied.write_bytes(b"")
        lines = [(*words, "--ledger", str(path)) for path in (half, other, tmp_path)]
        lines.append((*words, "--reports", str(occupied)))
        ended = await side_by_side(batcher(tmp_path, *line, extra=KEYS) for line in lines)
    assert_none(leaks(tmp_path, whole, *ended))
    assert 0 not in {command.code for command in ended}, json.dumps([command.err for command in ended])
    assert secrets_in(content) == []
