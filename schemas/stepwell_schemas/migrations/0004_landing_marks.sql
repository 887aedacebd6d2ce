-- The offset that the newest part of an aggregated row comes from: by it the ingestor sees whether an insert landed.
ALTER TABLE {db}.series ADD COLUMN IF NOT EXISTS last_offset SimpleAggregateFunction(max, Int64);
ALTER TABLE {db}.session_activity ADD COLUMN IF NOT EXISTS last_offset SimpleAggregateFunction(max, Int64);
