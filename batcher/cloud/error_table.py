"""What each documented error of the provider means, as one table: (HTTP status, code) to a verdict.

What may live here: the table, the verdicts that stand for whole classes of answers, and how a user's entries go on
top. How an answer finds its verdict is `classify`. A pair is a key, never a code alone: the gateway uses `0201` for
a bad request, a URI too long, a dead backend and one that may have done the work. The gateway's codes stand under
`APIGW.`; other clouds write `APIG.` and `APIC.` and mean the same.

Sources: Enterprise Router API reference, "Error Codes" (OTC copy, 2025-11-11: complete); API Gateway, "Error Codes"
(api-sign-errorcode, 2025-10-20), and where the two differ also OTC's copy (2025-11-11). What is changed here must
agree with `policy/retry.py`, which reads the verdict, and with `emulator/`, which is written from the documents and
not from this table; README.md shows the table (`python -m tests.readme`).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from batcher.errors import ConfigError
from batcher.model import Kind, Stops

CODE_CHARACTERS_MAX = 64
"""Longer codes are cut when they are read, so an entry for one could never be found."""
ADVICE_CHARACTERS_MAX = 300
"""An advice is one line of a report."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answers to the two questions, and what a person can do about it (may be empty).

    `ambiguous`: it may have taken effect all the same. `definitive`: the service itself refused this token and may
    say the same to it for ever; the gateway's refusals are not, since the service never saw the token.
    """

    kind: Kind
    stops: Stops
    ambiguous: bool = False
    definitive: bool = False
    advice: str = ""


def refusal(advice: str, stops: Stops = Stops.ROW) -> Verdict:
    """The service refused for good."""
    return Verdict(Kind.PERMANENT, stops, definitive=True, advice=advice)


def busy(advice: str) -> Verdict:
    """The service refused for now: the next attempt needs a new token."""
    return Verdict(Kind.TRANSIENT, Stops.ROW, definitive=True, advice=advice)


def gate(advice: str, stops: Stops) -> Verdict:
    """The gateway refused; the service never saw the request."""
    return Verdict(Kind.PERMANENT, stops, advice=advice)


def unsure(advice: str) -> Verdict:
    """Nobody knows whether it was done; it is tried again under the same token."""
    return Verdict(Kind.TRANSIENT, Stops.ROW, ambiguous=True, advice=advice)


_KEYS = "check the keys: their value, that they are active, and the clock of this machine"
_PERMISSION = "have the permissions `er:flowLogs:*` and `er:quotas:list` granted in this project and region"
_ADDRESS = "have the address of this machine allowed, or run where it is"
_ENDPOINT = "check the region and its endpoint: Enterprise Router is not served there"
_TROUBLE = "nothing: the gateway has trouble, and it is tried again"
_TOO_LATE = "nothing: the service may have done it, so it is tried again under the same token"
_NOT_EXPECTED = "not expected here, for no such thing is asked for: check the endpoint"
_LARGE = "shorten the row's texts: the gateway found the request too large"
_APPLICATION = "use keys of IAM: those of an application are not meant for this API"

THROTTLED = Verdict(
    Kind.THROTTLED,
    Stops.ROW,
    advice="lower `--rate`; batcher waits, and keeps a limit that the refusal names",
)
"""The window is full; nothing was done."""
BAD_ANSWER = unsure("the endpoint answers, but not as Enterprise Router does: check the endpoint")
"""An answer that is no error and not what was asked for."""
REDIRECTED = gate("check the region and its endpoint: another service answers there", Stops.RUN)
"""A redirection, which is not followed."""
UNKNOWN_KEYS = gate(_KEYS, Stops.ACCOUNT)
"""Any other 401: a wrong key is locked after five refusals in a row (APIGW FAQ 0003), so the first one stops it."""
UNKNOWN_DENIAL = gate(_PERMISSION, Stops.ACCOUNT)
"""Any other 403 of the gateway's."""
UNKNOWN_GATE = gate("check the row's values; the gateway would not pass the request on", Stops.ROW)
"""Any other 4xx of the gateway's."""
DENIED = refusal(_PERMISSION)
"""Any other 403: it may hold for this one resource only."""
UNKNOWN_PAGE = gate("check the endpoint, the permissions and what stands between: no answer of the API", Stops.ROW)
"""Any other 4xx without a code: the service and the gateway always give one, so who refused is not known."""
UNKNOWN_REFUSAL = refusal("see the message; an entry in `[[cloud.errors]]` can say what it means")
"""Any other 4xx."""
TROUBLE = unsure("nothing: it is tried again under the same token")
"""Any other 5xx, and 408."""

# Enterprise Router, on what a run asks for.
_FLOW_LOGS: Mapping[tuple[int, str], Verdict] = {
    (400, "ER.04008503"): Verdict(Kind.EXISTS, Stops.ROW, advice="nothing: it is looked up in the listing"),
    (400, "ER.04008502"): busy("nothing: someone else is changing the flow log, and it is tried again"),
    (400, "ER.04004003"): busy("check the state of the attachment, if trying again does not help"),
    (400, "ER.04001003"): busy("check the state of the router, if trying again does not help"),
    (400, "ER.04008500"): refusal("leave the row out: this kind of attachment has no flow logs in this region"),
    (400, "ER.04008501"): refusal("nothing: there is no such flow log (any more)"),
    (400, "ER.04009005"): refusal("check the values of the row"),
    (400, "ER.04009008"): refusal("delete unused flow logs, or ask for a larger quota, then run again", Stops.SUBJECT),
    (400, "ER.04009009"): refusal("check the endpoint: it does not know a quota of flow logs"),
    (400, "ER.04009011"): refusal("settle the account's bills: the resource is frozen"),
    (400, "ER.04009012"): refusal("settle the account's bills or restrictions, then `batcher resume`", Stops.ACCOUNT),
    (400, "ER.04009013"): refusal("settle the account's bills: the router has frozen attachments", Stops.SCOPE),
    (400, "ER.04009019"): refusal("leave the region out: flow logs are not offered in it yet", Stops.LANE),
    (404, "ER.04041001"): refusal("check `er_id`, `project_id` and `region`", Stops.SCOPE),
    (404, "ER.04044001"): refusal("check `resource_id`: it is the attachment's id, not that of its VPC"),
    (503, "ER.05039006"): unsure("nothing: the service is briefly unavailable, and it is tried again"),
}

# Enterprise Router, on routers, associations, propagations, attachments, route tables and routes.
_OTHER_THINGS: Mapping[int, str] = {
    400: "04001104 04001105 04001106 04002002 04002003 04003002 04003003 04004002 04004004 04004101 04004102"
    " 04005003 04006002 04006103 04006104 04006105 04006106",
    404: "04042001 04043001 04045001 04046001",
    409: "04091002 04095002 04095104 04095105",
}

# The gateway, about the request and where it went.
_REQUESTS: Mapping[tuple[int, str], Verdict] = {
    (404, "APIGW.0101"): gate(_ENDPOINT, Stops.RUN),
    (404, "APIGW.0103"): gate(_ENDPOINT, Stops.RUN),
    (400, "APIGW.0104"): gate(_ENDPOINT, Stops.RUN),
    (400, "APIGW.0105"): gate(_ENDPOINT, Stops.RUN),
    (400, "APIGW.0106"): gate("check the row's values; the gateway could not read the request", Stops.ROW),
    (400, "APIGW.0201"): gate("check the row's values; the gateway could not read the request", Stops.ROW),
    (413, "APIGW.0201"): gate(_LARGE, Stops.ROW),
    (414, "APIGW.0201"): gate(_LARGE, Stops.ROW),
    (494, "APIGW.0201"): gate(_LARGE, Stops.ROW),
    (407, ""): gate("give the proxy's user and password in `HTTPS_PROXY`", Stops.RUN),
    (429, "APIGW.0308"): THROTTLED,
    (400, "APIGW.0602"): gate(_ENDPOINT, Stops.RUN),
    (400, "APIGW.0607"): gate("check the endpoint's scheme and port: it does not take this protocol", Stops.RUN),
}

# The gateway, about who asks.
_ACCESS: Mapping[tuple[int, str], Verdict] = {
    (401, "APIGW.0301"): UNKNOWN_KEYS,
    (401, "APIGW.0303"): gate(_APPLICATION, Stops.ACCOUNT),
    (401, "APIGW.0305"): UNKNOWN_KEYS,
    (401, "APIGW.0307"): gate("get a new token, for the region that is called", Stops.ACCOUNT),
    (401, "APIGW.0311"): UNKNOWN_KEYS,
    (403, "APIGW.0302"): UNKNOWN_DENIAL,
    (403, "APIGW.0304"): gate(_APPLICATION, Stops.ACCOUNT),
    (403, "APIGW.0306"): UNKNOWN_DENIAL,
    (403, "APIGW.0310"): gate("check `project_id`: the project is not available", Stops.LANE),
    (403, "APIGW.0401"): gate(_ADDRESS, Stops.ACCOUNT),
    (403, "APIGW.0402"): gate(_ADDRESS, Stops.ACCOUNT),
    (403, "APIGW.0404"): gate("ask the provider: its gateway may not call the service", Stops.ACCOUNT),
    (403, "APIGW.0801"): UNKNOWN_DENIAL,
    (403, "APIGW.0802"): gate("have the user allowed in this region", Stops.ACCOUNT),
    (405, "APIGW.0501"): gate("wait, or have the application's quota of calls raised", Stops.ACCOUNT),
    (405, "APIGW.0502"): gate("have the application unfrozen, or use keys of IAM", Stops.ACCOUNT),
}

# The gateway, about itself and what stands behind it.
_GATEWAY: Mapping[int, str] = {
    500: "0103 0104 0105 0201 0601 0605 0606 0608 0609 0611 0612 0705",
    502: "0201 0202 0610",
}
_LATE: Mapping[tuple[int, str], Verdict] = {
    (504, "APIGW.0201"): unsure(_TOO_LATE),
    (504, "APIGW.0203"): unsure(_TOO_LATE),
    (503, "APIGW.0613"): unsure("nothing: the identity service is briefly unavailable, and it is tried again"),
}


def _all(prefix: str, codes: Mapping[int, str], verdict: Verdict) -> dict[tuple[int, str], Verdict]:
    return {(status, prefix + code): verdict for status, list_ in codes.items() for code in list_.split()}


TABLE: Mapping[tuple[int, str], Verdict] = {
    **_FLOW_LOGS,
    **_all("ER.", _OTHER_THINGS, refusal(_NOT_EXPECTED)),
    **_REQUESTS,
    **_ACCESS,
    **_all("APIGW.", _GATEWAY, unsure(_TROUBLE)),
    **_LATE,
}
"""Every documented error, in the order of the documentation; an empty code is any answer of that status without one."""

STOPS_WORDS: Mapping[str, Stops] = {
    "row": Stops.ROW,
    "attachment": Stops.SUBJECT,
    "router": Stops.SCOPE,
    "project": Stops.LANE,
    "account": Stops.ACCOUNT,
    "run": Stops.RUN,
}
"""What an error stops, in the words of settings and README."""

_GATEWAY_PREFIX = re.compile(r"(?:APIGW|APIG|APIC)\.")
_UNSEEN_BY_SERVICE = frozenset({401, 407, 408, 429})
"""4xx that come from before the service, whatever their code."""


def fold_code(code: str) -> str:
    """A gateway code under the one prefix that the table uses; any other code as it is."""
    return _GATEWAY_PREFIX.sub("APIGW.", code, count=1) if code.startswith("API") else code


def user_verdict(
    status: int,
    code: str,
    *,
    kind: str,
    stops: str,
    advice: str = "",
    ambiguous: bool | None = None,
    definitive: bool | None = None,
) -> Verdict:
    """What a user's entry says that an answer means; an empty `code` is any answer of this status without one.

    `kind` is a word of `model.Kind`, `stops` one of `STOPS_WORDS`. What is not said is taken with care: a 5xx, a 1xx
    and a 408 may have taken effect; a 4xx for good or for now is the service's own word on the token, unless its
    code is the gateway's or missing or its status comes from before the service. Raises `ConfigError` for an entry
    that cannot be found, that the retry law (`policy/retry.py`) would not honour (only `permanent` may stop more than
    the row, for whatever is repeated or looked up needs its lane), that would call a row failed whose thing may stand
    there (5xx, 1xx and 408), or that would send a refused key again (401).
    """
    entry = f"the entry `{status} {code}`" if code else f"the entry `{status}`"
    _check_key(entry, status, code)
    what = _word(entry, "kind", kind, {word.value: word for word in Kind})
    reach = _word(entry, "stops", stops, STOPS_WORDS)
    if reach is not Stops.ROW and what is not Kind.PERMANENT:
        raise ConfigError(
            f"{entry} of `cloud.errors`: kind `{kind}` cannot stop the {stops}",
            hint='write stops = "row", or kind = "permanent"',
        )
    if len(advice) > ADVICE_CHARACTERS_MAX or not advice.isprintable():
        raise ConfigError(
            f"{entry} of `cloud.errors`: `advice` must be one line of at most {ADVICE_CHARACTERS_MAX} characters"
        )
    can_spend = what in {Kind.PERMANENT, Kind.TRANSIENT}
    if definitive and (ambiguous or not can_spend):
        other = "`ambiguous`" if ambiguous else f"kind `{kind}`"
        raise ConfigError(
            f"{entry} of `cloud.errors`: {other} and `definitive` exclude each other",
            hint="`definitive`: the service refused, and would again; `ambiguous`: it may have been done",
        )
    may_be_done = status >= 500 or status < 200 or status == 408
    if may_be_done and (definitive or ambiguous is False):
        raise ConfigError(
            f"{entry} of `cloud.errors`: after HTTP {status} the thing may stand there, whatever the code",
            hint="leave out `ambiguous` and `definitive`; a row that is given up is then looked up first",
        )
    if status == 401 and (what is not Kind.PERMANENT or reach not in {Stops.ACCOUNT, Stops.RUN} or definitive):
        raise ConfigError(
            f"{entry} of `cloud.errors`: a refused key is never sent again, for five refusals lock it",
            hint='write kind = "permanent" and stops = "account"',
        )
    if ambiguous is None:
        ambiguous = not definitive and may_be_done
    if definitive is None:
        seen = 400 <= status < 500 and status not in _UNSEEN_BY_SERVICE and not fold_code(code).startswith("APIGW.")
        definitive = can_spend and seen and bool(code) and not ambiguous
    return Verdict(what, reach, ambiguous=ambiguous, definitive=definitive, advice=advice)


def merged(entries: Mapping[tuple[int, str], Verdict]) -> Mapping[tuple[int, str], Verdict]:
    """The table with a user's entries on top; their codes may have any of the gateway's prefixes."""
    return {**TABLE, **{(status, fold_code(code)): verdict for (status, code), verdict in entries.items()}}


def _check_key(entry: str, status: int, code: str) -> None:
    if not 100 <= status <= 599 or 200 <= status <= 299:
        raise ConfigError(
            f"{entry} of `cloud.errors`: `status` is no HTTP status of an error",
            hint="it is a number from 100 to 599, and not 2xx, which is success",
        )
    if code != " ".join(code.split()) or not code.isprintable() or len(code) > CODE_CHARACTERS_MAX:
        raise ConfigError(
            f"{entry} of `cloud.errors`: no answer has this code",
            hint=f"a code is one line of at most {CODE_CHARACTERS_MAX} characters, as `error_code` shows it",
        )


def _word(entry: str, key: str, word: str, words: Mapping[str, _T]) -> _T:
    if word not in words:
        known = ", ".join(f"`{each}`" for each in words)
        raise ConfigError(f"{entry} of `cloud.errors`: `{key}` cannot be `{word}`", hint=f"one of {known}")
    return words[word]
