-- What a place's pace rests on: when it was last called, and the limits that the provider has named.
--
-- `lane_call` has a line for each place that was ever worked. While a sitting works it, it is `open`: whoever finds it
-- so knows that its predecessor died, and may have called until then.

CREATE TABLE lane_call (
    account TEXT NOT NULL,
    region TEXT NOT NULL,
    project_id TEXT NOT NULL,
    last_call_at REAL NOT NULL,
    open INTEGER NOT NULL,
    PRIMARY KEY (account, region, project_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE lane_limit (
    account TEXT NOT NULL,
    region TEXT NOT NULL,
    project_id TEXT NOT NULL,
    call_class TEXT NOT NULL CHECK (call_class IN ('all', 'read', 'write')),
    calls INTEGER NOT NULL,
    period_s REAL NOT NULL,
    learnt_at REAL NOT NULL,
    PRIMARY KEY (account, region, project_id, call_class)
) STRICT, WITHOUT ROWID;

-- What somebody has changed while a run worked, in the order of time.
CREATE TABLE change (
    change_no INTEGER PRIMARY KEY,
    run_no INTEGER NOT NULL REFERENCES run,
    at REAL NOT NULL,
    action TEXT NOT NULL,
    value TEXT NOT NULL
) STRICT;
