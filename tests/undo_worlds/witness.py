"""An emulated cloud in the test's own loop that notes who made each flow log, who deleted it, and who asked for it.

Who asks is the access key of a request; what the strangers of a world do has none. The notes are triggers in the
emulator's own database, so they are true also of what was done and not answered.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import aiohttp
from aiohttp import web

from batcher.emulator import control, signature
from batcher.emulator.routes import Api
from batcher.emulator.settings import EmulatorSettings
from batcher.emulator.state import State
from tests.e2e.clouds import TICKET

STRANGER = ""
"""Who asks without a key."""
TICK_S = 0.05
_asking: ContextVar[str] = ContextVar("asking", default=STRANGER)
_PLACE = "new.project_id || '/' || new.er_id || '/' || new.resource_id"
_NOTES = (
    "CREATE TEMP TABLE made (id TEXT PRIMARY KEY, place TEXT, key TEXT, at REAL)",
    "CREATE TEMP TABLE deleted (id TEXT, key TEXT)",
    "CREATE TEMP TABLE asked (place TEXT, key TEXT, at REAL)",
    f"CREATE TEMP TRIGGER note_made AFTER INSERT ON main.flow_logs BEGIN"
    f" INSERT INTO made VALUES (new.id, {_PLACE}, who(), new.created_at); END",
    "CREATE TEMP TRIGGER note_deleted AFTER UPDATE ON main.flow_logs"
    " WHEN old.deleted_at IS NULL AND old.gone_at IS NULL AND coalesce(new.deleted_at, new.gone_at) IS NOT NULL"
    " BEGIN INSERT INTO deleted VALUES (new.id, who()); END",
    "CREATE TEMP TRIGGER note_asked AFTER INSERT ON main.calls WHEN new.operation = 'create' AND new.key IS NOT NULL"
    " BEGIN INSERT INTO asked VALUES (new.key, who(), new.at); END",
)


@dataclass(frozen=True, slots=True)
class Made:
    """A flow log that was made: by whose request, and when by the emulator's clock."""

    flow_log_id: str
    place: str
    key: str
    at: float


class Witness:
    """The cloud, and what it remembers of everybody."""

    def __init__(self, settings: EmulatorSettings) -> None:
        self.url = ""
        self.state = State(None, settings.seed)
        self.api = Api(settings, self.state)
        self.killed: list[tuple[str, float]] = []
        """The keys of processes that were killed, and when by the emulator's clock."""
        self.late_s = 0.0
        """The longest that this process, which serves and asks, kept what was due waiting: so late a send may come."""
        self._moved = asyncio.Event()
        self.state.db.create_function("who", 0, _asking.get)
        for statement in _NOTES:
            self.state.db.execute(statement)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Serve one request of the API or of control."""
        asking = _asking.set(signature.access_key_of(request.headers))
        try:
            if request.path.startswith(control.PREFIX + "/"):
                return await control.handle(self.api, request)
            return await self.api.handle(request)
        finally:
            _asking.reset(asking)
            self._moved.set()

    def made(self) -> dict[str, Made]:
        """Everything that was ever made, by id."""
        rows = self.state.db.execute("SELECT id, place, key, at FROM made")
        return {row[0]: Made(*row) for row in rows}

    def deleted(self) -> list[tuple[str, str]]:
        """Each id that a request took away, and whose request that was."""
        return [(row[0], row[1]) for row in self.state.db.execute("SELECT id, key FROM deleted")]

    def asked(self) -> list[tuple[str, str, float]]:
        """Each create that came, whatever became of it: its place, key and time."""
        rows = self.state.db.execute("SELECT place, key, at FROM asked ORDER BY at")
        return [("/".join(place.split("/")[:3]), key, at) for place, key, at in rows]

    def standing(self) -> set[str]:
        """The ids of what is there now."""
        self.api.sweep()
        return {row[0] for row in self.state.db.execute("SELECT id FROM flow_logs WHERE deleted_at IS NULL")}

    def asks(self, key: str) -> int:
        """How many creates and deletes of this key have done something or were asked for."""
        sql = "SELECT (SELECT count(*) FROM asked WHERE key = :key) + (SELECT count(*) FROM deleted WHERE key = :key)"
        return int(self.state.db.execute(sql, {"key": key}).fetchone()[0])

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something is so; looked at after each request."""
        while not holds():
            self._moved.clear()
            await self._moved.wait()

    async def watch_time(self) -> None:
        """Measure for ever how late this process is."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + TICK_S
            await asyncio.sleep(TICK_S)
            self.late_s = max(self.late_s, loop.time() - due)

    async def control(self, method: str, path: str, body: object = None) -> int:
        """A call of control; its status."""
        url = f"{self.url}{control.PREFIX}/{path}"
        async with aiohttp.ClientSession() as session, session.request(method, url, json=body) as response:
            return response.status

    async def create(self, place: tuple[str, str], flow_log: dict[str, str]) -> int:
        """A create of somebody else, without a client token; its status."""
        url = f"{self.url}/v3/{place[0]}/enterprise-router/{place[1]}/flow-logs"
        body = {"flow_log": {"resource_type": "attachment", "log_store_type": "LTS", **flow_log}}
        own = {"X-Auth-Token": TICKET}
        try:
            async with aiohttp.ClientSession(headers=own) as session, session.post(url, json=body) as response:
                return response.status
        except aiohttp.ClientError:
            return 0  # a fault of the cloud's: it may have been done


@asynccontextmanager
async def watched(settings: EmulatorSettings) -> AsyncIterator[Witness]:
    """A cloud that is watched; ended with the block."""
    witness = Witness(settings)
    runner = web.ServerRunner(
        web.Server(witness.handle, handler_cancellation=True, access_log=None, auto_decompress=False),
        shutdown_timeout=1.0,
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        witness.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        watching = asyncio.create_task(witness.watch_time())
        yield witness
        watching.cancel()
    finally:
        witness.api.stopping.set()
        await runner.cleanup()
        witness.state.close()
