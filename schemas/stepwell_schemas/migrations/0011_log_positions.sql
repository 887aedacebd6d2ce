-- How far each partition of a topic is stored, written with each flush: the consumer group's offset may expire, be reset, or
-- belong to another copy of these tables. `base` is added to Kafka's offsets: their sum, the logical offset, grows over all logs
-- that these tables were filled from. A row without a topic says that events were stored before this table existed.
CREATE TABLE IF NOT EXISTS {db}.log_positions
(
    topic String,
    partition Int32,
    cluster_id String,
    topic_id String,
    partitions Int32,
    epoch UInt32,
    reason LowCardinality(String),
    begun_at DateTime64(3, 'UTC') DEFAULT now64(3),
    base Int64,
    first_offset Int64,
    end_offset Int64,
    holds_rows Bool,
    missing UInt64,
    boundaries Array(Tuple(end_offset Int64, timestamp Int64, checksum UInt32)),
    voided Array(Tuple(offset_from Int64, offset_to Int64)),
    version UInt64
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (topic, partition);

INSERT INTO {db}.log_positions (topic, partition, reason)
SELECT '', -1, 'earlier_version' FROM (SELECT count() AS runs FROM {db}.run_documents) WHERE runs > 0;
