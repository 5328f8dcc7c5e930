"""The command `batcher emulator` as a process."""

import asyncio
import re
import signal
import sys
import time
from pathlib import Path

import aiohttp

from batcher.emulator.server import Emulator
from tests.emulator.client import PROJECT, Client
from tests.emulator.test_gateway import date_of


async def test_the_command_can_set_the_clock_wrong_and_serves_the_other_services(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "batcher", "emulator", "--port", "0", "--clock-skew", "-600", "--deleting", "5"),
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


async def test_a_private_emulator_has_keys_of_its_own_and_a_control_that_wants_its_secret(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "batcher", "emulator", "--port", "0", "--private"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=tmp_path,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        url = (await process.stdout.readline()).decode().removeprefix("endpoint: ").strip()
        named = re.search(r"AK=(\S+) HUAWEICLOUD_SDK_SK=(\S+)", (await process.stdout.readline()).decode())
        told = re.search(r"`(\S+): (\S+)`", (await process.stderr.readline()).decode())
        assert named is not None
        assert told is not None
        async with aiohttp.ClientSession() as session:
            client, path = Client(Emulator(url), session), f"/v3/{PROJECT}/enterprise-router/instances"
            assert (await client.ask(path, access=named[1])).status == 401
            assert (await client.ask(path, access=named[1], secret=named[2])).status == 200
            assert (await client.control("POST", "/reset")).status == 403
            assert (await client.control("POST", "/reset", None, **{told[1]: told[2][:-1]})).status == 403
            assert (await client.control("POST", "/reset", None, **{told[1]: told[2]})).status == 204
    finally:
        process.send_signal(signal.SIGTERM)
        await process.communicate()
