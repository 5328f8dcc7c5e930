"""Whatever comes in, the emulator answers it and stays in order."""

import json

from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from batcher.emulator.answers import encoded
from batcher.emulator.calls import read_call
from batcher.emulator.routes import Api
from batcher.emulator.server import EmulatorSettings, FaultShares
from batcher.emulator.state import State
from batcher.emulator.statistics import statistics
from tests.emulator.client import PROJECT, ROUTER, Client, body, some_id

TEXTS = st.text(st.characters(), max_size=70)  # half characters (surrogates) included
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXTS)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner), max_leaves=5)
FIELDS = st.sampled_from(sorted(body()["flow_log"]))  # type: ignore[call-overload]  # a dict
BODIES = st.one_of(
    st.binary(max_size=50),
    st.builds(json.dumps, VALUES).map(str.encode),
    st.builds(
        lambda changes: json.dumps({"flow_log": {**body()["flow_log"], **changes}}).encode(),  # type: ignore[dict-item]
        st.dictionaries(FIELDS, VALUES, max_size=2),
    ),
)
TAILS = st.sampled_from(
    [
        f"{ROUTER}/flow-logs",
        f"{ROUTER}/flow-logs/{some_id(1)}",
        f"{ROUTER}/flow-logs/{some_id(1)}/enable",
        f"{ROUTER}/attachments",
        "instances",
        "quotas",
        "a/flow-logs",
        "\udcff/flow-logs",
        "%ff/flow-logs",
        "",
    ]
)
QUERIES = st.one_of(
    st.just(""),
    st.tuples(
        st.sampled_from(["limit=5&marker", "resource_id", "name", "sort_key", "type", "limit", "erId"]),
        st.one_of(TEXTS, st.sampled_from(["name", "5", "%ff", some_id(1)])),
    ).map(lambda pair: f"?{pair[0]}={pair[1]}"),
)


@given(
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE"]),
    path=st.one_of(
        TAILS.map(lambda tail: f"/v3/{PROJECT}/enterprise-router/{tail}"),
        st.sampled_from(["/v3/projects", "/v2/p/groups", f"/v2/p/groups/{some_id(1)}/streams", "/v2//groups//streams"]),
        TEXTS.map(lambda text: f"/{text}"),
    ),
    query=QUERIES,
    content=BODIES,
    token=st.none() | TEXTS,
)
def test_every_call_is_answered_below_500(
    method: str, path: str, query: str, content: bytes, token: str | None
) -> None:
    state = State(None, 0)
    settings = EmulatorSettings(auth_tokens=frozenset({"ticket"}), faults=FaultShares(delayed=0.5), failed_share=0.5)
    api = Api(settings, state)
    call = read_call(method, f"{path}{query}", token, content, access_key=token or "", content_type="application/json")
    for _ in range(2):
        delivery = api.serve(call, method, CIMultiDict({"X-Auth-Token": "ticket"}))
        assert delivery.answer.status < 500
        answer, headers = encoded(delivery.answer, delivery.request_id, 0.0)
        if answer:
            json.loads(answer)
        assert "\n" not in "".join(headers.values()) or "\n" in (token or "")
    calls = statistics(state, None)["calls"]
    assert list(calls.values()) == [2]  # type: ignore[attr-defined]  # a dict
    state.close()


async def test_bytes_that_are_no_text_are_refused_on_the_wire(client: Client) -> None:
    half = json.dumps(body(1, name="\ud800")).encode()
    path = f"{client.base}/{ROUTER}/flow-logs"
    assert (await client.send("POST", path, half, {"X-Auth-Token": "ticket"})).refused == (400, "ER.04009005")
    deep = b'{"flow_log": ' + b"[" * 900 + b"]" * 900 + b"}"
    headers = {"X-Auth-Token": "ticket", "X-Client-Token": "t\u00e9"}
    assert (await client.send("POST", path, deep, headers)).refused == (400, "ER.04009005")


async def test_compressed_bytes_are_taken_as_they_are(client: Client) -> None:
    path = f"{client.base}/{ROUTER}/flow-logs"
    headers = {"X-Auth-Token": "ticket", "Content-Encoding": "gzip"}
    content = json.dumps(body(1)).encode()
    assert (await client.send("POST", path, content, headers)).status == 202
