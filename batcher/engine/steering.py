"""What an operator asks of a run at work: recorded in the ledger first, then done.

Whoever brings the request (`control.server`, or a program) has it done here, one at a time, so that the ledger has the
changes in the order in which they took effect. What changes nothing is not recorded.
"""

import os
from collections import Counter

import anyio

from batcher.engine.run import RunEngine
from batcher.engine.stop import Stop
from batcher.events import RunSteered
from batcher.ledger_port import Ledger
from batcher.model import RowState
from batcher.policy.control import Action, LiveStatus, Request, asked_text, is_change
from batcher.policy.verdict import OwnCode
from batcher.ports import Clock, EventSink
from batcher.records import RunRecord


class Steering:
    """A hand on one sitting of a run. `deadline` is when it stops by itself (wall clock)."""

    def __init__(
        self,
        engine: RunEngine,
        run: RunRecord,
        *,
        ledger: Ledger,
        stop: Stop,
        sink: EventSink,
        clock: Clock,
        deadline: float | None,
    ) -> None:
        self._engine = engine
        self._run = run
        self._ledger = ledger
        self._stop = stop
        self._sink = sink
        self._clock = clock
        self._deadline = deadline
        self._since = clock.now()
        self._paused_since: float | None = None
        self._calls_before = Counter[str]()
        for (kind, _), calls in run.calls.items():
            self._calls_before[kind] += calls
        self._turn = anyio.Lock()

    async def obey(self, request: Request) -> LiveStatus:
        """Do what is asked for: the run after it. Repeatable.

        Raises `LedgerError` where the change cannot be recorded; it is not made then. Cancelled, it may be recorded
        and not made.
        """
        async with self._turn:
            engine = self._engine
            stopping = self._stop.is_requested
            if is_change(request, rate=engine.rate, paused=engine.is_paused, stopping=stopping):
                now = self._clock.now()
                await self._ledger.note_change(self._run.run_id, now, request.action, request.value)
                self._act(request, now)
                self._sink.emit(RunSteered(request.action, request.value))
        return await self._status()

    def _act(self, request: Request, now: float) -> None:
        match request.action:
            case Action.RATE:
                self._engine.set_rate(request.rate)
            case Action.PAUSE:
                self._engine.pause()
                self._paused_since = now
            case Action.CONTINUE:
                self._engine.resume_calls()
                self._paused_since = None
            case Action.DRAIN:
                self._stop.request(OwnCode.DRAINED)
            case Action.STATUS:
                pass

    async def _status(self) -> LiveStatus:
        counts = (await self._ledger.run(self._run.run_id)).counts
        settled = {outcome: rows for (state, outcome), rows in counts.items() if state == RowState.SETTLED and rows}
        return LiveStatus(
            run_id=self._run.run_id,
            operation=self._run.operation,
            pid=os.getpid(),
            since=self._since,
            deadline=self._deadline,
            rate=asked_text(self._engine.rate),
            paused_since=self._paused_since,
            stop_code=self._stop.code,
            settled=dict(sorted(settled.items())),
            open_rows=sum(counts.values()) - sum(settled.values()),
            calls=dict(sorted((self._calls_before + self._engine.calls_now).items())),
            lanes=self._engine.lanes_now(),
        )
