"""What a flow log is: its identity and token pinned, its calls held to the bytes that the provider's samples show."""

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batcher.cloud.client import CloudClient, Reply
from batcher.cloud.endpoints import Service
from batcher.model import Applied, ClaimedRow, ClockOffset, Kind, LaneKey, Page, Refused, Remote, Stops, Token, Wish
from batcher.operations.flow_log import FlowLogs
from batcher.operations.flow_log_row import RowDefaults
from batcher.policy.token import NAMESPACE
from tests.operations.wishes import ATTACHMENT, GROUP, PROJECT, ROUTER, ROW, STREAM, flow_logs, wish

LANE = LaneKey("default", "cn-north-4", PROJECT)
VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "signing.json").read_text(encoding="utf-8"))


def sample_body(number: int) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(VECTORS[number]["body"])
    return body


# --- identity and token ---------------------------------------------------------------------------------


# Worked out with Python's own `uuid.uuid5`; a change here makes every ledger forget what it has sent.
@pytest.mark.parametrize(
    ("columns", "token"),
    [
        ({}, "7017c00f-6274-5400-b75c-45e4487f25d5"),
        ({"name": "x\ny"}, "a1177357-57c6-5ad2-9d8e-1b550cf2db3b"),
    ],
)
def test_the_token_of_a_row_is_pinned(columns: Mapping[str, str], token: str) -> None:
    assert wish(**columns).token == token


@pytest.mark.parametrize("generation", [0, 1, 17])
def test_a_token_is_the_uuid5_of_what_is_sent(generation: int) -> None:
    row = wish(name='caf\u00e9 "\u6d41"', description="d\\e")
    sent = [
        1,
        PROJECT,
        ROUTER,
        'caf\u00e9 "\u6d41"',
        "d\\e",
        "attachment",
        ATTACHMENT,
        GROUP,
        STREAM,
        "LTS",
        generation,
    ]
    text = json.dumps(sent, separators=(",", ":"))
    assert flow_logs().token(row.spec, generation) == str(uuid.uuid5(NAMESPACE, text))


def test_the_token_of_a_wish_is_that_of_its_first_generation() -> None:
    row = wish()
    assert flow_logs().token(row.spec, 0) == row.token
    assert len({flow_logs().token(row.spec, generation) for generation in range(100)}) == 100


OTHER = "0" * 8 + ATTACHMENT[8:]
CHANGES: dict[str, tuple[str, bool, bool]] = {
    # column: (another value, another identity?, another token?)
    "er_id": (OTHER, True, True),
    "resource_id": (OTHER, True, True),
    "log_group_id": (OTHER, True, True),
    "log_stream_id": (OTHER, True, True),
    "project_id": ("f" * 32, True, True),
    "region": ("cn-south-1", True, False),
    "account": ("other", False, False),  # who asks, not where
    "name": ("other", False, True),
    "description": ("other", False, True),
    "enabled": ("false", False, False),
    "resource_type": ("vpc", False, False),
    "log_store_type": ("lts", False, False),
}


@pytest.mark.parametrize("column", CHANGES)
def test_what_makes_another_flow_log_and_what_another_request(column: str) -> None:
    value, is_another, is_sent_otherwise = CHANGES[column]
    one, other = wish(name="n"), wish(**{"name": "n", column: value})
    assert (one.key != other.key) == is_another
    assert (one.token != other.token) == is_sent_otherwise
    assert len(other.key) == 16


def test_a_group_and_a_stream_that_change_places_make_another_flow_log() -> None:
    assert wish(log_group_id=STREAM, log_stream_id=GROUP).key != wish().key


def test_the_lane_and_the_scope_of_a_row_are_its_project_and_router() -> None:
    row = wish(account="team")
    assert (row.lane, row.scope) == (LaneKey("team", "cn-north-4", PROJECT), ROUTER)


# --- specs ----------------------------------------------------------------------------------------------

hexes = st.text("0123456789abcdefABCDEF", min_size=32, max_size=32)
uuids = hexes.map(lambda t: f"{t[:8]}-{t[8:12]}-{t[12:16]}-{t[16:20]}-{t[20:]}")
lts_ids = st.text("abcdefXYZ0189-", min_size=36, max_size=36)
TURNING = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
texts = st.characters(
    exclude_categories=["Cs", "Cc"], exclude_characters=f"{TURNING}\ufffd", include_characters="\t\n\r"
)
rows = st.fixed_dictionaries(
    {
        "er_id": uuids,
        "resource_id": uuids,
        "log_group_id": lts_ids,
        "log_stream_id": lts_ids,
        "project_id": hexes.map(str.lower),
        "region": st.text("abcxyz0189-", min_size=1, max_size=32),
    },
    optional={
        "name": st.text(texts, min_size=1, max_size=64),
        "description": st.text(texts, max_size=255),
        "enabled": st.sampled_from(["true", "false", "yes", "no", "1", "0"]),
        "account": st.text("abcXYZ019_.-", min_size=1, max_size=64),
        "resource_type": st.just("vpc"),
    },
).filter(
    lambda row: (
        row["er_id"].lower() != row["resource_id"].lower()
        and row["log_group_id"].lower() != row["log_stream_id"].lower()
    )
)
OTHER_DEFAULTS = RowDefaults(
    values={"description": "something else", "enabled": "false", "account": "someone", "region": "nowhere"},
    name_template="{er_id}",
)


@given(rows)
def test_a_spec_written_as_columns_is_read_as_the_same_spec(fields: dict[str, str]) -> None:
    operation = flow_logs()
    row = operation.parse(fields)
    assert isinstance(row, Wish)
    columns = operation.columns_of(row.spec)
    assert set(columns) == set(operation.known_columns)
    assert operation.parse(columns) == row
    assert FlowLogs(None, OTHER_DEFAULTS).parse(columns) == row


@given(rows)
def test_a_spec_is_compact_json_and_its_token_can_be_made_again(fields: dict[str, str]) -> None:
    operation = flow_logs()
    row = operation.parse(fields)
    assert isinstance(row, Wish)
    assert json.dumps(json.loads(row.spec), separators=(",", ":")) == row.spec
    assert operation.token(row.spec, 0) == row.token


# --- drift ----------------------------------------------------------------------------------------------


def remote(**known: Any) -> Remote:
    fields = {"name": f"flow-log-{ATTACHMENT}", "description": None, "enabled": True, **known}
    return Remote(wish().key, "fl-1", "available", fields["enabled"], None, fields)


@pytest.mark.parametrize(
    ("columns", "there", "differences"),
    [
        ({}, {}, ()),
        ({}, {"description": ""}, ()),
        ({"description": ""}, {"description": None}, ()),
        ({"description": "a"}, {"description": "a"}, ()),
        ({"enabled": "false"}, {"enabled": False}, ()),
        ({"name": "a"}, {"name": "b"}, ("name: wished `a`, there is `b`",)),
        ({"name": "a"}, {"name": "A"}, ("name: wished `a`, there is `A`",)),
        ({"name": "a"}, {"name": "\ud800b"}, ("name: wished `a`, there is `\ufffdb`",)),
        ({"description": "a"}, {}, ("description: wished `a`, there is ``",)),
        ({}, {"description": "b"}, ("description: wished ``, there is `b`",)),
        ({}, {"enabled": False}, ("enabled: wished `true`, there is `false`",)),
        ({"enabled": "no"}, {}, ("enabled: wished `false`, there is `true`",)),
        (
            {"name": "a", "description": "c", "enabled": "0"},
            {"name": "b"},
            (
                "name: wished `a`, there is `b`",
                "description: wished `c`, there is ``",
                "enabled: wished `false`, there is `true`",
            ),
        ),
    ],
)
def test_what_is_there_otherwise_than_wished_is_named(
    columns: dict[str, str], there: dict[str, Any], differences: tuple[str, ...]
) -> None:
    assert flow_logs().differences(wish(**columns).spec, remote(**there)) == differences


def test_what_the_provider_does_not_say_is_no_difference() -> None:
    assert flow_logs().differences(wish().spec, remote(enabled=None)) == ()


@pytest.mark.parametrize(
    ("enabled", "there", "is_due"),
    [
        ("true", True, False),
        ("true", False, True),
        ("true", None, False),
        ("false", True, True),
        ("false", False, False),
        ("false", None, False),
    ],
)
def test_a_flow_log_that_is_on_and_should_be_off_needs_a_call(enabled: str, there: bool | None, is_due: bool) -> None:
    assert flow_logs().needs_amending(wish(enabled=enabled).spec, remote(enabled=there)) is is_due


# --- calls ----------------------------------------------------------------------------------------------


@dataclass
class Call:
    lane: LaneKey
    method: str
    tail: str
    query: Sequence[tuple[str, str]]
    body: bytes
    token: str | None
    expected: frozenset[int]


@dataclass
class ScriptedClient(CloudClient):
    """Gives the answers it was told, and remembers what it was asked."""

    answers: list[Reply | Refused]
    calls: list[Call] = field(default_factory=list)
    skew: float | None = None
    offsets: dict[tuple[Service, str], ClockOffset] = field(default_factory=dict)

    async def call(
        self,
        lane: LaneKey,
        method: str,
        tail: str,
        *,
        query: Sequence[tuple[str, str]] = (),
        body: bytes = b"",
        token: str | None = None,
        expected: frozenset[int],
    ) -> Reply | Refused:
        self.calls.append(Call(lane, method, tail, query, body, token, expected))
        return self.answers.pop(0)

    def skew_s(self, service: Service, region: str) -> float | None:
        return self.skew

    def clock_offset(self, service: Service, region: str) -> ClockOffset | None:
        return self.offsets.get((service, region))


def scripted(*answers: Reply | Refused) -> tuple[FlowLogs, ScriptedClient]:
    client = ScriptedClient(list(answers))
    return FlowLogs(client, RowDefaults()), client


def took(**flow_log: Any) -> Reply:
    shown = {"id": "fl-1", "state": "pending", "enabled": True, **flow_log}
    return Reply(202, {"flow_log": shown, "request_id": "req-1"}, "req-1")


def claimed(**columns: str) -> ClaimedRow:
    row = wish(**columns)
    return ClaimedRow(1, 2, row.scope, row.key, row.spec, Token("the-token"), 0)


REFUSED = Refused(Kind.PERMANENT, Stops.ROW, "ER.1", "no", http_status=400)


async def sent_body(**columns: str) -> bytes:
    operation, client = scripted(took())
    await operation.apply(LANE, claimed(**columns))
    return client.calls[0].body


async def test_a_create_asks_for_what_the_provider_s_sample_asks_for() -> None:
    body = await sent_body(name="flow-log", description="flow log test")
    assert json.loads(body) == sample_body(0)
    assert list(json.loads(body)["flow_log"]) == list(sample_body(0)["flow_log"])


async def test_a_create_without_a_description_leaves_it_out() -> None:
    assert json.loads(await sent_body(name="flow-log")) == sample_body(1)
    assert await sent_body(name="flow-log") == await sent_body(name="flow-log", description="")


async def test_a_description_in_any_script_is_sent_as_it_is() -> None:
    body = await sent_body(name="flow-log", description="caf\u00e9 \u6d41")
    assert json.loads(body) == sample_body(2)


async def test_the_bytes_of_a_create_are_pinned() -> None:
    assert await sent_body(name='a"b', description="\u00e9") == (
        b'{"flow_log":{"name":"a\\"b","description":"\\u00e9","resource_type":"attachment",'
        b'"resource_id":"6f83b848-8331-4271-ac0c-ef94b7686402",'
        b'"log_group_id":"0139393c-eeb2-49f0-bbd4-c5faec6b1497",'
        b'"log_stream_id":"d22c3b44-2f71-470f-83f3-96a8af6956ad","log_store_type":"LTS"}}'
    )


@pytest.mark.parametrize("kind", ["vpc", "peering", "attachment"])
async def test_every_kind_of_attachment_is_sent_as_one(kind: str) -> None:
    assert json.loads(await sent_body(resource_type=kind))["flow_log"]["resource_type"] == "attachment"


async def test_a_create_goes_to_its_router_with_its_token() -> None:
    operation, client = scripted(took())
    await operation.apply(LANE, claimed())
    (call,) = client.calls
    assert (call.lane, call.method, call.tail) == (LANE, "POST", f"/{ROUTER}/flow-logs")
    assert (call.token, call.expected, call.query) == ("the-token", frozenset({202}), ())


@pytest.mark.parametrize(
    ("enabled", "answer", "applied"),
    [
        ("true", took(), Applied("fl-1", "pending", True, True, 202, "req-1")),
        ("true", took(state="available"), Applied("fl-1", "available", True, True, 202, "req-1")),
        ("false", took(), Applied("fl-1", "pending", True, False, 202, "req-1")),
        ("false", took(enabled=False), Applied("fl-1", "pending", False, True, 202, "req-1")),
        ("true", took(enabled=None), Applied("fl-1", "pending", None, True, 202, "req-1")),
        ("true", took(enabled="true", state=None), Applied("fl-1", "pending", None, True, 202, "req-1")),
    ],
)
async def test_what_the_provider_took_is_told(enabled: str, answer: Reply, applied: Applied) -> None:
    operation, _ = scripted(answer)
    assert await operation.apply(LANE, claimed(enabled=enabled)) == applied


@pytest.mark.parametrize(
    "body", [{}, {"flow_log": None}, {"flow_log": []}, {"flow_log": {}}, took(id="").body, took(id=7).body]
)
async def test_a_202_without_an_id_leaves_the_row_in_doubt(body: dict[str, Any]) -> None:
    operation, _ = scripted(Reply(202, body, "req-1"))
    answer = await operation.apply(LANE, claimed())
    assert isinstance(answer, Refused)
    assert (answer.code, answer.ambiguous, answer.request_id) == ("BATCHER.BadAnswer", True, "req-1")


async def test_a_refusal_is_passed_on_as_it_is() -> None:
    operation, _ = scripted(REFUSED, REFUSED, REFUSED)
    assert await operation.apply(LANE, claimed()) == REFUSED
    assert await operation.amend(LANE, wish().spec, remote()) == REFUSED
    assert await operation.page(LANE, ROUTER, None) == REFUSED


@pytest.mark.parametrize(("enabled", "act"), [("true", "enable"), ("false", "disable")])
async def test_a_flow_log_is_switched_to_what_is_wished(enabled: str, act: str) -> None:
    operation, client = scripted(took(enabled=enabled == "true", state="available"))
    answer = await operation.amend(LANE, wish(enabled=enabled).spec, remote())
    assert answer == Applied("fl-1", "available", enabled == "true", True, 202, "req-1")
    (call,) = client.calls
    assert (call.lane, call.method, call.tail) == (LANE, "POST", f"/{ROUTER}/flow-logs/fl-1/{act}")
    assert (call.body, call.token) == (b"", None)


def listed(**known: Any) -> dict[str, Any]:
    return {
        "id": "fl-1",
        "name": "n",
        "description": None,
        "resource_id": ATTACHMENT,
        "log_group_id": GROUP,
        "log_stream_id": STREAM,
        "state": "available",
        "enabled": True,
        "created_at": "2024-04-19T08:00:00Z",
        **known,
    }


def listing(*logs: Any, **rest: Any) -> Reply:
    return Reply(200, {"flow_logs": list(logs), **rest}, "req-1")


async def test_a_page_shows_things_under_the_keys_of_the_rows_that_asked_for_them() -> None:
    operation, client = scripted(
        listing(listed(), total_count=5, page_info={"next_marker": "fl-1", "current_count": 1})
    )
    page = await operation.page(LANE, ROUTER, None)
    fields = {"name": "n", "description": None, "enabled": True}
    seen = Remote(wish().key, "fl-1", "available", True, 1_713_513_600.0, fields)
    assert page == Page((seen,), "fl-1", 5, 2000)
    (call,) = client.calls
    assert (call.lane, call.method, call.tail) == (LANE, "GET", f"/{ROUTER}/flow-logs")
    assert call.query == [("limit", "2000"), ("sort_dir", "asc"), ("sort_key", "id")]


async def test_a_next_page_and_a_look_up_of_rows_narrow_the_query() -> None:
    operation, client = scripted(listing(), listing())
    specs = [wish(resource_id=OTHER).spec, wish().spec, wish(name="x").spec]
    await operation.page(LANE, ROUTER, "fl-9", specs)
    assert client.calls[0].query == [
        ("limit", "2000"),
        ("marker", "fl-9"),
        ("resource_id", OTHER),
        ("resource_id", ATTACHMENT),
        ("sort_dir", "asc"),
        ("sort_key", "id"),
    ]


def test_rows_and_listings_agree_on_what_is_the_same() -> None:
    assert wish(er_id=ROUTER.upper(), resource_id=ATTACHMENT.upper()).key == wish().key


async def test_an_attachment_shown_in_capitals_is_the_same() -> None:
    operation, _ = scripted(listing(listed(resource_id=ATTACHMENT.upper())))
    page = await operation.page(LANE, ROUTER, None)
    assert isinstance(page, Page)
    assert page.items[0].key == wish().key


@pytest.mark.parametrize(
    ("rest", "marker", "total"),
    [
        ({}, None, None),
        ({"page_info": None}, None, None),
        ({"page_info": {"next_marker": ""}}, None, None),
        ({"page_info": {"next_marker": None}, "total_count": 0}, None, 0),
        ({"page_info": {"next_marker": 7}, "total_count": "5"}, None, None),
        ({"page_info": {"next_marker": "m"}, "total_count": 5}, "m", 5),
    ],
)
async def test_what_follows_a_page_is_read_leniently(
    rest: dict[str, Any], marker: str | None, total: int | None
) -> None:
    operation, _ = scripted(listing(**rest))
    assert await operation.page(LANE, ROUTER, None) == Page((), marker, total, 2000)


@pytest.mark.parametrize(
    ("text", "created_at"),
    [
        ("2024-04-19T08:00:00Z", 1_713_513_600.0),
        ("2024-04-19T08:00:00.250Z", 1_713_513_600.25),
        ("2024-04-19T16:00:00+08:00", 1_713_513_600.0),
        ("yesterday", None),
        (None, None),
        (7, None),
        ("", None),
    ],
)
async def test_a_time_is_read_leniently(text: Any, created_at: float | None) -> None:
    operation, _ = scripted(listing(listed(created_at=text)))
    page = await operation.page(LANE, ROUTER, None)
    assert isinstance(page, Page)
    assert page.items[0].created_at == created_at


@pytest.mark.parametrize("body", [{}, {"flow_logs": None}, {"flow_logs": {}}, {"error_code": "ER.1"}])
async def test_a_listing_without_flow_logs_is_no_empty_listing(body: dict[str, Any]) -> None:
    operation, _ = scripted(Reply(200, body, "req-1"))
    answer = await operation.page(LANE, ROUTER, None)
    assert isinstance(answer, Refused)
    assert answer.code == "BATCHER.BadAnswer"


@pytest.mark.parametrize("missing", ["id", "state", "resource_id", "log_group_id", "log_stream_id"])
async def test_a_flow_log_that_cannot_be_told_makes_the_listing_unreadable(missing: str) -> None:
    without = listed()
    del without[missing]
    unreadable: tuple[object, ...] = (without, None, [])
    for broken in unreadable:
        operation, _ = scripted(listing(listed(), broken))
        answer = await operation.page(LANE, ROUTER, None)
        assert isinstance(answer, Refused), broken
        assert answer.code == "BATCHER.BadAnswer"


@pytest.mark.parametrize("column", ["id", "state", "log_group_id", "log_stream_id"])
async def test_a_flow_log_with_null_for_an_id_makes_the_listing_unreadable(column: str) -> None:
    operation, _ = scripted(listing(listed(**{column: None})))
    assert isinstance(await operation.page(LANE, ROUTER, None), Refused)


async def test_the_pure_half_makes_no_calls() -> None:
    with pytest.raises(RuntimeError, match="without a client"):
        await flow_logs().apply(LANE, claimed())


def test_the_identity_columns_are_what_the_report_repeats() -> None:
    assert FlowLogs.identity_columns == (
        "account",
        "region",
        "project_id",
        "er_id",
        "resource_id",
        "log_group_id",
        "log_stream_id",
        "name",
    )
    assert set(FlowLogs.identity_columns) | set(ROW) <= set(FlowLogs.known_columns)


@pytest.mark.parametrize(
    ("wished", "there", "body"),
    [
        ({"name": "new"}, {"name": "old", "description": None}, b'{"name":"new"}'),
        ({"name": "n", "description": "d\u00e9"}, {"name": "n", "description": "old"}, b'{"description":"d\\u00e9"}'),
        ({"name": "n"}, {"name": "n", "description": "old"}, b'{"description":""}'),
        ({"name": "n", "description": "d"}, {"name": "o", "description": ""}, b'{"name":"n","description":"d"}'),
    ],
)
async def test_an_update_says_what_differs_and_nothing_else(
    wished: dict[str, str], there: dict[str, str | None], body: bytes
) -> None:
    changed = {"id": "fl-1", "state": "available", "name": "x", **json.loads(body)}
    for shown, is_done in ((changed, True), ({**changed, **dict.fromkeys(json.loads(body), "other")}, False)):
        operation, client = scripted(Reply(200, {"flow_log": shown}, "r"))
        spec = wish(**wished).spec
        remote = Remote(
            wish().key, "fl-1", "available", enabled=True, created_at=None, fields={**there, "enabled": True}
        )
        assert operation.needs_update(spec, remote)
        applied = await operation.update(LANE, spec, remote)
        assert isinstance(applied, Applied)
        assert applied.as_wished is is_done
        assert (client.calls[0].method, client.calls[0].tail) == ("PUT", f"/{ROUTER}/flow-logs/fl-1")
        assert client.calls[0].body == body


def test_what_is_as_wished_needs_no_update() -> None:
    for description in (None, ""):
        fields = {"name": "n", "description": description, "enabled": False}
        remote = Remote(wish().key, "fl-1", "available", enabled=False, created_at=None, fields=fields)
        assert not flow_logs().needs_update(wish(name="n").spec, remote)


async def test_a_time_of_the_providers_is_told_as_the_provider_told_it() -> None:
    """Whose a flow log is is decided in the provider's time: no clock of this machine has a part in it."""
    made_at = "2024-04-19T08:00:00Z"
    operation, client = scripted(listing(listed(created_at=made_at)), took(created_at=made_at))
    client.skew = 3600.0
    page = await operation.page(LANE, ROUTER, None)
    assert isinstance(page, Page)
    assert page.items[0].created_at == 1_713_513_600.0
    applied = await operation.apply(LANE, claimed())
    assert isinstance(applied, Applied)
    assert applied.created_at == 1_713_513_600.0


@pytest.mark.parametrize("created_at", [None, "", "soon", 7, {}])
async def test_what_was_taken_without_a_date_that_can_be_read_has_none(created_at: Any) -> None:
    operation, _ = scripted(took(created_at=created_at))
    applied = await operation.apply(LANE, claimed())
    assert isinstance(applied, Applied)
    assert applied.created_at is None


def test_the_time_at_the_lanes_router_is_asked_for() -> None:
    operation, client = scripted()
    client.offsets[Service.ER, LANE.region] = ClockOffset(1.0, 2.0)
    assert operation.clock_offset(LANE) == ClockOffset(1.0, 2.0)
    assert operation.clock_offset(LaneKey("default", "cn-south-1", PROJECT)) is None
    assert flow_logs().clock_offset(LANE) is None
