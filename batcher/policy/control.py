"""What can be asked of a run at work and what it answers: the words that `batcher ctl` and the run exchange.

A request is one line of JSON, at most `REQUEST_BYTES_MAX` bytes of it:

| request | what is done |
|---|---|
| `{"action": "status"}` | nothing |
| `{"action": "rate", "rate": "5/s"}` | this is the pace of every lane from now on; `"auto"`: it is searched for |
| `{"action": "pause"}` | no call is begun any more |
| `{"action": "continue"}` | calls are begun again |
| `{"action": "drain"}` | no row is taken any more; what is in flight settles, and the run ends |

An answer is one line of JSON: `{"ok": true, "status": {...}}`, the run after what was asked for, or `{"ok": false,
"error": "...", "hint": "..."}`; then nothing was changed. `control.server` says how lines travel.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Any, cast

from batcher.model import Window
from batcher.policy.pace import AUTO, parse_rate, rate_text
from batcher.policy.verdict import OwnCode

REQUEST_BYTES_MAX = 4096
"""Forty times the longest request that has a meaning."""
ANSWER_BYTES_MAX = 1 << 20
"""A run has 64 lanes at work at most, of some hundred bytes each."""
TEXT_CHARS_MAX = 500
"""Of a message in an answer."""
WORD_CHARS_MAX = 40
"""Of a wrong word that is repeated in a message."""


class Action(StrEnum):
    """What can be asked for."""

    STATUS = "status"
    RATE = "rate"
    PAUSE = "pause"
    CONTINUE = "continue"
    DRAIN = "drain"


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for; `rate` is what `Action.RATE` asks for, None: it is to be found."""

    action: Action
    rate: Window | None = None

    @property
    def value(self) -> str:
        """What goes with the action, as it is recorded: a rate, or nothing."""
        return asked_text(self.rate) if self.action is Action.RATE else ""


@dataclass(frozen=True, slots=True)
class LaneNow:
    """A lane at work.

    `rate` is the window that all its calls are kept in, `writes_per_s` and `reads_per_s` how many calls of a class
    that and the provider's own limits (`learnt`, as text) leave. It is silent for `silent_s` because of what the
    provider answered. `calls` are those of this sitting.
    """

    account: str
    region: str
    project_id: str
    rate: str
    writes_per_s: float
    reads_per_s: float
    learnt: str
    silent_s: float
    in_flight: int
    calls: int


@dataclass(frozen=True, slots=True)
class LiveStatus:
    """A run at work. Times are seconds since the epoch; `since` is the start of this sitting.

    `rate` is what was asked for, `auto` if it is searched for. `settled` are rows by outcome, `calls` all that the run
    has made, by kind. `stop_code` is why it takes no more rows, or empty.
    """

    run_id: str
    operation: str
    pid: int
    since: float
    deadline: float | None
    rate: str
    paused_since: float | None
    stop_code: str
    settled: Mapping[str, int]
    open_rows: int
    calls: Mapping[str, int]
    lanes: tuple[LaneNow, ...]

    @property
    def state(self) -> str:
        """`working`, `paused`, `draining`, or `stopping` for another reason."""
        if self.stop_code:
            return "draining" if self.stop_code == OwnCode.DRAINED else "stopping"
        return "working" if self.paused_since is None else "paused"


@dataclass(frozen=True, slots=True)
class Denial:
    """What was asked for was not done."""

    error: str
    hint: str = ""


def asked_rate(text: str) -> Window | None:
    """`5/s` as a window, `auto` as None. Raises `ValueError` that says what is expected."""
    return None if text == AUTO else parse_rate(text)


def asked_text(window: Window | None) -> str:
    """A rate as `asked_rate` reads it."""
    return AUTO if window is None else rate_text(window)


def is_change(request: Request, *, rate: Window | None, paused: bool, stopping: bool) -> bool:
    """Whether a request changes anything of a run in this state; one that is stopping is not changed any more."""
    changes = {
        Action.STATUS: False,
        Action.RATE: request.rate != rate,
        Action.PAUSE: not paused,
        Action.CONTINUE: paused,
        Action.DRAIN: True,
    }
    return changes[request.action] and not stopping


def request_line(request: Request) -> bytes:
    """A request as it is sent."""
    words = {"action": str(request.action)}
    if request.action is Action.RATE:
        words["rate"] = request.value
    return _line(words)


def parse_request(line: bytes) -> Request:
    """A request from what came. Raises `ValueError` that says what is wrong with it."""
    if len(line) > REQUEST_BYTES_MAX:
        raise ValueError(f"a request has at most {REQUEST_BYTES_MAX:,} bytes")
    words = _object(line, "a request is one line of JSON")
    action = words.pop("action", None)
    if action not in tuple(Action):
        raise ValueError(f"`action` must be one of {', '.join(Action)}, not {_shown(action)}")
    rate = None
    if action == Action.RATE:
        text = words.pop("rate", None)
        if not isinstance(text, str):
            raise ValueError("`rate` is missing: write calls per time, such as `10/s`, or `auto`")
        if len(text) > WORD_CHARS_MAX:
            raise ValueError(f"{_shown(text)} is no rate")
        rate = asked_rate(text)
    if words:
        raise ValueError(f"{_shown(next(iter(words)))} does not belong to `{action}`")
    return Request(Action(action), rate)


def status_line(status: LiveStatus) -> bytes:
    """The answer to a request that was done."""
    return _line({"ok": True, "status": asdict(status)})


def denial_line(error: str, hint: str = "") -> bytes:
    """The answer to a request that was not done."""
    return _line({"ok": False, "error": error[:TEXT_CHARS_MAX], "hint": hint[:TEXT_CHARS_MAX]})


def parse_answer(line: bytes) -> LiveStatus | Denial:
    """An answer from what came; what this version does not know is left out. Raises `ValueError`."""
    answer = _object(line, "it is no line of JSON")
    if answer.get("ok") is not True:
        error, hint = answer.get("error"), answer.get("hint", "")
        return Denial(str(error)[:TEXT_CHARS_MAX], hint[:TEXT_CHARS_MAX] if isinstance(hint, str) else "")
    status = answer.get("status")
    lanes = status.get("lanes") if isinstance(status, dict) else None
    if not isinstance(status, dict) or not isinstance(lanes, list):
        raise ValueError("it has no status")
    known = {**status, "lanes": tuple(LaneNow(**_fields(LaneNow, lane)) for lane in lanes)}
    return LiveStatus(**_fields(LiveStatus, known))


SECONDS_MAX = 253_402_300_799
"""The end of the year 9999: what is later is no time that can be shown."""


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < 1 << 53


def _is_seconds(value: object) -> bool:
    return type(value) in {int, float} and 0 <= cast("float", value) <= SECONDS_MAX


def _are_counts(value: object) -> bool:
    return isinstance(value, dict) and all(map(_is_count, value.values()))


_FITS: Mapping[tuple[type, str], Callable[[object], bool]] = {
    **dict.fromkeys(
        ((LiveStatus, "deadline"), (LiveStatus, "paused_since")), lambda value: value is None or _is_seconds(value)
    ),
    (LiveStatus, "since"): _is_seconds,
    **dict.fromkeys(((LaneNow, name) for name in ("writes_per_s", "reads_per_s", "silent_s")), _is_seconds),
    **dict.fromkeys(((LiveStatus, "pid"), (LiveStatus, "open_rows")), _is_count),
    **dict.fromkeys(((LaneNow, "in_flight"), (LaneNow, "calls")), _is_count),
    **dict.fromkeys(((LiveStatus, "settled"), (LiveStatus, "calls")), _are_counts),
    (LiveStatus, "lanes"): lambda value: isinstance(value, tuple),
}
"""What is no text in an answer, and what of it can be shown."""


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _fields(kind: type[LaneNow] | type[LiveStatus], values: object) -> dict[str, Any]:
    """The fields of a class, each of its type. Raises `ValueError`."""
    found: dict[str, Any] = {}
    for field in fields(kind):
        value = values.get(field.name) if isinstance(values, dict) else None
        if not _FITS.get((kind, field.name), _is_text)(value):
            raise ValueError(f"its `{field.name}` is {_shown(value)}")
        found[field.name] = value
    return found


def _object(line: bytes, expected: str) -> dict[str, Any]:
    """The JSON object that a line is, and nothing beside it. Raises `ValueError`."""
    body, end, rest = line.partition(b"\n")
    if not end or rest:
        raise ValueError(expected)
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise ValueError(expected) from None
    if not isinstance(found, dict):
        raise ValueError(expected)
    return found


def _line(words: Mapping[str, object]) -> bytes:
    return json.dumps(words).encode() + b"\n"


def _shown(value: object) -> str:
    """A wrong value for a message, shortened."""
    try:
        text = value if isinstance(value, str) else json.dumps(value)
    except RecursionError:  # it was read with less of the stack in use
        text = "..."
    return f"`{text if len(text) <= WORD_CHARS_MAX else text[:WORD_CHARS_MAX] + '...'}`"
