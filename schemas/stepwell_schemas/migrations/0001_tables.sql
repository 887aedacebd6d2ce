-- Physical tables. They may change from version to version; the public views of 0002 may not.
-- A row's version is `offset << 20 | row`, so that of two values at one step the later in the log wins.
-- Deduplication windows let an insert that is repeated under its token land once.

CREATE TABLE IF NOT EXISTS {db}.points_number
(
    entity LowCardinality(String),
    project LowCardinality(String),
    run_id LowCardinality(String),
    key LowCardinality(String),
    step Int64 CODEC(DoubleDelta, LZ4),
    timestamp DateTime64(3, 'UTC') CODEC(DoubleDelta, LZ4),
    value Float64 CODEC(ZSTD(1)),
    exact String DEFAULT '',
    version UInt64 CODEC(DoubleDelta, LZ4)
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (entity, project, run_id, key, step)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS {db}.points_string
(
    entity LowCardinality(String),
    project LowCardinality(String),
    run_id LowCardinality(String),
    key LowCardinality(String),
    step Int64 CODEC(DoubleDelta, LZ4),
    timestamp DateTime64(3, 'UTC') CODEC(DoubleDelta, LZ4),
    value String CODEC(ZSTD(1)),
    version UInt64 CODEC(DoubleDelta, LZ4)
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (entity, project, run_id, key, step)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS {db}.points_bool
(
    entity LowCardinality(String),
    project LowCardinality(String),
    run_id LowCardinality(String),
    key LowCardinality(String),
    step Int64 CODEC(DoubleDelta, LZ4),
    timestamp DateTime64(3, 'UTC') CODEC(DoubleDelta, LZ4),
    value Bool,
    version UInt64 CODEC(DoubleDelta, LZ4)
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (entity, project, run_id, key, step)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS {db}.points_other
(
    entity LowCardinality(String),
    project LowCardinality(String),
    run_id LowCardinality(String),
    key LowCardinality(String),
    step Int64 CODEC(DoubleDelta, LZ4),
    timestamp DateTime64(3, 'UTC') CODEC(DoubleDelta, LZ4),
    value String CODEC(ZSTD(1)),
    version UInt64 CODEC(DoubleDelta, LZ4)
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (entity, project, run_id, key, step)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS {db}.points_media
(
    entity LowCardinality(String),
    project LowCardinality(String),
    run_id LowCardinality(String),
    key LowCardinality(String),
    kind LowCardinality(String),
    step Int64 CODEC(DoubleDelta, LZ4),
    timestamp DateTime64(3, 'UTC') CODEC(DoubleDelta, LZ4),
    value String CODEC(ZSTD(1)),
    version UInt64 CODEC(DoubleDelta, LZ4)
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (entity, project, run_id, key, kind, step)
SETTINGS non_replicated_deduplication_window = 10000;

-- One partial row a flush and series; `rewritten` says that a step may have been written twice, so that
-- `points` may exceed the distinct steps and the extremes may be of overwritten values.
CREATE TABLE IF NOT EXISTS {db}.series
(
    entity LowCardinality(String),
    project LowCardinality(String),
    run_id LowCardinality(String),
    key LowCardinality(String),
    kind LowCardinality(String),
    first_step SimpleAggregateFunction(min, Int64),
    last_step SimpleAggregateFunction(max, Int64),
    points SimpleAggregateFunction(sum, UInt64),
    rewritten SimpleAggregateFunction(max, UInt8),
    first_version SimpleAggregateFunction(min, UInt64),
    value_min SimpleAggregateFunction(min, Float64),
    value_max SimpleAggregateFunction(max, Float64),
    value_sum SimpleAggregateFunction(sum, Float64),
    not_nan SimpleAggregateFunction(sum, UInt64),
    last_number SimpleAggregateFunction(max, Tuple(step Int64, version UInt64, value Float64)),
    last_text SimpleAggregateFunction(max, Tuple(step Int64, version UInt64, value String))
)
ENGINE = AggregatingMergeTree
ORDER BY (entity, project, run_id, key, kind)
SETTINGS non_replicated_deduplication_window = 10000;

-- The whole of what is known of a run besides its values; a row for each change, the last one holds.
CREATE TABLE IF NOT EXISTS {db}.run_documents
(
    entity LowCardinality(String),
    project LowCardinality(String),
    run_id String,
    display_name String,
    state LowCardinality(String),
    exit_code Nullable(Int32),
    config String CODEC(ZSTD(1)),
    summary String CODEC(ZSTD(1)),
    tags Array(String),
    notes String,
    run_group String,
    job_type String,
    metric_definitions String,
    client String,
    host String,
    created_at DateTime64(3, 'UTC'),
    started_at DateTime64(3, 'UTC'),
    finished_at Nullable(DateTime64(3, 'UTC')),
    version UInt64
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (entity, project, run_id)
SETTINGS non_replicated_deduplication_window = 10000;

-- One partial row a flush and run.
CREATE TABLE IF NOT EXISTS {db}.run_activity
(
    entity LowCardinality(String),
    project LowCardinality(String),
    run_id String,
    first_timestamp SimpleAggregateFunction(min, DateTime64(3, 'UTC')),
    last_timestamp SimpleAggregateFunction(max, DateTime64(3, 'UTC')),
    last_step SimpleAggregateFunction(max, Int64),
    log_rows SimpleAggregateFunction(sum, UInt64),
    points SimpleAggregateFunction(sum, UInt64),
    conflicts SimpleAggregateFunction(sum, UInt64),
    repeated SimpleAggregateFunction(sum, UInt64),
    missing SimpleAggregateFunction(sum, UInt64),
    last_offset SimpleAggregateFunction(max, Int64)
)
ENGINE = AggregatingMergeTree
ORDER BY (entity, project, run_id)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS {db}.step_conflict_log
(
    entity LowCardinality(String),
    project LowCardinality(String),
    run_id String,
    writer String,
    asked_step Int64,
    step Int64,
    timestamp DateTime64(3, 'UTC'),
    version UInt64
)
ENGINE = ReplacingMergeTree
ORDER BY (entity, project, run_id, version)
SETTINGS non_replicated_deduplication_window = 10000;

-- What the ingestor must remember of a run, one row for each thing (scope `writer`: a writer's current step;
-- scope `session`: a journal's next sequence number). `number` holds from `offset` of the run's partition on;
-- before it, `previous_number` held (-1: the thing was not there), so that one unfinished flush can be undone.
CREATE TABLE IF NOT EXISTS {db}.run_states
(
    entity LowCardinality(String),
    project LowCardinality(String),
    run_id String,
    scope LowCardinality(String),
    name String,
    offset Int64,
    number Int64,
    previous_number Int64
)
ENGINE = ReplacingMergeTree(offset)
ORDER BY (entity, project, run_id, scope, name)
SETTINGS non_replicated_deduplication_window = 10000;

-- Every spelling a key was seen with; the first one is the metric's key.
CREATE TABLE IF NOT EXISTS {db}.key_spellings
(
    entity LowCardinality(String),
    project LowCardinality(String),
    run_id String,
    folded String,
    spelling String,
    first_version SimpleAggregateFunction(min, UInt64)
)
ENGINE = AggregatingMergeTree
ORDER BY (entity, project, run_id, folded, spelling)
SETTINGS non_replicated_deduplication_window = 10000;
