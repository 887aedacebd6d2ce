-- Public views, version 1: documented in the SQL guide, kept for good. New columns may come; none may go.

CREATE OR REPLACE VIEW {db}.numbers AS
SELECT entity, project, run_id, key, step, timestamp, value, exact
FROM {db}.points_number FINAL;

CREATE OR REPLACE VIEW {db}.strings AS
SELECT entity, project, run_id, key, step, timestamp, value
FROM {db}.points_string FINAL;

CREATE OR REPLACE VIEW {db}.bools AS
SELECT entity, project, run_id, key, step, timestamp, value
FROM {db}.points_bool FINAL;

CREATE OR REPLACE VIEW {db}.others AS
SELECT entity, project, run_id, key, step, timestamp, value
FROM {db}.points_other FINAL;

CREATE OR REPLACE VIEW {db}.media AS
SELECT entity, project, run_id, key, kind, step, timestamp, value
FROM {db}.points_media FINAL;

-- `count` is exact: it is added up over flushes, and counted from the rows where a step was written twice.
CREATE OR REPLACE VIEW {db}.metrics AS
SELECT
    s.entity AS entity,
    s.project AS project,
    s.run_id AS run_id,
    s.key AS key,
    s.kind AS kind,
    s.first_step AS first_step,
    s.last_step AS last_step,
    if(s.rewritten = 0, s.points, r.count) AS count
FROM
(
    SELECT
        entity, project, run_id, key, kind,
        min(first_step) AS first_step,
        max(last_step) AS last_step,
        sum(points) AS points,
        max(rewritten) AS rewritten
    FROM {db}.series
    GROUP BY entity, project, run_id, key, kind
) AS s
LEFT JOIN
(
    SELECT entity, project, run_id, key, 'number' AS kind, count() AS count FROM {db}.points_number FINAL
    WHERE (entity, project, run_id, key) IN
        (SELECT entity, project, run_id, key FROM {db}.series WHERE rewritten = 1 AND kind = 'number')
    GROUP BY entity, project, run_id, key
    UNION ALL
    SELECT entity, project, run_id, key, 'string' AS kind, count() AS count FROM {db}.points_string FINAL
    WHERE (entity, project, run_id, key) IN
        (SELECT entity, project, run_id, key FROM {db}.series WHERE rewritten = 1 AND kind = 'string')
    GROUP BY entity, project, run_id, key
    UNION ALL
    SELECT entity, project, run_id, key, 'bool' AS kind, count() AS count FROM {db}.points_bool FINAL
    WHERE (entity, project, run_id, key) IN
        (SELECT entity, project, run_id, key FROM {db}.series WHERE rewritten = 1 AND kind = 'bool')
    GROUP BY entity, project, run_id, key
    UNION ALL
    SELECT entity, project, run_id, key, 'other' AS kind, count() AS count FROM {db}.points_other FINAL
    WHERE (entity, project, run_id, key) IN
        (SELECT entity, project, run_id, key FROM {db}.series WHERE rewritten = 1 AND kind = 'other')
    GROUP BY entity, project, run_id, key
    UNION ALL
    SELECT entity, project, run_id, key, kind, count() AS count FROM {db}.points_media FINAL
    WHERE (entity, project, run_id, key, kind) IN
        (SELECT entity, project, run_id, key, kind FROM {db}.series WHERE rewritten = 1)
    GROUP BY entity, project, run_id, key, kind
) AS r USING (entity, project, run_id, key, kind);

CREATE OR REPLACE VIEW {db}.step_conflicts AS
SELECT entity, project, run_id, writer, asked_step, step, timestamp
FROM {db}.step_conflict_log FINAL;

CREATE OR REPLACE VIEW {db}.runs AS
SELECT
    d.entity AS entity,
    d.project AS project,
    d.run_id AS run_id,
    d.display_name AS name,
    d.state AS state,
    d.exit_code AS exit_code,
    d.config AS config,
    d.summary AS summary,
    d.tags AS tags,
    d.notes AS notes,
    d.run_group AS run_group,
    d.job_type AS job_type,
    d.created_at AS created_at,
    d.started_at AS started_at,
    d.finished_at AS finished_at,
    greatest(d.started_at, a.last_timestamp) AS heartbeat_at,
    if(a.log_rows = 0, -1, a.last_step) AS last_step,
    a.log_rows AS log_rows,
    a.points AS points,
    a.conflicts AS step_conflicts
FROM (SELECT * FROM {db}.run_documents FINAL) AS d
LEFT JOIN
(
    SELECT
        entity, project, run_id,
        max(last_timestamp) AS last_timestamp,
        max(last_step) AS last_step,
        sum(log_rows) AS log_rows,
        sum(points) AS points,
        sum(conflicts) AS conflicts
    FROM {db}.run_activity
    GROUP BY entity, project, run_id
) AS a USING (entity, project, run_id);
