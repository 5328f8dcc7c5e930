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
from tests.simulation.sent import too_soon, untold
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


def always(_: float) -> bool:
    """A ledger that was never lost has all on record."""
    return True


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
        covers=always,
        now=30.0,
    )
    return list(case.faults())


def sent_by(provider: Provider, process: Process) -> None:
    """A create of the row left a process at 20 s."""
    provider.seen.creates["p/er/att/group/stream"] = [a_send(process, 20.0)]


def a_send(process: Process, left_at: float) -> Send:
    """A create of the row that left then, and that nobody has answered."""
    return Send(process, 1, TOKEN, "{}", left_at, is_blind=False)


def test_what_a_run_has_sent_and_does_not_know_is_said(provider: Provider) -> None:
    process = Process()
    sent_by(provider, process)
    (fault,) = faults(provider, PLANNED, process)
    assert "it was sent 1 times, and tells 0" in fault
    (fault,) = faults(provider, PLANNED._replace(attempts=1), process)
    assert "it was sent at 20.000, and tells no first send" in fault
    assert faults(provider, PLANNED._replace(attempts=1, first_sent_at=20.0), process) == []


def test_a_row_that_dates_its_first_send_too_late_is_said() -> None:
    process = Process()
    sends = [replace(a_send(process, 20.0), dated_at=1020.0), replace(a_send(process, 25.0), dated_at=1025.0)]
    row = PLANNED._replace(attempts=2, first_sent_at=1025.0)
    assert untold(row, sends, [process], always) == "it was sent 5.000 s before its first send"
    assert untold(row, sends, [process, Process(died_at=19.0)], always) == "", "that one may have put a send on record"
    assert untold(row._replace(first_sent_at=1020.0), sends, [process], always) == ""
    assert untold(row, sends, [Process()], always) == "", "another run's"


def test_a_second_token_while_an_earlier_send_may_stand_is_said() -> None:
    process = Process()
    first, second = a_send(process, 20.0), replace(a_send(process, 30.0), token="another")
    refused = replace(a_send(process, 22.0), status=400, heard_at=23.0)
    (fault,) = too_soon(second, [first, refused], 19.0, "place")
    assert fault == f"place: sent at 20.000 under {TOKEN}, which may stand, and at 30.000 under another"
    assert not list(too_soon(second, [first, refused], 21.0, "place")), "a listing has spoken"
    assert not list(too_soon(second, [first, replace(refused, status=202)], 19.0, "place")), "the provider has spoken"
    assert not list(too_soon(second, [refused], 19.0, "place")), "nothing of it stands"
    assert not list(too_soon(replace(second, machine=2), [first], 19.0, "place")), "that one cannot know"


def test_what_another_run_has_sent_under_the_same_token_is_not_this_ones_to_know(provider: Provider) -> None:
    """A run that ended early is resumed and killed; meanwhile the next one had sent its row."""
    sent_by(provider, Process())
    assert faults(provider, PLANNED, Process()) == []
