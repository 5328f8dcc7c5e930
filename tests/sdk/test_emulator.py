"""The emulator as the official SDK finds it: every operation, page and refusal that provisioning meets."""

from collections.abc import Iterator
from typing import Any

import pytest
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException
from huaweicloudsdker.v3 import (
    DeleteFlowLogRequest,
    DisableFlowLogRequest,
    EnableFlowLogRequest,
    ListAttachmentsRequest,
    ListEnterpriseRoutersRequest,
    ListFlowLogsRequest,
    ShowFlowLogRequest,
    ShowQuotasRequest,
    UpdateFlowLogRequest,
    UpdateFlowLogRequestBody,
)

from tests.emulator.client import GROUP, PROJECT, ROUTER, STREAM, some_id
from tests.emulator.official import Cloud, cloud, create_request

# Times stay texts; the SDK warns of it at each where python-dateutil is missing.
pytestmark = pytest.mark.filterwarnings("ignore:Unable to convert string to datetime:ImportWarning")

TOKEN = "46436810-d999-454c-bd85-e515fd258600"


@pytest.fixture
def emulated() -> Iterator[Cloud]:
    with cloud() as found:
        yield found


@pytest.fixture
def sdk(emulated: Cloud) -> Any:
    return emulated.client()


def refused(call: Any, request: Any) -> ClientRequestException:
    """The SDK's exception for a call that the cloud refuses."""
    with pytest.raises(ClientRequestException) as caught:
        call(request)
    return caught.value


def test_a_create_without_token_is_accepted(sdk: Any) -> None:
    answer = sdk.create_flow_log(create_request())
    assert answer.status_code == 202
    assert answer.request_id
    made = answer.flow_log
    assert (made.resource_type, made.log_store_type) == ("attachment", "LTS")
    assert (made.name, made.description, made.resource_id) == ("log-1", "flow log 1", some_id(1))
    assert (made.log_group_id, made.log_stream_id, made.project_id) == (GROUP, STREAM, PROJECT)
    assert 60 <= made.log_aggregation_interval <= 600
    assert (made.state, made.enabled) == ("available", True)
    assert made.created_at == made.updated_at
    assert answer.x_client_token is None


def test_a_token_is_echoed_and_replays_the_first_answer(emulated: Cloud, sdk: Any) -> None:
    first, second = (sdk.create_flow_log(create_request(token=TOKEN)) for _ in range(2))
    assert first.x_client_token == second.x_client_token == TOKEN
    assert first.flow_log.id == second.flow_log.id
    assert second.status_code == 202
    assert emulated.statistics()["created_total"] == 1


def test_a_token_with_other_parameters_is_refused_as_ecs_does(emulated: Cloud, sdk: Any) -> None:
    sdk.create_flow_log(create_request(token=TOKEN))
    error = refused(sdk.create_flow_log, create_request(token=TOKEN, name="other"))
    assert (error.status_code, error.error_code) == (400, "ER.04009005")
    assert "X-Client-Token" in error.error_msg
    assert emulated.statistics()["created_total"] == 1


def test_a_second_flow_log_with_the_same_key_is_refused(sdk: Any) -> None:
    sdk.create_flow_log(create_request())
    error = refused(sdk.create_flow_log, create_request(name="other", token=TOKEN))
    assert (error.status_code, error.error_code) == (400, "ER.04008503")
    assert error.request_id


@pytest.mark.parametrize("changes", [{"name": "n" * 500}, {"resource_id": "vpc-1"}, {"resource_type": "vpc"}])
def test_what_the_sdk_does_not_check_the_cloud_refuses(sdk: Any, changes: dict[str, Any]) -> None:
    error = refused(sdk.create_flow_log, create_request(**changes))
    assert (error.status_code, error.error_code) == (400, "ER.04009005")


def test_text_outside_ascii_arrives_as_it_was_sent(sdk: Any) -> None:
    made = sdk.create_flow_log(create_request(name="caf\u00e9 \u6d41", description="\U0001f600"))
    shown = sdk.show_flow_log(ShowFlowLogRequest(er_id=ROUTER, flow_log_id=made.flow_log.id)).flow_log
    assert (shown.name, shown.description) == ("caf\u00e9 \u6d41", "\U0001f600")


def test_keys_for_a_time_are_accepted_with_their_security_token(emulated: Cloud) -> None:
    temporary = BasicCredentials("EMULATORAK", "EMULATORSK", PROJECT).with_security_token("STSTOKEN")
    sdk = emulated.client(credentials=temporary)
    assert sdk.create_flow_log(create_request(token=TOKEN)).status_code == 202


def test_a_flow_log_from_show_to_delete(sdk: Any) -> None:
    made = sdk.create_flow_log(create_request()).flow_log
    scope = {"er_id": ROUTER, "flow_log_id": made.id}
    shown = sdk.show_flow_log(ShowFlowLogRequest(**scope))
    assert (shown.status_code, shown.flow_log) == (200, made)
    change = UpdateFlowLogRequestBody(name="renamed")
    updated = sdk.update_flow_log(UpdateFlowLogRequest(**scope, body=change))
    assert updated.status_code == 200
    assert (updated.flow_log.name, updated.flow_log.description) == ("renamed", made.description)
    disabled = sdk.disable_flow_log(DisableFlowLogRequest(**scope))
    assert (disabled.status_code, disabled.flow_log.enabled) == (202, False)
    enabled = sdk.enable_flow_log(EnableFlowLogRequest(**scope))
    assert (enabled.status_code, enabled.flow_log.enabled) == (202, True)
    assert sdk.delete_flow_log(DeleteFlowLogRequest(**scope)).status_code == 202
    gone = refused(sdk.show_flow_log, ShowFlowLogRequest(**scope))
    assert (gone.status_code, gone.error_code) == (404, "ER.04008501")
    again = refused(sdk.delete_flow_log, DeleteFlowLogRequest(**scope))
    assert (again.status_code, again.error_code) == (400, "ER.04008501")
    assert sdk.create_flow_log(create_request()).flow_log.id != made.id


def test_a_new_flow_log_is_pending_and_then_available() -> None:
    with cloud(pending_s=30) as emulated:
        sdk = emulated.client()
        made = sdk.create_flow_log(create_request()).flow_log
        scope = {"er_id": ROUTER, "flow_log_id": made.id}
        assert made.state == "pending"
        busy = refused(sdk.delete_flow_log, DeleteFlowLogRequest(**scope))
        assert (busy.status_code, busy.error_code) == (400, "ER.04008502")
        emulated.control("POST", "/clock", {"advance_s": 31})
        assert sdk.show_flow_log(ShowFlowLogRequest(**scope)).flow_log.state == "available"


def seed(emulated: Cloud, count: int) -> None:
    """Flow logs 1 to `count`, whose names run against the order of their attachments."""
    common = {"project_id": PROJECT, "er_id": ROUTER, "log_group_id": GROUP, "log_stream_id": STREAM}
    items = [
        {**common, "resource_id": some_id(number), "name": f"log-{count - number:05}"} for number in range(1, count + 1)
    ]
    emulated.control("POST", "/flow-logs", items)


def pages(sdk: Any, **query: Any) -> list[list[Any]]:
    """All pages of the listing, as its marker leads."""
    found = []
    marker = None
    while True:
        answer = sdk.list_flow_logs(ListFlowLogsRequest(er_id=ROUTER, marker=marker, **query))
        assert answer.status_code == 200
        assert answer.page_info.current_count == len(answer.flow_logs)
        found.append(answer.flow_logs)
        marker = answer.page_info.next_marker
        if not marker:
            return found
        assert marker == answer.flow_logs[-1].id


def test_more_than_five_thousand_flow_logs_come_in_three_pages(emulated: Cloud, sdk: Any) -> None:
    seed(emulated, 5_001)
    found = pages(sdk, limit=2000)
    assert [len(page) for page in found] == [2000, 2000, 1001]
    ids = [item.id for page in found for item in page]
    assert ids == sorted(set(ids))
    assert {item.resource_id for page in found for item in page} == {some_id(number) for number in range(1, 5_002)}
    assert sdk.list_flow_logs(ListFlowLogsRequest(er_id=ROUTER, limit=1)).total_count == 5_001
    too_many = refused(sdk.list_flow_logs, ListFlowLogsRequest(er_id=ROUTER, limit=2001))
    assert (too_many.status_code, too_many.error_code) == (400, "ER.04009005")


@pytest.mark.parametrize("limit", [1, 3, 7, 8])
def test_small_pages_lead_to_the_same_flow_logs(emulated: Cloud, sdk: Any, limit: int) -> None:
    seed(emulated, 7)
    found = pages(sdk, limit=limit)
    assert all(len(page) == limit for page in found[:-1])
    assert len({item.id for page in found for item in page}) == 7


def test_the_listing_sorts_and_filters(emulated: Cloud, sdk: Any) -> None:
    seed(emulated, 6)
    by_name = [item.name for page in pages(sdk, limit=4, sort_key=["name"], sort_dir=["desc"]) for item in page]
    assert by_name == [f"log-{number:05}" for number in (5, 4, 3, 2, 1, 0)]
    wanted = [some_id(2), some_id(5), some_id(99)]
    answer = sdk.list_flow_logs(ListFlowLogsRequest(er_id=ROUTER, resource_id=wanted, resource_type="attachment"))
    assert {item.resource_id for item in answer.flow_logs} == {some_id(2), some_id(5)}
    assert answer.total_count == 2
    assert not answer.page_info.next_marker


def test_a_query_full_of_signs_is_signed_alike_on_both_sides(sdk: Any) -> None:
    odd = ["a b*~+&=/\u00e9%2F;", "~", "A", "a"]
    answer = sdk.list_flow_logs(ListFlowLogsRequest(er_id=ROUTER, limit=5, marker="m/1 *", resource_id=odd))
    assert (answer.status_code, answer.flow_logs) == (200, [])


def test_routers_attachments_and_quotas() -> None:
    with cloud(quota=20) as emulated:
        sdk = emulated.client()
        for number in (1, 2):
            sdk.create_flow_log(create_request(number))
        routers = sdk.list_enterprise_routers(ListEnterpriseRoutersRequest())
        assert [(router.id, router.state) for router in routers.instances] == [(ROUTER, "available")]
        one = sdk.list_attachments(ListAttachmentsRequest(er_id=ROUTER, limit=1))
        rest = sdk.list_attachments(ListAttachmentsRequest(er_id=ROUTER, limit=5, marker=one.page_info.next_marker))
        items = one.attachments + rest.attachments
        assert [item.id for item in items] == [some_id(1), some_id(2)]
        assert {(item.state, item.resource_type) for item in items} == {("available", "vpc")}
        assert all(item.resource_id != item.id for item in items)
        # The SDK takes `er_id` for a list: of a text it sends each letter as an id, and learns that nothing is used.
        (quota,) = sdk.show_quotas(ShowQuotasRequest(type=["flow_log"], er_id=[ROUTER])).quotas
        assert (quota.quota_key, quota.quota_limit, quota.used) == ("flow_log", 20, 2)
        strange = refused(sdk.show_quotas, ShowQuotasRequest(type=["moon"]))
        assert (strange.status_code, strange.error_code) == (400, "ER.04009009")


def test_a_closed_world_refuses_what_it_does_not_know_and_a_full_one_what_is_too_much() -> None:
    with cloud(open_world=False, quota=0) as emulated:
        sdk = emulated.client()
        router = refused(sdk.create_flow_log, create_request())
        assert (router.status_code, router.error_code) == (404, "ER.04041001")
        emulated.control("POST", "/routers", [{"project_id": PROJECT, "id": ROUTER}])
        attachment = refused(sdk.create_flow_log, create_request())
        assert (attachment.status_code, attachment.error_code) == (404, "ER.04044001")
        emulated.control("POST", "/attachments", [{"project_id": PROJECT, "er_id": ROUTER, "id": some_id(1)}])
        full = refused(sdk.create_flow_log, create_request())
        assert (full.status_code, full.error_code) == (400, "ER.04009008")
