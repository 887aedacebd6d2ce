-- Buckets of `2^level` steps of every number's series, so that a view of any length reads few rows: see `stepwell_schemas.rollups`.
-- A row is a pure function of the points it stands for and is computed from them anew whenever they change; of two rows of a
-- bucket the one of the later flush holds (`version`: its end). No deduplication: computing a bucket twice changes nothing.
CREATE TABLE IF NOT EXISTS {db}.rollups
(
    entity LowCardinality(String),
    project LowCardinality(String),
    run_id LowCardinality(String),
    key LowCardinality(String),
    level UInt8,
    bucket Int64 CODEC(DoubleDelta, ZSTD(1)),
    first_step Int64 CODEC(DoubleDelta, ZSTD(1)),
    first_value Float64 CODEC(ZSTD(1)),
    last_step Int64 CODEC(DoubleDelta, ZSTD(1)),
    last_value Float64 CODEC(ZSTD(1)),
    last_timestamp DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    min_step Int64 CODEC(Delta, ZSTD(1)),
    min_value Float64 CODEC(ZSTD(1)),
    max_step Int64 CODEC(Delta, ZSTD(1)),
    max_value Float64 CODEC(ZSTD(1)),
    total Float64 CODEC(ZSTD(1)),
    finite UInt64 CODEC(T64, ZSTD(1)),
    nans UInt64 CODEC(T64, ZSTD(1)),
    count UInt64 CODEC(T64, ZSTD(1)),
    version UInt64 CODEC(DoubleDelta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (entity, project, run_id, key, level, bucket);
