-- Sessions of the page that users have signed out of: a cookie with such a session is refused although it has not expired.
-- Times are milliseconds since the epoch.
CREATE TABLE IF NOT EXISTS {db}.ended_sessions
(
    session_id String,
    expires Int64
)
ENGINE = ReplacingMergeTree
ORDER BY session_id
TTL toDateTime(intDiv(expires, 1000), 'UTC') + INTERVAL 1 DAY;
