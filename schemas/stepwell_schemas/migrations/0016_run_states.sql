-- A running run without a sign of life for a time is crashed: `rules.run_states` as SQL. The time is that of the setting
-- STEPWELL_CRASHED_AFTER_SECONDS, which a query service writes into the view when it starts. The other columns are as
-- before.

CREATE OR REPLACE VIEW {db}.runs AS
SELECT
    d.entity AS entity,
    d.project AS project,
    d.run_id AS run_id,
    d.display_name AS name,
    if(
        d.state = 'running' AND heartbeat_at < now64(3) - toIntervalMillisecond(300000), 'crashed', d.state
    )::LowCardinality(String) AS state,
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
    a.conflicts AS step_conflicts,
    d.program AS program,
    d.git_commit AS git_commit,
    d.git_dirty AS git_dirty
FROM (SELECT * FROM {db}.run_documents FINAL) AS d
LEFT JOIN
(
    SELECT
        entity, project, run_id,
        max(last_timestamp) AS last_timestamp,
        max(last_step) AS last_step,
        argMax(totals.log_rows, totals.end) AS log_rows,
        argMax(totals.points, totals.end) AS points,
        argMax(totals.conflicts, totals.end) AS conflicts
    FROM {db}.run_activity
    GROUP BY entity, project, run_id
) AS a USING (entity, project, run_id);
