"""Our client and the official SDK, side by side on one recording socket: the same request says the same.

The verifier is the emulator's, written from the documents; it shares no line with either.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import huaweicloudsdker.v3 as er
import pytest
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.exceptions.exceptions import SdkException
from multidict import CIMultiDict

from batcher.cloud.client import CloudClient
from batcher.cloud.credentials import Credentials
from batcher.cloud.endpoints import Endpoints, Service
from batcher.cloud.keyring import FixedKeyring
from batcher.cloud.projects import list_projects
from batcher.emulator.signature import fault_of
from batcher.model import ClaimedRow, LaneKey, Remote
from batcher.operations.flow_log import FlowLogs
from batcher.operations.flow_log_row import RowDefaults
from batcher.operations.surroundings import count_flow_logs, first_router, show_quota
from tests.cloud.servers import Request, Seen, answering, http, serving, transport
from tests.operations.wishes import ROW, wish

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:huaweicloudsdkcore")

LANE = LaneKey(ROW.get("account", "default"), ROW["region"], ROW["project_id"])
ROUTER = ROW["er_id"]
LOG = "b216bc1d-5963-41a7-89f9-779a5128c5ac"
OTHER = "c43c55e9-4911-4030-90e1-5c2bf6ae6fe2"
KEYS = {"AKEXAMPLE": "SKEXAMPLE"}


@dataclass
class Said:
    """What a request says, apart from what each client says of itself."""

    method: str
    path: str
    query: str
    signed: list[str]
    body: Any


@dataclass
class Ours:
    """Our side, over a client at a recording server."""

    client: CloudClient

    @property
    def flow_logs(self) -> FlowLogs:
        """The operation."""
        return FlowLogs(self.client, RowDefaults())

    async def change(self, method: str, tail: str, body: bytes = b"") -> None:
        """A call that no operation makes yet."""
        await self.client.call(LANE, method, f"/{ROUTER}/flow-logs/{LOG}{tail}", body=body, expected=frozenset({200}))


def claimed(**changes: str) -> ClaimedRow:
    """A row on its way out."""
    made = wish(FlowLogs(None, RowDefaults()), **changes)
    return ClaimedRow(1, 2, made.scope, made.key, made.spec, made.token, 0)


def remote(*, enabled: bool) -> Remote:
    """A flow log that is on or off."""
    return Remote(claimed().key, LOG, "available", enabled, None, {"name": "old", "description": None})


def create(row: ClaimedRow, *, token: bool, description: str | None = None) -> Any:
    """The SDK's create of the same row."""
    flow_log = er.FlowLogRequest(
        name=json.loads(row.spec)[7],
        description=description,
        resource_type="attachment",
        resource_id=ROW["resource_id"],
        log_group_id=ROW["log_group_id"],
        log_stream_id=ROW["log_stream_id"],
        log_store_type="LTS",
    )
    body = er.CreateFlowLogRequestBody(flow_log=flow_log)
    return er.CreateFlowLogRequest(er_id=ROUTER, x_client_token=row.token if token else None, body=body)


ODD = 'caf\u00e9 \u6d41 "quoted" \\ % \U0001f600'
Call = tuple[Callable[[Ours], Awaitable[object]], Callable[[Any], object]]
CALLS: dict[str, Call] = {
    "a create": (
        lambda ours: ours.flow_logs.apply(LANE, claimed()),
        lambda sdk: sdk.create_flow_log(create(claimed(), token=True)),
    ),
    "a create with a description of odd letters": (
        lambda ours: ours.flow_logs.apply(LANE, claimed(description=ODD, name="n \u00fc")),
        lambda sdk: sdk.create_flow_log(create(claimed(description=ODD, name="n \u00fc"), token=True, description=ODD)),
    ),
    "a listing": (
        lambda ours: ours.flow_logs.page(LANE, ROUTER, None),
        lambda sdk: sdk.list_flow_logs(
            er.ListFlowLogsRequest(er_id=ROUTER, limit=2000, sort_key=["id"], sort_dir=["asc"])
        ),
    ),
    "the next page of a listing of two attachments": (
        lambda ours: ours.flow_logs.page(LANE, ROUTER, LOG, [claimed().spec, claimed(resource_id=OTHER).spec]),
        lambda sdk: sdk.list_flow_logs(
            er.ListFlowLogsRequest(
                er_id=ROUTER,
                limit=2000,
                marker=LOG,
                sort_key=["id"],
                sort_dir=["asc"],
                resource_id=[OTHER, ROW["resource_id"]],
            )
        ),
    ),
    "an enabling": (
        lambda ours: ours.flow_logs.amend(LANE, claimed().spec, remote(enabled=False)),
        lambda sdk: sdk.enable_flow_log(er.EnableFlowLogRequest(er_id=ROUTER, flow_log_id=LOG)),
    ),
    "a disabling": (
        lambda ours: ours.flow_logs.amend(LANE, claimed(enabled="no").spec, remote(enabled=True)),
        lambda sdk: sdk.disable_flow_log(er.DisableFlowLogRequest(er_id=ROUTER, flow_log_id=LOG)),
    ),
    "a look at one": (
        lambda ours: ours.change("GET", ""),
        lambda sdk: sdk.show_flow_log(er.ShowFlowLogRequest(er_id=ROUTER, flow_log_id=LOG)),
    ),
    "an update": (
        lambda ours: ours.flow_logs.update(LANE, claimed(name="new").spec, remote(enabled=True)),
        lambda sdk: sdk.update_flow_log(
            er.UpdateFlowLogRequest(er_id=ROUTER, flow_log_id=LOG, body=er.UpdateFlowLogRequestBody(name="new"))
        ),
    ),
    "a deletion": (
        lambda ours: ours.change("DELETE", ""),
        lambda sdk: sdk.delete_flow_log(er.DeleteFlowLogRequest(er_id=ROUTER, flow_log_id=LOG)),
    ),
    "the quota": (
        lambda ours: show_quota(ours.client, LANE),
        lambda sdk: sdk.show_quotas(er.ShowQuotasRequest(type=["flow_log"])),
    ),
    "the routers": (
        lambda ours: first_router(ours.client, LANE),
        lambda sdk: sdk.list_enterprise_routers(er.ListEnterpriseRoutersRequest(limit=1)),
    ),
    "a count of a router's flow logs": (
        lambda ours: count_flow_logs(ours.client, LANE, ROUTER),
        lambda sdk: sdk.list_flow_logs(er.ListFlowLogsRequest(er_id=ROUTER, limit=1)),
    ),
    "the projects of a region": (
        lambda ours: list_projects(ours.client, "default", "cn-north-4"),
        lambda sdk: sdk.projects("cn-north-4"),
    ),
}


@asynccontextmanager
async def recorder() -> AsyncIterator[Seen]:
    """A server that answers anything with an empty object."""
    async with serving(answering(http(200, b"{}", "Content-Type: application/json"))) as seen:
        yield seen


def said(request: Request, *, secret: str = "SKEXAMPLE", security_token: str = "") -> Said:
    """A recorded request, once its signature has been verified."""
    method, target, _ = request.line.split(" ")
    headers = CIMultiDict(request.headers)
    keys, now = {"AKEXAMPLE": secret}, time.time()
    fault = fault_of(method, target, headers, request.body, keys=keys, auth_tokens=(), now=now)
    assert fault is None
    assert headers.get("X-Security-Token", "") == security_token
    path, _, query = target.partition("?")
    signed = headers["Authorization"].split("SignedHeaders=")[1].split(",")[0].split(";")
    body = json.loads(request.body) if request.body else None
    return Said(method, path, query, signed, body)


async def ours(call: Callable[[Ours], Awaitable[object]], security_token: str = "") -> Request:
    """What our client sends."""
    credentials = Credentials("AKEXAMPLE", "SKEXAMPLE", security_token=security_token)
    async with recorder() as seen, transport() as opened:
        endpoints = Endpoints(everywhere=dict.fromkeys(Service, seen.url))
        await call(
            Ours(
                CloudClient(
                    opened, signers=FixedKeyring(credentials), endpoints=endpoints, now=time.time, steady=time.monotonic
                )
            )
        )
        return seen.requests[0]


async def theirs(call: Callable[[Any], object], security_token: str = "") -> Request:
    """What the official SDK sends."""
    async with recorder() as seen:
        keys = BasicCredentials("AKEXAMPLE", "SKEXAMPLE", ROW["project_id"])
        if security_token:
            keys = keys.with_security_token(security_token)
        client = er.ErClient.new_builder().with_credentials(keys).with_endpoint(seen.url).build()
        client.projects = lambda region: _projects(client, seen.url, region)
        await asyncio.to_thread(call, client)
        return seen.requests[0]


def _projects(client: Any, url: str, region: str) -> None:
    """The SDK's own look-up of a project, as its credentials make it for a region; the empty answer is no news."""
    keys = BasicCredentials("AKEXAMPLE", "SKEXAMPLE").with_iam_endpoint(url)
    with suppress(SdkException):
        keys.process_auth_params(client._http_client, region)


@pytest.mark.parametrize("name", CALLS)
async def test_the_same_request_says_the_same(name: str) -> None:
    mine, sdks = CALLS[name]
    assert said(await ours(mine)) == said(await theirs(sdks))


@pytest.mark.parametrize("name", ["a create", "a listing", "an enabling"])
async def test_so_it_does_under_temporary_keys(name: str) -> None:
    mine, sdks = CALLS[name]
    found = said(await ours(mine, "STSTOKEN"), security_token="STSTOKEN")
    assert found == said(await theirs(sdks, "STSTOKEN"), security_token="STSTOKEN")
    assert "x-security-token" in found.signed


async def test_both_name_the_token_of_a_create_in_the_same_header() -> None:
    mine, sdks = CALLS["a create"]
    tokens = {(await ours(mine)).headers["X-Client-Token"], (await theirs(sdks)).headers["X-Client-Token"]}
    assert tokens == {claimed().token}


async def test_the_verifier_tells_a_wrong_secret() -> None:
    """A verifier that took anything would prove nothing."""
    for request in (await ours(CALLS["a create"][0]), await theirs(CALLS["a create"][1])):
        with pytest.raises(AssertionError, match="aksk signature fail"):
            said(request, secret="another")


async def test_each_says_who_it_is() -> None:
    mine, sdks = CALLS["the quota"]
    assert (await ours(mine)).headers["User-Agent"].startswith("batcher/")
    assert (await theirs(sdks)).headers["User-Agent"].startswith("huaweicloud-usdk-python/3.0")
