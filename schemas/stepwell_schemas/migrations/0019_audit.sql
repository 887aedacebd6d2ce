-- The audit log: who did what. An entry that is stored twice, after an insert whose reply was lost, is shown once.
-- `expires_at` is set when the entry is written; the latest time that the type has stands for never.
CREATE TABLE IF NOT EXISTS {db}.audit_events
(
    time DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    id String,
    action LowCardinality(String),
    actor String,
    method LowCardinality(String),
    key_id String,
    entity String,
    project String,
    run_id String,
    status UInt16,
    address String,
    detail String CODEC(ZSTD(1)),
    expires_at DateTime('UTC')
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (time, id)
TTL expires_at;

CREATE OR REPLACE VIEW {db}.audit AS
SELECT time, action, actor, method, key_id, entity, project, run_id, status, address, detail, id
FROM {db}.audit_events FINAL;
