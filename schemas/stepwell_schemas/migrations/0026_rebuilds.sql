-- The time at which a run's rows were last rebuilt, in seconds since the epoch; 0: never. Rows that are rebuilt from the
-- same log reach the same offsets, so readers see by it that what they know of the run has to be read again.
ALTER TABLE {db}.run_activity ADD COLUMN IF NOT EXISTS rebuilt_at SimpleAggregateFunction(max, UInt32);
