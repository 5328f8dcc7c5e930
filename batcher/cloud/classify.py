"""What a refusal means: the way from an answer's HTTP status and code to a verdict. In order:

1. The table, by the pair (`error_table`; a user's entries are part of it, so they win over every rule). An answer
   without a code, or with a bare number for one (the identity service's), is also looked up under the empty code.
2. Any other 5xx: the work may have been done; again, under the same token.
3. 2xx that is not what was asked for: as 5xx. 3xx: another service answers here; the run stops.
4. Any other 429, or the gateway's code for it: the window is full; nothing was done.
5. A service code (`ER.`) carries its own status and is found under any 4xx but 401 and 408; an unknown one is judged
   by the status in its digits: `ER.` 0 404 1 001 is a 404 about a router (module 1).
6. Any other by its HTTP status: 401 and the gateway's 403 stop the account, other 4xx are the row's own. A 4xx
   without a code comes from neither the service nor its gateway, so the token is not spent.

The layout of the service's codes is inferred from all documented ones (Enterprise Router API reference, "Error
Codes", OTC copy, 2025-11-11).
"""

import re
from collections.abc import Mapping

from batcher.cloud.error_table import (
    BAD_ANSWER,
    DENIED,
    REDIRECTED,
    TABLE,
    THROTTLED,
    TROUBLE,
    UNKNOWN_DENIAL,
    UNKNOWN_GATE,
    UNKNOWN_KEYS,
    UNKNOWN_PAGE,
    UNKNOWN_REFUSAL,
    Verdict,
    fold_code,
)

_THROTTLED_CODE = "APIGW.0308"
_SERVICE_CODE = re.compile(r"ER\.0([45]\d\d)\d{4}", re.ASCII)
_NUMBER = re.compile(r"[0-9]+")


def classify(status: int, code: str, table: Mapping[tuple[int, str], Verdict] = TABLE) -> Verdict:
    """What an answer that is no success means. Total: any status and any code have a verdict.

    `table` is `error_table.TABLE`, or that with a user's entries (`error_table.merged`).
    """
    folded = fold_code(code)
    known = table.get((status, folded))
    if known is None and _NUMBER.fullmatch(folded):
        known = table.get((status, ""))
    if known is not None:
        return known
    if status >= 500:
        return TROUBLE if status < 600 else BAD_ANSWER
    if status < 400:
        return REDIRECTED if status >= 300 else BAD_ANSWER
    if status == 429 or folded == _THROTTLED_CODE:
        return THROTTLED
    carried = _SERVICE_CODE.fullmatch(folded)
    if carried is None or status in {401, 408}:
        return _by_status(status, folded)
    own_status = int(carried[1])
    return table.get((own_status, folded)) or _by_status(own_status, folded)


def _by_status(status: int, folded: str) -> Verdict:
    """The verdict on a code that the table does not know, by its status alone."""
    if status == 401:
        return UNKNOWN_KEYS
    if status == 429:
        return THROTTLED
    if status == 408 or status >= 500:
        return TROUBLE
    if not folded or _NUMBER.fullmatch(folded):
        return UNKNOWN_PAGE
    if folded.startswith("APIGW."):
        return UNKNOWN_DENIAL if status == 403 else UNKNOWN_GATE
    return DENIED if status == 403 else UNKNOWN_REFUSAL
