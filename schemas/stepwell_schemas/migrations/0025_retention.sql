-- How long a project's rows, rollups and media files are kept. Periods are milliseconds, -1 stands for ever. A policy that was
-- taken back is a row that is not active. These two tables do not follow from the log of events: a rebuild leaves them alone.
CREATE TABLE IF NOT EXISTS {db}.retention_policies
(
    entity String,
    project String,
    raw_ms Int64,
    rollups_ms Int64,
    media_ms Int64,
    active UInt8,
    set_by String,
    set_at Int64
)
ENGINE = ReplacingMergeTree(set_at)
ORDER BY (entity, project);

-- Passes of the worker over a project, and requests for one (`state` is `requested`). Times are milliseconds since the epoch.
CREATE TABLE IF NOT EXISTS {db}.retention_runs
(
    entity String,
    project String,
    started_at Int64,
    worker String,
    state LowCardinality(String),
    finished_at Int64,
    rows UInt64,
    bytes UInt64,
    late_rows UInt64,
    files UInt64,
    file_bytes UInt64,
    error String
)
ENGINE = ReplacingMergeTree(finished_at)
ORDER BY (entity, project, started_at, worker)
TTL toDateTime(intDiv(started_at, 1000), 'UTC') + INTERVAL 400 DAY;

-- What retention has removed of the writers of runs. Values of other kinds than media below `raw_from` may be gone, and curves
-- below `curves_from`; rows were deleted below `removed_to`. All numbers only grow. `settled_offset`: as long as the
-- writer has no rows of this offset or a later one, nothing is left to remove, whatever the time.
CREATE TABLE IF NOT EXISTS {db}.retained_steps
(
    entity LowCardinality(String),
    project LowCardinality(String),
    run_id String,
    writer String,
    raw_from SimpleAggregateFunction(max, Int64),
    curves_from SimpleAggregateFunction(max, Int64),
    removed_to SimpleAggregateFunction(max, Int64),
    curves_removed_to SimpleAggregateFunction(max, Int64),
    recorded_at SimpleAggregateFunction(max, Int64),
    settled_offset SimpleAggregateFunction(max, Int64),
    last_offset SimpleAggregateFunction(max, Int64)
)
ENGINE = AggregatingMergeTree
ORDER BY (entity, project, run_id, writer);

-- Figures of the values below `until` that were removed, so that counts and summaries stay as they were. `kept` has, of numbers,
-- the first row, those with the extremes, and one with the mean: step, value, digits, and the number of values that it stands for.
CREATE TABLE IF NOT EXISTS {db}.removed_figures
(
    entity LowCardinality(String),
    project LowCardinality(String),
    run_id String,
    key String,
    kind LowCardinality(String),
    writer String,
    until Int64,
    points UInt64,
    kept Array(Tuple(step Int64, value Float64, exact String, weight UInt64)),
    last_offset Int64
)
ENGINE = ReplacingMergeTree(until)
ORDER BY (entity, project, run_id, key, kind, writer);

-- Media files whose project keeps them no longer: no reference of this run counts any more.
ALTER TABLE {db}.media_files ADD COLUMN IF NOT EXISTS removed Bool DEFAULT false;

CREATE OR REPLACE VIEW {db}.retention AS
SELECT
    entity, project, run_id, writer, max(retained_steps.raw_from) AS raw_from,
    max(retained_steps.curves_from) AS curves_from
FROM {db}.retained_steps
GROUP BY entity, project, run_id, writer
HAVING max(retained_steps.raw_from) > 0;

-- As before, with the removed values where `count` is counted from the rows. A union and inner joins, since conditions on a run
-- and a key reach every part of these, and no part of an IN or an outer join.
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
    UNION ALL
    SELECT entity, project, run_id, key, kind, 0 AS first, 0 AS last, points, 0 AS end, 0 AS twice, '' AS stream, writer, 1 AS counted
    FROM {db}.removed_figures FINAL
)
GROUP BY entity, project, run_id, key, kind, writer;
