-- Why the open rows of a lane were left, where the lane had trouble of its own: who stopped the run stopped nothing there.

CREATE TABLE trouble (
    run_no INTEGER NOT NULL REFERENCES run,
    lane_no INTEGER NOT NULL,
    code TEXT NOT NULL,
    message TEXT NOT NULL,
    PRIMARY KEY (run_no, lane_no)
) STRICT, WITHOUT ROWID;
