"""The official SDK (huaweicloudsdker 3.1.219) as the emulator's client.

The SDK is synchronous, so the emulator has a thread of its own; control is spoken without the SDK. Import this below
`tests/sdk` only: its `conftest.py` gives the SDK a home of its own.
"""

import json
import os
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

from anyio.from_thread import start_blocking_portal
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.http.http_config import HttpConfig
from huaweicloudsdker.v3 import CreateFlowLogRequest, CreateFlowLogRequestBody, ErClient, FlowLogRequest

from batcher.emulator.server import EmulatorSettings, running
from tests.emulator.client import GROUP, PROJECT, ROUTER, STREAM, some_id

TIMEOUT_S = (5.0, 10.0)
"""Of the SDK's calls: to connect, and to read."""


class Cloud:
    """A running emulator, and SDK clients of it that are closed with it."""

    def __init__(self, url: str, closing: ExitStack) -> None:
        self.url = url
        self._closing = closing

    def client(
        self,
        access_key: str = "EMULATORAK",
        secret_key: str = "EMULATORSK",
        *,
        region: Any = None,
        credentials: Any = None,
        **config: Any,
    ) -> Any:
        """An `ErClient` with keys of its own, for a project, or for a region whose project the SDK looks up."""
        own = HttpConfig.get_default_config()
        own.timeout = TIMEOUT_S
        for name, value in config.items():
            setattr(own, name, value)
        credentials = credentials or BasicCredentials(access_key, secret_key, PROJECT)
        builder = ErClient.new_builder().with_http_config(own).with_credentials(credentials)
        client = (builder.with_region(region) if region else builder.with_endpoint(self.url)).build()
        self._closing.callback(client.get_http_client().close)
        return client

    def control(self, method: str, path: str, document: object = None) -> Any:
        """One control request; what it answered."""
        data = None if document is None else json.dumps(document).encode()
        request = urllib.request.Request(f"{self.url}/_emulator{path}", data, method=method)
        with urllib.request.urlopen(request) as answer:
            return json.loads(answer.read() or b"null")

    def script(self, *rules: dict[str, Any]) -> None:
        """Put a fault script in place."""
        self.control("PUT", "/faults/script", list(rules))

    def statistics(self) -> Any:
        return self.control("GET", "/statistics")


@contextmanager
def cloud(**settings: Any) -> Iterator[Cloud]:
    """An emulator with these settings, in a thread. Neither proxies nor a `.netrc` of this machine are used."""
    outside = {name: "" for name in os.environ if name.lower().endswith("_proxy")}
    with (
        mock.patch.dict(os.environ, {**outside, "NO_PROXY": "*", "NETRC": os.devnull}),
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(running(EmulatorSettings(**settings))) as emulator,
        ExitStack() as closing,
    ):
        yield Cloud(emulator.url, closing)


def create_request(number: int = 1, *, token: str | None = None, **changes: Any) -> Any:
    """A request for a flow log; each number has its own attachment."""
    fields: dict[str, Any] = {
        "name": f"log-{number}",
        "description": f"flow log {number}",
        "resource_type": "attachment",
        "resource_id": some_id(number),
        "log_group_id": GROUP,
        "log_stream_id": STREAM,
        "log_store_type": "LTS",
        **changes,
    }
    body = CreateFlowLogRequestBody(flow_log=FlowLogRequest(**fields))
    return CreateFlowLogRequest(er_id=ROUTER, x_client_token=token, body=body)
