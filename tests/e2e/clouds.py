"""An emulated cloud on a socket of the tests, and the commands that work against it."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from batcher.emulator.server import EmulatorSettings, running
from tests.e2e.commands import EMULATOR_KEYS, Ended, RunningEmulator, Working, batcher, working

TICKET = "ticket"
"""An `X-Auth-Token` that the cloud takes, for the tests' own calls."""
PLACE = ("project_id", "er_id")
PARTS = ("name", "description", "resource_id", "log_group_id", "log_stream_id")


class Cloud(RunningEmulator):
    """A running emulator, with what tests do to it."""

    def words(self, *words: str, rate: str = "200/s") -> tuple[str, ...]:
        """A command line against this cloud."""
        return (*words, "--endpoint", self.url, "--rate", rate, "--no-progress")

    async def run(self, folder: Path, *words: str) -> Ended:
        """Run a command with the right keys to its end."""
        return await batcher(folder, *self.words(*words), extra=EMULATOR_KEYS)

    def slowly(
        self, folder: Path, *words: str, rate: str = "5/s", keys: Mapping[str, str] = EMULATOR_KEYS
    ) -> AbstractAsyncContextManager[Working]:
        """Start a command, with the right keys unless others are given, that logs each of its few calls."""
        return working(folder, *self.words(*words, rate=rate), "-vv", extra=keys)

    async def script(self, *rules: Mapping[str, object]) -> None:
        """The faults to come, in place of those before."""
        await self.control("PUT", "faults/script", list(rules))

    async def seed(self, *rows: Mapping[str, str], **changes: str) -> list[str]:
        """Put flow logs there that nobody here created; their ids."""
        names = (*PLACE, *PARTS)
        logs = [{name: wish[name] for name in names if name in wish} | changes for wish in rows]
        found = await self.control("POST", "flow-logs", logs)
        return [str(item) for item in found["ids"]]

    async def seed_attachments(self, *rows: Mapping[str, str]) -> None:
        """Make routers and attachments known to a closed world."""
        items = [{"project_id": wish["project_id"], "er_id": wish["er_id"], "id": wish["resource_id"]} for wish in rows]
        await self.control("POST", "attachments", items)

    async def seed_ground(self, *rows: Mapping[str, str]) -> None:
        """Make all that rows stand on known to a closed world: routers, attachments, log groups and streams."""
        await self.seed_attachments(*rows)
        streams: dict[tuple[str, str], set[str]] = {}
        for wish in rows:
            streams.setdefault((wish["project_id"], wish["log_group_id"]), set()).add(wish["log_stream_id"])
        groups = [
            {"project_id": project, "id": group, "streams": [{"id": stream} for stream in sorted(found)]}
            for (project, group), found in streams.items()
        ]
        await self.control("POST", "log-groups", groups)

    async def create(self, wish: Mapping[str, str], *, token: str) -> None:
        """Create a flow log as another client would."""
        flow_log = {name: wish[name] for name in PARTS if name in wish}
        body = {"flow_log": {"resource_type": "attachment", "log_store_type": "LTS", **flow_log}}
        await self._call("POST", wish, json.dumps(body).encode(), {"X-Client-Token": token})

    async def flow_logs(self, wish: Mapping[str, str]) -> list[dict[str, Any]]:
        """What the row's router has, by the API's own listing."""
        return list((await self._call("GET", wish))["flow_logs"])

    async def _call(
        self, method: str, wish: Mapping[str, str], body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Any:
        url = f"{self.url}/v3/{wish['project_id']}/enterprise-router/{wish['er_id']}/flow-logs"
        own = {"X-Auth-Token": TICKET, **(headers or {})}
        async with aiohttp.ClientSession() as session, session.request(method, url, data=body, headers=own) as response:
            assert response.status < 300, await response.text()
            return await response.json()

    async def creates(self) -> int:
        """How many creates it has seen, whatever it answered."""
        return int((await self.statistics())["calls"].get("create", 0))

    async def until_creates(self, count: int) -> None:
        """Wait until it has seen so many creates; each look is a call that takes its turn."""
        while await self.creates() < count:
            pass


@asynccontextmanager
async def cloud(**settings: Any) -> AsyncIterator[Cloud]:
    """A cloud with these settings; ended with the block."""
    async with running(EmulatorSettings(**{"auth_tokens": frozenset({TICKET}), **settings})) as emulator:
        yield Cloud(emulator.url)


def assert_created_once(statistics: Mapping[str, Any], rows: int) -> None:
    """What a cloud has seen: each row created once, under one token."""
    assert statistics["created_total"] == rows
    assert statistics["keys_created_twice"] == []
    assert statistics["keys_with_two_tokens"] == []
