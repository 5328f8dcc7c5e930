-- The ledger's first schema. Never edited once landed: changes come as the next numbered file.
--
-- `plan` is what was wished: written once, in inventory order, read by the report in that order.
-- `row` is how far each wish has come: keyed and claimed in the order (run, lane, row), so that the pages a
-- lane touches lie together; random order was measured ten times slower at 1e7 rows.
-- `row_key` finds a row by natural key; it is filled once, sorted, when the plan is whole.
-- `known` is what all runs before have learnt of a natural key; it is folded from `row` in key order.
-- `row_count` and `call_count` are counters, so that nothing ever has to count rows.

CREATE TABLE run (
    run_no INTEGER PRIMARY KEY,
    run_id TEXT NOT NULL UNIQUE,
    parent TEXT,
    state TEXT NOT NULL CHECK (state IN ('planning', 'open', 'finished')),
    operation TEXT NOT NULL,
    inventory_name TEXT NOT NULL,
    inventory_sha256 TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    columns TEXT NOT NULL,
    settings TEXT NOT NULL,
    rates TEXT NOT NULL DEFAULT '{}',
    started_at REAL NOT NULL,
    ended_at REAL,
    stop_code TEXT NOT NULL DEFAULT '',
    stop_message TEXT NOT NULL DEFAULT '',
    exit_code INTEGER,
    folded INTEGER NOT NULL DEFAULT 1 -- 0: rows have been worked since the last fold into `known`
) STRICT;

CREATE TABLE lane (
    run_no INTEGER NOT NULL REFERENCES run,
    lane_no INTEGER NOT NULL, -- from 1; 0 stands for rows that belong to no lane
    account TEXT NOT NULL,
    region TEXT NOT NULL,
    project_id TEXT NOT NULL,
    owner TEXT,
    epoch INTEGER NOT NULL DEFAULT 0,
    leased_until REAL NOT NULL DEFAULT 0,
    PRIMARY KEY (run_no, lane_no)
) STRICT, WITHOUT ROWID;

CREATE TABLE plan (
    plan_id INTEGER PRIMARY KEY, -- run_no * 2^32 + row_no
    line INTEGER NOT NULL,
    lane_no INTEGER NOT NULL,
    scope TEXT,
    key BLOB,
    spec TEXT,
    carried TEXT NOT NULL
) STRICT;

CREATE TABLE row (
    run_no INTEGER NOT NULL REFERENCES run,
    lane_no INTEGER NOT NULL,
    row_no INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('planned', 'claimed', 'accepted', 'settled')),
    outcome TEXT,
    token TEXT,
    generation INTEGER NOT NULL DEFAULT 0,
    spent INTEGER NOT NULL DEFAULT 0,
    intent_at REAL,
    attempts INTEGER NOT NULL DEFAULT 0,
    remote_id TEXT,
    remote_state TEXT,
    remote_enabled INTEGER,
    http_status INTEGER,
    error_code TEXT NOT NULL DEFAULT '',
    error_message TEXT NOT NULL DEFAULT '',
    request_id TEXT NOT NULL DEFAULT '',
    first_sent_at REAL,
    settled_at REAL,
    duration_ms INTEGER,
    PRIMARY KEY (run_no, lane_no, row_no),
    CHECK ((state = 'settled') = (outcome IS NOT NULL))
) STRICT, WITHOUT ROWID;

CREATE TABLE row_key (
    run_no INTEGER NOT NULL,
    key BLOB NOT NULL,
    lane_no INTEGER NOT NULL,
    row_no INTEGER NOT NULL, -- the first row of the inventory with this key
    PRIMARY KEY (run_no, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE known (
    key BLOB PRIMARY KEY,
    generation INTEGER NOT NULL,
    spent INTEGER NOT NULL,
    used_at REAL, -- first use of the token of this generation
    remote_id TEXT,
    remote_state TEXT,
    seen_at REAL NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE row_count (
    run_no INTEGER NOT NULL,
    state TEXT NOT NULL,
    outcome TEXT NOT NULL,
    rows INTEGER NOT NULL,
    PRIMARY KEY (run_no, state, outcome)
) STRICT, WITHOUT ROWID;

CREATE TABLE call_count (
    run_no INTEGER NOT NULL,
    kind TEXT NOT NULL,
    result TEXT NOT NULL,
    calls INTEGER NOT NULL,
    PRIMARY KEY (run_no, kind, result)
) STRICT, WITHOUT ROWID;
