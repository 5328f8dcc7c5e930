"""A provider of a simulated night: the emulator's own API, reached over a network that delays, loses and lies.

Each request arrives some time after it was sent, whether its sender still lives or not; its answer comes some time
later, or never. A provider has a clock of its own: what it dates, it dates by that, answers (`Date`) and flow logs.
"""

import asyncio
import math
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from multidict import CIMultiDict

from batcher.cloud.proxy import Proxies
from batcher.cloud.transport import NO_ANSWER, UNREACHABLE, USER_AGENT, Answer, NoAnswer
from batcher.emulator import answers as emulated
from batcher.emulator import signature
from batcher.emulator.answers import encoded, refusal
from batcher.emulator.calls import Call, Operation, read_call
from batcher.emulator.faults import Manner
from batcher.emulator.routes import Api
from tests.simulation.machine import PROCESS, Process, ProcessClock
from tests.simulation.seen import Removal, Seen, Send
from tests.simulation.sent import too_soon

HOSTS = ("https://er.example.test", "https://er.elsewhere.test")
"""Where the providers are, the usual one first."""
ON_THE_WAY_S_MAX = 5.0
"""What was on its way when its sender died arrives so soon after or never: the system closes the connections of the
dead."""
TOKEN_LIFETIME_S = 8 * 3600.0
"""How long a token can be used after a row was claimed."""
SLOW_S = 30.0
"""A call that travels for longer may be refused for its date, whoever dated it."""
REFUSED_S, NEAR_S = 900.0, 120.0
"""The gateway refuses what is dated further from its own time than the first; near that, it depends on the way."""
STALE = (b'"state": "deleted"', b'"state": "available"')
"""What a provider answers to a token that it remembers, if it does not look at what came of it."""


LOOKS = frozenset({Operation.LIST, Operation.SHOW})
DATED_S = 1.0
"""A clock that was set no longer before may not be the one by which a call was dated."""


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


@dataclass(eq=False)
class Provider:
    """The API and what it saw; `outages` are in virtual time. `ahead_s`: its clock, beside virtual time.

    `is_stale`: it answers a token that it remembers with what the flow log was when it was made.
    """

    api: Api
    network: Network
    outages: tuple[Outage, ...]
    chance: random.Random
    ahead_s: float = 0.0
    is_stale: bool = False
    seen: Seen = field(default_factory=Seen)
    _newest: int = 0

    def heal(self) -> None:
        """From now on nothing goes wrong."""
        self.network = Network(0.01, 0.0)
        self.outages = ()

    def way_s(self) -> float:
        """How long the next request or answer travels."""
        network = self.network
        if self.chance.random() < network.late_share:
            return self.chance.uniform(1.0, network.late_s)
        return network.way_s + self.chance.random() * network.spread_s

    def outage(self, now: float, call: Call) -> str:
        """What is wrong now, if anything is."""
        is_write = call.operation not in (Operation.LIST, Operation.QUOTAS, Operation.SHOW)
        for outage in self.outages:
            if outage.start <= now < outage.end and (is_write or not outage.writes_only):
                return outage.kind
        return ""

    def receive(
        self,
        call: Call,
        method: str,
        headers: Mapping[str, str],
        wrong: str,
        send: Send | None,
        sender: "Line",
        left_at: float,
    ) -> Answer | NoAnswer | None:
        """A request arrives; None: it is never answered. `send`: a create, written down when it left."""
        if wrong == "deaf":
            return None
        refused = refusal(503, "APIGW.0201", "Backend unavailable.") if wrong == "busy" else None
        if send is not None and refused is None:
            self._watch(call, send, sender.covers)
        delivery = self.api.serve(call, method, headers, refused)
        if call.operation is Operation.CREATE:
            self._note_made(send)
        elif call.operation is Operation.DELETE:
            self._note_removed(call, sender, left_at)
        if call.token is not None and delivery.answer.status in (400, 404) and not _is_busy(delivery.answer):
            self.seen.refused.add(call.token)
        if wrong == "mute" or delivery.manner is Manner.HANGING:
            return None
        if delivery.manner is not Manner.WHOLE:
            return NoAnswer(NO_ANSWER, "the connection was closed before an answer came", sent=True)
        body, own = encoded(delivery.answer, delivery.request_id, self.api.settings.gateway_now())
        if self.is_stale and call.operation is Operation.CREATE:
            body = body.replace(*STALE)
        return Answer(delivery.answer.status, CIMultiDict(own), body)

    def _note_made(self, send: Send | None) -> None:
        rows = self.api.state.db.execute("SELECT n, id FROM flow_logs WHERE n > ?", (self._newest,)).fetchall()
        for self._newest, id_ in rows:
            if send is not None:
                self.seen.makers[id_] = send

    def passed_over(self) -> None:
        """What has come since the last call was somebody else's work."""
        self._note_made(None)

    def _note_removed(self, call: Call, sender: "Line", left_at: float) -> None:
        row = self.api.state.db.execute(
            "SELECT 1 FROM flow_logs WHERE id = ? AND (deleted_at IS NOT NULL OR gone_at IS NOT NULL)",
            (call.flow_log_id,),
        ).fetchone()
        if row is not None:
            now = asyncio.get_running_loop().time()
            self.seen.removals.setdefault(call.flow_log_id, Removal(sender.process, sender.machine, left_at, now))

    def _watch(self, call: Call, send: Send, covers: Callable[[float], bool]) -> None:
        """Note a create, under another token, of what the same ledger has made, as it knows, and what stands."""
        if call.key is None or self.api.state.remembered(call.project_id, send.token) is not None:
            return
        standing = self.api.state.db.execute(
            "SELECT id, token, name, description FROM flow_logs WHERE project_id = ? AND er_id = ? AND resource_id = ?"
            " AND log_group_id = ? AND log_stream_id = ? AND deleted_at IS NULL AND gone_at IS NULL"
            " AND final_state = 'available' AND token IS NOT NULL",
            call.key.split("/"),
        ).fetchall()
        wished = call.document["flow_log"] if isinstance(call.document, dict) else {}
        for id_, token, name, description in standing:
            maker = self.seen.makers[id_]
            if token == send.token or maker.machine != send.machine or not covers(maker.left_at):
                continue
            if send.left_at < maker.left_at:
                continue  # it was on its way already, and has come after all waiting
            if token in self.seen.refused:
                continue  # it has ended, and its owner was told so
            if (name, description) == (wished.get("name"), wished.get("description") or ""):
                self.seen.again.append(f"{call.key}: made under {token}, sent again under {send.token}")


def _is_busy(answer: emulated.Answer) -> bool:
    """Whether a refusal only says that something else is done there: it is no answer to what was asked."""
    return isinstance(answer.content, Mapping) and answer.content.get("error_code") == emulated.BEING_OPERATED


@dataclass(frozen=True, slots=True)
class Connect:
    """The `OpenTransport` of one machine.

    `covers`: whether its ledger has on record what happened at a moment, for it may have been lost since.
    """

    providers: Sequence[Provider]
    machine: int
    clock: ProcessClock
    covers: Callable[[float], bool]

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
        timeout_s = connect_timeout_s + answer_timeout_s
        yield Line(self.providers, self.machine, self.clock, self.covers, process, timeout_s)


@dataclass(frozen=True, slots=True)
class Line:
    """The `Transport` of one process."""

    providers: Sequence[Provider]
    machine: int
    clock: ProcessClock
    covers: Callable[[float], bool]
    process: Process
    timeout_s: float

    async def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Answer | NoAnswer:
        """Send a request, and wait for its answer."""
        loop, process = asyncio.get_running_loop(), self.process
        process.sends += 1
        process.pass_("before send", process.sends)
        host = next(host for host in HOSTS if url.startswith(host))
        provider = self.providers[HOSTS.index(host)]
        headers = CIMultiDict({"Host": host.partition("://")[2], "User-Agent": USER_AGENT, **headers})
        call = read_call(
            method,
            url.removeprefix(host),
            headers.get("X-Client-Token"),
            body,
            access_key=signature.access_key_of(headers),
            content_type=headers.get("Content-Type", ""),
        )
        if (wrong := provider.outage(loop.time(), call)) == "down":
            await asyncio.sleep(0.001)
            return NoAnswer(UNREACHABLE, "no connection: refused", sent=False)
        left_at, send = loop.time(), self._leave(provider, call)
        answered: asyncio.Future[Answer | NoAnswer] = loop.create_future()

        def arrive() -> None:
            if loop.time() > process.died_at + ON_THE_WAY_S_MAX:
                return
            answer = provider.receive(call, method, headers, wrong, send, self, left_at)
            if isinstance(answer, Answer) and answer.status == 401 and loop.time() < left_at + SLOW_S:
                self._note_misdated(provider, left_at)
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
        self._hear(provider, call, answer, left_at, send)
        return answer

    def _leave(self, provider: Provider, call: Call) -> Send | None:
        """Write down that a call leaves now."""
        seen, process, now = provider.seen, self.process, asyncio.get_running_loop().time()
        seen.sends.setdefault((self.machine, call.access_key, call.project_id), []).append(now)
        seen.callers.add((process, call.project_id))
        if (warned := seen.warned.get((process, call.access_key, call.project_id))) is not None:
            warned.append(now)
        if call.operation is not Operation.CREATE or call.token is None or call.key is None:
            return None
        body = call.body.decode()
        send = Send(process, self.machine, call.token, body, now, is_blind=process not in seen.answered)
        if not self.clock.is_set_between(now - DATED_S, now):
            send.dated_at = self.clock.now()
        before = seen.creates.setdefault(call.key, [])
        looked_at = seen.looked_at.get((self.machine, call.project_id, call.er_id), -math.inf)
        seen.too_soon += too_soon(send, [each for each in before if self.covers(each.left_at)], looked_at, call.key)
        is_first = not any(each.machine == self.machine and self.covers(each.left_at) for each in before)
        usual = seen.tokens.setdefault((call.key, body), call.token)
        # What was taken away, and what was claimed so long before that its token has ended, has another one.
        is_plain = not seen.removals and now < TOKEN_LIFETIME_S and not self.clock.is_set_between(-1.0, now)
        if is_first and call.token != usual and is_plain:
            seen.strange.append(f"{call.key}: machine {self.machine} asks under {call.token}, others under {usual}")
        before.append(send)
        return send

    def _hear(
        self, provider: Provider, call: Call, answer: Answer | NoAnswer, left_at: float, send: Send | None
    ) -> None:
        """Write down what a living process has heard."""
        if not isinstance(answer, Answer):
            return
        seen, process, now = provider.seen, self.process, asyncio.get_running_loop().time()
        if send is not None:
            send.status, send.heard_at = answer.status, now
        if call.operation in LOOKS and answer.status in (200, 404):
            place = (self.machine, call.project_id, call.er_id)
            seen.looked_at[place] = max(left_at, seen.looked_at.get(place, left_at))
        seen.answered.add(process)
        if answer.status < 500 and answer.status not in (401, 429):  # those are said before the date is looked at
            dated_at, _ = seen.served.get(process, (-1.0, 0.0))
            if dated_at < 0 or self.clock.is_set_between(dated_at, left_at):
                seen.served[process] = (left_at, now)
        if answer.status == 429:
            seen.warned.setdefault((process, call.access_key, call.project_id), [])

    def _note_misdated(self, provider: Provider, left_at: float) -> None:
        """A call that left at `left_at` was refused for its date: is that any news to its sender?"""
        dated_at, served_at = provider.seen.served.get(self.process, (0.0, float("inf")))
        off_s = abs(self.clock.off_s(left_at) - provider.ahead_s)
        is_news = served_at > left_at or left_at < dated_at or self.clock.is_set_between(dated_at, left_at)
        if not is_news and abs(off_s - REFUSED_S) > NEAR_S:
            provider.seen.misdated.append(
                f"machine {self.machine}: a call of {left_at:.3f} was refused for its date, and one of"
                f" {dated_at:.3f} was not"
            )
