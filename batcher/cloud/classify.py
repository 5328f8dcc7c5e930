"""What a refusal means: one table from (HTTP status, code) to a verdict, and defaults for what it lacks.

The pair is looked up, never the code alone: the gateway uses `0201` for a bad request, a URI too long, a dead
backend and one that may have done the work. In order:

1. 5xx, from anyone: the work may have been done; again, under the same token.
2. 2xx that is not what was asked for: as 5xx. 3xx: another service answers here; the run stops.
3. 429, or the gateway's code for it: the window is full; nothing was done.
4. The table. A service code (`ER.`) carries its own status and is found under any 4xx.
5. An unknown service code by the status in its digits, unless it came with 401 or 408: `ER.` 0 404 1 001 is a
   404 about a router (module 1).
6. Any other by its HTTP status: 401 and the gateway's 403 stop the run, other 4xx are the row's own.

`definitive`: the service itself refused this token and may say the same to it for ever. The gateway's refusals
are not: the service never saw the token. Gateway prefixes differ by cloud and mean the same (`APIGW.`, `APIG.`,
`APIC.`). Sources: Enterprise Router API reference, "Error Codes"; API Gateway, "Error Codes" (2025-10-20).
What is changed here must agree with `policy/retry.py`, which reads the verdict, and with `emulator/`, which is
written from the documents and not from this table.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from batcher.model import Kind, Stops


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answers to the two questions, and what a person can do about it (a hint, may be empty).

    `ambiguous`: it may have taken effect all the same. `definitive`: the token is spent.
    """

    kind: Kind
    stops: Stops
    ambiguous: bool = False
    definitive: bool = False
    advice: str = ""


def _refusal(advice: str = "", stops: Stops = Stops.ROW) -> Verdict:
    """The service refused for good."""
    return Verdict(Kind.PERMANENT, stops, definitive=True, advice=advice)


def _busy(advice: str) -> Verdict:
    """The service refused for now: the next attempt needs a new token."""
    return Verdict(Kind.TRANSIENT, Stops.ROW, definitive=True, advice=advice)


def _gate(advice: str, stops: Stops = Stops.RUN) -> Verdict:
    """The gateway refused; the service never saw the request."""
    return Verdict(Kind.PERMANENT, stops, advice=advice)


def _again(advice: str = "") -> Verdict:
    """Nobody knows whether it was done."""
    return Verdict(Kind.TRANSIENT, Stops.ROW, ambiguous=True, advice=advice)


THROTTLED = Verdict(Kind.THROTTLED, Stops.ROW, advice="lower `--rate`, or leave it to `--rate auto`")
BAD_ANSWER = _again("the endpoint answers, but not as Enterprise Router does; check the endpoint")
REDIRECTED = _gate("check the region and its endpoint: another service answers there")

_KEYS = "check the keys: their value, that they are active, and the clock of this machine"
_PERMISSION = "have the permissions `er:flowLogs:*` and `er:quotas:list` granted in this project and region"
_ENDPOINT = "check the region and its endpoint: Enterprise Router is not served there"
_TOKEN = "get a new token, for the region that is called"  # noqa: S105 - an advice
_FROZEN = "settle the account's bills or restrictions, then `batcher resume`"
_GATEWAY = "the gateway has trouble; it usually passes"

TABLE: Mapping[tuple[int, str], Verdict] = {
    (400, "ER.04008503"): Verdict(Kind.EXISTS, Stops.ROW, advice="there is one already for this log stream"),
    (400, "ER.04008502"): _busy("the flow log is being changed by someone else"),
    (400, "ER.04004003"): _busy("the attachment is not available yet; check its state"),
    (400, "ER.04001003"): _busy("the router is not available yet; check its state"),
    (400, "ER.04009008"): _refusal("delete unused flow logs, or ask for a larger quota", Stops.LANE),
    (400, "ER.04009019"): _refusal("flow logs are not offered in this region or project", Stops.LANE),
    (400, "ER.04009013"): _refusal("the router has frozen attachments; settle the account's bills", Stops.SCOPE),
    (404, "ER.04041001"): _refusal("check `er_id`, `project_id` and `region`", Stops.SCOPE),
    (400, "ER.04009012"): _refusal(_FROZEN, Stops.RUN),
    (400, "ER.04009005"): _refusal("check the values of the row"),
    (400, "ER.04008500"): _refusal("this kind of attachment has no flow logs in this region"),
    (400, "ER.04008501"): _refusal("there is no such flow log (any more)"),
    (400, "ER.04009011"): _refusal("the resource is frozen; settle the account's bills"),
    (404, "ER.04044001"): _refusal("check `resource_id`: it is the attachment's id, not that of its VPC"),
    (503, "ER.05039006"): _again("the service is briefly unavailable"),
    (404, "APIGW.0101"): _gate(_ENDPOINT),
    (404, "APIGW.0103"): _gate(_ENDPOINT),
    (400, "APIGW.0104"): _gate(_ENDPOINT),
    (400, "APIGW.0105"): _gate(_ENDPOINT),
    (400, "APIGW.0106"): _gate("the gateway could not read the request", Stops.ROW),
    (400, "APIGW.0201"): _gate("the gateway could not read the request", Stops.ROW),
    (413, "APIGW.0201"): _gate("the request is too large", Stops.ROW),
    (414, "APIGW.0201"): _gate("the request is too large", Stops.ROW),
    (494, "APIGW.0201"): _gate("the request is too large", Stops.ROW),
    (401, "APIGW.0301"): _gate(_KEYS),
    (401, "APIGW.0303"): _gate(_KEYS),
    (401, "APIGW.0305"): _gate(_KEYS),
    (401, "APIGW.0307"): _gate(_TOKEN),
    (401, "APIGW.0311"): _gate(_KEYS),
    (403, "APIGW.0302"): _gate(_PERMISSION),
    (403, "APIGW.0304"): _gate(_PERMISSION),
    (403, "APIGW.0306"): _gate(_PERMISSION),
    (403, "APIGW.0310"): _gate("the project is not available; check `project_id`", Stops.LANE),
    (403, "APIGW.0401"): _gate("this machine's address is not allowed there"),
    (403, "APIGW.0402"): _gate(_PERMISSION),
    (403, "APIGW.0404"): _gate(_PERMISSION),
    (403, "APIGW.0801"): _gate(_PERMISSION),
    (403, "APIGW.0802"): _gate("the account may not use this region"),
    (405, "APIGW.0501"): _gate("the application's calls are used up"),
    (405, "APIGW.0502"): _gate(_FROZEN),
    (400, "APIGW.0602"): _gate(_ENDPOINT),
    (400, "APIGW.0607"): _gate("the endpoint does not take this protocol; check its scheme and port"),
    (502, "APIGW.0201"): _again(_GATEWAY),
    (502, "APIGW.0202"): _again(_GATEWAY),
    (504, "APIGW.0201"): _again("the service did not answer the gateway in time; it may have done the work"),
    (504, "APIGW.0203"): _again("the service did not answer the gateway in time; it may have done the work"),
    (502, "APIGW.0610"): _again(_GATEWAY),
    (503, "APIGW.0613"): _again("the identity service is briefly unavailable"),
}

_THROTTLED_CODE = "APIGW.0308"
_GATEWAY_PREFIX = re.compile(r"(?:APIGW|APIG|APIC)\.")
_SERVICE_CODE = re.compile(r"ER\.0([45]\d\d)\d{4}")


def classify(status: int, code: str) -> Verdict:
    """What an answer that is no success means. Total: any status and any code have a verdict."""
    folded = fold_code(code)
    if status >= 500:
        return TABLE.get((status, folded), _again(_GATEWAY)) if status < 600 else BAD_ANSWER
    if status < 400:
        return REDIRECTED if status >= 300 else BAD_ANSWER
    if status == 429 or folded == _THROTTLED_CODE:
        return THROTTLED
    known = TABLE.get((status, folded))
    if known is not None:
        return known
    carried = _SERVICE_CODE.fullmatch(folded)
    if carried is None or status in {401, 408}:
        return _by_status(status, folded)
    own_status = int(carried[1])
    return TABLE.get((own_status, folded)) or _by_status(own_status, folded)


def fold_code(code: str) -> str:
    """A gateway code under the one prefix that the table uses; any other code as it is."""
    return _GATEWAY_PREFIX.sub("APIGW.", code, count=1) if code.startswith("API") else code


def _by_status(status: int, folded: str) -> Verdict:
    """The verdict on a code that the table does not know, by its status alone."""
    gateway = folded.startswith("APIGW.")
    if status == 401:
        return _gate(_KEYS)
    if status == 403 and gateway:
        return _gate(_PERMISSION)
    if status == 429:
        return THROTTLED
    if status == 408 or status >= 500:
        return _again()
    if gateway:
        return _gate("", Stops.ROW)
    return _refusal(_PERMISSION if status == 403 else "")
