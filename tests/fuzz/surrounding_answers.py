"""What the provider answers about quotas, routers, attachments, projects, log groups and streams."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from batcher.cloud.projects import list_projects
from batcher.errors import BatcherError
from batcher.model import Page, Quota, Refused
from batcher.operations.ground import FlowLogGround
from batcher.operations.surroundings import (
    attachments_page,
    count_flow_logs,
    first_router,
    flow_logs_page,
    routers_page,
    show_quota,
)
from tests.fuzz import provider
from tests.fuzz.draw import Draw, can_be_shown
from tests.fuzz.provider import LANE, ROUTER, client_of, is_sound_refusal, run, seeds_of

T = TypeVar("T")

_GROUP = "683447c1-0cc8-4f11-9d4e-abbd1fcfb980"
_SPEC = f'["default","cn-north-4","{LANE.project_id}","{ROUTER}","a1","{_GROUP}","s","fl-1","",true]'
_INFO = {"page_info": {"next_marker": "a1", "current_count": 1}, "total_count": 1}
_ANSWERS: tuple[dict[str, object], ...] = (
    {"quotas": [{"quota_key": "flow_log", "quota_limit": 10, "used": 3}]},
    {"instances": [{"id": ROUTER, "name": "er"}], **_INFO},
    {"attachments": [{"id": "a1", "state": "pending", "resource_id": "v1", "name": "x"}], **_INFO},
    {"flow_logs": [{"id": "f1", "resource_id": "a1"}], **_INFO},
    {"projects": [{"id": LANE.project_id, "name": "cn-north-4", "enabled": True}]},
    {"log_groups": [{"log_group_id": _GROUP}]},
    {"log_streams": [{"log_stream_id": "s"}]},
)
SEEDS = tuple(
    bytes((at,)) + seed for answer in _ANSWERS for seed in seeds_of(answer, 200) for at in range(8) if answer
)[::5]
TOKENS = (*provider.TOKENS, *(f'"{name}"' for answer in _ANSWERS for name in answer), "quota_limit", "used", "enabled")


def check(data: bytes) -> None:
    """Values that stand in forecasts, messages and the next call."""
    draw = Draw(data)
    act = draw.number(8)
    client = client_of(draw)
    if act == 7:
        _check_ground(FlowLogGround(client, LANE, _Ask(), _tell))
        return
    calls = (
        lambda: show_quota(client, LANE),
        lambda: first_router(client, LANE),
        lambda: count_flow_logs(client, LANE, ROUTER),
        lambda: routers_page(client, LANE, None),
        lambda: attachments_page(client, LANE, ROUTER, "m"),
        lambda: flow_logs_page(client, LANE, ROUTER, None),
        lambda: list_projects(client, "default", "cn-north-4"),
    )
    found: object = run(calls[act]())
    if isinstance(found, Refused):
        is_sound_refusal(found)
    elif isinstance(found, Quota):
        assert f"{found.limit:,} {found.used:,}".isascii()
        assert found.limit >= -1
        assert found.used >= 0
    elif isinstance(found, str):
        can_be_shown(found, 64)
    elif isinstance(found, int):
        assert found >= 0
        assert f"{found:,}".isascii()
    elif isinstance(found, Page):
        assert found.total is None or found.total >= 0
        for item in found.items:
            can_be_shown(item["id"], 64)
    elif isinstance(found, tuple):
        for project in found:
            can_be_shown(project.name, 64)


class _Ask:
    async def __call__(self, kind: str, make: Callable[[], Awaitable[T | Refused]]) -> T | Refused | None:
        return await make()


def _tell(message: str, hint: str) -> None:
    can_be_shown(message, 1_500)
    can_be_shown(hint, 500)


def _check_ground(ground: FlowLogGround) -> None:
    try:
        (obstacle,) = run(ground.obstacles(ROUTER, [_SPEC]))
    except BatcherError as error:
        can_be_shown(str(error), 1_500)
        return
    if obstacle is not None:
        can_be_shown(obstacle.message, 1_500)
