"""Starting and stopping an emulator; the door to the room.

    async with running(EmulatorSettings(state_path=path)) as emulator:
        ...  # the API is at emulator.url, control at emulator.url + "/_emulator", where the settings have it

The same address serves the project look-up of IAM and the listings of LTS: it is the endpoint of all three.
The emulator runs in the caller's event loop. Whatever it answered is in the state file, also when the process is
killed. A start with the same file goes on from there, the throttle's windows included; the settings are the caller's
each time, and a fault script is gone.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader

from batcher.emulator import control
from batcher.emulator.faults import FaultShares
from batcher.emulator.routes import BODY_BYTES_MAX, Api
from batcher.emulator.settings import EmulatorSettings
from batcher.emulator.state import State, StateError
from batcher.emulator.throttle import Throttle

__all__ = ["Emulator", "EmulatorSettings", "FaultShares", "StateError", "Throttle", "running"]

STOP_S_MAX = 1.0
"""How long a stop waits for calls that are being answered; those that hang or wait are ended at once."""


@dataclass(frozen=True, slots=True)
class Emulator:
    """A running emulator; `url` has no path, as in `http://127.0.0.1:8080`."""

    url: str


@asynccontextmanager
async def running(settings: EmulatorSettings) -> AsyncIterator[Emulator]:
    """Serve until the block is left.

    Raises StateError when the state file cannot be used, OSError when the address cannot.
    """
    state = State(settings.state_path, settings.seed)
    try:
        api = Api(settings, state)
        server = web.Server(
            _handler(api),
            handler_cancellation=True,  # ends calls that hang when their client leaves
            request_factory=_request,
            access_log=None,
            auto_decompress=False,  # signatures cover the bytes as they came
        )
        runner = web.ServerRunner(server, shutdown_timeout=STOP_S_MAX)
        await runner.setup()
        try:
            site = web.TCPSite(runner, settings.host, settings.port)
            await site.start()
            yield Emulator(_url(settings.host, runner))
        finally:
            api.stopping.set()
            await runner.cleanup()
    finally:
        state.close()


def _handler(api: Api) -> Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]:
    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        if api.settings.control and request.path.startswith(control.PREFIX + "/"):
            return await control.handle(api, request)
        return await api.handle(request)

    return handle


def _request(
    message: RawRequestMessage,
    payload: StreamReader,
    protocol: web.RequestHandler,
    writer: AbstractStreamWriter,
    task: asyncio.Task[None],
) -> web.BaseRequest:
    # aiohttp's own limit is 1 MiB, the gateway's is 12.
    loop = asyncio.get_running_loop()
    return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=BODY_BYTES_MAX)


def _url(host: str, runner: web.ServerRunner) -> str:
    port = runner.addresses[0][1]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
