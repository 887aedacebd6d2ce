-- What became of each journal's records: one partial row a flush and session, so that a receipt can be given.
-- `next_sequence`: every record below it is settled.
CREATE TABLE IF NOT EXISTS {db}.session_activity
(
    entity LowCardinality(String),
    project LowCardinality(String),
    run_id String,
    session String,
    writer SimpleAggregateFunction(max, String),
    next_sequence SimpleAggregateFunction(max, Int64),
    log_rows SimpleAggregateFunction(sum, UInt64),
    points SimpleAggregateFunction(sum, UInt64),
    conflicts SimpleAggregateFunction(sum, UInt64),
    dead_letters SimpleAggregateFunction(sum, UInt64),
    repeated SimpleAggregateFunction(sum, UInt64),
    missing SimpleAggregateFunction(sum, UInt64)
)
ENGINE = AggregatingMergeTree
ORDER BY (entity, project, run_id, session)
SETTINGS non_replicated_deduplication_window = 10000;
