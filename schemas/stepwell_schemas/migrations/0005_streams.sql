-- The stream that a series belongs to: '' the run's own, once any of its own rows has it; else `system` or `console`.
ALTER TABLE {db}.series ADD COLUMN IF NOT EXISTS stream SimpleAggregateFunction(min, String);

CREATE OR REPLACE VIEW {db}.metrics AS
SELECT
    s.entity AS entity,
    s.project AS project,
    s.run_id AS run_id,
    s.key AS key,
    s.kind AS kind,
    s.first_step AS first_step,
    s.last_step AS last_step,
    if(s.rewritten = 0, s.points, r.count) AS count,
    s.stream AS stream
FROM
(
    SELECT
        entity, project, run_id, key, kind,
        min(first_step) AS first_step,
        max(last_step) AS last_step,
        sum(points) AS points,
        max(rewritten) AS rewritten,
        min(stream) AS stream
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
