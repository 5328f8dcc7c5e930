"""From an answer that is no success, or from none, to the `Refused` that the engine acts on. Pure functions.

Whatever the other side says passes through `wire` first: every text in a `Refused` is bounded, printable and redacted.
"""

import re
from collections.abc import Mapping, Sequence

from batcher.cloud.classify import classify
from batcher.cloud.error_table import BAD_ANSWER, REDIRECTED, TABLE, Verdict
from batcher.cloud.transport import BAD_ANSWER as BAD_ANSWER_CODE
from batcher.cloud.transport import MESSAGE_CHARACTERS_MAX, UNREACHABLE, Answer, NoAnswer
from batcher.cloud.wire import ErrorBody, parse_error, parse_retry_after, parse_window, shown
from batcher.model import Kind, Refused, Stops

REDIRECTED_CODE = "BATCHER.Redirected"

_ADVICE_FATAL = "check the endpoint: its certificate was refused, so nothing is sent there; `cloud.ca_file` adds a CA"
_ADVICE_UNREACHABLE = "check the network, the region and its endpoint, then `batcher resume`"
_ADVICE_UNANSWERED = "nothing: it is tried again under the same token, then looked up in the listing"
_HOST = re.compile(r"https?://([A-Za-z0-9.:-]{1,200})(?:[/?#]|\Z)")


def refusal_of(
    answer: Answer, *, now: float, secrets: Sequence[str], table: Mapping[tuple[int, str], Verdict] = TABLE
) -> Refused:
    """What an answer that is not the one asked for means; total, whatever its status, headers and body.

    `now` (wall clock, seconds) turns a `Retry-After` date into a wait; `secrets` are texts that must not show;
    `table` is `error_table.TABLE`, or that with a user's entries.
    """
    error = parse_error(answer.body, answer.headers, secrets)
    verdict = classify(answer.status, error.code, table)
    is_repeated = verdict.kind in {Kind.TRANSIENT, Kind.THROTTLED}
    return Refused(
        kind=verdict.kind,
        stops=verdict.stops,
        code=_code(answer.status, error, verdict),
        message=error.message or _unsaid(answer, secrets),
        http_status=answer.status,
        request_id=error.request_id,
        ambiguous=verdict.ambiguous,
        definitive=verdict.definitive,
        pause_s=parse_retry_after(answer.headers, now) if is_repeated else None,
        window=parse_window(error.message) if verdict.kind is Kind.THROTTLED else None,
        advice=verdict.advice,
    )


def unanswered(answer: NoAnswer, secrets: Sequence[str]) -> Refused:
    """What it means that no usable answer came: only a refused certificate is for good."""
    if answer.advice:
        advice = answer.advice
    elif answer.fatal:
        advice = _ADVICE_FATAL
    elif answer.code == BAD_ANSWER_CODE:
        advice = BAD_ANSWER.advice
    else:
        advice = _ADVICE_UNREACHABLE if answer.code == UNREACHABLE else _ADVICE_UNANSWERED
    return Refused(
        kind=Kind.PERMANENT if answer.fatal else Kind.TRANSIENT,
        stops=Stops.RUN if answer.fatal else Stops.ROW,
        code=answer.code,
        message=shown(answer.message, MESSAGE_CHARACTERS_MAX, secrets),
        sent=answer.sent,
        ambiguous=answer.sent,
        advice=advice,
    )


def bad_answer(status: int, request_id: str, message: str) -> Refused:
    """What to make of a success that lacks what was asked for: nobody knows whether the call took effect."""
    return Refused(
        kind=BAD_ANSWER.kind,
        stops=BAD_ANSWER.stops,
        code=BAD_ANSWER_CODE,
        message=message,
        http_status=status,
        request_id=request_id,
        ambiguous=BAD_ANSWER.ambiguous,
        advice=BAD_ANSWER.advice,
    )


def _unsaid(answer: Answer, secrets: Sequence[str]) -> str:
    """A message for an answer without one; of a redirect the target's host, which is what misleads."""
    target = _HOST.match(shown(answer.headers.get("Location", ""), MESSAGE_CHARACTERS_MAX, secrets))
    return f"redirected to `{target[1]}`" if target else f"the answer (HTTP {answer.status}) has no message"


def _code(status: int, error: ErrorBody, verdict: Verdict) -> str:
    """The code that the report shows: the provider's, else one of our own or the bare status.

    A number that only repeats the status is no code of the provider's.
    """
    if verdict is BAD_ANSWER:
        return BAD_ANSWER_CODE
    said = "" if error.code == str(status) else error.code
    if verdict is REDIRECTED or (not said and 300 <= status < 400):
        return REDIRECTED_CODE
    return said or f"HTTP.{status}"
