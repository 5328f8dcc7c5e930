"""Who may call the emulator, and whose project a region is, as the official SDK finds it."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException, SdkException
from huaweicloudsdkcore.region.region import Region
from huaweicloudsdker.v3 import ErAsyncClient, ListFlowLogsRequest

from batcher.emulator.server import Throttle
from tests.emulator.client import GROUP, PROJECT, ROUTER, STREAM
from tests.emulator.official import Cloud, cloud, create_request

pytestmark = pytest.mark.filterwarnings("ignore:Unable to convert string to datetime:ImportWarning")

LISTING = ListFlowLogsRequest(er_id=ROUTER)


@pytest.fixture
def emulated() -> Iterator[Cloud]:
    with cloud() as found:
        yield found


def refused(call: Any, request: Any) -> ClientRequestException:
    """The SDK's exception for a call that the cloud refuses."""
    with pytest.raises(ClientRequestException) as caught:
        call(request)
    return caught.value


def test_a_wrong_secret_is_refused_and_counted(emulated: Cloud) -> None:
    error = refused(emulated.client(secret_key="wrong").create_flow_log, create_request())
    assert (error.status_code, error.error_code) == (401, "APIGW.0301")
    assert "verify aksk signature fail" in error.error_msg
    assert error.request_id
    found = emulated.statistics()
    assert (found["unauthorized_by_key"], found["created_total"]) == ({"EMULATORAK": 1}, 0)


def test_an_unknown_key_is_refused_and_counted(emulated: Cloud) -> None:
    error = refused(emulated.client("NOBODY").list_flow_logs, LISTING)
    assert (error.status_code, error.error_code) == (401, "APIGW.0301")
    assert "ak not exist" in error.error_msg
    assert emulated.statistics()["unauthorized_by_key"] == {"unknown": 1}


def test_a_wrong_clock_is_refused_and_a_right_one_accepted_again(emulated: Cloud) -> None:
    sdk = emulated.client()
    emulated.control("PATCH", "/settings", {"clock_skew_s": 3600})
    error = refused(sdk.list_flow_logs, LISTING)
    assert (error.status_code, error.error_code) == (401, "APIGW.0301")
    assert "X-Sdk-Date" in error.error_msg
    emulated.control("PATCH", "/settings", {"clock_skew_s": 0})
    assert sdk.list_flow_logs(LISTING).status_code == 200


def test_too_many_calls_are_refused_with_the_limit() -> None:
    with cloud(throttle=Throttle(1, 60)) as emulated:
        sdk = emulated.client()
        sdk.list_flow_logs(LISTING)
        error = refused(sdk.create_flow_log, create_request())
        assert (error.status_code, error.error_code) == (429, "APIGW.0308")
        assert re.search(r"limit:1,time:1 minute", error.error_msg)
        assert emulated.statistics()["arrivals_over_limit"] == 1


@pytest.mark.parametrize(("operation", "calls"), [("create", 1), ("list", 3)])
def test_the_sdk_itself_repeats_reads_and_no_creates(emulated: Cloud, operation: str, calls: int) -> None:
    emulated.script({"operation": operation, "fault": "throttled", "times": None})
    sdk = emulated.client(retry_times=2)
    call, request = (sdk.create_flow_log, create_request()) if operation == "create" else (sdk.list_flow_logs, LISTING)
    assert refused(call, request).status_code == 429
    assert emulated.statistics()["calls"] == {operation: calls}


def test_the_threads_of_the_asynchronous_client_create_side_by_side(emulated: Cloud) -> None:
    builder = ErAsyncClient.new_builder().with_credentials(BasicCredentials("EMULATORAK", "EMULATORSK", PROJECT))
    sdk = builder.with_endpoint(emulated.url).build()
    try:
        answers = [sdk.create_flow_log_async(create_request(number)) for number in range(20)]
        assert {answer.result().status_code for answer in answers} == {202}
    finally:
        sdk.get_http_client().close()
    found = emulated.statistics()
    assert (found["created_total"], found["keys_created_twice"]) == (20, [])


# The SDK remembers a project for a key and a region as long as the process lives, so each test has a region of its own.


def test_the_sdk_finds_the_one_project_of_a_region(emulated: Cloud) -> None:
    keys = [BasicCredentials("EMULATORAK", "EMULATORSK").with_iam_endpoint(emulated.url) for _ in range(2)]
    for key in keys:
        sdk = emulated.client(credentials=key, region=Region("one-1", emulated.url))
        assert sdk.list_flow_logs(LISTING).status_code == 200
    assert keys[0].project_id == keys[1].project_id
    assert re.fullmatch("[0-9a-f]{32}", keys[0].project_id)
    assert emulated.statistics()["calls"] == {"projects": 1, "list": 2}


def test_the_sdk_finds_a_seeded_project_at_the_endpoint_of_the_environment(
    emulated: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUAWEICLOUD_SDK_IAM_ENDPOINT", emulated.url)
    emulated.control("POST", "/projects", [{"name": "seeded-1", "id": PROJECT, "access_key": "EMULATORAK"}])
    key = BasicCredentials("EMULATORAK", "EMULATORSK")
    sdk = emulated.client(credentials=key, region=Region("seeded-1", emulated.url))
    assert key.project_id == PROJECT
    assert sdk.create_flow_log(create_request()).flow_log.project_id == PROJECT


def lookup_fault(emulated: Cloud, region: str, *, secret_key: str = "EMULATORSK") -> str:
    """What the SDK says when it finds no project for a region."""
    key = BasicCredentials("EMULATORAK", secret_key).with_iam_endpoint(emulated.url)
    with pytest.raises(SdkException) as caught:
        emulated.client(credentials=key, region=Region(region, emulated.url))
    return str(caught.value.error_msg)


def test_the_sdk_refuses_to_choose_between_projects_and_names_the_trace(emulated: Cloud) -> None:
    ids = ["1" * 32, "2" * 32]
    emulated.control("POST", "/projects", [{"name": "several-1", "id": id_} for id_ in ids])
    said = lookup_fault(emulated, "several-1")
    assert "Multiple project ids found" in said
    assert all(id_ in said for id_ in ids)
    assert re.search("X-IAM-Trace-Id=[0-9a-f]{32}", said)


def test_the_sdk_finds_no_project_in_a_closed_world() -> None:
    with cloud(open_world=False) as emulated:
        assert "Confirm that the project exists" in lookup_fault(emulated, "closed-1")


def test_a_wrong_secret_fails_the_look_up_at_the_gateway(emulated: Cloud) -> None:
    assert "APIGW.0301" in lookup_fault(emulated, "wrong-1", secret_key="wrong")
    assert emulated.statistics()["unauthorized_by_key"] == {"EMULATORAK": 1}


def log_service(emulated: Cloud, path: str, **config: Any) -> Any:
    """A GET of LTS through the SDK's core, under a model of another service, as it wants one; the JSON that came."""
    sdk = emulated.client(**config)
    return json.loads(sdk.do_http_request("GET", path, response_type="ListFlowLogsResponse").raw_content)


def test_the_sdks_core_reads_log_groups_and_streams(emulated: Cloud) -> None:
    streams = [{"id": STREAM, "name": "north"}]
    emulated.control("POST", "/log-groups", [{"project_id": PROJECT, "id": GROUP, "name": "flows", "streams": streams}])
    groups = log_service(emulated, "/v2/{project_id}/groups")
    assert [(item["log_group_id"], item["log_group_name"]) for item in groups["log_groups"]] == [(GROUP, "flows")]
    found = log_service(emulated, f"/v2/{{project_id}}/groups/{GROUP}/streams")
    assert [(item["log_stream_id"], item["log_stream_name"]) for item in found["log_streams"]] == [(STREAM, "north")]
    missing = refused(lambda path: log_service(emulated, path), f"/v2/{{project_id}}/groups/{STREAM}/streams")
    assert (missing.status_code, missing.error_code) == (400, "LTS.0201")


def test_the_log_service_refuses_the_sdk_when_it_leaves_the_content_type_out(emulated: Cloud) -> None:
    error = refused(
        lambda path: log_service(emulated, path, ignore_content_type_for_get_request=True), "/v2/{project_id}/groups"
    )
    assert (error.status_code, error.error_code) == (400, "LTS.0009")
