-- API keys. The text of a key is not stored: it is 256 random bits, so that its SHA-256 can't be inverted or searched.
-- Times are milliseconds since the epoch; 0 stands for never. A revocation is a second row of the key, and nothing takes it back.
CREATE TABLE IF NOT EXISTS {db}.access_keys
(
    key_id String,
    hash String,
    name String,
    owner String,
    grants Array(String),
    created Int64,
    expires Int64,
    revoked Int64
)
ENGINE = ReplacingMergeTree(revoked)
ORDER BY key_id;

-- The last use of keys. Separate, since it is written often and must not overwrite a revocation.
CREATE TABLE IF NOT EXISTS {db}.access_key_uses
(
    key_id String,
    last_used Int64
)
ENGINE = ReplacingMergeTree(last_used)
ORDER BY key_id;
