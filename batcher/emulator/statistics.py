"""What the call log and the flow logs tell about a client, after the fact.

Everything is read from the state, so it covers the time before a restart too. Reading takes about 0.2 s for 20,000
calls and 10 s for a million, in which the emulator serves nothing.
"""

from itertools import groupby
from operator import itemgetter

from batcher.emulator.state import State
from batcher.emulator.throttle import Throttle, worst_window

KEYS_LISTED_MAX = 1000
"""How many natural keys a list shows; a client that gets more of them wrong is wrong enough."""

# Two lives of the same natural key overlap when the later one begins before the earlier one was deleted.
_CREATED_TWICE = """
SELECT DISTINCT key FROM (
    SELECT n, deleted_at, project_id || '/' || er_id || '/' || resource_id || '/' || log_group_id || '/'
            || log_stream_id AS key,
        lead(created_at) OVER (
            PARTITION BY project_id, er_id, resource_id, log_group_id, log_stream_id ORDER BY n
        ) AS next_at
    FROM flow_logs
) WHERE next_at IS NOT NULL AND (deleted_at IS NULL OR deleted_at > next_at) ORDER BY key LIMIT ?
"""
_TWO_TOKENS = """
SELECT key FROM calls WHERE operation = 'create' AND key IS NOT NULL AND token IS NOT NULL
GROUP BY key HAVING count(DISTINCT token) > 1 ORDER BY key LIMIT ?
"""
_UNAUTHORIZED = "SELECT access_key, calls FROM unauthorized ORDER BY access_key LIMIT ?"


def statistics(state: State, throttle: Throttle | None) -> dict[str, object]:
    """All figures as a JSON object.

    - `calls`: operation to number of calls; `answers`: operation to status to number, where `dropped` stands
      for calls that got no whole answer.
    - `flow_logs`: live ones; `created_total`: creates that took effect.
    - `keys_created_twice`: natural keys (`project/router/attachment/group/stream`) for which a create took
      effect again without a delete in between; `keys_with_two_tokens`: those whose creates came with more
      than one token. Both list at most `KEYS_LISTED_MAX` keys.
    - `worst_window`: the most calls of one project in any `period_s` seconds (the throttle's, or 1), refused
      ones too.
    - `unauthorized_by_key`: access key to number of calls that were answered with 401; `unknown` stands for keys that
      are none of the emulator's, `token` for calls with an `X-Auth-Token` instead, the empty text for calls with
      neither; at most `KEYS_LISTED_MAX` keys.
    - `throttled`: answers with 429; `arrivals_over_limit`: calls that the throttle refused, faults not
      counted.
    """
    answers: dict[str, dict[str, int]] = {}
    counted = "SELECT operation, status, count(*) FROM calls GROUP BY 1, 2 ORDER BY 1, 2"
    for operation, status, count in state.db.execute(counted):
        answers.setdefault(operation, {})[str(status) if status else "dropped"] = count
    live, created = _one(state, "SELECT coalesce(sum(live), 0), coalesce(sum(created), 0) FROM projects")
    over, throttled = _one(state, "SELECT coalesce(sum(over_limit), 0), coalesce(sum(status = 429), 0) FROM calls")
    period_s = throttle.period_s if throttle else 1.0
    return {
        "calls": {operation: sum(by_status.values()) for operation, by_status in answers.items()},
        "answers": answers,
        "flow_logs": live,
        "created_total": created,
        "keys_created_twice": _keys(state, _CREATED_TWICE),
        "keys_with_two_tokens": _keys(state, _TWO_TOKENS),
        "worst_window": {"calls": _worst_window(state, period_s), "period_s": period_s},
        "unauthorized_by_key": dict(state.db.execute(_UNAUTHORIZED, (KEYS_LISTED_MAX,)).fetchall()),
        "throttled": throttled,
        "arrivals_over_limit": over,
    }


def _one(state: State, sql: str) -> tuple[int, int]:
    first, second = state.db.execute(sql).fetchone()
    return int(first), int(second)


def _keys(state: State, sql: str) -> list[str]:
    return [key for (key,) in state.db.execute(sql, (KEYS_LISTED_MAX,))]


def _worst_window(state: State, period_s: float) -> int:
    rows = state.db.execute("SELECT project_id, at FROM calls ORDER BY project_id, n")
    windows = (worst_window((at for _, at in calls), period_s) for _, calls in groupby(rows, itemgetter(0)))
    return max(windows, default=0)
