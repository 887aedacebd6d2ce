-- Counts that need no deduplication window, and `writer` in the sort keys: see docs/decisions/0011-counts-are-cumulative.md.
-- These tables get the rows of their predecessors, and then their names: see `stepwell_schemas.migrations.rewrite`.
-- `writer` is always '' for now.

DROP TABLE IF EXISTS {db}.points_number_next SYNC;
CREATE TABLE {db}.points_number_next
(
    entity LowCardinality(String) CODEC(ZSTD(1)),
    project LowCardinality(String) CODEC(ZSTD(1)),
    run_id LowCardinality(String) CODEC(ZSTD(1)),
    key LowCardinality(String) CODEC(ZSTD(1)),
    writer LowCardinality(String) DEFAULT '' CODEC(ZSTD(1)),
    step Int64 CODEC(DoubleDelta, ZSTD(1)),
    timestamp DateTime64(3, 'UTC') CODEC(Delta, T64, ZSTD(1)),
    bits UInt64 CODEC(GCD, Delta, T64('bit'), ZSTD(1)),
    value Float64 ALIAS reinterpretAsFloat64(bits),
    exact String DEFAULT '' CODEC(ZSTD(1)),
    version UInt64 CODEC(Delta, T64, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (entity, project, run_id, key, writer, step)
SETTINGS non_replicated_deduplication_window = 10000, min_compress_block_size = 131072;

DROP TABLE IF EXISTS {db}.points_string_next SYNC;
CREATE TABLE {db}.points_string_next
(
    entity LowCardinality(String) CODEC(ZSTD(1)),
    project LowCardinality(String) CODEC(ZSTD(1)),
    run_id LowCardinality(String) CODEC(ZSTD(1)),
    key LowCardinality(String) CODEC(ZSTD(1)),
    writer LowCardinality(String) DEFAULT '' CODEC(ZSTD(1)),
    step Int64 CODEC(DoubleDelta, ZSTD(1)),
    timestamp DateTime64(3, 'UTC') CODEC(Delta, T64, ZSTD(1)),
    value String CODEC(ZSTD(1)),
    version UInt64 CODEC(Delta, T64, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (entity, project, run_id, key, writer, step)
SETTINGS non_replicated_deduplication_window = 10000;

DROP TABLE IF EXISTS {db}.points_bool_next SYNC;
CREATE TABLE {db}.points_bool_next
(
    entity LowCardinality(String) CODEC(ZSTD(1)),
    project LowCardinality(String) CODEC(ZSTD(1)),
    run_id LowCardinality(String) CODEC(ZSTD(1)),
    key LowCardinality(String) CODEC(ZSTD(1)),
    writer LowCardinality(String) DEFAULT '' CODEC(ZSTD(1)),
    step Int64 CODEC(DoubleDelta, ZSTD(1)),
    timestamp DateTime64(3, 'UTC') CODEC(Delta, T64, ZSTD(1)),
    value Bool CODEC(ZSTD(1)),
    version UInt64 CODEC(Delta, T64, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (entity, project, run_id, key, writer, step)
SETTINGS non_replicated_deduplication_window = 10000;

DROP TABLE IF EXISTS {db}.points_other_next SYNC;
CREATE TABLE {db}.points_other_next
(
    entity LowCardinality(String) CODEC(ZSTD(1)),
    project LowCardinality(String) CODEC(ZSTD(1)),
    run_id LowCardinality(String) CODEC(ZSTD(1)),
    key LowCardinality(String) CODEC(ZSTD(1)),
    writer LowCardinality(String) DEFAULT '' CODEC(ZSTD(1)),
    step Int64 CODEC(DoubleDelta, ZSTD(1)),
    timestamp DateTime64(3, 'UTC') CODEC(Delta, T64, ZSTD(1)),
    value String CODEC(ZSTD(1)),
    version UInt64 CODEC(Delta, T64, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (entity, project, run_id, key, writer, step)
SETTINGS non_replicated_deduplication_window = 10000;

DROP TABLE IF EXISTS {db}.points_media_next SYNC;
CREATE TABLE {db}.points_media_next
(
    entity LowCardinality(String) CODEC(ZSTD(1)),
    project LowCardinality(String) CODEC(ZSTD(1)),
    run_id LowCardinality(String) CODEC(ZSTD(1)),
    key LowCardinality(String) CODEC(ZSTD(1)),
    kind LowCardinality(String) CODEC(ZSTD(1)),
    writer LowCardinality(String) DEFAULT '' CODEC(ZSTD(1)),
    step Int64 CODEC(DoubleDelta, ZSTD(1)),
    timestamp DateTime64(3, 'UTC') CODEC(Delta, T64, ZSTD(1)),
    value String CODEC(ZSTD(1)),
    version UInt64 CODEC(Delta, T64, ZSTD(1)),
    INDEX files value TYPE tokenbf_v1(32768, 3, 0) GRANULARITY 4
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (entity, project, run_id, key, kind, writer, step)
SETTINGS non_replicated_deduplication_window = 10000;

DROP TABLE IF EXISTS {db}.rollups_next SYNC;
CREATE TABLE {db}.rollups_next
(
    entity LowCardinality(String) CODEC(ZSTD(1)),
    project LowCardinality(String) CODEC(ZSTD(1)),
    run_id LowCardinality(String) CODEC(ZSTD(1)),
    key LowCardinality(String) CODEC(ZSTD(1)),
    writer LowCardinality(String) DEFAULT '' CODEC(ZSTD(1)),
    level UInt8 CODEC(ZSTD(1)),
    bucket Int64 CODEC(DoubleDelta, ZSTD(1)),
    first_step Int64 CODEC(DoubleDelta, ZSTD(1)),
    first_value Float64 CODEC(Gorilla, ZSTD(1)),
    last_step Int64 CODEC(DoubleDelta, ZSTD(1)),
    last_value Float64 CODEC(Gorilla, ZSTD(1)),
    last_timestamp DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    min_step Int64 CODEC(Delta, T64, ZSTD(1)),
    min_value Float64 CODEC(Gorilla, ZSTD(1)),
    max_step Int64 CODEC(Delta, T64, ZSTD(1)),
    max_value Float64 CODEC(Gorilla, ZSTD(1)),
    total Float64 CODEC(Gorilla, ZSTD(1)),
    finite UInt64 CODEC(T64, ZSTD(1)),
    nans UInt64 CODEC(T64, ZSTD(1)),
    count UInt64 CODEC(T64, ZSTD(1)),
    version UInt64 CODEC(DoubleDelta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (entity, project, run_id, key, writer, level, bucket);

-- A row for each flush and series. Extremes are merged. `totals` are those of all flushes up to the offset `end`: the
-- greatest end holds, so that a row may be stored twice. `previous_…`: before the flush, so that it can be undone.
-- `rewritten`: a step may have been written twice, so that `totals.points` may exceed the distinct steps and the extremes
-- may be of overwritten values.
DROP TABLE IF EXISTS {db}.series_next SYNC;
CREATE TABLE {db}.series_next
(
    entity LowCardinality(String),
    project LowCardinality(String),
    run_id LowCardinality(String),
    key LowCardinality(String),
    kind LowCardinality(String),
    writer LowCardinality(String) DEFAULT '',
    first_step SimpleAggregateFunction(min, Int64),
    last_step SimpleAggregateFunction(max, Int64),
    rewritten SimpleAggregateFunction(max, UInt8),
    first_version SimpleAggregateFunction(min, UInt64),
    value_min SimpleAggregateFunction(min, Float64),
    value_max SimpleAggregateFunction(max, Float64),
    last_number SimpleAggregateFunction(max, Tuple(step Int64, version UInt64, value Float64)),
    last_text SimpleAggregateFunction(max, Tuple(step Int64, version UInt64, value String)),
    last_offset SimpleAggregateFunction(max, Int64),
    stream SimpleAggregateFunction(min, String),
    totals SimpleAggregateFunction(max, Tuple(
        end UInt64, last_step Int64, points UInt64, not_nan UInt64, value_sum Float64,
        previous_last_step Int64, previous_points UInt64, previous_not_nan UInt64, previous_value_sum Float64)),
    PROJECTION by_key
    (
        SELECT
            entity, project, key, kind, run_id, stream, rewritten, last_number, last_text, value_min, value_max, totals
        ORDER BY entity, project, key, kind, run_id
    ),
    PROJECTION keys (SELECT entity, project, key GROUP BY entity, project, key)
)
ENGINE = AggregatingMergeTree
ORDER BY (entity, project, run_id, key, kind, writer)
SETTINGS non_replicated_deduplication_window = 10000, deduplicate_merge_projection_mode = 'rebuild',
    lightweight_mutation_projection_mode = 'rebuild';

-- A row for each flush and run, and for each flush and session; `totals` as in `series`.
DROP TABLE IF EXISTS {db}.run_activity_next SYNC;
CREATE TABLE {db}.run_activity_next
(
    entity LowCardinality(String),
    project LowCardinality(String),
    run_id String,
    first_timestamp SimpleAggregateFunction(min, DateTime64(3, 'UTC')),
    last_timestamp SimpleAggregateFunction(max, DateTime64(3, 'UTC')),
    last_step SimpleAggregateFunction(max, Int64),
    last_offset SimpleAggregateFunction(max, Int64),
    totals SimpleAggregateFunction(max, Tuple(
        end UInt64, log_rows UInt64, points UInt64, conflicts UInt64, repeated UInt64, missing UInt64,
        previous_log_rows UInt64, previous_points UInt64, previous_conflicts UInt64, previous_repeated UInt64,
        previous_missing UInt64))
)
ENGINE = AggregatingMergeTree
ORDER BY (entity, project, run_id)
SETTINGS non_replicated_deduplication_window = 10000;

DROP TABLE IF EXISTS {db}.session_activity_next SYNC;
CREATE TABLE {db}.session_activity_next
(
    entity LowCardinality(String),
    project LowCardinality(String),
    run_id String,
    session String,
    writer SimpleAggregateFunction(max, String),
    next_sequence SimpleAggregateFunction(max, Int64),
    last_offset SimpleAggregateFunction(max, Int64),
    totals SimpleAggregateFunction(max, Tuple(
        end UInt64, log_rows UInt64, points UInt64, conflicts UInt64, repeated UInt64, missing UInt64,
        dead_letters UInt64, previous_log_rows UInt64, previous_points UInt64, previous_conflicts UInt64,
        previous_repeated UInt64, previous_missing UInt64, previous_dead_letters UInt64))
)
ENGINE = AggregatingMergeTree
ORDER BY (entity, project, run_id, session)
SETTINGS non_replicated_deduplication_window = 10000;
