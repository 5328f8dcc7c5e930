"""What was sent says so, and no second token goes out while what went under the first may stand.

Attempts and the first send of a row tell no less than left its run's processes, whatever was answered. A kill may leave
a send told that never left, also dated by a clock that was set back since.
"""

from collections.abc import Callable, Collection, Iterator, Sequence

from batcher.records import RowRecord
from tests.simulation.machine import Process
from tests.simulation.seen import Send

ROUNDED_S = 0.01
"""How much later than its send a row may be dated."""


def untold(
    row: RowRecord, creates: Sequence[Send], workers: Collection[Process], covers: Callable[[float], bool]
) -> str:
    """What a row tells less than is so, or empty; `creates` are all for its place, in order.

    `workers` are the processes of its run, of which its ledger has on record what it `covers`.
    """
    sends = [send for send in creates if send.process in workers and covers(send.left_at)]
    if not sends:
        return ""
    first = sends[0]
    if row.attempts < len(sends):
        return f"it was sent {len(sends)} times, and tells {row.attempts}"
    if row.first_sent_at is None:
        return f"it was sent at {first.left_at:.3f}, and tells no first send"
    if any(worker.died_at < first.left_at for worker in workers):
        return ""
    late_s = row.first_sent_at - first.dated_at
    return f"it was sent {late_s:.3f} s before its first send" if late_s > ROUNDED_S else ""


def too_soon(send: Send, before: Sequence[Send], looked_at: float, key: str) -> Iterator[str]:
    """A create that leaves under a second token while an earlier one of the same ledger for the same may stand.

    `before` are the creates for `key` that its ledger knows of; `looked_at` is when the last look there left that was
    answered. What was answered to a token speaks for all that went under it.
    """
    taken = {each.token for each in before if each.status == 202}
    for each in before:
        is_another = each.machine == send.machine and each.token != send.token and each.body == send.body
        if is_another and each.is_open and each.token not in taken and looked_at <= each.left_at:
            yield (
                f"{key}: sent at {each.left_at:.3f} under {each.token}, which may stand, and at {send.left_at:.3f}"
                f" under {send.token}"
            )
            return
