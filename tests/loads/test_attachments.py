"""One router with very many attachments: what a check of it keeps of each."""

import gc
import tracemalloc
from collections.abc import Awaitable, Callable
from typing import Any

from pydantic_core import from_json, to_json

from batcher.model import LaneKey, Obstacle, Page
from batcher.operations.ground import FlowLogGround
from batcher.operations.surroundings import LOG_THINGS_MAX, Ids
from tests.e2e.inventories import some_uuid

LANE = LaneKey("default", "cn-north-4", "0" * 32)
PAGE = 500
GROUP, STREAM = some_uuid("group"), some_uuid("stream")


class Router:
    """Answers for the provider, as `FlowLogGround` asks it: so many attachments, each of a VPC of its own."""

    def __init__(self, attachments: int) -> None:
        self.ids = sorted(some_uuid(f"attachment {number}") for number in range(attachments))
        self.pages = 0
        self.told: list[str] = []

    async def ask(self, kind: str, _make: Callable[[], Awaitable[Any]]) -> Any:
        if kind != "attachments":
            return Ids(frozenset({GROUP if kind == "log_groups" else STREAM}), is_open=False)
        shown = self.ids[self.pages * PAGE : (self.pages + 1) * PAGE]
        self.pages += 1
        items = [{"id": each, "state": "available", "resource_id": some_uuid(each)} for each in shown]
        more = shown[-1] if self.pages * PAGE < len(self.ids) else None
        return Page(tuple(from_json(to_json(items))), more, len(self.ids), PAGE)

    def tell(self, message: str, _hint: str) -> None:
        self.told.append(message)


def spec(resource_id: str) -> str:
    wish = ["default", "cn-north-4", "0" * 32, "er-1", resource_id, GROUP, STREAM, "name", None, True]
    return to_json(wish).decode()


async def held_by_a_check(attachments: int) -> int:
    """The bytes that a check of a router keeps, which finds an attachment, a VPC's id and nothing."""
    router = Router(attachments)
    ground = FlowLogGround(None, LANE, router.ask, router.tell)  # type: ignore[arg-type]  # it is only handed on
    first, nowhere = router.ids[0], some_uuid("nowhere")
    tracemalloc.start()
    try:
        found = await ground.obstacles("er-1", [spec(first), spec(some_uuid(first)), spec(nowhere)])
        gc.collect()
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert [each and each.code for each in found] == [None, "BATCHER.NotAnAttachment", "BATCHER.NoAttachment"]
    assert isinstance(found[1], Obstacle)
    assert f"`{first}`" in found[1].message
    assert router.told == []
    return held


async def test_a_check_keeps_three_hundred_bytes_of_an_attachment_at_most() -> None:
    """Half of it are the two ids; a router with 200,000 attachments is then checked in 60 MB."""
    few, many = await held_by_a_check(1_000), await held_by_a_check(11_000)
    assert (many - few) / 10_000 < 300


async def test_the_streams_of_many_log_groups_are_not_all_kept() -> None:
    """Each group has as many streams as can be told of it; those that a row asks for again are asked for again."""
    asked = 0

    async def ask(kind: str, _make: Callable[[], Awaitable[Any]]) -> Any:
        nonlocal asked
        if kind == "attachments":
            return Page(({"id": "a1", "state": "available"},), None, 1, PAGE)
        if kind == "log_groups":
            return Ids(frozenset(f"group {number}" for number in range(40)), is_open=False)
        asked += 1
        return Ids(frozenset(f"{asked:06d}{number:030d}" for number in range(LOG_THINGS_MAX)), is_open=False)

    told: list[str] = []
    ground = FlowLogGround(None, LANE, ask, lambda message, _: told.append(message))  # type: ignore[arg-type]
    specs = [
        to_json(
            ["default", "cn-north-4", "0" * 32, "er-1", "a1", f"group {number}", STREAM, "name", None, True]
        ).decode()
        for number in range(40)
    ]
    tracemalloc.start()
    try:
        found = await ground.obstacles("er-1", specs)
        gc.collect()
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert {each and each.code for each in found} == {"BATCHER.NoLogStream"}
    assert held < 40 << 20  # all forty would be more than twice as much
    assert await ground.obstacles("er-1", specs[-2:]) == found[-2:]
    assert asked == 40
    assert told == []
