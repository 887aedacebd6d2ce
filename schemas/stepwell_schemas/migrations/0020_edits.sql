-- A person has asked a run to stop; its SDK sees it at its next poll. The other columns of the view are as before.
ALTER TABLE {db}.run_documents
    ADD COLUMN IF NOT EXISTS stop_requested Bool DEFAULT false;

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
    d.git_dirty AS git_dirty,
    d.stop_requested AS stop_requested
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
