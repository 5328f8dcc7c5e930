"""What a row stands on: each obstacle is named with what is right; what cannot be checked is none."""

import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import aiohttp
import pytest

from batcher.cloud.client import CloudClient
from batcher.cloud.credentials import Credentials
from batcher.cloud.endpoints import Endpoints, Service
from batcher.cloud.keyring import FixedKeyring
from batcher.emulator.server import EmulatorSettings, running
from batcher.model import Kind, LaneKey, Obstacle, Refused, Stops
from batcher.operations.ground import Attachments, FlowLogGround, confined
from tests.cloud.servers import transport
from tests.operations.wishes import ATTACHMENT, GROUP, PROJECT, ROUTER, STREAM, wish

T = TypeVar("T")

LANE = LaneKey("default", "cn-north-4", PROJECT)
VPC = "b1e0e2f0-0000-4000-8000-0000000000aa"
OTHER = "b1e0e2f0-0000-4000-8000-0000000000bb"
OTHER_ROUTER = "a43c55e9-4911-4030-90e1-5c2bf6ae6fff"

# --- by hand ----------------------------------------------------------------------------------------

STATES = {"a1": "available", "a2": "pending", "a3": "freezed", "a4": "available", "a5": "None"}


@pytest.mark.parametrize("resource_id", ["a1", "a4"])
def test_an_attachment_that_is_available_is_no_obstacle(resource_id: str) -> None:
    assert Attachments(STATES, {}).obstacle(resource_id) is None


@pytest.mark.parametrize(("resource_id", "state"), [("a2", "pending"), ("a3", "freezed"), ("a5", "None")])
def test_one_in_another_state_may_come_by_itself(resource_id: str, state: str) -> None:
    obstacle = Attachments(STATES, {}).obstacle(resource_id)
    message = f"attachment `{resource_id}` is in state `{state}`"
    assert obstacle == Obstacle("BATCHER.AttachmentNotReady", message, passing=True)


def test_one_that_is_missing_is_named() -> None:
    message = "the router has no attachment `a9`"
    assert Attachments(STATES, {}).obstacle("a9") == Obstacle("BATCHER.NoAttachment", message)


@pytest.mark.parametrize(
    ("behind", "named"),
    [
        (["a1"], "`a1`"),
        (["a1", "a4"], "`a1` or `a4`"),
        ([f"b{n}" for n in range(9)], "`b0` or `b1` or `b2` or `b3` or `b4`"),
    ],
)
def test_the_id_of_a_vpc_is_told_with_the_attachment_s(behind: list[str], named: str) -> None:
    obstacle = Attachments(STATES, {"vpc": behind}).obstacle("vpc")
    assert obstacle is not None
    assert (obstacle.code, obstacle.passing) == ("BATCHER.NotAnAttachment", False)
    assert obstacle.message.endswith(f"; the attachment's is {named}")


@pytest.mark.parametrize(
    ("status", "code", "stops", "confined_to"),
    [
        (401, "APIGW.0301", Stops.ACCOUNT, Stops.ACCOUNT),
        (None, "BATCHER.NoCredentials", Stops.ACCOUNT, Stops.ACCOUNT),
        (404, "ER.04041001", Stops.SCOPE, Stops.SCOPE),
        (403, "APIGW.0302", Stops.ACCOUNT, Stops.ROW),
        (403, "APIGW.0310", Stops.LANE, Stops.ROW),
        (404, "APIGW.0101", Stops.RUN, Stops.ROW),
        (500, "", Stops.ROW, Stops.ROW),
    ],
)
def test_a_refused_check_stops_no_more_than_refused_keys_and_a_missing_router(
    status: int | None, code: str, stops: Stops, confined_to: Stops
) -> None:
    refused = Refused(Kind.PERMANENT, stops, code, "no", http_status=status)
    assert confined(refused) == replace(refused, stops=confined_to)


# --- against the emulator ---------------------------------------------------------------------------


@dataclass
class Site:
    """A closed world, a ground in it, and what the ground has asked and told."""

    url: str
    ground: FlowLogGround
    asked: Counter[str] = field(default_factory=Counter)
    told: list[tuple[str, str]] = field(default_factory=list)

    async def control(self, method: str, path: str, body: object) -> None:
        """Change the world."""
        url = f"{self.url}/_emulator/{path}"
        async with aiohttp.ClientSession() as session, session.request(method, url, json=body) as response:
            assert response.status == 200, await response.text()

    async def attach(self, *ids: str, router: str = ROUTER, **more: str) -> None:
        """Attachments of a router."""
        items = [{"project_id": PROJECT, "er_id": router, "id": id_, **more} for id_ in ids]
        await self.control("POST", "attachments", items)

    async def group(self, *streams: str, group: str = GROUP) -> None:
        """A log group with streams."""
        body = {"project_id": PROJECT, "id": group, "streams": [{"id": stream} for stream in streams]}
        await self.control("POST", "log-groups", [body])

    async def obstacles(self, *rows: Mapping[str, str], router: str = ROUTER) -> list[str]:
        """The code of what stands in each row's way, or empty."""
        found = await self.ground.obstacles(router, [wish(er_id=router, **row).spec for row in rows])
        return [obstacle.code if obstacle else "" for obstacle in found]


@asynccontextmanager
async def site(**settings: Any) -> AsyncIterator[Site]:
    """A closed world with these settings."""
    async with running(EmulatorSettings(open_world=False, **settings)) as emulator, transport() as opened:
        keys = FixedKeyring(Credentials("EMULATORAK", "EMULATORSK", source="test"))
        everywhere = Endpoints(everywhere=dict.fromkeys(Service, emulator.url))
        client = CloudClient(
            opened, signers=keys, endpoints=everywhere, now=EmulatorSettings().now, steady=time.monotonic
        )

        async def ask(kind: str, make: Callable[[], Awaitable[T | Refused]]) -> T | Refused | None:
            here.asked[kind] += 1
            return await make()

        def tell(message: str, hint: str) -> None:
            here.told.append((message, hint))

        here = Site(emulator.url, FlowLogGround(client, LANE, ask, tell))
        yield here


async def test_each_row_is_held_to_its_own_ground_and_nothing_is_asked_twice() -> None:
    async with site() as here:
        await here.attach(ATTACHMENT, resource_id=VPC)
        await here.attach(OTHER, router=OTHER_ROUTER)
        await here.group(STREAM)
        rows = [
            {},
            {"resource_id": VPC},
            {"resource_id": OTHER},
            {"log_group_id": "g" * 36},
            {"log_stream_id": "s" * 36},
        ]
        assert await here.obstacles(*rows) == [
            "",
            "BATCHER.NotAnAttachment",
            "BATCHER.NoAttachment",
            "BATCHER.NoLogGroup",
            "BATCHER.NoLogStream",
        ]
        assert await here.obstacles(*rows[:3], router=OTHER_ROUTER) == [
            "BATCHER.NoAttachment",
            "BATCHER.NoAttachment",
            "",
        ]
        assert await here.obstacles({"resource_id": OTHER}, router=OTHER_ROUTER) == [""]
        assert here.asked == {"attachments": 2, "log_groups": 1, "log_streams": 1}
        assert here.told == []


async def test_ids_are_the_same_in_any_case_where_the_provider_s_are() -> None:
    async with site() as here:
        await here.attach(ATTACHMENT)
        await here.group(STREAM)
        assert await here.obstacles({"resource_id": ATTACHMENT.upper()}) == [""]


async def test_all_that_is_wrong_with_a_row_is_said_and_what_lasts_decides() -> None:
    async with site() as here:
        await here.attach(ATTACHMENT, state="pending")
        await here.group(STREAM)
        spec = wish(log_group_id="g" * 36).spec
        (obstacle,) = await here.ground.obstacles(ROUTER, [spec])
        assert obstacle == Obstacle(
            "BATCHER.NoLogGroup",
            f"attachment `{ATTACHMENT}` is in state `pending`; the project has no log group `{'g' * 36}`",
        )
        assert await here.obstacles({}) == ["BATCHER.AttachmentNotReady"]


async def test_many_pages_of_attachments_are_read_to_their_end() -> None:
    ids = [f"{number:08x}{ATTACHMENT[8:]}" for number in range(25)]
    async with site(page_max=10) as here:
        await here.attach(*ids)
        await here.group(STREAM)
        assert await here.obstacles(*({"resource_id": id_} for id_ in ids)) == [""] * 25
        assert here.asked["attachments"] == 3


async def test_a_list_of_attachments_that_was_cut_short_is_no_proof_of_absence() -> None:
    """The second page comes twice: the rest may hold the row's attachment."""
    ids = [f"{number:08x}{ATTACHMENT[8:]}" for number in range(25)]
    async with site(page_max=10) as here:
        await here.attach(*ids)
        await here.group(STREAM)
        await here.control("PUT", "faults/script", [{"operation": "attachments", "fault": "page_repeated"}])
        assert await here.obstacles({"resource_id": OTHER}, {"resource_id": ids[24]}) == ["", ""]
        ((said, _),) = here.told
        assert said == f"the attachments of router `{ROUTER}` were not checked: the list could not be read to its end"


@pytest.mark.parametrize(
    ("operation", "what", "codes"),
    [
        ("attachments", f"the attachments of router `{ROUTER}`", ["", "", "BATCHER.NoLogGroup"]),
        ("log_groups", f"the log groups of project `{PROJECT}`", ["", "BATCHER.NoAttachment", ""]),
        ("log_streams", f"the streams of log group `{GROUP}`", ["", "BATCHER.NoAttachment", "BATCHER.NoLogGroup"]),
    ],
)
async def test_what_may_not_be_read_is_told_once_and_the_rest_is_checked(
    operation: str, what: str, codes: list[str]
) -> None:
    async with site() as here:
        await here.attach(ATTACHMENT)
        await here.group(STREAM)
        denied = {"operation": operation, "fault": "status", "status": 403, "code": "LTS.0403", "message": "denied"}
        await here.control("PUT", "faults/script", [{**denied, "times": None}])
        rows = [{}, {"resource_id": OTHER}, {"log_group_id": "g" * 36}]
        assert await here.obstacles(*rows) == codes
        assert await here.obstacles(*rows) == codes
        ((said, hint),) = here.told
        assert said == f"{what} were not checked: LTS.0403: denied"
        assert "permission to list them" in hint
        assert here.asked[operation] == 1


@pytest.mark.parametrize(
    ("answer", "is_about_all"),
    [
        ({"status": 403, "code": "APIGW.0302", "message": "denied"}, True),
        ({"status": 404, "code": "APIGW.0101", "message": "denied"}, True),
        ({"status": 500, "code": "APIGW.0611", "message": "denied"}, True),
        ({"status": 403, "code": "ER.04031001", "message": "denied"}, False),
        ({"status": 404, "code": "ER.04041001", "message": "denied"}, False),
    ],
)
async def test_what_is_refused_for_every_router_alike_is_asked_of_one(
    answer: Mapping[str, object], is_about_all: bool
) -> None:
    """A permission may hold for one router only; a gateway's refusal, and an API that is down, do not."""
    routers = [f"{number:08x}{ROUTER[8:]}" for number in range(3)]
    async with site() as here:
        await here.group(STREAM)
        for router in routers:
            await here.attach(ATTACHMENT, router=router)
        rule = {"operation": "attachments", "fault": "status", "times": None, **answer}
        await here.control("PUT", "faults/script", [rule])
        for router in routers:
            assert await here.obstacles({}, {"resource_id": OTHER}, router=router) == ["", ""]
        assert here.asked["attachments"] == len(here.told) == (1 if is_about_all else 3)
        assert (", and all that come after them, were not checked" in here.told[0][0]) is is_about_all


async def test_a_log_service_without_an_address_is_told_with_the_setting_that_names_it() -> None:
    """Where Enterprise Router is at an address of one's own, keys go to no host that is only guessed."""
    told: list[tuple[str, str]] = []

    async def ask(kind: str, make: Callable[[], Awaitable[T | Refused]]) -> T | Refused | None:
        return None if kind == "attachments" else await make()

    async with transport() as opened:
        keys = FixedKeyring(Credentials("EMULATORAK", "EMULATORSK", source="test"))
        endpoints = Endpoints(everywhere={Service.ER: "https://er.example.com"})
        client = CloudClient(
            opened, signers=keys, endpoints=endpoints, now=EmulatorSettings().now, steady=time.monotonic
        )
        ground = FlowLogGround(client, LANE, ask, lambda message, hint: told.append((message, hint)))
        assert await ground.obstacles(ROUTER, [wish().spec] * 2) == [None, None]
    ((said, hint),) = told
    assert said.startswith(f"the log groups of project `{PROJECT}` were not checked: no LTS endpoint is given")
    assert "cloud.lts_endpoint" in hint
