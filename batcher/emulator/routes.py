"""The APIs on the wire: each call through the gateway's checks, the faults and the operation, then its answer.

The order is the gateway's: throttle, authentication, route; then faults; then the operation. All of it, the
call's line in the log included, is one transaction without an await in between; only then is anything sent,
or not sent.
"""

import asyncio
import sqlite3
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

from aiohttp import web

from batcher.emulator import faults, flow_logs, signature
from batcher.emulator.answers import (
    NOT_AUTHENTICATED,
    NOT_PUBLISHED,
    THROTTLED,
    TOO_LARGE,
    UNAVAILABLE,
    Answer,
    encoded,
    refusal,
)
from batcher.emulator.calls import Call, Operation, read_call
from batcher.emulator.faults import Fault, Manner, Script
from batcher.emulator.operations import act
from batcher.emulator.settings import EmulatorSettings
from batcher.emulator.state import State, uuid_of
from batcher.emulator.throttle import Throttle, Windows, threshold_message
from batcher.emulator.world import World

BODY_BYTES_MAX = 12 * 1024 * 1024
"""The gateway's limit for signed calls (Huawei "API signing guide", 2025-10-20)."""


NOTHING = Answer(500)
"""Stands in for the answer of calls that are dropped before they are carried out; never sent."""

AT_THE_DOOR = refusal(413, TOO_LARGE, "Request entity too large")


@dataclass(frozen=True, slots=True)
class Delivery:
    """What leaves for a call, and how."""

    request_id: str
    answer: Answer
    manner: Manner
    delay_s: float


class Api:
    """The API over one state. `settings` and `script` may be replaced between calls."""

    def __init__(self, settings: EmulatorSettings, state: State) -> None:
        self.settings = settings
        self.state = state
        self.script = Script()
        self.stopping = asyncio.Event()
        self._windows = self._new_windows(settings.throttle)

    def now(self) -> float:
        """The emulator's clock in Unix seconds: the settings' time, moved ahead by control."""
        return self.settings.now() + self.state.offset_s

    def change_settings(self, settings: EmulatorSettings) -> None:
        """Go on with other settings; a new throttle counts the calls that came before."""
        if settings.throttle != self.settings.throttle:
            self._windows = self._new_windows(settings.throttle)
        self.settings = settings

    def reset(self) -> None:
        """Forget the state, the script and the throttle's windows; the settings stay."""
        with self.state.transaction():
            self.state.reset()
        self.script = Script()
        self._windows = Windows(self.settings.throttle)

    def sweep(self) -> None:
        """Let go what was on its way out until now; calls of the API do so by themselves."""
        with self.state.transaction():
            flow_logs.sweep(self.state, self.now())

    def _new_windows(self, throttle: Throttle | None) -> Windows:
        if throttle is None:
            return Windows(None)
        return Windows(throttle, self.state.arrivals(self.now() - throttle.period_s))

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Serve one request of the API."""
        try:
            body, refused = await request.read(), None
        except web.HTTPRequestEntityTooLarge:
            body, refused = b"", AT_THE_DOOR
        call = read_call(
            request.method,
            request.raw_path,
            request.headers.get("X-Client-Token"),
            body,
            access_key=signature.access_key_of(request.headers),
            content_type=request.headers.get("Content-Type", ""),
        )
        try:
            delivery = self.serve(call, request.method, request.headers, refused)
        except sqlite3.OperationalError as error:  # as a full disk: nothing was done, and the client may try again
            why = refusal(503, UNAVAILABLE, f"the emulator cannot write its state: {error}")
            delivery = Delivery(self.state.next_call()[1], why, Manner.WHOLE, 0.0)
        return await self._deliver(request, delivery)

    def serve(self, call: Call, method: str, headers: Mapping[str, str], refused: Answer | None = None) -> Delivery:
        """Decide, act and log a call, in one transaction; `refused` is what its body brought it already."""
        world = World(self.state, self.settings, self.now())
        with self.state.transaction():
            flow_logs.sweep(self.state, world.now)
            n, request_id = self.state.next_call()
            admitted = self._windows.admit(call.project_id, world.now)
            if not admitted:
                refused = refusal(429, THROTTLED, threshold_message(self.settings.throttle))
            refused = refused or self._refusal(call, method, headers)
            fault = Fault(commits=False, answer=refused) if refused else self._fault(call)
            answer = act(replace(world, lie=fault.lie), call) if fault.commits else None
            answer = fault.answer or answer or NOTHING
            if call.operation is Operation.PROJECTS and not refused:
                answer = _traced(answer, request_id)
            delivery = Delivery(request_id, answer, fault.manner, fault.delay_s)
            status = answer.status if delivery.manner is Manner.WHOLE else 0
            self.state.log_call(
                n,
                at=world.now,
                operation=call.operation,
                project_id=call.project_id,
                status=status,
                over_limit=not admitted,
                key=call.key,
                token=call.token,
            )
            if status == 401:
                self.state.count_unauthorized(self._shown_key(call.access_key, headers))
        return delivery

    def _shown_key(self, access_key: str, headers: Mapping[str, str]) -> str:
        """How a refused call's key is kept: by name only if it is one of ours, for another may be a real one."""
        if access_key:
            return access_key if access_key in self.settings.keys else "unknown"
        return "token" if "X-Auth-Token" in headers else ""

    def _refusal(self, call: Call, method: str, headers: Mapping[str, str]) -> Answer | None:
        """What the gateway says instead of passing the call on."""
        settings = self.settings
        message = signature.fault_of(
            method,
            call.target,
            headers,
            call.body,
            keys=settings.keys,
            auth_tokens=settings.auth_tokens,
            now=settings.gateway_now(),
        )
        if message is not None:
            return refusal(401, NOT_AUTHENTICATED, message)
        if call.operation is Operation.UNKNOWN:
            return refusal(404, NOT_PUBLISHED, "The API does not exist or has not been published in the environment")
        return None

    def _fault(self, call: Call) -> Fault:
        """The fault of this call; the one that is none commits and changes nothing."""
        settings = self.settings
        if rule := self.script.strike(call):
            return faults.fault_of(
                rule.fault,
                call.operation,
                throttle=settings.throttle,
                delay_s=rule.delay_s,
                answer=rule.answer(),
            )
        shares = settings.faults
        if call.operation not in shares.on or not any(shares.shares()):
            return Fault(commits=True)
        kind = faults.drawn(shares, settings.seed, call.identity, self.state.count_identity(call.identity))
        if kind is None:
            return Fault(commits=True)
        delay_s = shares.delay_s if kind is faults.Kind.DELAYED else 0.0
        return faults.fault_of(kind, call.operation, throttle=settings.throttle, delay_s=delay_s)

    async def _deliver(self, request: web.BaseRequest, delivery: Delivery) -> web.StreamResponse:
        await self._pause(self.settings.latency_s + delivery.delay_s)
        body, headers = encoded(delivery.answer, delivery.request_id, self.settings.gateway_now())
        match delivery.manner:
            case Manner.WHOLE:
                return web.Response(status=delivery.answer.status, body=body, headers=headers)
            case Manner.TRUNCATED:
                return await _cut_short(
                    request, web.StreamResponse(status=delivery.answer.status, headers=headers), body
                )
            case Manner.HANGING:
                await self.stopping.wait()
            case Manner.DROPPED:
                pass
        return _dropped(request)

    async def _pause(self, delay_s: float) -> None:
        """Wait, but not beyond the stop of the server."""
        if delay_s > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(delay_s):
                    await self.stopping.wait()


def _traced(answer: Answer, request_id: str) -> Answer:
    """An answer of IAM with the trace id that IAM names besides the gateway's request id."""
    trace_id = uuid_of("trace", request_id).replace("-", "")
    return replace(answer, headers={"X-IAM-Trace-Id": trace_id, **answer.headers})


async def _cut_short(request: web.BaseRequest, response: web.StreamResponse, body: bytes) -> web.StreamResponse:
    response.content_length = len(body) + 1
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.close()
    return response


def _dropped(request: web.BaseRequest) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()  # goes nowhere: the connection is closed
