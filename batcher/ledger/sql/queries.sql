-- Every statement of the SQLite ledger, by name. Parameters are bound; nothing is pasted in but the
-- placeholders of keys. `plan_id` is run_no * 2^32 + row_no. CROSS JOIN keeps SQLite to the order in which tables are
-- named: it knows nothing of their sizes and would else read a whole table for a few rows.

-- name: insert_identity
INSERT INTO identity (ledger_id) SELECT ? WHERE NOT EXISTS (SELECT 1 FROM identity)

-- name: select_identity
SELECT ledger_id FROM identity

-- name: insert_run
INSERT INTO run (run_id, parent, state, operation, inventory_name, inventory_sha256, fingerprint, columns,
                 settings, started_at)
VALUES (:run_id, :parent, 'planning', :operation, :inventory_name, :inventory_sha256, :fingerprint, :columns,
        :settings, :started_at)

-- name: run_no
SELECT run_no FROM run WHERE run_id = ?

-- name: select_runs
SELECT run_no, run_id, parent, state, operation, inventory_name, inventory_sha256, fingerprint, columns, settings,
       rates, started_at, ended_at, stop_code, stop_message, exit_code
FROM run ORDER BY run_no DESC

-- name: select_run
SELECT run_no, run_id, parent, state, operation, inventory_name, inventory_sha256, fingerprint, columns, settings,
       rates, started_at, ended_at, stop_code, stop_message, exit_code
FROM run WHERE run_no = ?

-- name: select_row_counts
SELECT state, outcome, rows FROM row_count WHERE run_no = ? AND rows <> 0

-- name: select_call_counts
SELECT kind, result, calls FROM call_count WHERE run_no = ?

-- name: add_row_count
INSERT INTO row_count (run_no, state, outcome, rows) VALUES (?, ?, ?, ?)
ON CONFLICT DO UPDATE SET rows = rows + excluded.rows

-- name: add_call_count
INSERT INTO call_count (run_no, kind, result, calls) VALUES (?, ?, ?, ?)
ON CONFLICT DO UPDATE SET calls = calls + excluded.calls

-- name: insert_lane
INSERT INTO lane (run_no, lane_no, account, region, project_id, er_endpoint, iam_endpoint, lts_endpoint, tenant)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: select_sites
SELECT DISTINCT account, region, er_endpoint, iam_endpoint, lts_endpoint, tenant
FROM lane WHERE run_no = ? ORDER BY account, region

-- name: insert_plan
INSERT INTO plan (plan_id, line, lane_no, scope, key, spec, carried) VALUES (?, ?, ?, ?, ?, ?, ?)

-- name: insert_row
INSERT INTO row (run_no, lane_no, row_no, state, outcome, token, generation, error_code, error_message)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: select_retried
SELECT r.row_no, p.line, p.lane_no, p.scope, p.key, p.spec, p.carried, r.token, r.generation
FROM row AS r JOIN plan AS p ON p.plan_id = (r.run_no << 32) + r.row_no
WHERE r.run_no = :run_no AND r.outcome IN ('failed', 'in_doubt')
  AND (:outcome = '' OR r.outcome = :outcome) AND (:code = '' OR r.error_code = :code)
  AND (:remote_state = '' OR r.remote_state IS :remote_state)
ORDER BY r.row_no

-- name: select_made
-- What a run has made or may have made: whatever its own requests are known to have made, and whatever may have been
-- sent and was not told by anybody else. What is known to be somebody else's is left out.
SELECT r.row_no, p.line, p.lane_no, p.scope, p.key, p.spec, p.carried, r.token, r.generation, r.remote_id, r.made,
       r.sent_there, r.told_there, r.sent_before,
       min(coalesce(r.intent_at, r.first_sent_at), coalesce(r.first_sent_at, r.intent_at))
FROM row AS r
JOIN plan AS p ON p.plan_id = (r.run_no << 32) + r.row_no
WHERE r.run_no = :run_no AND r.made IS NOT 0
  AND (r.state IN ('claimed', 'accepted') OR r.outcome IN ('created', 'in_doubt')
       OR (r.outcome IN ('failed', 'drifted') AND r.made = 1))
  AND (:outcome = '' OR :outcome = coalesce(r.outcome, iif(r.state = 'claimed', 'in_doubt', 'unverified')))
  AND (:code = '' OR r.error_code = :code) AND (:remote_state = '' OR r.remote_state IS :remote_state)
ORDER BY r.row_no

-- name: insert_made_row
INSERT INTO row (run_no, lane_no, row_no, state, token, generation, remote_id, made, sent_there, told_there, sent_before,
                 intent_at)
VALUES (?, ?, ?, 'planned', ?, ?, ?, ?, ?, ?, ?, ?)

-- name: copy_lanes
INSERT INTO lane (run_no, lane_no, account, region, project_id, er_endpoint, iam_endpoint, lts_endpoint, tenant)
SELECT :run_no, lane_no, account, region, project_id, er_endpoint, iam_endpoint, lts_endpoint, tenant
FROM lane WHERE run_no = :parent_no

-- name: index_keys
INSERT INTO row_key (run_no, key, lane_no, row_no)
SELECT :run_no, key, lane_no, MIN(plan_id) - (:run_no << 32)
FROM plan
WHERE plan_id BETWEEN (:run_no << 32) AND (:run_no << 32) + 4294967295 AND key IS NOT NULL
GROUP BY key

-- name: count_twins
SELECT (SELECT count(*) FROM plan
        WHERE plan_id BETWEEN (:run_no << 32) AND (:run_no << 32) + 4294967295 AND key IS NOT NULL)
     - (SELECT count(*) FROM row_key WHERE run_no = :run_no)

-- name: select_twins
SELECT p.plan_id - (:run_no << 32), p.lane_no, p.spec, f.line, f.spec
FROM plan AS p
JOIN row_key AS k ON k.run_no = :run_no AND k.key = p.key
JOIN plan AS f ON f.plan_id = (:run_no << 32) + k.row_no
WHERE p.plan_id > (:run_no << 32) + :after AND p.plan_id <= (:run_no << 32) + 4294967295
  AND p.plan_id <> (:run_no << 32) + k.row_no
ORDER BY p.plan_id LIMIT :limit

-- name: fold
-- What is spent stays so, whatever the clock says: it may have been set back since.
-- A flow log whose delete was sent, and that was not seen to be gone, is leaving until a later run has settled its row:
-- a row that is not settled, but for one of an undo whose delete was sent, tells nothing of that.
INSERT INTO known (key, generation, spent, used_at, remote_id, remote_state, seen_at, deleted_id, leaving_id, leaving_since)
SELECT k.key, r.generation, r.spent, r.intent_at,
       CASE WHEN r.spent = 1 AND r.outcome IN ('deleted', 'absent') THEN NULL ELSE r.remote_id END,
       CASE WHEN r.spent = 1 AND r.outcome IN ('deleted', 'absent') THEN 'absent' ELSE r.remote_state END,
       coalesce(r.settled_at, r.intent_at),
       CASE WHEN r.outcome IN ('deleted', 'absent') THEN r.remote_id END,
       CASE WHEN o.operation = 'undo' AND (r.state = 'claimed' OR r.first_sent_at IS NOT NULL)
                 AND (r.outcome IS NULL OR r.outcome NOT IN ('deleted', 'absent')) THEN r.remote_id END,
       CASE WHEN r.settled_at IS NOT NULL THEN r.settled_at
            WHEN o.operation = 'undo' AND (r.state = 'claimed' OR r.first_sent_at IS NOT NULL)
            THEN coalesce(r.first_sent_at, o.started_at) END
FROM row_key AS k
JOIN row AS r ON r.run_no = k.run_no AND r.lane_no = k.lane_no AND r.row_no = k.row_no
JOIN run AS o ON o.run_no = k.run_no
WHERE k.run_no = ? AND coalesce(r.settled_at, r.intent_at) IS NOT NULL
  AND (r.intent_at IS NOT NULL OR r.remote_id IS NOT NULL)
  AND NOT (r.outcome IS 'skipped' AND r.first_sent_at IS NULL) -- claimed, and never sent
ORDER BY k.key
ON CONFLICT (key) DO UPDATE SET
    generation = max(known.generation, excluded.generation),
    spent = CASE WHEN excluded.generation > known.generation THEN excluded.spent
                 WHEN excluded.generation = known.generation THEN max(known.spent, excluded.spent)
                 ELSE known.spent END,
    used_at = CASE WHEN excluded.generation > known.generation THEN excluded.used_at
                   WHEN excluded.generation = known.generation THEN coalesce(known.used_at, excluded.used_at)
                   ELSE known.used_at END,
    remote_id = CASE WHEN excluded.generation > known.generation THEN excluded.remote_id
                     WHEN excluded.seen_at < known.seen_at THEN known.remote_id
                     WHEN excluded.remote_state IS 'absent' THEN NULL -- taken back
                     ELSE coalesce(excluded.remote_id, known.remote_id) END,
    remote_state = CASE WHEN excluded.generation <= known.generation AND excluded.seen_at < known.seen_at
                        THEN known.remote_state ELSE coalesce(excluded.remote_state, known.remote_state) END,
    seen_at = CASE WHEN excluded.generation > known.generation THEN excluded.seen_at
                   ELSE max(excluded.seen_at, known.seen_at) END,
    deleted_id = CASE WHEN excluded.generation < known.generation THEN coalesce(known.deleted_id, excluded.deleted_id)
                      ELSE coalesce(excluded.deleted_id, known.deleted_id) END,
    leaving_id = CASE WHEN excluded.leaving_id IS NOT NULL OR excluded.leaving_since >= known.leaving_since
                        OR excluded.deleted_id = known.leaving_id
                      THEN excluded.leaving_id ELSE known.leaving_id END,
    leaving_since = CASE WHEN excluded.leaving_id IS NOT NULL OR excluded.leaving_since >= known.leaving_since
                           OR excluded.deleted_id = known.leaving_id
                         THEN excluded.leaving_since ELSE known.leaving_since END

-- name: select_unfolded
SELECT run_no FROM run WHERE folded = 0 ORDER BY run_no

-- name: mark_folded
UPDATE run SET folded = 1 WHERE run_no = ?

-- name: mark_unfolded
UPDATE run SET folded = 0 WHERE run_no = ? AND folded = 1

-- name: open_run
UPDATE run SET state = 'open', columns = :columns, settings = json_patch(settings, :found)
WHERE run_no = :run_no AND state = 'planning'

-- name: reopen_rows
-- A claim and a send on record that came to nothing are none. Those of an undo tell when its parent may have made it.
UPDATE row SET state = 'planned', outcome = NULL, settled_at = NULL, error_code = '', error_message = '',
               intent_at = CASE WHEN first_sent_at IS NOT NULL
                                  OR (SELECT operation FROM run WHERE run.run_no = row.run_no) = 'undo' THEN intent_at END,
               sent_there = CASE WHEN first_sent_at IS NOT NULL
                                   OR (SELECT operation FROM run WHERE run.run_no = row.run_no) = 'undo' THEN sent_there END,
               sent_before = CASE WHEN first_sent_at IS NOT NULL
                                    OR (SELECT operation FROM run WHERE run.run_no = row.run_no) = 'undo' THEN sent_before END
WHERE run_no = ? AND outcome = 'skipped' AND lane_no <> 0 -- lane 0: it has no wish that could be worked

-- name: reopen_not_final
UPDATE row SET state = 'accepted', outcome = NULL, settled_at = NULL, error_message = ''
WHERE run_no = ? AND outcome = 'unverified'

-- name: plan_drifted
-- `remote_id` stays: only that very thing may be changed (`select_expected`).
UPDATE row SET state = 'planned', outcome = NULL, settled_at = NULL, error_code = '', error_message = '',
               remote_state = NULL, remote_enabled = NULL
WHERE run_no = ? AND outcome = 'drifted' AND remote_state = 'available'

-- name: reopen_run
UPDATE run SET state = 'open', ended_at = NULL, stop_code = '', stop_message = '', exit_code = NULL
WHERE run_no = ? AND state <> 'planning'

-- name: begin_sitting
UPDATE run SET settings = json_set(settings, '$.process', json(:process)) WHERE run_no = :run_no

-- name: end_sitting
UPDATE run SET state = :state, ended_at = :ended_at, stop_code = :stop_code,
    stop_message = :stop_message, exit_code = :exit_code, rates = :rates
WHERE run_no = :run_no

-- name: drop_plan
DELETE FROM plan WHERE plan_id BETWEEN (:run_no << 32) AND (:run_no << 32) + 4294967295

-- name: drop_rows
DELETE FROM row WHERE run_no = :run_no

-- name: drop_keys
DELETE FROM row_key WHERE run_no = :run_no

-- name: drop_lanes
DELETE FROM lane WHERE run_no = :run_no

-- name: drop_counts
DELETE FROM row_count WHERE run_no = :run_no

-- name: drop_calls
DELETE FROM call_count WHERE run_no = :run_no

-- name: drop_run
DELETE FROM run WHERE run_no = :run_no AND state = 'planning'

-- name: has_history
SELECT EXISTS (SELECT 1 FROM known)

-- name: select_records
SELECT p.plan_id - (:run_no << 32), p.line, l.account, l.region, l.project_id, p.spec, p.carried, r.state, r.outcome,
       r.token, r.generation, r.attempts, r.remote_id, r.remote_state, r.remote_enabled, r.http_status,
       r.error_code, r.error_message, r.request_id, r.first_sent_at, r.settled_at, r.duration_ms, t.code, t.message
FROM plan AS p
JOIN row AS r ON r.run_no = :run_no AND r.lane_no = p.lane_no AND r.row_no = p.plan_id - (:run_no << 32)
LEFT JOIN lane AS l ON l.run_no = :run_no AND l.lane_no = p.lane_no
LEFT JOIN trouble AS t ON t.run_no = :run_no AND t.lane_no = p.lane_no AND r.state = 'planned'
WHERE p.plan_id > (:run_no << 32) + :after AND p.plan_id <= (:run_no << 32) + 4294967295
  AND (r.outcome IS NULL OR r.outcome NOT IN (SELECT value FROM json_each(:without)))
ORDER BY p.plan_id LIMIT :limit

-- name: count_endings
SELECT r.state, r.outcome, CASE WHEN r.state = 'settled' THEN r.error_code ELSE coalesce(t.code, '') END AS code,
       count(*), min(r.row_no)
FROM row AS r
LEFT JOIN trouble AS t ON t.run_no = r.run_no AND t.lane_no = r.lane_no AND r.state = 'planned'
WHERE r.run_no = ?
GROUP BY 1, 2, 3

-- name: insert_trouble
INSERT OR REPLACE INTO trouble VALUES (?, ?, ?, ?)

-- name: delete_troubles
DELETE FROM trouble WHERE run_no = ?

-- name: count_changes
SELECT (SELECT count(*) FROM row_key AS n WHERE n.run_no = :newer
        AND NOT EXISTS (SELECT 1 FROM row_key AS o WHERE o.run_no = :older AND o.key = n.key)),
       (SELECT count(*) FROM row_key AS n
        JOIN row_key AS o ON o.run_no = :older AND o.key = n.key
        JOIN plan AS pn ON pn.plan_id = (:newer << 32) + n.row_no
        JOIN plan AS po ON po.plan_id = (:older << 32) + o.row_no
        WHERE n.run_no = :newer AND pn.spec <> po.spec),
       (SELECT count(*) FROM row_key AS o WHERE o.run_no = :older
        AND NOT EXISTS (SELECT 1 FROM row_key AS n WHERE n.run_no = :newer AND n.key = o.key))

-- name: select_keys
SELECT key FROM row_key WHERE run_no = :run_no AND key > :after ORDER BY key LIMIT :limit

-- name: compare_runs
-- By natural key; rows without one, which are invalid, are in neither. A side without the key is NULL.
SELECT a.state, a.outcome, a.error_code, b.state, b.outcome, b.error_code, pa.spec <> pb.spec, count(*)
FROM row_key AS ka
JOIN row AS a ON a.run_no = ka.run_no AND a.lane_no = ka.lane_no AND a.row_no = ka.row_no
JOIN plan AS pa ON pa.plan_id = (ka.run_no << 32) + ka.row_no
LEFT JOIN row_key AS kb ON kb.run_no = :newer AND kb.key = ka.key
LEFT JOIN row AS b ON b.run_no = kb.run_no AND b.lane_no = kb.lane_no AND b.row_no = kb.row_no
LEFT JOIN plan AS pb ON pb.plan_id = (kb.run_no << 32) + kb.row_no
WHERE ka.run_no = :older
GROUP BY 1, 2, 3, 4, 5, 6, 7
UNION ALL
SELECT NULL, NULL, NULL, b.state, b.outcome, b.error_code, 0, count(*)
FROM row_key AS kb
JOIN row AS b ON b.run_no = kb.run_no AND b.lane_no = kb.lane_no AND b.row_no = kb.row_no
WHERE kb.run_no = :newer AND NOT EXISTS (SELECT 1 FROM row_key AS ka WHERE ka.run_no = :older AND ka.key = kb.key)
GROUP BY 4, 5, 6

-- name: select_changed
-- Rows of both runs that ended otherwise, or ask for something else; `plan_id` of the newer goes on after the last.
SELECT kb.row_no, pa.line, pb.line, a.state, a.outcome, a.error_code, b.state, b.outcome, b.error_code, pb.spec
FROM row_key AS kb
JOIN row AS b ON b.run_no = kb.run_no AND b.lane_no = kb.lane_no AND b.row_no = kb.row_no
JOIN plan AS pb ON pb.plan_id = (kb.run_no << 32) + kb.row_no
JOIN row_key AS ka ON ka.run_no = :older AND ka.key = kb.key
JOIN row AS a ON a.run_no = ka.run_no AND a.lane_no = ka.lane_no AND a.row_no = ka.row_no
JOIN plan AS pa ON pa.plan_id = (ka.run_no << 32) + ka.row_no
WHERE kb.run_no = :newer
  AND (pa.spec <> pb.spec OR a.state <> b.state OR a.outcome IS NOT b.outcome OR a.error_code <> b.error_code)
ORDER BY kb.row_no

-- name: select_lanes
SELECT l.lane_no, l.account, l.region, l.project_id, count(*)
FROM row AS r JOIN lane AS l ON l.run_no = r.run_no AND l.lane_no = r.lane_no
WHERE r.run_no = ? AND r.state <> 'settled'
GROUP BY r.lane_no ORDER BY r.lane_no

-- name: select_owners
SELECT DISTINCT r.run_id, l.owner
FROM run AS r JOIN lane AS l ON l.run_no = r.run_no
WHERE r.state = 'open' AND l.owner IS NOT NULL

-- name: select_lease
SELECT account, region, project_id, owner, epoch, leased_until FROM lane WHERE run_no = ? AND lane_no = ?

-- name: take_lane
UPDATE lane SET owner = :owner, epoch = epoch + 1, leased_until = :until
WHERE run_no = :run_no AND lane_no = :lane_no AND epoch = :epoch

-- name: note_called
-- No row is changed where the place was called before.
INSERT INTO lane_call (account, region, project_id) VALUES (?, ?, ?) ON CONFLICT DO NOTHING

-- name: put_limit
INSERT INTO lane_limit (account, region, project_id, call_class, calls, period_s, learnt_at)
VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET calls = excluded.calls, period_s = excluded.period_s, learnt_at = excluded.learnt_at

-- name: select_limits
SELECT account, region, project_id, call_class, calls, period_s, learnt_at FROM lane_limit

-- name: insert_change
INSERT INTO change (run_no, at, action, value) VALUES (?, ?, ?, ?)

-- name: select_changes
SELECT run_no, at, action, value FROM change ORDER BY change_no

-- name: renew_lane
UPDATE lane SET leased_until = ? WHERE run_no = ? AND lane_no = ? AND epoch = ? AND owner = ?

-- name: release_lane
UPDATE lane SET owner = NULL, leased_until = 0 WHERE run_no = ? AND lane_no = ? AND epoch = ? AND owner = ?

-- name: check_lease
SELECT EXISTS (SELECT 1 FROM lane WHERE run_no = ? AND lane_no = ? AND epoch = ? AND owner = ?)

-- name: select_claimable
-- `due` is the generation to send. The moments are those of its own token: a spent one says nothing of it.
SELECT row_no, line, scope, key, spec, token, generation, due,
       min(coalesce(here, before), coalesce(before, here)), here, remote_id, attempts, first_sent_at, sent_there, told_there,
       sent_before, deleted_id, leaving_id
FROM (SELECT *, CASE WHEN generation = due THEN intent_at END AS here,
             CASE WHEN known_generation = due THEN known_used_at END AS before FROM (
    SELECT r.row_no, p.line, p.scope, p.key, p.spec, r.token, r.generation, r.intent_at,
           max(r.generation + r.spent, coalesce(k.generation + k.spent, 0)) AS due,
           k.generation AS known_generation, k.used_at AS known_used_at, k.remote_id, r.attempts, r.first_sent_at,
           r.sent_there, r.told_there, r.sent_before, k.deleted_id, k.leaving_id
    FROM row AS r
    JOIN plan AS p ON p.plan_id = (r.run_no << 32) + r.row_no
    LEFT JOIN known AS k ON k.key = p.key
    WHERE r.run_no = :run_no AND r.lane_no = :lane_no AND r.row_no > :after AND r.state = :state
    ORDER BY r.row_no LIMIT :limit
))
ORDER BY row_no

-- name: claim_rows
UPDATE row SET state = 'claimed', intent_at = coalesce(intent_at, ?)
WHERE run_no = ? AND lane_no = ? AND row_no > ? AND row_no <= ? AND state = 'planned'

-- name: regenerate_row
UPDATE row SET generation = ?, token = ?, intent_at = ?, sent_there = ?, sent_before = ?, spent = 0
WHERE run_no = ? AND lane_no = ? AND row_no = ? AND state = 'claimed' AND generation < ?

-- name: settle_row
UPDATE row SET state = ?, outcome = ?, attempts = ?, remote_id = ?, remote_state = ?, remote_enabled = ?, http_status = ?,
               error_code = ?, error_message = coalesce(nullif(?, ''), iif(state = 'accepted', error_message, '')),
               request_id = ?, first_sent_at = coalesce(first_sent_at, ?),
               settled_at = ?, duration_ms = ?, spent = max(spent, ?), made = coalesce(?, made), sent_there = coalesce(sent_there, ?),
               told_there = coalesce(?, told_there)
WHERE run_no = ? AND lane_no = ? AND row_no = ? AND state = ?

-- name: put_back_row
-- Without `sent_there` no send of it has worked: what is on record of sends counts for nothing.
UPDATE row SET state = 'planned', attempts = ?1, intent_at = ?2,
               first_sent_at = CASE WHEN ?1 > 0 OR ?3 IS NOT NULL THEN coalesce(first_sent_at, ?3) END,
               spent = max(spent, ?4), sent_there = ?5,
               told_there = CASE WHEN ?5 IS NOT NULL THEN coalesce(?6, told_there) END,
               sent_before = CASE WHEN ?5 IS NOT NULL THEN sent_before END,
               http_status = ?7, error_code = ?8, error_message = ?9, request_id = ?10
WHERE run_no = ?11 AND lane_no = ?12 AND row_no = ?13 AND state = ?14

-- name: mark_sent
UPDATE row SET sent_there = ?, told_there = ?, sent_before = ?, attempts = ?, first_sent_at = ?
WHERE run_no = ? AND lane_no = ? AND row_no = ? AND state = 'claimed'

-- name: plan_vanished
UPDATE row SET state = 'planned', spent = 1, remote_id = NULL, remote_state = NULL, remote_enabled = NULL, made = NULL
WHERE run_no = :run_no AND lane_no = :lane_no AND state = 'accepted'
  AND row_no IN (SELECT value FROM json_each(:numbers))

-- name: skip_planned
UPDATE row SET state = 'settled', outcome = 'skipped', error_code = ?, error_message = ?, settled_at = ?
WHERE run_no = ? AND lane_no = ? AND state = 'planned'

-- name: settle_not_final
UPDATE row SET state = 'settled', outcome = 'unverified', error_message = printf(?, remote_state), settled_at = ?
WHERE run_no = ? AND lane_no = ? AND state = 'accepted' AND error_code = ?

-- name: select_scopes
SELECT p.scope, sum(r.state = 'planned'), sum(r.state = 'claimed'), sum(r.state = 'accepted')
FROM row AS r JOIN plan AS p ON p.plan_id = (r.run_no << 32) + r.row_no
WHERE r.run_no = ? AND r.lane_no = ? AND r.state <> 'settled'
GROUP BY p.scope ORDER BY p.scope

-- name: select_numbers
SELECT p.scope, r.row_no
FROM row AS r JOIN plan AS p ON p.plan_id = (r.run_no << 32) + r.row_no
WHERE r.run_no = ? AND r.lane_no = ? AND r.state = ?
ORDER BY r.row_no

-- name: select_last_claim
SELECT max(intent_at) FROM row WHERE run_no = ? AND lane_no = ?

-- name: select_expected
SELECT p.scope, r.row_no
FROM row AS r JOIN plan AS p ON p.plan_id = (r.run_no << 32) + r.row_no
WHERE r.run_no = ? AND r.lane_no = ? AND r.state = 'planned' AND r.remote_id IS NOT NULL
ORDER BY r.row_no

-- name: select_rows
SELECT r.row_no, p.line, r.state, p.scope, p.key, p.spec, r.intent_at, r.attempts, r.http_status, r.request_id,
       r.remote_id, r.made, r.sent_there, r.told_there, r.sent_before, d.deleted_id, d.leaving_id, d.remote_id
FROM json_each(:numbers) AS n
CROSS JOIN row AS r ON r.run_no = :run_no AND r.lane_no = :lane_no AND r.row_no = n.value
CROSS JOIN plan AS p ON p.plan_id = (r.run_no << 32) + r.row_no
LEFT JOIN known AS d ON d.key = p.key
WHERE r.state <> 'settled'
ORDER BY r.row_no

-- name: select_rivals
-- Of rows of a run that takes another one back: when yet another run first sent the same, after that one began to.
-- The first send of all is the first of `sent_before`, where there is any.
SELECT key, since FROM (
    SELECT k.key AS key,
           (SELECT min(coalesce(json_extract(r.sent_before, '$[0][0]'), r.sent_there))
            FROM run AS o
            CROSS JOIN row_key AS ok ON ok.run_no = o.run_no AND ok.key = k.key
            CROSS JOIN row AS r ON r.run_no = ok.run_no AND r.lane_no = ok.lane_no AND r.row_no = ok.row_no
            WHERE o.run_no NOT IN (u.run_no, p.run_no) AND o.operation <> 'undo'
              AND coalesce(json_extract(r.sent_before, '$[0][0]'), r.sent_there)
                  > coalesce(json_extract(pr.sent_before, '$[0][0]'), pr.sent_there)) AS since
    FROM run AS u
    JOIN run AS p ON p.run_id = u.parent
    JOIN row_key AS k ON k.run_no = p.run_no
    JOIN row AS pr ON pr.run_no = k.run_no AND pr.lane_no = k.lane_no AND pr.row_no = k.row_no
    WHERE u.run_no = ? AND k.key IN ({keys})
) WHERE since IS NOT NULL

-- name: claim_these
UPDATE row SET state = 'claimed', intent_at = coalesce(intent_at, ?), remote_id = coalesce(remote_id, ?)
WHERE run_no = ? AND lane_no = ? AND row_no = ? AND state = 'planned'

-- name: match_keys
-- Rows that are settled too: what else stands at a row's place is to be said.
SELECT r.row_no, p.line, r.state, p.scope, k.key, p.spec, r.intent_at, r.attempts, r.http_status, r.request_id,
       r.remote_id, r.made, r.sent_there, r.told_there, r.sent_before, d.deleted_id, d.leaving_id, d.remote_id
FROM row_key AS k
CROSS JOIN row AS r ON r.run_no = k.run_no AND r.lane_no = k.lane_no AND r.row_no = k.row_no
CROSS JOIN plan AS p ON p.plan_id = (k.run_no << 32) + k.row_no
LEFT JOIN known AS d ON d.key = k.key
WHERE k.run_no = ? AND k.lane_no = ? AND k.key IN ({keys})
