"""What the emulated cloud remembers, in SQLite.

One transaction per call holds the call's effect and its line in the call log. The database runs with WAL and
`synchronous=OFF`: a process that is killed at any moment loses nothing that was committed, a machine that
loses power may. A state file has one owner at a time.

Times are Unix seconds of the emulator's clock. Deleted flow logs stay as rows, so that a repeated token can
still be answered and histories can be checked. Ids are hashes of the seed and a counter.
"""

import hashlib
import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

SCHEMA_VERSION = 4

# The schema of each version as what it adds to the one before: an old file is brought up by the rest of them.
_VERSION_1 = """
CREATE TABLE flow_logs (
    n INTEGER PRIMARY KEY,
    id TEXT NOT NULL,
    project_id TEXT NOT NULL,
    er_id TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    resource_id TEXT NOT NULL,
    log_group_id TEXT NOT NULL,
    log_stream_id TEXT NOT NULL,
    created_at REAL NOT NULL,
    updated_at REAL NOT NULL,
    ready_at REAL NOT NULL,
    final_state TEXT NOT NULL CHECK (final_state IN ('available', 'failed')),
    enabled INTEGER NOT NULL,
    deleted_at REAL
) STRICT;
CREATE UNIQUE INDEX flow_logs_by_id ON flow_logs (project_id, er_id, id) WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX flow_logs_by_key
    ON flow_logs (project_id, er_id, resource_id, log_group_id, log_stream_id)
    WHERE deleted_at IS NULL;
CREATE TABLE routers (
    project_id TEXT NOT NULL,
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    state TEXT NOT NULL,
    created_at REAL NOT NULL,
    PRIMARY KEY (project_id, id)
) STRICT, WITHOUT ROWID;
CREATE TABLE attachments (
    project_id TEXT NOT NULL,
    er_id TEXT NOT NULL,
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    state TEXT NOT NULL,
    resource_type TEXT NOT NULL,
    resource_id TEXT NOT NULL,
    created_at REAL NOT NULL,
    PRIMARY KEY (project_id, er_id, id)
) STRICT, WITHOUT ROWID;
CREATE TABLE projects (
    id TEXT PRIMARY KEY,
    live INTEGER NOT NULL,
    created INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE tokens (
    project_id TEXT NOT NULL,
    token TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    first_at REAL NOT NULL,
    flow_log_n INTEGER,
    refusal TEXT,
    CHECK ((flow_log_n IS NULL) <> (refusal IS NULL)),
    PRIMARY KEY (project_id, token)
) STRICT, WITHOUT ROWID;
CREATE TABLE identities (identity INTEGER PRIMARY KEY, calls INTEGER NOT NULL) STRICT;
CREATE TABLE calls (
    n INTEGER PRIMARY KEY,
    at REAL NOT NULL,
    operation TEXT NOT NULL,
    project_id TEXT NOT NULL,
    status INTEGER NOT NULL,
    over_limit INTEGER NOT NULL,
    key TEXT,
    token TEXT
) STRICT;
CREATE TABLE clock (offset_s REAL NOT NULL) STRICT;
INSERT INTO clock VALUES (0);
"""

# `access_key` is empty where a project is for all keys. `unauthorized` counts the calls that got 401.
_VERSION_2 = """
CREATE TABLE named_projects (
    name TEXT NOT NULL,
    id TEXT NOT NULL,
    access_key TEXT NOT NULL,
    PRIMARY KEY (name, id, access_key)
) STRICT, WITHOUT ROWID;
CREATE TABLE log_groups (
    project_id TEXT NOT NULL,
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    created_at REAL NOT NULL,
    PRIMARY KEY (project_id, id)
) STRICT, WITHOUT ROWID;
CREATE TABLE log_streams (
    project_id TEXT NOT NULL,
    log_group_id TEXT NOT NULL,
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    created_at REAL NOT NULL,
    PRIMARY KEY (project_id, log_group_id, id)
) STRICT, WITHOUT ROWID;
CREATE TABLE unauthorized (access_key TEXT PRIMARY KEY, calls INTEGER NOT NULL) STRICT, WITHOUT ROWID;
"""

# `gone_at` is set while a deleted flow log is still shown as `deleting`, and then; `deleted_at` when it is gone.
_VERSION_3 = """
ALTER TABLE flow_logs ADD COLUMN gone_at REAL;
CREATE INDEX flow_logs_leaving ON flow_logs (gone_at) WHERE gone_at IS NOT NULL AND deleted_at IS NULL;
CREATE TABLE fates (
    project_id TEXT NOT NULL,
    er_id TEXT NOT NULL,
    resource_id TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('available', 'failed', 'pending')),
    PRIMARY KEY (project_id, er_id, resource_id)
) STRICT, WITHOUT ROWID;
"""
# Two of one natural key may live where `unique` is off, so the index tells them apart no more. `token` is the client
# token of the create that made a flow log; it stays when the token is forgotten.
_VERSION_4 = """
DROP INDEX flow_logs_by_key;
CREATE INDEX flow_logs_by_key
    ON flow_logs (project_id, er_id, resource_id, log_group_id, log_stream_id)
    WHERE deleted_at IS NULL;
ALTER TABLE flow_logs ADD COLUMN token TEXT;
"""
VERSIONS = (_VERSION_1, _VERSION_2, _VERSION_3, _VERSION_4)

TABLES = (
    "flow_logs",
    "routers",
    "attachments",
    "projects",
    "tokens",
    "identities",
    "calls",
    "named_projects",
    "log_groups",
    "log_streams",
    "unauthorized",
    "fates",
)


class StateError(Exception):
    """The state file cannot be used: it has another owner, or no emulator made it. The caller's to mend."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """The first use of a client token: when, for what, and what came of it, a flow log or a refusal."""

    fingerprint: bytes
    first_at: float
    flow_log_n: int | None
    refusal: str | None


class State:
    """An open state. Every method is short and synchronous; writes belong inside `transaction`."""

    def __init__(self, path: Path | None, seed: int) -> None:
        """Open or make the state file, or a state in memory. Raises StateError."""
        self.seed = seed
        self.db = _opened(path)
        self._count()

    def _count(self) -> None:
        def value(sql: str) -> float:
            return float(self.db.execute(sql).fetchone()[0])

        self._flow_logs = int(value("SELECT coalesce(max(n), 0) FROM flow_logs"))
        self._calls = int(value("SELECT coalesce(max(n), 0) FROM calls"))
        self.offset_s = value("SELECT offset_s FROM clock")

    def close(self) -> None:
        """Close the file; the state stays."""
        self.db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All writes inside take effect together or, when the body raises, not at all."""
        self.db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.db.execute("COMMIT")
        except BaseException:  # whatever it was, cancelling too: it is raised again
            if self.db.in_transaction:  # SQLite itself rolls back on a full disk
                self.db.execute("ROLLBACK")
            raise

    def next_flow_log(self) -> tuple[int, str]:
        """The number and the id of the next flow log."""
        self._flow_logs += 1
        return self._flow_logs, uuid_of(self.seed, "flow-log", self._flow_logs)

    def next_call(self) -> tuple[int, str]:
        """The number and the request id of the next call."""
        self._calls += 1
        return self._calls, uuid_of(self.seed, "request", self._calls)

    def log_call(
        self,
        n: int,
        *,
        at: float,
        operation: str,
        project_id: str,
        status: int,
        over_limit: bool,
        key: str | None,
        token: str | None,
    ) -> None:
        """Write a call's line; status 0 stands for a call that got no whole answer."""
        self.db.execute(
            "INSERT INTO calls VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (n, at, operation, project_id, status, over_limit, key, token),
        )

    def count_unauthorized(self, access_key: str) -> None:
        """Count a call that got 401 under the key that it named."""
        self.db.execute(
            "INSERT INTO unauthorized VALUES (?, 1) ON CONFLICT DO UPDATE SET calls = calls + 1", (access_key,)
        )

    def arrivals(self, since: float) -> Iterator[tuple[str, float]]:
        """Project and time of the calls after `since`, in their order."""
        yield from self.db.execute("SELECT project_id, at FROM calls WHERE at > ? ORDER BY n", (since,))

    def count_identity(self, identity: str) -> int:
        """How often this identity has called, this time included."""
        digest = hashlib.blake2b(identity.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        row = self.db.execute(
            "INSERT INTO identities VALUES (?, 1) ON CONFLICT DO UPDATE SET calls = calls + 1 RETURNING calls",
            (int.from_bytes(digest, "big", signed=True),),
        ).fetchone()
        return int(row[0])

    def remembered(self, project_id: str, token: str) -> Remembered | None:
        """The first use of a token in a project."""
        row = self.db.execute(
            "SELECT fingerprint, first_at, flow_log_n, refusal FROM tokens WHERE project_id = ? AND token = ?",
            (project_id, token),
        ).fetchone()
        if row is None:
            return None
        fingerprint, first_at, flow_log_n, refusal = row
        return Remembered(fingerprint=fingerprint, first_at=first_at, flow_log_n=flow_log_n, refusal=refusal)

    def remember(self, project_id: str, token: str, use: Remembered) -> None:
        """Keep the first use of a token. IntegrityError, a fault of ours, when it is not the first."""
        values = (project_id, token, use.fingerprint, use.first_at, use.flow_log_n, use.refusal)
        self.db.execute("INSERT INTO tokens VALUES (?, ?, ?, ?, ?, ?)", values)

    def forget_tokens(self) -> int:
        """Forget every token; how many there were."""
        return self.db.execute("DELETE FROM tokens").rowcount

    def advance_clock(self, advance_s: float) -> None:
        """Move the emulator's clock ahead of the real one; kept over a restart."""
        self.offset_s += advance_s
        self.db.execute("UPDATE clock SET offset_s = ?", (self.offset_s,))

    def reset(self) -> None:
        """Forget everything, as if the file were new."""
        for table in TABLES:
            self.db.execute(f"DELETE FROM {table}")  # noqa: S608 - the names stand above
        self.db.execute("UPDATE clock SET offset_s = 0")
        self._count()


def uuid_of(*parts: object) -> str:
    """A UUID-shaped id, always the same for the same parts."""
    text = hashlib.blake2b("|".join(map(str, parts)).encode(), digest_size=16).hexdigest()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _opened(path: Path | None) -> sqlite3.Connection:
    with ExitStack() as undo:
        try:
            if path is not None:
                _keep_private(path)
            # No waiting for a lock: its holder is another emulator, and the wait would hold up the event loop.
            db = sqlite3.connect(path or ":memory:", timeout=0, isolation_level=None)
            undo.callback(db.close)
            _prepare(db)
        except (sqlite3.Error, OSError) as error:
            hint = "hint: another emulator may be using it, or its directory is missing"
            raise StateError(f"cannot use state file `{path}`: {error}; {hint}") from error
        undo.pop_all()
        return db


def _keep_private(path: Path) -> None:
    """Make the file, or close it to others: it names access keys and what is in an inventory. Raises StateError.

    A link is not followed, and what somebody else owns is not used: it would be written where nobody wished.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        found = path.lstat()
        if not stat.S_ISREG(found.st_mode):
            raise StateError(f"the state file `{path}` is a link or no file; hint: name another") from None
        if found.st_uid not in {os.geteuid(), 0}:
            raise StateError(f"the state file `{path}` belongs to another user; hint: name another") from None
        if found.st_mode & 0o077:
            path.chmod(0o600)


def _prepare(db: sqlite3.Connection) -> None:
    # Exclusive: a second emulator on the same file is refused instead of giving ids twice.
    db.execute("PRAGMA locking_mode = EXCLUSIVE")
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = OFF")
    db.execute("BEGIN IMMEDIATE")
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if not 0 <= version <= SCHEMA_VERSION:
        raise StateError(f"the state file has version {version}, this emulator writes {SCHEMA_VERSION}")
    if version == 0 and db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        raise StateError("the state file holds a database that no emulator made")
    for added in VERSIONS[version:]:
        for statement in added.split(";\n"):
            db.execute(statement)
    db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    db.execute("COMMIT")
