"""The lines of the control socket: requests to a run, and answers to who asks."""

import json
from dataclasses import asdict

from batcher.cli.commands.ctl import describe, lines_of
from batcher.policy.control import (
    ANSWER_BYTES_MAX,
    Denial,
    LiveStatus,
    Request,
    denial_line,
    parse_answer,
    parse_request,
    request_line,
    status_line,
)
from tests.fuzz.draw import Draw
from tests.fuzz.hostile import JSON_VALUES, WORDS
from tests.policy.test_control import LANE, REFUSED, REQUESTS, STATUS

_ANSWER = {"ok": True, "status": asdict(STATUS)}


def _answers(value: str) -> list[bytes]:
    """A good answer with this value in the place of each member."""
    found = []
    for name in asdict(STATUS):
        status = {**asdict(STATUS), name: "@"}
        found.append(json.dumps({"ok": True, "status": status}).replace('"@"', value).encode())
    for name in asdict(LANE):
        status = {**asdict(STATUS), "lanes": [{**asdict(LANE), name: "@"}]}
        found.append(json.dumps({"ok": True, "status": status}).replace('"@"', value).encode())
    for name in ("settled", "calls"):
        status = {**asdict(STATUS), name: {"created": "@"}}
        found.append(json.dumps({"ok": True, "status": status}).replace('"@"', value).encode())
    return [b"\1" + line + b"\n" for line in found]


SEEDS = (
    *(b"\0" + line for line, *_ in REQUESTS),
    *(b"\0" + line for line, *_ in REFUSED),
    *(b"\0" + f'{{"action": "rate", "rate": {json.dumps(word)}}}\n'.encode() for word in (*WORDS, "５/s", "1/ſ")),
    *(b"\0" + f'{{"action": {value}, "rate": {value}, "x": {value}}}\n'.encode() for value in JSON_VALUES),
    b"\1" + json.dumps(_ANSWER).encode() + b"\n",
    b"\1" + b'{"ok": false, "error": "' + b"x" * 100_000 + b'", "hint": []}\n',
    *(answer for value in JSON_VALUES for answer in _answers(value)),
    *(
        b"\1" + b'{"ok": true, "status": {"lanes": [], "run_id": ' + b"[" * at + b"]" * at + b"}}\n"
        for at in range(940, 996, 5)
    ),
    *(
        answer
        for value in ("1e300", "-1e300", "1e17", '{"a": "b"}', "[" * 900 + "]" * 900)
        for answer in _answers(value)
    ),
)
TOKENS = (
    '"action": ',
    '"rate"',
    '"status"',
    '"ok": true',
    '"ok": false',
    '"error"',
    *(f'"{name}"' for name in asdict(STATUS)),
    *JSON_VALUES[:6],
)


def check(data: bytes) -> None:
    """A request that is one, an answer that can be printed, or a `ValueError` that can be told."""
    draw = Draw(data)
    try:
        if draw.number(2):
            _check_answer(parse_answer(draw.rest[:ANSWER_BYTES_MAX]))
        else:
            _check_request(parse_request(draw.rest))
    except ValueError as error:
        if type(error) is not ValueError:
            raise
        assert len(str(error)) <= 600
        assert denial_line(str(error)).isascii()


def _check_request(request: Request) -> None:
    line = request_line(request)
    assert line.isascii()
    again = parse_request(line)
    assert (again.action, again.value) == (request.action, request.value)


def _check_answer(answer: LiveStatus | Denial) -> None:
    if isinstance(answer, Denial):
        assert len(answer.error) <= 1_000
        assert len(answer.hint) <= 1_000
        return
    try:
        json.dumps(describe(answer))
        lines = lines_of(answer)
        status_line(answer)
    except ValueError as error:
        raise AssertionError(f"an answer that cannot be shown: {error}") from error
    assert lines
