-- The views that read the totals of 0012; their columns and meanings are as before.

-- `count` is exact: the total of the last flush, or counted from the rows where a step was written twice. A union and
-- inner joins, since conditions on a run and a key reach every part of these, and no part of an IN or an outer join.
CREATE OR REPLACE VIEW {db}.metrics AS
SELECT
    entity,
    project,
    run_id,
    key,
    kind,
    minIf(first, counted = 0) AS first_step,
    maxIf(last, counted = 0) AS last_step,
    if(max(twice) = 0, argMaxIf(points, end, counted = 0), sumIf(points, counted = 1)) AS count,
    minIf(stream, counted = 0) AS stream
FROM
(
    SELECT
        entity, project, run_id, key, kind, first_step AS first, last_step AS last, totals.points AS points,
        totals.end AS end, rewritten AS twice, stream, 0 AS counted
    FROM {db}.series
    UNION ALL
    SELECT entity, project, run_id, key, 'number' AS kind, 0 AS first, 0 AS last, count() AS points, 0 AS end, 0 AS twice, '' AS stream, 1 AS counted
    FROM {db}.points_number AS p FINAL
    INNER JOIN
    (
        SELECT entity, project, run_id, key FROM {db}.series WHERE rewritten = 1 AND kind = 'number'
        GROUP BY entity, project, run_id, key
    ) AS s USING (entity, project, run_id, key)
    GROUP BY entity, project, run_id, key
    UNION ALL
    SELECT entity, project, run_id, key, 'string' AS kind, 0 AS first, 0 AS last, count() AS points, 0 AS end, 0 AS twice, '' AS stream, 1 AS counted
    FROM {db}.points_string AS p FINAL
    INNER JOIN
    (
        SELECT entity, project, run_id, key FROM {db}.series WHERE rewritten = 1 AND kind = 'string'
        GROUP BY entity, project, run_id, key
    ) AS s USING (entity, project, run_id, key)
    GROUP BY entity, project, run_id, key
    UNION ALL
    SELECT entity, project, run_id, key, 'bool' AS kind, 0 AS first, 0 AS last, count() AS points, 0 AS end, 0 AS twice, '' AS stream, 1 AS counted
    FROM {db}.points_bool AS p FINAL
    INNER JOIN
    (
        SELECT entity, project, run_id, key FROM {db}.series WHERE rewritten = 1 AND kind = 'bool'
        GROUP BY entity, project, run_id, key
    ) AS s USING (entity, project, run_id, key)
    GROUP BY entity, project, run_id, key
    UNION ALL
    SELECT entity, project, run_id, key, 'other' AS kind, 0 AS first, 0 AS last, count() AS points, 0 AS end, 0 AS twice, '' AS stream, 1 AS counted
    FROM {db}.points_other AS p FINAL
    INNER JOIN
    (
        SELECT entity, project, run_id, key FROM {db}.series WHERE rewritten = 1 AND kind = 'other'
        GROUP BY entity, project, run_id, key
    ) AS s USING (entity, project, run_id, key)
    GROUP BY entity, project, run_id, key
    UNION ALL
    SELECT entity, project, run_id, key, kind, 0 AS first, 0 AS last, count() AS points, 0 AS end, 0 AS twice, '' AS stream, 1 AS counted
    FROM {db}.points_media AS p FINAL
    INNER JOIN
    (
        SELECT entity, project, run_id, key, kind FROM {db}.series WHERE rewritten = 1
        GROUP BY entity, project, run_id, key, kind
    ) AS s USING (entity, project, run_id, key, kind)
    GROUP BY entity, project, run_id, key, kind
)
GROUP BY entity, project, run_id, key, kind;

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
