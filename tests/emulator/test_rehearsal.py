"""The embedded emulator of `--emulator`: what its settings do, and whom it serves."""

import stat
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from batcher.cloud.credentials import Credentials
from batcher.emulator.server import Emulator
from batcher.errors import ConfigError
from batcher.rehearsal import embedded, rehearsal
from batcher.settings import EmulatorSection
from tests.emulator.client import PROJECT, Client

ROUTERS = f"/v3/{PROJECT}/enterprise-router/instances"


def test_each_setting_of_its_section_reaches_the_embedded_emulator() -> None:
    given: dict[str, object] = {
        "pending_s": 1.0,
        "listing_lag_s": 2.0,
        "delete_lag_s": 3.0,
        "tombstones": True,
        "unique": False,
        "date_shift_s": -4.0,
        "token_lifetime_s": 5.0,
        "remember_tokens": False,
        "quota": 6,
        "latency_s": 0.5,
        "seed": 7,
    }
    shares = {"refused_before": 0.1, "error_after": 0.2, "lost_after": 0.3, "truncated_after": 0.4}
    section = EmulatorSection.model_validate({**given, **shares, "throttle": "8/s"})
    assert section.model_fields_set == set(EmulatorSection.model_fields)
    settings = rehearsal(section, None)
    assert {name: getattr(settings, name) for name in given} == given
    assert {name: getattr(settings.faults, name) for name in shares} == shares
    assert settings.throttle is not None
    assert (settings.throttle.calls, settings.throttle.period_s) == (8, 1)


async def test_nobody_else_on_the_machine_can_use_or_reset_a_rehearsal() -> None:
    """Seen: fixed keys and an open control, so that any user could empty the rehearsal of another (204)."""
    async with embedded(EmulatorSection(), None) as (url, keys), aiohttp.ClientSession() as session:
        client = Client(Emulator(url), session)
        mine: dict[str, Any] = {"access": keys.access_key, "secret": keys.secret_key}
        for method, path in (("POST", "/reset"), ("GET", "/statistics"), ("PATCH", "/settings"), ("DELETE", "/tokens")):
            assert (await client.control(method, path)).status == 401
        for access in ("EMULATORAK", keys.access_key):
            for secret in ("EMULATORSK", ""):
                refused = await client.ask(ROUTERS, access=access, secret=secret)
                assert refused.refused == (401, "APIGW.0301")
        assert (await client.ask(ROUTERS, **mine)).status == 200
        assert (await client.ask("/_emulator/statistics", **mine)).status == 404


async def test_each_start_has_a_secret_of_its_own_under_one_name(tmp_path: Path) -> None:
    found: list[Credentials] = []
    for _ in range(2):
        async with embedded(EmulatorSection(), tmp_path / "ledger.db") as (_, keys):
            found.append(keys)
    assert found[0].access_key == found[1].access_key
    assert found[0].secret_key != found[1].secret_key
    assert all(len(keys.secret_key) == 64 for keys in found)


async def test_the_state_of_a_rehearsal_is_closed_to_others_and_no_link_is_followed(tmp_path: Path) -> None:
    ledger, state, other = (tmp_path / name for name in ("ledger.db", "ledger.db.emulator", "other"))
    state.touch(0o666)
    state.chmod(0o666)
    async with embedded(EmulatorSection(), ledger):
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
        assert modes["ledger.db.emulator"] == modes["ledger.db.emulator-wal"] == 0o600
    state.unlink()
    state.symlink_to(other)
    for content in (None, b""):
        if content is not None:
            other.write_bytes(content)
        with pytest.raises(ConfigError, match="is a link"):
            async with embedded(EmulatorSection(), ledger):
                pass
        assert other.exists() == (content is not None)
    assert other.read_bytes() == b""
