"""Which call fails, and how. Decisions only; the wire does as it is told.

Two sources, in this order: a script (the first rule that matches and is not used up), then shares. Which
fault a share gives is a hash of the seed, the call's identity and how often that identity has called before,
so it does not depend on how calls interleave, and a repeated call gets a fresh draw.

A fault either commits (the operation takes effect, then the answer goes wrong) or does not (nothing
happened). A lie commits too, and its answer is in order, but it is not true: only listings tell lies (`lies.py`).
"""

import base64
import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from batcher.emulator.answers import (
    LTS_INTERNAL,
    THROTTLED,
    UNAVAILABLE,
    Answer,
    iam_refusal,
    lts_refusal,
    refusal,
)
from batcher.emulator.calls import Call, Operation
from batcher.emulator.throttle import Throttle, threshold_message


class Kind(StrEnum):
    """The faults by the names that shares and scripts use."""

    REFUSED_BEFORE = "refused_before"
    ERROR_AFTER = "error_after"
    LOST_BEFORE = "lost_before"
    LOST_AFTER = "lost_after"
    TRUNCATED_AFTER = "truncated_after"
    THROTTLED = "throttled"
    DELAYED = "delayed"
    STATUS = "status"
    STATUS_AFTER = "status_after"
    HANG = "hang"
    MARKER_LEFT = "marker_left"
    MARKER_GONE = "marker_gone"
    PAGE_REPEATED = "page_repeated"
    PAGE_EMPTY = "page_empty"
    PAGE_SHORT = "page_short"


class Manner(StrEnum):
    """How an answer leaves: whole, cut short, not at all with the connection closed, or not at all."""

    WHOLE = "whole"
    TRUNCATED = "truncated"
    DROPPED = "dropped"
    HANGING = "hanging"


SHARED = (
    Kind.REFUSED_BEFORE,
    Kind.ERROR_AFTER,
    Kind.LOST_BEFORE,
    Kind.LOST_AFTER,
    Kind.TRUNCATED_AFTER,
    Kind.THROTTLED,
    Kind.DELAYED,
)
LIES = frozenset({Kind.MARKER_LEFT, Kind.MARKER_GONE, Kind.PAGE_REPEATED, Kind.PAGE_EMPTY, Kind.PAGE_SHORT})
FOLLOWING = frozenset({Kind.MARKER_GONE, Kind.PAGE_REPEATED})
"""The lies about a page that follows another: only calls with a marker can hear them."""
PAGED = frozenset({Operation.LIST, Operation.ROUTERS, Operation.ATTACHMENTS})
COMMITTING = LIES | {
    Kind.ERROR_AFTER,
    Kind.LOST_AFTER,
    Kind.TRUNCATED_AFTER,
    Kind.DELAYED,
    Kind.STATUS_AFTER,
    Kind.HANG,
}
MANNERS: Mapping[Kind, Manner] = {
    Kind.LOST_BEFORE: Manner.DROPPED,
    Kind.LOST_AFTER: Manner.DROPPED,
    Kind.TRUNCATED_AFTER: Manner.TRUNCATED,
    Kind.HANG: Manner.HANGING,
}
SCRIPTED = "scripted fault"
ANY = "*"
"""In a rule's `match`: any text but the empty one."""
JSON = "application/json"
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_BREAK = re.compile("[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")

OPERATIONS = frozenset(str(operation) for operation in Operation if operation is not Operation.UNKNOWN)


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultShares:
    """The share (0..1) of calls that get each fault, together at most 1; ValueError otherwise.

    `refused_before`: 503, nothing done. `error_after`: done, then 500. `lost_before`, `lost_after`: the
    connection is dropped without an answer before or after it is done. `truncated_after`: done, the answer is
    cut short. `throttled`: 429, nothing done. `delayed`: done, answered `delay_s` seconds later. `on` names
    the operations.
    """

    refused_before: float = 0.0
    error_after: float = 0.0
    lost_before: float = 0.0
    lost_after: float = 0.0
    truncated_after: float = 0.0
    throttled: float = 0.0
    delayed: float = 0.0
    delay_s: float = 1.0
    on: frozenset[str] = frozenset({"create"})

    def __post_init__(self) -> None:
        shares = self.shares()
        if any(not 0 <= share <= 1 for share in shares) or sum(shares) > 1 + 1e-9:
            raise ValueError("faults: each share must lie in 0..1, all together at most 1")
        if not (math.isfinite(self.delay_s) and self.delay_s >= 0):
            raise ValueError(f"faults: `delay_s` must be 0 or more, not `{self.delay_s}`")
        if unknown := set(self.on) - OPERATIONS:
            raise ValueError(f"faults: `on` knows no operation `{', '.join(sorted(unknown))}`")

    def shares(self) -> tuple[float, ...]:
        """The shares in the order of `SHARED`."""
        return tuple(getattr(self, kind) for kind in SHARED)


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to one call: `answer` takes the place of the real one, `delay_s` comes before it.

    `lie` is what a listing does instead of telling the truth.
    """

    commits: bool
    manner: Manner = Manner.WHOLE
    answer: Answer | None = None
    delay_s: float = 0.0
    lie: Kind | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A scripted fault: strikes `times` calls (None: all) that match, after the first `skip` of them.

    `match` compares texts: `project_id`, `er_id`, `flow_log_id`, `client_token`, fields of the body and of
    the query, `access_key`. The empty text matches what is empty or absent, `*` what is neither: `{"marker": ""}` is
    a first page, `{"marker": "*"}` one that follows another.

    The operations `list`, `routers` and `attachments` know faults of their own, lies about a page:

    - `marker_left`: a page that is right but names a next one, `1`, although it is the last.
    - `marker_gone`: a call with a marker is refused as if the marker's item were gone; others are not struck.
    - `page_repeated`: a call with a marker gets the first page again, its marker included; others are not struck.
    - `page_empty`: no items and no next page; `total_count` as it is.
    - `page_short`: the first half of the page's items (of an odd number the smaller half) and no next page;
      `total_count` as it is.

    `status`, `headers` and one of two shape the answer of `status` and `status_after`:
    `code` and `message`, an error of Enterprise Router's shape, or `body` (text, sent as UTF-8) or `body_base64`
    (any bytes), sent as it is with `content_type` (`application/json` unless said otherwise). Without either the
    answer is an HTML page, as a proxy in between would give. ValueError when a value is out of range or two
    contradict each other.
    """

    operation: str
    fault: Kind
    match: Mapping[str, str] = field(default_factory=dict)
    skip: int = 0
    times: int | None = 1
    status: int | None = None
    code: str | None = None
    message: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    body: str | None = None
    body_base64: str | None = None
    content_type: str | None = None

    def __post_init__(self) -> None:
        if self.operation not in OPERATIONS:
            raise ValueError(f"fault script: no operation `{self.operation}`")
        if (self.status is None) is (self.fault in {Kind.STATUS, Kind.STATUS_AFTER}):
            raise ValueError("fault script: `status` goes with the faults `status` and `status_after` only")
        if self.fault in LIES and self.operation not in PAGED:
            raise ValueError(f"fault script: `{self.fault}` goes with the operations {', '.join(sorted(PAGED))} only")
        if self.fault in FOLLOWING and self.match.get("marker") == "":
            raise ValueError(f"fault script: `{self.fault}` needs a marker, and `match` wants none")
        if self.status is not None and not 200 <= self.status <= 599:
            raise ValueError(f"fault script: `status` must lie in 200..599, not `{self.status}`")
        if self.skip < 0 or (self.times is not None and self.times < 1):
            raise ValueError("fault script: `skip` must be 0 or more, `times` 1 or more")
        if not (math.isfinite(self.delay_s) and self.delay_s >= 0):
            raise ValueError(f"fault script: `delay_s` must be 0 or more, not `{self.delay_s}`")
        if said := self._body_fault() or self._header_fault():
            raise ValueError(f"fault script: {said}")

    def _body_fault(self) -> str | None:
        given = [name for name in ("body", "body_base64") if getattr(self, name) is not None]
        if not given:
            return "`content_type` goes with `body` or `body_base64` only" if self.content_type is not None else None
        name = given[0]
        faults = {
            "`body` and `body_base64` exclude each other": len(given) > 1,
            f"`{name}` goes with the faults `status` and `status_after` only": self.status is None,
            f"`{name}` is the whole answer; `code` and `message` make one of their own": self.code or self.message,
            f"an answer with status {self.status} has no body": self.status in {204, 304},
        }
        return next((said for said, is_so in faults.items() if is_so), None) or self._bytes_fault()

    def _bytes_fault(self) -> str | None:
        try:
            self._bytes()
        except ValueError:
            return "`body` holds half a character" if self.body is not None else "`body_base64` is no base64"
        return None

    def _header_fault(self) -> str | None:
        if self.content_type is not None and any(name.lower() == "content-type" for name in self.headers):
            return "`content_type` and a header `Content-Type` exclude each other"
        texts = [*self.headers.values(), self.content_type or ""]
        if any(not _HEADER_NAME.fullmatch(name) for name in self.headers) or any(map(_HEADER_BREAK.search, texts)):
            return "a header's name or value holds what no header may hold"
        return None

    def _bytes(self) -> bytes:
        """The scripted body. Raises ValueError when it is none."""
        if self.body is not None:
            return self.body.encode()
        return base64.b64decode(self.body_base64 or "", validate=True)

    def matches(self, operation: str, facts: Mapping[str, str]) -> bool:
        """Whether the rule speaks of this call."""
        return (
            self.operation == operation
            and all(_fits(text, facts.get(name, "")) for name, text in self.match.items())
            and (self.fault not in FOLLOWING or bool(facts.get("marker")))
        )

    def answer(self) -> Answer | None:
        """The scripted answer, None for the faults that bring their own."""
        if self.status is None:
            return None
        if self.body is not None or self.body_base64 is not None:
            return Answer(self.status, self._bytes(), self.headers, content_type=self.content_type or JSON)
        if self.code is None:
            return Answer(self.status, f"<html><body><h1>{self.status}</h1></body></html>", self.headers)
        return Answer(self.status, {"error_code": self.code, "error_msg": self.message or SCRIPTED}, self.headers)


def _fits(wanted: str, text: str) -> bool:
    return bool(text) if wanted == ANY else text == wanted


class Script:
    """Rules in order, with how many matching calls each has seen."""

    def __init__(self, rules: Sequence[Rule] = ()) -> None:
        self._rules = tuple(rules)
        self._seen = [0] * len(self._rules)

    def strike(self, call: Call) -> Rule | None:
        """The rule that strikes this call. Rules that skip it count it and leave it to the later ones."""
        if not self._rules:
            return None
        facts = call.facts()
        for place, rule in enumerate(self._rules):
            last = math.inf if rule.times is None else rule.skip + rule.times
            if self._seen[place] >= last or not rule.matches(call.operation, facts):
                continue
            self._seen[place] += 1
            if self._seen[place] > rule.skip:
                return rule
        return None


def drawn(shares: FaultShares, seed: int, identity: str, nth: int) -> Kind | None:
    """The fault that the `nth` call with this identity gets, if any."""
    chance = chance_of(seed, "fault", identity, nth)
    for kind, share in zip(SHARED, shares.shares(), strict=True):
        if chance < share:
            return kind
        chance -= share
    return None


def fault_of(
    kind: Kind, operation: Operation, *, throttle: Throttle | None, delay_s: float, answer: Answer | None = None
) -> Fault:
    """A kind as what happens on the wire to a call of this operation; `answer` is a script's."""
    match kind:
        case Kind.REFUSED_BEFORE:
            answer = _unavailable(operation)
        case Kind.ERROR_AFTER:
            answer = refusal(500, "APIGW.0611", "Internal error.")
        case Kind.THROTTLED:
            answer = refusal(429, THROTTLED, threshold_message(throttle))
        case _:
            pass
    lie = kind if kind in LIES else None
    return Fault(kind in COMMITTING, MANNERS.get(kind, Manner.WHOLE), answer, delay_s, lie)


def _unavailable(operation: Operation) -> Answer:
    """503 in the shape of the service that is called. LTS documents no code for it: it gets the internal one."""
    match operation:
        case Operation.PROJECTS:
            return iam_refusal(503, "The service is temporarily unavailable.")
        case Operation.LOG_GROUPS | Operation.LOG_STREAMS:
            return lts_refusal(503, LTS_INTERNAL, "The system encountered an internal error")
        case _:
            return refusal(503, UNAVAILABLE, "The service is temporarily unavailable.")


def chance_of(seed: int, *parts: object) -> float:
    """A number from 0 up to below 1 that depends on its arguments alone."""
    text = "|".join(map(str, (seed, *parts)))
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) / 2**53
