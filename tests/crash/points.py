"""The named points of a process at which the tests end it or write down that it came by.

They are put around batcher's own functions, and the system's, from outside: the product knows nothing of them. A point
is `NAME.before` or `NAME.after`:

- a commit of the ledger: everything is written and not committed, or `COMMIT` has just returned;
- a statement of a migration: not begun, or done within its transaction;
- a request (`send` a create, `delete`, `change`, `list`): no byte of it has left, or all of it has;
- an `answer` to a create or a delete: it is there and nobody has looked at it, or its settlement waits to be written;
- `draft` (text of a report), `sync` (of a file or a folder) and `rename`: not done, or done.
"""

import os
import re
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Any

from batcher.cloud.transport import HttpTransport
from batcher.ledger import migrate
from batcher.ledger.group_commit import GroupCommit
from batcher.ledger.lane_store import LaneStore
from batcher.ledger.plan_store import PlanStore
from batcher.ledger.store import Store
from batcher.model import Lease, RowState, Send, Settlement
from batcher.report.folder import ReportFolder

Reach = Callable[[str], None]
Patched = Any  # a class or module whose functions are replaced here, on purpose

PLAN_COMMITS = (
    *("create_run", "add_rows", "copy_rows", "copy_made", "index_keys", "settle_plan", "open_run", "drop_run"),
    *("reopen", "end_sitting"),
)
LANE_COMMITS = ("acquire", "release", "claim", "claim_these", "regenerate_rows", "write")
WRITES = ("mark", "found", "put_back", "settle", "verify")
"""What a `write` is called, by what it does: of rows about to be sent, of planned, claimed or accepted ones."""
REQUESTS = ("send", "delete", "change", "list")
FILES = ("draft", "sync", "rename")
NAMES = (
    *PLAN_COMMITS,
    *(name for name in LANE_COMMITS if name != "write"),
    *WRITES,
    *("migrate", "statement"),
    *REQUESTS,
    "answer",
    *FILES,
)
POINTS = frozenset(f"{name}.{side}" for name in NAMES for side in ("before", "after"))

_FLOW_LOGS = re.compile(rb"(POST|DELETE|PUT|GET) \S*/enterprise-router/[^/ ]+/flow-logs(/[^?\s]*)?(?:\?\S*)? HTTP")
_KINDS = {b"POST": "send", b"DELETE": "delete", b"PUT": "change", b"GET": "list"}
_at = threading.local()


def install(reach: Reach) -> None:
    """Have `reach` called with the name of every point that this process comes to; for the rest of its life."""
    _around_commits(reach)
    _around_statements(reach)
    _around_requests(reach)
    _around_answers(reach)
    _around_files(reach)


def _around_commits(reach: Reach) -> None:
    stores: tuple[tuple[Patched, Sequence[str]], ...] = ((PlanStore, PLAN_COMMITS), (LaneStore, LANE_COMMITS))
    for store, names in stores:
        for name in names:
            setattr(store, name, _named(getattr(store, name), name))
    plain, patched = Store.transaction, _class(Store)

    @contextmanager
    def transaction(self: Store) -> Iterator[None]:
        name = getattr(_at, "name", "migrate")
        with plain(self):
            yield
            reach(f"{name}.before")
        reach(f"{name}.after")

    patched.transaction = transaction


def _named(method: Callable[..., Any], name: str) -> Callable[..., Any]:
    """A method during which its transaction is known by its name."""

    @wraps(method)
    def named(self: object, *args: Any, **kwargs: Any) -> Any:
        _at.name = _name_of_write(args[1], args[4]) if name == "write" else name
        try:
            return method(self, *args, **kwargs)
        finally:
            del _at.name

    return named


def _name_of_write(batch: Sequence[tuple[Lease, Settlement]], sends: Sequence[Send]) -> str:
    settlements = [settlement for _, settlement in batch]
    if any(settlement.state is RowState.PLANNED for settlement in settlements):
        return "put_back"
    if sends:
        return "mark"
    expected = {settlement.expect for settlement in settlements}
    if RowState.ACCEPTED in expected:
        return "verify"
    if RowState.CLAIMED in expected:
        return "settle"
    return "found" if settlements else "count"


def _around_statements(reach: Reach) -> None:
    plain, patched = migrate._split, _class(migrate)

    def split(script: str) -> Iterator[str]:
        for statement in plain(script):
            reach("statement.before")
            yield statement
            reach("statement.after")

    patched._split = split


def _around_requests(reach: Reach) -> None:
    patched = _class(socket.socket)

    def around(plain: Callable[..., int], first: Callable[[Any], bytes]) -> Callable[..., int]:
        def send(self: socket.socket, data: Any, *more: Any) -> int:
            found = _FLOW_LOGS.match(first(data)[:600])
            kind = None if found is None else _KINDS[found[1]]
            if kind == "send" and found is not None and found[2]:
                kind = "change"  # such as `/enable`
            if kind is not None:
                reach(f"{kind}.before")
            sent = plain(self, data, *more)
            if kind is not None:
                reach(f"{kind}.after")
            return sent

        return send

    patched.send = around(socket.socket.send, bytes)
    patched.sendmsg = around(socket.socket.sendmsg, lambda pieces: b"".join(map(bytes, pieces)))


def _around_answers(reach: Reach) -> None:
    plain_send, plain_settle = HttpTransport.send, GroupCommit.settle

    async def send(self: HttpTransport, method: str, url: str, *more: Any) -> Any:
        answer = await plain_send(self, method, url, *more)
        if method in ("POST", "DELETE"):
            reach("answer.before")
        return answer

    def settle(self: GroupCommit, *args: Any) -> None:
        plain_settle(self, *args)
        reach("answer.after")

    _class(HttpTransport).send = send
    _class(GroupCommit).settle = settle


def _around_files(reach: Reach) -> None:
    def around(plain: Callable[..., Any], name: str) -> Callable[..., Any]:
        @wraps(plain)
        def act(*args: Any, **kwargs: Any) -> Any:
            reach(f"{name}.before")
            done = plain(*args, **kwargs)
            reach(f"{name}.after")
            return done

        return act

    _class(ReportFolder).write = around(ReportFolder.write, "draft")
    _class(os).fsync = around(os.fsync, "sync")
    _class(os).replace = around(os.replace, "rename")


def _class(patched: object) -> Patched:
    """What is patched, without its types."""
    return patched
