"""The command `batcher emulator` as a process."""

import asyncio
import signal
import sys
import time
from pathlib import Path

import aiohttp

from batcher.emulator.server import Emulator
from tests.emulator.client import Client
from tests.emulator.test_gateway import date_of


async def test_the_command_can_set_the_clock_wrong_and_serves_the_other_services(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "batcher.cli.main", "emulator", "--port", "0", "--clock-skew", "-600", "--deleting", "5"),
        *("--listing-lag", "1", "--delete-lag", "2", "--tombstones", "--no-unique", "--date-shift", "-3"),
        *("--token-lifetime", "4", "--no-tokens"),
        stdout=asyncio.subprocess.PIPE,
        cwd=tmp_path,
    )
    assert process.stdout is not None
    try:
        url = (await process.stdout.readline()).decode().removeprefix("endpoint: ").strip()
        async with aiohttp.ClientSession() as session:
            reply = await Client(Emulator(url), session).ask("/v3/projects", "name=cn-north-4")
            settings = (await Client(Emulator(url), session).control("GET", "/settings")).json
        assert settings.items() >= {"deleting_s": 5, "listing_lag_s": 1, "delete_lag_s": 2, "date_shift_s": -3}.items()
        assert settings.items() >= {"tombstones": True, "unique": False, "remember_tokens": False}.items()
        assert settings["token_lifetime_s"] == 4
        assert (reply.status, len(reply.json["projects"])) == (200, 1)
        assert abs(date_of(reply) - time.time() + 600) < 5
    finally:
        process.send_signal(signal.SIGTERM)
        await process.stdout.read()
        assert await process.wait() == 0
