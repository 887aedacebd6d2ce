-- The content of each session's rows, as of a flush's end: see docs/decisions/0016-content-in-the-receipt.md.
-- Sessions stored before have no content, which is unknown, not different.

ALTER TABLE {db}.session_activity ADD COLUMN IF NOT EXISTS content SimpleAggregateFunction(max, Tuple(
    end UInt64, digest UInt64, covered UInt64, differing UInt64, moved UInt64,
    previous_digest UInt64, previous_covered UInt64, previous_differing UInt64, previous_moved UInt64));
