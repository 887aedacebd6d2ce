-- The writer of values and metrics in the public views, and in what lists of runs read of `series`.

CREATE OR REPLACE VIEW {db}.numbers AS
SELECT entity, project, run_id, key, step, timestamp, value, exact, writer
FROM {db}.points_number FINAL;

CREATE OR REPLACE VIEW {db}.strings AS
SELECT entity, project, run_id, key, step, timestamp, value, writer
FROM {db}.points_string FINAL;

CREATE OR REPLACE VIEW {db}.bools AS
SELECT entity, project, run_id, key, step, timestamp, value, writer
FROM {db}.points_bool FINAL;

CREATE OR REPLACE VIEW {db}.others AS
SELECT entity, project, run_id, key, step, timestamp, value, writer
FROM {db}.points_other FINAL;

CREATE OR REPLACE VIEW {db}.media AS
SELECT entity, project, run_id, key, kind, step, timestamp, value, writer
FROM {db}.points_media FINAL;

-- A row for each writer. `count` is exact: the total of the last flush, or counted from the rows where a step was written
-- twice. A union and inner joins, since conditions on a run and a key reach every part of these, and no part of an IN or an
-- outer join.
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
    minIf(stream, counted = 0) AS stream,
    writer
FROM
(
    SELECT
        entity, project, run_id, key, kind, first_step AS first, last_step AS last, totals.points AS points,
        totals.end AS end, rewritten AS twice, stream, writer, 0 AS counted
    FROM {db}.series
    UNION ALL
    SELECT entity, project, run_id, key, 'number' AS kind, 0 AS first, 0 AS last, count() AS points, 0 AS end, 0 AS twice, '' AS stream, writer, 1 AS counted
    FROM {db}.points_number AS p FINAL
    INNER JOIN
    (
        SELECT entity, project, run_id, key, writer FROM {db}.series WHERE rewritten = 1 AND kind = 'number'
        GROUP BY entity, project, run_id, key, writer
    ) AS s USING (entity, project, run_id, key, writer)
    GROUP BY entity, project, run_id, key, writer
    UNION ALL
    SELECT entity, project, run_id, key, 'string' AS kind, 0 AS first, 0 AS last, count() AS points, 0 AS end, 0 AS twice, '' AS stream, writer, 1 AS counted
    FROM {db}.points_string AS p FINAL
    INNER JOIN
    (
        SELECT entity, project, run_id, key, writer FROM {db}.series WHERE rewritten = 1 AND kind = 'string'
        GROUP BY entity, project, run_id, key, writer
    ) AS s USING (entity, project, run_id, key, writer)
    GROUP BY entity, project, run_id, key, writer
    UNION ALL
    SELECT entity, project, run_id, key, 'bool' AS kind, 0 AS first, 0 AS last, count() AS points, 0 AS end, 0 AS twice, '' AS stream, writer, 1 AS counted
    FROM {db}.points_bool AS p FINAL
    INNER JOIN
    (
        SELECT entity, project, run_id, key, writer FROM {db}.series WHERE rewritten = 1 AND kind = 'bool'
        GROUP BY entity, project, run_id, key, writer
    ) AS s USING (entity, project, run_id, key, writer)
    GROUP BY entity, project, run_id, key, writer
    UNION ALL
    SELECT entity, project, run_id, key, 'other' AS kind, 0 AS first, 0 AS last, count() AS points, 0 AS end, 0 AS twice, '' AS stream, writer, 1 AS counted
    FROM {db}.points_other AS p FINAL
    INNER JOIN
    (
        SELECT entity, project, run_id, key, writer FROM {db}.series WHERE rewritten = 1 AND kind = 'other'
        GROUP BY entity, project, run_id, key, writer
    ) AS s USING (entity, project, run_id, key, writer)
    GROUP BY entity, project, run_id, key, writer
    UNION ALL
    SELECT entity, project, run_id, key, kind, 0 AS first, 0 AS last, count() AS points, 0 AS end, 0 AS twice, '' AS stream, writer, 1 AS counted
    FROM {db}.points_media AS p FINAL
    INNER JOIN
    (
        SELECT entity, project, run_id, key, kind, writer FROM {db}.series WHERE rewritten = 1
        GROUP BY entity, project, run_id, key, kind, writer
    ) AS s USING (entity, project, run_id, key, kind, writer)
    GROUP BY entity, project, run_id, key, kind, writer
)
GROUP BY entity, project, run_id, key, kind, writer;

-- Each part holds its rows a second time by key, now with the columns that determine the primary writer of a key.
ALTER TABLE {db}.series DROP PROJECTION IF EXISTS by_key;
ALTER TABLE {db}.series ADD PROJECTION IF NOT EXISTS by_key_of_writers
(
    SELECT
        entity, project, key, kind, run_id, writer, first_version, stream, rewritten, last_number, last_text, value_min,
        value_max, totals
    ORDER BY entity, project, key, kind, run_id
);
ALTER TABLE {db}.series MATERIALIZE PROJECTION by_key_of_writers;

-- The keys of a project, and whether any of their writers is named: the greatest name is not empty then.
ALTER TABLE {db}.series DROP PROJECTION IF EXISTS keys;
ALTER TABLE {db}.series ADD PROJECTION IF NOT EXISTS keys_and_writers
    (SELECT entity, project, key, max(writer) GROUP BY entity, project, key);
ALTER TABLE {db}.series MATERIALIZE PROJECTION keys_and_writers;
