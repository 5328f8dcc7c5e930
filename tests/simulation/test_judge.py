"""The judge itself: what it must say, and what it must not."""

import random
from collections.abc import Iterator
from dataclasses import replace

import pytest

from batcher.emulator.routes import Api
from batcher.emulator.settings import EmulatorSettings
from batcher.emulator.state import State
from batcher.model import LaneKey, RowState, RunId, RunState
from batcher.records import RowRecord, RunRecord
from tests.simulation.judge import Case, Memory
from tests.simulation.machine import Process
from tests.simulation.provider import Network, Provider
from tests.simulation.seen import Send
from tests.simulation.twists import draw

TOKEN = "0102e375-241b-5b96-b600-44f478d69e15"
SPEC = '["default","cn-north-4","p","er","att","group","stream","fl-0",null,true]'
RUN = RunRecord(
    RunId("a"), None, RunState.OPEN, "flow_log", "a.csv", "", "", (), {}, 0.0, None, "", "", None, {}, {}, {}
)
PLANNED = RowRecord(
    1, 2, LaneKey("default", "cn-north-4", "p"), SPEC, "{}", RowState.PLANNED, None, TOKEN, 0, 0, None, None, None,
    None, "", "", "", None, None, None,
)  # fmt: skip


@pytest.fixture
def provider() -> Iterator[Provider]:
    state = State(None, 1)
    yield Provider(Api(EmulatorSettings(), state), Network(0.01, 0.0), (), random.Random(1))
    state.close()


def faults(provider: Provider, row: RowRecord, worker: Process) -> list[str]:
    """What is wrong at 30 s with a row of a run that began at 10 s, and that `worker` has worked."""
    memory = Memory(began={RUN.run_id: 10.0}, workers={RUN.run_id: {worker}}, sites={RUN.run_id: {"cn-north-4": 0}})
    case = Case(
        night=replace(draw(0), second_operator=False),
        providers=[provider],
        run=RUN,
        rows=[row],
        memory=memory,
        machine=1,
        covers=lambda _: True,
        now=30.0,
    )
    return list(case.faults())


def sent_by(provider: Provider, process: Process) -> None:
    """A create of the row left a process at 20 s."""
    provider.seen.creates["p/er/att/group/stream"] = [Send(process, 1, TOKEN, "{}", 20.0, is_blind=False)]


def test_what_a_run_has_sent_and_does_not_know_is_said(provider: Provider) -> None:
    process = Process()
    sent_by(provider, process)
    (fault,) = faults(provider, PLANNED, process)
    assert "it was sent at 20.000, and the ledger does not know" in fault
    assert faults(provider, PLANNED._replace(first_sent_at=20.0), process) == []


def test_what_another_run_has_sent_under_the_same_token_is_not_this_ones_to_know(provider: Provider) -> None:
    """A run that ended early is resumed and killed; meanwhile the next one had sent its row."""
    sent_by(provider, Process())
    assert faults(provider, PLANNED, Process()) == []
