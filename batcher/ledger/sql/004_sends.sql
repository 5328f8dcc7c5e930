-- What more than one process has done to a row, and what a pace rests on.

ALTER TABLE row ADD COLUMN sent_before TEXT; -- JSON [[from, to], ...]: when processes before the last one sent it, as `sent_there` and `told_there`

ALTER TABLE known ADD COLUMN leaving_id TEXT; -- a flow log whose delete was sent, and that was not seen to be gone
ALTER TABLE known ADD COLUMN leaving_since REAL; -- when that was

-- A place that was ever called starts with a full bucket: how long ago, no clock tells for sure.
ALTER TABLE lane_call DROP COLUMN open;
ALTER TABLE lane_call DROP COLUMN last_call_at;
