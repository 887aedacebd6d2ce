-- Which media files there are, by content: a row for each run that logged one. Its bytes are in the media store.
CREATE TABLE IF NOT EXISTS {db}.media_files
(
    sha256 String,
    size UInt64,
    content_type LowCardinality(String),
    entity LowCardinality(String),
    project LowCardinality(String),
    run_id String,
    version UInt64
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (sha256, entity, project, run_id)
SETTINGS non_replicated_deduplication_window = 10000;

-- So that a file's references are found without reading every one.
ALTER TABLE {db}.points_media ADD INDEX IF NOT EXISTS files value TYPE tokenbf_v1(32768, 3, 0) GRANULARITY 4;
