-- Media files that may have lost their last reference when a run was deleted. A worker removes those that no run refers to,
-- in two steps with a grace time before each: it sets a file aside (`moved`), and deletes it or puts it back.
CREATE TABLE IF NOT EXISTS {db}.media_removals
(
    sha256 String,
    size UInt64,
    removed_at DateTime64(3, 'UTC'),
    stage LowCardinality(String),
    version UInt64
)
ENGINE = ReplacingMergeTree(version)
ORDER BY sha256;
