"""What a run at work can be asked, word for word; whatever else comes is refused and never more than that."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batcher.model import Window
from batcher.policy.control import (
    ANSWER_BYTES_MAX,
    REQUEST_BYTES_MAX,
    TEXT_CHARS_MAX,
    Action,
    Denial,
    LaneNow,
    LiveStatus,
    Request,
    denial_line,
    is_change,
    parse_answer,
    parse_request,
    request_line,
    status_line,
)

LANE = LaneNow("default", "cn-north-4", "0" * 32, "5/s", 4.5, 4.5, "write 10/min", 12.5, 3, 40)
STATUS = LiveStatus(
    run_id="20240419-080000-1f0c",
    operation="flow_log",
    pid=4242,
    since=1_713_513_600.25,
    deadline=None,
    rate="5/s",
    paused_since=None,
    stop_code="",
    settled={"created": 7},
    open_rows=3,
    calls={"create": 7, "list": 1},
    lanes=(LANE,),
)

REQUESTS = [
    (b'{"action": "status"}\n', Request(Action.STATUS), ""),
    (b'{"action":"pause"}\n', Request(Action.PAUSE), ""),
    (b' { "action" : "continue" } \r\n', Request(Action.CONTINUE), ""),
    (b'{"action": "drain"}\n', Request(Action.DRAIN), ""),
    (b'{"action": "rate", "rate": "5/s"}\n', Request(Action.RATE, Window(5, 1.0)), "5/s"),
    (b'{"rate": " 600/10MIN ", "action": "rate"}\n', Request(Action.RATE, Window(600, 600.0)), "600/10min"),
    (b'{"action": "rate", "rate": "auto"}\n', Request(Action.RATE, None), "auto"),
]

REFUSED = [
    (b"", "one line of JSON"),
    (b"\n", "one line of JSON"),
    (b"status\n", "one line of JSON"),
    (b'{"action": "status"}', "one line of JSON"),
    (b'{"action": "status"}\n{"action": "drain"}\n', "one line of JSON"),
    (b'{"action": "status"}\n ', "one line of JSON"),
    (b'["status"]\n', "one line of JSON"),
    (b"null\n", "one line of JSON"),
    (b'{"action": "st\xfftus"}\n', "one line of JSON"),
    (b"[" * 4000 + b"\n", "one line of JSON"),
    (b"1" * 4090 + b"\n", "one line of JSON"),
    (b"{}\n", "`action` must be one of status, rate, pause, continue, drain, not `null`"),
    (b'{"action": "stop"}\n', "not `stop`"),
    (b'{"action": "Status"}\n', "not `Status`"),
    (b'{"action": ["status"]}\n', 'not `["status"]`'),
    (b'{"action": 1}\n', "not `1`"),
    (b'{"action": "%s"}\n' % (b"x" * 3000), f"not `{'x' * 40}...`"),
    (b'{"action": "rate"}\n', "`rate` is missing"),
    (b'{"action": "rate", "rate": 5}\n', "`rate` is missing"),
    (b'{"action": "rate", "rate": null}\n', "`rate` is missing"),
    (b'{"action": "rate", "rate": "fast"}\n', "`fast` is no rate"),
    (b'{"action": "rate", "rate": "0/s"}\n', "`0/s` is no rate"),
    (b'{"action": "rate", "rate": "%s"}\n' % (b"9" * 3000), "is no rate"),
    (b'{"action": "pause", "rate": "5/s"}\n', "`rate` does not belong to `pause`"),
    (b'{"action": "status", "verbose": true}\n', "`verbose` does not belong to `status`"),
    (b'{"action": "status"}' + b" " * REQUEST_BYTES_MAX + b"\n", "at most 4,096 bytes"),
]


@pytest.mark.parametrize(("line", "request_", "value"), REQUESTS)
def test_what_can_be_asked_for(line: bytes, request_: Request, value: str) -> None:
    assert parse_request(line) == request_
    assert request_.value == value
    assert parse_request(request_line(request_)) == request_


@pytest.mark.parametrize(("line", "why"), REFUSED, ids=[f"{line[:30]!r} {why[:12]}" for line, why in REFUSED])
def test_what_cannot_be_asked_for_is_told_why(line: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=r".") as refused:
        parse_request(line)
    assert why in str(refused.value)
    assert len(str(refused.value)) < 200


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
NEAR = st.fixed_dictionaries(
    {"action": st.sampled_from(list(Action)) | JSON},
    optional={"rate": st.text("0123456789/smh auto") | JSON, "x": JSON},
)


@given(st.binary(max_size=64) | (JSON | NEAR).map(lambda value: json.dumps(value).encode() + b"\n"))
def test_whatever_comes_is_a_request_or_is_refused_in_a_short_sentence(line: bytes) -> None:
    why = ""
    try:
        request = parse_request(line)
    except ValueError as error:
        why = str(error)
    else:
        assert parse_request(request_line(request)) == request
        return
    assert 0 < len(why) < 300
    assert parse_answer(denial_line(why)) == Denial(why)


@given(
    st.builds(
        Window, calls=st.integers(1, 9_999_999), period_s=st.sampled_from([0.001, 0.25, 1.0, 60.0, 600.0, 3600.0])
    )
)
def test_a_rate_comes_over_as_it_was_sent(window: Window) -> None:
    assert parse_request(request_line(Request(Action.RATE, window))).rate == window


def test_an_answer_comes_over_as_it_was_sent() -> None:
    for status in (STATUS, replace(STATUS, lanes=(), deadline=5.0, paused_since=6.5, stop_code="BATCHER.Deadline")):
        line = status_line(status)
        assert parse_answer(line) == status
        assert line.count(b"\n") == 1
    assert parse_answer(denial_line("no\nroom", "make some")) == Denial("no\nroom", "make some")
    assert parse_answer(denial_line("n" * 10_000)) == Denial("n" * TEXT_CHARS_MAX)


def test_the_status_of_the_largest_run_is_well_within_an_answer() -> None:
    lane = replace(LANE, account="a" * 200, region="r" * 60)
    assert len(status_line(replace(STATUS, lanes=(lane,) * 64))) < ANSWER_BYTES_MAX / 8


def test_a_newer_run_may_say_more() -> None:
    answer = json.loads(status_line(STATUS))
    answer["status"]["mood"] = "fine"
    answer["status"]["lanes"][0]["mood"] = "fine"
    assert parse_answer(json.dumps(answer).encode() + b"\n") == STATUS


WRONG: list[tuple[str, Any]] = [
    ("run_id", 5),
    ("pid", "4242"),
    ("settled", []),
    ("calls", None),
    ("deadline", "soon"),
    ("lanes", None),
    ("lanes", {}),
    ("lanes", [5]),
    ("lanes", [{"account": "default"}]),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_an_answer_of_another_make_is_refused(name: str, value: object) -> None:
    answer = json.loads(status_line(STATUS))
    answer["status"][name] = value
    with pytest.raises(ValueError, match=r"^its `|no status"):
        parse_answer(json.dumps(answer).encode() + b"\n")
    del answer["status"]
    with pytest.raises(ValueError, match="no status"):
        parse_answer(json.dumps(answer).encode() + b"\n")


TEN = Window(10, 1.0)
CHANGES = [
    (Request(Action.STATUS), TEN, False, False),
    (Request(Action.RATE, Window(5, 1.0)), TEN, False, True),
    (Request(Action.RATE, TEN), TEN, False, False),
    (Request(Action.RATE, None), TEN, False, True),
    (Request(Action.RATE, None), None, False, False),
    (Request(Action.RATE, TEN), None, True, True),
    (Request(Action.PAUSE), TEN, False, True),
    (Request(Action.PAUSE), TEN, True, False),
    (Request(Action.CONTINUE), TEN, True, True),
    (Request(Action.CONTINUE), TEN, False, False),
    (Request(Action.DRAIN), TEN, False, True),
    (Request(Action.DRAIN), TEN, True, True),
]


@pytest.mark.parametrize(("request_", "rate", "paused", "changes"), CHANGES)
def test_what_changes_a_run(request_: Request, rate: Window | None, paused: bool, changes: bool) -> None:
    assert is_change(request_, rate=rate, paused=paused, stopping=False) is changes
    assert is_change(request_, rate=rate, paused=paused, stopping=True) is False


def test_the_state_is_what_matters_most() -> None:
    assert STATUS.state == "working"
    assert replace(STATUS, paused_since=1.0).state == "paused"
    assert replace(STATUS, paused_since=1.0, stop_code="BATCHER.Drained").state == "draining"
    assert replace(STATUS, stop_code="BATCHER.Terminated").state == "stopping"
