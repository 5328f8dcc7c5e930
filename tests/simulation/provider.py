"""The provider of a simulated night: the emulator's own API, reached over a network that delays, loses and lies.

Each request arrives some time after it was sent, whether its sender still lives or not; its answer comes some time
later, or never. What the provider saw is written down here, apart from the state and the log that the emulator keeps.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from multidict import CIMultiDict

from batcher.cloud.proxy import Proxies
from batcher.cloud.transport import NO_ANSWER, UNREACHABLE, USER_AGENT, Answer, NoAnswer
from batcher.emulator import signature
from batcher.emulator.answers import encoded, refusal
from batcher.emulator.calls import Call, Operation, read_call
from batcher.emulator.faults import Manner
from batcher.emulator.routes import Api
from tests.simulation.machine import PROCESS, Process

HOST = "https://er.example.test"
ON_THE_WAY_S_MAX = 5.0
"""What was on its way when its sender died arrives so soon after or never: the system closes the connections of the
dead."""


class Outage(NamedTuple):
    """From when until when something is wrong, what it is, and whether it strikes writes alone.

    `down`: nothing is reached; `busy`: 503, nothing done; `mute`: it is done, and no answer comes; `deaf`: nothing is
    done, and no answer comes.
    """

    start: float
    end: float
    kind: str
    writes_only: bool


@dataclass(frozen=True, slots=True)
class Network:
    """How requests travel: mean times in seconds, and the share of those that come very late."""

    way_s: float
    spread_s: float
    late_share: float = 0.0
    late_s: float = 90.0


@dataclass(slots=True)
class Seen:
    """What the provider saw, and what of it can never be right."""

    sends: dict[tuple[int, str], list[float]] = field(default_factory=dict)
    """By machine and project: when each call left."""
    departures: dict[tuple[Process, str], float] = field(default_factory=dict)
    """By process and token: when a create last left."""
    warned: dict[tuple[Process, str], list[float]] = field(default_factory=dict)
    """By process and project: when each call left after one was answered with the limit."""
    refused: set[str] = field(default_factory=set)
    """Tokens that were refused for good."""
    again: list[str] = field(default_factory=list)
    """Creates that ask, under a token that was never used, for a thing that batcher has made and that is there."""


class Provider:
    """The API and what it saw; `outages` are in virtual time."""

    def __init__(self, api: Api, network: Network, outages: tuple[Outage, ...], chance: random.Random) -> None:
        self.api = api
        self.network = network
        self.outages = outages
        self.seen = Seen()
        self._chance = chance

    def heal(self) -> None:
        """From now on nothing goes wrong."""
        self.network = Network(0.01, 0.0)
        self.outages = ()

    def connect(self, machine: int) -> "Connect":
        """What opens the way from a machine."""
        return Connect(self, machine)

    def way_s(self) -> float:
        """How long the next request or answer travels."""
        network = self.network
        if self._chance.random() < network.late_share:
            return self._chance.uniform(1.0, network.late_s)
        return network.way_s + self._chance.random() * network.spread_s

    def outage(self, now: float, call: Call) -> str:
        """What is wrong now, if anything is."""
        is_write = call.operation not in (Operation.LIST, Operation.QUOTAS, Operation.SHOW)
        for outage in self.outages:
            if outage.start <= now < outage.end and (is_write or not outage.writes_only):
                return outage.kind
        return ""

    def receive(self, call: Call, method: str, headers: Mapping[str, str], wrong: str) -> Answer | NoAnswer | None:
        """A request arrives; None: it is never answered."""
        if wrong == "deaf":
            return None
        refused = refusal(503, "APIGW.0201", "Backend unavailable.") if wrong == "busy" else None
        if call.operation is Operation.CREATE and call.token is not None and refused is None:
            self._watch(call, call.token)
        delivery = self.api.serve(call, method, headers, refused)
        if call.token is not None and delivery.answer.status in (400, 404):
            self.seen.refused.add(call.token)
        if wrong == "mute" or delivery.manner is Manner.HANGING:
            return None
        if delivery.manner is not Manner.WHOLE:
            return NoAnswer(NO_ANSWER, "the connection was closed before an answer came", sent=True)
        body, own = encoded(delivery.answer, delivery.request_id, self.api.settings.gateway_now())
        return Answer(delivery.answer.status, CIMultiDict(own), body)

    def _watch(self, call: Call, token: str) -> None:
        """Note a create under a token that nobody used, of what a token of batcher's has made and is still there."""
        if call.key is None or self.api.state.remembered(call.project_id, token) is not None:
            return
        project_id, er_id, resource_id, group_id, stream_id = call.key.split("/")
        made = self.api.state.db.execute(
            "SELECT t.token, f.name, f.description FROM flow_logs AS f JOIN tokens AS t ON t.flow_log_n = f.n"
            " WHERE f.project_id = ? AND f.er_id = ? AND f.resource_id = ? AND f.log_group_id = ?"
            " AND f.log_stream_id = ? AND f.deleted_at IS NULL AND f.gone_at IS NULL AND f.final_state = 'available'",
            (project_id, er_id, resource_id, group_id, stream_id),
        ).fetchone()
        wished = call.document["flow_log"] if isinstance(call.document, dict) else {}
        if made is not None and made[0] in self.seen.refused:
            return  # it has ended, and its owner was told so
        if made is not None and made[1:] == (wished.get("name"), wished.get("description") or ""):
            self.seen.again.append(f"{call.key}: made under {made[0]}, sent again under {token}")


@dataclass(frozen=True, slots=True)
class Connect:
    """The `OpenTransport` of one machine."""

    provider: Provider
    machine: int

    @asynccontextmanager
    async def __call__(
        self,
        *,
        connections_max: int,
        connect_timeout_s: float,
        answer_timeout_s: float,
        ca_file: Path | None = None,
        proxies: Proxies | None = None,
    ) -> AsyncIterator["Line"]:
        """A line of the running process."""
        process = PROCESS.get()
        assert process is not None
        yield Line(self.provider, self.machine, process, connect_timeout_s + answer_timeout_s)


@dataclass(frozen=True, slots=True)
class Line:
    """The `Transport` of one process."""

    provider: Provider
    machine: int
    process: Process
    timeout_s: float

    async def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Answer | NoAnswer:
        """Send a request, and wait for its answer."""
        loop, process, provider = asyncio.get_running_loop(), self.process, self.provider
        process.sends += 1
        process.pass_("before send", process.sends)
        target = url.removeprefix(HOST)
        headers = CIMultiDict({"Host": HOST.partition("://")[2], "User-Agent": USER_AGENT, **headers})
        call = read_call(
            method,
            target,
            headers.get("X-Client-Token"),
            body,
            access_key=signature.access_key_of(headers),
            content_type=headers.get("Content-Type", ""),
        )
        if (wrong := provider.outage(loop.time(), call)) == "down":
            await asyncio.sleep(0.001)
            return NoAnswer(UNREACHABLE, "no connection: refused", sent=False)
        provider.seen.sends.setdefault((self.machine, call.project_id), []).append(loop.time())
        if (process, call.project_id) in provider.seen.warned:
            provider.seen.warned[process, call.project_id].append(loop.time())
        if call.token is not None:
            provider.seen.departures[process, call.token] = loop.time()
        answered: asyncio.Future[Answer | NoAnswer] = loop.create_future()

        def arrive() -> None:
            if loop.time() > process.died_at + ON_THE_WAY_S_MAX:
                return
            answer = provider.receive(call, method, headers, wrong)
            if answer is not None:
                loop.call_later(provider.way_s(), come_back, answer)

        def come_back(answer: Answer | NoAnswer) -> None:
            if not answered.done():
                answered.set_result(answer)

        loop.call_later(provider.way_s(), arrive)
        process.pass_("after send", process.sends)
        try:
            async with asyncio.timeout(self.timeout_s):
                answer = await answered
        except TimeoutError:
            return NoAnswer(NO_ANSWER, "no answer within the time allowed", sent=True)
        process.pass_("after answer", process.sends)
        if isinstance(answer, Answer) and answer.status == 429:
            provider.seen.warned.setdefault((process, call.project_id), [])
        return answer
