"""Our signature beside the official SDK's, over requests that nobody would think of, and over the recorded ones."""

import calendar
import json
import time
from typing import Any
from urllib.parse import unquote

import pytest
from huaweicloudsdkcore.sdk_request import SdkRequest
from huaweicloudsdkcore.signer.signer import Signer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batcher.cloud.credentials import Credentials
from batcher.cloud.signing import Form, canonical_path, canonical_query, sign
from tests.cloud.test_signing import VECTORS

pytestmark = pytest.mark.filterwarnings(r"ignore:datetime\.datetime\.utcnow:DeprecationWarning")  # the SDK's clock

DATE = "20240419T000000Z"
AT = float(calendar.timegm(time.strptime(DATE, "%Y%m%dT%H%M%SZ")))


class _Keys:
    """What the SDK's signer reads of its credentials."""

    def __init__(self, credentials: Credentials) -> None:
        self.ak = credentials.access_key
        self.sk = credentials.secret_key


def _theirs(
    credentials: Credentials,
    *,
    method: str,
    host: str,
    path: str,
    query: list[tuple[str, Any]],
    headers: dict[str, str],
    body: bytes,
    date: str = DATE,
) -> SdkRequest:
    """The request as the SDK signs it."""
    return Signer(_Keys(credentials)).sign(
        SdkRequest(
            method=method,
            schema="https",
            host=host,
            resource_path=path,
            query_params=query,
            header_params={**headers, "X-Sdk-Date": date},
            body=body,
        )
    )


_SEGMENT = st.one_of(
    st.sampled_from(["", "flow-logs", "a b", "%2F", "%", "%zz", "%41", "~", "-._~", "*", "+", "é", "流", "%C3%A9"]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8).filter(lambda text: "/" not in text),
)
_PATHS = st.lists(_SEGMENT, max_size=5).map(lambda parts: "/" + "/".join(parts))
_TEXTS = st.sampled_from(["", "a", "a b", "*", "~", "+", "&=", "%", "%20", "é", "流", "2000"]) | st.text(
    st.characters(exclude_categories=["Cs"]), max_size=6
)
_QUERIES = st.lists(st.tuples(st.sampled_from(["limit", "marker", "resource_id", "a b", "é", "*"]) | _TEXTS, _TEXTS))
_VISIBLE = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=20)
_VALUES = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=20) | st.sampled_from(
    ["  padded  ", "100%", "%s", "%%s", "caf\xe9"]
)
_HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "X-Project-Id": _VISIBLE,
        "X-Client-Token": _VALUES,
        "Content-Type": st.sampled_from(["application/json", "application/json;charset=UTF-8"]),
        "X-Client-Token-2": _VALUES,
        "accept": _VALUES,
    },
)
_BODIES = st.one_of(
    st.just(b""),
    st.binary(max_size=60),
    st.dictionaries(st.text(max_size=6), st.text(max_size=6), max_size=3).map(
        lambda value: json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
    ),
)
_KEYS = st.builds(Credentials, _VISIBLE, _VISIBLE | st.text("ab+/=", min_size=60, max_size=70), st.just("") | _VISIBLE)


@pytest.mark.timeout(60)
@settings(max_examples=1000, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    credentials=_KEYS,
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE"]),
    host=st.sampled_from(["er.cn-north-4.myhuaweicloud.com", "127.0.0.1:8080", "localhost"]),
    path=_PATHS,
    pairs=_QUERIES,
    headers=_HEADERS,
    body=_BODIES,
)
def test_any_request_is_signed_as_the_official_sdk_signs_it(
    credentials: Credentials,
    method: str,
    host: str,
    path: str,
    pairs: list[tuple[str, str]],
    headers: dict[str, str],
    body: bytes,
) -> None:
    temporary = {"X-Security-Token": credentials.security_token} if credentials.security_token else {}
    theirs = _theirs(
        credentials,
        method=method,
        host=host,
        path=path,
        query=list(pairs),
        headers={**headers, **temporary},
        body=body,
    )
    wire_path, wire_query = canonical_path(path), canonical_query(pairs)
    ours = sign(
        credentials,
        method=method,
        host=host,
        path=wire_path,
        query=wire_query,
        headers=headers,
        body=body,
        at=AT,
    )
    assert ours["Authorization"] == theirs.header_params["Authorization"]
    assert set(ours) == set(theirs.header_params)
    token = headers.pop("X-Client-Token", None)
    form = Form(
        credentials,
        method=method,
        host=host,
        path=wire_path,
        query=wire_query,
        headers=headers,
        with_client_token=token is not None,
    )
    filled_in = form.sign(body, AT, token if token is None else token.strip())
    assert filled_in["Authorization"] == ours["Authorization"]
    # The SDK leaves the path as it got it; ours is encoded already, and means the same.
    assert theirs.uri == (f"{path}?{wire_query}" if wire_query else path)
    assert unquote(wire_path) == unquote(path)
    assert wire_path.isascii()


@settings(max_examples=300, deadline=None, database=None)
@given(path=_PATHS)
def test_a_path_on_the_wire_is_signed_by_the_sdk_as_the_one_it_was_made_from(path: str) -> None:
    wire = canonical_path(path)
    if "%" in unquote(path):
        return  # a name with a percent sign in it: each further unquoting would change it
    signed = [
        _theirs(
            Credentials("AK", "SK"), method="GET", host="h", path=each, query=[], headers={}, body=b""
        ).header_params["Authorization"]
        for each in (path, wire)
    ]
    assert signed[0] == signed[1]


def _pairs(query: str) -> list[tuple[str, str, str]]:
    return [pair.partition("=") for pair in query.split("&") if pair]


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["name"][:2] for vector in VECTORS])
def test_the_sdk_itself_signs_the_recorded_requests_as_recorded(vector: dict[str, Any]) -> None:
    recorded = dict(line.split(": ", 1) for line in vector["headers"])
    method, target, _ = vector["request_line"].split(" ")
    path, _, query = target.partition("?")
    names = recorded["Authorization"].split("SignedHeaders=")[1].split(",")[0].split(";")
    signed = _theirs(
        Credentials("AKEXAMPLE", "SKEXAMPLE"),
        method=method,
        host=recorded["Host"],
        path=path,
        query=[(unquote(name), unquote(value)) for name, _, value in _pairs(query)],
        headers={name: value for name, value in recorded.items() if name.lower() in names},
        body=vector["body"].encode(),
        date=recorded["X-Sdk-Date"],
    )
    assert signed.header_params["Authorization"] == recorded["Authorization"]
    assert signed.uri == target
