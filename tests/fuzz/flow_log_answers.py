"""What the provider answers to calls about flow logs: create, change, delete, and pages of a listing."""

import re

from batcher.model import Applied, ClaimedRow, NaturalKey, Page, Refused, Remote, Shown, Token
from batcher.operations.flow_log import FlowLogs
from batcher.operations.flow_log_row import RowDefaults
from batcher.policy.paging import Reading
from tests.fuzz import provider
from tests.fuzz.draw import Draw, can_be_kept, can_be_shown, joined
from tests.fuzz.provider import LANE, ROUTER, client_of, is_sound_refusal, run, seeds_of

_ID = "6dbb8cb8-ef65-4d78-a6ad-41ef88c279d9"
_SPEC = f'["default","cn-north-4","{LANE.project_id}","{ROUTER}","{_ID}","g","s","fl-1","about",true]'
_ROW = ClaimedRow(1, 2, ROUTER, NaturalKey(b"k" * 16), _SPEC, Token("0f5d3a10-0000-5000-8000-000000000001"), 0)
_REMOTE = Remote(
    NaturalKey(b"k" * 16), _ID, "available", False, None, {"name": "x", "description": None, "enabled": False}
)
_LOG = {
    "id": "d7f1c7d4-0000-4000-8000-000000000001",
    "name": "fl-1",
    "description": "about",
    "resource_id": _ID,
    "log_group_id": "g",
    "log_stream_id": "s",
    "state": "available",
    "enabled": True,
    "created_at": "2024-04-19T00:00:30Z",
}
_PAGE = {"flow_logs": [_LOG], "page_info": {"next_marker": "m1", "current_count": 1}, "total_count": 2}
_SAFE = re.compile(r"[0-9A-Za-z_-]{1,64}")
STATE_CHARS_MAX = 64

SEEDS = (
    *(b"\0" + seed for seed in seeds_of({"flow_log": _LOG}, 202)),
    *(b"\2" + seed for seed in seeds_of({"flow_log": _LOG}, 200)[:4]),
    *(b"\4" + seed for seed in seeds_of(_PAGE, 200)),
    *(b"\5" + seed for seed in seeds_of({"flow_log": {**_LOG, "id": _ID}}, 200)),
    b"\3\2",
    joined(*(b"\4\0" if not at else b"\0" for at in range(3))),
)
TOKENS = (*provider.TOKENS, *(f'"{name}"' for name in (*_LOG, *_PAGE)), "flow_log")


def check(data: bytes) -> None:
    """Values that a ledger, a report and the next call can hold."""
    draw = Draw(data)
    act = draw.number(6)
    operation = FlowLogs(client_of(draw), RowDefaults())
    if act == 4:
        run(_read(operation))
        return
    if act == 5:
        _check_shown(operation, run(operation.show(LANE, ROUTER, _ID)))
        return
    calls = (
        lambda: operation.apply(LANE, _ROW),
        lambda: operation.amend(LANE, _SPEC, _REMOTE),
        lambda: operation.update(LANE, _SPEC, _REMOTE),
        lambda: operation.remove(LANE, _SPEC, _REMOTE),
    )
    _check_answer(run(calls[act]()))


def _check_answer(answer: Applied | Refused) -> None:
    if isinstance(answer, Refused):
        is_sound_refusal(answer)
        return
    assert _SAFE.fullmatch(answer.remote_id)
    can_be_shown(answer.state, STATE_CHARS_MAX)
    can_be_shown(answer.request_id, 128)
    assert answer.enabled in {True, False, None}


def _check_shown(operation: FlowLogs, shown: Shown | Refused) -> None:
    """Only the flow log with the id that was asked for is one, and only the service itself says that there is none."""
    if isinstance(shown, Refused):
        is_sound_refusal(shown)
    elif shown.remote is None:
        assert shown.http_status >= 400
    else:
        assert shown.remote.remote_id == _ID
        _check_remote(operation, shown.remote)


async def _read(operation: FlowLogs) -> None:
    """A listing to its end, and what is made of each thing in it."""
    reading: Reading[Remote] = Reading(lambda remote: remote.remote_id)
    while not reading.is_over:
        page = await operation.page(LANE, ROUTER, reading.marker)
        if isinstance(page, Refused):
            is_sound_refusal(page)
            return
        _check_page(operation, page)
        new = reading.take(page)
        if new:
            _check_answer(await operation.remove(LANE, _SPEC, new[0]))
            return
    assert reading.total is None or reading.total >= 0


def _check_page(operation: FlowLogs, page: Page[Remote]) -> None:
    assert page.total is None or (type(page.total) is int and page.total >= 0)
    for remote in page.items:
        _check_remote(operation, remote)


def _check_remote(operation: FlowLogs, remote: Remote) -> None:
    assert _SAFE.fullmatch(remote.remote_id)
    can_be_shown(remote.state, STATE_CHARS_MAX)
    assert len(remote.key) == 16
    for difference in operation.differences(_SPEC, remote):
        can_be_kept(difference)
        can_be_shown(difference, 1_000)
    operation.needs_amending(_SPEC, remote)
    operation.needs_update(_SPEC, remote)
